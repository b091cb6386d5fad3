"""Layer 5: the GPU Operator's chain: the first link that is broken on a node, and what waits for it (L5-10, L5-15).

A broken link is one finding about its DaemonSet, on however many nodes. Its pods are judged by the model of the chain,
which knows what explains what, and described by the rules for pods of any kind, which know how pods fail.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from diagnosis.commands import fact, pods_on
from diagnosis.container_facts import logs
from diagnosis.gpu_causes import RECHECK, SERVING, about, is_operand, next_look, node_of
from diagnosis.gpu_status import WHICH_OPERAND, operand_log
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, Wait, rule
from diagnosis.rules import (
    configuration,
    container_start,
    containers,
    creation,
    images,
    init_containers,
    mounts,
    readiness,
    refusals,
    scheduling,
    startup,
)
from diagnosis.rules.gpu_links_report import (
    TOLD_BY_LOG,
    chain_evidence,
    commands_for,
    ended_status,
    has_no_log,
    own_evidence,
    title_of,
)
from situation.clock import duration_text
from situation.cluster import Node
from situation.findings import Command, Layer, Mark, Severity
from situation.gpu.chain import chain_of, is_gpu_node
from situation.gpu.components import PARTS
from situation.gpu.links import BROKEN, Component, Link, LinkState, NodeChain
from situation.meta import Ref
from situation.pods import Pod
from situation.selectors import is_node_ready, is_settled
from situation.situation import Situation

_FAMILIES: Final = (
    scheduling, refusals, configuration, container_start, startup, mounts, images, containers, init_containers,
    readiness, creation,
)  # fmt: skip
_POD_RULES: Final = tuple(
    item for family in _FAMILIES for item in family.RULES if item.kind == "Pod" and item.id != "init-waiting"
)
"""Know how a pod fails, whatever it is there for."""


@rule(
    "gpu-link-broken",
    signature="L5-10 L5-15",
    layer=Layer.NODE,
    severity=Severity.CRITICAL,
    kind="Node Pod",
    needs=("nodes", "pods", "daemonsets"),
    looks_at="each GPU node's chain: driver, toolkit, validator, device plugin and all that wait for these: the "
    "containers of their pods by name, the nvidia.com/gpu.deploy.* labels, their DaemonSets.",
    look_alikes={
        "gpu-link-waits": "an operand in an init container that runs: it waits for one before it",
        "a driver that is built": "20 minutes are given, if nothing crashes",
        "no runtime for nvidia": "normal for two minutes after the toolkit came up",
        "an upgrade or a MIG change": "the node's labels say paused: silent here",
        "a driver of the host": "label pre-installed, or no driver DaemonSet and nothing that waits for one",
    },
)
def gpu_link_broken(item: Node | Pod, situation: Situation, now: datetime) -> Verdict:
    """A component of the GPU Operator fails or is missing on a node, and nothing before it explains that."""
    if isinstance(item, Node):
        return _of_node(item, situation, now)
    if not is_operand(item) or item.metadata.deletion_timestamp is not None:
        return CLEAR
    chain = chain_of(node_of(item), situation, now)
    for link in _links_of(item, chain):
        if chain is not None and link.state is LinkState.FAILING:
            return _broken(link, item, chain, situation, now)
        if chain is not None and link.state is LinkState.STARTING:
            return Wait(next_look(chain, now), final=True)
    return CLEAR


def _links_of(pod: Pod, chain: NodeChain | None) -> Iterator[Link]:
    """Yield the links that a pod is, or shows: the validator's is two, and the pods that it starts show the second."""
    if chain is None:
        return
    me, owner = Ref("Pod", *pod.key), pod.metadata.controller
    for link in chain.links:
        same_owner = owner is not None and link.owner == Ref(owner.kind, pod.namespace, owner.name)
        if link.pod == me or (same_owner and link.component is Component.CHECKS):
            yield link


def _of_node(node: Node, situation: Situation, now: datetime) -> Verdict:
    """Judge what shows in no pod that is not well: links that have none, or do not do their work."""
    if not is_gpu_node(node) or not is_node_ready(node):
        return CLEAR
    chain = chain_of(node.name, situation, now)
    if chain is None:
        return CLEAR
    for link in chain.links:
        if link.state in BROKEN and _shows_on_node_only(link, situation, now):
            return _broken(link, None, chain, situation, now)
    at_rest = all(link.state not in (LinkState.STARTING, LinkState.WAITING) for link in chain.links)
    return CLEAR if at_rest else Wait(next_look(chain, now))


def _shows_on_node_only(link: Link, situation: Situation, now: datetime) -> bool:
    """Tell whether no pod shows that a link is broken. Other rules tell of the operator, of MIG, and of lost GPUs."""
    if link.component in (Component.MIG, Component.CAPACITY):
        return link.state is LinkState.ABSENT
    if link.state is LinkState.ABSENT:
        return link.component is not Component.OPERATOR
    pod = situation.get(link.pod) if link.pod is not None else None
    return pod is None or (isinstance(pod, Pod) and is_settled(pod, now))


def _broken(link: Link, pod: Pod | None, chain: NodeChain, situation: Situation, now: datetime) -> Fired:
    subject = about(link, chain.node, situation)
    known = _as_pod(pod, situation, now) if pod is not None else None
    title = known.title if known else title_of(link, subject)
    evidence = [*(known.evidence if known else (own_evidence(link, chain),)), *chain_evidence(link, chain)]
    commands: list[Command] = []
    if pod is not None and link.container and not has_no_log(link, pod):
        what = TOLD_BY_LOG.get(link.container, "its own words")
        evidence.append(fact("pods", f"{what}: the log tells", Mark.OPEN))
        commands.append(logs(pod, link.container, ended_status(link, pod), f"{what}: which is it?"))
    for command in (*(known.next if known else ()), *commands_for(link, subject, chain)):
        if command.argv[:2] != ("kubectl", "logs") and command.argv not in [other.argv for other in commands]:
            commands.append(command)
    itself = (subject, Ref("Node", "", chain.node))  # that the node lost its GPUs follows from the link
    severity = Severity.CRITICAL if _is_vital(link) else Severity.WARNING
    if known is not None and known.severity is Severity.WARNING:
        severity = Severity.WARNING
    return Fired(
        subject,
        title,
        tuple(evidence),
        tuple(commands),
        severity=severity,
        follows=tuple(ref for ref in known.follows if ref not in itself) if known else (),
        node=chain.node,
    )


def _is_vital(link: Link) -> bool:
    """Tell whether pods get no GPU without it: a node without NFD's or the operator's labels has no operand at all."""
    return link.component in SERVING or link.component is Component.OPERATOR or (
        link.component is Component.NFD and not link.text.endswith("GFD's labels")
    )  # fmt: skip


def _as_pod(pod: Pod, situation: Situation, now: datetime) -> Fired | None:
    """Return what the rules for pods of any kind say of it."""
    for item in _POD_RULES:
        if situation.knows(*item.needs):
            verdict = item.judge(pod, situation, now)
            if isinstance(verdict, Fired):
                return verdict
    return None


@rule(
    "gpu-link-waits",
    signature="L5-10",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Pod",
    needs=("nodes", "pods", "daemonsets"),
    looks_at="a GPU operand's pod that is not ready, and the first broken link before it on its node.",
    look_alikes={
        "gpu-link-broken": "there nothing before it is broken",
        "a chain that comes up": "as long as nothing before it is broken it is silent",
    },
)
def gpu_link_waits(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A component of the GPU Operator waits for one before it on its node, which is broken."""
    if not is_operand(pod) or pod.metadata.deletion_timestamp is not None:
        return CLEAR
    chain = chain_of(node_of(pod), situation, now)
    for link in _links_of(pod, chain):
        if chain is None or link.state is not LinkState.WAITING:
            continue
        cause = chain.cause_of(link)
        if cause is None:
            return Wait(min(next_look(chain, now), now + RECHECK), final=True)
        return _waits(link, cause, pod, chain, situation, now)
    return CLEAR


def _waits(link: Link, cause: Link, pod: Pod, chain: NodeChain, situation: Situation, now: datetime) -> Fired:
    subject, title = about(cause, chain.node, situation), PARTS[cause.component].title
    since = f" for {duration_text((now - link.since).total_seconds())}" if link.since else ""
    step = f"init container {link.container}, {link.text}{since}" if link.container else f"{link.text}{since}"
    evidence = [fact("pods", f"{pod.name}: {step}")]
    if not link.restarts:
        evidence.append(fact("pods", "no restarts: it waits, it does not crash", Mark.EXCLUDES))
    evidence.append(fact("pods", f"{title} on {chain.node}: {cause.state}, {cause.text}"))
    name = link.container or (pod.spec.containers[0].name if pod.spec.containers else "")
    return Fired(
        situation.workload_of(pod),
        f"waits for the {title}",
        tuple(evidence),
        (
            pods_on(chain.node, purpose=WHICH_OPERAND, namespace=pod.namespace),
            *operand_log(pod, name, "what does it wait for?"),
        ),
        follows=(subject,),
        part=str(subject),
        node=chain.node,
    )  # fmt: skip


RULES: Final[tuple[Rule, ...]] = (gpu_link_broken, gpu_link_waits)
