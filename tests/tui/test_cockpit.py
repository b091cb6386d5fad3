"""The cockpit as a person uses it: keys in, screen out."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from situation.readings import Changed, Reading, ServerVersion, SourceState
from tests.build import NOW, ago, event, made, node, pod
from tests.tui.cockpits import Cluster, cluster_readings, open_cockpit, screen_text, until
from tui.app import Cockpit
from tui.cockpit_screen import CockpitScreen
from widgets.causes import CausesPane
from widgets.events import EventsPane
from widgets.nodes import NodesPane
from widgets.pods import PodsPane

PULL = {"waiting": {"reason": "ImagePullBackOff", "message": "manifest unknown: not found"}}
SECRET = {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "not-there" not found'}}


def incident() -> list[dict[str, Any]]:
    """Two broken workloads and a healthy one on two nodes."""
    return [
        node("n1"),
        node("n2"),
        *(
            pod(f"search-{n}", owner="StatefulSet/search", node=f"n{n}", phase="Pending", ready=False,
                container_status={"state": PULL}, labels={"app": "search"})
            for n in (1, 2)
        ),
        pod("needs", namespace="pay", node="n2", phase="Pending", ready=False, container_status={"state": SECRET}),
        pod("web-1", owner="StatefulSet/web", node="n1"),
        event("Pod/search-1", "Failed", "Failed to pull image: not found"),
        event("Pod/web-1", "Pulled", "pulled", type="Normal"),
        {"kind": "Namespace", "metadata": {"name": "shop"}, "status": {"phase": "Active"}},
    ]  # fmt: skip


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(cluster_readings(*incident()))


@pytest.fixture
async def pilot(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Pilot[int]]:
    async with open_cockpit(cluster, tmp_path) as running:
        yield running


def screen(pilot: Pilot[int]) -> CockpitScreen:
    app = pilot.app
    assert isinstance(app, Cockpit)
    return app.cockpit


def rows(pilot: Pilot[int]) -> dict[str, int]:
    """How many rows each table shows."""
    cockpit = screen(pilot)
    return {
        "causes": cockpit.query_one(CausesPane).table.row_count,
        "pods": cockpit.query_one(PodsPane).table.row_count,
        "nodes": cockpit.query_one(NodesPane).table.row_count,
        "events": cockpit.query_one(EventsPane).table.row_count,
    }


async def test_the_first_screen_names_layer_cause_proof_and_command(pilot: Pilot[int]) -> None:
    text = screen_text(pilot)
    assert "prod-h100 v1.36.2 · 2 nodes 4 pods" in text
    assert "▲ 1 Application 2" in text
    assert "✓ 3 Network" in text
    assert "search cannot pull shop/web:1" in text
    assert "ImagePullBackOff: manifest unknown" in text
    assert "kubectl --context prod-h100 -n shop get pod search-1" in text
    assert rows(pilot) == {"causes": 2, "pods": 4, "nodes": 2, "events": 2}


async def test_enter_on_a_cause_links_all_panes_and_escape_goes_back(pilot: Pilot[int]) -> None:
    await pilot.press("j")
    assert "▲ needs refers to Secret not-there" in screen_text(pilot)
    await pilot.press("enter")
    assert rows(pilot) == {"causes": 2, "pods": 1, "nodes": 1, "events": 0}
    assert "related to the cause · 1 of 4" in screen_text(pilot)
    await pilot.press("escape")
    assert rows(pilot)["pods"] == 4


async def test_a_node_shows_its_pods_and_escape_steps_back_one_by_one(pilot: Pilot[int]) -> None:
    screen(pilot).query_one(NodesPane).table.focus()
    screen(pilot).query_one(NodesPane).table.move_to("n1")
    await pilot.press("enter")
    assert rows(pilot)["pods"] == 2
    screen(pilot).query_one(PodsPane).table.focus()
    screen(pilot).query_one(PodsPane).table.move_to(("shop", "web-1"))
    await pilot.press("enter")
    assert rows(pilot)["pods"] == 1
    assert "Pod web-1" in screen_text(pilot)
    assert "describe pod web-1" in screen_text(pilot)
    await pilot.press("escape")
    assert "Node n1 · 2 of 4" in screen_text(pilot)
    await pilot.press("escape")
    assert rows(pilot)["pods"] == 4


async def test_a_pod_of_a_finding_shows_that_findings_evidence(pilot: Pilot[int]) -> None:
    screen(pilot).query_one(PodsPane).table.focus()
    screen(pilot).query_one(PodsPane).table.move_to(("shop", "search-2"))
    await pilot.press("enter")
    assert "▲ search cannot pull shop/web:1" in screen_text(pilot)


async def test_a_layer_key_focuses_and_lets_go(pilot: Pilot[int]) -> None:
    await pilot.press("1")
    assert rows(pilot)["pods"] == 3
    await pilot.press("1")
    assert rows(pilot)["pods"] == 4
    await pilot.press("3")
    assert rows(pilot)["pods"] == 0
    assert "no pods relate to the focus" in screen_text(pilot)
    await pilot.press("slash", *"web", "enter", "3")
    assert screen(pilot).attention.focus.is_cluster
    assert screen(pilot).attention.wanted.words == ("web",)


async def test_the_filter_narrows_while_typing_and_escape_clears_it(pilot: Pilot[int]) -> None:
    await pilot.press("slash", *"imagepull")
    assert rows(pilot)["pods"] == 2
    assert "no cause matches" in screen_text(pilot)
    await pilot.press("enter")
    assert rows(pilot)["pods"] == 2
    await pilot.press("escape")
    assert rows(pilot)["pods"] == 4
    await pilot.press("slash", *"ns:pay", "enter")
    assert rows(pilot) == {"causes": 1, "pods": 1, "nodes": 2, "events": 0}
    await pilot.press("slash", "escape")
    assert rows(pilot)["pods"] == 4


async def test_keys_typed_into_the_filter_are_text(pilot: Pilot[int]) -> None:
    await pilot.press("slash", *"lc1q")
    assert screen(pilot).attention.wanted.text == "lc1q"
    assert pilot.app.is_running


async def test_c_copies_what_is_shown_and_says_how(pilot: Pilot[int], tmp_path: Path) -> None:
    await pilot.press("c")
    copied = tmp_path / "last-command"
    await until(pilot, copied.exists)
    assert copied.read_text().startswith("kubectl --context prod-h100 -n shop get pod search-1")
    assert copied.stat().st_mode & 0o777 == 0o600
    await until(pilot, lambda: "Copied" in screen_text(pilot))


async def test_choosing_copies_the_chosen_command(pilot: Pilot[int], tmp_path: Path) -> None:
    await pilot.press("C", "j", "enter")
    copied = tmp_path / "last-command"
    await until(pilot, copied.exists)
    assert "describe pod search-1" in copied.read_text()


async def test_a_cause_is_withdrawn_when_its_pods_recover(pilot: Pilot[int], cluster: Cluster) -> None:
    for name in ("search-1", "search-2"):
        fixed = made(pod(name, owner="StatefulSet/search", labels={"app": "search"}))
        cluster.publish(Reading("kubernetes/pods", SourceState.LIVE, NOW, Changed("pods", (fixed,))))
    await until(pilot, lambda: "search cannot pull" not in screen_text(pilot))
    assert "▲ needs refers to Secret not-there" in screen_text(pilot)


async def test_the_cursor_stays_with_the_gravest_until_somebody_moves(cluster: Cluster, tmp_path: Path) -> None:
    first = [pod("late", namespace="a", phase="Pending", ready=False, container_status={"state": SECRET})]
    only = Cluster(cluster_readings(*first))
    async with open_cockpit(only, tmp_path) as pilot:
        assert "▲ late refers" in screen_text(pilot)
        more = tuple(made(item) for item in incident() if item["kind"] == "Pod")
        only.publish(Reading("kubernetes/pods", SourceState.LIVE, NOW, Changed("pods", more)))
        await until(pilot, lambda: "▲ search cannot pull shop/web:1: no such image or tag" in screen_text(pilot))
        assert screen(pilot).query_one(CausesPane).table.cursor_row == 0


async def test_a_painting_between_a_key_and_its_message_does_not_take_the_cursor_back(pilot: Pilot[int]) -> None:
    table = screen(pilot).query_one(CausesPane).table
    table.action_move(1)
    screen(pilot).paint(None)
    assert table.cursor_row == 1
    await until(pilot, lambda: "▲ needs refers" in screen_text(pilot))
    screen(pilot).paint(None)
    screen(pilot).attention.reset()
    screen(pilot).paint(None)
    assert table.cursor_row == 0


async def test_the_api_server_going_away_keeps_the_last_picture_and_says_so(
    pilot: Pilot[int], cluster: Cluster
) -> None:
    for name in ("pods", "nodes", "events", "services", "endpointslices", "namespaces", "deployments", "replicasets",
                 "statefulsets", "daemonsets", "jobs", "leases"):  # fmt: skip
        cluster.publish(Reading(f"kubernetes/{name}", SourceState.UNREACHABLE, NOW, None, "connection refused"))
    await until(pilot, lambda: "API server unreachable" in screen_text(pilot))
    text = screen_text(pilot)
    assert "unreachable" in text
    assert "search-1" in text
    assert "4 Control plane 1" in text


async def test_forbidden_is_not_empty(tmp_path: Path) -> None:
    readings = [item for item in cluster_readings(pod("a")) if item.source != "kubernetes/nodes"]
    refused = Reading("kubernetes/nodes", SourceState.FORBIDDEN, NOW, None, "cannot list nodes")
    async with open_cockpit(Cluster([*readings, refused]), tmp_path) as pilot:
        text = screen_text(pilot)
        assert "? nodes 1 pod" in text
        assert "? 5 Node/GPU" in text
        assert "forbidden: cannot list nodes" in text
        assert "could not tell: node and GPU" in text
        assert "no nodes" not in text


async def test_a_healthy_cluster_says_so_in_words(tmp_path: Path) -> None:
    async with open_cockpit(Cluster(cluster_readings(node("n1"), pod("a", node="n1"))), tmp_path) as pilot:
        assert "✓ nothing wrong found in five layers" in screen_text(pilot)


async def test_where_redraws_are_seconds_apart_readings_are_taken_in_between(cluster: Cluster, tmp_path: Path) -> None:
    async with open_cockpit(cluster, tmp_path, hz=0.01) as pilot:
        app = pilot.app
        assert isinstance(app, Cockpit)
        assert "v1.36.2" in screen_text(pilot)  # the first judgement did not wait for its redraw
        cluster.publish(Reading("kubernetes/version", SourceState.LIVE, NOW, ServerVersion("v1.37.0")))
        await until(pilot, lambda: app.feed.situation.version == ServerVersion("v1.37.0"))
        await pilot.pause()
        assert "v1.37.0" not in screen_text(pilot)


async def test_keys_can_be_remapped_and_the_help_tells_the_new_ones(cluster: Cluster, tmp_path: Path) -> None:
    async with open_cockpit(cluster, tmp_path, keymap={"copy": "y", "table.down": "J"}) as pilot:
        assert "y copies it" in screen_text(pilot)
        assert "c copies it" not in screen_text(pilot)
        await pilot.press("l")
        assert "y copy" in screen_text(pilot)
        await pilot.press("l", "c", "J")
        assert "▲ needs refers" in screen_text(pilot)
        assert not (tmp_path / "last-command").exists()
        await pilot.press("y")
        await until(pilot, (tmp_path / "last-command").exists)
        await pilot.press("question_mark")
        text = screen_text(pilot)
        assert "Keys (right: the id" in text
        assert any("y" in line and "Copy the next command" in line for line in text.splitlines())
        await pilot.press("escape")
        assert "Keys (right: the id" not in screen_text(pilot)


async def test_tabs_and_timeline_name_their_keys_as_they_are_mapped(cluster: Cluster, tmp_path: Path) -> None:
    keymap = {"next-pane": "f2", "timeline": "T", "note": "M"}
    async with open_cockpit(cluster, tmp_path, size=(80, 24), keymap=keymap) as pilot:
        assert "f2: next" in screen_text(pilot)
        await pilot.press("T")
        await until(pilot, lambda: "M note · / filter · T close" in screen_text(pilot))


async def test_on_80x24_the_panes_are_tabs(cluster: Cluster, tmp_path: Path) -> None:
    async with open_cockpit(cluster, tmp_path, size=(80, 24)) as pilot:
        text = screen_text(pilot)
        assert "▸Causes" in text
        assert "search cannot pull" in text
        assert "next which image is asked for?" in text
        assert "Nodes ·" not in text
        await pilot.press("tab")
        await pilot.pause()
        assert "CreateContainerC…" in screen_text(pilot)
        await pilot.press("tab")
        assert "Nodes · 2" in screen_text(pilot)
        await pilot.press("tab", "tab")
        assert "search cannot pull" in screen_text(pilot)


async def test_resizing_keeps_everything_usable(cluster: Cluster, tmp_path: Path) -> None:
    async with open_cockpit(cluster, tmp_path) as pilot:
        for size in ((80, 24), (250, 80), (60, 15), (160, 50)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert "search cannot pull" in screen_text(pilot), size


async def test_markup_in_names_is_text(tmp_path: Path) -> None:
    state = {"waiting": {"reason": "ImagePullBackOff", "message": "[/nope] [@click=app.quit]x[/] not found"}}
    hostile = pod("[red]x[/red]", phase="Pending", ready=False, container_status={"state": state})
    async with open_cockpit(Cluster(cluster_readings(hostile, node("[b]"))), tmp_path) as pilot:
        text = screen_text(pilot)
        assert "[red]x[/red]" in text
        assert "[@click=app.quit]x[/]" in text
        await pilot.press("enter", "C", "escape", "l", "question_mark", "escape")
        assert pilot.app.is_running


async def test_ages_use_the_clusters_time(tmp_path: Path) -> None:
    young = pod("a", age_s=42)
    assert ago(42) == young["metadata"]["creationTimestamp"]
    async with open_cockpit(Cluster(cluster_readings(young)), tmp_path) as pilot:
        assert " 42s " in screen_text(pilot)


async def test_c_is_not_taken_for_a_cause_that_just_took_the_place_of_the_one_that_was_shown(
    pilot: Pilot[int], cluster: Cluster, tmp_path: Path
) -> None:
    copied = tmp_path / "last-command"
    for name in ("search-1", "search-2"):
        well = pod(name, owner="StatefulSet/search", labels={"app": "search"})
        cluster.publish(Reading("kubernetes/pods", SourceState.LIVE, NOW, Changed("pods", (made(well),))))
    await until(pilot, lambda: rows(pilot)["causes"] == 1)
    await pilot.press("c")
    await until(pilot, lambda: "took this place just now" in screen_text(pilot))
    assert not copied.exists()
    await pilot.press("c")
    await until(pilot, copied.exists)
    assert "secret not-there" in copied.read_text()
