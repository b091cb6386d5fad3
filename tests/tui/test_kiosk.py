"""A kiosk that was left alone: whatever was opened, the next person sees the whole cluster."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from textual import events
from textual.pilot import Pilot

from tests.build import NOW
from tests.tui.cockpits import Cluster, cluster_readings, open_cockpit, screen_text, until
from tests.tui.test_cockpit import incident, screen
from tui.filter_line import FilterLine
from tui.kiosk import Idleness
from tui.note_line import NoteLine
from widgets.causes import CausesPane
from widgets.checklist import ChecklistPane, NoteInput
from widgets.timeline import TimelinePane


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(cluster_readings(*incident()))


@asynccontextmanager
async def kiosk(
    cluster: Cluster, home: Path, size: tuple[int, int]
) -> AsyncIterator[tuple[Pilot[int], list[datetime]]]:
    """A kiosk, and the time that it takes for now."""
    now = [NOW]
    async with open_cockpit(cluster, home, clock=lambda: now[0], kiosk=True, size=size) as pilot:
        yield pilot, now


def is_as_in_the_beginning(pilot: Pilot[int]) -> bool:
    app, cockpit = pilot.app, screen(pilot)
    opened = (FilterLine, NoteLine, ChecklistPane, TimelinePane)
    return (
        app.screen is cockpit
        and cockpit.attention.focus.is_cluster
        and cockpit.attention.wanted.is_empty
        and not any(cockpit.query_one(kind).display for kind in opened)
        and cockpit.tab == 0
        and app.focused is cockpit.query_one(CausesPane).table
    )


@pytest.mark.parametrize("size", [(160, 50), (80, 24)])
@pytest.mark.parametrize(
    "keys",
    [
        "1",
        "tab tab",
        "question_mark",
        "ctrl+p",
        "C",
        "slash w e b",
        "slash w enter",
        "l",
        "l m x",
        "l p",
        "t",
        "m x",
        "j enter t slash w enter question_mark",
    ],
)
async def test_a_kiosk_that_is_left_alone_returns_to_the_whole_cluster(
    cluster: Cluster, tmp_path: Path, keys: str, size: tuple[int, int]
) -> None:
    async with kiosk(cluster, tmp_path, size) as (pilot, now):
        await pilot.press(*keys.split())
        await until(pilot, lambda: not is_as_in_the_beginning(pilot))
        now[0] += timedelta(seconds=90)
        await until(pilot, lambda: is_as_in_the_beginning(pilot))
        await until(pilot, lambda: "search cannot pull" in screen_text(pilot))  # painted after that
        await pilot.press("tab")  # somebody is there again
        await until(pilot, lambda: not is_as_in_the_beginning(pilot))


async def test_who_writes_a_note_is_there_and_what_was_left_of_it_is_kept(cluster: Cluster, tmp_path: Path) -> None:
    async with kiosk(cluster, tmp_path, (160, 50)) as (pilot, now):
        line = screen(pilot).query_one(NoteLine)
        await pilot.press("m")
        for letter in "abc":
            await pilot.press(letter)
            now[0] += timedelta(seconds=50)
            await pilot.pause(0.3)  # several turns
        assert line.display and line.value == "abc"
        now[0] += timedelta(seconds=50)
        await until(pilot, lambda: is_as_in_the_beginning(pilot))
        await pilot.press("m", "d")
        assert line.value == "abcd"
        await pilot.press("escape", "l", "m", "x")
        now[0] += timedelta(seconds=90)
        await until(pilot, lambda: is_as_in_the_beginning(pilot))
        await pilot.press("l", "m")
        await until(pilot, lambda: screen(pilot).query_one(NoteInput).value == "x")


def test_it_is_left_alone_once_for_each_time_that_somebody_was_there() -> None:
    idleness, later, last = Idleness(NOW), NOW + timedelta(seconds=61), NOW + timedelta(seconds=122)
    assert not idleness.was_left(NOW + timedelta(seconds=60))
    assert idleness.was_left(later) and not idleness.was_left(later)
    idleness.note(events.AppFocus(), later)  # what nobody did
    assert not idleness.was_left(last)
    idleness.note(events.Key("j", "j"), later)
    assert idleness.was_left(last)
