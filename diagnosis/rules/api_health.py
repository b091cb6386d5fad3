"""Layer 4: is it the API server itself, or etcd? Its own checks, and what its metrics tell of etcd (L4-01 to L4-04)."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from diagnosis import api_facts as facts
from diagnosis.api_facts import SLOW_ETCD_S
from diagnosis.commands import shorten
from diagnosis.etcd_commands import looks_from_outside
from diagnosis.etcd_facts import said
from diagnosis.explaining import CERTIFICATES_OUT, ETCD_DOWN, ETCD_FAULTS, ETCD_LAME
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, rule
from diagnosis.rules.api_server import control_plane_commands, ready_command
from diagnosis.rules.etcd_database import DEFAULT_QUOTA, WARN_RATIO
from situation import api_load
from situation.api_server import LIVEZ, METRICS
from situation.etcd.cluster import etcd_of
from situation.etcd.standing import is_ours, is_refusal
from situation.findings import Evidence, Layer, Mark, Severity
from situation.meta import CLUSTER
from situation.quantity import human_bytes
from situation.readings import SourceState
from situation.situation import Situation

SURE: Final = 1.1
"""A database is somewhat above its quota when the alarm comes (measured: 7 %); further above, the quota is a larger
one."""


def is_etcd_read(situation: Situation, now: datetime) -> bool:
    """Tell whether a member of etcd answers Midwatch itself, now."""
    return bool(etcd_of(situation, now).answering)


def _not_alive(situation: Situation, now: datetime) -> tuple[str, ...] | None:
    """Names of the failed checks while `/livez?exclude=etcd` fails now, else None."""
    liveness = situation.liveness
    if liveness is None or liveness.alive or situation.source(LIVEZ).state_at(now) is not SourceState.LIVE:
        return None
    return liveness.failed_checks


def liveness_evidence(situation: Situation, now: datetime) -> Evidence:
    """Return what `/livez` without etcd says: it splits the blame between the API server itself and etcd."""
    source, liveness = situation.source(LIVEZ), situation.liveness
    if liveness is None or source.state_at(now) is not SourceState.LIVE:
        return Evidence("/livez without etcd, which would split the blame, is not known now", LIVEZ, mark=Mark.OPEN)
    if liveness.alive:
        text = "/livez without etcd passes: the API server itself is well"
        return Evidence(text, LIVEZ, source.observed_at, Mark.EXCLUDES)
    names = ", ".join(liveness.failed_checks) or "no check is named"
    text = f"/livez fails without etcd too ({shorten(names, 120)}): the API server itself is ill"
    return Evidence(text, LIVEZ, source.observed_at)


def second_hand(situation: Situation, now: datetime) -> Iterator[Evidence]:
    """Yield what the API server tells of etcd, labelled so; nothing while a member of etcd is read itself."""
    page = situation.api_server.page
    if is_etcd_read(situation, now) or page is None:
        return
    at = situation.api_server.read_at
    if not facts.no_window(situation, now):
        listed = facts.enough(api_load.etcd_latencies(situation.api_server)).get("list")
        for words, found in (("single objects", facts.short_etcd_latency(situation)), ("lists", listed)):
            if found is not None:
                p99 = facts.p99_text(found)
                text = f"as the API server sees it: {words} p99 {p99} of {found.requests} requests to etcd"
                yield Evidence(f"{text} {facts.window_text(situation)}", METRICS, at)
    if page.storage_bytes is not None:
        size = human_bytes(page.storage_bytes)
        yield Evidence(f"as the API server sees it: etcd's database has {size}", METRICS, at, Mark.OPEN)


def _failed_checks(situation: Situation, now: datetime) -> tuple[str, ...] | None:
    """Names of the failed checks while `/readyz` says "not ready" now, else None."""
    readiness = situation.readiness
    if readiness is None or readiness.ready:
        return None
    return readiness.failed_checks if situation.source("kubernetes/readyz").state_at(now) is SourceState.LIVE else None


def _check_evidence(failed: tuple[str, ...], situation: Situation) -> Evidence:
    source = situation.source("kubernetes/readyz")
    names = ", ".join(failed) or "no check is named"
    return Evidence(f"/readyz: not ready; failed: {shorten(names, 200)}", source.name, source.observed_at)


@rule(
    "etcd-unavailable",
    signature="L4-01 L4-02",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.CRITICAL,
    kind="Cluster",
    looks_at="the checks of /readyz: etcd, etcd-readiness; /livez without etcd; what its metrics tell of etcd.",
    look_alikes={
        "api-not-ready": "there other checks fail, or /livez fails without etcd too",
        "api-unreachable": "there /readyz does not answer",
    },
)
def etcd_unavailable(_: None, situation: Situation, now: datetime) -> Verdict:
    """The API server cannot use etcd: writes fail and what is shown may be frozen."""
    failed = _failed_checks(situation, now)
    if not failed or not any(name.startswith("etcd") for name in failed):
        return CLEAR
    members = etcd_of(situation, now).answering
    turned_away = [member for member in members if is_refusal(member.error, (member.endpoint,))]
    why = ": no member accepts our certificate either" if members and len(turned_away) == len(members) else ""
    return Fired(
        CLUSTER,
        f"does not answer the API server{why or ': state may be frozen'}",
        (
            _check_evidence(failed, situation),
            *(said(member, f"runs, and turns us away: {member.error}") for member in turned_away),
            liveness_evidence(situation, now),
            *second_hand(situation, now),
        ),
        (
            ready_command(),
            *looks_from_outside(situation, now),
            *control_plane_commands(situation, "etcd"),
        ),
        follows=(CLUSTER,),
        follows_only=(*ETCD_FAULTS, *ETCD_LAME, *CERTIFICATES_OUT),
        who=("etcd",),
    )


@rule(
    "api-not-ready",
    signature="L4-04",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.CRITICAL,
    kind="Cluster",
    looks_at="the failed checks of /readyz, etcd's excepted, and those of /livez?exclude=etcd.",
    look_alikes={
        "etcd-unavailable": "there the check etcd fails, and /livez passes without it",
        "a starting API server": "only poststarthook checks fail, for seconds: a warning",
    },
)
def api_not_ready(_: None, situation: Situation, now: datetime) -> Verdict:
    """The API server answers but says that it is not ready, or that it is not alive whatever etcd does."""
    failed = _failed_checks(situation, now)
    blames_etcd = failed is not None and any(name.startswith("etcd") for name in failed)
    dead = _not_alive(situation, now)
    if dead is None and (failed is None or blames_etcd):
        return CLEAR
    checks = failed if failed is not None and not blames_etcd else dead or ()
    starting = bool(checks) and all(name.startswith("poststarthook/") for name in checks)
    leaving = "shutdown" in checks
    state = "is shutting down" if leaving else "is still starting" if starting else "is not ready"
    if checks is dead and not starting:
        state = "is not alive"
    names = f": {', '.join(checks[:2])}" if checks and not leaving else ""
    ready = (_check_evidence(failed, situation),) if failed is not None else ()
    return Fired(
        CLUSTER,
        state + shorten(names, 60),
        (*ready, liveness_evidence(situation, now)),
        (ready_command(), *control_plane_commands(situation, "kube-apiserver")),
        severity=Severity.WARNING if starting else Severity.CRITICAL,
        follows=(CLUSTER,),
        follows_only=(*ETCD_DOWN, *CERTIFICATES_OUT),
        who=("API server",),
    )


@rule(
    "etcd-slow-second-hand",
    signature="L4-03",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="etcd_request_duration_seconds over the last minutes; only while no member of etcd is read.",
    look_alikes={
        "etcd-slow-fsync": "read from etcd itself: then this is silent",
        "a slow network to etcd": "looks the same from the API server: ask the members",
    },
)
def etcd_slow_second_hand(_: None, situation: Situation, now: datetime) -> Verdict:
    """etcd answers the API server slowly; no member of it can be asked from here."""
    if is_etcd_read(situation, now):
        return CLEAR
    if reason := facts.no_window(situation, now):
        return Unknown(reason)
    found = facts.short_etcd_latency(situation)
    if found is None:
        return Unknown("the API server does not tell how long etcd takes")
    if found.p99_s <= SLOW_ETCD_S:
        return CLEAR
    return Fired(
        CLUSTER,
        f"is slow as the API server sees it: p99 {facts.p99_text(found)}",
        tuple(second_hand(situation, now)),
        (ready_command(), *looks_from_outside(situation, now)),
        follows=(CLUSTER,),
        follows_only=("etcd-unavailable",),
        who=("etcd",),
    )


@rule(
    "etcd-large-second-hand",
    signature="L4-01",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="apiserver_storage_size_bytes against etcd's default quota; only while no member of etcd is read.",
    look_alikes={
        "a raised quota": "a database well above 2 GiB that still takes writes has one: silent",
        "a managed control plane": "its provider looks after etcd, and gives it 8 GiB more often than not: silent",
        "etcd-no-space": "read from etcd itself",
    },
)
def etcd_large_second_hand(_: None, situation: Situation, now: datetime) -> Verdict:
    """etcd's database is near the default quota; no member of it can be asked for the quota that it really has."""
    page = situation.api_server.page
    is_managed = bool(situation.nodes) and not is_ours(situation)
    if is_etcd_read(situation, now) or is_managed:
        return CLEAR
    if (reason := facts.not_live(situation, now)) or page is None or page.storage_bytes is None:
        return Unknown(reason or "the API server does not tell the size of its storage")
    if not WARN_RATIO * DEFAULT_QUOTA <= page.storage_bytes <= SURE * DEFAULT_QUOTA:
        return CLEAR
    return Fired(
        CLUSTER,
        f"database has {human_bytes(page.storage_bytes)}; the default quota is 2 GiB",
        (
            Evidence(f"storage size, as the API server sees it: {human_bytes(page.storage_bytes)}", METRICS),
            Evidence("whether etcd has the default quota only its members tell", METRICS, mark=Mark.OPEN),
        ),
        (ready_command(), *looks_from_outside(situation, now)),
        who=("etcd's",),
    )


RULES: Final[tuple[Rule, ...]] = (etcd_unavailable, api_not_ready, etcd_slow_second_hand, etcd_large_second_hand)
