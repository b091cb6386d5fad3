"""Tabs: evidence and next command stand below the table as long as something is focused."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.pilot import Pilot

from tests.build import event, node, pod
from tests.tui.cockpits import Cluster, cluster_readings, open_cockpit, screen_text, until
from tests.tui.test_cockpit import incident, screen
from tests.tui.test_terminal_bytes import Recorder, leftovers
from tui.app import Cockpit
from tui.feed import Turn
from tui.room import evidence_lines
from widgets.causes import CausesPane
from widgets.evidence import EvidencePane
from widgets.nodes import NodesPane
from widgets.pods import PodsPane

SIZES = [(80, 24), (60, 15), (160, 24), (100, 30)]


@pytest.fixture
async def pilot(tmp_path: Path) -> AsyncIterator[Pilot[int]]:
    async with open_cockpit(Cluster(cluster_readings(*incident())), tmp_path, size=(80, 24)) as running:
        yield running


async def to_tab(pilot: Pilot[int], number: int) -> None:
    screen(pilot).tab = number
    await pilot.pause()


@pytest.mark.parametrize("number", [1, 2, 3], ids=["pods", "nodes", "events"])
async def test_enter_shows_the_evidence_and_the_whole_command_below_and_escape_gives_the_room_back(
    pilot: Pilot[int], number: int
) -> None:
    await to_tab(pilot, number)
    assert "Evidence" not in screen_text(pilot)
    await pilot.press("enter")
    await pilot.pause()
    lines = screen_text(pilot).splitlines()
    (title,) = (n for n, line in enumerate(lines) if "Evidence and next command" in line)
    command = next(
        n for n, line in enumerate(lines) if "kubectl --context prod-h100" in line and "next" in lines[n - 1]
    )
    assert title < command
    assert lines[3].startswith("─▸ ")
    assert lines[-1].startswith("c Copy")
    await pilot.press("escape")
    await pilot.pause()
    assert "Evidence" not in screen_text(pilot)


def _stands(line: str, pilot: Pilot[int]) -> bool:
    return line in " ".join(screen_text(pilot).replace(" \\", " ").split())


@pytest.mark.parametrize("size", SIZES)
async def test_the_command_is_whole_and_rows_stay_at_any_size(tmp_path: Path, size: tuple[int, int]) -> None:
    crowd = [pod(f"crowd-{n:03}", node="n1") for n in range(120)]
    async with open_cockpit(Cluster(cluster_readings(node("n1"), *crowd)), tmp_path, size=size) as pilot:
        await to_tab(pilot, 2)
        await pilot.press("enter")
        await to_tab(pilot, 1)
        cockpit = screen(pilot)
        await until(pilot, lambda: cockpit.query_one(PodsPane).size.height < cockpit.query_one("#panes").size.height)
        assert cockpit.query_one(PodsPane).table.size.height >= 3
        assert "crowd-001" in screen_text(pilot)
        pane = cockpit.query_one(EvidencePane)
        for command in pane.card.commands[:1]:
            await until(pilot, partial(_stands, command.line, pilot))
        assert cockpit.query_one(EvidencePane.Body).size.height > pane.command_lines


async def test_what_does_not_fit_is_counted_and_scrolls_by_key(tmp_path: Path) -> None:
    events = [event("Pod/web-1", f"Reason{n}", "a message", age_s=n) for n in range(9)]
    cluster = Cluster(cluster_readings(node("n1"), pod("web-1", node="n1"), *events))
    async with open_cockpit(cluster, tmp_path, size=(80, 18)) as pilot:
        await to_tab(pilot, 1)
        await pilot.press("enter")
        await pilot.pause()
        assert "more, J and K scroll" in screen_text(pilot)
        first = screen_text(pilot)
        await pilot.press("J")
        await pilot.pause()
        assert "↑ 1" in screen_text(pilot)
        await pilot.press("K", "K")
        await pilot.pause()
        assert screen_text(pilot) == first


async def test_a_command_that_is_cut_on_the_screen_is_copied_whole_and_says_so(tmp_path: Path) -> None:
    """What must stand on the screen is which command it is, not each of its lines."""
    name = "a-very-long-name-" * 13
    crashing = pod(name, ready=False, container_status={"restartCount": 9, "state": {"waiting": {
        "reason": "CrashLoopBackOff"}}, "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}}})  # fmt: skip
    async with open_cockpit(Cluster(cluster_readings(node(), crashing)), tmp_path, size=(40, 12)) as pilot:
        await pilot.pause()
        assert "c copies it whole" in " ".join(screen_text(pilot).split())
        command = screen(pilot).query_one(EvidencePane).card.commands[0].line
        assert name not in screen_text(pilot).replace("\n", "")
        await pilot.press("c")
        await until(pilot, (tmp_path / "last-command").exists)
    assert (tmp_path / "last-command").read_text().strip() == command.strip()


async def test_where_causes_are_few_their_lines_show_more_of_the_proof(tmp_path: Path) -> None:
    down = node("n1", ready="False")
    crowd = [pod(f"lost-{n}", node="n1", ready=False, labels={"app": f"lost-{n}"}) for n in range(30)]
    async with open_cockpit(Cluster(cluster_readings(down, *crowd)), tmp_path, size=(80, 24)) as pilot:
        cockpit = screen(pilot)
        causes, evidence = cockpit.query_one(CausesPane), cockpit.query_one(EvidencePane)
        await until(pilot, lambda: 0 < causes.size.height == causes.table.row_count + 1 < 8)
        assert evidence.line_count > evidence.size.height == 20 - causes.size.height
        await pilot.resize_terminal(160, 50)
        await until(pilot, lambda: evidence.styles.inline.height is None)


async def test_c_copies_nothing_that_is_not_on_the_screen(pilot: Pilot[int], tmp_path: Path) -> None:
    await to_tab(pilot, 1)
    await pilot.press("c")
    await until(pilot, lambda: "No command is shown here" in " ".join(screen_text(pilot).split()))
    assert not (tmp_path / "last-command").exists()
    screen(pilot).query_one(PodsPane).table.move_to(("shop", "web-1"))
    await pilot.press("enter", "c")
    await until(pilot, (tmp_path / "last-command").exists)
    assert "describe pod web-1" in (tmp_path / "last-command").read_text()


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_nothing_is_sent_while_nothing_changes(tmp_path: Path, size: tuple[int, int]) -> None:
    cluster = Cluster(cluster_readings(*incident()))
    async with open_cockpit(cluster, tmp_path, size=size, driver=Recorder) as pilot:
        await to_tab(pilot, 1)
        await pilot.press("enter")
        await pilot.pause(0.3)
        app = pilot.app
        assert isinstance(app, Cockpit)
        Recorder.written.clear()
        for _ in range(5):
            app.cockpit.paint(Turn(app.feed.diagnosis, frozenset(), frozenset(), False))
            await pilot.pause()
        assert not any(leftovers(text).strip() for text in Recorder.written)


async def test_a_wide_terminal_after_a_small_one_has_its_own_layout_again(pilot: Pilot[int]) -> None:
    await to_tab(pilot, 1)
    await pilot.press("enter")
    await pilot.resize_terminal(160, 50)
    await pilot.pause()
    cockpit = screen(pilot)
    await until(pilot, lambda: not cockpit.query_one("#panes").has_class("-evidence-below"))
    await pilot.pause()
    pods, evidence = cockpit.query_one(PodsPane).region, cockpit.query_one(EvidencePane).region
    assert evidence.y < cockpit.query_one(NodesPane).region.y < pods.y
    assert evidence.x > 0


lines = st.integers(0, 60)


@given(room=st.integers(0, 60), table=lines, evidence=lines, command=st.integers(0, 8))
def test_the_lines_are_shared(room: int, table: int, evidence: int, command: int) -> None:
    evidence = max(evidence, 2 + command)
    given_ = evidence_lines(room, table, evidence, command)
    assert given_ <= room
    assert given_ >= min(2 + command, room)
    assert given_ <= max(evidence, 4 + command)
    if given_ > 4 + command:
        assert room - given_ >= min(table, room // 2)


def test_a_table_of_one_row_leaves_the_room_to_the_evidence_and_a_long_one_takes_half() -> None:
    assert evidence_lines(20, 3, 14, 3) == 14
    assert evidence_lines(20, 3, 40, 3) == 17
    assert evidence_lines(20, 50, 40, 3) == 10
    assert evidence_lines(20, 50, 6, 2) == 6
    assert evidence_lines(11, 50, 40, 3) == 7
    assert evidence_lines(11, 50, 40, 6) == 8
    assert evidence_lines(20, 8, 40, 3, facts=7) == 12
    assert evidence_lines(20, 8, 40, 7, facts=7) == 15, "a long command does not take the place of the proof"
    assert evidence_lines(20, 8, 9, 3, facts=7) == 9
