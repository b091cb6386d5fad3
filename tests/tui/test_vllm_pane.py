"""The pane of model servers as a person uses it."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot

from situation.meta import Ref
from situation.readings import Reading, SourceState
from tests.build import NOW, Manifest, node
from tests.control_plane import Told, healthy_control_plane
from tests.gpu_chains import HandMadeFleet, crashing, fine
from tests.model_servers import SOURCE, deployment, overloaded, quiet, stalled, vllm_pod
from tests.tui.cockpits import Cluster, cluster_readings, open_cockpit, screen_text, until
from tests.tui.test_cockpit import incident, screen
from tests.tui.test_terminal_bytes import Recorder, leftovers
from tui.app import Cockpit
from tui.feed import Turn
from tui.middle_row import ETCD, GPU, VLLM
from widgets.events import EventsPane
from widgets.nodes import NodesPane
from widgets.pods import PodsPane
from widgets.vllm import VllmPane

BUSY, CALM = "llama-8b-7d9f8b6c5-0xvka", "llama-8b-7d9f8b6c5-p2m4b"
SERVER = Ref("ModelServer", "inference", BUSY)


def objects() -> list[Manifest]:
    return [
        *incident(),
        node("gpu-1"),
        node("gpu-2"),
        *deployment("llama-8b", 2, 2),
        vllm_pod(BUSY, "llama-8b", node="gpu-1"),
        vllm_pod(CALM, "llama-8b", node="gpu-2"),
        *deployment("mixtral", 1, 1),
        vllm_pod("mixtral-7d9f8b6c5-hh7x2", "mixtral", node="gpu-2", model="mixtral"),
    ]


def said_by_all() -> list[Reading]:
    told = [*overloaded(BUSY), *quiet(CALM), *stalled("mixtral-7d9f8b6c5-hh7x2", "mixtral")]
    return sorted(told, key=lambda reading: reading.observed_at)


@asynccontextmanager
async def cockpit_with(
    tmp_path: Path,
    *,
    manifests: Iterable[Manifest] | None = None,
    readings: Iterable[Reading] | None = None,
    size: tuple[int, int] = (160, 50),
    gpus: bool = False,
    driver: type[Recorder] | None = None,
) -> AsyncIterator[Pilot[int]]:
    told = cluster_readings(*(objects() if manifests is None else manifests))
    told += said_by_all() if readings is None else readings
    async with open_cockpit(Cluster(told), tmp_path, size=size, driver=driver) as pilot:
        app = pilot.app
        assert isinstance(app, Cockpit)
        if gpus:
            app.feed.fleet = HandMadeFleet(fine("gpu-1"), crashing("gpu-2"))  # type: ignore[assignment]
        for _ in range(2):
            app.cockpit.paint(None)
            await pilot.pause()
        yield pilot


@pytest.fixture
async def pilot(tmp_path: Path) -> AsyncIterator[Pilot[int]]:
    async with cockpit_with(tmp_path) as running:
        yield running


def pane(pilot: Pilot[int]) -> VllmPane:
    return screen(pilot).query_one(VllmPane)


async def tell_more(pilot: Pilot[int], *readings: Reading) -> None:
    app = pilot.app
    assert isinstance(app, Cockpit)
    for reading in readings:
        app.feed.publish(reading)
    app.feed.turn()
    app.cockpit.paint(None)
    await pilot.pause()


async def test_models_servers_and_the_worst_in_full_stand_on_the_screen_and_v_goes_through_them(
    pilot: Pilot[int],
) -> None:
    text = screen_text(pilot)
    assert "vLLM · 2 models, 3 servers · 1 stalled" in text
    for words in ("mixtral", "▲ stalled", "llama-8b", "● 272", "▲ 96", "▲ 97%", "├ …0xvka", "└ …p2m4b"):
        assert words in text
    assert "8 run and 0 wait, and nothing has moved since" in text
    assert "8 of 256" in text
    await pilot.press("v")
    assert pane(pilot).table.has_focus
    assert pane(pilot).table.cursor_key.model == "mixtral"
    await pilot.press("v")
    assert pane(pilot).table.cursor_key.model == "llama-8b"
    await until(pilot, lambda: "the worst of 2" in screen_text(pilot))
    assert "queue grows by 12/min, doubles in 8m" in screen_text(pilot)
    await pilot.press("v")
    assert pane(pilot).table.cursor_key.model == "mixtral"


async def test_enter_on_a_server_relates_everything_to_it_and_escape_goes_back(pilot: Pilot[int]) -> None:
    await pilot.press("v", "v", "j", "enter")
    await until(pilot, lambda: screen(pilot).attention.focus.ref == SERVER)
    text = screen_text(pilot)
    assert "├ ▸…0xvka" in text
    assert "model server llama-8b-7d9f8b6c5-0xvka" in text
    assert screen(pilot).query_one(PodsPane).table.row_count == 1
    assert screen(pilot).query_one(NodesPane).table.row_count == 1
    assert "▸…p2m4b" not in text
    assert screen(pilot).query_one(EventsPane).table.row_count == 0
    assert screen(pilot).attention.pod(screen(pilot)._feed.diagnosis) == Ref("Pod", "inference", BUSY)
    await pilot.press("escape")
    assert screen(pilot).attention.focus.is_cluster
    assert "▸…0xvka" not in screen_text(pilot)


async def test_a_model_focuses_what_manages_its_pods_and_a_node_marks_its_servers(pilot: Pilot[int]) -> None:
    await pilot.press("v", "v", "enter")
    await until(pilot, lambda: screen(pilot).query_one(PodsPane).table.row_count == 2)
    assert screen(pilot).attention.focus.ref == Ref("Deployment", "inference", "llama-8b")
    await pilot.press("escape")
    table = screen(pilot).query_one(NodesPane).table
    table.focus()
    table.move_to("gpu-1")
    await pilot.press("enter")
    await until(pilot, lambda: "▸…0xvka" in screen_text(pilot))
    assert "▸…p2m4b" not in screen_text(pilot)
    assert "relates to the focus" in screen_text(pilot)


async def test_forbidden_silent_and_not_asked_are_drawn_differently(tmp_path: Path) -> None:
    async with cockpit_with(tmp_path, readings=()) as pilot:
        assert "◌ asking" in screen_text(pilot)
        (title,) = (line for line in screen_text(pilot).splitlines() if "─ vLLM" in line)
        assert title.rstrip(" ─").endswith("starting")
        for state, word in ((SourceState.FORBIDDEN, "? forbidden"), (SourceState.UNREACHABLE, "? no answer")):
            await tell_more(pilot, Reading(SOURCE, state, NOW, error="GET pods/proxy: no"))
            assert word in screen_text(pilot)
            assert "not read: GET pods/proxy: no" in screen_text(pilot)
            (title,) = (line for line in screen_text(pilot).splitlines() if "─ vLLM" in line)
            assert state.value in title


async def test_without_model_servers_there_is_no_pane_and_v_says_why(tmp_path: Path) -> None:
    async with cockpit_with(tmp_path, manifests=incident(), readings=()) as pilot:
        assert not pane(pilot).display
        await pilot.press("v")
        await until(pilot, lambda: "No pod of this cluster is known as a model server" in screen_text(pilot))


async def test_three_two_or_one_stand_side_by_side_and_the_one_asked_for_is_among_them(tmp_path: Path) -> None:
    readings = [*healthy_control_plane().readings, *said_by_all()]
    async with cockpit_with(tmp_path, readings=readings, gpus=True, size=(240, 60)) as pilot:
        middle = screen(pilot).middle
        await until(pilot, lambda: middle.shown == (GPU, ETCD, VLLM))
        left, between, right = (item.region for item in middle.panes)
        assert left.right < between.x < between.right < right.x
        await pilot.resize_terminal(160, 50)
        await until(pilot, lambda: middle.shown == (GPU, VLLM))
        await pilot.press("e")
        await until(pilot, lambda: ETCD in middle.shown and len(middle.shown) == 2)
        await pilot.press("v")
        await until(pilot, lambda: middle.shown == (ETCD, VLLM))
        assert "└ …p2m4b" in screen_text(pilot)
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: middle.shown == (VLLM,))
        await pilot.press("5")
        await until(pilot, lambda: middle.shown == (GPU,))
        assert not pane(pilot).has_focus_within


async def test_a_control_plane_that_nothing_is_known_of_takes_no_room_from_the_others(tmp_path: Path) -> None:
    told = Told()
    told.apply(Reading("etcd/access", SourceState.ABSENT, NOW, error="no endpoint of etcd is known"))
    async with cockpit_with(tmp_path, readings=[*told.readings, *said_by_all()], size=(240, 60)) as pilot:
        middle = screen(pilot).middle
        await until(pilot, lambda: middle.shown == (VLLM,))
        assert pane(pilot).size.width > 200
        await pilot.press("e")
        await until(pilot, lambda: middle.shown == (ETCD, VLLM))
        assert "no endpoint of etcd is known" in screen_text(pilot)


async def test_on_80x24_it_is_a_tab_that_is_painted_when_it_comes_to_the_front(tmp_path: Path) -> None:
    async with cockpit_with(tmp_path, size=(80, 24), gpus=True) as pilot:
        assert "GPU   vLLM" in screen_text(pilot)
        assert pane(pilot).table.row_count == 0
        await pilot.press("v")
        await pilot.pause()
        text = screen_text(pilot)
        for words in ("▸vLLM", "TTFT p99", "▲ stalled", "▲ 97%", "arguments", "waiting", "8 of 256"):
            assert words in text
        await pilot.press("v", "j", "enter")
        await pilot.pause()
        text = screen_text(pilot)
        assert "Evidence and next command" in text
        assert "▸…0xvka" in text


HOSTILE = ("[/nope]", "[@click=app.quit]x[/]", "a␊b␛[2J", "m" * 300, "模型" * 60)


async def test_hostile_names_neither_break_the_screen_nor_act(tmp_path: Path) -> None:
    manifests = [node("gpu-1"), *(vllm_pod(f"server-{number}", model=name) for number, name in enumerate(HOSTILE))]
    readings = [item for number, name in enumerate(HOSTILE) for item in quiet(f"server-{number}", name, minutes=1)]
    async with cockpit_with(tmp_path, manifests=manifests, readings=readings, size=(80, 24)) as pilot:
        for size in ((80, 24), (110, 34)):
            await pilot.resize_terminal(*size)
            await pilot.press("v", *("v",) * len(HOSTILE))
            await until(pilot, lambda: pane(pilot).table.row_count == len(HOSTILE))
            assert "nope]" in screen_text(pilot)
            assert all(cell_len(line) <= 110 for line in screen_text(pilot).splitlines())
        await pilot.press("enter")
        await pilot.pause()
        assert pilot.app.is_running


async def test_two_hundred_servers_are_a_few_lines_until_somebody_lists_them(tmp_path: Path) -> None:
    names = [f"qwen-7d9f8b6c5-{number:05}" for number in range(200)]
    manifests = [*deployment("qwen", 200, 200), *(vllm_pod(name, "qwen", model="qwen") for name in names)]
    readings = [item for name in names for item in quiet(name, "qwen", minutes=0.2)]
    async with cockpit_with(tmp_path, manifests=manifests, readings=readings) as pilot:
        table = pane(pilot).table
        assert table.row_count == 3
        await pilot.press("v", "end", "enter")
        await until(pilot, lambda: table.row_count == 201)
        assert len(table.visible_keys) < 15


async def test_nothing_is_sent_while_nothing_changes(tmp_path: Path) -> None:
    async with cockpit_with(tmp_path, driver=Recorder) as pilot:
        await pilot.pause(0.3)
        app = pilot.app
        assert isinstance(app, Cockpit)
        Recorder.written.clear()
        for _ in range(5):
            app.cockpit.paint(Turn(app.feed.diagnosis, frozenset(), frozenset(), False))
            app.cockpit._repaint_servers()
            await pilot.pause()
        assert not any(leftovers(text).strip() for text in Recorder.written)
