from datetime import timedelta
from pathlib import Path

import pytest

from playbooks.commands import Target
from situation.kinds import WATCHED
from situation.meta import Ref
from situation.readings import Changed, Reading, SourceState
from situation.steps import finish
from tests.build import NOW, Manifest, made, node, pod
from tests.diagnosis.objects import ready_condition
from tests.tui.cockpits import Cluster, cluster_readings, open_cockpit, screen_text, until
from tui.app import Cockpit
from tui.attention import Attention
from tui.connection_problem import connection_problem
from tui.feed import Feed
from tui.local import not_read
from tui.painter import Painter
from widgets.causes import CausesPane
from widgets.events import EventsPane
from widgets.evidence import Card
from widgets.nodes import NodesPane
from widgets.pane import PaneTitle
from widgets.pods import PodsPane

PULL = {"waiting": {"reason": "ImagePullBackOff", "message": "manifest unknown: not found"}}
BROKEN = pod("search-1", phase="Pending", ready=False, container_status={"state": PULL})


def painter(*manifests: Manifest) -> tuple[Painter, Feed, Attention]:
    feed, attention = Feed(lambda: NOW), Attention()
    for reading in cluster_readings(*manifests):
        feed.publish(reading)
    feed.turn()
    return Painter(feed, attention, Target("prod")), feed, attention


async def test_a_pane_that_cannot_be_painted_says_so_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("of ours")

    async with open_cockpit(Cluster(cluster_readings(BROKEN, node("n1"))), tmp_path) as pilot:
        app = pilot.app
        assert isinstance(app, Cockpit)
        with monkeypatch.context() as patch:
            patch.setattr(app.cockpit.painter, "nodes", broken)
            app.cockpit.paint(None)
            await pilot.pause()
            assert "Nodes: not painted, see the log: internal error in pane Nodes" in screen_text(pilot)
            assert "search-1" in screen_text(pilot)
        app.cockpit.paint(None)
        await pilot.pause()
        assert "not painted" not in screen_text(pilot)


async def test_what_somebody_else_has_painted_meanwhile_is_not_painted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_cockpit(Cluster(cluster_readings(BROKEN, node("n1"))), tmp_path) as pilot:
        app = pilot.app
        assert isinstance(app, Cockpit)
        painted = list[str]()
        monkeypatch.setattr(app.cockpit.painter, "nodes", lambda *_: painted.append("nodes"))
        painting = app.cockpit.painting(None)
        next(painting)
        app.cockpit.paint(None)  # as a key does
        assert painted == ["nodes"]
        finish(painting)
        assert painted == ["nodes"]


async def test_a_row_that_cannot_be_drawn_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr("widgets.pods.pod_cells", broken)
    async with open_cockpit(Cluster(cluster_readings(BROKEN, node("n1"))), tmp_path) as pilot:
        await until(pilot, lambda: "internal error in table" in screen_text(pilot))


def failing(feed: Feed, number: int, state: SourceState) -> None:
    for kind in WATCHED[:number]:
        feed.publish(Reading(kind.source, state, NOW, error="refused"))
    feed.turn()


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (SourceState.UNREACHABLE, "API server unreachable"),
        (SourceState.UNAUTHORIZED, "credentials refused"),
        (SourceState.FORBIDDEN, ""),
        (SourceState.ABSENT, ""),
    ],
)
def test_the_connection_has_a_problem_when_most_sources_have_it(state: SourceState, text: str) -> None:
    _, feed, _ = painter(pod())
    failing(feed, len(WATCHED) // 2, state)
    assert connection_problem(feed.situation) == ""
    failing(feed, len(WATCHED) // 2 + 1, state)
    assert connection_problem(feed.situation) == text


def test_without_credentials_the_header_says_that_nobody_is_asked() -> None:
    feed = Feed(lambda: NOW)
    for reading in not_read(NOW):
        feed.publish(reading)
    feed.turn()
    assert connection_problem(feed.situation) == "no credentials: the API server is not asked"


def test_the_header_does_not_count_what_was_never_read() -> None:
    before = Painter(Feed(lambda: NOW), Attention(), Target("prod")).header("read-only", NOW)
    assert (before.context, before.version, before.nodes, before.pods) == ("prod", None, None, None)
    shown, _, _ = painter(pod("a"), pod("b"))
    facts = shown.header("read-only", NOW + timedelta(microseconds=5))
    assert (facts.version, facts.nodes, facts.pods, facts.now) == ("v1.36.2", 0, 2, NOW)


def test_the_card_is_the_first_causes_until_something_is_selected() -> None:
    shown, _, attention = painter(BROKEN, pod("web-1"))
    assert "search-1 cannot pull" in shown.card(NOW).title
    attention.selection = Ref("Pod", "shop", "web-1")
    assert shown.card(NOW).title == "Pod web-1"
    attention.selection = "never-seen:Pod/shop/x"
    assert "search-1 cannot pull" in shown.card(NOW).title
    well, _, _ = painter(pod("web-1"))
    assert well.card(NOW) == Card()


async def test_ages_of_pods_pass_although_no_pod_changes(tmp_path: Path) -> None:
    cluster = Cluster(cluster_readings(pod("web-1", age_s=60)))
    async with open_cockpit(cluster, tmp_path) as pilot:
        assert " 60s" in screen_text(pilot)
        app = pilot.app
        assert isinstance(app, Cockpit)
        turn = app.feed.turn()
        app.cockpit.painter.pods(
            app.cockpit.query_one(PodsPane), app.cockpit.painter.relation(), turn, NOW + timedelta(seconds=30)
        )
        assert " 90s" in app.cockpit.query_one(PodsPane).table.render_line(1).text


async def test_before_the_first_list_no_pane_counts_to_zero(tmp_path: Path) -> None:
    readings = [reading for reading in cluster_readings(pod()) if reading.source != "kubernetes/nodes"]
    readings.append(Reading("kubernetes/nodes", SourceState.FORBIDDEN, NOW, error="cannot list nodes"))
    async with open_cockpit(Cluster(readings), tmp_path) as pilot:
        assert "Pods · 1" in screen_text(pilot)
        assert "Nodes ───" in screen_text(pilot)
        assert "Nodes · 0" not in screen_text(pilot)


async def test_with_a_focus_the_other_panes_are_painted_too(tmp_path: Path) -> None:
    cluster = Cluster(cluster_readings(BROKEN, node("node-1")))
    async with open_cockpit(cluster, tmp_path) as pilot:
        await pilot.press("1")
        app = pilot.app
        assert isinstance(app, Cockpit)
        shown, cockpit, later = app.cockpit.painter, app.cockpit, NOW + timedelta(seconds=30)
        relation, turn = shown.relation(), app.feed.turn()
        for _ in range(4):  # one slow pane in a turn, unless another waits for long
            later += timedelta(seconds=1)
            shown.pods(cockpit.query_one(PodsPane), relation, turn, later)
            shown.nodes(cockpit.query_one(NodesPane), relation, turn, later)
            shown.events(cockpit.query_one(EventsPane), relation, turn, later)
        panes = (PodsPane, NodesPane, EventsPane)
        ages = {pane: cockpit.query_one(pane).query_one(PaneTitle).state.age_s for pane in panes}
        assert all(age == 30.0 for age in ages.values()), ages


async def test_what_gainsays_a_new_cause_is_painted_soon(tmp_path: Path) -> None:
    cluster = Cluster(cluster_readings(node("n1"), pod("web-1", node="n1")))
    async with open_cockpit(cluster, tmp_path) as pilot:
        app = pilot.app
        assert isinstance(app, Cockpit)
        shown, cockpit = app.cockpit.painter, app.cockpit
        causes, nodes = cockpit.query_one(CausesPane), cockpit.query_one(NodesPane)

        def age_shown_after(later_s: float) -> float | None:
            turn, later = app.feed.turn(), NOW + timedelta(seconds=later_s)
            shown.causes(causes, shown.relation(), later)
            shown.nodes(nodes, shown.relation(), turn, later)
            return nodes.query_one(PaneTitle).state.age_s

        assert age_shown_after(9.9) == 5.0  # in steps of five seconds
        assert age_shown_after(10.3) == 5.0
        gone = ready_condition("Unknown", reason="NodeStatusUnknown", message="Kubelet stopped posting node status.")
        changed = Changed("nodes", (made(node("n1", conditions=gone)),))
        cluster.publish(Reading("kubernetes/nodes", SourceState.LIVE, NOW, changed))
        assert age_shown_after(10.4) == 10.0
        assert app.feed.diagnosis.causes


async def test_pods_that_turn_out_to_be_forbidden_are_no_longer_being_read(tmp_path: Path) -> None:
    readings = [item for item in cluster_readings(node("n1")) if item.source != "kubernetes/pods"]
    cluster = Cluster(readings)
    async with open_cockpit(cluster, tmp_path, until_known=False) as pilot:
        await until(pilot, lambda: "reading pods" in screen_text(pilot))
        error = "cannot list pods in all namespaces (RBAC: verb list, resource pods)"
        cluster.publish(Reading("kubernetes/pods", SourceState.FORBIDDEN, NOW, error=error))
        await until(pilot, lambda: f"forbidden: {error[:30]}" in screen_text(pilot))
        text = screen_text(pilot)
        assert "reading pods" not in text
        assert "-n NAMESPACE reads one" in " ".join(text.split())
