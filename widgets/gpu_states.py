"""How the states of the GPU chain's links look: one glyph, one word and one colour role for each."""

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from situation.gpu.components import PARTS
from situation.gpu.links import Component, Link, LinkState

Graph = Mapping[Component, Collection[Component]]
"""What each component needs before it can work."""

GRAPH: Final[Graph] = {
    component: {*part.needs, *((part.labelled_by,) if part.labelled_by else ())} for component, part in PARTS.items()
}
TITLES: Final = {component: part.title for component, part in PARTS.items()}


class Look(NamedTuple):
    """How a state is shown."""

    glyph: str
    word: str
    role: str


LOOK: Final = {
    LinkState.READY: Look("✓", "ready", "fine"),
    LinkState.FAILING: Look("▲", "fails", "critical"),
    LinkState.WAITING: Look("◌", "waits", "waiting"),
    LinkState.STARTING: Look("◔", "starts", "info"),
    LinkState.PAUSED: Look("‖", "paused", "special"),
    LinkState.PREINSTALLED: Look("◆", "host's own", "fine"),
    LinkState.NOT_WANTED: Look("–", "not wanted", "dim"),
    LinkState.ABSENT: Look("✗", "missing", "critical"),
    LinkState.UNKNOWN: Look("?", "unknown", "warning"),
}


def words(link: Link) -> str:
    """Return the few words for a link: its own text, else the word for its state."""
    return link.text or LOOK[link.state].word
