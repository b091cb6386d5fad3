"""The chain as text: the break and what waits on it, at any width."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from situation.gpu.links import Component, Link, LinkState, NodeChain
from situation.meta import Ref
from tests.build import NOW
from tests.gpu_chains import crashing, fine
from widgets.gpu_drawing import Lines, detail, draw, held_up, line_width, shape
from widgets.gpu_states import GRAPH, LOOK, TITLES


def text(lines: Lines) -> list[str]:
    return ["".join(piece.text for piece in line).rstrip() for line in lines]


def test_wide_the_fork_is_to_the_right_and_what_waits_hangs_on_broken_lines() -> None:
    assert text(draw(crashing("n"), 120)) == [
        "✓ NFD ─ ✓ operator ─ ▲ driver ┄┄┄┄┄┄┄┄┄ ◌ toolkit ┄ ◌ validator ┬ ◌ plugin waits 0/1 ┄ ◌ GPUs 0 of 8",
        "ready   ready        crashes, exit 1 ×4 waits 0/1   waits 0/4   ├ ◌ GFD waits ┄ ◌ MIG waits",
        "                                                                └ ◌ exporter waits    – not wanted: DCGM",
    ]


def test_narrower_it_is_below_and_long_words_are_cut() -> None:
    assert text(draw(crashing("n"), 60)) == [
        "✓ NFD ─ ✓ operator ─ ▲ driver ┄┄┄ ◌ toolkit ┄ ◌ validator",
        "ready   ready        crashes, ex… waits 0/1   waits 0/4",
        "  ├ ◌ plugin waits 0/1 ┄ ◌ GPUs 0 of 8",
        "  ├ ◌ GFD waits ┄ ◌ MIG waits",
        "  └ ◌ exporter waits    – not wanted: DCGM",
    ]


def test_narrowest_it_is_a_list() -> None:
    assert text(draw(crashing("n"), 34)) == [
        "✓ NFD ready",
        "✓ operator ready",
        "▲ driver crashes, exit 1 ×4",
        "◌ toolkit waits 0/1",
        "◌ validator waits 0/4",
        "├ ◌ plugin waits 0/1",
        "│ └ ◌ GPUs 0 of 8",
        "├ ◌ GFD waits",
        "│ └ ◌ MIG waits",
        "├ ◌ exporter waits",
        "– not wanted: DCGM",
    ]


def test_a_reason_that_all_links_share_is_left_to_the_line_below() -> None:
    why = "only namespace shop is read"
    lines = text(draw(NodeChain("n", tuple(Link(item, LinkState.UNKNOWN, why) for item in Component)), 120))
    assert len(lines) < len(Component)
    assert not any(why in line for line in lines)
    assert sum(line.count("?") for line in lines) == len(Component)


states = st.sampled_from(list(LinkState))
words = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z", "M")), max_size=30)


@given(
    chosen=st.dictionaries(st.sampled_from(list(Component)), st.tuples(states, words), min_size=1),
    width=st.integers(30, 200),
)
def test_every_link_is_drawn_once_with_its_glyph_and_no_line_is_too_wide(
    chosen: dict[Component, tuple[LinkState, str]], width: int
) -> None:
    links = tuple(Link(item, *chosen[item]) for item in Component if item in chosen)
    chain = NodeChain("n", links)
    lines = draw(chain, width)
    assert all(line_width(line) <= width for line in lines)
    pieces = [piece for line in lines for piece in line]
    for link in links:
        heads = [piece for piece in pieces if piece.text == f"{LOOK[link.state].glyph} {TITLES[link.component]}"]
        assert len(heads) == (link.state is not LinkState.NOT_WANTED)
    wanted = [link.component for link in links if link.state is not LinkState.NOT_WANTED]
    assert sorted(shape(chain).order) == sorted(wanted)


def test_every_state_has_a_glyph_and_a_word_of_its_own() -> None:
    assert set(LOOK) == set(LinkState)
    assert len({look.glyph for look in LOOK.values()}) == len(LinkState)
    assert len({look.word for look in LOOK.values()}) == len(LinkState)
    assert set(GRAPH) == set(Component)


def test_a_link_that_is_not_wanted_is_passed_through() -> None:
    states = (LinkState.READY, LinkState.NOT_WANTED, LinkState.READY)
    links = tuple(map(Link, (Component.OPERATOR, Component.DRIVER, Component.DRA_DRIVER), states))
    needs = {Component.DRIVER: (Component.OPERATOR,), Component.DRA_DRIVER: (Component.DRIVER,)}
    assert shape(NodeChain("n", links), needs).parents == {Component.DRA_DRIVER: Component.OPERATOR}


def test_the_plugin_hangs_on_mps_where_that_is_wanted_and_the_checks_on_the_capacity() -> None:
    wanted = [item for item in Component if item not in (Component.DCGM, Component.DRA_DRIVER)]
    parents = shape(NodeChain("n", tuple(Link(item, LinkState.READY) for item in wanted))).parents
    assert parents[Component.PLUGIN] is Component.MPS
    assert parents[Component.MPS] is Component.GFD
    assert parents[Component.CHECKS] is Component.CAPACITY
    wanted.remove(Component.MPS)
    parents = shape(NodeChain("n", tuple(Link(item, LinkState.READY) for item in wanted))).parents
    assert parents[Component.PLUGIN] is Component.VALIDATOR


def test_siblings_behind_one_link_are_not_drawn_as_a_chain() -> None:
    needs = {Component.MIG: (Component.GFD,), Component.MPS: (Component.GFD,), Component.PLUGIN: (Component.NFD,),
             Component.GFD: (Component.NFD,)}  # fmt: skip
    parts = (Component.NFD, Component.PLUGIN, Component.GFD, Component.MIG, Component.MPS)
    chain = NodeChain("n", tuple(Link(item, LinkState.READY) for item in parts))
    assert text(draw(chain, 100, needs)) == ["✓ NFD ┬ ✓ plugin ready",
                                             "ready └ ✓ GFD ready ─ ✓ MIG ready · ✓ MPS ready"]  # fmt: skip


@pytest.mark.parametrize(
    ("component", "said"),
    [
        (
            Component.DRIVER,
            "▲ driver fails: crashes, exit 1 ×4 · 7 wait for it · since Nov 23 02:39 UTC · nvidia-driver-ctr · "
            "Pod nvidia-driver-n",
        ),
        (Component.TOOLKIT, "◌ toolkit waits 0/1 · for driver · Pod nvidia-toolkit-n"),
        (Component.NFD, "✓ NFD ready · Pod nvidia-nfd-n"),
    ],
)
def test_the_line_about_a_link(component: Component, said: str) -> None:
    chain = crashing("n")
    link = chain.link(component)
    assert link is not None
    assert detail(link, chain) == said


def test_a_starting_link_tells_until_when() -> None:
    owner = Ref("DaemonSet", "gpu-operator", "nvidia-driver-daemonset")
    link = Link(Component.DRIVER, LinkState.STARTING, "loads", until=NOW, owner=owner)
    said = detail(link, NodeChain("n", (link,)))
    assert said == "◔ driver starts: loads · may take until 02:41:07 UTC · DaemonSet nvidia-driver-daemonset"


def test_only_what_waits_is_held_up() -> None:
    chain = crashing("n")
    assert chain.broken is not None
    assert held_up(chain, chain.broken) == 7
    assert held_up(fine("n"), fine("n").links[2]) == 0
