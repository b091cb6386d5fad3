"""The chain of one node as lines of text: pure functions from links and their graph to pieces with roles."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from rich.cells import cell_len

from situation.gpu.components import ORDER
from situation.gpu.links import BROKEN, Component, Link, LinkState, NodeChain
from widgets.columns import fit
from widgets.gpu_states import GRAPH, LOOK, TITLES, Graph, words

_WORDS: Final = (24, 16, 12, 9)
"""Cells that the words of a link may take: the roomiest that fits is taken."""
_THROUGH: Final = "─"
_HELD: Final = "┄"
"""Between two links: the second has come past the first, or waits."""


class Piece(NamedTuple):
    """A stretch of a line."""

    text: str
    role: str = "dim"
    component: Component | None = None
    """The link that it belongs to."""


Lines = list[list[Piece]]


class Shape(NamedTuple):
    """Links as they hang together: a trunk, and what forks off at its end."""

    trunk: tuple[Link, ...]
    branches: tuple[tuple[Link, ...], ...]
    parents: Mapping[Component, Component]
    unwanted: tuple[Link, ...]

    @property
    def order(self) -> tuple[Component, ...]:
        """The components that are drawn, in reading order."""
        return tuple(link.component for part in (self.trunk, *self.branches) for link in part)


def shape(chain: NodeChain, needs: Graph = GRAPH) -> Shape:
    """Return how the links that are wanted hang together; a link hangs on the last to get ready that it needs."""
    wanted = [link for link in chain.links if link.state is not LinkState.NOT_WANTED]
    drawn = {link.component for link in wanted}
    parents: dict[Component, Component] = {}
    for link in wanted:
        if before := _needed(link.component, needs, drawn):
            parents[link.component] = max(before, key=ORDER.index)
    children: dict[Component | None, list[Link]] = {}
    for link in wanted:
        children.setdefault(parents.get(link.component), []).append(link)
    trunk: list[Link] = []
    following = children.get(None, [])[:1]
    while len(following) == 1:
        trunk += following
        following = children.get(following[0].component, [])
    heads = [*following, *children.get(None, [])[1:]]
    return Shape(
        tuple(trunk),
        tuple(tuple(_descent(head, children)) for head in heads),
        parents,
        tuple(link for link in chain.links if link.state is LinkState.NOT_WANTED),
    )


def _needed(component: Component, needs: Graph, drawn: set[Component]) -> set[Component]:
    """Return what a component needs; if nothing of that is drawn, what that needs."""
    asked = set(needs.get(component, ()))
    seen: set[Component] = set()
    while asked and not asked & drawn:
        seen |= asked
        asked = {item for before in asked for item in needs.get(before, ())} - seen
    return asked & drawn


def _descent(link: Link, children: Mapping[Component | None, list[Link]]) -> Iterator[Link]:
    yield link
    for child in children.get(link.component, ()):
        yield from _descent(child, children)


def held_up(chain: NodeChain, broken: Link) -> int:
    """Return how many links wait for `broken`, directly or behind others."""
    return sum(link is not broken and chain.cause_of(link) is broken for link in chain.links)


def draw(chain: NodeChain, width: int, needs: Graph = GRAPH) -> Lines:
    """Return the lines of a chain: forked to the right, else forked below, else as a list; none is too wide.

    One of which nothing is known is a line or two.
    """
    form = shape(chain, needs)
    if _knows_nothing(chain):
        return _flowing(form, width)
    for across in (_forked_right, _forked_below):
        for room in _WORDS:
            lines = across(form, room)
            if max(map(line_width, lines), default=0) <= width:
                return _with_unwanted(lines, form, width)
    return _with_unwanted(_listed(form, width), form, width)


def _knows_nothing(chain: NodeChain) -> bool:
    """Tell whether nothing of a chain is known, for one reason: it stands below, and need not stand at each link."""
    told = {(link.state, link.text) for link in chain.links}
    return len(told) == 1 and any(state is LinkState.UNKNOWN for state, _ in told)


def _flowing(form: Shape, width: int) -> Lines:
    """Return the links one after the other, as many as go on a line."""
    lines: Lines = [[]]
    for link in (link for part in (form.trunk, *form.branches) for link in part):
        head = _head(link)
        if lines[-1] and line_width(lines[-1]) + 2 + cell_len(head.text) > width:
            lines.append([])
        lines[-1] += [Piece("  "), head] if lines[-1] else [head]
    return lines


def line_width(line: Iterable[Piece]) -> int:
    """Return the cells that a line takes."""
    return sum(cell_len(piece.text) for piece in line)


def _forked_right(form: Shape, room: int) -> Lines:
    heads, feet = _trunk(form, room)
    if not form.branches:
        return [heads, feet]
    edge = max(line_width(heads), line_width(feet))
    lines = [heads, feet]
    for number, branch in enumerate(form.branches):
        if number == len(lines):
            lines.append([])
        fork = "┬" if number == 0 else "└" if number == len(form.branches) - 1 else "├"
        fill = edge - line_width(lines[number])
        rule = "─" if number == 0 else " "
        lines[number] += [Piece(f"{rule * fill} {fork} "), *_run(form, branch, room)]
    return lines


def _forked_below(form: Shape, room: int) -> Lines:
    heads, feet = _trunk(form, room)
    lines = [heads, feet]
    for number, branch in enumerate(form.branches):
        fork = "└" if number == len(form.branches) - 1 else "├"
        lines.append([Piece(f"  {fork} "), *_run(form, branch, room)])
    return lines


def _trunk(form: Shape, room: int) -> tuple[list[Piece], list[Piece]]:
    """Return two lines: the links, and below each its words, which may reach under the connector behind it."""
    heads: list[Piece] = []
    feet: list[Piece] = []
    for number, link in enumerate(form.trunk):
        is_last = number == len(form.trunk) - 1
        head, foot = _head(link), words(link)
        foot = fit(foot, min(cell_len(foot), room))
        taken = max(cell_len(head.text), cell_len(foot) - (0 if is_last else 2))
        behind = 0 if is_last else 3
        feet.append(Piece(fit(foot, taken + behind), _word_role(link), link.component))
        heads.append(head)
        if is_last:
            continue
        heads.append(_connector(form.trunk[number + 1], taken - cell_len(head.text) + 1))
    return heads, feet


def _run(form: Shape, branch: Sequence[Link], room: int) -> Iterator[Piece]:
    """Yield the links of a branch with their words behind them."""
    for number, link in enumerate(branch):
        if number:
            follows = form.parents.get(link.component) is branch[number - 1].component
            yield _connector(link) if follows else Piece(" · ")
        yield _head(link)
        said = words(link)
        yield Piece(f" {fit(said, min(cell_len(said), room))}", _word_role(link), link.component)


def _listed(form: Shape, width: int) -> Lines:
    """Return one line for each link, branches indented."""
    lines: Lines = []
    for number, branch in enumerate((form.trunk, *form.branches)):
        for depth, link in enumerate(branch):
            lead = "" if not number else ("├ " if depth == 0 else "│ └ ")
            head = _head(link)
            room = max(0, width - cell_len(lead) - cell_len(head.text) - 1)
            said = words(link)
            lines.append(
                [Piece(lead), head, Piece(f" {fit(said, min(cell_len(said), room))}", _word_role(link), link.component)]
            )
    return lines


def _with_unwanted(lines: Lines, form: Shape, width: int) -> Lines:
    """Name what is not wanted on this node, at the end of the last line if there is room, else below."""
    if not form.unwanted:
        return lines
    text = f"{LOOK[LinkState.NOT_WANTED].glyph} not wanted: " + ", ".join(
        TITLES[link.component] for link in form.unwanted
    )
    gap = " " * 4
    if lines and line_width(lines[-1]) + cell_len(gap + text) <= width:
        return [*lines[:-1], [*lines[-1], Piece(gap + text)]]
    return [*lines, [Piece(fit(text, min(width, cell_len(text))))]]


def _head(link: Link) -> Piece:
    title = TITLES[link.component]
    return Piece(f"{LOOK[link.state].glyph} {title}", _role(link), link.component)


def _connector(link: Link, length: int = 1) -> Piece:
    """Return the line that leads to a link: broken while it waits."""
    return Piece(f" {(_HELD if link.state is LinkState.WAITING else _THROUGH) * length} ")


def _role(link: Link) -> str:
    return LOOK[link.state].role


def _word_role(link: Link) -> str:
    return _role(link) if link.state in BROKEN else "dim"


def detail(link: Link, chain: NodeChain, *, explains: bool = True) -> str:
    """Return all that is known of a link in one line, what is said elsewhere (container, pod) last: it may be cut.

    Without `explains` it leaves out what waits for what: the rest is what the link itself shows.
    """
    look = LOOK[link.state]
    said = link.text if link.text.startswith(look.word) else f"{look.word}: {link.text}" if link.text else look.word
    parts = [f"{look.glyph} {TITLES[link.component]} {said}"]
    if explains and link.state is LinkState.WAITING and link.waits_for:
        parts.append(f"for {TITLES[link.waits_for]}")
    if explains and link.state in BROKEN and (count := held_up(chain, link)):
        parts.append(f"{count} wait{'s' if count == 1 else ''} for it")
    if link.since:
        parts.append(f"since {link.since:%b %d %H:%M} UTC")
    if link.until and link.state is LinkState.STARTING:
        parts.append(f"may take until {link.until:%H:%M:%S} UTC")
    if link.container and not link.text.startswith(link.container):
        parts.append(link.container)
    if owner := link.pod or link.owner:
        parts.append(f"{owner.kind} {owner.name}")
    return " · ".join(parts)
