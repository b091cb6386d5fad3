"""Layer 5: model servers that wait for a volume which another node holds (L5-18)."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from diagnosis.commands import fact, kubectl, said_by
from diagnosis.container_facts import describe, gravity
from diagnosis.model_pods import to_change
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule, wait_until
from diagnosis.rules.mounts import ATTACH_S
from situation.clock import duration_text
from situation.findings import Evidence, Layer, Severity
from situation.meta import Ref
from situation.pods import Pod
from situation.selectors import claim_names, is_finished
from situation.serving.recognise import recognise
from situation.situation import Situation
from situation.start_trouble import has_not_started, start_events, waiting_since
from situation.storage import PersistentVolumeClaim


def _held(pod: Pod, situation: Situation) -> Iterator[tuple[PersistentVolumeClaim, Pod]]:
    """Yield the pod's claims of one node with the pods on other nodes that use them."""
    for name in claim_names(pod):
        claim = situation.claims.get((pod.namespace, name))
        if claim is None or not claim.is_of_one_node:
            continue
        for other in situation.pods_by_claim.get((pod.namespace, name)).values():
            if other.key != pod.key and other.spec.node_name not in ("", pod.spec.node_name) and not is_finished(other):
                yield claim, other


@rule(
    "vllm-volume-attach",
    signature="L5-18",
    layer=Layer.NODE,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods", "persistentvolumeclaims"),
    looks_at="A model server's pod that has not started for 2 minutes, its claims that one node can use at a time "
    "(ReadWriteOnce), and pods on other nodes that use them; no event is needed.",
    look_alikes={
        "volume-attach": "what is no model server; or a volume that no other pod holds",
        "volume-mount": "attached, and cannot be mounted",
        "not-started": "nothing says why: no such claim is held elsewhere",
    },
)
def vllm_volume_attach(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A model server waits for a volume that only one node can use, and another node uses it."""
    if not claim_names(pod) or not has_not_started(pod) or recognise(pod) is None:
        return CLEAR
    held = list(_held(pod, situation))
    if not held:
        return CLEAR
    since = waiting_since(pod)
    if wait := wait_until(since, ATTACH_S, now):
        return wait
    claim = held[0][0]
    waits = f" for {duration_text((now - since).total_seconds())}" if since is not None else ""
    modes = ", ".join(claim.spec.access_modes)
    evidence = [
        fact("pods", f"has not started on node {pod.spec.node_name}{waits}", at=since),
        fact("persistentvolumeclaims", f"claim {claim.name} is {modes}: one node at a time"),
    ]
    follows: list[Ref] = [Ref("PersistentVolumeClaim", pod.namespace, claim.name), Ref("Node", "", pod.spec.node_name)]
    for _, other in held[:3]:
        leaving = other.metadata.deletion_timestamp is not None
        state = "going away" if leaving else other.status.phase
        evidence.append(fact("pods", f"pod {other.name} on {other.spec.node_name} uses it ({state})"))
        follows.append(Ref("Node", "", other.spec.node_name))
        if leaving:
            follows.append(Ref("Pod", other.namespace, other.name))
    evidence += [said_by(event) for event in start_events(pod, situation) if event.reason == "FailedAttachVolume"][-1:]
    evidence += _changes(pod, held[0][1], situation)
    commands = (
        kubectl("get", "volumeattachments", purpose=f"which node holds the volume of {claim.name}?"),
        kubectl("get", "pvc", claim.name, "-o", "wide", purpose="which access modes?", namespace=pod.namespace),
        describe(pod, "what did the attach say?"),
    )
    return Fired(
        situation.workload_of(pod),
        f"cannot start on {pod.spec.node_name}: claim {claim.name} is in use on {held[0][1].spec.node_name}",
        tuple(evidence),
        commands,
        severity=gravity(pod, situation, now),
        follows=tuple(dict.fromkeys(follows)),
        node=pod.spec.node_name,
    )


def _changes(pod: Pod, holder: Pod, situation: Situation) -> Iterator[Evidence]:
    if situation.workload_of(pod) == situation.workload_of(holder):
        yield to_change("one claim for each replica (a StatefulSet's template), or a ReadWriteMany or ReadOnlyMany one")
        yield to_change("with one replica: strategy Recreate, so that a rollout stops the old pod first")
    else:
        yield to_change("a claim of its own, or one that several nodes can use")


RULES: Final[tuple[Rule, ...]] = (vllm_volume_attach,)
