"""A kind that is read because a verdict wanted it has only those judged anew to whom it tells something."""

from datetime import datetime
from typing import Any, Final

import pytest

from diagnosis.catalogue import ALL
from diagnosis.engine import Engine
from diagnosis.rule import CLEAR, Rule, Unknown, Verdict, rule
from situation.findings import Layer, Severity
from situation.kinds import ON_DEMAND
from situation.meta import Ref
from situation.readings import Listed, Reading, SourceState
from situation.situation import Situation
from tests.build import NOW, made, node, pod, situation
from tests.diagnosis.healthy import HEALTHY
from tests.diagnosis.objects import ready_condition, service, shape
from tests.diagnosis.test_engine import fired, titles

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
