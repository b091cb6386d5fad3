"""The engine and folding, with rules made for the purpose."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from diagnosis.catalogue import ALL
from diagnosis.commands import fact, kubectl
from diagnosis.engine import Engine
from diagnosis.fold import TITLE_LIMIT
from diagnosis.rule import CLEAR, Clear, Fired, Rule, Unknown, Verdict, Wait, rule
from situation.findings import Diagnosis, Layer, LayerState, Severity
from situation.meta import CLUSTER, Ref
from situation.readings import Changed, Listed, Reading, SourceState
from situation.selectors import is_ready
from situation.serving.view import ServerView
from situation.situation import Situation
from tests.build import NOW, judged, made, node, pod, situation
from tests.serving_objects import server_pod

NEXT = (kubectl("get", "pods", purpose="?"),)
CHECKOUT = Ref("Deployment", "shop", "checkout")


def fired(about: Ref, title: str, **more: Any) -> Fired:
    return Fired(about, title, (fact("pods", "seen"),), NEXT, **more)


@rule("node-down", signature="T-5", layer=Layer.NODE, severity=Severity.CRITICAL, kind="Node", looks_at="Ready",
      needs=("nodes",), takes_down=True)  # fmt: skip
def node_down(subject: Any, known: Situation, now: datetime) -> Verdict:
    """A node is down."""
    if subject.status.conditions[0].status == "True":
        return CLEAR
    return fired(Ref("Node", "", subject.name), "is down")


@rule("unready", signature="T-1", layer=Layer.APPLICATION, severity=Severity.CRITICAL, kind="Pod", looks_at="Ready",
      needs=("pods",))  # fmt: skip
def unready(subject: Any, known: Situation, now: datetime) -> Verdict:
    """A pod is not ready."""
    if is_ready(subject):
        return CLEAR
    created = subject.metadata.creation_timestamp
    if now - created < timedelta(seconds=30):
        return Wait(created + timedelta(seconds=30))
    return fired(known.workload_of(subject), "is not ready", node=subject.spec.node_name)


@rule("second", signature="T-2", layer=Layer.APPLICATION, severity=Severity.WARNING, kind="Pod", looks_at="Ready")
def second(subject: Any, known: Situation, now: datetime) -> Verdict:
    """Would fire for the same pods."""
    return fired(known.workload_of(subject), "is also odd")


@rule("no-endpoint", signature="T-3", layer=Layer.NETWORK, severity=Severity.WARNING, kind="Service",
      looks_at="pods", needs=("services", "pods"))  # fmt: skip
def no_endpoint(subject: Any, known: Situation, now: datetime) -> Verdict:
    """A Service has no ready pod."""
    pods = known.pods_matching(subject.namespace, subject.spec.selector)
    if any(is_ready(item) for item in pods):
        return CLEAR
    follows = tuple(Ref("Pod", item.namespace, item.name) for item in pods)
    return fired(Ref("Service", subject.namespace, subject.name), "has no endpoint", follows=follows)


@rule("asks", signature="T-4", layer=Layer.CONTROL_PLANE, severity=Severity.INFO, kind="Cluster", looks_at="-")
def asks(subject: Any, known: Situation, now: datetime) -> Verdict:
    """Cannot tell without the priority classes."""
    assert subject is None
    return Clear() if known.knows("priorityclasses") else Unknown("not read", wants="priorityclasses")


RULES: tuple[Rule, ...] = (asks, node_down, unready, second, no_endpoint)


@pytest.fixture
def engine() -> Engine:
    return Engine(RULES)


def service(name: str = "web") -> dict[str, Any]:
    return {"kind": "Service", "metadata": {"name": name, "namespace": "shop"}, "spec": {"selector": {"app": "web"}}}


def titles(diagnosis: Diagnosis) -> list[str]:
    return [f"{cause.title} x{cause.count}" for cause in diagnosis.causes]


def test_ten_replicas_are_one_finding_with_ten_members(engine: Engine) -> None:
    pods = [pod(f"checkout-1-{n}", owner="ReplicaSet/checkout-1", labels={"pod-template-hash": "1"}, ready=False)
            for n in range(10)]  # fmt: skip
    diagnosis = engine.judge(situation(*pods), (), NOW)
    assert titles(diagnosis) == ["checkout is not ready x10"]
    assert diagnosis.causes[0].subject == CHECKOUT


def static(component: str, number: int) -> dict[str, Any]:
    node, labels = f"n{number}", {"component": component}
    return pod(
        f"{component}-{node}", namespace="kube-system", node=node, owner=f"Node/{node}", labels=labels, ready=False
    )


def test_static_pods_of_one_component_are_one_finding(engine: Engine) -> None:
    pods = [static(component, number) for component in ("etcd", "kube-scheduler") for number in (1, 2, 3)]
    diagnosis = engine.judge(situation(*pods, *(node(f"n{number}") for number in (1, 2, 3))), (), NOW)
    assert titles(diagnosis) == ["etcd on 3 nodes is not ready x3", "kube-scheduler on 3 nodes is not ready x3"]
    assert diagnosis.causes[0].subject == Ref("Pod", "kube-system", "etcd-n1")


def test_a_static_pod_on_a_node_that_is_down_follows_from_the_node_and_not_the_others(engine: Engine) -> None:
    nodes = (node("n1", ready="False"), node("n2"), node("n3"))
    diagnosis = engine.judge(situation(*nodes, *(static("etcd", number) for number in (1, 2, 3))), (), NOW)
    assert titles(diagnosis) == ["n1 is down x1", "etcd on 2 nodes is not ready x2"]
    assert [item.subject.name for item in diagnosis.causes[0].consequences] == ["etcd-n1"]


def test_pods_of_a_component_that_no_node_owns_are_told_apart(engine: Engine) -> None:
    pods = [pod(f"etcd-{n}", namespace="kube-system", labels={"component": "etcd"}, ready=False) for n in (1, 2)]
    assert len(engine.judge(situation(*pods), (), NOW).causes) == 2


def test_the_first_rule_that_fires_for_a_pod_is_its_fault(engine: Engine) -> None:
    diagnosis = engine.judge(situation(pod("a", ready=False)), (), NOW)
    assert [cause.rule for cause in diagnosis.causes] == ["unready"]


def test_pods_of_a_node_that_is_down_fold_under_it_and_what_follows_from_them_too(engine: Engine) -> None:
    known = situation(node("n1", ready="False"), node("n2"), pod("a", node="n1", ready=False), service())
    diagnosis = engine.judge(known, (), NOW)
    assert titles(diagnosis) == ["n1 is down x1"]
    assert [item.rule for item in diagnosis.causes[0].consequences] == ["unready", "no-endpoint"]
    assert diagnosis.causes[0].explains == 2


def test_a_workload_that_also_fails_on_a_good_node_is_not_explained_by_the_bad_one(engine: Engine) -> None:
    known = situation(
        node("n1", ready="False"),
        node("n2"),
        *(pod(f"a-{n}", owner="StatefulSet/a", node=f"n{n}", ready=False) for n in (1, 2)),
    )
    assert sorted(titles(engine.judge(known, (), NOW))) == ["a is not ready x2", "n1 is down x1"]


def test_a_rule_that_raises_silences_no_other_and_its_layer_is_not_called_fine(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    @rule("raises", signature="T-6", layer=Layer.NETWORK, severity=Severity.WARNING, kind="Pod", looks_at="-")
    def raises(subject: Any, known: Situation, now: datetime) -> Verdict:
        """Has an error of ours."""
        if subject.name != "sound":
            raise KeyError("x\x1b[31m")
        return CLEAR

    engine = Engine((raises, *RULES))
    known = situation(node("n1"), pod("a", ready=False), pod("b", ready=False))
    diagnosis = engine.judge(known, (), NOW)
    assert titles(diagnosis) == ["a is not ready x1", "b is not ready x1"]
    status = diagnosis.layers[Layer.NETWORK - 1]
    assert status.status is LayerState.UNKNOWN
    assert "internal error in raises: KeyError" in status.reason
    assert status.fault == status.reason.partition("; ")[0]
    assert "\x1b" not in status.reason
    assert len(caplog.records) == 1, "one fault, however many objects it hits, is logged once"
    gone = known.apply(Reading("kubernetes/pods", SourceState.LIVE, NOW, Listed("pods", (made(pod("sound")),))))
    after = engine.judge(known, gone, NOW)
    assert "internal error" not in after.layers[Layer.NETWORK - 1].reason, "what it failed on is gone"


def test_a_finding_is_withdrawn_when_the_object_recovers(engine: Engine) -> None:
    known = situation(pod("a", ready=False), service())
    assert titles(engine.judge(known, (), NOW)) == ["a is not ready x1"]
    changes = known.apply(Reading("kubernetes/pods", SourceState.LIVE, NOW, Changed("pods", (made(pod("a")),))))
    assert titles(engine.judge(known, changes, NOW)) == []


def test_a_deleted_objects_finding_goes_with_it(engine: Engine) -> None:
    known = situation(pod("a", ready=False))
    engine.judge(known, (), NOW)
    changes = known.apply(Reading("kubernetes/pods", SourceState.LIVE, NOW, Changed("pods", (), (("shop", "a"),))))
    assert titles(engine.judge(known, changes, NOW)) == []


def test_a_young_object_is_judged_again_when_its_time_has_come() -> None:
    engine = Engine((unready,))
    known = situation(pod("a", age_s=5, ready=False))
    assert titles(engine.judge(known, (), NOW)) == []
    assert titles(engine.judge(known, (), NOW + timedelta(seconds=24))) == []
    assert titles(engine.judge(known, (), NOW + timedelta(seconds=25))) == ["a is not ready x1"]


def test_a_rule_without_its_sources_is_not_asked_and_its_layer_is_unknown(engine: Engine) -> None:
    known = situation(service(), missing={"pods": SourceState.FORBIDDEN})
    diagnosis = engine.judge(known, (), NOW)
    assert titles(diagnosis) == []
    by_layer = {status.layer: status for status in diagnosis.layers}
    assert by_layer[Layer.APPLICATION].status is LayerState.UNKNOWN
    assert by_layer[Layer.APPLICATION].reason == "pods: forbidden (cannot list pods)"
    assert by_layer[Layer.NODE].status is LayerState.OK


def test_what_arrives_later_is_judged_then(engine: Engine) -> None:
    known = situation(service(), missing={"pods": SourceState.STARTING})
    engine.judge(known, (), NOW)
    listed = Listed("pods", (made(pod("a", ready=False)),))
    changes = known.apply(Reading("kubernetes/pods", SourceState.LIVE, NOW, listed))
    assert titles(engine.judge(known, changes, NOW)) == ["a is not ready x1"]


def test_findings_from_a_source_that_is_gone_say_since_when(engine: Engine) -> None:
    known = situation(pod("a", ready=False))
    engine.judge(known, (), NOW)
    known.apply(Reading("kubernetes/pods", SourceState.UNREACHABLE, NOW + timedelta(seconds=9), None, "refused"))
    later = NOW + timedelta(seconds=10)
    diagnosis = engine.judge(known, (), later)
    assert diagnosis.causes[0].as_of == NOW


def test_on_demand_kinds_are_wanted_only_while_a_rule_asks(engine: Engine) -> None:
    known = situation(missing={"priorityclasses": SourceState.STARTING})
    assert engine.judge(known, (), NOW).wanted == {"priorityclasses"}
    known.apply(Reading("kubernetes/priorityclasses", SourceState.LIVE, NOW, Listed("priorityclasses", ())))
    assert engine.judge(known, (), NOW).wanted == frozenset()


def test_causes_are_ranked_by_severity_then_by_what_they_explain(engine: Engine) -> None:
    known = situation(
        pod("lonely", ready=False, labels={"app": "other"}),
        *(pod(f"many-{n}", owner="StatefulSet/many", ready=False, labels={"app": "web"}) for n in range(3)),
        service("orphan") | {"spec": {"selector": {"app": "nobody"}}},
    )
    assert [cause.subject.name for cause in engine.judge(known, (), NOW).causes] == ["many", "lonely", "orphan"]


def test_circular_explanations_end() -> None:
    def circle(name: str, other: str) -> Rule:
        @rule(name, signature="T", layer=Layer.APPLICATION, severity=Severity.WARNING, kind="Cluster", looks_at="-")
        def judge(subject: Any, known: Situation, now: datetime) -> Verdict:
            """One of two that point at each other."""
            return fired(Ref("Pod", "", name), "odd", follows=(Ref("Pod", "", other),))

        return judge

    diagnosis = Engine((circle("a", "b"), circle("b", "a"))).judge(situation(), (), NOW)
    assert len(diagnosis.causes) == 1
    assert diagnosis.causes[0].explains == 1


def test_incremental_judging_gives_what_judging_from_scratch_gives(engine: Engine) -> None:
    known = situation(node("n1"), service())
    engine.judge(known, (), NOW)
    for step in _story():
        changes = known.apply(step)
        after = engine.judge(known, changes, NOW)
        assert after.causes == Engine(RULES).judge(known, (), NOW).causes


def _story() -> Iterator[Reading]:
    def pods(*manifests: Any) -> Reading:
        return Reading("kubernetes/pods", SourceState.LIVE, NOW, Changed("pods", tuple(made(m) for m in manifests)))

    def nodes(*manifests: Any) -> Reading:
        return Reading("kubernetes/nodes", SourceState.LIVE, NOW, Changed("nodes", tuple(made(m) for m in manifests)))

    yield pods(pod("a", node="n1", ready=False))
    yield nodes(node("n1", ready="False"))
    yield pods(pod("b", node="n1"))
    yield nodes(node("n1"))
    yield pods(pod("a", node="n1"))
    yield Reading("kubernetes/pods", SourceState.LIVE, NOW, Changed("pods", (), (("shop", "a"), ("shop", "b"))))


def test_every_rule_is_documented_and_has_its_own_id() -> None:
    assert len({item.id for item in ALL}) == len(ALL)
    for item in ALL:
        assert item.summary.endswith("."), item.id
        assert item.looks_at, item.id
        assert item.signature, item.id


def test_the_cluster_is_a_subject_of_its_own() -> None:
    assert str(CLUSTER) == "Cluster/"


def test_model_servers_are_judged_as_they_change_and_not_all_at_one_time() -> None:
    asked: list[str] = []

    @rule("noted", signature="L1", layer=Layer.APPLICATION, severity=Severity.INFO, kind="ModelServer", looks_at="-")
    def noted(server: ServerView, _: Situation, __: datetime) -> Verdict:
        """Never fires."""
        asked.append(server.ref.name)
        return CLEAR

    known = situation(*(server_pod(number) for number in range(64)))
    engine = Engine((noted,))
    engine.judge(known, (), NOW)
    assert len(asked) == 64
    asked.clear()
    engine.judge(known, (), NOW + timedelta(seconds=1.1))
    assert asked == []  # nothing changed, and nobody's time has come
    change = known.apply(
        Reading("kubernetes/pods", SourceState.LIVE, NOW, Changed("pods", (made(server_pod(3, ready=False)),)))
    )
    engine.judge(known, change, NOW + timedelta(seconds=2.2))
    assert asked == ["llama-1-3"]
    rounds = []
    for tenth in range(23, 100):
        asked.clear()
        engine.judge(known, (), NOW + timedelta(seconds=tenth / 10))
        rounds.append(len(asked))
    assert sum(rounds) >= 64  # each is looked at again
    assert max(rounds) < 64


def test_a_model_server_that_is_gone_is_told_of_no_longer() -> None:
    @rule("there", signature="L1", layer=Layer.APPLICATION, severity=Severity.WARNING, kind="ModelServer", looks_at="-")
    def there(server: ServerView, _: Situation, __: datetime) -> Verdict:
        """Is there."""
        return fired(server.ref, "is there")

    known = situation(server_pod(1))
    engine = Engine((there,))
    assert len(engine.judge(known, (), NOW).causes) == 1
    change = known.apply(Reading("kubernetes/pods", SourceState.LIVE, NOW, Changed("pods", (), (("ai", "llama-1-1"),))))
    assert engine.judge(known, change, NOW + timedelta(seconds=1.1)).causes == ()


def test_a_title_says_what_is_wrong_also_of_the_longest_name() -> None:
    names = [f"{'batch-' * 40}{number}" for number in (1, 2)]
    pull = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
    pods = [pod(name, phase="Pending", ready=False, container_status={"state": pull}) for name in names]
    found = [cause.title for cause in judged(*pods).causes]
    for title, name in zip(sorted(found), names, strict=True):
        assert len(title) <= TITLE_LIMIT
        assert f"{name[-12:]} cannot pull" in title


LLAMA, MISTRAL = "llama-3-70b-instruct-predictor-00002-deployment", "mistral-7b-instruct-predictor-00001-deployment"


@pytest.mark.parametrize(
    ("names", "what", "title"),
    [
        ([LLAMA], "is down", f"{LLAMA} is down"),
        (["a", "b"], "are down", "a, b are down"),
        ([LLAMA, MISTRAL], "cannot pull registry.example.com/serving:2026-11",
         "llama-3-7…eployment, mistral-7…eployment cannot pull registry.example.com/serving:2026-11"),
        ([LLAMA, "web"], "cannot pull registry.example.com/serving:2026-11",
         "llama-3-70b-instr…-00002-deployment, web cannot pull registry.example.com/serving:2026-11"),
        ([LLAMA, MISTRAL, "x", "y", "z"], "are down",
         "llama-3-70b-inst…-00002-deployment, mistral-7b-instr…00001-deployment and 3 more are down"),
        ([LLAMA, MISTRAL, "x", "y", "z"], "cannot pull registry.example.com/team/serving-image:2026-11-01 (unknown)",
         "llama-…loyment, mistra…oyment and 3 more cannot pull registry.example.com/team/serving-i…"),
    ],
    ids=["one", "two short ones", "two long ones", "a long and a short one", "five", "five, and much to say"],
)  # fmt: skip
def test_each_of_the_names_in_a_title_is_cut_in_its_own_middle(names: list[str], what: str, title: str) -> None:
    @rule("down", signature="T-2", layer=Layer.APPLICATION, severity=Severity.WARNING, kind="Node", looks_at="-")
    def down(subject: Any, _: Situation, __: datetime) -> Verdict:
        """All are of one."""
        return fired(CHECKOUT, what, who=(subject.name,))

    (cause,) = Engine((down,)).judge(situation(*map(node, names)), (), NOW).causes
    assert cause.title == title
