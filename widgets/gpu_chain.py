"""The GPU Operator's chain on one node, in the order in which its links wait for each other."""

from collections.abc import Mapping
from typing import ClassVar, Final

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message
from textual.widget import Widget

from situation.gpu.links import Component, Link, LinkState, NodeChain
from widgets.columns import folded
from widgets.glyphs import color
from widgets.gpu_drawing import Lines, detail, draw, shape

_NOTHING: Final[Mapping[Component, str]] = {}
_FOOT: Final = 3
"""Lines that the words about one link may take."""
_CURSOR: Final = {
    True: "$block-cursor-foreground on $block-cursor-background",
    False: "$block-cursor-blurred-foreground on $block-cursor-blurred-background",
}


class GpuChain(Widget, can_focus=True):
    """Draws a NodeChain; the arrows go from link to link, enter focuses one. Below stands all about the link."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    GpuChain { width: 1fr; height: 4; padding: 0 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,j,down", "move(1)", "Next link", show=False, tooltip="Next link of the chain", id="chain.next"),
        Binding("left,k,up", "move(-1)", "Previous link", show=False, tooltip="Previous link", id="chain.previous"),
        Binding("enter", "pick", "Focus", show=False, tooltip="Relate everything to this link", id="chain.pick"),
    ]

    class LinkPicked(Message):
        """A link was picked with enter or a click."""

        def __init__(self, node: str, component: Component) -> None:
            self.node = node
            self.component = component
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._chain: NodeChain | None = None
        self._picked: Component | None = None
        self._cursor: Component | None = None
        """Where somebody put it; None: on the break."""
        self._said: Mapping[Component, str] = {}
        self._explains = True
        self._lines: Lines = []
        self._order: tuple[Component, ...] = ()

    @property
    def line_count(self) -> int:
        """Lines that it needs at this width: the words about a link are cut."""
        return max(1, len(self._lines) + self._least_foot)

    @property
    def whole_line_count(self) -> int:
        """Lines that it can use: the words about any link stand whole, unless they are very long."""
        return max(1, len(self._lines) + self._foot)

    @property
    def _least_foot(self) -> int:
        return 2 if self._said else 1

    @property
    def _foot(self) -> int:
        """Lines below the chain: all about one link, and where the log of any is known, the last of that link's.

        As many as the longest link needs, so that nothing moves when the cursor does.
        """
        chain = self._chain
        if chain is None:
            return 1
        drawn = (link for link in chain.links if link.component in self._order)
        told = max((len(folded(self._detail(link, chain), self._room, _FOOT)) for link in drawn), default=1)
        said = max((len(folded(text, self._room, _FOOT)) for text in self._said.values()), default=0)
        return told + said

    @property
    def _room(self) -> int:
        return self.content_size.width or max(1, self.app.size.width - 2)

    @property
    def cursor(self) -> Component | None:
        """The link that the line at the foot is about."""
        if self._cursor in self._order:
            return self._cursor
        if self._picked in self._order:
            return self._picked
        broken = self._chain.broken if self._chain else None
        if broken is None and self._chain is not None:
            uneasy = (LinkState.UNKNOWN, LinkState.WAITING, LinkState.STARTING, LinkState.PAUSED)
            links = self._chain.links
            broken = next((link for state in uneasy for link in links if link.state is state), None)
        if broken is not None:
            return broken.component
        return self._order[-1] if self._order else None

    def _detail(self, link: Link, chain: NodeChain) -> str:
        return detail(link, chain, explains=self._explains)

    def show(
        self,
        chain: NodeChain | None,
        picked: Component | None,
        said: Mapping[Component, str] = _NOTHING,
        *,
        explains: bool = True,
    ) -> None:
        """Show the chain of a node.

        `picked` is the link that everything is focused on, `said` holds the last log lines of links that are known.
        Without `explains` the words about a link do not say what waits for what.
        """
        if (chain, picked, said, explains) == (self._chain, self._picked, self._said, self._explains):
            return
        self._explains = explains
        if chain is None or self._chain is None or chain.node != self._chain.node or picked is not self._picked:
            self._cursor = None
        self._chain, self._picked, self._said = chain, picked, said
        self._draw()

    def _draw(self) -> None:
        chain = self._chain
        if chain is None:
            self._lines, self._order = [], ()
        else:
            self._lines = draw(chain, self._room)
            self._order = shape(chain).order
        self.refresh()

    def on_resize(self) -> None:
        self._draw()

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    def render(self) -> Content:
        if self._chain is None:
            return Content("")
        height, cursor = self.content_size.height, self.cursor
        visible = self._visible(height)
        rows = [
            Content.assemble(*((piece.text, self._style(piece.role, piece.component, cursor)) for piece in line))
            for line in visible
        ]
        link = self._chain.link(cursor) if cursor else None
        said = self._said.get(cursor, "") if cursor is not None else ""
        spare = height - len(visible)
        if link is not None:
            rows += self._foot_lines(self._detail(link, self._chain), "bold", spare - bool(said))
        if said:
            rows += self._foot_lines(said, color("dim"), height - len(rows))
        return Content("\n").join(rows)

    def _foot_lines(self, text: str, style: str, most: int) -> list[Content]:
        lines = folded(text, self.content_size.width, max(1, min(most, _FOOT)))
        return [Content.styled(line, style) for line in lines]

    def _visible(self, height: int) -> Lines:
        """Return the lines for which there is room, so that the one with the cursor is among them."""
        foot = self._foot
        if height < len(self._lines) + foot:  # the chain itself comes first
            foot = max(self._least_foot, height - len(self._lines))
        room = max(1, height - foot)
        if len(self._lines) <= room:
            return self._lines
        row = next((y for y, line in enumerate(self._lines) if any(part[2] is self.cursor for part in line)), 0)
        first = max(0, min(row - room // 2, len(self._lines) - room))
        return self._lines[first : first + room]

    def _style(self, role: str, component: Component | None, cursor: Component | None) -> str:
        if component is not None and component is cursor and (self.has_focus or component is self._picked):
            return _CURSOR[self.has_focus]
        return color(role, "bold") if role == "critical" else color(role)

    def action_move(self, by: int) -> None:
        """Go to another link in reading order."""
        if self._order and (cursor := self.cursor):
            place = self._order.index(cursor) + by
            self._cursor = self._order[max(0, min(place, len(self._order) - 1))]
            self.refresh()

    def action_pick(self) -> None:
        """Focus the link with the cursor."""
        if self._chain is not None and (cursor := self.cursor):
            self.post_message(self.LinkPicked(self._chain.node, cursor))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        lines = self._visible(self.content_size.height)
        if offset is None or offset.y >= len(lines):
            return
        x = 0
        for text, _, component in lines[offset.y]:
            x += cell_len(text)
            if offset.x < x:
                if component is not None:
                    self._cursor = component
                    self.refresh()
                    self.action_pick()
                return
