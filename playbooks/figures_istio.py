"""Figures of Istio: whether it is there at all, and whether model servers have its sidecar."""

from collections.abc import Iterator
from typing import Final

from playbooks.facts import Facts
from playbooks.figure import Figure, Found, Kind, Unsure, first_names, unread, within
from situation.pods import Pod
from situation.readings import NOT_GIVEN, Source, SourceState
from situation.serving.pods import serves_models

_PROXY: Final = "istio-proxy"
"""Name of the container in sidecars, gateways, waypoints and ztunnel alike."""
_KINDS: Final = ("virtualservices", "destinationrules")


def _present(facts: Facts) -> Found | Unsure:
    """Istio's kinds in the API tell it, also of a mesh without sidecars; those who may not see them see its proxies."""
    sources = [facts.situation.source(name) for name in _KINDS]
    if any(source.has_value for source in sources):
        counts = [len(facts.situation.table(name)) for name in _KINDS]
        return Found(True, f"the API has Istio's kinds: {counts[0]} VirtualServices, {counts[1]} DestinationRules")
    if names := first_names(pod.name for pod in _with_proxy(facts)):
        return Found(True, f"pods run {_PROXY}: {names}")
    if all(map(_is_not_served, sources)):
        return Found(False, "the API has none of Istio's kinds, and no pod its proxy")
    return unread(facts, *_KINDS, "pods") or Unsure("not read")


def _is_not_served(source: Source) -> bool:
    return source.state is SourceState.ABSENT and not source.error.startswith(NOT_GIVEN)


def _with_proxy(facts: Facts) -> Iterator[Pod]:
    for pod in facts.situation.pods.values():
        if any(item.name == _PROXY for item in (*pod.spec.containers, *pod.spec.init_containers)):
            yield pod


def _model_sidecars(facts: Facts) -> Found | Unsure:
    if unsure := unread(facts, "pods"):
        return unsure
    found = [pod.name for pod in _with_proxy(facts) if serves_models(pod)]
    said = f"{len(found)} pods of model servers{within(facts)} have the container {_PROXY}"
    return Found(float(len(found)), said + (f": {first_names(found)}" if found else ""))


ISTIO_FIGURES: Final = {
    "istio.present": Figure(Kind.FLAG, "whether the API has Istio's kinds, or some pod runs its proxy", _present),
    "istio.model_sidecars": Figure(Kind.NUMBER, "pods of model servers with Istio's sidecar", _model_sidecars),
}
