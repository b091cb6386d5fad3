"""Layer 4: what the API server asks others for: aggregated APIs (L4-08), conversion webhooks (L4-13)."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from diagnosis import api_facts as facts
from diagnosis.commands import kubectl, said_by, shorten
from diagnosis.endpoints import slices_command
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, rule
from situation.api_server import METRICS
from situation.cluster import Event
from situation.findings import Evidence, Layer, Severity
from situation.kinds import BY_NAME
from situation.meta import CLUSTER, Ref
from situation.readings import SourceState
from situation.situation import Situation

EVENT_FRESH: Final = timedelta(minutes=10)
"""An event counts for so long where no object shows that it is still so."""
_METRICS_SERVER: Final = "v1beta1.metrics.k8s.io"
_CONVERSION: Final = re.compile(r"conversion webhook for (?P<kind>.{1,200}?) failed(?:: (?P<why>.*))?", re.DOTALL)
_SERVICE_URL: Final = re.compile(r"https://(?P<name>[a-z0-9-]+)\.(?P<namespace>[a-z0-9-]+)\.svc[.:/]")
_TOO_LARGE: Final = "etcdserver: request is too large"


class _Said(NamedTuple):
    """A text that says so now: in the error of one of our own sources, or in a fresh event."""

    text: str
    evidence: Evidence
    resource: str = ""
    """`clusterpolicies.nvidia.com`, if a source of ours reads it."""


def _fresh_events(situation: Situation, words: str, now: datetime) -> Iterator[Event]:
    for event in situation.events.values():
        if words in event.message and (seen := event.last_seen) is not None and now - seen <= EVENT_FRESH:
            yield event


def _said(situation: Situation, words: str, now: datetime) -> list[_Said]:
    found = []
    for source in situation.sources.values():
        if words in source.error and source.state is not SourceState.ABSENT:
            kind = BY_NAME.get(source.name.removeprefix("kubernetes/"))
            group = kind.group_version.rpartition("/")[0] if kind else ""
            resource = f"{kind.resource}.{group}" if kind and group else ""
            found.append(_Said(source.error, Evidence(shorten(source.error, 300), source.name), resource))
    found += [_Said(event.message, said_by(event)) for event in _fresh_events(situation, words, now)]
    return found


@rule(
    "aggregated-api-down",
    signature="L4-08",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="aggregator_unavailable_apiservice on two pages of the API server's metrics in a row, 30 s apart.",
    look_alikes={
        "an API that was asked once while its pod was replaced": "the next page finds it available",
        "autoscaler-blind": "its consequence where it is the metrics API; 'missing request for' is the workload's own",
        "namespace-stuck": "its consequence: deletion has to ask every API group what is left",
    },
)
def aggregated_api_down(_: None, situation: Situation, now: datetime) -> Verdict:
    """An aggregated API does not answer: what it serves is missing, and no namespace can be deleted."""
    page = situation.api_server.page
    if (reason := facts.not_live(situation, now)) or page is None:
        return Unknown(reason or "the API server's metrics were not read")
    if not page.unavailable_apis:
        return CLEAR
    if len(pages := situation.api_server.pages()) < 2:
        return Unknown(f"{page.unavailable_apis[0]} was found unavailable, but only once")
    names = facts.unavailable_apis(situation)
    if not names:
        return CLEAR
    since = f"since {pages[-2][0]:%H:%M:%S} at least"
    lines = [Evidence(f"the API server finds {name} unavailable {since}", METRICS) for name in names[:4]]
    lines.append(Evidence("until it answers namespaces stay Terminating and kubectl complains of discovery", METRICS))
    next = [kubectl("get", "apiservice", names[0], "-o", "yaml", purpose="what does its condition Available say?")]
    follows: tuple[Ref, ...] = ()
    if names[0] == _METRICS_SERVER:
        lines.append(Evidence("without it kubectl top fails and autoscalers are blind", METRICS))
        follows = (Ref("Service", "kube-system", "metrics-server"), Ref("Deployment", "kube-system", "metrics-server"))
        next.append(slices_command("kube-system", "metrics-server", "has metrics-server, as it is usually called, "
                                   "a ready endpoint?"))  # fmt: skip
    return Fired(
        Ref("APIService", "", names[0]),
        "does not answer" + (f", nor do {len(names) - 1} more" if names[1:] else ""),
        tuple(lines),
        tuple(next),
        follows=follows,
        who=(f"aggregated API {names[0]}",),
    )


@rule(
    "conversion-webhook-failing",
    signature="L4-13",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="'conversion webhook for ... failed' in errors of our own sources and in events of the last 10 minutes.",
    look_alikes={
        "a kind that may not be read": "403, and no word of a webhook",
        "webhook-unreachable": "an admission webhook: only writes fail, and the text says 'failed calling webhook'",
        "api-unreachable": "there all kinds fail",
    },
)
def conversion_webhook_failing(_: None, situation: Situation, now: datetime) -> Verdict:
    """Objects of one kind cannot be read or written: the webhook that converts their versions fails."""
    said = [(item, match) for item in _said(situation, "conversion webhook for", now)
            if (match := _CONVERSION.search(item.text))]  # fmt: skip
    if not said:
        return CLEAR
    item, match = said[0]
    kind = match["kind"].rpartition("Kind=")[2]
    next = [
        kubectl("get", "crd", item.resource, "-o", "jsonpath={.spec.conversion}", purpose="which Service converts it?")
        if item.resource
        else kubectl("get", "crds", "-o", "custom-columns=NAME:.metadata.name,CONVERSION:.spec.conversion.strategy",
                     purpose="which kinds are converted by a webhook?")
    ]  # fmt: skip
    follows: tuple[Ref, ...] = ()
    if service := _SERVICE_URL.search(item.text):
        follows = (Ref("Service", service["namespace"], service["name"]),)
        next.append(slices_command(service["namespace"], service["name"], "has its Service a ready endpoint?"))
    return Fired(
        CLUSTER,
        f"fails: no {shorten(kind, 40)} can be read or changed, and its controllers stop",
        tuple(item.evidence for item, _ in said[:3]),
        tuple(next),
        follows=follows,
        who=("conversion webhook",),
    )


@rule(
    "object-too-large",
    signature="L4-14",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at=f"'{_TOO_LARGE}' in the errors of our own sources and in events of the last 10 minutes.",
    look_alikes={
        "required revision has been compacted, too old resource version": "normal on old watches and lists: silent",
        "etcd-no-space": "'database space exceeded': the whole database is full, not one object too big",
    },
)
def object_too_large(_: None, situation: Situation, now: datetime) -> Verdict:
    """etcd refuses an object because it is too large: more than 1.5 MiB by default."""
    said = _said(situation, _TOO_LARGE, now)
    if not said:
        return CLEAR
    events = list(_fresh_events(situation, _TOO_LARGE, now))
    about = events[0].involved_object if events else None
    next = []
    if about is not None and about.kind and about.name:
        next.append(kubectl("get", about.kind.lower(), about.name, "-o", "yaml", namespace=about.namespace,
                            purpose="what makes it so big?"))  # fmt: skip
    next.append(
        kubectl("get", "events", "-A", "--field-selector", "type=Warning", purpose="whose requests are refused?")
    )
    who = f"{about.kind} {about.name}" if about is not None and about.name else "an object"
    return Fired(
        CLUSTER,
        "is too large for etcd (1.5 MiB by default)",
        tuple(item.evidence for item in said[:3]),
        tuple(next),
        who=(who,),
    )


RULES: Final[tuple[Rule, ...]] = (aggregated_api_down, conversion_webhook_failing, object_too_large)
