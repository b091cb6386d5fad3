"""Equal parts of objects, held once: pods of one workload differ in little more than name, node and times."""

from datetime import datetime
from typing import Final

from msgspec.structs import force_setattr

from situation.meta import KubernetesObject, ObjectMeta
from situation.network import EndpointConditions, EndpointSlice
from situation.pods import Container, Pod, PodSpec
from situation.volumes import Volume

_SPEC_PARTS: Final = (
    "containers",
    "init_containers",
    "volumes",
    "node_selector",
    "affinity",
    "tolerations",
    "topology_spread_constraints",
    "image_pull_secrets",
    "resource_claims",
    "restart_policy",
    "scheduler_name",
    "service_account_name",
    "dns_policy",
    "priority_class_name",
)
_MODELS_KEPT: Final = 20_000
"""Workloads remembered; a cluster with more only shares less."""
_WORDS_KEPT: Final = 50_000


class Sharing:
    """Makes freshly decoded pods and endpoints share their equal parts: 10,000 pods then take 20 MB, not 60."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, str, str], tuple[ObjectMeta, PodSpec]] = {}
        self._words: dict[str, str] = {}
        self._times: dict[datetime, datetime] = {}
        self._conditions: dict[EndpointConditions, EndpointConditions] = {}

    def share(self, item: KubernetesObject) -> None:
        """Replace parts of `item` by equal ones seen before. It must not have been handed out yet."""
        if len(self._words) > _WORDS_KEPT:
            self._words.clear()
        if len(self._times) > _WORDS_KEPT:
            self._times.clear()
        if isinstance(item, Pod):
            self._share_pod(item)
        elif isinstance(item, EndpointSlice):
            self._share_slice(item)

    def _share_slice(self, item: EndpointSlice) -> None:
        word = self._word
        for endpoint in item.endpoints:
            force_setattr(endpoint, "node_name", word(endpoint.node_name))
            conditions = self._conditions.setdefault(endpoint.conditions, endpoint.conditions)
            force_setattr(endpoint, "conditions", conditions)
            if (target := endpoint.target_ref) is not None:
                force_setattr(target, "kind", word(target.kind))
                force_setattr(target, "namespace", word(target.namespace))

    def _word(self, text: str) -> str:
        """A word of a small vocabulary: namespaces, node names, images, types and reasons of conditions."""
        return self._words.setdefault(text, text)

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
            return
        first_metadata, first_spec = model
        for part in _SPEC_PARTS:
            own, value = getattr(spec, part), getattr(first_spec, part)
            if own is not value and own == value:
                force_setattr(spec, part, value)
        for part in ("labels", "owner_references"):
            if (value := getattr(first_metadata, part)) == getattr(metadata, part):
                force_setattr(metadata, part, value)

    def _share_words(self, pod: Pod) -> None:
        word, status = self._word, pod.status
        force_setattr(pod.metadata, "namespace", word(pod.metadata.namespace))
        force_setattr(pod.spec, "node_name", word(pod.spec.node_name))
        force_setattr(status, "phase", word(status.phase))
        force_setattr(status, "host_ip", word(status.host_ip))
        for condition in status.conditions:
            force_setattr(condition, "type", word(condition.type))
            force_setattr(condition, "status", word(condition.status))
            if (since := condition.last_transition_time) is not None:
                force_setattr(condition, "last_transition_time", self._times.setdefault(since, since))
            if condition.reason:
                force_setattr(condition, "reason", word(condition.reason))
        for container in status.container_statuses:
            force_setattr(container, "name", word(container.name))
            force_setattr(container, "image", word(container.image))


def _is_looked_into(container: Container) -> bool:
    """Tell whether rules ask where a container's mounts lead: only those of model servers are kept."""
    return bool(container.volume_mounts)


def _refers(volume: Volume) -> bool:
    return any((volume.persistent_volume_claim, volume.config_map, volume.secret))
