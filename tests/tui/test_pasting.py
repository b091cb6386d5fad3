"""What is pasted is taken as a whole; what is cut of it is told."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual import events
from textual.pilot import Pilot
from textual.widgets import Input

from situation.text import harmless
from tests.tui.cockpits import Cluster, cluster_readings, open_cockpit, screen_text, until
from tests.tui.test_cockpit import incident, rows, screen
from tui.filter_line import FilterLine
from tui.note_line import NOTE_CHARS, NoteLine
from tui.view import Filter
from widgets.checklist import NoteInput
from widgets.pasted_line import one_line

LINES = "first line\r\n\n\tsecond\x1b[31m line\rthird line\n"
JOINED = "first line / second␛[31m line / third line"


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(cluster_readings(*incident()))


async def paste(pilot: Pilot[int], text: str) -> None:
    pilot.app.post_message(events.Paste(text))
    await pilot.pause()


async def test_all_lines_of_a_paste_are_in_the_note(cluster: Cluster, tmp_path: Path) -> None:
    async with open_cockpit(cluster, tmp_path) as pilot:
        await pilot.press("m", *"seen:")
        await paste(pilot, LINES)
        await pilot.press("enter")
        await until(pilot, lambda: screen(pilot).recorder.entries[-1].text == f"seen:{JOINED}")


@pytest.mark.parametrize(("keys", "kind"), [("m", NoteLine), ("l m", NoteInput)])
async def test_a_paste_that_is_too_long_is_cut_and_says_so(
    cluster: Cluster, tmp_path: Path, keys: str, kind: type[Input]
) -> None:
    async with open_cockpit(cluster, tmp_path) as pilot:
        await pilot.press(*keys.split(), "<")
        line = screen(pilot).query_one(kind)
        await paste(pilot, "x" * 520)
        await until(pilot, lambda: line.value == "<" + "x" * (NOTE_CHARS - 1))
        await until(pilot, lambda: "500 characters fit here, the last 21 pasted did not" in words(pilot))
        line.select_all()
        await paste(pilot, LINES)
        assert line.value == JOINED


async def test_words_on_several_lines_filter_together(cluster: Cluster, tmp_path: Path) -> None:
    async with open_cockpit(cluster, tmp_path) as pilot:
        await pilot.press("slash")
        await paste(pilot, "web-1\nns:shop\n")
        await until(pilot, lambda: screen(pilot).attention.wanted == Filter(("web-1",), "shop"))
        assert screen(pilot).query_one(FilterLine).value == "web-1 ns:shop"
        assert rows(pilot)["pods"] == 1


def words(pilot: Pilot[int]) -> str:
    return " ".join(screen_text(pilot).split())


@given(st.text())
def test_nothing_that_a_terminal_obeys_is_pasted(text: str) -> None:
    assert one_line(text, " / ") == harmless(one_line(text, " / "))
