"""Layer 2: other pods keep a pod from the nodes it could run on (L2-07, L2-08, L2-09)."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Final

from diagnosis.commands import counted, fact, kubectl
from diagnosis.placement import admits
from diagnosis.rule import CLEAR, Rule, Verdict, rule
from diagnosis.rules.scheduling_facts import SHOWN, fired, names, refusal, still_young
from diagnosis.scheduler_text import AFFINITY, ANTI_AFFINITY, HOST_PORT, SPREAD
from situation.affinity import PodAffinityTerm
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.meta import LabelSelector
from situation.pods import Pod
from situation.selectors import is_finished
from situation.situation import Situation
from situation.workloads import label_selector_text, selector_text


def _terms(pod: Pod, anti: bool) -> tuple[PodAffinityTerm, ...]:
    affinity = pod.spec.affinity
    if affinity is None:
        return ()
    found = affinity.pod_anti_affinity if anti else affinity.pod_affinity
    return found.required if found is not None else ()


def _selector_text(selector: LabelSelector | None) -> str:
    return "no pod" if selector is None else label_selector_text(selector) or "any pod"


def _term_evidence(pod: Pod, terms: tuple[PodAffinityTerm, ...], situation: Situation, verb: str) -> Iterator[Evidence]:
    for term in terms:
        text = f"{verb} pods with {_selector_text(term.label_selector)} per {term.topology_key}"
        if term.label_selector is None:
            yield fact("pods", text)
            continue
        near = [other for other in situation.pods_matching(pod.namespace, term.label_selector) if other.spec.node_name]
        running = [other for other in near if not is_finished(other)]
        places = {other.spec.node_name for other in running}
        found = f"{counted(len(running), 'such pod')} on {counted(len(places), 'node')}"
        yield fact("pods", f"{text}: {found} (in namespace {pod.namespace})")


def _pods_command(pod: Pod, terms: tuple[PodAffinityTerm, ...]) -> Command:
    labels = next((term.label_selector.match_labels for term in terms if term.label_selector), {})
    chosen = ("-l", selector_text(labels)) if labels else ()
    return kubectl("get", "pods", *chosen, "-o", "wide", purpose="where do these pods run?", namespace=pod.namespace)


@rule(
    "pod-affinity",
    signature="L2-07",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="PodScheduled with 'didn't match pod anti-affinity rules', 'didn't satisfy existing pods anti-affinity "
    "rules' or 'didn't match pod affinity rules'; the pod's required terms and the pods they select.",
    look_alikes={
        "rolling update with a surge": "as many replicas as nodes: the new pod waits for an old one that waits for it",
        "node down": "a node that would take the pod is not ready: that node is the cause",
    },
)
def pod_affinity(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """Pod affinity or anti-affinity leaves no node."""
    said = refusal(pod)
    if said is None or not (said.count(ANTI_AFFINITY) or said.count(AFFINITY)):
        return CLEAR
    if wait := still_young(pod, now):
        return wait
    anti = bool(said.count(ANTI_AFFINITY))
    terms = _terms(pod, anti)
    evidence = list(_term_evidence(pod, terms, situation, "keeps away from" if anti else "must sit beside"))
    if anti and not terms:
        evidence.append(fact("pods", "the pod itself has no such rule: the rule is that of pods already there"))
    older = _older_revision(pod, situation) if anti else 0
    if older:
        text = f"{counted(older, 'pod')} of an earlier revision on the nodes: a surge cannot finish here"
        evidence.append(fact("pods", text))
    title = "finds no node that pod anti-affinity allows" if anti else "finds no node beside the pods it wants"
    return fired(pod, situation, now, title, evidence, [_pods_command(pod, terms)])


def _older_revision(pod: Pod, situation: Situation) -> int:
    label = "pod-template-hash"
    mine = pod.metadata.labels.get(label)
    if mine is None:
        return 0
    siblings = situation.pods_of(situation.workload_of(pod))
    return sum(bool(other.spec.node_name) and other.metadata.labels.get(label) != mine for other in siblings)


@rule(
    "topology-spread",
    signature="L2-08",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="PodScheduled with 'didn't match pod topology spread constraints'; the constraints and the nodes' labels.",
    look_alikes={"missing topology label": "nodes without the key's label never count: named in the evidence"},
)
def topology_spread(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """Topology spread constraints leave no node."""
    said = refusal(pod)
    if said is None or not said.count(SPREAD):
        return CLEAR
    if wait := still_young(pod, now):
        return wait
    evidence = []
    for item in pod.spec.topology_spread_constraints:
        if item.when_unsatisfiable != "DoNotSchedule":
            continue
        evidence.append(fact("pods", f"maxSkew {item.max_skew}: between one {item.topology_key} and another"))
        without = [node for node in situation.nodes.values() if item.topology_key not in node.metadata.labels]
        if without:
            evidence.append(fact("nodes", f"without the label {item.topology_key}: {names(without)}"))
    next = [
        kubectl(
            "get", "pod", pod.name, "-o", "jsonpath={.spec.topologySpreadConstraints}",
            purpose="which spread is asked for?", namespace=pod.namespace,
        )
    ]  # fmt: skip
    return fired(pod, situation, now, "finds no node that its topology spread allows", evidence, next)


@rule(
    "host-port-taken",
    signature="L2-09",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="PodScheduled with 'didn't have free ports for the requested pod ports'; host ports of the pods there.",
    look_alikes={"two containers want one port": "inside one pod that is a crash loop, not an unscheduled pod"},
)
def host_port_taken(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """The host ports a pod wants are taken on every node it could run on."""
    said = refusal(pod)
    if said is None or not said.count(HOST_PORT):
        return CLEAR
    if wait := still_young(pod, now):
        return wait
    wants = _host_ports(pod)
    evidence = [
        fact("pods", f"{port} on {node} is held by {holder}")
        for node, port, holder in islice(_holders(pod, wants, situation), SHOWN)
    ]
    if not evidence:
        evidence.append(fact("pods", "who holds the ports is not among the pods that can be seen", Mark.OPEN))
    columns = (
        "NS:.metadata.namespace,POD:.metadata.name,NODE:.spec.nodeName,PORTS:.spec.containers[*].ports[*].hostPort"
    )
    next = [kubectl("get", "pods", "-A", "-o", f"custom-columns={columns}", purpose="who holds the host ports?")]
    ports = ", ".join(map(str, sorted(wants)))
    return fired(pod, situation, now, f"wants host port {ports}: taken on every node it may run on", evidence, next)


def _host_ports(pod: Pod) -> set[int]:
    containers = (*pod.spec.containers, *pod.spec.init_containers)
    ports = {port.host_port for container in containers for port in container.ports if port.host_port}
    if pod.spec.host_network:
        ports |= {port.container_port for container in containers for port in container.ports}
    return ports


def _holders(pod: Pod, wants: set[int], situation: Situation) -> Iterator[tuple[str, int, str]]:
    open_nodes = (node for node in situation.nodes.values() if admits(pod, node))
    for node in islice(open_nodes, 12):
        for other in situation.pods_by_node.get(node.name).values():
            if is_finished(other):
                continue
            for port in sorted(wants & _host_ports(other)):
                yield node.name, port, f"{other.namespace}/{other.name}"


RULES: Final[tuple[Rule, ...]] = (pod_affinity, topology_spread, host_port_taken)
