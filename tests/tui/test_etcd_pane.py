"""The pane of the control plane as a person uses it."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from textual.pilot import Pilot

from situation.gpu.links import NodeChain
from situation.kinds import WATCHED
from situation.meta import Ref
from situation.readings import Readiness, Reading, SourceState
from tests.build import NOW, node, pod
from tests.control_plane import Told, healthy_control_plane, live_api_server, live_etcd
from tests.etcd_objects import GIB, NO_LEADER, NO_SPACE, page, silence, status, tell
from tests.gpu_chains import HandMadeFleet, crashing, fine
from tests.tui.cockpits import Cluster, cluster_readings, open_cockpit, screen_text, until
from tests.tui.test_cockpit import incident, screen
from tests.tui.test_terminal_bytes import SNIPPETS, Recorder, leftovers
from tui.app import Cockpit
from tui.etcd_painter import ordered
from tui.feed import Turn
from widgets.causes import CausesPane
from widgets.control_plane_facts import ControlPlaneFact
from widgets.etcd import EtcdPane
from widgets.gpu import GpuPane
from widgets.nodes import NodesPane
from widgets.pods import PodsPane

CHAINS = (fine("gpu-1"), crashing("gpu-2"))
ETCD_2 = Ref("EtcdMember", "", "etcd-2")


def objects() -> list[dict[str, object]]:
    """An incident, and three control plane nodes with etcd's static pods."""
    names = ("cp-1", "cp-2", "cp-3")
    labels = {"component": "etcd", "tier": "control-plane"}
    pods = [pod(f"etcd-{name}", namespace="kube-system", node=name, labels=labels) for name in names]
    return [*incident(), *map(node, names), *pods]


@asynccontextmanager
async def cockpit_with(
    tmp_path: Path,
    readings: Iterable[Reading],
    *,
    size: tuple[int, int] = (160, 50),
    chains: tuple[NodeChain, ...] = (),
    driver: type[Recorder] | None = None,
) -> AsyncIterator[Pilot[int]]:
    told = [*cluster_readings(*objects()), *readings]
    async with open_cockpit(Cluster(told), tmp_path, size=size, driver=driver) as pilot:
        app = pilot.app
        assert isinstance(app, Cockpit)
        if chains:
            app.feed.fleet = HandMadeFleet(*chains)  # type: ignore[assignment]
        app.cockpit.paint(None)
        await pilot.pause()
        app.cockpit.paint(None)
        await pilot.pause()
        yield pilot


@pytest.fixture
async def pilot(tmp_path: Path) -> AsyncIterator[Pilot[int]]:
    async with cockpit_with(tmp_path, healthy_control_plane().readings) as running:
        yield running


def pane(pilot: Pilot[int]) -> EtcdPane:
    return screen(pilot).query_one(EtcdPane)


async def tell_more(pilot: Pilot[int], *readings: Reading) -> None:
    app = pilot.app
    assert isinstance(app, Cockpit)
    for reading in readings:
        app.feed.publish(reading)
    app.feed.turn()
    app.cockpit.paint(None)
    await pilot.pause()


async def test_members_quorum_certificates_and_api_server_stand_on_the_screen(pilot: Pilot[int]) -> None:
    text = screen_text(pilot)
    assert "Control plane · leader etcd-1 · term 7 · 3.5.26" in text
    for words in (
        "etcd-1", "◆ leader", "✓ follower", "150Mi/200Mi/2.0Gi", "1.0ms",
        "✓ 3 of 3 answer, quorum 2, can lose 1 more", "✓ 2 read, first to end: apiserver in 211 d",
        "✓ ready", "LIST 199ms",
    ):  # fmt: skip
        assert words in text


def test_the_worst_comes_first_below_the_quorum_and_equals_keep_their_order() -> None:
    parts = [
        ("alarms", "fine"),
        ("API load", "warning"),
        ("quorum", "fine"),
        ("database", "fine"),
        ("disk", "critical"),
    ]
    facts = [ControlPlaneFact(part, "", "", role) for part, role in parts]
    assert [fact.part for fact in ordered(facts)] == ["quorum", "disk", "API load", "alarms", "database"]


async def test_e_goes_to_the_members_then_to_the_rest_and_back(pilot: Pilot[int]) -> None:
    for part in (pane(pilot).members, pane(pilot).facts, pane(pilot).members):
        await pilot.press("e")
        assert part.has_focus
    await pilot.press("e", "end")
    assert "rejected" in screen_text(pilot) or "objects" in screen_text(pilot)


async def test_enter_on_a_member_relates_everything_to_it_and_escape_goes_back(pilot: Pilot[int]) -> None:
    await pilot.press("e", "j", "enter")
    await until(pilot, lambda: screen(pilot).attention.focus.ref == ETCD_2)
    text = screen_text(pilot)
    assert "▸etcd-2" in text
    assert "✓ etcd member etcd-2: follower" in text
    assert "https://10.0.0.2:2379 · on node cp-2" in text
    assert "-n kube-system describe pod etcd-cp-2" in text
    assert "etcdmember" not in text.lower()
    assert screen(pilot).query_one(PodsPane).table.row_count == 1
    assert screen(pilot).query_one(NodesPane).table.row_count == 1
    await pilot.press("escape")
    assert screen(pilot).attention.focus.is_cluster
    assert "▸etcd-2" not in screen_text(pilot)


async def test_the_card_of_a_member_tells_what_waits_there_and_how_long_it_takes_to_answer(tmp_path: Path) -> None:
    told = healthy_control_plane()
    more = page(proposals_pending=7.0, open_files=26, max_files=20_000)
    tell(told, 2, status=status(2), page=more, round_trip_s=0.003)
    async with cockpit_with(tmp_path, told.readings) as pilot:
        await pilot.press("e", "j", "enter")
        await until(pilot, lambda: screen(pilot).attention.focus.ref == ETCD_2)
        await pilot.pause()
        text = screen_text(pilot)
        for words in ("answers us within 3.0ms", "7 proposals pending", "26 of 20000 files open"):
            assert words in text


async def test_a_focused_node_marks_its_member(pilot: Pilot[int]) -> None:
    table = screen(pilot).query_one(NodesPane).table
    table.focus()
    table.move_to("cp-3")
    await pilot.press("enter")
    await until(pilot, lambda: "▸etcd-3" in screen_text(pilot))
    assert "▸etcd-1" not in screen_text(pilot)


async def test_a_silent_member_and_quorum_that_is_lost_are_loud(pilot: Pilot[int]) -> None:
    told = Told()
    silence(told, 3)
    await tell_more(pilot, *told.readings)
    text = screen_text(pilot)
    assert "▲ silent 0s" in text
    assert "● 2 of 3 answer, quorum 2, can lose none" in text
    silence(told, 2)
    tell(told, 1, status=status(1, leader=0, errors=NO_LEADER))
    await tell_more(pilot, *told.readings)
    text = screen_text(pilot)
    assert "▲ no leader" in text
    assert "▲ 1 of 3 answer, quorum 2: quorum lost" in text
    assert "▲ nothing can be written since" in text
    (title,) = (line for line in text.splitlines() if "Control plane · " in line)
    assert "unreachable" in title


async def test_nospace(tmp_path: Path) -> None:
    told = Told()
    live_etcd(told, db_size_bytes=2 * GIB, errors=NO_SPACE)
    async with cockpit_with(tmp_path, told.readings) as pilot:
        text = screen_text(pilot)
        assert "▲ 100%" in text
        assert "▲ NOSPACE, raised by etcd-1" in text


async def test_without_a_way_to_etcd_it_is_told_second_hand(tmp_path: Path) -> None:
    told = Told()
    live_api_server(told)
    told.apply(Reading("etcd/access", SourceState.ABSENT, NOW, error="no endpoint of etcd is known"))
    async with cockpit_with(tmp_path, told.readings) as pilot:
        text = " ".join(screen_text(pilot).split())
        assert "? not read directly: no endpoint of etcd is known; --etcd-endpoints" in text
        assert "second-hand, as the API server sees it: size 1.4Gi" in text
        assert not pane(pilot).members.display
        await pilot.press("e")
        assert pane(pilot).facts.has_focus


async def test_forbidden_is_neither_fine_nor_broken(tmp_path: Path) -> None:
    told = Told()
    told.apply(Reading("control-plane/metrics", SourceState.FORBIDDEN, NOW, error="GET /metrics: forbidden"))
    async with cockpit_with(tmp_path, told.readings) as pilot:
        shown = [line for line in screen_text(pilot).splitlines() if "GET /metrics: forbidden" in line]
        assert "? its metrics are not known: GET /metrics: forbidden" in shown[0]
        (title,) = (line for line in screen_text(pilot).splitlines() if "─ Control plane" in line)
        assert "forbidden" in title


async def test_while_nothing_spoke_there_is_no_pane_and_e_says_why(tmp_path: Path) -> None:
    async with cockpit_with(tmp_path, ()) as pilot:
        assert not pane(pilot).display
        await pilot.press("e")
        await until(pilot, lambda: "Nothing is known of the control plane yet" in screen_text(pilot))
    async with cockpit_with(tmp_path, (), size=(80, 24)) as pilot:
        assert "Control plane   tab" not in screen_text(pilot)


async def test_wide_gpu_and_control_plane_stand_side_by_side(tmp_path: Path) -> None:
    async with cockpit_with(tmp_path, healthy_control_plane().readings, chains=CHAINS) as pilot:
        gpu, etcd = screen(pilot).query_one(GpuPane), pane(pilot)
        assert gpu.region.y == etcd.region.y
        assert gpu.region.right < etcd.region.x
        assert gpu.size.height == etcd.size.height <= 50 // 4
        await pilot.press("l")  # the checklist takes the room of one of them
        await until(pilot, lambda: not etcd.display and gpu.display)


async def test_where_one_fits_it_is_the_one_asked_for_last(tmp_path: Path) -> None:
    async with cockpit_with(tmp_path, healthy_control_plane().readings, chains=CHAINS, size=(120, 40)) as pilot:
        gpu, etcd = screen(pilot).query_one(GpuPane), pane(pilot)
        assert (gpu.display, etcd.display) == (True, False)
        await pilot.press("e")
        await until(pilot, lambda: etcd.members.has_focus)
        assert (gpu.display, etcd.display) == (False, True)
        assert screen(pilot).query_one(CausesPane).size.height >= 7
        await pilot.press("5")
        await until(pilot, lambda: gpu.display and not etcd.display)
        assert screen(pilot).query_one(CausesPane).table.has_focus  # the pane that had the keyboard is gone
        await pilot.press("4")
        await until(pilot, lambda: etcd.display and not gpu.display)
        await pilot.press("g")
        await until(pilot, lambda: gpu.has_focus_within)


async def test_on_80x24_it_is_a_tab(tmp_path: Path) -> None:
    async with cockpit_with(tmp_path, healthy_control_plane().readings, chains=CHAINS, size=(80, 24)) as pilot:
        assert "GPU   Control plane" in screen_text(pilot)
        assert not pane(pilot).region.height
        await pilot.press("e")
        await pilot.pause()
        text = screen_text(pilot)
        assert "▸Control plane" in text
        assert "◆ leader" in text
        assert "✓ 3 of 3 answer, quorum 2, can lose 1 more" in text
        assert "objects" in text
        await pilot.press("enter")
        await pilot.pause()
        text = screen_text(pilot)
        assert "Evidence and next command" in text
        assert "etcd member etcd-1: leader" in text
        assert "▸etcd-1" in text


async def test_where_nothing_is_measured_one_line_says_so_until_somebody_asks_why(tmp_path: Path) -> None:
    told = Told()
    for name, why in (("etcd/access", "no client certificate"), ("control-plane/metrics", "404 page not found")):
        told.apply(Reading(name, SourceState.ABSENT, NOW, error=why))
    told.apply(Reading("kubernetes/readyz", SourceState.LIVE, NOW, Readiness(True)))
    async with cockpit_with(tmp_path, told.readings) as pilot:
        text = screen_text(pilot)
        assert "not known yet: certificates; not read from here: etcd, API server's metrics (why: go to" in text
        assert "✓ ready" in text
        assert "404" not in text
        short = pane(pilot).line_count
        assert short == 3
        await pilot.press("e")
        await pilot.pause()
        assert "no client certificate" in screen_text(pilot)
        assert "its metrics are not known: 404 page not found" in screen_text(pilot)
        screen(pilot).query_one(CausesPane).table.focus()
        await pilot.pause()
        assert pane(pilot).line_count == short


async def test_the_tab_in_front_stays_when_another_comes_or_goes(tmp_path: Path) -> None:
    async with cockpit_with(tmp_path, healthy_control_plane().readings, size=(80, 24)) as pilot:
        await pilot.press("e")
        app = pilot.app
        assert isinstance(app, Cockpit)
        for chains in (CHAINS, ()):
            app.feed.fleet = HandMadeFleet(*chains)  # type: ignore[assignment]
            app.cockpit.paint(None)
            await pilot.pause()
            assert "▸Control plane" in screen_text(pilot)
            assert ("GPU" in screen_text(pilot).splitlines()[2]) is bool(chains)
            assert pane(pilot).members.has_focus


async def test_it_stays_live_while_the_api_server_is_dead(pilot: Pilot[int]) -> None:
    dead = [Reading(kind.source, SourceState.UNREACHABLE, NOW, error="refused") for kind in WATCHED]
    await tell_more(pilot, *dead)
    text = screen_text(pilot)
    (title,) = (line for line in text.splitlines() if "─ Control plane · leader" in line)
    assert "live 0s" in title
    (pods,) = (line for line in text.splitlines() if "─ Pods" in line)
    assert "unreachable" in pods


@pytest.mark.parametrize("size", [(80, 24), (160, 50)])
async def test_nothing_is_sent_while_nothing_changes(tmp_path: Path, size: tuple[int, int]) -> None:
    told = healthy_control_plane()
    async with cockpit_with(tmp_path, told.readings, size=size, driver=Recorder) as pilot:
        await pilot.press("e")
        await pilot.pause(0.3)
        app = pilot.app
        assert isinstance(app, Cockpit)
        painter, shown = app.cockpit.painter, pane(pilot)
        painter.etcd(shown, painter.relation(), None, NOW)
        await pilot.pause(0.1)
        Recorder.written.clear()
        for number in range(5):
            turn = Turn(app.feed.diagnosis, frozenset(), frozenset(), False)
            painter.etcd(shown, painter.relation(), turn, NOW + timedelta(seconds=0.9 * number))
            await pilot.pause()
        sent = [text for text in map(leftovers, Recorder.written) if text.strip()]
        assert not sent


async def test_text_of_a_member_is_never_markup(tmp_path: Path) -> None:
    hostile = "".join(snippet for snippet in SNIPPETS if snippet.isprintable())
    told = Told()
    tell(told, 1, name=hostile[:60], status=status(1, version=hostile[:20]), page_error=hostile)
    silence(told, 2, error=hostile)
    async with cockpit_with(tmp_path, told.readings) as pilot:
        await pilot.press("e", "enter")
        await until(pilot, lambda: screen(pilot).attention.focus.ref is not None)
        assert pilot.app.is_running
        assert "[red]" in screen_text(pilot)


async def test_the_plain_theme_shows_the_same_words(pilot: Pilot[int]) -> None:
    before = screen_text(pilot)
    pilot.app.theme = "midwatch-plain"
    await pilot.pause()
    assert screen_text(pilot) == before
