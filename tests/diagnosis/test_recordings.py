"""Recordings of real clusters, second by second: what must be said, what must not, and nothing that comes and goes."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from diagnosis.engine import Engine, diagnose
from situation.findings import Diagnosis, Finding, Layer, Severity
from situation.meta import Ref
from situation.situation import Situation
from tape.player import Playback, play
from tape.reader import Tape
from tests.diagnosis.objects import shape

ROOT: Final = Path(__file__).parents[2]
HEALTHY: Final = ROOT / "tests/data/gpu_healthy.jsonl.gz"
FAULTS: Final = ROOT / "simulator/scenarios/faults_a.jsonl.gz"
NOUVEAU: Final = ROOT / "simulator/scenarios/gpu_driver_nouveau.jsonl.gz"


class Moment(NamedTuple):
    """One second of a recording."""

    t: int
    diagnosis: Diagnosis


@cache
def seconds(path: Path) -> tuple[Playback, ...]:
    last = max(frame.t for frame in Tape(path).frames())
    return tuple(play(path, at=float(t)) for t in range(int(last) + 2))


def watched(path: Path) -> Iterator[tuple[Moment, Situation]]:
    """Yield each second as the cockpit sees it: one engine, judging only what changed."""
    situation, engine = Situation(), Engine()
    for t, played in enumerate(seconds(path)):
        changes = [change for reading in played.readings for change in situation.apply(reading)]
        yield Moment(t, engine.judge(situation, changes, played.now)), situation


def grave(diagnosis: Diagnosis) -> list[Finding]:
    return [cause for cause in diagnosis.causes if cause.severity is not Severity.INFO]


def test_a_gpu_node_that_comes_up_is_never_worth_a_warning_and_clean_at_the_end() -> None:
    *_, (last, _) = moments = list(watched(HEALTHY))
    assert [(moment.t, cause.key) for moment, _ in moments for cause in grave(moment.diagnosis)] == []
    assert [cause.key for cause in last.diagnosis.causes] == []


APPLICATION, SCHEDULING, NETWORK, NODE = Layer.APPLICATION, Layer.SCHEDULING, Layer.NETWORK, Layer.NODE
EXPECTED: Final = {
    FAULTS: {
        ("crash-loop", APPLICATION, Ref("Deployment", "shop", "checkout")),
        ("oom-killed", APPLICATION, Ref("Deployment", "shop", "cart")),
        ("image-pull", APPLICATION, Ref("Deployment", "shop", "search")),
        ("missing-config", APPLICATION, Ref("Pod", "shop", "needs-secret")),
        ("not-ready", APPLICATION, Ref("Deployment", "shop", "web")),
        ("selector-matches-nothing", NETWORK, Ref("Service", "shop", "orders")),
        ("gpus-short", SCHEDULING, Ref("Deployment", "inference", "vllm-llama3-8b")),
        ("node-selector", SCHEDULING, Ref("Pod", "inference", "wants-a100")),
        ("storage-class-missing", SCHEDULING, Ref("PersistentVolumeClaim", "inference", "model-cache")),
        ("quota-refused", SCHEDULING, Ref("ResourceQuota", "inference", "gpu-quota")),
    },
    NOUVEAU: {("gpu-link-broken", NODE, Ref("DaemonSet", "gpu-operator", "nvidia-driver-daemonset"))},
}


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.name.partition(".")[0])
def test_the_causes_at_the_end_are_the_faults_and_no_more(path: Path) -> None:
    *_, (last, _) = watched(path)
    assert {(cause.rule, cause.layer, cause.subject) for cause in last.diagnosis.causes} == EXPECTED[path]


def test_what_a_dead_driver_brings_about_is_folded_under_it() -> None:
    *_, (last, _) = watched(NOUVEAU)
    [cause] = last.diagnosis.causes
    assert (cause.severity, cause.node) == (Severity.CRITICAL, "real-node-1")
    waits = {finding.subject.name for finding in cause.consequences if finding.rule == "gpu-link-waits"}
    assert waits == {
        "nvidia-container-toolkit-daemonset",
        "nvidia-operator-validator",
        "nvidia-device-plugin-daemonset",
        "gpu-feature-discovery",
        "nvidia-dcgm-exporter",
        "nvidia-mig-manager",
    }
    others = {(found.rule, found.subject.name, found.count) for found in cause.consequences} - {
        ("gpu-link-waits", name, 1) for name in waits
    }
    assert others == {("node-gpus-lost", "real-node-1", 1), ("gpus-short", "vllm-llama3-8b", 2)}


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.name.partition(".")[0])
def test_no_grave_finding_goes_away_while_its_fault_lasts(path: Path) -> None:
    """All faults of these recordings last to their ends."""
    before: set[str] = set()
    for moment, _ in watched(path):
        now = {key for cause in grave(moment.diagnosis) for key in (cause.key, *(c.key for c in cause.consequences))}
        assert before <= now, f"at {moment.t} s gone: {before - now}"
        before = now


@pytest.mark.parametrize("path", [HEALTHY, FAULTS, NOUVEAU], ids=lambda path: path.name.partition(".")[0])
def test_judging_what_changed_says_the_same_as_judging_everything(path: Path) -> None:
    for moment, situation in watched(path):
        assert moment.diagnosis.judged_at is not None
        assert shape(moment.diagnosis) == shape(diagnose(situation, moment.diagnosis.judged_at)), f"at {moment.t} s"
