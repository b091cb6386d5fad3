from datetime import timedelta

import pytest
from rich.cells import cell_len

from situation.readings import Source, SourceState
from tests.build import NOW
from widgets.pane import PaneState, pane_state, title_line


def source(state: SourceState = SourceState.LIVE, age_s: float | None = 0.0) -> Source:
    return Source("kubernetes/pods", state, "", None if age_s is None else NOW - timedelta(seconds=age_s))


@pytest.mark.parametrize(
    ("known", "text"),
    [
        (source(), "live 0s"),
        (source(age_s=4.9), "live 0s"),
        (source(age_s=9.9), "live 5s"),
        (source(age_s=119.0), "live 115s"),
        (source(age_s=149.0), "live 2m"),
        (source(age_s=151.0), "stale 2m"),
        (source(SourceState.UNREACHABLE, 400.0), "unreachable 6m"),
        (source(SourceState.UNREACHABLE, None), "unreachable"),
        (source(SourceState.UNAUTHORIZED, 5.0), "unauthorized 5s"),
        (source(SourceState.FORBIDDEN, None), "forbidden"),
        (source(SourceState.ABSENT, None), "absent"),
        (source(SourceState.STARTING, None), "starting"),
    ],
)
def test_the_state_tells_how_fresh_the_content_is(known: Source, text: str) -> None:
    assert pane_state(known, now=NOW).text == text


def test_what_is_only_polled_is_not_called_live() -> None:
    polled = Source("kubernetes/pods", SourceState.LIVE, "polled every 60 s", NOW - timedelta(seconds=41))
    assert pane_state(polled, now=NOW).text == "polled 40s"


def test_of_several_sources_the_worst_counts() -> None:
    assert pane_state(source(), source(SourceState.UNREACHABLE, 30.0), now=NOW).text == "unreachable 30s"
    assert pane_state(source(), source(age_s=60.0), now=NOW).text == "live 60s"


@pytest.mark.parametrize("width", range(30, 200))
@pytest.mark.parametrize("note", ["", "12", "filter “界界界界界” · 3 of 12 and a long story"])
def test_a_title_fills_its_line_and_never_loses_its_state(width: int, note: str) -> None:
    line = title_line("Pods", note, PaneState(SourceState.UNREACHABLE, 65.0), True, width).plain
    assert cell_len(line) == width
    assert "Pods" in line
    assert line.endswith(" unreachable 65s ─")


def test_the_note_gives_way() -> None:
    assert " · 12 of 40 " in title_line("Pods", "12 of 40", PaneState(), False, 60).plain
    assert "…" in title_line("Pods", "12 of 40 and more", PaneState(), False, 32).plain


def test_the_pane_with_the_keyboard_is_marked_by_a_glyph() -> None:
    assert "▸" in title_line("Pods", "", PaneState(), True, 60).plain
    assert "▸" not in title_line("Pods", "", PaneState(), False, 60).plain


def test_a_live_source_of_a_frozen_cluster_tells_as_of_when() -> None:
    frozen = pane_state(source(age_s=5.0), now=NOW, frozen_since=NOW)
    assert (frozen.state, frozen.text) == (SourceState.STALE, f"as of {NOW:%H:%M:%S}")
    gone = pane_state(source(SourceState.UNREACHABLE, 30.0), now=NOW, frozen_since=NOW)
    assert gone.text == "unreachable 30s"
