"""The doctor's lines on etcd, on the API server's own metrics and on certificates."""

import re
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from diagnosis.certificate_facts import CLOCKS_AGREE
from diagnosis.commands import counted
from situation.certificates import Certificate, Certificates
from situation.clock import utc_now
from situation.etcd.members import EtcdAccess, EtcdMember, EtcdReading
from situation.kinds import BY_NAME
from situation.readings import Listed, Reading, ServerClock, SourceState
from situation.server_clock import offset_text
from situation.situation import Situation
from tui.doctor_devices import Line, one_pass

if TYPE_CHECKING:
    from collectors.etcd.options import EtcdOptions
    from collectors.etcd.wishes import EtcdWishes
    from collectors.kubernetes.client import Client
    from collectors.runner import Collector

SOON: Final = timedelta(days=30)
"""A certificate that ends earlier is worth a word, as to the rule `certificate-expires`."""
_METRICS: Final = "may read /metrics"
_PAGE: Final = re.compile(r"(https?://[^\s/]+)/(?:metrics|health)\b")
_FIRST_BYTE_S: Final = 10.0
_SHOWN: Final = 3
"""Certificates that could not be read, told one by one."""


async def metrics_line(client: "Client") -> Line:
    """Tell whether the API server's own metrics may be read; only the beginning of the page is."""
    from collectors.errors import AbsentError, ForbiddenError, SourceError

    try:
        async with client.stream("/metrics", first_byte_s=_FIRST_BYTE_S) as answer:
            await answer.read(_FIRST_BYTE_S)
    except ForbiddenError:
        return None, _METRICS, "no, so latencies and load are not seen: RBAC needs get on nonResourceURLs /metrics"
    except AbsentError:
        return None, _METRICS, "this server has none"
    except (SourceError, TimeoutError) as error:
        return None, _METRICS, str(error) or f"nothing came within {_FIRST_BYTE_S:g} s"
    return True, _METRICS, "yes"


async def scheduler_lines(prometheus: str, token_file: str) -> AsyncIterator[Line]:
    """Yield whether a Prometheus tells of the scheduler, if one is named."""
    from collectors.control_plane.scheduler import scheduler_poll
    from collectors.errors import AbsentError, SourceError
    from collectors.http import HttpReader

    async with HttpReader() as http:
        try:
            if (poll := scheduler_poll(prometheus, token_file, http)) is None:
                return
            _, error = await one_pass(poll)
        except SourceError as not_a_url:
            error = not_a_url
    told = "its attempts and queues are told" if error is None else str(error)
    absent = isinstance(error, AbsentError)
    yield (True if error is None or absent else None), "scheduler in Prometheus", f"none: {told}" if absent else told


def clock_line(clock: ServerClock | None) -> Line:
    """Tell how our clock stands to the API server's."""
    what = "clock of this machine"
    if clock is None:
        return None, what, "not compared: the API server's answers carry no usable Date"
    agrees = abs(clock.ahead_s) <= max(clock.within_s, CLOCKS_AGREE.total_seconds())
    hint = ": times and ages are told by the API server's" if clock.taken_off_s else ""
    return (True if agrees else None), what, f"{offset_text(clock)} (within {clock.within_s:.1f} s){hint}"


async def control_plane_lines(client: "Client | None", options: "EtcdOptions | None") -> AsyncIterator[Line]:
    """Yield lines for etcd, each of its members, and certificates. Without a client only what this host knows itself.

    etcd that was named and is not reached does not work; etcd that is only looked for is an extra.
    """
    from collectors.control_plane.collect import control_plane_collectors
    from collectors.errors import SourceError
    from collectors.etcd.collect import etcd_collectors
    from collectors.etcd.options import EtcdOptions
    from collectors.etcd.wishes import EtcdWishes
    from collectors.http import HttpReader
    from collectors.runner import Closing

    way, wishes = options or EtcdOptions(), EtcdWishes()
    failed = False if way.endpoints else None
    endpoints = way.endpoints
    told: list[str] = []
    async with HttpReader() as http:
        try:
            await _tell(wishes, client)
            collectors = etcd_collectors(http, wishes, way)
        except SourceError as error:
            yield failed, "etcd", str(error)
            collectors = []
        for collector in collectors:
            readings, ended = await one_pass(collector)
            for line in _etcd_lines(collector, readings, ended, failed):
                if not any(line[2] in text for text in told):
                    yield line
                told.append(line[2])
            endpoints += tuple(item.value.member.endpoint for item in readings if isinstance(item.value, EtcdReading))
        for collector in collectors:
            if isinstance(collector, Closing):
                await collector.aclose()
    found = control_plane_collectors(
        client, kubernetes_dir=way.kubernetes_dir, etcd_endpoints=lambda: tuple(dict.fromkeys(endpoints))
    )
    seen: list[Certificate] = []
    for collector in found:
        if collector.name.startswith("control-plane/certificate"):
            readings, _ = await one_pass(collector)
            for reading in readings:
                seen += reading.value.certificates if isinstance(reading.value, Certificates) else ()
    for line in certificate_lines(seen, client.cluster_clock() if client is not None else utc_now()):
        yield line


async def _tell(wishes: "EtcdWishes", client: "Client | None") -> None:
    """Tell of etcd's pods, or that none can be seen."""
    from collectors.errors import SourceError
    from collectors.kubernetes.lists import list_cached

    pods, now = BY_NAME["pods"], utc_now()
    said = Reading(pods.source, SourceState.UNREACHABLE, now, error="the API server was not asked")
    if client is not None:
        try:
            listed = await list_cached(client, pods, "kube-system", "component=etcd")
            said = Reading(pods.source, SourceState.LIVE, now, Listed("pods", listed.objects))
        except SourceError as error:
            said = Reading(pods.source, error.state, now, error=str(error))
    situation = Situation()
    situation.apply(said)
    wishes.tell(situation)


def _etcd_lines(
    collector: "Collector", readings: Iterable[Reading], ended: Exception | None, failed: bool | None
) -> Iterator[Line]:
    for reading in readings:
        match reading.value:
            case EtcdReading(member):
                yield member_line(member, reading.error, failed)
            case EtcdAccess() as access if access.found_by and not reading.error:
                yield True, "etcd", f"found by {access.found_by}"
            case _ if reading.error and reading.state is not SourceState.LIVE:
                yield failed, _short(reading.source), reading.error
    if ended is not None:
        yield failed, _short(collector.name), str(ended)


def _short(source: str) -> str:
    return {"etcd/access": "etcd", "etcd/members": "etcd member list", "etcd/alarms": "etcd alarm list"}.get(
        source, source.replace("etcd/", "etcd ")
    )


def member_line(member: EtcdMember, error: str, failed: bool | None) -> Line:
    """Tell what of a member answers; errors that differ by the path only are told once. `failed`: if nothing does."""
    what = f"etcd {member.endpoint.partition('://')[2]}"
    errors: dict[str, list[str]] = {}
    asked = (("status", member.status_error), ("metrics", member.page_error), ("health", member.health_error))
    for part, why in asked:
        if why:
            errors.setdefault(_PAGE.sub(r"\1", why), []).append(part)
    parts = [f"{', '.join(names)}: {why}" for why, names in errors.items()]
    if not member.answers:
        return failed, what, "; ".join(parts) or error or "no answer"
    told = f"answers, version {member.status.version}" if member.status is not None else "answers in part"
    return (None if parts else True), what, "; ".join((told, *parts))


def certificate_lines(certificates: Iterable[Certificate], now: datetime) -> Iterator[Line]:
    """Yield how many certificates were read and which ends first, and those that could not be read with the reason."""
    found = list(certificates)
    ends = [(item.not_after, item) for item in found if item.not_after is not None]
    if ends:
        first_at, first = min(ends, key=lambda pair: pair[0])
        left = first_at - now
        when = f"ends {first_at:%Y-%m-%d}, in {counted(left.days, 'day')}"
        if left < timedelta(0):
            when = f"ended {first_at:%Y-%m-%d}"
        what = f"{len(ends)} read; {first.name} ({first.place}) {when}"
        yield (True if left > SOON else None), "certificates", what
    broken = [item for item in found if item.not_after is None]
    for item in broken[:_SHOWN]:
        why = item.error or "cannot be read"
        yield None, "certificates", why if item.place in why else f"{item.place}: {why}"
    if len(broken) > _SHOWN:
        yield None, "certificates", f"{len(broken) - _SHOWN} more cannot be read"
