"""A shared dependency died: many causes of one kind, and a dead node among them."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.build import node, pod
from tests.tui.cockpits import Cluster, cluster_readings, open_cockpit, screen_text, until
from tests.tui.test_cockpit import SECRET, screen
from widgets.causes import CausesPane
from widgets.evidence import EvidencePane
from widgets.pods import PodsPane


@pytest.fixture
async def pilot(tmp_path: Path) -> AsyncIterator[Pilot[int]]:
    apps = [
        pod(f"app-{n:02}", phase="Pending", ready=False, container_status={"state": SECRET}, node="n1")
        for n in range(30)
    ]
    dead = [{"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "runtime is down"}]
    cluster = Cluster(cluster_readings(node("n1"), node("gpu-07", conditions=dead), *apps))
    async with open_cockpit(cluster, tmp_path, size=(80, 24)) as running:
        yield running


def causes(pilot: Pilot[int]) -> CausesPane:
    return screen(pilot).query_one(CausesPane)


def first_lines(pilot: Pilot[int]) -> list[str]:
    return screen_text(pilot).splitlines()[4:10]


async def test_the_dead_node_stands_before_the_rest_of_the_family(pilot: Pilot[int]) -> None:
    shown = first_lines(pilot)
    assert any("gpu-07" in line for line in shown[:4])
    assert "+ 27 more" in shown[4]
    assert causes(pilot).table.row_count == 5


async def test_enter_opens_the_family_and_closes_it_and_each_of_its_causes_has_its_evidence(
    pilot: Pilot[int], tmp_path: Path
) -> None:
    await pilot.press("end")
    await until(pilot, lambda: "enter lists them" in screen_text(pilot))
    await pilot.press("c")
    await until(pilot, lambda: "stands for several causes" in " ".join(screen_text(pilot).split()))
    assert not (tmp_path / "last-command").exists()
    await pilot.press("enter")
    assert causes(pilot).table.row_count == 32
    await pilot.press("j", "j")
    card = screen(pilot).query_one(EvidencePane).card
    assert card.title.startswith("app-")
    assert card.commands
    before = causes(pilot).table.cursor_row
    await pilot.pause(0.2)
    assert causes(pilot).table.cursor_row == before
    assert causes(pilot).table.row_count == 32
    await pilot.press("k", "k", "enter")
    assert causes(pilot).table.row_count == 5
    assert causes(pilot).table.cursor_row == 4


async def test_the_filter_finds_a_cause_in_the_folded_family(pilot: Pilot[int]) -> None:
    await pilot.press("slash", *"app-23", "enter")
    assert causes(pilot).table.row_count == 1
    assert "app-23" in first_lines(pilot)[0]


async def test_a_focused_pod_brings_its_cause_out_of_the_folded_family_and_escape_puts_it_back(
    pilot: Pilot[int],
) -> None:
    screen(pilot).tab = 1
    await pilot.pause()
    screen(pilot).query_one(PodsPane).table.move_to(("shop", "app-23"))
    await pilot.press("enter")
    screen(pilot).tab = 0
    await pilot.pause()
    assert causes(pilot).table.row_count == 6
    assert any("app-23" in line for line in first_lines(pilot))
    assert causes(pilot).table.cursor_key == screen(pilot).attention.selection
    await pilot.press("escape")
    assert causes(pilot).table.row_count == 5
    assert "+ 27 more" in first_lines(pilot)[4]
