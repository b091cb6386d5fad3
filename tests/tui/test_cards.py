from datetime import timedelta

import msgspec
import pytest

from diagnosis.engine import diagnose
from playbooks.commands import Target
from situation.findings import Command, Effect, Evidence, Finding, Layer, Mark, Severity
from situation.meta import Ref
from situation.readings import CONFIGURED, Configured, Reading, SourceState
from tests.build import NOW, event, node, pod, situation
from tui.cards import finding_card, object_card, rendered

TARGET = Target("prod")
WEB = Ref("Pod", "shop", "web-1")


def finding(**over: object) -> Finding:
    whole = Finding(
        rule="crash-loop",
        signature="L1-01",
        layer=Layer.APPLICATION,
        severity=Severity.CRITICAL,
        subject=Ref("Deployment", "shop", "web"),
        title="web crashes",
        evidence=(
            Evidence("exit 1", "kubernetes/pods", NOW - timedelta(seconds=25)),
            Evidence("not OOMKilled", "kubernetes/pods", mark=Mark.EXCLUDES),
            Evidence("nobody asked", "vllm/metrics", mark=Mark.OPEN),
        ),
        next=(
            Command(("kubectl", "logs", "web-1"), "why?", "shop"),
            Command(("kubectl", "logs", "<pod>"), "unfilled", "shop"),
            Command(("kubectl", "delete", "pod", "web-1"), "start anew", "shop", Effect.DISRUPTIVE),
        ),
    )
    return msgspec.structs.replace(whole, **over)


def test_a_finding_shows_what_where_proof_and_the_commands_that_can_be_offered() -> None:
    card = finding_card(finding(node="n1"), situation(), TARGET, NOW, None)
    assert (card.title, card.glyph, card.role, card.notice) == ("web crashes", "▲", "critical", "")
    assert card.about == "Deployment/shop/web on n1 · L1-01 · crash-loop"
    assert [(line.text, line.origin, line.mark) for line in card.lines] == [
        ("exit 1", "pods · 20s", Mark.SUPPORTS),
        ("not OOMKilled", "pods · now", Mark.EXCLUDES),
        ("nobody asked", "vllm/metrics", Mark.OPEN),
    ]
    assert [(command.line, command.effect) for command in card.commands] == [
        ("kubectl --context prod -n shop logs web-1", Effect.READ),
        ("kubectl --context prod -n shop delete pod web-1", Effect.DISRUPTIVE),
    ]


def test_several_objects_are_counted_and_a_node_is_not_said_to_be_on_itself() -> None:
    members = (WEB, Ref("Pod", "shop", "web-2"))
    assert "web · 2 objects ·" in finding_card(finding(members=members), situation(), TARGET, NOW, None).about
    about = finding_card(finding(subject=Ref("Node", "", "n1"), node="n1"), situation(), TARGET, NOW, None).about
    assert about == "Node/n1 · L1-01 · crash-loop"


def test_a_consequence_names_its_cause_and_a_history_says_since_when() -> None:
    card = finding_card(finding(), situation(), TARGET, NOW, finding(title="n1 is gone"))
    assert card.notice == "follows from: n1 is gone"
    card = finding_card(finding(as_of=NOW), situation(), TARGET, NOW, None)
    assert card.notice.startswith("as of 02:41:07 UTC")
    assert "history" in card.notice
    both = finding_card(finding(as_of=NOW), situation(), TARGET, NOW, finding(title="n1 is gone")).notice
    assert "follows from" in both
    assert "history" in both


@pytest.mark.parametrize(
    ("number", "shown", "rest"), [(0, 0, ""), (8, 8, ""), (9, 9, "and 1 more"), (20, 9, "and 12 more")]
)
def test_consequences_are_listed_up_to_a_number(number: int, shown: int, rest: str) -> None:
    many = tuple(finding(title=f"number {n}", members=(WEB,) * (1 + n)) for n in range(number))
    follows = finding_card(finding(consequences=many), situation(), TARGET, NOW, None).follows
    assert len(follows) == shown
    if number:
        assert follows[:2] == ("number 0", "number 1 ×2")
        assert not rest or follows[-1] == rest


def test_evidence_of_a_source_that_fell_silent_carries_its_age() -> None:
    known = situation(pod())
    known.apply(Reading("kubernetes/pods", SourceState.UNREACHABLE, NOW, error="refused"))
    later = NOW + timedelta(minutes=5)
    origins = [line.origin for line in finding_card(finding(), known, TARGET, later, None).lines]
    assert origins[1] == "pods · 5m"


def test_a_pod_that_nothing_is_wrong_with() -> None:
    happened = [event("Pod/web-1", "Pulled", f"number {n}", age_s=n, type="Normal", count=n) for n in range(1, 8)]
    card = object_card(WEB, situation(pod("web-1", owner="StatefulSet/web"), *happened), TARGET, NOW)
    assert (card.title, card.about) == ("Pod web-1", "namespace shop")
    texts = [line.text for line in card.lines]
    assert texts[:2] == ["Running, 1 of 1 ready, 0 restarts, age 10m", "on node node-1, workload StatefulSet/shop/web"]
    assert texts[2:] == ["Pulled: number 1", *(f"Pulled ×{n}: number {n}" for n in range(2, 6))]
    assert card.lines[2].origin == "events · 1s"
    assert [command.line for command in card.commands] == [
        "kubectl --context prod -n shop describe pod web-1",
        "kubectl --context prod -n shop logs web-1 --all-containers --tail=100",
    ]


def test_logs_are_offered_of_what_has_run() -> None:
    waits = {"state": {"waiting": {"reason": "PodInitializing"}}, "ready": False}
    spec = {"nodeName": "node-1", "containers": [{"name": "app"}], "initContainers": [{"name": "setup"}]}
    init = {"initContainerStatuses": [{"name": "setup", "state": {"running": {}}}]}
    statuses = {"containerStatuses": [{"name": "app", **waits}]}
    starting = pod(phase="Pending", spec=spec, status={"phase": "Pending", **init, **statuses})
    card = object_card(WEB, situation(starting), TARGET, NOW)
    assert card.commands[1].line == "kubectl --context prod -n shop logs web-1 -c setup --tail=100"
    card = object_card(WEB, situation(pod(phase="Pending", container_status=waits)), TARGET, NOW)
    assert len(card.commands) == 1


def test_a_node_shows_its_taints_and_only_the_conditions_that_are_wrong() -> None:
    conditions = [
        {"type": "Ready", "status": "False", "reason": "KubeletNotReady"},
        {"type": "DiskPressure", "status": "True", "message": "disk full"},
        {"type": "MemoryPressure", "status": "False", "reason": "fine"},
    ]
    sick = node("n1", conditions=conditions, spec={"taints": [{"key": "gpu", "effect": "NoSchedule"}]})
    card = object_card(Ref("Node", "", "n1"), situation(sick, pod(node="n1")), TARGET, NOW)
    texts = [line.text for line in card.lines]
    assert texts[0].startswith("NotReady, 1 pods")
    assert texts[1:] == ["taints: gpu:NoSchedule", "Ready=False: KubeletNotReady", "DiskPressure=True: disk full"]
    assert [command.line for command in card.commands] == ["kubectl --context prod describe node n1"]


def test_the_pods_of_a_node_are_not_counted_where_not_all_are_read() -> None:
    known = situation(node("n1"), pod(node="n1"))
    known.apply(Reading(CONFIGURED, SourceState.LIVE, NOW, Configured(only_namespace="shop")))
    forbidden = situation(node("n1"), missing={"pods": SourceState.FORBIDDEN})
    for part in (known, forbidden):
        card = object_card(Ref("Node", "", "n1"), part, TARGET, NOW)
        assert card.lines[0].text.startswith("Ready, ? pods")


def test_an_object_that_is_gone_is_said_to_be_and_keeps_its_events() -> None:
    known = situation(event("Pod/web-1", "Killing", "Stopping container"))
    card = object_card(WEB, known, TARGET, NOW)
    assert [line.text for line in card.lines] == [
        "Pod/shop/web-1 is not known (any more)",
        "Killing: Stopping container",
    ]
    assert [command.line for command in card.commands] == [
        "kubectl --context prod -n shop get events --field-selector involvedObject.name=web-1"
    ]


def test_an_object_of_a_kind_without_a_card_of_its_own_still_has_events_and_a_command() -> None:
    space = {"kind": "Namespace", "metadata": {"name": "shop"}, "status": {"phase": "Active"}}
    card = object_card(Ref("Namespace", "", "shop"), situation(space), TARGET, NOW)
    assert card.lines == ()
    assert [command.line for command in card.commands] == ["kubectl --context prod describe namespace shop"]


def test_of_an_object_whose_name_is_altered_no_command_is_offered() -> None:
    hostile = pod("a\x1b[2J")
    known = situation(hostile)
    (item,) = known.pods.values()
    assert object_card(Ref("Pod", "shop", item.name), known, TARGET, NOW).commands == ()


def test_a_command_that_must_not_be_offered_is_none() -> None:
    assert rendered(Command(("kubectl", "logs", "<pod>"), "x"), TARGET) is None
    assert rendered(Command(("kubectl", "get", "pods"), "x"), TARGET) == "kubectl --context prod get pods"


def test_a_real_diagnosis_makes_a_card_with_evidence_and_a_command() -> None:
    state = {"waiting": {"reason": "ImagePullBackOff", "message": "manifest unknown: not found"}}
    known = situation(pod("web-1", phase="Pending", ready=False, container_status={"state": state}))
    (cause,) = diagnose(known, NOW).causes
    card = finding_card(cause, known, TARGET, NOW, None)
    assert card.lines
    assert card.commands[0].effect is Effect.READ
