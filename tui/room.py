"""Which pane gets how many lines, so that none has blank lines that another lacks."""

from collections.abc import Sequence
from typing import Any, Final

from textual.screen import Screen
from textual.widget import Widget

from tui.middle_row import MiddlePane
from widgets.causes import CausesPane
from widgets.evidence import EvidencePane
from widgets.gpu import GpuPane
from widgets.heights import set_height
from widgets.nodes import NodesPane

_LEAST_TOP: Final = 8
_LEAST_NODES: Final = 4
"""Lines of the two upper rows, titles included."""
_LEAST_TABLE: Final = 4
"""Lines that a table above the evidence keeps: title, header and two rows."""
_MIDDLE_PART: Final = 4
"""The row in the middle gets one line in so many of the screen's at most: causes and pods come first."""
_MIDDLE_PART_IN_USE: Final = 2
"""The same while the keyboard is in the GPU pane: a quarter shows the break and little of the devices, and who goes
there wants to read the rest."""
_LEAST_MIDDLE: Final = 9
"""Lines for the title, a chain, the worst node of the fleet, and what is known of the devices; or for the title, three
members of etcd, quorum, alarms, certificates and the API server; or for the title, models, and a queue."""
_FACTS: Final = 3
"""Lines of facts that are worth having."""
_CAUSE_FACTS: Final = 7
"""The same below the list of causes, which is there for them: title, subject, four lines of proof, and what is more."""
_LEAST_CAUSES: Final = 3
"""Lines of the list of causes, title included, that are seen however long the command is."""
_CAUSES_PART: Final = 0.4
"""So much of a narrow screen the list of causes takes if it needs it."""


class _Steady:
    """The most of a number since something changed: panes that jump while they are read are worse than blank lines."""

    def __init__(self) -> None:
        self._since: object = None
        self._most = 0

    def most(self, number: int, since: object) -> int:
        """Return the greatest `number` given since `since` was another."""
        self._most = max(self._most, number) if since == self._since else number
        self._since = since
        return self._most


def evidence_lines(room: int, table: int, evidence: int, command: int, facts: int = _FACTS) -> int:
    """Return the lines of the evidence pane that stands below a table, its title included.

    Arguments are lines too: of both together, and what table, evidence (titles included) and the next command, which
    is part of the evidence, would take; and those of `facts` that are worth having. The table gets what it needs up to
    one half; the command is never cut.
    """
    wanted = min(evidence, room - min(table, room // 2))
    worth_having = min(1 + facts + command, room - _LEAST_TABLE, evidence)
    return min(max(wanted, worth_having, 2 + command), room)


class Room:
    """Fits the rows of the cockpit's screen to what its panes hold."""

    def __init__(self, screen: Screen[Any]) -> None:
        self._screen = screen
        self._top = _Steady()
        self._table = _Steady()
        self._evidence = _Steady()
        self._causes = _Steady()
        self._proof = _Steady()
        self._middle = _Steady()

    def fit(self, *, tabs: bool, above: int | None, since: object, middle: Sequence[MiddlePane]) -> None:
        """Let the upper rows be no taller than what they hold; with `tabs` the visible one takes everything.

        `above` are the lines of the pane that the evidence stands below, if it does; `since` is what it is the
        evidence of. `middle` are the panes that share the middle row.
        """
        screen = self._screen
        top, panes = screen.query_one("#top"), screen.query_one("#panes")
        nodes, evidence = screen.query_one(NodesPane), screen.query_one(EvidencePane)
        held = max(_LEAST_TOP, screen.query_one(CausesPane).table.row_count + 1, evidence.line_count + 1)
        lines = self._top.most(held, screen.size)
        _limit(top, None if tabs else lines)
        _limit(nodes, None if tabs else max(_LEAST_NODES, nodes.table.row_count + 2))
        self._fit_middle(middle, tabs=tabs)
        self._fit_causes(narrow=tabs and above is None and screen.has_class("-narrow"))
        panes.set_class(above is not None, "-evidence-below")
        height = None
        if above is not None:
            seen = (since, panes.size)
            height = evidence_lines(
                panes.size.height,
                self._table.most(above, seen),
                self._evidence.most(evidence.line_count + 1, seen),
                evidence.command_lines,
            )
        set_height(top, height)

    def _fit_causes(self, *, narrow: bool) -> None:
        """Causes stand above their evidence: lines that the list has no use for show more of the proof."""
        screen, height = self._screen, None
        evidence = screen.query_one(EvidencePane)
        if narrow:
            room, rows = screen.query_one("#panes").size.height, screen.query_one(CausesPane).table.row_count + 1
            part = round(room * _CAUSES_PART)
            table = min(self._causes.most(rows, screen.size), part)
            proof = self._proof.most(evidence.line_count + 1, screen.size)
            lines = evidence_lines(room, table, proof, evidence.command_lines, _CAUSE_FACTS)
            height = max(0, min(max(lines, room - part), room - min(rows, _LEAST_CAUSES))) or None
        set_height(evidence, height)

    def _fit_middle(self, panes: Sequence[MiddlePane], *, tabs: bool) -> None:
        """The panes of the middle share a row: the one that holds most gives its height."""
        screen = self._screen
        if not panes:
            return
        in_use = any(isinstance(pane, GpuPane) and pane.has_focus_within for pane in panes)
        most = max(_LEAST_MIDDLE, screen.size.height // (_MIDDLE_PART_IN_USE if in_use else _MIDDLE_PART))
        held = max(pane.line_count for pane in panes)
        shown = (screen.size, tuple(pane.id for pane in panes), in_use)
        set_height(screen.query_one("#middle"), None if tabs else self._middle.most(min(held, most), shown))


def _limit(row: Widget, lines: int | None) -> None:
    before = row.styles.max_height
    if (before.value if before else None) != lines:
        row.styles.max_height = lines
