"""Equal parts of objects, held once: pods of one workload differ in little more than name, node and times."""

from typing import Final

from msgspec.structs import force_setattr

from situation.meta import KubernetesObject, ObjectMeta
from situation.pods import Pod, PodSpec

_SPEC_PARTS: Final = (
    "containers",
    "init_containers",
    "volumes",
    "node_selector",
    "affinity",
    "tolerations",
    "topology_spread_constraints",
    "image_pull_secrets",
    "scheduler_name",
    "service_account_name",
    "dns_policy",
    "priority_class_name",
)
_MODELS_KEPT: Final = 20_000
"""Workloads remembered; a cluster with more only shares less."""


class Sharing:
    """Makes freshly decoded pods share their equal parts. Of 10,000 pods of 7 KB this saves half the memory."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, str, str], tuple[ObjectMeta, PodSpec]] = {}
        self._words: dict[str, str] = {}

    def share(self, item: KubernetesObject) -> None:
        """Replace parts of `item` by equal ones seen before. It must not have been handed out yet."""
        if not isinstance(item, Pod):
            return
        metadata, spec = item.metadata, item.spec
        self._share_words(item)
        owner = metadata.controller
        if owner is None:
            return
        workload = (metadata.namespace, owner.kind, owner.name)
        model = self._models.get(workload)
        if model is None:
            if len(self._models) >= _MODELS_KEPT:
                self._models.clear()
            self._models[workload] = (metadata, spec)
            return
        first_metadata, first_spec = model
        for part in _SPEC_PARTS:
            if (value := getattr(first_spec, part)) == getattr(spec, part):
                force_setattr(spec, part, value)
        for part in ("labels", "owner_references"):
            if (value := getattr(first_metadata, part)) == getattr(metadata, part):
                force_setattr(metadata, part, value)

    def _share_words(self, pod: Pod) -> None:
        """Words of a small vocabulary: namespaces, node names, types and reasons of conditions."""
        words = self._words
        if len(words) > _MODELS_KEPT:
            words.clear()
        force_setattr(pod.metadata, "namespace", words.setdefault(pod.metadata.namespace, pod.metadata.namespace))
        force_setattr(pod.spec, "node_name", words.setdefault(pod.spec.node_name, pod.spec.node_name))
        force_setattr(pod.status, "phase", words.setdefault(pod.status.phase, pod.status.phase))
        for condition in pod.status.conditions:
            force_setattr(condition, "type", words.setdefault(condition.type, condition.type))
            force_setattr(condition, "status", words.setdefault(condition.status, condition.status))
            if condition.reason:
                force_setattr(condition, "reason", words.setdefault(condition.reason, condition.reason))
