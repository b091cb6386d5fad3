"""The drill: nothing of the diagnosis is seen before the answer, and the score is fair."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import OptionList, Static

from diagnosis.catalogue import ALL
from playbooks.commands import Target
from situation.findings import Diagnosis, Finding, Layer, Severity
from situation.logs import LogLine, LogRun, LogTarget, PodLog
from situation.meta import Ref
from situation.readings import Reading, SourceState
from tests.build import NOW, node, pod
from tests.gpu_chains import HandMadeFleet, crashing, fine
from tests.model_servers import deployment, overloaded, vllm_pod
from tests.tui.cockpits import Cluster, cluster_readings, screen_text, until
from tui.connection import LogReader
from tui.drill import BEST, OPTIONS, Answer, Choice, choices, score
from tui.drill_app import AskScreen, DrillCockpit, ScoreScreen
from tui.themes import load_themes
from widgets.causes import CausesPane
from widgets.checklist import ChecklistPane
from widgets.evidence import EvidencePane
from widgets.gpu_chain import GpuChain
from widgets.layers import LayerStrip

SUMMARIES = {rule.id: rule.summary for rule in ALL}


def finding(
    rule: str, layer: Layer, severity: Severity = Severity.CRITICAL, *, follows: tuple[Finding, ...] = ()
) -> Finding:
    return Finding(rule, "", layer, severity, Ref("Node", "", "gpu-1"), f"{rule} here", (), (), consequences=follows)


SYMPTOM = finding("no-ready-endpoint", Layer.NETWORK)
DIAGNOSIS = Diagnosis(
    (
        finding("gpu-link-broken", Layer.NODE, follows=(SYMPTOM,)),
        finding("image-pull", Layer.APPLICATION),
        finding("gpu-throttled", Layer.NODE, Severity.INFO),
    ),
    judged_at=NOW,
)


def answer(layer: Layer, rule: str) -> Answer:
    return Answer(layer, Choice(rule, SUMMARIES[rule]), 102.0)


@pytest.mark.parametrize(
    ("layer", "rule", "points", "said"),
    [
        (Layer.NODE, "gpu-link-broken", BEST, "Right"),
        (Layer.NODE, "image-pull", 2, "something graver is"),
        (Layer.APPLICATION, "gpu-link-broken", 2, "it is not the gravest"),
        (Layer.NETWORK, "no-ready-endpoint", 0, "It only follows from: gpu-link-broken here"),
        (Layer.SCHEDULING, "dns-down", 0, "nothing is wrong there"),
        (Layer.NODE, "quota-refused", 1, "That is not the case"),
    ],
)
def test_what_answers_are_worth(layer: Layer, rule: str, points: int, said: str) -> None:
    summaries = SUMMARIES | {"dns-down": "Names cannot be resolved."}
    result = score(Answer(layer, Choice(rule, summaries[rule]), 102.0), DIAGNOSIS)
    assert result.points == points
    assert said in "\n".join(result.lines)
    assert "the diagnosis: gpu-link-broken here" in "\n".join(result.lines)
    assert "102s" in result.lines[0]


def test_the_cause_is_among_the_choices_and_they_do_not_depend_on_chance() -> None:
    offered = choices(DIAGNOSIS, SUMMARIES, "gpu_lost")
    assert len({item.rule for item in offered}) == len(offered) == OPTIONS
    assert "gpu-link-broken" in {item.rule for item in offered}
    assert offered == choices(DIAGNOSIS, SUMMARIES, "gpu_lost")
    assert offered != choices(DIAGNOSIS, SUMMARIES, "another")
    assert not any("gpu-1" in item.text for item in offered)


def test_without_a_cause_nothing_is_compared() -> None:
    assert score(answer(Layer.NODE, "image-pull"), Diagnosis(judged_at=NOW)).points == 0


@asynccontextmanager
async def drill(
    tmp_path: Path,
    *readings: Reading,
    size: tuple[int, int],
    keymap: dict[str, str] | None = None,
    fleet: HandMadeFleet | None = None,
    read_log: LogReader | None = None,
) -> AsyncIterator[Pilot[int]]:
    cluster = Cluster(readings)
    cluster.read_log = read_log
    app = DrillCockpit(
        cluster,
        Target("demo"),
        scenario="by hand",
        themes=load_themes(None),
        theme="midwatch-dark",
        ansi_color=None,
        hz=10,
        mode="drill",
        state_dir=tmp_path,
        environ={},
        keymap=keymap or {},
        clock=lambda: NOW,
    )
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: app.feed.diagnosis.judged_at is not None)
        if fleet is not None:
            app.feed.fleet = fleet  # type: ignore[assignment]
        for _ in range(2):  # what came is painted in the second
            app.cockpit.paint(None)
            await pilot.pause()
        yield pilot


def drilled(pilot: Pilot[int]) -> DrillCockpit:
    assert isinstance(pilot.app, DrillCockpit)
    return pilot.app


def notices(pilot: Pilot[int]) -> list[str]:
    return [notification.message for notification in pilot.app._notifications]


async def answer_right(pilot: Pilot[int]) -> None:
    app = drilled(pilot)
    cause = app.feed.diagnosis.causes[0]
    await pilot.press("D")
    assert isinstance(app.screen, AskScreen)
    app.screen.query_one(OptionList).highlighted = int(cause.layer) - 1
    await pilot.press("enter")
    offered = choices(app.feed.diagnosis, SUMMARIES, "by hand")
    app.screen.query_one(OptionList).highlighted = [item.rule for item in offered].index(cause.rule)
    await pilot.press("enter")
    assert isinstance(app.screen, ScoreScreen)
    assert f"{BEST} of {BEST} points" in str(app.screen.query_one(Static).render())
    await pilot.press("enter")
    await pilot.pause()


def image_missing() -> list[Reading]:
    broken = pod("web-1", ready=False, container_status={"state": {"waiting": {"reason": "ImagePullBackOff"}}})
    return cluster_readings(broken)


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_the_diagnosis_is_hidden_until_the_answer(size: tuple[int, int], tmp_path: Path) -> None:
    async with drill(tmp_path, *image_missing(), size=size) as pilot:
        app = drilled(pilot)
        hidden = [app.cockpit.query_one(kind) for kind in (LayerStrip, CausesPane, EvidencePane)]
        assert not any(pane.is_on_screen for pane in hidden)
        for key in ("c", "C", "l", "n", str(int(Layer.APPLICATION)), "L", "tab", "tab"):
            await pilot.press(key)
        assert app.screen is app.cockpit
        assert not (tmp_path / "last-command").exists()
        assert app.cockpit.attention.focus.is_cluster
        assert not any(pane.is_on_screen for pane in (*hidden, app.cockpit.query_one(ChecklistPane)))
        await answer_right(pilot)
        assert all(pane.is_on_screen for pane in hidden)


@pytest.mark.parametrize("key", ["c", "l", "t", "1", "J"])
async def test_a_key_that_would_tell_the_diagnosis_says_until_when_it_does_not(key: str, tmp_path: Path) -> None:
    async with drill(tmp_path, *image_missing(), size=(120, 40), keymap={"drill.answer": "A"}) as pilot:
        assert "A answers" in screen_text(pilot)
        await pilot.press(key)
        await until(pilot, lambda: notices(pilot) == ["hidden until A: it would tell what was found"])
        await pilot.press("j", "tab", "slash", key)
        await pilot.pause()
        assert len(notices(pilot)) == 1, "what works, and text, need no word"


async def test_the_palette_leads_to_nothing_that_is_hidden(tmp_path: Path) -> None:
    async with drill(tmp_path, *image_missing(), size=(120, 40)) as pilot:
        told = {
            "Copy the next command",
            "Checklist",
            "Timeline",
            *(f"Layer {item.value}: {item.title}" for item in Layer),
        }
        offered = [command.title for command in pilot.app.get_system_commands(pilot.app.screen)]
        assert "Log" in offered
        assert not told & set(offered)
        await answer_right(pilot)
        assert told <= {command.title for command in pilot.app.get_system_commands(pilot.app.screen)}


async def test_panes_show_states_and_figures_and_not_what_they_mean(tmp_path: Path) -> None:
    serving = "llama-8b-7d9f8b6c5-0xvka"
    objects = [
        node("gpu-1"), node("gpu-2"), *deployment("llama-8b", 1, 1), vllm_pod(serving, "llama-8b", node="gpu-1"),
    ]  # fmt: skip
    readings = [*cluster_readings(*objects), *overloaded(serving)]
    fleet = HandMadeFleet(fine("gpu-1"), crashing("gpu-2"))
    async with drill(tmp_path, *readings, size=(160, 50), fleet=fleet) as pilot:
        explained = ("7 wait for it", "queue grows by", "runs as many as it may", "KV cache stays full")
        text = screen_text(pilot)
        for evidence in ("▲ driver", "fails: crashes, exit 1 ×4", "1 of 2 nodes broken", "● 256", "▲ 96", "▲ 97%"):
            assert evidence in text
        assert not [words for words in explained if words in text]
        chain = drilled(pilot).cockpit.query_one(GpuChain)
        chain.focus()
        await pilot.press("right")
        await until(pilot, lambda: "toolkit waits 0/1" in screen_text(pilot))
        assert "for driver" not in screen_text(pilot)
        drilled(pilot)._screen.reveal()
        await until(pilot, lambda: "for driver" in screen_text(pilot))
        chain.focus()
        await pilot.press("left")
        await until(pilot, lambda: all(words in screen_text(pilot) for words in explained[:3]))


async def test_what_a_log_tells_is_hidden_and_its_lines_are_not(tmp_path: Path) -> None:
    async def read(target: LogTarget) -> PodLog:
        line = LogLine("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB")
        return PodLog(target, LogRun(state=SourceState.ABSENT), LogRun((line,)), NOW)

    readings = cluster_readings(pod("llama-0", ready=False), node("n1"))
    async with drill(tmp_path, *readings, size=(120, 40), read_log=read) as pilot:
        await pilot.press("enter")
        for explains in (False, True):
            drilled(pilot).cockpit.painter.explains = explains
            await pilot.press("L")
            await until(pilot, lambda: "▸ " in screen_text(pilot) and "CUDA out of memory. Tried" in screen_text(pilot))
            assert ("hidden until the answer" in screen_text(pilot)) is not explains
            assert ("why:" in screen_text(pilot)) is explains
            await pilot.press("q")
