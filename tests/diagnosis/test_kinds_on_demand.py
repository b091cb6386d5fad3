"""A kind that is read because a verdict wanted it has only those judged anew to whom it tells something."""

from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from diagnosis.catalogue import ALL
from diagnosis.engine import Engine
from diagnosis.on_demand import LATELY
from diagnosis.rule import CLEAR, Rule, Unknown, Verdict, rule
from situation.findings import Layer, Mark, Severity
from situation.kinds import KINDS, ON_DEMAND
from situation.meta import Ref
from situation.readings import Listed, Reading, SourceState
from situation.situation import Situation
from tests.build import NOW, Manifest, ago, made, node, pod, situation
from tests.diagnosis.healthy import HEALTHY
from tests.diagnosis.model_servers import findings
from tests.diagnosis.objects import lease, ready_condition, service, shape
from tests.diagnosis.test_claims import about, claim, user, volume
from tests.diagnosis.test_engine import fired, titles
from tests.diagnosis.test_gpu_operator import DRA
from tests.diagnosis.test_scheduling import CLAIM_SPEC
from tests.diagnosis.unscheduled import none_of, waiting
from tests.gpu_objects import bare_node
from tests.gpu_resources import claimant, device_claim, devices

CLASSES: Final = "priorityclasses"


@rule("wants", signature="T-1", layer=Layer.NODE, severity=Severity.WARNING, kind="Node", looks_at="-")
def wants(subject: Any, known: Situation, now: datetime) -> Verdict:
    """A node that cannot be judged without the classes."""
    if subject.name != "odd":
        return CLEAR
    if not known.knows(CLASSES):
        return Unknown("not read", wants=CLASSES)
    return fired(Ref("Node", "", subject.name), "is odd")


@rule("needs", signature="T-2", layer=Layer.NETWORK, severity=Severity.WARNING, kind="Service", looks_at="-",
      needs=(CLASSES,))  # fmt: skip
def needs(subject: Any, known: Situation, now: datetime) -> Verdict:
    """Is not asked without the classes."""
    return fired(Ref("Service", subject.namespace, subject.name), "is wrong")


@pytest.fixture
def asked() -> list[str]:
    """Names of all nodes that were judged, in order."""
    return []


@pytest.fixture
def rules(asked: list[str]) -> tuple[Rule, ...]:
    @rule("counts", signature="T-3", layer=Layer.NODE, severity=Severity.WARNING, kind="Node", looks_at="-")
    def counts(subject: Any, known: Situation, now: datetime) -> Verdict:
        """Is always clear, and counts."""
        asked.append(subject.name)
        return CLEAR

    return (wants, needs, counts)


def read(known: Situation, name: str, *manifests: dict[str, Any]) -> list[Any]:
    kind = next(kind for kind in ON_DEMAND if kind.name == name)
    return known.apply(
        Reading(kind.source, SourceState.LIVE, NOW, Listed(name, tuple(made(item) for item in manifests)))
    )


def test_only_who_wants_or_needs_it_is_judged_anew(rules: tuple[Rule, ...], asked: list[str]) -> None:
    known = situation(node("odd"), node("fine"), service(), missing={CLASSES: SourceState.STARTING})
    engine = Engine(rules)
    first = engine.judge(known, (), NOW)
    assert (titles(first), first.wanted) == ([], frozenset({CLASSES}))
    asked.clear()
    changes = read(known, CLASSES)
    assert sorted(titles(engine.judge(known, changes, NOW))) == ["odd is odd x1", "web is wrong x1"]
    assert asked == ["odd"]


def test_a_kind_that_is_watched_has_everything_judged_anew(rules: tuple[Rule, ...], asked: list[str]) -> None:
    known = situation(node("odd"), node("fine"), missing={"services": SourceState.STARTING})
    engine = Engine(rules)
    engine.judge(known, (), NOW)
    asked.clear()
    known.apply(Reading("kubernetes/services", SourceState.LIVE, NOW, Listed("services", ())))
    engine.judge(known, (), NOW)
    assert asked == ["odd", "fine"]


SICK: Final = (
    node("gone", conditions=ready_condition("Unknown", reason="NodeStatusUnknown")),
    pod("waits", node="", phase="Pending", ready=False, age_s=900, spec={"volumes": [
        {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]},
        status={"conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable",
                                "message": "pod has unbound immediate PersistentVolumeClaims"}]}),
    {"kind": "PersistentVolumeClaim", "metadata": {"name": "data", "namespace": "shop", "uid": "u",
                                                   "creationTimestamp": "2026-01-01T00:00:00Z"},
     "spec": {"resources": {"requests": {"storage": "1Gi"}}}, "status": {"phase": "Pending"}},
)  # fmt: skip


@pytest.mark.parametrize("name", [kind.name for kind in ON_DEMAND])
def test_with_the_real_rules_it_says_the_same_as_judging_all_from_scratch(name: str) -> None:
    known = situation(*HEALTHY, *SICK, missing={name: SourceState.STARTING})
    engine = Engine(ALL)
    engine.judge(known, (), NOW)
    objects = [item for item in (*HEALTHY, *SICK) if item["kind"] == next(k.kind for k in ON_DEMAND if k.name == name)]
    mine = [item for item in objects if name != "nodeleases" or item["metadata"]["namespace"] == "kube-node-lease"]
    changes = read(known, name, *mine)
    assert shape(engine.judge(known, changes, NOW)) == shape(Engine(ALL).judge(known, (), NOW))


def unread_for(known: Situation, name: str, now: datetime) -> None:
    """Confirm all other sources: nobody asked for this one since NOW."""
    for kind in KINDS:
        if kind.name != name:
            known.apply(Reading(kind.source, SourceState.LIVE, now))


LEASE: Final = lease("node-1", age_s=8, namespace="kube-node-lease")
NO_VOLUME: Final = "no persistent volumes available for this claim and no storage class is set"
STOOD_ON: Final[dict[str, tuple[str, list[Manifest]]]] = {
    "node-unreachable": ("nodeleases", [node(conditions=ready_condition("Unknown", reason="Lost")), LEASE]),
    "no-volume-fits": ("persistentvolumes", [claim(), user(), volume("pv", "Released"),
                                             {**about("FailedBinding", NO_VOLUME), "lastTimestamp": ago(-400)}]),
    "volume-elsewhere": ("persistentvolumes", [
        waiting(none_of(1, "1 node(s) didn't match PersistentVolume's node affinity"), spec=CLAIM_SPEC), node(),
        claim(phase="Bound", volumeName="pv-1"), volume("pv-1", nodeAffinity={"required": {"nodeSelectorTerms": [
            {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}]}})]),
    "no-volume-to-bind": ("persistentvolumes", [
        waiting(none_of(1, "1 node(s) didn't find available persistent volumes to bind"), spec=CLAIM_SPEC), node(),
        claim(), volume("pv-1", "Released")]),
    "device-claim": ("resourceslices", [waiting(none_of(1, "cannot allocate all claims")), node(), devices()]),
    "gpu-devices-not-published": ("resourceslices", [DRA]),
}  # fmt: skip
"""Rules whose evidence stands on what is read only while it is wanted."""


@pytest.mark.parametrize(("kind", "manifests"), STOOD_ON.values(), ids=STOOD_ON)
def test_what_a_finding_stands_on_is_read_again_and_is_no_evidence_when_it_is_old(
    kind: str, manifests: list[Manifest], request: pytest.FixtureRequest
) -> None:
    rule_id = request.node.callspec.id
    known, engine = situation(*manifests), Engine()
    first = engine.judge(known, (), NOW)
    (finding,) = [item for item in findings(first) if item.rule == rule_id]
    assert f"kubernetes/{kind}" in {line.source for line in finding.evidence if line.mark is not Mark.OPEN}
    assert kind in first.wanted
    later = NOW + LATELY + timedelta(seconds=10)
    unread_for(known, kind, later)
    second = engine.judge(known, (), later)
    assert kind in second.wanted
    lines = [line for item in findings(second) if item.rule == rule_id for line in item.evidence]
    assert f"kubernetes/{kind}" not in {line.source for line in lines if line.mark is not Mark.OPEN}


def test_a_pod_that_gets_stuck_later_has_its_claims_read_then() -> None:
    """What was read for another pod may lack its claim: it is no word that it has none."""
    known, engine = situation(bare_node(), claimant(), device_claim()), Engine()
    assert {"resourceclaims", "resourceslices"} <= engine.judge(known, (), NOW).wanted
    known = situation(bare_node(), claimant(-300))
    later = NOW + timedelta(seconds=700)
    unread_for(known, "resourceclaims", later)
    assert "resourceclaims" in Engine().judge(known, (), later).wanted
    listed = Listed("resourceclaims", (made(device_claim()),))
    known.apply(Reading("kubernetes/resourceclaims", SourceState.LIVE, later, listed))
    assert "device-driver-gone" in {item.rule for item in findings(Engine().judge(known, (), later))}


def test_a_lease_is_as_old_as_it_was_when_it_was_read() -> None:
    known, engine = situation(node(conditions=ready_condition("Unknown", reason="Lost")), LEASE), Engine()
    (finding,) = engine.judge(known, (), NOW + timedelta(seconds=58)).causes
    (line,) = [line for line in finding.evidence if line.source == "kubernetes/nodeleases"]
    assert line.mark is Mark.EXCLUDES
    assert line.text.startswith("its lease was renewed 8s before it was read: the kubelet reaches the API server")
