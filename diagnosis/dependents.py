"""Which subjects a round of changes may concern: what rules look at beyond the object itself, told backwards.

Only what could turn a verdict of "clear" or "wait" into another one is told here: a subject with a fault, or unknown,
is judged again every few seconds anyway (`engine.RECHECK`).
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final

from diagnosis.change_facts import begins_to_schedule, other_quota, same_to_others, turned, uses_otherwise
from diagnosis.container_facts import siblings
from diagnosis.name_dependents import callers, creators, may_be_meant, told_of, webhooks
from diagnosis.node_agents import Agent, agent_of, is_nfd
from diagnosis.serving_dependents import reached, reviewed, setup_namespace
from situation.cluster import Event, Namespace, Node
from situation.gpu.chain import is_gpu_node
from situation.gpu.components import component_of
from situation.gpu.links import Component
from situation.gpu.operator import ClusterPolicy, GpuCluster, NvidiaDriver, ResourceClaim, ResourceSlice
from situation.gpu.requests import asks_for_gpus
from situation.gpu.touched import concerns_all, nodes_of
from situation.meta import KubernetesObject, Ref
from situation.network import (
    EndpointSlice,
    NetworkPolicy,
    Service,
)
from situation.pods import Pod
from situation.selectors import claim_names, is_settled
from situation.situation import Situation
from situation.storage import PersistentVolume, PersistentVolumeClaim, StorageClass
from situation.store import Change, involved_ref
from situation.workloads import DaemonSet, Deployment, HorizontalPodAutoscaler, Job, ReplicaSet, StatefulSet

_GPU_RESOURCES: Final = (
    ("ClusterPolicy", "clusterpolicies"),
    ("NVIDIADriver", "nvidiadrivers"),
    ("GPUCluster", "gpuclusters"),
)


def dependents(situation: Situation, changes: Iterable[Change], now: datetime) -> Mapping[Ref, None]:
    """Return the references of all objects to be judged again after `changes`, the changed ones included, in order."""
    concerned = _Concerned(situation)
    for change in changes:
        concerned.take(change)
    concerned.spread(now)
    return concerned.refs


class _Concerned:
    """Gathers the subjects of one round. Whole tables are gone through once a round, not once a change."""

    def __init__(self, situation: Situation) -> None:
        self.refs: dict[Ref, None] = {}
        self._situation = situation
        self._pod_namespaces: set[str] = set()
        """Where pods came, went, or changed in what others see of them."""
        self._unplaced_namespaces: set[str] = set()
        """Where pods without a node did."""
        self._workload_namespaces: set[str] = set()
        """Where a workload, or a pod without one, came, went or got other labels: a Service may be meant for it."""
        self._quota_namespaces: set[str] = set()
        """Where a quota allows more or less than before."""
        self._policy_namespaces: set[str] = set()
        self._review_namespaces: set[str] = set()
        self._nodes: set[str] = set()
        """Nodes whose unsettled pods are concerned."""
        self._claims: set[tuple[str, str]] = set()
        """Claims of which a user came, went, moved or ended: who waits for one may get it, or learn who holds it."""
        self._services: set[Ref] = set()
        self._cron_jobs: set[Ref] = set()
        self._turned_nodes: set[str] = set()
        """Nodes that became Ready or ceased to be: their pods are explained otherwise."""
        self._offers_changed = False
        """Some node offers something else, or is well or ill now."""
        self._begins_to_schedule = False
        self._names_changed = False
        """Some Service or namespace came, went or changed: names in environments may lead elsewhere."""
        self._volumes_changed = False
        self._chains_changed = False
        """What all GPU chains stand on changed: a DaemonSet of theirs, the operator, NFD."""
        self._operator_changed = False
        """A part of the GPU Operator came or went: whether there is one at all may have changed."""
        self._chain_nodes: set[str] = set()
        """Nodes whose GPU chain is concerned."""
        self._gpu_stack_changed = False
        """Something that the GPU Operator's resources speak of: operands, nodes, or each other."""

    def take(self, change: Change) -> None:
        """Note what one change concerns."""
        self.refs[change.ref] = None
        both = change.old is not None and change.new is not None
        if both and same_to_others(change.old, change.new):
            return
        self._chains_changed = self._chains_changed or concerns_all(change, self._situation)
        if change.ref.kind != "Node":
            self._chain_nodes.update(nodes_of(change, self._situation))
        if namespace := setup_namespace(change):
            self._review_namespaces.add(namespace)
        self._quota_namespaces |= other_quota(change)
        self._begins_to_schedule |= begins_to_schedule(change, self._situation)
        if may_be_meant(change):
            self._workload_namespaces.add(change.ref.namespace)
        is_used_otherwise = uses_otherwise(change)
        for item in (change.old, change.new):
            if item is not None:
                self._take(item, change)
            if is_used_otherwise and isinstance(item, Pod):
                self._claims.update((item.namespace, name) for name in claim_names(item))

    def _take(self, item: KubernetesObject, change: Change) -> None:
        match item:
            case Pod():
                self._take_pod(item)
            case Event():
                self._take_event(item)
            case Node():
                self._nodes.add(item.name)
                self._offers_changed = self._gpu_stack_changed = True
                self._turned_nodes |= turned(change)
            case ReplicaSet() | Job() | Deployment() | StatefulSet() | DaemonSet():
                self._take_workload(item, change)
            case Service() | EndpointSlice() | Namespace():
                self._take_name(item, change)
            case PersistentVolumeClaim():
                self._add(self._situation.pods_by_claim.get(item.key).values(), "Pod")
            case StorageClass() | PersistentVolume():
                self._volumes_changed = True
            case NetworkPolicy():
                self._policy_namespaces.add(item.namespace)
            case ClusterPolicy() | NvidiaDriver() | GpuCluster() | ResourceSlice():
                self._take_gpu(item, change)
            case ResourceClaim():
                self.refs |= {Ref("Pod", item.namespace, user.name): None for user in item.status.reserved_for}
            case HorizontalPodAutoscaler():
                target = item.spec.scale_target_ref
                self.refs[Ref(target.kind, item.namespace, target.name)] = None

    def _take_event(self, event: Event) -> None:
        about = involved_ref(event)
        self.refs[about] = None
        if event.reason == "SystemOOM":  # why containers there were killed
            self._nodes.add(about.name)

    def _take_pod(self, pod: Pod) -> None:
        situation = self._situation
        self._pod_namespaces.add(pod.namespace)
        if pod.spec.node_name:
            node = Ref("Node", "", pod.spec.node_name)
            if situation.events_by_object.get(node) or asks_for_gpus(pod) or is_nfd(pod):
                # It may have booted again and waits for its pods, or shares its GPUs among them.
                self.refs[node] = None
        else:
            self._unplaced_namespaces.add(pod.namespace)
        if pod.metadata.controller is not None:
            self._gpu_stack_changed |= pod.metadata.controller.kind == "DaemonSet" and agent_of(pod) is Agent.GPU
            if pod.status.phase == "Failed" or situation.get(situation.workload_of(pod)) is None:
                self._add_leftovers(siblings(pod, situation))
        self._add_who_shows(pod)
        for name in claim_names(pod):
            self.refs[Ref("PersistentVolumeClaim", pod.namespace, name)] = None

    def _add_who_shows(self, pod: Pod) -> None:
        """Add what tells how many of its pods are ready: Services, and a DaemonSet."""
        if (controller := pod.metadata.controller) is not None and controller.kind == "DaemonSet":
            self.refs[Ref("DaemonSet", pod.namespace, controller.name)] = None
        self._services.update(
            Ref("Service", service.namespace, service.name) for service in self._situation.services_selecting(pod)
        )

    def _take_workload(self, item: KubernetesObject, change: Change) -> None:
        workload = self._situation.workload_of(item, change.ref.kind)
        came_or_went = change.old is None or change.new is None
        self.refs[workload] = None
        if isinstance(item, DaemonSet) and (agent_of(item) is Agent.GPU or is_nfd(item)):
            self._gpu_stack_changed = True
            self._operator_changed |= came_or_went
        if isinstance(item, Deployment) and component_of(item) is Component.OPERATOR:
            self._operator_changed |= came_or_went
        if workload.kind == "CronJob":
            self._cron_jobs.add(workload)
        pods = self._situation.pods_of(change.ref)
        if came_or_went:  # whose pods they are
            self._add(pods, "Pod")
        else:
            self._add_leftovers(pods)

    def _add_leftovers(self, pods: Iterable[Pod]) -> None:
        """Add failed and leaving pods: they matter while their workload is not whole again."""
        left = (pod for pod in pods if pod.status.phase == "Failed" or pod.metadata.deletion_timestamp is not None)
        self._add(left, "Pod")

    def _take_name(self, item: Service | EndpointSlice | Namespace, change: Change) -> None:
        match item:
            case EndpointSlice():
                if (service := item.service) is not None:
                    self._services.add(service)
            case Service():
                self._services.add(Ref("Service", item.namespace, item.name))
                self._names_changed = True
            case Namespace():
                self._names_changed |= change.old is None or change.new is None

    def _take_gpu(self, item: ClusterPolicy | NvidiaDriver | GpuCluster | ResourceSlice, change: Change) -> None:
        if not isinstance(item, ResourceSlice):
            self._gpu_stack_changed = True
            # Nodes ask whether there is an operator; its status alone is nothing to them.
            came_or_went = change.old is None or change.new is None
            self._chains_changed |= came_or_went
            self._operator_changed |= came_or_went
        elif item.spec.node_name:
            self.refs[Ref("Node", "", item.spec.node_name)] = None
            self._nodes.add(item.spec.node_name)

    def spread(self, now: datetime) -> None:
        """Add what the round as a whole concerns."""
        situation = self._situation
        self._spread_over_nodes(now)
        self.refs |= dict.fromkeys(self._services)
        for claim in self._claims:
            self._add_unsettled(situation.pods_by_claim.get(claim).values(), now)
        for namespace in self._unplaced_namespaces:
            self._add(situation.quotas_by_namespace.get(namespace).values(), "ResourceQuota")
        for namespace in self._workload_namespaces:
            self._add(situation.services_by_namespace.get(namespace).values(), "Service")
        for namespace in self._policy_namespaces | self._pod_namespaces:
            self._add(situation.policies_by_namespace.get(namespace).values(), "NetworkPolicy")
        if self._offers_changed or self._begins_to_schedule:
            self._add(situation.unscheduled_pods.get(True).values(), "Pod")
        if self._offers_changed:
            self._add(
                (item for item in situation.services.values() if item.spec.internal_traffic_policy == "Local"),
                "Service",
            )
        if self._volumes_changed:
            self._add(
                (claim for claim in situation.claims.values() if claim.status.phase != "Bound"), "PersistentVolumeClaim"
            )
        if self._gpu_stack_changed:
            for kind, name in _GPU_RESOURCES:
                self._add(situation.table(name).values(), kind)
        self.refs |= dict.fromkeys(self._by_name())
        self.refs |= dict.fromkeys(creators(situation, self._quota_namespaces))
        self.refs |= dict.fromkeys(reviewed(situation, self._review_namespaces))
        self.refs |= dict.fromkeys(reached(situation, bool(self._services), self._pod_namespaces))

    def _spread_over_nodes(self, now: datetime) -> None:
        situation = self._situation
        if self._operator_changed:
            self._add(situation.nodes.values(), "Node")
        if self._chains_changed:
            self._chain_nodes.update(name for (_, name), node in situation.nodes.items() if is_gpu_node(node))
        for node in self._chain_nodes:
            self.refs[Ref("Node", "", node)] = None
            self._add(situation.unscheduled_by_target.get(node).values(), "Pod")
        for node in self._nodes | self._chain_nodes:
            self._add_unsettled(situation.pods_by_node.get(node).values(), now)

        for node in self._turned_nodes:
            for pod in situation.pods_by_node.get(node).values():
                if not is_settled(pod, now):
                    self._add_who_shows(pod)

    def _by_name(self) -> Iterator[Ref]:
        """Yield what refers to something changed by its name or by its labels."""
        situation = self._situation
        if self._offers_changed or self._pod_namespaces:
            for key in situation.table("poddisruptionbudgets"):
                if self._offers_changed or key[0] in self._pod_namespaces:
                    yield Ref("PodDisruptionBudget", *key)
        if self._names_changed or self._pod_namespaces:
            for key, deployment in situation.deployments.items():
                if deployment.spec.replicas == 0 and (self._names_changed or key[0] in self._pod_namespaces):
                    yield Ref("Deployment", *key)
        if self._names_changed:
            yield from callers(situation)
            yield from told_of(situation)
        if self._services:
            yield from webhooks(situation, self._services)
        if self._cron_jobs:
            for key, job in situation.jobs.items():
                if situation.workload_of(job, "Job") in self._cron_jobs:
                    yield Ref("Job", *key)

    def _add_unsettled(self, pods: Iterable[Pod], now: datetime) -> None:
        self._add((pod for pod in pods if not is_settled(pod, now)), "Pod")

    def _add(self, items: Iterable[KubernetesObject], kind: str) -> None:
        for item in items:
            self.refs[Ref(kind, item.namespace, item.name)] = None
