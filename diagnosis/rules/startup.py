"""Pods that have a node but cannot start: network, runtime, devices, volumes (L3-11, L5-02, L5-15, L5-16)."""

import ipaddress
import re
from datetime import datetime, timedelta
from typing import Final

from diagnosis.commands import counted, fact, kubectl, on_node, pods_on, said_by, shorten
from diagnosis.container_facts import describe, gravity
from diagnosis.gpu_causes import cause_refs, comes_up
from diagnosis.node_agents import Agent, agents
from diagnosis.node_services import runtime_unit, service_commands
from diagnosis.pod_verdict import fired
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, Wait, rule, wait_until
from diagnosis.rules.container_start import innermost, is_nvidia_text, start_failures
from situation.cluster import Event
from situation.findings import Command, Evidence, Layer, Severity
from situation.gpu.chain import chain_of
from situation.gpu.components import component_of
from situation.gpu.links import Component, NodeChain
from situation.meta import Ref
from situation.pods import Pod
from situation.selectors import is_finished
from situation.situation import Situation
from situation.start_trouble import start_events, waiting_since

SANDBOX_S: Final = 30.0
"""A sandbox may fail once or twice while a node's agents start; the kubelet tries again at every sync (10 s)."""

RUNTIME_S: Final = 60.0
"""The `nvidia` handler is missing for the first minute or so of a GPU node, until the toolkit has patched the runtime
(fault_signatures L5-15); longer while the chain before it still comes up."""

_ADDRESSES: Final = re.compile(
    r"no IP addresses available|failed to assign an IP address|range is full|no free IPs?\b|InsufficientFreeAddresses"
    r"|no available IPs?\b|IP pool exhausted|out of IPs?\b",
    re.IGNORECASE,
)
"""host-local, AWS, Cilium, Calico and Azure plugins (fault_signatures L3-11)."""
_SOCKET: Final = re.compile(
    r"dial unix \S*(?:containerd|crio|cri-dockerd|dockershim)\S*\.sock|container runtime is down"
    r"|code = Unavailable desc"
)
_NETWORK: Final = re.compile(
    r"failed to (?:setup|set up) network|plugin type=|cni plugin|NetworkPlugin|network is not ready"
)
_HANDLER: Final = re.compile(r'no runtime for "([^"]+)" is configured')
_CLASS: Final = re.compile(r'(?:failed to lookup RuntimeClass ([^\s:]+)|RuntimeClass "([^"]+)" not found)')
_DRA: Final = re.compile(r"DRA driver (\S+) is not registered")


def _sandbox_event(pod: Pod, situation: Situation, pattern: re.Pattern[str]) -> Event | None:
    """Return the newest event about the pod's sandbox that matches, while the pod has not started."""
    for event in reversed(start_events(pod, situation)):
        if event.reason in ("FailedCreatePodSandBox", "NetworkNotReady") and pattern.search(event.message):
            return event
    return None


def _of_node(
    pod: Pod,
    title: str,
    evidence: list[Evidence],
    commands: tuple[Command, ...],
    follows: tuple[Ref, ...] = (),
) -> Fired:
    """Return a verdict about the pod's node: every workload on it that fails so is one finding."""
    node = Ref("Node", "", pod.spec.node_name)
    return Fired(node, title, tuple(evidence), commands, follows=(node, *follows), node=pod.spec.node_name)


@rule(
    "pod-ips-exhausted",
    signature="L3-11",
    layer=Layer.NETWORK,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods", "events"),
    looks_at="FailedCreatePodSandBox events of pods that have not started: the network plugin has no address left.",
    look_alikes={"too many pods": "`Too many pods` is said by the scheduler, before the pod has a node"},
)
def pod_ips_exhausted(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A node's network plugin has no pod address left."""
    event = _sandbox_event(pod, situation, _ADDRESSES)
    if event is None:
        return CLEAR
    if wait := wait_until(waiting_since(pod), SANDBOX_S, now):
        return wait
    name = pod.spec.node_name
    node = situation.node(name)
    cidr = node.spec.pod_cidr if node else ""
    evidence = [said_by(event)]
    if situation.sees_all:
        having = sum(map(_has_address, situation.pods_by_node.get(name).values()))
        evidence.append(fact("pods", f"{counted(having, 'pod')} of {name} with an address"))
    if cidr:
        evidence.append(fact("nodes", f"podCIDR {cidr}{_size(cidr)}"))
    return _of_node(
        pod,
        "has no pod addresses left",
        evidence,
        (
            kubectl("get", "node", name, "-o", "jsonpath={.spec.podCIDR}", purpose="how many addresses has it?"),
            kubectl("get", "pods", "-A", "-o", "wide", "--field-selector", f"spec.nodeName={name}",
                    purpose="which pods hold them?"),
        ),
        tuple(agents(situation, Agent.CNI)),
    )  # fmt: skip


def _has_address(pod: Pod) -> bool:
    return bool(pod.status.pod_ip) and not pod.spec.host_network and not is_finished(pod)


def _size(cidr: str) -> str:
    try:
        return f" (addresses: {ipaddress.ip_network(cidr, strict=False).num_addresses})"
    except ValueError:
        return ""


@rule(
    "runtime-unreachable",
    signature="L5-02",
    layer=Layer.NODE,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods", "events"),
    looks_at="FailedCreatePodSandBox events of pods that have not started: the runtime's socket.",
    look_alikes={"pod-network": "there the runtime answers and the network plugin fails"},
)
def runtime_unreachable(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A node's container runtime does not answer its kubelet."""
    event = _sandbox_event(pod, situation, _SOCKET)
    if event is None:
        return CLEAR
    if wait := wait_until(waiting_since(pod), SANDBOX_S, now):
        return wait
    node, name = situation.node(pod.spec.node_name), pod.spec.node_name
    unit = "crio" if "crio" in event.message else "containerd"
    look = on_node(name, "systemctl", "status", unit, purpose="does the container runtime run?")
    return _of_node(
        pod,
        "cannot start pods: its container runtime does not answer",
        [said_by(event)],
        (
            *(service_commands(node, runtime_unit(node)) if node is not None else (look,)),
            kubectl("describe", "node", name, purpose="what does the kubelet say of it?"),
        ),
    )


@rule(
    "pod-network",
    signature="L3-10",
    layer=Layer.NETWORK,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods", "events"),
    looks_at="FailedCreatePodSandBox and NetworkNotReady events of pods that have not started: the network "
    "plugin's text.",
    look_alikes={
        "pod-ips-exhausted": "the plugin says that it has no address left",
        "runtime-unreachable": "the runtime's socket does not answer",
        "memory-limit-too-small": "the words OOM-killed",
    },
)
def pod_network(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A node's network plugin cannot connect new pods."""
    event = _sandbox_event(pod, situation, _NETWORK)
    if event is None:
        return CLEAR
    if wait := wait_until(waiting_since(pod), SANDBOX_S, now):
        return wait
    name = pod.spec.node_name
    return _of_node(
        pod,
        "cannot connect new pods: its network plugin fails",
        [said_by(event)],
        (
            pods_on(name, purpose="does the network plugin's pod run on it?", namespace="kube-system"),
            kubectl("describe", "node", name, purpose="is its network ready?"),
        ),
        tuple(agents(situation, Agent.CNI)),
    )


@rule(
    "nvidia-runtime",
    signature="L5-15",
    layer=Layer.NODE,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="FailedCreatePodSandBox `no runtime for ... is configured` while the pod has not started; texts of "
    "containers that cannot start and name nvidia-container-cli; the GPU operands before it on the node.",
    look_alikes={
        "bad-command": "StartError 128 too, but the text says `exec:`",
        "gpu-link-broken": "the GPU operands themselves are judged by their node's chain",
        "GPU node starting": "normal until the toolkit has patched the runtime: silent while the chain comes up",
    },
)
def nvidia_runtime(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A node's NVIDIA container runtime is not configured, or does not match the driver."""
    name = pod.spec.node_name
    component = component_of(pod) or Component.CAPACITY
    gpus = chain_of(name, situation, now)
    operands = cause_refs(gpus, situation, component)
    chain = kubectl(
        "get", "pods", "-A", "-o", "wide", "--field-selector", f"spec.nodeName={name}",
        purpose="which GPU operand on the node is not ready?",
    )  # fmt: skip
    classes = kubectl("get", "runtimeclass", purpose="which runtime classes are there?")
    for container, _, _, text in start_failures(pod):
        if is_nvidia_text(text):
            evidence = [fact("pods", f"container {container.name}: {shorten(text, 280)}")]
            smi = on_node(name, "nvidia-smi", purpose="do driver and library match?")
            title = f"cannot start GPU containers: {shorten(innermost(text), 60)}"
            return _of_node(pod, title, evidence, (chain, smi), operands)
    event = _sandbox_event(pod, situation, _HANDLER)
    if event is not None and (found := _HANDLER.search(event.message)):
        if wait := wait_until(waiting_since(pod), RUNTIME_S, now):
            return wait
        if due := comes_up(gpus, component, now) or _just_up(gpus, now):
            return Wait(due)
        title = f"has no container runtime {found[1]}"
        return _of_node(pod, title, [said_by(event)], (classes, chain), operands)
    event = _sandbox_event(pod, situation, _CLASS)
    if event is not None and (found := _CLASS.search(event.message)):
        if wait := wait_until(waiting_since(pod), RUNTIME_S, now):
            return wait
        title = f"asks for RuntimeClass {found[1] or found[2]}, which does not exist"
        return fired(pod, situation, now, title, [said_by(event)], (classes,), follows=operands)
    return CLEAR


def _just_up(chain: NodeChain | None, now: datetime) -> datetime | None:
    """Return until when the runtime may still restart after the toolkit got ready."""
    toolkit = chain.link(Component.TOOLKIT) if chain else None
    due = toolkit.since + timedelta(seconds=RUNTIME_S) if toolkit and toolkit.since else None
    return due if due is not None and now < due else None


@rule(
    "dra-driver",
    signature="L5-16",
    layer=Layer.NODE,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods", "events"),
    looks_at="FailedPrepareDynamicResources events of pods that have not started.",
    look_alikes={"resource claim not allocated": "there the pod has no node yet"},
)
def dra_driver(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """The devices of a resource claim cannot be prepared: the node's driver is missing or fails."""
    found = [event for event in start_events(pod, situation) if event.reason == "FailedPrepareDynamicResources"]
    if not found:
        return CLEAR
    if wait := wait_until(waiting_since(pod), SANDBOX_S, now):
        return wait
    slices = kubectl("get", "resourceslices", "-o", "wide", purpose="which drivers publish devices, on which nodes?")
    evidence = [said_by(found[-1])]
    if driver := _DRA.search(found[-1].message):
        return _of_node(pod, f"has no DRA driver {driver[1].rstrip('.,;')}", evidence, (slices,))
    title = f"cannot get its devices: {shorten(innermost(found[-1].message), 60)}"
    return Fired(
        situation.workload_of(pod), title, tuple(evidence), (slices, describe(pod, "what did the driver say?")),
        severity=gravity(pod, situation, now), follows=(Ref("Node", "", pod.spec.node_name),), node=pod.spec.node_name,
    )  # fmt: skip


RULES: Final[tuple[Rule, ...]] = (
    pod_ips_exhausted,
    runtime_unreachable,
    nvidia_runtime,
    pod_network,
    dra_driver,
)
