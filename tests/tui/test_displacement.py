"""Keys that act on what stands there: held up where it came by itself just now, not where the person asked for it."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from textual.pilot import Pilot

from situation.focus import Focus
from situation.meta import Ref
from situation.readings import Changed, Reading, SourceState
from tests.build import NOW, ago, made, node, pod
from tests.diagnosis.unscheduled import waiting
from tests.tui.cockpits import Cluster, cluster_readings, open_cockpit, screen_text, until
from tui.app import Cockpit
from tui.cadence import SLOW_PANES_EVERY_S
from tui.cockpit_screen import CockpitScreen
from widgets import displacement
from widgets.causes import CausesPane
from widgets.evidence import EvidencePane
from widgets.pods import PodsPane
from widgets.table import RowTable

PULL = {"waiting": {"reason": "ImagePullBackOff", "message": "manifest unknown: not found"}}
DOWN = [{"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": "container runtime is down",
         "lastTransitionTime": ago(600)}]  # fmt: skip
REFUSED = "took this place just now"


@pytest.fixture
def cluster() -> Cluster:
    """An image that cannot be pulled (layer 1), a node that is down (layer 5), and a pod that is well."""
    down = node("n2")
    down["status"]["conditions"] = DOWN
    return Cluster(
        cluster_readings(
            node("n1"),
            down,
            pod("search-1", node="n1", phase="Pending", ready=False, container_status={"state": PULL}),
            pod("lost-1", node="n2"),
            pod("web-1", node="n1"),
            pod("till-1", namespace="pay", node="n1"),
        )
    )


@pytest.fixture
def now() -> list[datetime]:
    """The time, to be moved."""
    return [NOW]


@pytest.fixture
async def pilot(
    cluster: Cluster, tmp_path: Path, now: list[datetime], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Pilot[int]]:
    """The cockpit with the cursor on the pod that is well; time stands still between two keys."""
    monkeypatch.setattr(displacement, "monotonic", lambda: now[0].timestamp())
    async with open_cockpit(cluster, tmp_path, clock=lambda: now[0]) as running:
        table = pods(running)
        table.focus()
        assert table.move_to(("shop", "web-1"))
        await running.pause()
        yield running


def screen(pilot: Pilot[int]) -> CockpitScreen:
    app = pilot.app
    assert isinstance(app, Cockpit)
    return app.cockpit


def pods(pilot: Pilot[int]) -> RowTable[tuple[str, str]]:
    return screen(pilot).query_one(PodsPane).table


async def lose(pilot: Pilot[int], cluster: Cluster, now: list[datetime]) -> None:
    """The pod under the cursor goes, and its row with it."""
    cluster.publish(Reading("kubernetes/pods", SourceState.LIVE, NOW, Changed("pods", (), (("shop", "web-1"),))))
    now[0] += timedelta(seconds=SLOW_PANES_EVERY_S * 2)
    await until(pilot, lambda: pods(pilot).row_count == 3)


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (["1"], "search-1"),
        (["5"], "lost-1"),
        (["1", "5", "escape"], "search-1"),
    ],
    ids=["layer", "another layer", "back"],
)
async def test_enter_is_meant_for_the_row_that_came_because_of_the_key_before(
    pilot: Pilot[int], keys: list[str], name: str
) -> None:
    await pilot.press(*keys)
    assert pods(pilot).has_focus
    assert pods(pilot).cursor_key == ("shop", name)
    await pilot.press("enter")
    await pilot.pause()
    assert screen(pilot).attention.focus == Focus(ref=Ref("Pod", "shop", name))
    assert REFUSED not in screen_text(pilot)


async def test_enter_is_meant_for_the_row_that_the_filter_left(pilot: Pilot[int]) -> None:
    screen(pilot).filter_namespace("pay")
    assert pods(pilot).cursor_key == ("pay", "till-1")
    await pilot.press("enter")
    await pilot.pause()
    assert screen(pilot).attention.focus == Focus(ref=Ref("Pod", "pay", "till-1"))


@pytest.mark.parametrize(
    "keys",
    [["slash", *"search", "enter"], ["slash", *"search", "escape"], ["slash", *"search", "enter", "escape"]],
    ids=["kept", "dropped", "cleared"],
)
@pytest.mark.parametrize("key", ["enter", "c"])
async def test_a_filter_holds_nothing_up(pilot: Pilot[int], keys: list[str], key: str) -> None:
    await pilot.press(*keys)
    assert screen(pilot).query_one(CausesPane).table.has_focus
    await pilot.press(key)
    await pilot.pause()
    assert REFUSED not in screen_text(pilot)
    assert (screen(pilot).attention.focus.cause != "") is (key == "enter")


async def test_enter_is_held_up_where_the_row_went_by_itself(
    pilot: Pilot[int], cluster: Cluster, now: list[datetime]
) -> None:
    await lose(pilot, cluster, now)
    await pilot.press("enter")
    await until(pilot, lambda: REFUSED in screen_text(pilot))
    assert screen(pilot).attention.focus.is_cluster


async def test_a_row_that_went_by_itself_is_not_forgotten_for_a_key_that_repaints(
    pilot: Pilot[int], cluster: Cluster, now: list[datetime]
) -> None:
    await lose(pilot, cluster, now)
    await pilot.press("1", "enter")
    await until(pilot, lambda: REFUSED in screen_text(pilot))
    assert screen(pilot).attention.focus.ref is None


async def test_c_is_meant_for_the_cause_to_which_somebody_went_back(
    pilot: Pilot[int], cluster: Cluster, now: list[datetime], tmp_path: Path
) -> None:
    await pilot.press("2")
    unplaced = made(waiting("0/2 nodes are available: 2 Insufficient cpu.", name="big-1"))
    cluster.publish(Reading("kubernetes/pods", SourceState.LIVE, NOW, Changed("pods", (unplaced,))))
    await until(pilot, lambda: "big-1" in screen(pilot).query_one(EvidencePane).card.title)
    now[0] += timedelta(seconds=displacement.MEANT_S)
    await pilot.press("escape", "c")
    await until(pilot, (tmp_path / "last-command").exists)
    assert "node n2" in (tmp_path / "last-command").read_text()
