"""Layer 4: how long the API server takes, by verb and by what is listed; resources that grow fast (L4-03, L4-05)."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from diagnosis import api_facts as facts
from diagnosis.api_facts import SLOW_ETCD_S, p99_text
from diagnosis.commands import kubectl
from diagnosis.explaining import API_BUSY, ETCD_DOWN, ETCD_SLOW
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, rule
from situation import api_load
from situation.api_load import Growth, Latency, resource_name
from situation.api_memory import WINDOW, ApiServerMemory
from situation.api_server import METRICS, ListKey
from situation.clock import duration_text
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.kinds import KINDS
from situation.meta import CLUSTER
from situation.quantity import latency_text
from situation.situation import Situation

WRITES: Final = ("POST", "PUT", "PATCH", "APPLY", "DELETE")
"""APPLY is a server-side apply, a PATCH to whoever sends it."""
WRITE_S: Final = 1.0
"""Bound of a fast write (kubernetes mixin, KubeAPIErrorBudgetBurn)."""
GET_S: Final = 1.0
"""Bound of reading one object (kubernetes mixin, scope `resource`)."""
BOUND_S: Final = {"GET": GET_S, **dict.fromkeys(WRITES, WRITE_S)}
LIST_S: Final = {"resource": 1.0, "namespace": 5.0, "cluster": 30.0}
"""Bounds of reads by scope (kubernetes mixin, KubeAPIErrorBudgetBurn)."""
LIST_FELT_S: Final = 5.0
"""People notice a LIST over all namespaces that takes as long as the mixin allows one of a single namespace."""
LEADERS_S: Final = 10.0
"""renewDeadline of leader election (client-go): when writes take longer, scheduler and controllers lose their lease."""
SLOW_WEBHOOK_S: Final = 0.5
"""A webhook that takes half the time that a whole write may take is a cause of a slow write."""
GROWTH_WATCHED: Final = timedelta(minutes=10)
GROWTH_LEAST: Final = 1000
"""Fewer objects than this double in every rollout."""
GROWTH_LASTS: Final = 0.5
"""So much of its pace growth must still have over the last five minutes. Objects are counted once a minute, so a steady
pace looks slower now and then; a rollout that is over stands still."""

_HELP: Final = {
    "jobs.batch": ("/apis/batch/v1/jobs", "finished Jobs go by themselves once ttlSecondsAfterFinished is set"),
    "replicasets.apps": ("/apis/apps/v1/replicasets", "old ReplicaSets go when revisionHistoryLimit is lowered"),
    "configmaps": ("/api/v1/configmaps", "look for ConfigMaps that each release makes anew and nobody deletes"),
    "events": ("/api/v1/events", "one that comes again and again has a cause; events live for an hour by default"),
    "pods": ("/api/v1/pods", "finished pods stay until their Job goes, or until terminated-pod-gc-threshold"),
    "leases.coordination.k8s.io": ("/apis/coordination.k8s.io/v1/leases", "look for leases that nobody renews"),
}
"""Where the objects of a resource that often grows are counted, and what ends its growth. Not Secrets: never read."""


def slow_verbs(memory: ApiServerMemory) -> dict[str, Latency]:
    """Return the reads of one object and the writes that are slow over the window, by verb."""
    measured = facts.enough(api_load.latency_by_verb(memory))
    return {
        verb: measured[verb] for verb, bound_s in BOUND_S.items() if verb in measured and measured[verb].p99_s > bound_s
    }


def slow_lists(memory: ApiServerMemory) -> dict[ListKey, Latency]:
    """Return the LISTs that people notice over the window, the slowest first; not all of them are over the bound."""
    measured = facts.enough(api_load.list_latencies(memory), facts.MIN_LISTS)
    return {key: item for key, item in measured.items() if item.p99_s > min(_bound_s(key), LIST_FELT_S)}


def _bound_s(key: ListKey) -> float:
    return LIST_S.get(key.scope, LIST_S["cluster"])


def _busy_command() -> Command:
    return kubectl(
        "get", "--raw", "/debug/api_priority_and_fairness/dump_requests", purpose="who asks now, and for what?"
    )


def _count_command(resource: str) -> Iterator[Command]:
    """Yield how to count a resource without listing it."""
    path, advice = _HELP.get(resource, ("", ""))
    name, _, group = resource.partition(".")
    for kind in KINDS if not path else ():
        if kind.resource == name and kind.group_version.rpartition("/")[0] == group and not kind.fixed_namespace:
            path = kind.path()
    if path:
        purpose = "how many are there (remainingItemCount)?" + (f" {advice}" if advice else "")
        yield kubectl("get", "--raw", f"{path}?limit=1", purpose=purpose)


def _own_latency(situation: Situation) -> Iterator[Evidence]:
    own = situation.own_load.latency_s
    if own is not None:
        text = f"Midwatch's own requests wait {latency_text(own)} for the first byte (median)"
        yield Evidence(text, "midwatch/load", mark=Mark.SUPPORTS if own >= GET_S else Mark.EXCLUDES)


def blame(situation: Situation) -> Iterator[Evidence]:
    """Yield whether slow writes are etcd's or a webhook's, as far as the API server tells."""
    etcd = facts.short_etcd_latency(situation)
    if etcd is None:
        yield Evidence("how long etcd takes is not told", METRICS, mark=Mark.OPEN)
    elif etcd.p99_s > SLOW_ETCD_S:
        yield Evidence(f"etcd, as the API server sees it: p99 {p99_text(etcd)} of {etcd.requests} requests", METRICS)
    else:
        text = f"not etcd: p99 {p99_text(etcd)} of {etcd.requests} requests, as the API server sees it"
        yield Evidence(text, METRICS, mark=Mark.EXCLUDES)
    for name, item in list(facts.enough(api_load.webhook_latencies(situation.api_server)).items())[:2]:
        if item.p99_s >= SLOW_WEBHOOK_S:
            yield Evidence(f"admission webhook {name}: p99 {p99_text(item)} of {item.requests} calls", METRICS)


@rule(
    "api-slow-requests",
    signature="L4-03 L4-05",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="apiserver_request_duration_seconds by verb over the last minutes, without WATCH and CONNECT; etcd's and "
    "the webhooks' share of it; how long our own requests wait.",
    look_alikes={
        "api-slow-lists": "there LIST alone is slow: too many objects",
        "a slow line to the cluster": "our own requests wait, the server's histogram does not show it",
        "watches": "they last by design, and are left out",
    },
)
def api_slow_requests(_: None, situation: Situation, now: datetime) -> Verdict:
    """The API server is slow for reads of single objects or for writes."""
    if reason := facts.no_window(situation, now):
        return Unknown(reason)
    measured = api_load.latency_by_verb(situation.api_server)
    if measured is None:
        return Unknown(facts.IN_PART)
    slow = slow_verbs(situation.api_server)
    if not slow:
        return CLEAR
    worst = max(slow, key=lambda verb: slow[verb].p99_s)
    written = [item for verb, item in slow.items() if verb != "GET"]
    grave = any(item.p99_s > LEADERS_S for item in written)
    window = facts.window_text(situation)
    lines = [
        Evidence(f"{verb} p99 {p99_text(item)} of {item.requests} requests {window} (1 s is fast)", METRICS)
        for verb, item in slow.items()
    ]
    if grave:
        lines.append(Evidence("writes take longer than leaders wait to renew their lease (10 s)", METRICS))
    quick = [
        f"{verb} {p99_text(item)}"
        for verb, item in facts.enough(measured).items()
        if verb in BOUND_S.keys() - slow.keys()
    ]
    if quick:
        lines.append(Evidence(f"not slow: {', '.join(quick)}", METRICS, mark=Mark.EXCLUDES))
    return Fired(
        CLUSTER,
        f"is slow: {worst} p99 {p99_text(slow[worst])}" + (", as etcd's writes are" if _is_etcd(situation) else ""),
        (*lines, *blame(situation), *_own_latency(situation)),
        (kubectl("get", "--raw", "/readyz?verbose", purpose="does it answer, and does etcd?"), _busy_command()),
        severity=Severity.CRITICAL if grave else Severity.WARNING,
        follows=(CLUSTER,),
        follows_only=(*ETCD_DOWN, *ETCD_SLOW, *API_BUSY, "webhook-failing", "webhook-slow"),
        who=("API server",),
    )


def _is_etcd(situation: Situation) -> bool:
    etcd = facts.short_etcd_latency(situation)
    return etcd is not None and etcd.p99_s > SLOW_ETCD_S


@rule(
    "api-slow-lists",
    signature="L4-05",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="apiserver_request_duration_seconds of LIST by resource and scope over the last minutes, against GET; how "
    "many objects there are, and their estimated size (1.34 and later).",
    look_alikes={
        "api-slow-requests": "there GET or writes are slow too: etcd, webhooks, or a busy server",
        "a large cluster": "between 5 s and the mixin's bound of 30 s for all namespaces it is a hint only",
    },
)
def api_slow_lists(_: None, situation: Situation, now: datetime) -> Verdict:
    """Listing a resource takes long: there are too many objects of it, or they are too big."""
    if reason := facts.no_window(situation, now):
        return Unknown(reason)
    if api_load.list_latencies(situation.api_server) is None:
        return Unknown(facts.IN_PART)
    slow = slow_lists(situation.api_server)
    if not slow:
        return CLEAR
    over = [key for key, item in slow.items() if item.p99_s > _bound_s(key)]
    worst = over[0] if over else next(iter(slow))
    resource = resource_name(worst)
    return Fired(
        CLUSTER,
        f"is slow listing {resource}: p99 {p99_text(slow[worst])}",
        (
            *(_list_line(key, item, situation) for key, item in list(slow.items())[:3]),
            *_guilt(resource, situation),
            *_own_latency(situation),
        ),
        (*_count_command(resource), _busy_command()),
        severity=Severity.WARNING if over else Severity.INFO,
        follows=(CLUSTER,),
        follows_only=(*ETCD_DOWN, *ETCD_SLOW, *API_BUSY, "api-slow-requests"),
        who=("API server",),
    )


def _list_line(key: ListKey, item: Latency, situation: Situation) -> Evidence:
    where = "all namespaces" if key.scope == "cluster" else f"scope {key.scope}" if key.scope else "unknown scope"
    text = (
        f"LIST {resource_name(key)}, {where}: p99 {p99_text(item)} of {item.requests} {facts.window_text(situation)} "
        f"(mixin: {_bound_s(key):.0f} s)"
    )
    return Evidence(text, METRICS)


def _guilt(resource: str, situation: Situation) -> Iterator[Evidence]:
    yield from _where(resource, situation)
    by_verb = facts.enough(api_load.latency_by_verb(situation.api_server))
    get, listed = by_verb.get("GET"), by_verb.get("LIST")
    if get is not None and listed is not None and get.p99_s > 0:
        text = f"LIST p99 is {listed.p99_s / get.p99_s:.0f} times GET p99 ({p99_text(listed)} to {p99_text(get)})"
        yield Evidence(text, METRICS)
    if resource == "events":
        yield Evidence("lists of events always go to etcd: they have no watch cache", METRICS)
    grown = _growing(situation).get(resource)
    if grown is not None:
        yield Evidence(_growth_text(resource, grown), METRICS)


def _growing(situation: Situation) -> dict[str, Growth]:
    """Return the resources that grew while they were watched for long enough, the fastest first."""
    found = api_load.growths(situation.api_server) or {}
    return {name: item for name, item in found.items() if item.span >= GROWTH_WATCHED and item.objects > item.before}


def _growth_text(resource: str, item: Growth) -> str:
    span = duration_text(item.span.total_seconds())
    return f"{resource} grew from {item.before:,} to {item.objects:,} in {span}: {item.per_hour:,.0f} an hour"


@rule(
    "api-resource-grows",
    signature="L4-05",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="how many objects of each resource there are now, 5 minutes ago, and 10 to 30 minutes ago.",
    look_alikes={
        "a rollout, a burst of Jobs": "it ends by itself: over the last 5 minutes it must go on at half the "
        "pace at least"
    },
)
def api_resource_grows(_: None, situation: Situation, now: datetime) -> Verdict:
    """A resource grows so fast that it would double within an hour: something makes objects, nothing deletes them."""
    if reason := facts.not_live(situation, now):
        return Unknown(reason)
    lately = api_load.growths(situation.api_server, WINDOW)
    if lately is None or api_load.growths(situation.api_server) is None:
        return Unknown("objects were not counted for long enough to tell how fast they grow")
    fast = {
        name: item
        for name, item in _growing(situation).items()
        if item.objects >= GROWTH_LEAST and item.per_hour >= item.objects
        if name in lately and lately[name].per_hour >= GROWTH_LASTS * item.per_hour
    }
    if not fast:
        return CLEAR
    resource, worst = next(iter(fast.items()))
    doubling_s = worst.objects / worst.per_hour * 3600
    return Fired(
        CLUSTER,
        f"grow fast: {worst.per_hour:,.0f} more an hour, {worst.objects:,} now",
        (
            *(Evidence(_growth_text(name, item), METRICS) for name, item in list(fast.items())[:3]),
            Evidence(f"it goes on: {_growth_text(resource, lately[resource])}", METRICS),
            Evidence(f"at this pace they double in {duration_text(doubling_s)}; whether it lasts nobody can tell",
                     METRICS, mark=Mark.OPEN),
            *_where(resource, situation),
        ),
        (*_count_command(resource), _busy_command()),
        who=(resource,),
    )  # fmt: skip


def _where(resource: str, situation: Situation) -> Iterator[Evidence]:
    yield Evidence(f"{resource}: {facts.size_text(situation, resource)}", METRICS)
    full = ", ".join(f"{namespace} ({count:,})" for namespace, count in facts.fullest_namespaces(situation, resource))
    if full:
        yield Evidence(f"most of them in {full}", f"kubernetes/{resource.partition('.')[0]}")


RULES: Final[tuple[Rule, ...]] = (api_slow_requests, api_slow_lists, api_resource_grows)
