"""The checklist panel as a person uses it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from playbooks.checks import judge
from playbooks.expressions import LayerTerm
from playbooks.facts import AnswerState
from playbooks.progress import ChecklistEvent
from situation.findings import Layer
from situation.meta import Ref
from situation.readings import CONFIGURED, Changed, Configured, Reading, SourceState
from tests.build import NOW, Manifest, ago, made, node, pod
from tests.tui.cockpits import Cluster, cluster_readings, open_cockpit, screen_text, until
from tui import paths
from tui.app import Cockpit
from tui.choice_screen import ChoiceScreen
from tui.cockpit_screen import CockpitScreen
from widgets.checklist import ChecklistPane

PULL = {"waiting": {"reason": "ImagePullBackOff", "message": "manifest unknown: not found"}}
ENDED = {"lastState": {"terminated": {"exitCode": 1, "finishedAt": ago(60)}}}


def sick(name: str = "search-1") -> Manifest:
    return pod(
        name, owner="StatefulSet/search", node="n1", phase="Pending", ready=False, container_status={"state": PULL}
    )


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own playbooks."""
    folder = tmp_path / "playbooks"
    folder.mkdir()
    monkeypatch.setattr(paths, "config_dir", lambda: tmp_path)
    return folder


@pytest.fixture
def cluster(own: Path) -> Cluster:
    return Cluster(cluster_readings(node("n1"), sick(), pod("web-1", node="n1", container_status=ENDED)))


@pytest.fixture
async def pilot(cluster: Cluster, tmp_path: Path) -> AsyncIterator[Pilot[int]]:
    async with open_cockpit(cluster, tmp_path) as running:
        yield running


def screen(pilot: Pilot[int]) -> CockpitScreen:
    app = pilot.app
    assert isinstance(app, Cockpit)
    return app.cockpit


async def test_it_opens_where_it_goes_on_after_the_cause(pilot: Pilot[int], tmp_path: Path) -> None:
    await pilot.press("l")
    text = screen_text(pilot)
    assert "Five layers, from the container down" in text
    assert "for StatefulSet search" in text
    assert "▸□ · 2 What do its events say" in text
    await pilot.press("c")
    copied = tmp_path / "last-command"
    await until(pilot, copied.exists)
    assert copied.read_text().strip() == "kubectl --context prod-h100 -n shop describe pod search-1"
    await pilot.press("l")
    assert "Five layers" not in screen_text(pilot)


async def test_what_hangs_on_namespaces_that_are_not_read_is_not_ticked(own: Path, tmp_path: Path) -> None:
    part = Reading(CONFIGURED, SourceState.LIVE, NOW, Configured(only_namespace="shop"))
    cluster = Cluster([*cluster_readings(node("n1"), pod("search-1", node="n1")), part])
    async with open_cockpit(cluster, tmp_path) as pilot:
        await pilot.press("l")
        facts = screen(pilot)._facts(NOW)
        answers = [judge(LayerTerm(layer), facts).state for layer in Layer]
        assert answers == [AnswerState.FINE] * 2 + [AnswerState.UNKNOWN] * 3


async def test_without_a_cause_it_is_the_quick_checklist_and_answers_live(own: Path, tmp_path: Path) -> None:
    cluster = Cluster(cluster_readings(node("n1"), pod("search-1", node="n1")))
    async with open_cockpit(cluster, tmp_path) as pilot:
        await pilot.press("l", "space")
        assert "▸■ ✓ 1 Are all pods well?" in screen_text(pilot)
        assert "1 of 6 done" in screen_text(pilot)
        changed = Changed("pods", (made(sick()),))
        cluster.publish(Reading("kubernetes/pods", SourceState.LIVE, NOW, changed))
        await until(pilot, lambda: "▸■ ✗ 1 Are all pods well?" in screen_text(pilot))
        assert "1 of 6 done" in screen_text(pilot)


async def test_ticks_notes_and_marks_carry_a_name_and_are_told(pilot: Pilot[int]) -> None:
    told: list[ChecklistEvent] = []
    checklist = screen(pilot).checklist
    checklist.who = "ana"
    checklist.listeners.append(told.append)
    await pilot.press("l", "space", "m", *"nl", "enter")
    assert "ticked by ana 02:41" in screen_text(pilot)
    assert "note: nl" in screen_text(pilot)
    await pilot.press("x", "x", "n", "m", "escape")
    assert [(event.did, event.step, event.who, event.note) for event in told] == [
        ("ticked", "describe", "ana", ""),
        ("note", "describe", "ana", "nl"),
        ("not applicable", "describe", "ana", ""),
        ("applicable again", "describe", "ana", ""),
    ]
    assert {(event.playbook, event.subject, event.at) for event in told} == {
        ("five-layers", Ref("StatefulSet", "shop", "search"), NOW)
    }


async def test_an_answer_is_followed_and_one_comes_back(pilot: Pilot[int]) -> None:
    await pilot.press("l", "N", "s")
    assert screen(pilot).checklist.step is not None
    assert "▸□ ✓ 11 Does the Service have ready endpoints?" in screen_text(pilot)
    await pilot.press("b")
    assert "▸□ · 1 Which state is the pod in" in screen_text(pilot)


async def test_another_playbook_is_chosen_by_typing(pilot: Pilot[int]) -> None:
    await pilot.press("l", "p", *"nospace", "enter")
    await until(pilot, lambda: "etcd is full (NOSPACE)" in screen_text(pilot))
    assert "▸□ ? 1 Is no alarm up?" in screen_text(pilot)
    await pilot.press("p", "escape")
    assert "etcd is full (NOSPACE)" in screen_text(pilot)


async def test_a_playbook_for_what_the_cluster_does_not_have_is_not_offered(own: Path, tmp_path: Path) -> None:
    def offered(pilot: Pilot[int]) -> set[str]:
        return {playbook.id for playbook in screen(pilot).checklist.offered(screen(pilot)._facts(NOW))}

    cluster = Cluster(cluster_readings(node("n1"), pod("web-1", node="n1")))
    async with open_cockpit(cluster, tmp_path) as pilot:
        await pilot.press("l")
        assert "istio-inference" in offered(pilot)
    readings = [
        Reading(item.source, SourceState.ABSENT, NOW) if item.source.endswith(("lservices", "onrules")) else item
        for item in cluster_readings(node("n1"), pod("web-1", node="n1"))
    ]
    async with open_cockpit(Cluster(readings), tmp_path) as pilot:
        await pilot.press("l")
        assert "istio-inference" not in offered(pilot)
        assert "dns" in offered(pilot)


async def test_what_a_command_lacks_is_chosen_with_enter(own: Path, tmp_path: Path) -> None:
    cluster = Cluster(cluster_readings(node("n1"), pod("web-1", node="n1"), pod("db-1", namespace="data", node="n1")))
    async with open_cockpit(cluster, tmp_path) as pilot:
        await pilot.press("l", "n", "n", "c")
        assert "kubectl describe pod <pod>" in screen_text(pilot)
        assert "not known: <pod>, <namespace>" in screen_text(pilot)
        assert not (tmp_path / "last-command").exists()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, ChoiceScreen))
        await pilot.press(*"db", "enter")
        await until(pilot, lambda: "describe pod db-1" in screen_text(pilot))


async def test_what_changes_something_is_held_back_until_the_look_before_is_ticked(pilot: Pilot[int]) -> None:
    await pilot.press("l", "p", *"not ready", "enter", *"n" * 9)
    await until(pilot, lambda: "10 Move its pods away." in screen_text(pilot))
    pane = screen(pilot).query_one(ChecklistPane)
    assert pane.step is not None
    assert "kubectl --context prod-h100 drain n1" in pane.step.command
    held = pod("waits", node="", phase="Pending", ready=False)
    cluster_changed = Changed("pods", (made(held),))
    app = pilot.app
    assert isinstance(app, Cockpit)
    app.feed.publish(Reading("kubernetes/pods", SourceState.LIVE, NOW, cluster_changed))
    await until(pilot, lambda: "step 9 is answered with no" in screen_text(pilot))
    assert pane.step.command == ""
    await pilot.press("N", "space", "n")
    assert "drain n1" in pane.step.command


async def test_it_works_on_80x24(cluster: Cluster, tmp_path: Path) -> None:
    async with open_cockpit(cluster, tmp_path, size=(80, 24)) as pilot:
        await pilot.press("l")
        await until(pilot, lambda: "describe pod search-1" in screen_text(pilot))
        for _ in range(20):
            await pilot.press("n")
            step = screen(pilot).query_one(ChecklistPane).step
            assert step is not None
            await until(pilot, lambda ask=step.ask: ask[:30] in screen_text(pilot))  # type: ignore[misc]
        assert "l close" in screen_text(pilot)


async def test_a_bad_file_is_told_once_and_the_others_load(own: Path, cluster: Cluster, tmp_path: Path) -> None:
    (own / "bad.md").write_text("+++\nid = 3\n+++\n")
    async with open_cockpit(cluster, tmp_path) as pilot:
        await until(pilot, lambda: "bad.md:2" in screen_text(pilot))
        await pilot.press("l", "l", "l")
        assert len(screen(pilot).checklist.library.problems) == 1
        assert "Five layers" in screen_text(pilot)


async def test_escape_closes_the_checklist_before_it_lets_go_of_the_focus(pilot: Pilot[int]) -> None:
    await pilot.press("1", "l", "escape")
    assert not screen(pilot).query_one(ChecklistPane).display
    assert not screen(pilot).attention.focus.is_cluster
    await pilot.press("escape")
    assert screen(pilot).attention.focus.is_cluster


async def test_escape_lets_go_of_the_focus_first_while_a_pane_has_the_keyboard(pilot: Pilot[int]) -> None:
    await pilot.press("1", "l", "tab", "escape")
    assert screen(pilot).query_one(ChecklistPane).display
    assert screen(pilot).attention.focus.is_cluster
    await pilot.press("escape")
    assert not screen(pilot).query_one(ChecklistPane).display


async def test_a_key_pressed_twice_in_a_hurry_opens_one_list(pilot: Pilot[int]) -> None:
    await pilot.press("l")
    checklist = screen(pilot).query_one(ChecklistPane)
    for _ in range(2):
        checklist.post_message(ChecklistPane.PlaybookWanted())
    await until(pilot, lambda: isinstance(pilot.app.screen, ChoiceScreen))
    await pilot.pause()
    assert sum(isinstance(item, ChoiceScreen) for item in pilot.app.screen_stack) == 1
    await pilot.press("escape")
    await until(pilot, lambda: not isinstance(pilot.app.screen, ChoiceScreen))
