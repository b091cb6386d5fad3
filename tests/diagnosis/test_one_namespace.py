"""With one namespace read, what is in the others is not taken for missing: no fault that the whole does not show."""

import re
from collections.abc import Iterable, Iterator
from datetime import timedelta

import msgspec
import pytest

from diagnosis.catalogue import ALL
from diagnosis.engine import diagnose
from diagnosis.one_namespace import BY_THE_NODE, is_out_of_sight
from simulator.scenarios import SCENARIOS, open_scenario
from situation.findings import Diagnosis, Finding, Layer, LayerState, Mark
from situation.gpu.chain import node_chain
from situation.gpu.links import LinkState
from situation.kinds import BY_NAME
from situation.namespaces import missing_namespace
from situation.readings import CONFIGURED, Changed, Configured, Listed, Reading, SourceState
from situation.situation import Situation
from tape.player import play
from tests.build import NOW, Manifest, ago, made, meta, node, pod, situation
from tests.diagnosis.unscheduled import gpu_node, held, none_of, wants
from tests.diagnosis.unscheduled import waiting as unscheduled
from tests.gpu_resources import device_claim, devices
from tui.recorded import RecordedSources

ALLOCATED = re.compile(r", allocated [0-9]+(: .*? by [^(]*[^( ])?")
BY_SCHEDULER = re.compile(r"too little on [0-9]+ of [0-9]+ nodes?$")
"""Titles with the scheduler's own numbers, where the whole shows what is free."""
KEPT = ("node-runtime-down",)
"""Rules that count the node's pods, and say of which namespace they are."""


def every(diagnosis: Diagnosis) -> Iterator[Finding]:
    for cause in diagnosis.causes:
        yield cause
        yield from cause.consequences


def only(namespace: str) -> Reading:
    return Reading(CONFIGURED, SourceState.LIVE, NOW, Configured(only_namespace=namespace))


def narrowed(readings: Iterable[Reading], namespace: str) -> Iterator[Reading]:
    """What the same cluster tells somebody who reads one namespace of it."""
    yield only(namespace)
    for reading in readings:
        value = reading.value
        if isinstance(value, Listed | Changed):
            kind = BY_NAME[value.kind]
            if kind.namespaced and not kind.fixed_namespace:
                value = _part(value, namespace)
        yield msgspec.structs.replace(reading, value=value)


def _part(value: Listed | Changed, namespace: str) -> Listed | Changed:
    if isinstance(value, Listed):
        return msgspec.structs.replace(value, objects=tuple(o for o in value.objects if o.namespace == namespace))
    return msgspec.structs.replace(
        value,
        upserts=tuple(item for item in value.upserts if item.namespace == namespace),
        removed=tuple(key for key in value.removed if key[0] == namespace),
    )


def namespace(name: str) -> Manifest:
    return {"kind": "Namespace", "metadata": meta(name, ""), "status": {"phase": "Active"}}


def limited(namespace: str, *manifests: Manifest) -> Situation:
    known = situation(*manifests)
    known.apply(only(namespace))
    return known


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_part_of_the_cluster_shows_no_fault_that_the_whole_does_not(name: str) -> None:
    readings, now, _ = play(open_scenario(name).path, None, RecordedSources)
    whole = Situation()
    for reading in readings:
        whole.apply(reading)
    known = {(found.rule, found.subject): found for found in every(diagnose(whole, now))}
    for namespace in sorted({namespace for namespace, _ in whole.pods}):
        part = Situation()
        for reading in narrowed(readings, namespace):
            part.apply(reading)
        for found in every(diagnose(part, now)):
            same = known.get((found.rule, found.subject))
            assert same is not None, f"{name}, {namespace}: {found.title}"
            graver = found.severity.rank < same.severity.rank  # milder it may be: those who suffer are not all read
            assert not graver, f"{name}, {namespace}: {found.title}"
            less = same.title.startswith(found.title) or BY_SCHEDULER.search(found.title)
            assert less or found.rule in KEPT, f"{name}, {namespace}: {found.title} != {same.title}"
            told = {(line.mark, ALLOCATED.sub("", line.text)) for line in same.evidence}
            new = {(item.mark, item.text) for item in found.evidence if item.mark is not Mark.OPEN} - told
            assert not new or found.rule in KEPT, f"{name}, {namespace}: {found.title}"


def test_layers_that_hang_on_other_namespaces_are_judged_in_part_only() -> None:
    layers = {item.layer: item.reason for item in diagnose(limited("shop", pod("web-1")), NOW).layers}
    assert {layer for layer, reason in layers.items() if "only namespace shop is read" in reason} == {
        Layer.NETWORK,
        Layer.CONTROL_PLANE,
        Layer.NODE,
    }


def test_where_the_namespace_does_not_exist_its_layers_are_unknown_until_it_is_made() -> None:
    said = "this cluster has no namespace shpo; did you mean shop?"
    known = limited("shpo", *(namespace(name) for name in ("default", "kube-system", "shop")))
    layers = diagnose(known, NOW).layers
    assert {item.layer for item in layers if item.status is LayerState.UNKNOWN and said in item.reason} == {
        Layer.APPLICATION,
        Layer.SCHEDULING,
        Layer.NETWORK,
    }
    made_since = Changed("namespaces", (made(namespace("shpo")),))
    known.apply(Reading("kubernetes/namespaces", SourceState.LIVE, NOW, made_since))
    assert {item.status for item in diagnose(known, NOW).layers} == {LayerState.OK}


@pytest.mark.parametrize(
    "known",
    [
        limited("shpo"),
        limited("shop", namespace("shop")),
        limited("shpo", namespace("shop"), pod("web-1", namespace="shpo")),
        situation(namespace("shop")),
    ],
)
def test_nothing_is_claimed_of_a_namespace_that_exists_or_may_exist(known: Situation) -> None:
    assert missing_namespace(known, NOW) == ""


def test_what_was_read_of_namespaces_before_is_no_proof() -> None:
    known = limited("shpo", namespace("shop"))
    assert missing_namespace(known, NOW) != ""
    assert missing_namespace(known, NOW + timedelta(days=1)) == ""
    known.apply(Reading("kubernetes/namespaces", SourceState.FORBIDDEN, NOW, error="no"))
    assert missing_namespace(known, NOW) == ""


FULL = (
    "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. preemption: 0/1 nodes are available: "
    "1 No preemption victims found for incoming pod."
)
GPUS = {"nvidia.com/gpu": "8"}


def waiting(name: str, *conditions: Manifest) -> Manifest:
    asks = {"resources": {"limits": {"nvidia.com/gpu": "4"}}}
    return pod(name, node="", phase="Pending", ready=False, container=asks, status={"conditions": list(conditions)})


def test_gpus_that_pods_of_other_namespaces_may_hold_are_not_called_free() -> None:
    offers = node("gpu-1", status={"capacity": GPUS, "allocatable": GPUS})
    refused = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": FULL}
    waits = waiting("llm-1", {**refused, "lastTransitionTime": ago(300)})
    (all_seen,) = diagnose(situation(offers, waits), NOW).causes
    assert "room for 8 seems to be on gpu-1" in all_seen.title
    (cause,) = diagnose(limited("shop", offers, waits), NOW).causes
    assert cause.title == "llm-1 wants 4 nvidia.com/gpu: too little on 1 of 1 node"
    assert "only namespace shop is read: what others hold is not known" in [line.text for line in cause.evidence]
    assert not any("allocated" in line.text for line in cause.evidence)


def test_a_node_without_its_gpus_does_not_make_what_others_hold_known() -> None:
    refused = unscheduled(none_of(2, "2 Insufficient nvidia.com/gpu"), container=wants(gpu="8"))
    nodes = [gpu_node("g1"), gpu_node("g2", None, labels={"nvidia.com/gpu.present": "true"}, age_s=86_400)]
    rival = held("g1", 8)
    titles = [cause.title for cause in diagnose(situation(refused, *nodes, rival), NOW).causes]
    assert "llm-1 wants 8 nvidia.com/gpu: g2 offers none, no room on the others" in titles
    titles = [cause.title for cause in diagnose(limited("shop", refused, *nodes), NOW).causes]
    assert titles == ["llm-1 wants 8 nvidia.com/gpu: too little on 2 of 2 nodes"]
    own = pod("chat-1", node="g1", container=wants(gpu="4"))
    titles = [cause.title for cause in diagnose(limited("shop", refused, *nodes, own), NOW).causes]
    assert titles == ["llm-1 wants 8 nvidia.com/gpu: g2 offers none"]


def test_a_gang_is_not_told_how_much_is_free_for_it() -> None:
    text = "pod group is not ready, 2 Pending, 2 minAvailable"
    gang = [unscheduled(text, name=f"gang-{n}", owner="Job/gang", container=wants(gpu="8")) for n in (0, 1)]
    nodes = [gpu_node(f"g{n}") for n in range(9)]
    (cause,) = diagnose(limited("shop", *gang, *nodes), NOW).causes
    told = [line.text for line in cause.evidence]
    assert "2 pods of gang wait for 16 nvidia.com/gpu in all" in told
    assert "and 6 more: 6 large enough" in told


def test_claims_of_other_namespaces_are_not_said_to_have_no_device() -> None:
    spec = {"resourceClaims": [{"name": "gpu", "resourceClaimName": "llm-gpu"}]}
    subject = unscheduled(none_of(1, "1 cannot allocate all claims"), spec=spec)
    unmet: Manifest = {**device_claim("llm-gpu", ""), "status": {}}
    (cause,) = diagnose(limited("shop", subject, node("gpu-1"), devices("gpu-1", 2), unmet), NOW).causes
    told = [line.text for line in cause.evidence]
    assert cause.rule == "device-claim"
    assert "claim gpu is llm-gpu: no device has been given to it" in told
    assert "driver gpu.nvidia.com publishes 2 devices on 1 node" in told
    assert not any("gpu.nvidia.com" in line for line in told if "publishes" not in line)


def test_the_gpu_chain_is_not_known_unless_its_operands_are_there() -> None:
    known = limited("shop", node("gpu-1", labels={"nvidia.com/gpu.present": "true"}))
    chain = node_chain(known.nodes["", "gpu-1"], known, NOW)
    assert {(link.state, link.text) for link in chain.links} == {(LinkState.UNKNOWN, "only namespace shop is read")}


def test_no_system_oom_event_excludes_nothing_where_the_nodes_events_are_not_read() -> None:
    ended = {"exitCode": 137, "reason": "OOMKilled", "startedAt": ago(40), "finishedAt": ago(30)}
    state = {"waiting": {"reason": "CrashLoopBackOff"}}
    killed = pod(
        "cart-1",
        ready=False,
        container={"resources": {"limits": {"memory": "32Mi"}}},
        container_status={"restartCount": 4, "state": state, "lastState": {"terminated": ended}},
    )
    for known, said in ((situation(killed), True), (limited("shop", killed), False)):
        (cause,) = diagnose(known, NOW).causes
        assert cause.rule == "oom-killed"
        assert ("no SystemOOM event of the node at that time" in [line.text for line in cause.evidence]) is said


def test_a_scheduler_whose_lease_is_hidden_is_not_called_down_by_the_pods_of_one_namespace() -> None:
    pods = [waiting("web-1"), waiting("web-2")]
    assert "scheduler-down" in [cause.rule for cause in diagnose(situation(*pods), NOW).causes]
    assert [cause.rule for cause in diagnose(limited("shop", *pods), NOW).causes] == ["scheduler-behind"]


def test_rules_that_ask_the_node_alone_are_there() -> None:
    assert BY_THE_NODE <= {rule.id for rule in ALL}


def test_gpus_that_only_the_plugins_pod_tells_to_be_missing_are_not_judged_without_it() -> None:
    (rule,) = (rule for rule in ALL if rule.id == "gpu-missing")
    assert is_out_of_sight(rule, "Node", limited("shop", node("gpu-1")))
