"""The state of each layer: broken, fine, or not known, and why."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from diagnosis.certificate_facts import certificate_doubts
from diagnosis.control_plane_doubts import etcd_doubts, frozen_doubt, not_measured, not_reached
from diagnosis.node_agents import Agent, agents
from diagnosis.one_namespace import BEYOND, WITHIN, not_there, only_part
from diagnosis.rule import Rule
from situation.clock import moment_text
from situation.findings import Finding, Layer, LayerState, LayerStatus, Severity
from situation.kinds import BY_NAME
from situation.readings import NOT_GIVEN, Source, SourceState
from situation.situation import Situation

_HOMES: Final = {
    "virtualservices": ("istio-system",),
    "destinationrules": ("istio-system",),
    "inferenceservices": ("kserve", "knative-serving"),
}
"""Namespaces that come with an optional kind's controllers; the other optional kinds come with GPUs."""
ESSENTIAL: Final[dict[Layer, tuple[str, ...]]] = {
    Layer.APPLICATION: ("pods",),
    Layer.SCHEDULING: ("pods",),
    Layer.NETWORK: ("services", "endpointslices", "pods"),
    Layer.CONTROL_PLANE: ("pods", "deployments", "replicasets"),
    Layer.NODE: ("nodes",),
}
"""Kinds without which a layer cannot be called fine.

Of the control plane: pods show whether the scheduler works, Deployments and ReplicaSets whether the controller manager
does, also where leases and readiness are hidden (managed control planes).
"""


_BESIDE: Final[dict[Layer, tuple[str, ...]]] = {
    Layer.SCHEDULING: ("storageclasses", "persistentvolumes", "resourceclaims", "resourceslices"),
    Layer.NODE: ("nodeleases", "resourceslices"),
}
"""Kinds that rules of a layer look at where they are read, and do without; not where only a part could be decoded."""


def layer_statuses(
    rules: Sequence[Rule],
    causes: Sequence[Finding],
    situation: Situation,
    now: datetime,
    faults: Mapping[Layer, str] = {},
    serving: Sequence[str] = (),
) -> tuple[LayerStatus, ...]:
    """Return one status for each layer, in order. `faults`: why a layer was not judged though its sources were there.
    `serving`: what could not be judged of the model servers, which are looked at less often.

    A layer without findings is `ok` only while everything essential to it is live, and etcd takes writes: else what is
    shown is history. What else its rules would read but could not is named in the reason.
    """
    return tuple(_status(layer, rules, causes, situation, now, faults.get(layer, ""), serving) for layer in Layer)


def _status(
    layer: Layer,
    rules: Sequence[Rule],
    causes: Sequence[Finding],
    situation: Situation,
    now: datetime,
    fault: str,
    serving: Sequence[str],
) -> LayerStatus:
    here = [cause for cause in causes if cause.layer is layer]
    grave = [cause for cause in here if cause.severity is not Severity.INFO]
    missing = [fault] if fault else []
    if layer in WITHIN:
        missing += not_there(situation, now)
    missing += [text for name in ESSENTIAL[layer] if (text := doubt(situation.source(name), now))]
    needs = dict.fromkeys(need for rule in rules if rule.layer is layer for need in rule.needs)
    partial = [
        text
        for name in needs
        if name not in ESSENTIAL[layer]
        and (text := doubt(situation.source(name), now))
        and not (BY_NAME[name].optional and _is_of_no_use(name, situation))
    ]
    partial += [_unread(source) for name in _BESIDE.get(layer, ()) if (source := situation.source(name)).skipped]
    if layer in BEYOND:
        partial += only_part(situation)
    if layer is Layer.APPLICATION:
        partial += serving
    if layer is not Layer.CONTROL_PLANE:
        missing += frozen_doubt(situation, now)
    else:
        missing += not_reached(situation, now)
        partial += (
            *not_measured(situation, now),
            *etcd_doubts(situation, now),
            *certificate_doubts(situation),
        )
    severity = min((cause.severity for cause in here), key=lambda item: item.rank, default=None)
    if grave:
        state = LayerState.FINDINGS
    else:
        state = LayerState.UNKNOWN if missing else LayerState.OK
    return LayerStatus(layer, state, _reason(missing + partial), severity, len(here), fault)


def _reason(doubts: list[str]) -> str:
    shown = doubts[:3]
    more = f" and {len(doubts) - 3} more" if len(doubts) > 3 else ""
    return "; ".join(shown) + more


def doubt(source: Source, now: datetime) -> str:
    """Return why a source cannot be believed now, in words, or the empty string if it can."""
    state = source.state_at(now)
    if state is SourceState.LIVE:
        return _unread(source) if source.skipped else ""
    kind = BY_NAME.get(_short(source))
    if state is SourceState.ABSENT and (not source.error.startswith(NOT_GIVEN) or (kind and kind.optional)):
        return ""  # the server does not have the kind, so there is nothing of it to judge
    if state is SourceState.STARTING:
        return f"{_short(source)}: not read yet"
    if source.observed_at is not None:
        return f"{_short(source)}: {state.value} since {moment_text(source.observed_at, now)}"
    return f"{_short(source)}: {state.value}" + (f" ({source.error})" if source.error else "")


def _unread(source: Source) -> str:
    return f"{_short(source)}: {source.skipped} not read"


def _is_of_no_use(name: str, situation: Situation) -> bool:
    """Tell whether nothing hints at objects of an optional kind that could not be read.

    An API server refuses to show custom resources to those who may not see them also where it has none.
    """
    if (homes := _HOMES.get(name)) is not None:
        return not any(("", home) in situation.namespaces for home in homes)
    return next(agents(situation, Agent.GPU), None) is None


def _short(source: Source) -> str:
    return source.name.removeprefix("kubernetes/")
