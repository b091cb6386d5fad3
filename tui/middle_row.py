"""The row in the middle: panes that are there only while they have something to show, as many of them as fit."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple

from textual.screen import Screen
from textual.widget import Widget

from situation.findings import Finding, Layer
from situation.serving.view import MODEL_SERVER
from widgets.etcd import EtcdPane
from widgets.gpu import GpuPane
from widgets.vllm import VllmPane

MiddlePane = GpuPane | EtcdPane | VllmPane


class Tab(NamedTuple):
    """A pane as a small terminal names it."""

    title: str
    id: str


GPU: Final = Tab("GPU", "gpu")
ETCD: Final = Tab("Control plane", "etcd")
VLLM: Final = Tab("vLLM", "vllm")
MIDDLE: Final = (GPU, ETCD, VLLM)
"""From left to right."""
_KINDS: Final[dict[Tab, type[MiddlePane]]] = {GPU: GpuPane, ETCD: EtcdPane, VLLM: VllmPane}
_UNASKED: Final = (GPU, VLLM, ETCD)
"""Which comes first where not all fit, until somebody asks for one or a cause is about one."""
_NOTHING: Final = "-nothing"
"""Class of a pane, or of the row, that has nothing to show. Of the pane and not of the screen, all of whose widgets
would be styled anew."""
_AWAY: Final = "-away"
"""Class of a pane that has something to show and no room for it."""
_FOLLOWED: Final = "-followed"
"""Class of a pane with another one to its right."""
_OF_LAYER: Final = {Layer.CONTROL_PLANE: ETCD, Layer.NODE: GPU}
_SIDE_BY_SIDE: Final = ((220, 3), (158, 2))
"""(cells, how many panes stand side by side from there on)."""


def tab_of_layer(layer: Layer) -> Tab | None:
    """Return the pane that is all about a layer."""
    return _OF_LAYER.get(layer)


def tab_of_cause(cause: Finding) -> Tab | None:
    """Return the pane that shows what a cause is about."""
    if cause.subject.kind == MODEL_SERVER:
        return VLLM
    return tab_of_layer(cause.layer)


def fitting(width: int) -> int:
    """Return how many panes stand side by side in so many cells."""
    return next((count for cells, count in _SIDE_BY_SIDE if width >= cells), 1)


def middle_panes() -> Iterator[MiddlePane]:
    """Yield new panes of the row, from left to right, which do not show before there is something in them."""
    for tab in MIDDLE:
        pane = _KINDS[tab](id=tab.id)
        pane.add_class(_NOTHING, _AWAY, update=False)
        yield pane


class MiddleRow:
    """Which of the panes stand in the row now."""

    def __init__(self, screen: Screen[Any]) -> None:
        self._screen = screen
        self._asked: list[Tab] = []
        """What somebody asked for, the last first."""
        self._slight: Collection[Tab] = ()
        self._caused: Tab | None = None
        self.there: tuple[Tab, ...] = ()
        """Those that have something to show."""
        self.shown: tuple[Tab, ...] = ()
        """Those that are on the screen."""
        self._is_stale = False
        """A class has changed; `choose` has the row styled anew, once for all of them."""

    def pane(self, tab: tuple[str, str]) -> MiddlePane | None:
        """Return the pane of a tab; None for one that does not stand in this row."""
        return self._screen.query_one(_KINDS[tab]) if isinstance(tab, Tab) and tab in _KINDS else None

    @property
    def panes(self) -> list[MiddlePane]:
        """The panes that are on the screen."""
        return [self._screen.query_one(_KINDS[tab]) for tab in self.shown]

    def note(self, there: tuple[Tab, ...], slight: Collection[Tab], gravest: Finding | None) -> None:
        """Note which panes have something to show, which of them next to nothing, and the gravest cause.

        What shows next to nothing takes no room from the others, unless somebody asks for it or a cause is about it.
        """
        self.there, self._slight = there, slight
        self._caused = tab_of_cause(gravest) if gravest is not None else None
        for tab in MIDDLE:
            self._mark(self._screen.query_one(_KINDS[tab]), {_NOTHING: tab not in there})
        self._mark(self._screen.query_one("#middle"), {_NOTHING: not there})

    def ask_for(self, tab: Tab) -> None:
        """Somebody wants this one."""
        self._asked = [tab, *(other for other in self._asked if other is not tab)]

    def choose(self, width: int, front: tuple[str, str] | None) -> tuple[Tab, ...]:
        """Choose what stands in `width` cells, with tabs (`front` is the one in front) only that; return what came."""
        before = self.shown
        wanted = [tab for tab in MIDDLE if tab is front] if front else self._wanted(fitting(width))
        self.shown = tuple(tab for tab in MIDDLE if tab in wanted)
        for tab in MIDDLE:
            away, followed = tab not in self.shown, tab in self.shown[:-1]
            marks = {_AWAY: front is None and away, _FOLLOWED: front is None and followed}
            self._mark(self._screen.query_one(_KINDS[tab]), marks)
        if self._is_stale:
            self._is_stale = False
            self._screen.query_one("#middle").update_node_styles()
        return tuple(tab for tab in self.shown if tab not in before)

    def _mark(self, widget: Widget, classes: Mapping[str, bool]) -> None:
        """Give and take classes without styling anything yet: that costs 10 ms and more each time."""
        if any(widget.has_class(name) != on for name, on in classes.items()):
            widget.update_classes(classes, update=False)
            self._is_stale = True

    def _wanted(self, count: int) -> list[Tab]:
        first = [*self._asked, *([self._caused] if self._caused else ())]
        worth = [tab for tab in self.there if tab not in self._slight or tab in first] or self.there
        order = list(dict.fromkeys((*first, *_UNASKED)))
        return sorted(worth, key=order.index)[:count]

    def lost_the_keyboard(self) -> bool:
        """Tell whether the keyboard is in a pane that is not on the screen."""
        panes = (self._screen.query_one(_KINDS[tab]) for tab in MIDDLE if tab not in self.shown)
        return any(pane.has_focus_within for pane in panes)
