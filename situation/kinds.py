"""The kinds that Midwatch reads: one table for collectors, dumps, tapes and the Situation."""

from typing import Final

import msgspec

from situation.cluster import (
    Event,
    Lease,
    LimitRange,
    Namespace,
    Node,
    PriorityClass,
    ResourceQuota,
    RuntimeClass,
)
from situation.gpu.operator import ClusterPolicy, GpuCluster, NvidiaDriver, ResourceClaim, ResourceSlice
from situation.istio import DestinationRule, VirtualService
from situation.kserve import InferenceService
from situation.meta import KubernetesObject
from situation.network import (
    EndpointSlice,
    Ingress,
    MutatingWebhookConfiguration,
    NetworkPolicy,
    Service,
    ValidatingWebhookConfiguration,
)
from situation.pods import Pod
from situation.storage import PersistentVolume, PersistentVolumeClaim, StorageClass
from situation.workloads import (
    DaemonSet,
    Deployment,
    HorizontalPodAutoscaler,
    Job,
    PodDisruptionBudget,
    ReplicaSet,
    StatefulSet,
)


class ObjectKind(msgspec.Struct, frozen=True):
    """How one kind is named, reached and decoded."""

    resource: str
    """Plural as in API paths: `pods`. With `label`, the name of its source is `kubernetes/<label>`."""
    kind: str
    """As in manifests: `Pod`."""
    group_version: str
    """`v1` or `apps/v1`."""
    type: type[KubernetesObject]
    namespaced: bool = True
    on_demand: bool = False
    """Small lists that are fetched only while a rule wants them, at most once a minute; never watched."""
    fixed_namespace: str = ""
    """Read in this one namespace only."""
    label: str = ""
    optional: bool = False
    """Most clusters do without it (a custom resource, a newer API): where it is absent nothing is in doubt."""

    @property
    def name(self) -> str:
        """Unique short name: the resource, or `label` where one resource is read in two ways."""
        return self.label or self.resource

    @property
    def source(self) -> str:
        """Name of the source whose readings carry this kind."""
        return f"kubernetes/{self.name}"

    def path(self, namespace: str | None = None) -> str:
        """Return the API path of the collection, in `namespace` if given and the kind has namespaces."""
        root = f"/api/{self.group_version}" if "/" not in self.group_version else f"/apis/{self.group_version}"
        scope = (self.fixed_namespace or namespace) if self.namespaced else None
        return f"{root}/namespaces/{scope}/{self.resource}" if scope else f"{root}/{self.resource}"


KINDS: Final = (
    ObjectKind("pods", "Pod", "v1", Pod),
    ObjectKind("nodes", "Node", "v1", Node, namespaced=False),
    ObjectKind("events", "Event", "v1", Event),
    ObjectKind("namespaces", "Namespace", "v1", Namespace, namespaced=False),
    ObjectKind("services", "Service", "v1", Service),
    ObjectKind("endpointslices", "EndpointSlice", "discovery.k8s.io/v1", EndpointSlice),
    ObjectKind("persistentvolumeclaims", "PersistentVolumeClaim", "v1", PersistentVolumeClaim),
    ObjectKind("replicasets", "ReplicaSet", "apps/v1", ReplicaSet),
    ObjectKind("deployments", "Deployment", "apps/v1", Deployment),
    ObjectKind("statefulsets", "StatefulSet", "apps/v1", StatefulSet),
    ObjectKind("daemonsets", "DaemonSet", "apps/v1", DaemonSet),
    ObjectKind("jobs", "Job", "batch/v1", Job),
    ObjectKind("resourcequotas", "ResourceQuota", "v1", ResourceQuota),
    ObjectKind("networkpolicies", "NetworkPolicy", "networking.k8s.io/v1", NetworkPolicy),
    ObjectKind("storageclasses", "StorageClass", "storage.k8s.io/v1", StorageClass, namespaced=False),
    ObjectKind(
        "validatingwebhookconfigurations",
        "ValidatingWebhookConfiguration",
        "admissionregistration.k8s.io/v1",
        ValidatingWebhookConfiguration,
        namespaced=False,
    ),
    ObjectKind(
        "mutatingwebhookconfigurations",
        "MutatingWebhookConfiguration",
        "admissionregistration.k8s.io/v1",
        MutatingWebhookConfiguration,
        namespaced=False,
    ),
    ObjectKind("leases", "Lease", "coordination.k8s.io/v1", Lease, fixed_namespace="kube-system"),
    ObjectKind(
        "leases",
        "Lease",
        "coordination.k8s.io/v1",
        Lease,
        on_demand=True,
        fixed_namespace="kube-node-lease",
        label="nodeleases",
    ),
    ObjectKind("limitranges", "LimitRange", "v1", LimitRange, on_demand=True),
    ObjectKind(
        "priorityclasses", "PriorityClass", "scheduling.k8s.io/v1", PriorityClass, namespaced=False, on_demand=True
    ),
    ObjectKind("runtimeclasses", "RuntimeClass", "node.k8s.io/v1", RuntimeClass, namespaced=False, on_demand=True),
    ObjectKind("ingresses", "Ingress", "networking.k8s.io/v1", Ingress, on_demand=True),
    ObjectKind("poddisruptionbudgets", "PodDisruptionBudget", "policy/v1", PodDisruptionBudget, on_demand=True),
    ObjectKind(
        "horizontalpodautoscalers", "HorizontalPodAutoscaler", "autoscaling/v2", HorizontalPodAutoscaler, on_demand=True
    ),
    ObjectKind("persistentvolumes", "PersistentVolume", "v1", PersistentVolume, namespaced=False, on_demand=True),
    ObjectKind(
        "clusterpolicies",
        "ClusterPolicy",
        "nvidia.com/v1",
        ClusterPolicy,
        namespaced=False,
        on_demand=True,
        optional=True,
    ),
    ObjectKind(
        "nvidiadrivers",
        "NVIDIADriver",
        "nvidia.com/v1alpha1",
        NvidiaDriver,
        namespaced=False,
        on_demand=True,
        optional=True,
    ),
    ObjectKind(
        "gpuclusters", "GPUCluster", "nvidia.com/v1alpha1", GpuCluster, namespaced=False, on_demand=True, optional=True
    ),
    # `v1` is what servers from 1.34 on serve by default. 1.32 and 1.33 know only betas, 1.31 an alpha, all of them off
    # unless switched on; the GPU Operator's own stack for it needs `v1` too.
    ObjectKind(
        "resourceslices",
        "ResourceSlice",
        "resource.k8s.io/v1",
        ResourceSlice,
        namespaced=False,
        on_demand=True,
        optional=True,
    ),
    ObjectKind("resourceclaims", "ResourceClaim", "resource.k8s.io/v1", ResourceClaim, on_demand=True, optional=True),
    ObjectKind(
        "virtualservices", "VirtualService", "networking.istio.io/v1", VirtualService, on_demand=True, optional=True
    ),
    ObjectKind(
        "destinationrules", "DestinationRule", "networking.istio.io/v1", DestinationRule, on_demand=True, optional=True
    ),
    ObjectKind(
        "inferenceservices",
        "InferenceService",
        "serving.kserve.io/v1beta1",
        InferenceService,
        on_demand=True,
        optional=True,
    ),
)

BY_NAME: Final = {kind.name: kind for kind in KINDS}
"""`ObjectKind.name` to kind."""

NAMES_OF: Final[dict[str, tuple[str, ...]]] = {
    kind.kind: tuple(other.name for other in KINDS if other.kind == kind.kind) for kind in KINDS
}
"""Manifest kind to the names of the tables that hold it (Leases are in two)."""

WATCHED: Final = tuple(kind for kind in KINDS if not kind.on_demand)
ON_DEMAND: Final = tuple(kind for kind in KINDS if kind.on_demand)


def kind_of(manifest_kind: str, namespace: str = "") -> ObjectKind | None:
    """Return the entry for a manifest's `kind`, or None if Midwatch does not read it.

    Leases are two entries: those of `kube-node-lease`, and all others.
    """
    if manifest_kind == "Lease" and namespace == "kube-node-lease":
        return BY_NAME["nodeleases"]
    for kind in KINDS:
        if kind.kind == manifest_kind:
            return kind
    return None
