"""The GPU pane as a person uses it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from textual.pilot import Pilot

from situation.gpu.devices import GpuReading, Lack, NodeDevices
from situation.gpu.links import Component, NodeChain
from situation.meta import Ref
from situation.readings import Reading, SourceState
from tests.build import NOW, event, node, pod
from tests.gpu_chains import HandMadeFleet, crashing, device, fine, operand
from tests.tui.cockpits import Cluster, cluster_readings, open_cockpit, screen_text, until
from tests.tui.test_cockpit import incident, screen
from tests.tui.test_terminal_bytes import Recorder, leftovers
from tui.app import Cockpit
from tui.feed import Turn
from widgets.causes import CausesPane
from widgets.gpu import GpuPane, share
from widgets.gpu_drawing import detail
from widgets.nodes import NodesPane
from widgets.pods import PodsPane

CHAINS = (fine("gpu-1"), crashing("gpu-2"), fine("gpu-3"))


def operands(name: str) -> list[Ref]:
    return [ref for component in Component if (ref := operand(component, name)) is not None]


@asynccontextmanager
async def cockpit_with(
    tmp_path: Path,
    *chains: NodeChain,
    size: tuple[int, int] = (160, 50),
    devices: int = 2,
    driver: type[Recorder] | None = None,
) -> AsyncIterator[Pilot[int]]:
    """A cockpit whose fleet has just these chains; on the second node there are `devices`."""
    names = [chain.node for chain in chains]
    pods = [pod(ref.name, namespace=ref.namespace, node=name) for name in names[:3] for ref in operands(name)]
    pods.append(pod("llama-0", namespace="inference", node="gpu-2"))
    back_off = event("Pod/nvidia-driver-gpu-2", "BackOff", "back-off restarting", namespace="gpu-operator")
    readings = cluster_readings(*incident(), *map(node, names), *pods, back_off)
    if devices:
        others = (device(number, holders=()) for number in range(1, devices))
        read = NodeDevices("gpu-2", (device(0), *others), "dcgm", "570.86.15", NOW)
        readings.append(Reading("gpu/dcgm", SourceState.LIVE, NOW, GpuReading((read,))))
    async with open_cockpit(Cluster(readings), tmp_path, size=size, driver=driver) as pilot:
        app = pilot.app
        assert isinstance(app, Cockpit)
        app.feed.fleet = HandMadeFleet(*chains)  # type: ignore[assignment]
        app.cockpit.paint(None)
        await pilot.pause()
        yield pilot


@pytest.fixture
async def pilot(tmp_path: Path) -> AsyncIterator[Pilot[int]]:
    async with cockpit_with(tmp_path, *CHAINS) as running:
        yield running


def pane(pilot: Pilot[int]) -> GpuPane:
    return screen(pilot).query_one(GpuPane)


def pods_shown(pilot: Pilot[int]) -> int:
    return screen(pilot).query_one(PodsPane).table.row_count


async def test_the_worst_node_is_shown_with_its_break_and_its_devices(pilot: Pilot[int]) -> None:
    text = screen_text(pilot)
    assert "GPU · gpu-2 · the worst · 1 of 3 nodes broken" in text
    assert "▲ driver ┄" in text
    assert "crashes, exit 1 ×4" in text
    assert "7 wait for it" in text
    assert " 2 devices · dcgm live 0s" in text
    assert "inference/llama-0" in text


async def test_g_goes_to_the_fleet_then_the_chain_then_the_devices(pilot: Pilot[int]) -> None:
    shown = pane(pilot)
    for part in (shown.fleet, shown.chain, shown.devices.table, shown.fleet):
        await pilot.press("g")
        assert part.has_focus


async def test_who_goes_there_reads_what_a_quarter_of_the_screen_cuts(tmp_path: Path) -> None:
    async with cockpit_with(tmp_path, *CHAINS, devices=8) as pilot:
        await until(pilot, lambda: "8 devices, " in screen_text(pilot))
        table = pane(pilot).devices.table
        shown = len(table.visible_keys)
        assert f"8 devices, {shown} in view" in screen_text(pilot)
        await pilot.press("g")
        await until(pilot, lambda: len(table.visible_keys) == 8 and "8 devices · dcgm" in screen_text(pilot))
        assert pane(pilot).chain.size.height == pane(pilot).chain.whole_line_count
        screen(pilot).query_one(CausesPane).table.focus()
        await until(pilot, lambda: f"8 devices, {shown} in view" in screen_text(pilot))


async def test_moving_in_the_fleet_shows_that_nodes_chain_and_leaving_it_the_worst_again(pilot: Pilot[int]) -> None:
    await pilot.press("g", "j")
    await until(pilot, lambda: "GPU · gpu-1 · under the cursor" in screen_text(pilot))
    assert "▲ driver" not in screen_text(pilot)
    screen(pilot).query_one(CausesPane).table.focus()
    await pilot.pause()
    screen(pilot).paint(None)
    await pilot.pause()
    assert "GPU · gpu-2 · the worst" in screen_text(pilot)
    assert pane(pilot).fleet.cursor_key == "gpu-2"


async def test_enter_in_the_fleet_focuses_the_node_everywhere(pilot: Pilot[int]) -> None:
    await pilot.press("g", "j", "enter")
    await until(pilot, lambda: screen(pilot).attention.focus.ref == Ref("Node", "", "gpu-1"))
    assert pods_shown(pilot) == len(operands("gpu-1"))
    assert pane(pilot).fleet.row_count == 3
    await pilot.press("escape")
    assert screen(pilot).attention.focus.is_cluster


async def test_a_node_focused_elsewhere_shows_its_chain(pilot: Pilot[int]) -> None:
    table = screen(pilot).query_one(NodesPane).table
    table.focus()
    table.move_to("gpu-3")
    await pilot.press("enter")
    await until(pilot, lambda: "GPU · gpu-3 · focused" in screen_text(pilot))
    assert pane(pilot).fleet.cursor_key == "gpu-3"


async def test_a_pod_shows_the_chain_of_its_node(pilot: Pilot[int]) -> None:
    table = screen(pilot).query_one(PodsPane).table
    table.focus()
    table.move_to(("gpu-operator", "nvidia-gfd-gpu-3"))
    await pilot.press("enter")
    await until(pilot, lambda: "GPU · gpu-3 · of pod nvidia-gfd-gpu-3" in screen_text(pilot))


async def test_enter_on_a_link_shows_its_pod_and_events_and_escape_goes_back(pilot: Pilot[int]) -> None:
    pane(pilot).chain.focus()
    await pilot.press("enter")
    await until(pilot, lambda: pods_shown(pilot) == 1)
    text = screen_text(pilot)
    assert "driver on gpu-2" in text
    assert "back-off restarting" in text
    assert "Pod nvidia-driver-gpu-2" in text
    await pilot.press("right", "enter")
    await until(pilot, lambda: "toolkit on gpu-2" in screen_text(pilot))
    await pilot.press("escape")
    await until(pilot, lambda: "driver on gpu-2" in screen_text(pilot))


async def test_a_click_on_a_link_focuses_it(pilot: Pilot[int]) -> None:
    line = screen_text(pilot).splitlines()[pane(pilot).chain.region.y]
    await pilot.click("#gpu-chain", offset=(line.index("◌ validator") + 3, 0))
    await until(pilot, lambda: "validator on gpu-2" in screen_text(pilot))


async def test_enter_on_a_device_focuses_the_pod_that_holds_it(pilot: Pilot[int]) -> None:
    pane(pilot).devices.table.focus()
    await pilot.press("j", "enter")
    await pilot.pause()
    assert screen(pilot).attention.focus.is_cluster  # nobody is known to hold that one
    await pilot.press("k", "enter")
    await until(pilot, lambda: screen(pilot).attention.focus.ref == Ref("Pod", "inference", "llama-0"))
    assert "GPU · gpu-2 · of pod llama-0" in screen_text(pilot)


async def test_causes_pods_and_events_keep_their_room(tmp_path: Path) -> None:
    for size in ((160, 50), (110, 34), (250, 80)):
        async with cockpit_with(tmp_path, *CHAINS, size=size) as pilot:
            cockpit, shown = screen(pilot), pane(pilot)
            await pilot.pause()
            assert shown.size.height <= max(9, size[1] // 4)
            assert cockpit.query_one("#top").size.height >= 8
            assert cockpit.query_one(NodesPane).size.height >= 4
            assert cockpit.query_one(PodsPane).size.height >= shown.size.height
            assert shown.fleet.size.height >= 2
            assert shown.devices.size.height >= 1


async def test_without_gpu_nodes_there_is_no_pane_and_g_says_why(tmp_path: Path) -> None:
    async with open_cockpit(Cluster(cluster_readings(*incident())), tmp_path) as pilot:
        assert not pane(pilot).display
        assert "GPU · " not in screen_text(pilot)
        await pilot.press("g")
        await until(pilot, lambda: "No node of this cluster has GPUs" in screen_text(pilot))
    async with open_cockpit(Cluster(cluster_readings(*incident())), tmp_path, size=(80, 24)) as pilot:
        assert "GPU  " not in screen_text(pilot).splitlines()[2]


async def test_on_80x24_it_is_a_tab(tmp_path: Path) -> None:
    async with cockpit_with(tmp_path, *CHAINS, size=(80, 24)) as pilot:
        assert "Events   GPU" in screen_text(pilot)
        assert not pane(pilot).region.height
        await pilot.press("g")
        await pilot.pause()
        text = screen_text(pilot)
        assert "▸GPU" in text
        assert "▲ driver ┄" in text
        assert "└ ◌ exporter waits" in text
        assert "inference/llama-0" in text
        assert pane(pilot).fleet.has_focus
        await pilot.press("enter")
        await pilot.pause()
        text = screen_text(pilot)
        assert "Evidence and next command" in text
        assert "▲ driver" in text
        await pilot.press("escape", "tab")
        await pilot.pause()
        assert "▸Causes" in screen_text(pilot)


async def test_the_tab_goes_when_the_last_gpu_node_goes(tmp_path: Path) -> None:
    async with cockpit_with(tmp_path, *CHAINS, size=(80, 24)) as pilot:
        await pilot.press("g")
        app = pilot.app
        assert isinstance(app, Cockpit)
        app.feed.fleet = HandMadeFleet()  # type: ignore[assignment]
        app.cockpit.paint(None)
        await pilot.pause()
        assert "GPU  " not in screen_text(pilot).splitlines()[2]
        assert "search cannot pull" in screen_text(pilot) or "search-1" in screen_text(pilot)


async def test_a_thousand_nodes_are_a_scroll_away(tmp_path: Path) -> None:
    names = [f"gpu-{number:04}" for number in range(1000)]
    made = [crashing(name) if name == "gpu-0777" else fine(name) for name in names]
    async with cockpit_with(tmp_path, *made, devices=0) as pilot:
        fleet = pane(pilot).fleet
        assert fleet.row_count == 1000
        assert "GPU · gpu-0777 · the worst · 1 of 1000 nodes broken" in screen_text(pilot)
        await pilot.press("g", "end")
        await until(pilot, lambda: "GPU · gpu-0999 · under the cursor" in screen_text(pilot))
        await pilot.press("home", "pagedown")
        assert 0 < fleet.cursor_row < 10
        await pilot.press("slash", *"0123", "enter")
        await until(pilot, lambda: fleet.row_count == 1)


async def test_the_pane_tells_age_and_state_of_what_the_chains_are_made_of(tmp_path: Path) -> None:
    async with cockpit_with(tmp_path, *CHAINS) as pilot:
        app = pilot.app
        assert isinstance(app, Cockpit)
        app.feed.publish(Reading("kubernetes/daemonsets", SourceState.FORBIDDEN, NOW, error="cannot list"))
        app.feed.turn()
        app.cockpit.paint(None)
        await pilot.pause()
        (title,) = (line for line in screen_text(pilot).splitlines() if "GPU · gpu-2" in line)
        assert "forbidden" in title


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_nothing_is_sent_while_nothing_changes(tmp_path: Path, size: tuple[int, int]) -> None:
    async with cockpit_with(tmp_path, *CHAINS, size=size, driver=Recorder) as pilot:
        await pilot.press("g")
        await pilot.pause(0.3)
        app = pilot.app
        assert isinstance(app, Cockpit)
        painter, shown = app.cockpit.painter, pane(pilot)
        painter.gpu(shown, painter.relation(), None, NOW)
        await pilot.pause(0.1)
        Recorder.written.clear()
        for number in range(5):
            turn = Turn(app.feed.diagnosis, frozenset(), frozenset(), False)
            painter.gpu(shown, painter.relation(), turn, NOW + timedelta(seconds=0.9 * number))
            await pilot.pause()
        assert not any(leftovers(text).strip() for text in Recorder.written)


@pytest.mark.parametrize(
    ("room", "parts", "beside", "shared"),
    [
        (11, (5, 9, 10), True, (5, 5, 6)),
        (11, (5, 3, 1), True, (10, 10, 1)),
        (19, (5, 900, 10), True, (9, 9, 10)),
        (11, (6, 3, 10), False, (6, 2, 3)),
        (9, (6, 3, 10), False, (6, 2, 1)),
        (10, (8, 4, 10), True, (9, 9, 1)),
        (8, (5, 4, 1), False, (5, 2, 1)),
        (19, (7, 900, 10), False, (7, 7, 5)),
        (19, (7, 4, 3), False, (7, 9, 3)),
        (6, (11, 4, 3), False, (6, 0, 0)),
        (0, (5, 4, 3), False, (0, 0, 0)),
    ],
)
def test_the_lines_are_shared(
    room: int, parts: tuple[int, int, int], beside: bool, shared: tuple[int, int, int]
) -> None:
    given = share(room, *parts, beside=beside)
    assert (given.chain, given.fleet, given.devices) == shared


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("fleet", [0, 3, 4, 20])
def test_the_header_of_the_devices_never_stands_alone(fleet: int, beside: bool) -> None:
    for room in range(1, 40):
        given = share(room, 6, fleet, 10, beside=beside)
        assert given.devices != 2
        used = given.chain + given.devices + (0 if beside else given.fleet)
        assert used <= room
        assert given.chain >= min(6, room)


async def test_on_the_smallest_terminal_the_words_about_a_link_and_about_the_devices_stand_whole(
    tmp_path: Path,
) -> None:
    why = "not asked until its exporter is Ready: Init:0/1 (gpu-operator/nvidia-dcgm-exporter-rfzqx)"
    async with cockpit_with(tmp_path, crashing("gpu-2"), size=(80, 24), devices=0) as pilot:
        app = pilot.app
        assert isinstance(app, Cockpit)
        read = NodeDevices("gpu-2", origin="dcgm", error=why, lack=Lack.WAITS)
        app.feed.situation.apply(Reading("gpu/dcgm", SourceState.LIVE, NOW, GpuReading((read,))))
        await pilot.press("g")
        app.cockpit.paint(None)
        await until(pilot, lambda: "rfzqx)" in screen_text(pilot))
        words = " ".join(screen_text(pilot).split())
        assert why in words
        chain = crashing("gpu-2")
        assert chain.broken is not None
        told = detail(chain.broken, chain)
        assert told in words
        assert len(told) > 78, "or it proves nothing"


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_of_a_single_node_there_is_no_fleet_and_the_chain_has_its_room(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    async with cockpit_with(tmp_path, crashing("gpu-2"), size=size) as pilot:
        await pilot.press("g")
        await pilot.pause()
        assert "the only GPU node" in screen_text(pilot)
        assert "drv" not in screen_text(pilot)
        assert pane(pilot).chain.has_focus
        if size == (160, 50):
            assert "◌ validator ┬ ◌ plugin" in screen_text(pilot)


async def test_the_checklist_answers_from_the_chains_that_the_pane_shows(tmp_path: Path) -> None:
    async with cockpit_with(tmp_path, *CHAINS) as pilot:
        await pilot.press("l", "p", *"the chain on a node", "enter")
        await until(pilot, lambda: "✗ 5 Is the driver loaded?" in screen_text(pilot))
