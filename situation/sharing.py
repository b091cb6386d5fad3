"""Equal parts of objects, held once: pods of one workload differ in little more than name, node and times, and nodes
in little more than names."""

from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec.structs import force_setattr, replace

from situation.cluster import Node
from situation.meta import Condition, KubernetesObject, ObjectMeta, Quantities
from situation.network import EndpointConditions, EndpointSlice
from situation.pods import Container, Pod, PodSpec
from situation.volumes import Volume
from situation.workloads import DaemonSet, Deployment, StatefulSet

_SPEC_WORDS: Final = ("restart_policy", "scheduler_name", "service_account_name", "dns_policy", "priority_class_name")
_SPEC_PARTS: Final = tuple(name for name in PodSpec.__struct_fields__ if name != "node_name")
_CONTAINER_PARTS: Final = ("image_pull_policy", "ports", "liveness_probe", "readiness_probe", "startup_probe")
_MODELS_KEPT: Final = 20_000
"""Workloads remembered; a cluster with more only shares less."""
_WORDS_KEPT: Final = 50_000


class Sharing:
    """Makes freshly decoded pods, endpoints and nodes share their equal parts: 10,000 pods then take 20 MB, not 60."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, str, str], tuple[ObjectMeta, PodSpec]] = {}
        self._words: dict[str, str] = {}
        self._times: dict[datetime, datetime] = {}
        self._endpoint_conditions: dict[EndpointConditions, EndpointConditions] = {}
        self._parts: dict[Any, Any] = {}
        """Tolerations, ports, probes, variables and policies, each by itself."""
        self._quantities: dict[tuple[tuple[str, str | int | float], ...], Quantities] = {}
        self._vocabularies: tuple[dict[Any, Any], ...] = (self._words, self._times, self._parts, self._quantities)

    def share(self, item: KubernetesObject) -> None:
        """Replace parts of `item` by equal ones seen before. It must not have been handed out yet."""
        for kept in self._vocabularies:
            if len(kept) > _WORDS_KEPT:
                kept.clear()
        if isinstance(item, Pod):
            self._share_pod(item)
        elif isinstance(item, EndpointSlice):
            self._share_slice(item)
        elif isinstance(item, Node):
            self._share_node(item)
        elif isinstance(item, Deployment | StatefulSet | DaemonSet):
            self._share_template(item.spec.template.spec)

    def _share_slice(self, item: EndpointSlice) -> None:
        word = self._words.setdefault
        for endpoint in item.endpoints:
            force_setattr(endpoint, "node_name", word(endpoint.node_name, endpoint.node_name))
            conditions = self._endpoint_conditions.setdefault(endpoint.conditions, endpoint.conditions)
            force_setattr(endpoint, "conditions", conditions)
            if (target := endpoint.target_ref) is not None:
                force_setattr(target, "kind", word(target.kind, target.kind))
                force_setattr(target, "namespace", word(target.namespace, target.namespace))

    def _share_node(self, node: Node) -> None:
        word, status = self._words.setdefault, node.status
        labels = {word(key, key): word(value, value) for key, value in node.metadata.labels.items()}
        force_setattr(node.metadata, "labels", labels)
        self._share_quantities(status, "capacity", "allocatable")
        self._share_conditions(status.conditions)

    def _share_quantities(self, item: msgspec.Struct, *parts: str) -> None:
        for part in parts:
            own: Quantities = getattr(item, part)
            force_setattr(item, part, self._quantities.setdefault(tuple(own.items()), own))

    def _share_template(self, spec: PodSpec) -> None:
        """Share what workloads have in common with others: a cluster is made from few charts."""
        word, part = self._words.setdefault, self._parts.setdefault
        for name in _SPEC_WORDS:
            text = getattr(spec, name)
            force_setattr(spec, name, word(text, text))
        force_setattr(spec, "tolerations", part(spec.tolerations, spec.tolerations))
        self._share_quantities(spec, "overhead")
        for container in (*spec.init_containers, *spec.containers):
            for name in _CONTAINER_PARTS:
                own = getattr(container, name)
                force_setattr(container, name, part(own, own))
            force_setattr(container, "env", tuple(part(item, item) for item in container.env))
            self._share_quantities(container.resources, "requests", "limits")

    def _share_pod(self, pod: Pod) -> None:
        metadata, spec = pod.metadata, pod.spec
        if not any(_refers(volume) for volume in spec.volumes) and not any(map(_is_looked_into, spec.containers)):
            force_setattr(spec, "volumes", ())  # nobody asks for volumes that refer to nothing
        self._share_words(pod)
        owner = metadata.controller
        if owner is None:
            return
        workload = (metadata.namespace, owner.kind, owner.name)
        model = self._models.get(workload)
        if model is None:
            if len(self._models) > _MODELS_KEPT:
                self._models.clear()
            self._models[workload] = (metadata, spec)
            self._share_template(spec)
            return
        first_metadata, first_spec = model
        node_name = spec.node_name
        force_setattr(spec, "node_name", first_spec.node_name)
        if spec == first_spec:  # mostly
            force_setattr(pod, "spec", replace(first_spec, node_name=node_name))
        else:
            force_setattr(spec, "node_name", node_name)
            _share_parts(_SPEC_PARTS, spec, first_spec)
        _share_parts(("labels", "owner_references"), metadata, first_metadata)

    def _share_words(self, pod: Pod) -> None:
        # Words of a small vocabulary: namespaces, node names, images, types and reasons of conditions.
        word, metadata, spec, status = self._words.setdefault, pod.metadata, pod.spec, pod.status
        force_setattr(metadata, "namespace", word(metadata.namespace, metadata.namespace))
        force_setattr(spec, "node_name", word(spec.node_name, spec.node_name))
        force_setattr(status, "phase", word(status.phase, status.phase))
        force_setattr(status, "host_ip", word(status.host_ip, status.host_ip))
        self._share_conditions(status.conditions)
        for container in status.container_statuses:
            force_setattr(container, "name", word(container.name, container.name))
            force_setattr(container, "image", word(container.image, container.image))

    def _share_conditions(self, conditions: tuple[Condition, ...]) -> None:
        word, time = self._words.setdefault, self._times.setdefault
        for condition in conditions:
            force_setattr(condition, "type", word(condition.type, condition.type))
            force_setattr(condition, "status", word(condition.status, condition.status))
            if (since := condition.last_transition_time) is not None:
                force_setattr(condition, "last_transition_time", time(since, since))
            if (heard := condition.last_heartbeat_time) is not None:
                force_setattr(condition, "last_heartbeat_time", time(heard, heard))
            if reason := condition.reason:
                force_setattr(condition, "reason", word(reason, reason))


def _share_parts(parts: tuple[str, ...], new: msgspec.Struct, first: msgspec.Struct) -> None:
    for part in parts:
        own, value = getattr(new, part), getattr(first, part)
        if own is not value and own == value:
            force_setattr(new, part, value)


def _is_looked_into(container: Container) -> bool:
    """Tell whether rules ask where a container's mounts lead: only those of model servers are kept."""
    return bool(container.volume_mounts)


def _refers(volume: Volume) -> bool:
    return any((volume.persistent_volume_claim, volume.ephemeral, volume.config_map, volume.secret))
