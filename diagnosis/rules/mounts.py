"""Pods that have a node but wait for a volume (L5-18)."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final

from diagnosis.commands import fact, kubectl, said_by, shorten
from diagnosis.container_facts import describe, gravity
from diagnosis.node_agents import Agent, agents
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule, wait_until
from diagnosis.rules.container_start import innermost
from situation.cluster import Event
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.meta import Ref
from situation.pods import Pod
from situation.selectors import claim_names
from situation.situation import Situation
from situation.start_trouble import start_events, waiting_since

ATTACH_S: Final = 120.0
"""A volume that moves is detached from the old node and attached to the new one first; a cloud needs a minute or
two."""

MOUNT_S: Final = 60.0
"""A mount is tried again after 0.5 s, 1 s, 2 s and so on, so a minute is several attempts."""

_VOLUME: Final = re.compile(r'for volume "([^"]+)"')
_USED_BY: Final = re.compile(r"already used by pod\(s\) (.+)$")
_CSI: Final = re.compile(r"driver name (\S+) not found in the list of registered CSI drivers")
_UNMOUNTED: Final = re.compile(r"unmounted volumes=\[([^\]]*)\]")
_CACHE: Final = re.compile(r"failed to sync (?:configmap|secret) cache")
"""The kubelet cannot reach the API server, or has just started; it passes, and nothing is missing (L1-13)."""


def _events(pod: Pod, situation: Situation, *reasons: str) -> list[Event]:
    """Newest first; texts of the kubelet's caches are left out."""
    return [
        event
        for event in reversed(start_events(pod, situation))
        if event.reason in reasons and not _CACHE.search(event.message)
    ]


def _holders(pod: Pod, situation: Situation) -> Iterator[Pod]:
    """Yield pods on other nodes that use one of the pod's claims."""
    for claim in claim_names(pod):
        for other in situation.pods_by_claim.get((pod.namespace, claim)).values():
            if other.spec.node_name not in ("", pod.spec.node_name):
                yield other


def _fired(
    pod: Pod,
    situation: Situation,
    now: datetime,
    title: str,
    evidence: list[Evidence],
    commands: tuple[Command, ...],
    follows: tuple[Ref, ...] = (),
) -> Fired:
    claims = tuple(Ref("PersistentVolumeClaim", pod.namespace, claim) for claim in claim_names(pod))
    return Fired(
        situation.workload_of(pod), title, tuple(evidence), commands,
        severity=gravity(pod, situation, now), follows=(*follows, *claims, Ref("Node", "", pod.spec.node_name)),
        node=pod.spec.node_name,
    )  # fmt: skip


@rule(
    "volume-attach",
    signature="L5-18",
    layer=Layer.NODE,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods", "events"),
    looks_at="FailedAttachVolume events of pods that have not started, without a later SuccessfulAttachVolume of that "
    "volume; pods on other nodes with the same claim, and those nodes.",
    look_alikes={
        "missing-config": "FailedMount with `not found`",
        "ReadWriteOncePod in use": "said by the scheduler, before the pod has a node",
    },
)
def volume_attach(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A volume cannot be attached to the pod's node, often because another node still holds it."""
    events = _events(pod, situation, "FailedAttachVolume")
    if not events:
        return CLEAR
    if wait := wait_until(waiting_since(pod), ATTACH_S, now):
        return wait
    event = events[0]
    found = _VOLUME.search(event.message)
    volume = found[1] if found else ""
    attachments = kubectl("get", "volumeattachments", purpose=f"which node holds {volume or 'the volume'}?")
    commands = (attachments, describe(pod, "what did the attach say?"))
    evidence = [said_by(event)]
    if "Multi-Attach" not in event.message:
        title = f"cannot attach volume {volume}: {shorten(innermost(event.message), 60)}"
        return _fired(pod, situation, now, title, evidence, commands)
    follows: list[Ref] = []
    for other in list(_holders(pod, situation))[:3]:
        leaving = other.metadata.deletion_timestamp is not None
        state = "going away" if leaving else other.status.phase
        evidence.append(fact("pods", f"pod {other.name} on {other.spec.node_name} uses it too ({state})"))
        follows.append(Ref("Node", "", other.spec.node_name))
        if leaving:
            follows.append(Ref("Pod", other.namespace, other.name))
    if not follows and not _USED_BY.search(event.message):
        evidence.append(fact("pods", "no pod on another node uses it: the attachment was left behind", Mark.OPEN))
    title = f"cannot attach volume {volume}: another node still holds it"
    return _fired(pod, situation, now, title, evidence, commands, tuple(follows))


@rule(
    "volume-mount",
    signature="L5-18",
    layer=Layer.NODE,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods", "events"),
    looks_at="FailedMount and FailedMapVolume events of pods that have not started.",
    look_alikes={
        "missing-config": "the text says that a ConfigMap or Secret is not found",
        "volume-attach": "the volume is not even attached: FailedAttachVolume",
        "kubelet cannot reach the API": "`failed to sync ... cache: timed out`: silent, passes by itself",
    },
)
def volume_mount(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A volume cannot be mounted for the pod."""
    events = _events(pod, situation, "FailedMount", "FailedMapVolume")
    if not events:
        return CLEAR
    if wait := wait_until(waiting_since(pod), MOUNT_S, now):
        return wait
    # The summary "Unable to attach or mount volumes" names the volumes but not the reason.
    event = next((item for item in events if not _UNMOUNTED.search(item.message)), events[0])
    commands = (describe(pod, "what did the mount say?"),)
    if driver := _CSI.search(event.message):
        title = f"cannot mount: CSI driver {driver[1]} is not on node {pod.spec.node_name}"
        drivers = kubectl("get", "csinode", pod.spec.node_name, "-o", "yaml", purpose="which drivers are registered?")
        follows = tuple(agents(situation, Agent.CSI))
        return _fired(pod, situation, now, title, [said_by(event)], (drivers, *commands), follows)
    summary = _UNMOUNTED.search(event.message)
    if summary is not None:
        title = f"cannot mount volumes {summary[1].replace(' ', ', ')}: no answer in time"
    else:
        found = _VOLUME.search(event.message)
        name = f" {found[1]}" if found else ""
        title = f"cannot mount volume{name}: {shorten(innermost(event.message), 60)}"
    claims = [
        kubectl("describe", "pvc", claim, purpose="is the claim bound, and to what?", namespace=pod.namespace)
        for claim in claim_names(pod)[:1]
    ]
    return _fired(pod, situation, now, title, [said_by(event)], (*commands, *claims))


RULES: Final[tuple[Rule, ...]] = (volume_attach, volume_mount)
