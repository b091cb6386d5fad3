"""Layer 3: a Service whose selector matches no pod (L3-01)."""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from difflib import SequenceMatcher
from typing import Final, NamedTuple

from diagnosis.commands import counted, fact, kubectl
from diagnosis.endpoints import has_backend, is_cluster_dns, service_ref
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, rule, wait_until
from diagnosis.rules.services import NEW_SERVICE_S, list_pods
from situation.findings import Layer, Mark, Severity
from situation.meta import Ref
from situation.network import Service
from situation.selectors import is_ready
from situation.situation import Situation
from situation.workloads import DaemonSet, Deployment, StatefulSet, selector_text

_SIMILAR: Final = 0.85
"""Ratio of SequenceMatcher from which two label values look like one and a slip of it (`checkout`, `chekout`)."""
_BEARERS: Final = ("pods", "deployments", "statefulsets", "daemonsets")
"""What may bear the labels that a selector wants."""
_VERSION: Final = re.compile(r"-?v\d+$")


class _Meant(NamedTuple):
    """What seems meant to be behind a Service that selects nothing."""

    text: str
    severity: Severity


class _Candidate(NamedTuple):
    ref: Ref
    labels: Mapping[str, str]


def _candidates(service: Service, situation: Situation) -> Iterator[_Candidate]:
    """Yield the workloads of the Service's namespace and its pods without one, with the labels that their pods bear."""
    workloads: list[tuple[str, Deployment | StatefulSet | DaemonSet]] = [
        *(("Deployment", item) for item in situation.deployments.values()),
        *(("StatefulSet", item) for item in situation.statefulsets.values()),
        *(("DaemonSet", item) for item in situation.daemonsets.values()),
    ]
    for kind, workload in workloads:
        if workload.namespace == service.namespace:
            yield _Candidate(Ref(kind, *workload.key), workload.spec.template.metadata.labels)
    for pod in situation.pods_by_namespace.get(service.namespace).values():
        if pod.metadata.controller is None:
            yield _Candidate(Ref("Pod", *pod.key), pod.metadata.labels)


def _slip(wanted: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Tell whether `labels` miss the selector `wanted` by a slip: a similar value, or the value under another key."""
    for key, value in wanted.items():
        have = labels.get(key)
        if have != value and not (_similar(have, value) if have is not None else value in labels.values()):
            return False
    return True


def _similar(one: str, other: str) -> bool:
    if _VERSION.sub("", one) == _VERSION.sub("", other):
        return True
    if re.sub(r"\d+", "", one) == re.sub(r"\d+", "", other):
        return False  # kafka-0 and kafka-1 are siblings, not slips
    return SequenceMatcher(None, one, other).ratio() >= _SIMILAR


def _meant(service: Service, candidates: list[_Candidate], situation: Situation) -> _Meant | None:
    for candidate in candidates:
        pods = situation.pods_of(candidate.ref)
        if candidate.ref.name != service.name and not _slip(service.spec.selector, candidate.labels):
            continue
        ready = sum(is_ready(pod) for pod in pods)
        text = f"{candidate.ref.kind} {candidate.ref.name} has {ready} of {counted(len(pods), 'pod')} ready, labelled "
        return _Meant(
            text + (selector_text(dict(candidate.labels)) or "with nothing"),
            Severity.CRITICAL if ready else Severity.WARNING,
        )
    return None


@rule(
    "selector-matches-nothing",
    signature="L3-01",
    layer=Layer.NETWORK,
    severity=Severity.WARNING,
    kind="Service",
    needs=("services", "pods", "deployments", "statefulsets"),
    looks_at="spec.selector against the labels of all pods of the namespace; workloads with the Service's name or with "
    "nearly its labels tell whether something is meant to be behind it.",
    look_alikes={
        "no-ready-endpoint": "there the selector finds pods, but none is ready",
        "scaled-to-zero": "there the selector fits a workload's pod template; it just has no pods",
        "a Service that never had pods": "no workload seems meant for it: silent, many clusters keep such Services",
    },
)
def selector_matches_nothing(service: Service, situation: Situation, now: datetime) -> Verdict:
    """A Service's selector matches no pod."""
    selector = service.spec.selector
    if not has_backend(service) or is_cluster_dns(service) or situation.pods_matching(service.namespace, selector):
        return CLEAR
    candidates = list(_candidates(service, situation))
    if any(all(labels.get(key) == value for key, value in selector.items()) for _, labels in candidates):
        return CLEAR
    if wait := wait_until(service.metadata.creation_timestamp, NEW_SERVICE_S, now):
        return wait
    meant = _meant(service, candidates, situation)
    if meant is None:
        return CLEAR
    if unread := [name for name in _BEARERS if situation.has_unread(name, service.namespace)]:
        return Unknown(
            f"not all {unread[0]} of namespace {service.namespace} could be decoded: one may have the labels"
        )
    evidence = (
        fact("services", f"selector {selector_text(selector)} matches 0 pods in namespace {service.namespace}"),
        fact("deployments", meant.text),
        fact("deployments", "no workload bears these labels: it is not scaled to zero", Mark.EXCLUDES),
    )
    labels = kubectl(
        "get", "pods", "--show-labels", purpose="which labels do the pods bear?", namespace=service.namespace
    )
    return Fired(
        service_ref(service),
        f"selects no pod ({selector_text(selector)})",
        evidence,
        (list_pods(service, "does the selector find any pod?"), labels),
        severity=meant.severity,
    )


RULES: Final[tuple[Rule, ...]] = (selector_matches_nothing,)
