"""The drill: nothing of the diagnosis is seen before the answer, and the score is fair."""

from pathlib import Path

import pytest
from textual.widgets import OptionList, Static

from diagnosis.catalogue import ALL
from playbooks.commands import Target
from situation.findings import Diagnosis, Finding, Layer, Severity
from situation.meta import Ref
from tests.build import NOW, pod
from tests.tui.cockpits import Cluster, cluster_readings
from tui.drill import BEST, OPTIONS, Answer, Choice, choices, score
from tui.drill_app import AskScreen, DrillCockpit, ScoreScreen
from tui.themes import load_themes
from widgets.causes import CausesPane
from widgets.checklist import ChecklistPane
from widgets.evidence import EvidencePane
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


@pytest.mark.parametrize("size", [(120, 40), (80, 24)])
async def test_the_diagnosis_is_hidden_until_the_answer(size: tuple[int, int], tmp_path: Path) -> None:
    broken = pod("web-1", ready=False, container_status={"state": {"waiting": {"reason": "ImagePullBackOff"}}})
    app = DrillCockpit(
        Cluster(cluster_readings(broken)),
        Target("demo"),
        scenario="by hand",
        themes=load_themes(None),
        theme="midwatch-dark",
        ansi_color=None,
        hz=10,
        mode="drill",
        state_dir=tmp_path,
        environ={},
        keymap={},
        clock=lambda: NOW,
    )
    async with app.run_test(size=size) as pilot:
        while app.feed.diagnosis.judged_at is None:
            await pilot.pause(0.05)
        await pilot.pause()
        hidden = [app.cockpit.query_one(kind) for kind in (LayerStrip, CausesPane, EvidencePane)]
        assert not any(pane.is_on_screen for pane in hidden)
        for key in ("c", "C", "l", "n", str(int(Layer.APPLICATION)), "L", "tab", "tab"):
            await pilot.press(key)
        assert app.screen is app.cockpit
        assert not (tmp_path / "last-command").exists()
        assert app.cockpit.attention.focus.is_cluster
        assert not any(pane.is_on_screen for pane in (*hidden, app.cockpit.query_one(ChecklistPane)))
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
        assert all(pane.is_on_screen for pane in hidden)
