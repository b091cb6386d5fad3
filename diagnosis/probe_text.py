"""What the kubelet says about a failed probe, in few words."""

import re
from typing import Final, NamedTuple

from diagnosis.commands import shorten
from situation.cluster import Event
from situation.pods import Container, Pod, Probe
from situation.situation import Situation

_PROBE: Final = re.compile(r"^(Liveness|Readiness|Startup) probe (?:failed|warning|errored[^:]*): ?(.*)$", re.DOTALL)
"""Both wordings of an error: `probe errored: E` and `probe errored and resulted in S state: E`
(fault_signatures 0.4)."""
_KILL: Final = re.compile(r"^Container (\S+) failed (liveness|startup) probe")
_STATUS: Final = re.compile(r"statuscode: (\d{3})")
_ADDRESS: Final = re.compile(r"dial tcp \S*?:(\d{1,5})(?!\d)|https?://[^/\s\"]*:(\d{1,5})(?!\d)")
_WRONG_PROTOCOL: Final = (
    "malformed HTTP",
    "transport connection broken",
    "server gave HTTP response to HTTPS client",
    "first record does not look like a TLS handshake",
)
_NO_ANSWER: Final = ("context deadline exceeded", "Client.Timeout", "i/o timeout", "timeout:", "timed out")


class ProbeFailure(NamedTuple):
    """One failed probe as an event reported it."""

    event: Event
    text: str
    """What the probe met, without the kubelet's preamble."""


def newest_failure(pod: Pod, container: Container, probe: str, situation: Situation) -> ProbeFailure | None:
    """Return the newest failure of a container's `Liveness`, `Readiness` or `Startup` probe that an event tells of."""
    for event in reversed(situation.events_of(pod, "Pod", "Unhealthy", "ProbeWarning")):
        found = _PROBE.match(event.message)
        if found and found[1] == probe and _concerns(event, container.name):
            return ProbeFailure(event, found[2].strip())
    return None


def newest_kill(pod: Pod, container: Container, situation: Situation) -> tuple[str, Event] | None:
    """Return which probe (`liveness`, `startup`) had the container killed last, with the event, if one did."""
    for event in reversed(situation.events_of(pod, "Pod", "Killing")):
        found = _KILL.match(event.message)
        if found and found[1] == container.name:
            return found[2], event
    return None


def _concerns(event: Event, container: str) -> bool:
    path = event.involved_object.field_path
    return not path or path.endswith(f"{{{container}}}")


def what_it_got(text: str, probe: Probe | None) -> str:
    """Return a predicate for the probe: `gets connection refused on :8080`, `gets HTTP 503 on :8080/ready`."""
    where = _where(text, probe)
    if status := _STATUS.search(text):
        return f"gets HTTP {status[1]}{where}"
    if "connection refused" in text:
        return f"gets connection refused{where}"
    if any(words in text for words in _WRONG_PROTOCOL):
        return f"speaks another protocol than the server{where}"
    if any(words in text for words in _NO_ANSWER):
        return f"gets no answer within {probe.timeout_seconds if probe else 1} s{where}"
    if "no route to host" in text:
        return f"finds no route{where}"
    if "NOT_SERVING" in text:
        return f"gets NOT_SERVING{where}"
    first_line = text.partition("␊")[0].strip()
    return f"fails: {shorten(first_line, 40)}" if first_line else "fails"


def _where(text: str, probe: Probe | None) -> str:
    path = probe.http_get.path if probe and probe.http_get and probe.http_get.path != "/" else ""
    found = _ADDRESS.search(text)
    port: int | str = (found[1] or found[2]) if found else port_of(probe)
    return f" on :{port}{path}" if port else ""


def port_of(probe: Probe | None) -> int | str:
    """Return the port that the probe asks, a number or a name; empty for a command."""
    action = (probe.http_get or probe.tcp_socket or probe.grpc) if probe else None
    return action.port if action else ""


def undeclared_port(container: Container, probe: Probe | None) -> str:
    """Return a hint when the probe asks a port that the container does not declare, else nothing."""
    port = port_of(probe)
    declared = {item.container_port for item in container.ports} | {item.name for item in container.ports if item.name}
    if not port or not declared or port in declared:
        return ""
    numbers = ", ".join(str(item.container_port) for item in container.ports)
    return f"the probe asks port {port}, the container declares {numbers}"


def probe_text(probe: Probe) -> str:
    """Return a probe's timing: `every 10 s, 3 failures, first after 0 s, timeout 1 s`."""
    return (
        f"every {probe.period_seconds} s, {probe.failure_threshold} failures, "
        f"first after {probe.initial_delay_seconds} s, timeout {probe.timeout_seconds} s"
    )
