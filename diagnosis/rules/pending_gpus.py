"""Layer 2: why a GPU pod is Pending: one message, many causes (L2-02, L2-03; the pods' side of L5-09).

The order is that of the playbook "GPU pod Pending": a broken chain on the nodes, unhealthy devices, GPUs really
allocated, taints, selectors, a wrong resource name. A quota (`creation_quota`), a claim (`scheduling_volumes`) and a
scheduler that is down (`control_plane`) leave other traces and are asked before.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

import msgspec

from diagnosis.commands import counted, fact, kubectl
from diagnosis.explaining import SCHEDULER_DOWN
from diagnosis.gpu_causes import DRIVER_START_S
from diagnosis.gpu_ledger import WHOLE
from diagnosis.gpu_names import misnamed, shape_text, shapes
from diagnosis.gpu_places import Chances, Place, Reach, View, chances, view_of
from diagnosis.gpu_status import plugin_of
from diagnosis.node_agents import Agent, agents
from diagnosis.placement import amount_text, selects, wanted
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule
from diagnosis.rules import pending_gpus_commands as commands
from diagnosis.rules.pending_gpus_evidence import demand, even_whole, measured_use, occupation, table
from diagnosis.rules.scheduling_facts import SHOWN, by_message, fired, names, node_refs, refusal, still_young
from diagnosis.scheduler_text import CORDON, SELECTOR, TAINT, SchedulerMessage
from situation.cluster import Node
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.gpu.offer import MIG_STATE, PRESENT, paused_why
from situation.gpu.requests import is_gpu, is_nvidia
from situation.gpu.survey import sees_operands
from situation.meta import CLUSTER, Ref
from situation.pods import Pod
from situation.situation import Situation


@rule(
    "gpus-short",
    signature="L2-02 L2-03 L5-09",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="PodScheduled with 'Insufficient <GPU resource>', the pod's requests; per node capacity, allocatable and "
    "the requests of the pods on it, by workload; MIG, sharing and product labels; measured utilisation, by holder.",
    look_alikes={
        "resources-short": "there the nodes with free GPUs lack CPU or memory",
        "taints": "the nodes that offer enough GPUs have a taint the pod does not tolerate",
        "node-selector": "no node at all has the labels the pod asks for",
        "GPUs lost on a node": "a node that the pod would fit on offers less than it has: the node is to blame",
        "allocated but idle": "the nodes are full by requests, while their holders leave the GPUs idle: the evidence "
        "says how many, if it is measured",
        "quota-refused": "there no pod is Pending: it was never created",
        "device-claim": "GPUs asked for by a resource claim (DRA) are no extended resource",
    },
)
def gpus_short(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A pod wants GPUs that no node offers, that are all allocated, or that it cannot reach."""
    said = refusal(pod)
    short = [name for name in said.insufficient if is_gpu(name)] if said is not None else []
    if said is None or not short:
        return CLEAR
    if wait := still_young(pod, now):
        return wait
    for resource in short:
        if not situation.nodes or situation.has_unread("nodes") or not wanted(pod, resource):
            return by_message(pod, situation, now, resource, said, [commands.offers(resource)])
        if (answer := _Question(pod, resource, situation, now, said).answer()) is not None:
            return answer
    return CLEAR


class _Question:
    """One pod, one resource: finds the first cause that holds, in the order of the playbook."""

    def __init__(self, pod: Pod, resource: str, situation: Situation, now: datetime, said: SchedulerMessage) -> None:
        self.pod, self.resource, self.situation, self.now, self.said = pod, resource, situation, now, said
        self.wants = wanted(pod, resource)
        self.view: View = view_of(pod, resource, situation)
        self.asks = amount_text(resource, self.wants)

    def answer(self) -> Fired | None:
        found = chances(self.view, self.wants, self.situation)
        if not self.situation.sees_all and _hangs_on_others(found):
            next = [commands.holders(self.resource), commands.offers(self.resource)]
            return by_message(self.pod, self.situation, self.now, self.resource, self.said, next)
        if found.roomy and len(self.said.insufficient) > 1:
            return None
        if found.roomy:
            return self._room(found.roomy)
        if found.lost:
            return self._lost(found.lost)
        if found.offering:
            return self._full()
        if any(place.account.allocatable >= self.wants for place in self.view.places):
            return self._elsewhere()
        if any(place.account.allocatable for place in self.view.places):
            return self._too_large()
        return self._not_offered()

    def _fired(
        self,
        what: str,
        evidence: Iterable[Evidence] = (),
        next: Iterable[Command] = (),
        *,
        follows: tuple[Ref, ...] = (),
        of_cluster: tuple[str, ...] = (),
        layer: Layer | None = None,
        severity: Severity | None = None,
    ) -> Fired:
        lines = [
            *table(self.view, self.wants, self.situation),
            *evidence,
            *demand(self.view, by_all=self.situation.sees_all),
        ]
        return fired(
            self.pod, self.situation, self.now, f"wants {self.asks}: {what}", lines, next,
            follows=follows, of_cluster=of_cluster, layer=layer, severity=severity,
        )  # fmt: skip

    def _lost(self, lost: tuple[Place, ...]) -> Fired:
        """The pod would fit if these nodes offered all they have: they are the cause, layer 5."""
        broken = [place for place in lost if place.account.broken]
        nodes = [place.account.node for place in (broken or lost)]
        evidence = []
        if broken:
            what = self._broken(nodes)
            evidence.append(fact("nodes", f"has GPUs by its labels or its capacity, but offers none: {names(nodes)}"))
            alone = [node for node in nodes[:SHOWN] if not _has_plugin(node, self.situation)]
            if alone and sees_operands(self.situation):
                evidence.append(fact("pods", f"no device plugin is seen on {names(alone)}"))
        elif len(lost) == 1:
            account = lost[0].account
            what = f"{account.node.name} offers {account.allocatable:.10g} of its {account.capacity:.10g}"
        else:
            what = f"{counted(len(lost), 'node')} offer less than they have"
        if not broken:
            evidence.append(fact("nodes", f"it would fit but for unhealthy GPUs: {names(nodes)}"))
        reads = [commands.offers(self.resource)]
        reads += commands.operands(broken, self.situation) if broken else commands.plugin_logs(lost, self.situation)
        operands = _operands(self.resource, self.situation) if broken else ()
        return self._fired(
            what, evidence, reads, follows=(*node_refs(nodes), *operands), layer=Layer.NODE,
            severity=Severity.WARNING if broken and _all_new(nodes, self.now) else None,
        )  # fmt: skip

    def _broken(self, nodes: list[Node]) -> str:
        offer = "offers none" if len(nodes) == 1 else "offer none"
        whys = {paused_why(node.metadata.labels) for node in nodes}
        if len(whys) == 1 and (why := whys.pop()):
            return f"{names(nodes)} {offer} {why if len(nodes) == 1 else why.replace('its', 'their')}"
        if any(place.account.allocatable for place in self.view.places):
            return f"{names(nodes)} {offer}" + (", no room on the others" if self.situation.sees_all else "")
        return "the GPU nodes offer none"

    def _room(self, roomy: tuple[Place, ...]) -> Fired:
        """By all that can be seen the pod would fit: it was freed just now, is held out of sight, or nobody tries."""
        evidence = [
            fact("pods", "pods that can be seen leave room: others hold it, or it was freed just now", Mark.OPEN)
        ]
        free = max(place.account.free for place in roomy)
        what = f"room for {free:.10g} seems to be on {names(place.account.node for place in roomy)}"
        next = [commands.holders(self.resource), commands.offers(self.resource)]
        return self._fired(what, evidence, next, follows=(CLUSTER,), of_cluster=SCHEDULER_DOWN)

    def _full(self) -> Fired:
        accounts = self.view.taken
        total = sum(account.allocatable for account in accounts)
        free, most = sum(account.free for account in accounts), max(account.free for account in accounts)
        if free >= self.wants:
            what = f"{free:.10g} are free in total, but at most {most:.10g} on one node"
        elif free:
            what = f"only {free:.10g} of {total:.10g} free"
        else:
            what = f"all {total:.10g} are allocated"
        held = occupation(self.view, self.wants, self.situation, self.now)
        evidence = list(held)
        if not any(account.lost for account in accounts):
            evidence.append(fact("nodes", f"no node offers less {self.resource} than it has", Mark.EXCLUDES))
        evidence += even_whole(self.view, self.wants)
        changing = [account.node for account in accounts if not account.allocatable and _changes_layout(account.node)]
        if changing:
            evidence.append(fact("nodes", f"offers GPUs again when its MIG layout is changed: {names(changing)}"))
        next = [commands.offers(self.resource), commands.holders(self.resource)]
        verdict = self._fired(what, evidence, next, follows=node_refs(changing))
        use = measured_use(self.view, self.situation, self.now)
        return msgspec.structs.replace(verdict, next=(*verdict.next, *commands.free_idle(use, self.resource)))

    def _elsewhere(self) -> Fired | None:
        """Only nodes that do not take the pod offer as many. Rules about taints, cordons and labels may say it best."""
        kept = {place.reach for place in self.view.places if place.account.allocatable >= self.wants}
        if kept & {Reach.TAINTED, Reach.DOWN} and self.said.mentions(TAINT):
            return None
        if Reach.CORDONED in kept and self.said.mentions(CORDON):
            return None
        chosen = [node for node in self.situation.nodes.values() if selects(self.pod, node)]
        if not chosen and self.said.mentions(SELECTOR):
            return None
        most = max((place.account.allocatable for place in self.view.open), default=0.0)
        follows: tuple[Ref, ...] = ()
        if kept != {Reach.UNSELECTED}:
            what = "the nodes that offer as many do not take it"
        elif most:
            what = f"the nodes it selects offer at most {most:.10g}"
        else:
            what = "no node that it selects offers any"
            follows = node_refs(chosen)  # what is found of these, such as GPUs that were not discovered, is why
        keys = ",".join(self.pod.spec.node_selector)
        look = kubectl(
            "get", "nodes", *(("-L", keys) if keys else ("--show-labels",)), purpose="which node has which labels?"
        )
        return self._fired(what, (), [look, commands.offers(self.resource)], follows=follows)

    def _too_large(self) -> Fired:
        largest = max(self.view.places, key=lambda place: place.account.allocatable)
        name, most = largest.account.node.name, largest.account.allocatable
        evidence = [
            fact("nodes", f"the most a node offers is {most:.10g} ({name} of {len(self.situation.nodes)})"),
            fact("pods", "one pod runs on one node: more GPUs than a node has need several pods"),
        ]
        return self._fired(f"the largest node offers {most:.10g}", evidence, [commands.offers(self.resource)])

    def _not_offered(self) -> Fired:
        """No node offers the resource: another name or shape of it, or no such hardware."""
        nodes = self.situation.nodes.values()
        offered = shapes(self.situation)
        evidence = [fact("nodes", f"wants {self.asks}; the most a node offers is 0 of {counted(len(nodes), 'node')}")]
        if not offered:
            text = f"no node has the label {PRESENT}=true or a capacity of {self.resource}"
            evidence += [fact("nodes", text)] if not self.view.places else []
            return self._fired("no node offers any", evidence, [commands.offers(self.resource)])
        evidence.append(fact("nodes", f"nodes offer instead: {', '.join(map(shape_text, offered[:4]))}"))
        evidence += [fact("nodes", text) for text in misnamed(self.resource, offered, self.situation)]
        failed = [node for node in nodes if node.metadata.labels.get(MIG_STATE) == "failed"]
        if failed:
            evidence.append(fact("nodes", f"{MIG_STATE}=failed on {names(failed)}"))
        is_shape = self.resource == WHOLE or self.resource.startswith("nvidia.com/mig-")
        return self._fired(
            f"no node offers that {'shape' if is_shape else 'name'}", evidence, commands.by_shape(self.resource),
            follows=node_refs(failed), layer=Layer.NODE if failed else None,
        )  # fmt: skip


def _hangs_on_others(found: Chances) -> bool:
    """Tell whether the answer is what is free: pods of namespaces that are not read decide that too."""
    if found.roomy or not found.lost:
        return bool(found.offering)
    return not any(place.account.broken for place in found.lost)


def _changes_layout(node: Node) -> bool:
    """Tell whether a change of the MIG layout is under way: how many GPUs there will be nobody knows before its end."""
    return node.metadata.labels.get(MIG_STATE) in ("pending", "rebooting")


def _operands(resource: str, situation: Situation) -> tuple[Ref, ...]:
    """Return the DaemonSets that bring a GPU resource, as far as they are known: those of NVIDIA's operator."""
    return tuple(agents(situation, Agent.GPU)) if is_nvidia(resource) else ()


def _has_plugin(node: Node, situation: Situation) -> bool:
    return plugin_of(situation.pods_by_node.get(node.name).values()) is not None


def _all_new(nodes: list[Node], now: datetime) -> bool:
    ages = [(now - made).total_seconds() for node in nodes if (made := node.metadata.creation_timestamp) is not None]
    return len(ages) == len(nodes) and all(age < DRIVER_START_S for age in ages)


RULES: Final[tuple[Rule, ...]] = (gpus_short,)
