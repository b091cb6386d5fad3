"""Nodes, namespaces, events and the small cluster-wide objects."""

from datetime import datetime

import msgspec

from situation.meta import Condition, KubernetesObject, Quantities, Time, Wire


class Taint(Wire, frozen=True):
    key: str
    effect: str = ""
    value: str = ""
    time_added: Time | None = None


class NodeSpec(Wire, frozen=True):
    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()
    pod_cidr: str = msgspec.field(default="", name="podCIDR")


class NodeInfo(Wire, frozen=True):
    kubelet_version: str = ""
    container_runtime_version: str = ""
    kernel_version: str = ""
    os_image: str = ""
    architecture: str = ""
    operating_system: str = ""


class NodeStatus(Wire, frozen=True):
    capacity: Quantities = {}
    allocatable: Quantities = {}
    conditions: tuple[Condition, ...] = ()
    node_info: NodeInfo = NodeInfo()


class Node(KubernetesObject, frozen=True):
    spec: NodeSpec = NodeSpec()
    status: NodeStatus = NodeStatus()


class NamespaceStatus(Wire, frozen=True):
    phase: str = ""
    conditions: tuple[Condition, ...] = ()


class Namespace(KubernetesObject, frozen=True):
    status: NamespaceStatus = NamespaceStatus()


class InvolvedObject(Wire, frozen=True):
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    field_path: str = ""


class EventSource(Wire, frozen=True):
    component: str = ""
    host: str = ""


class EventSeries(Wire, frozen=True):
    count: int = 0
    last_observed_time: Time | None = None


class Event(KubernetesObject, frozen=True):
    """A core/v1 Event; both the older count fields and the series of events.k8s.io are read."""

    involved_object: InvolvedObject = InvolvedObject()
    type: str = ""
    reason: str = ""
    message: str = ""
    count: int = 0
    first_timestamp: Time | None = None
    last_timestamp: Time | None = None
    event_time: Time | None = None
    series: EventSeries | None = None
    source: EventSource = EventSource()
    reporting_component: str = ""

    @property
    def last_seen(self) -> datetime | None:
        """When it happened last, from whichever field the reporter filled."""
        series = self.series.last_observed_time if self.series else None
        return series or self.last_timestamp or self.event_time or self.metadata.creation_timestamp

    @property
    def times(self) -> int:
        """How often it happened, at least 1."""
        return max(self.count, self.series.count if self.series else 0, 1)


class LeaseSpec(Wire, frozen=True):
    holder_identity: str = ""
    lease_duration_seconds: int = 0
    renew_time: Time | None = None
    acquire_time: Time | None = None
    """When the present holder became it."""


class Lease(KubernetesObject, frozen=True):
    spec: LeaseSpec = LeaseSpec()


class QuotaSpec(Wire, frozen=True):
    hard: Quantities = {}


class QuotaStatus(Wire, frozen=True):
    hard: Quantities = {}
    used: Quantities = {}


class ResourceQuota(KubernetesObject, frozen=True):
    spec: QuotaSpec = QuotaSpec()
    status: QuotaStatus = QuotaStatus()


class LimitItem(Wire, frozen=True):
    type: str = ""
    max: Quantities = {}
    min: Quantities = {}


class LimitRangeSpec(Wire, frozen=True):
    limits: tuple[LimitItem, ...] = ()


class LimitRange(KubernetesObject, frozen=True):
    spec: LimitRangeSpec = LimitRangeSpec()


class PriorityClass(KubernetesObject, frozen=True):
    value: int = 0


class RuntimeClass(KubernetesObject, frozen=True):
    handler: str = ""
