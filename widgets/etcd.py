"""The pane of the control plane: etcd's members, and below them what is known of quorum, certificates, API server."""

from typing import Final

import msgspec
from textual import events
from textual.app import ComposeResult
from textual.message import Message
from textual.widget import Widget

from situation.meta import Ref
from widgets.control_plane_facts import ControlPlaneFact, ControlPlaneFacts
from widgets.etcd_members import EtcdMembers, MemberRow
from widgets.heights import set_height
from widgets.pane import Pane
from widgets.table import RowTable

_LEAST_FACTS: Final = 4
"""Lines of facts that are worth more than another member."""
_LEAST_MEMBERS: Final = 3


class EtcdView(msgspec.Struct, frozen=True):
    """What the pane shows."""

    members: tuple[MemberRow, ...] = ()
    facts: tuple[ControlPlaneFact, ...] = ()
    brief: tuple[ControlPlaneFact, ...] = ()
    """Shown instead of `facts` while nobody has the keyboard there, if there is any."""


def member_lines(room: int, members: int, facts: int) -> int:
    """Return the lines of the member table, its header included, of `room` for both; 0 without members."""
    if not members:
        return 0
    wanted = members + 1
    return max(min(wanted, room - min(facts, _LEAST_FACTS)), min(wanted, _LEAST_MEMBERS, room))


class EtcdPane(Pane):
    """Composes members and facts, and tells which member was picked."""

    TITLE = "Control plane"

    class MemberPicked(Message):
        """A member was picked."""

        def __init__(self, ref: Ref) -> None:
            self.ref = ref
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._rows: dict[object, MemberRow] = {}
        self._view = EtcdView()

    def compose_body(self) -> ComposeResult:
        yield EtcdMembers(id="etcd-table")
        yield ControlPlaneFacts(id="etcd-facts")

    @property
    def members(self) -> EtcdMembers:
        return self.query_one(EtcdMembers)

    @property
    def facts(self) -> ControlPlaneFacts:
        return self.query_one(ControlPlaneFacts)

    @property
    def line_count(self) -> int:
        """Lines that are worth having, the title included."""
        members = self.members.row_count
        return 1 + (members + 1 if members else 0) + self.facts.row_count

    def show(self, view: EtcdView) -> None:
        """Show this."""
        self._view = view
        self._rows = {row.key: row for row in view.members}
        self.members.show(view.members)
        self._show_facts(in_full=self.has_focus_within)
        self.fit()

    def _show_facts(self, *, in_full: bool) -> None:
        self.facts.show_facts(self._view.facts if in_full else self._view.brief or self._view.facts)

    def on_descendant_focus(self) -> None:
        self._show_facts(in_full=True)

    def on_descendant_blur(self) -> None:
        self._show_facts(in_full=False)

    def fit(self) -> None:
        """Share the lines that the pane has between its parts."""
        members = self.members
        lines = member_lines(self.size.height - 1, members.row_count, self.facts.row_count)
        if members.display is not bool(members.row_count):
            members.display = bool(members.row_count)
        set_height(members, lines)

    def on_resize(self, event: events.Resize) -> None:
        self.call_after_refresh(self.fit)

    def on_row_table_row_highlighted(self, event: RowTable.RowHighlighted) -> None:
        event.stop()

    def on_row_table_row_selected(self, event: RowTable.RowSelected) -> None:
        event.stop()
        if event.table is self.members and (row := self._rows.get(event.key)) is not None:
            self.post_message(self.MemberPicked(row.ref))

    def go(self) -> None:
        """Give the keyboard to the members; again, to what stands below them."""
        parts: list[Widget] = [self.members, self.facts] if self.members.row_count else [self.facts]
        focused = next((place for place, part in enumerate(parts) if part.has_focus), -1)
        parts[(focused + 1) % len(parts)].focus()
