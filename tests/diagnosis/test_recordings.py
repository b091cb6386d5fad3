"""Recordings of real clusters, second by second: what must be said, what must not, and nothing that comes and goes."""

from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from diagnosis.engine import Engine, diagnose
from situation.findings import Diagnosis, Finding, Layer, Severity
from situation.meta import Ref
from situation.situation import Situation
from tape.playhead import Playhead
from tests.diagnosis.objects import shape

ROOT: Final = Path(__file__).parents[2]
HEALTHY: Final = ROOT / "tests/data/gpu_healthy.jsonl.gz"
FAULTS: Final = ROOT / "simulator/scenarios/faults_a.jsonl.gz"
NOUVEAU: Final = ROOT / "simulator/scenarios/gpu_driver_nouveau.jsonl.gz"


class Moment(NamedTuple):
    """One second of a recording."""

    t: int
    diagnosis: Diagnosis
    """By one engine that judges what changed, as in the cockpit."""
    anew: Diagnosis
    """All judged, and nothing remembered."""


@cache
def watched(path: Path) -> tuple[Moment, ...]:
    """Return each second as the cockpit sees it."""
    head, situation, engine = Playhead(path), Situation(), Engine()
    moments: list[Moment] = []
    while not head.is_at_end:
        t, now = len(moments), head.time_at(len(moments))
        changes = [change for reading in head.to(t) for change in situation.apply(reading)]
        moments.append(Moment(t, engine.judge(situation, changes, now), diagnose(situation, now)))
    return tuple(moments)


def grave(diagnosis: Diagnosis) -> list[Finding]:
    return [cause for cause in diagnosis.causes if cause.severity is not Severity.INFO]


def test_a_gpu_node_that_comes_up_is_never_worth_a_warning_and_clean_at_the_end() -> None:
    moments = watched(HEALTHY)
    assert [(moment.t, cause.key) for moment in moments for cause in grave(moment.diagnosis)] == []
    assert [cause.key for cause in moments[-1].diagnosis.causes] == []


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
    last = watched(path)[-1]
    assert {(cause.rule, cause.layer, cause.subject) for cause in last.diagnosis.causes} == EXPECTED[path]


def test_what_a_dead_driver_brings_about_is_folded_under_it() -> None:
    [cause] = watched(NOUVEAU)[-1].diagnosis.causes
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
    for moment in watched(path):
        now = {key for cause in grave(moment.diagnosis) for key in (cause.key, *(c.key for c in cause.consequences))}
        assert before <= now, f"at {moment.t} s gone: {before - now}"
        before = now


@pytest.mark.parametrize("path", [HEALTHY, FAULTS, NOUVEAU], ids=lambda path: path.name.partition(".")[0])
def test_judging_what_changed_says_the_same_as_judging_everything(path: Path) -> None:
    for moment in watched(path):
        assert shape(moment.diagnosis) == shape(moment.anew), f"at {moment.t} s"
