"""What Istio does to model servers: who gets a sidecar, which host is which Service, and how durations are written."""

import re
from collections.abc import Mapping
from typing import Final

from diagnosis.model_pods import engine_of
from situation.meta import ObjectKey
from situation.network import Service
from situation.pods import Pod
from situation.serving.recognise import ServerSpec
from situation.situation import Situation
from situation.workloads import Deployment, StatefulSet

PROXY: Final = "istio-proxy"
_INJECT: Final = "sidecar.istio.io/inject"
_UNITS: Final[Mapping[str, float]] = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "us": 1e-6, "ns": 1e-9}
_PART: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)(ms|us|ns|h|m|s)")


def seconds_of(duration: str) -> float | None:
    """Return the seconds of a duration as Go writes it (`1m30s`), None if it is none."""
    parts = _PART.findall(duration)
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def service_of(host: str, namespace: str) -> ObjectKey:
    """Return the Service that a host names: a short name is of the namespace of the object that names it."""
    name, _, rest = host.partition(".")
    return (rest.partition(".")[0] or namespace, name)


def servers_behind(key: ObjectKey, situation: Situation) -> tuple[tuple[Pod, ServerSpec], ...]:
    """Return the model servers that a Service sends requests to."""
    service = situation.services.get(key)
    if not isinstance(service, Service) or not service.spec.selector:
        return ()
    found = ((pod, engine_of(pod)) for pod in situation.pods_matching(key[0], service.spec.selector))
    return tuple((pod, spec) for pod, spec in found if spec is not None)


def gets_sidecar(item: Deployment | StatefulSet, situation: Situation) -> str:
    """Return why the pods of a workload get Istio's sidecar; empty where they do not, or there is no Istio."""
    meta = item.spec.template.metadata
    asked = meta.labels.get(_INJECT) or meta.annotations.istio_inject
    kind = "Deployment" if isinstance(item, Deployment) else "StatefulSet"
    pods = situation.pods_of(situation.workload_of(item, kind))
    if any(container.name == PROXY for pod in pods for container in pod.spec.containers + pod.spec.init_containers):
        return "its pods have one"
    if asked == "false" or not situation.knows("virtualservices"):
        return ""
    if asked == "true":
        return f"{_INJECT}: true"
    space = situation.namespaces.get(("", item.namespace))
    labels = space.metadata.labels if space is not None else {}
    if labels.get("istio-injection") == "enabled":
        return "its namespace is labelled istio-injection=enabled"
    if labels.get("istio.io/rev") and labels.get("istio-injection") != "disabled":
        return f"its namespace is labelled istio.io/rev={labels['istio.io/rev']}"
    return ""
