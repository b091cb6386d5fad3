"""The API server's own `/metrics` over time, made from one recorded page.

The page is that of a real API server 1.36 with little to do (`api_server_page.txt.gz` beside this file: the families
that are read, of the requests in `SERIES`). These move on evenly, `PER_S`, with durations spread as in the recorded
page; gauges stay, unless an incident sets them. All that an incident adds is made up.
"""

import gzip
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from simulator.scenarios.story import STARTED_AT, WEEK_S
from tape.etcd import API_SERVER_FAMILIES, slim_page

PAGE_FILE: Final = Path(__file__).parent / "api_server_page.txt.gz"
SERIES: Final = (
    'resource="pods",scope="cluster",subresource="",verb="LIST"',
    'resource="pods",scope="resource",subresource="",verb="GET"',
    'resource="configmaps",scope="cluster",subresource="",verb="LIST"',
    'resource="configmaps",scope="resource",subresource="",verb="GET"',
    'resource="nodes",scope="resource",subresource="",verb="GET"',
    'resource="nodes",scope="resource",subresource="status",verb="PATCH"',
    'resource="leases",scope="resource",subresource="",verb="PUT"',
    'resource="events",scope="resource",subresource="",verb="POST"',
    'operation="get",resource="leases"',
    'operation="update",resource="leases"',
    'operation="list",resource="configmaps"',
)
PER_S: Final = 2.0
"""Requests a second of each of them."""
_RESOURCES: Final = frozenset(
    {"pods", "nodes", "configmaps", "secrets", "leases", "events", "replicasets", "deployments"}
)
_HISTOGRAMS: Final = ("apiserver_request_duration_seconds", "etcd_request_duration_seconds")
_COUNTED: Final = (
    "apiserver_resource_objects",
    "apiserver_resource_size_estimate_bytes",
    "apiserver_longrunning_requests",
)
_LINE: Final = re.compile(r"([\w:]+)(\{.*\})? (\S+)")
_LE: Final = re.compile(r',?le="([^"]+)"')
_STAGED_OUT: Final = ("#", "apiserver_storage_objects", "aggregator_unavailable_apiservice")
_REJECTED: Final = "apiserver_flowcontrol_rejected_requests_total"


class Slow(NamedTuple):
    """Requests of one of the series that take long: so many more a second, all between two durations."""

    series: str
    per_s: float
    from_s: float
    to_s: float


class Load(NamedTuple):
    """What an incident does to a page."""

    progress_s: float
    """For how long requests have been answered since t=0."""
    gauges: Mapping[str, float] = {}
    """By metric with its labels, as on the page; one that is not on it is added."""
    slow: tuple[Slow, ...] = ()
    slow_s: float = 0.0
    """For how long requests have been slow."""


class _Sample(NamedTuple):
    name: str
    labels: str
    value: float


def chosen(page: str) -> str:
    """Return what the tapes keep of a recorded page. Idempotent."""
    lines = slim_page(page, API_SERVER_FAMILIES).splitlines()
    return "".join(f"{line}\n" for line in lines if _is_chosen(line))


def _is_chosen(line: str) -> bool:
    if line.startswith(_STAGED_OUT):
        return False
    if line.startswith(_HISTOGRAMS):
        return any(series in line for series in SERIES)
    if line.startswith(_COUNTED):
        resource = re.search(r'resource="(\w+)"', line)
        return resource is not None and resource[1] in _RESOURCES
    return True


class ApiPages:
    """Makes pages from the recorded one."""

    def __init__(self, page: str) -> None:
        matches = (_LINE.fullmatch(line) for line in page.splitlines())
        self._samples = [_Sample(match[1], match[2] or "", float(match[3])) for match in matches if match]

    def at(self, load: Load) -> str:
        """Return the page under this load."""
        lines = [*self._lines(load)]
        known = {line.rpartition(" ")[0] for line in lines}
        lines += [f"{name} {value:g}" for name, value in load.gauges.items() if name not in known]
        return "\n".join(lines) + "\n"

    def _lines(self, load: Load) -> Iterator[str]:
        totals = {_series(item): item.value for item in self._samples if item.name.endswith("_count")}
        for item in self._samples:
            value = load.gauges.get(item.name + item.labels, item.value)
            if item.name == "process_start_time_seconds":
                value = STARTED_AT.timestamp() - WEEK_S
            elif item.name.startswith(_HISTOGRAMS):
                value = _grown(item, totals[_series(item)], load)
            yield f"{item.name}{item.labels} {value:.10g}"


def _grown(item: _Sample, total: float, load: Load) -> float:
    usual = int(load.progress_s * PER_S)
    grown = item.value + (usual * item.value / total if total else 0)
    grown = grown if item.name.endswith("_sum") else float(int(grown))
    for slow in load.slow:
        if slow.series in item.labels and item.name.startswith(_HISTOGRAMS[0]):
            grown += _share(item, slow) * int(load.slow_s * slow.per_s)
    return grown


def _share(item: _Sample, slow: Slow) -> float:
    """The share of slow requests that a bucket holds; of the sum, their mean."""
    if item.name.endswith("_sum"):
        return (slow.from_s + slow.to_s) / 2
    bound = _LE.search(item.labels)
    if bound is None:
        return 1.0
    return min(1.0, max(0.0, (float(bound[1]) - slow.from_s) / (slow.to_s - slow.from_s)))


def _series(item: _Sample) -> str:
    return re.sub("_(bucket|sum|count)$", "", item.name) + _LE.sub("", item.labels)


def read_page() -> str:
    """Return the recorded page. Raises OSError."""
    return gzip.decompress(PAGE_FILE.read_bytes()).decode()


def write_page(page: str) -> None:
    """Keep what the tapes need of a recorded page. Raises OSError."""
    PAGE_FILE.write_bytes(gzip.compress(chosen(page).encode(), mtime=0))


def rejected(schema: str, level: str) -> str:
    """The metric that counts requests answered with 429."""
    return f'{_REJECTED}{{flow_schema="{schema}",priority_level="{level}",reason="queue-full"}}'
