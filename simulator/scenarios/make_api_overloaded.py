"""Makes the tape `api_overloaded`: `python -m simulator.scenarios.make_api_overloaded`.

A controller that went wild makes ConfigMaps without end and lists all of them again and again. The pages of the API
server have the names, labels and bounds of a real 1.36 server's; the numbers in them are made up.
"""

import sys
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final

from simulator.scenarios.control_plane_objects import leases, readyz_text
from simulator.scenarios.etcd_story import NODES, before
from simulator.scenarios.story import STARTED_AT, Story
from tape.format import READYZ_SOURCE, SERVER_PREFIX, TAPE_VERSION, VERSION_SOURCE, Frame, Header
from tape.writer import write_tape

FAULT_AT: Final = 40.0
OPENS_AT: Final = 30.0
END: Final = 300.0
_EVERY_S: Final = 10.0
_BOUNDS: Final = ("0.005", "0.025", "0.05", "0.1", "0.2", "0.4", "0.6", "0.8", "1", "1.25", "1.5", "2", "3", "4", "5",
                  "6", "8", "10", "15", "20", "30", "45", "60", "+Inf")  # fmt: skip
_QUICK: Final = (60, 25, 10, 4, 1)
"""Observations in the first buckets of a hundred quick requests."""
_OBJECTS: Final = {"pods": 412, "configmaps": 2_300, "events": 1_950, "leases.coordination.k8s.io": 9}


class _Page:
    """Text of a page, line by line."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def value(self, name: str, number: float, **labels: str) -> None:
        inside = ",".join(f'{key}="{text}"' for key, text in labels.items())
        self.lines.append(f"{name}{{{inside}}} {number:g}" if inside else f"{name} {number:g}")

    def histogram(self, name: str, observed: Sequence[float], **labels: str) -> None:
        """`observed` per bucket, in order; the rest are empty."""
        counts = [*observed, *(0.0 for _ in _BOUNDS)][: len(_BOUNDS)]
        for bound, total in zip(_BOUNDS, accumulate(counts), strict=True):
            self.value(f"{name}_bucket", total, **labels, le=bound)

    @property
    def text(self) -> str:
        return "\n".join(self.lines) + "\n"


def page(t: float) -> str:
    """What the API server tells of itself at `t` seconds."""
    made, bad_s = _Page(), max(0.0, t - FAULT_AT)
    made.value("process_start_time_seconds", STARTED_AT.timestamp() - 600_000)
    made.value("process_open_fds", 900 + 2 * bad_s)
    made.value("process_max_fds", 1_048_576)
    for kind, usual, most in (("readOnly", 9, 394), ("mutating", 3, 61)):
        made.value("apiserver_current_inflight_requests", most if bad_s else usual, request_kind=kind)
    made.value("apiserver_longrunning_requests", 240, verb="WATCH", group="", resource="pods", scope="cluster")
    for verb in ("GET", "POST", "PUT", "PATCH"):
        quick = [share * (t + 4_000) / 100 for share in _QUICK]
        _requests(made, verb, "pods", "resource", quick)
    _requests(made, "LIST", "pods", "namespace", [share * (t + 4_000) / 400 for share in _QUICK])
    quick_lists = [share * 40.0 / 100 for share in _QUICK]
    slow = [0.0] * 19 + [1.1 * bad_s, 0.7 * bad_s, 0.2 * bad_s]
    _requests(
        made, "LIST", "configmaps", "cluster", [a + b for a, b in zip([*quick_lists, *[0.0] * 17], slow, strict=True)]
    )
    for operation in ("get", "list", "update"):
        shares = [share * (t + 4_000) / 50 for share in _QUICK]
        made.histogram("etcd_request_duration_seconds", shares, operation=operation, group="", resource="pods")
    for resource, number in _OBJECTS.items():
        name, _, group = resource.partition(".")
        grown = number + (95 * bad_s if name == "configmaps" else 0)
        made.value("apiserver_resource_objects", grown, group=group, resource=name)
        made.value("apiserver_resource_size_estimate_bytes", 9_000 * grown, group=group, resource=name)
    made.value("apiserver_storage_size_bytes", 190_000_000 + 900_000 * bad_s, storage_cluster_id="etcd-0")
    for level, limit in (("workload-low", 245), ("global-default", 49), ("workload-high", 98)):
        full = limit if bad_s and level != "workload-high" else 2
        made.value("apiserver_flowcontrol_current_executing_seats", full, priority_level=level, flow_schema="all")
        made.value("apiserver_flowcontrol_current_limit_seats", limit, priority_level=level)
    labels = {"priority_level": "workload-low", "flow_schema": "service-accounts", "reason": "queue-full"}
    if bad_s:
        made.value("apiserver_flowcontrol_rejected_requests_total", round(31 * bad_s), **labels)
    return made.text


def _requests(made: _Page, verb: str, resource: str, scope: str, observed: Sequence[float]) -> None:
    labels = {"component": "apiserver", "dry_run": "", "group": "", "resource": resource, "scope": scope}
    made.histogram(
        "apiserver_request_duration_seconds", [float(round(item)) for item in observed],
        **labels, subresource="", verb=verb, version="v1",
    )  # fmt: skip


def dumps(t: float) -> Iterator[tuple[str, str]]:
    """Path and text of the API server's own tables about priority and fairness, as CSV."""
    bad_s = max(0.0, t - FAULT_AT)
    waiting = 128 if bad_s else 0
    levels = (("exempt", 0, 1, 0), ("workload-high", 0, 2, 0), ("workload-low", waiting, 24, round(31 * bad_s)))
    head = (
        "PriorityLevelName, ActiveQueues, IsIdle, IsQuiescing, WaitingRequests, ExecutingRequests, RejectedRequests\n"
    )
    rows = (f"{name}, {waits and 8}, false, false, {waits}, {runs}, {no}\n" for name, waits, runs, no in levels)
    yield "dump_priority_levels", head + "".join(rows)
    head = "PriorityLevelName, FlowSchemaName, FlowDistinguisher, Verb, APIPath\n"
    who = "system:serviceaccount:platform:config-sync"
    row = f"workload-low, service-accounts, {who}, list, /api/v1/configmaps\n"
    yield "dump_requests", head + row * (12 if bad_s else 0)


def frames() -> Iterator[Frame]:
    """Tell the whole story."""
    story = Story()
    story.say(Frame(0.0, VERSION_SOURCE, body={"major": "1", "minor": "36", "gitVersion": "v1.36.2"}))
    story.say(Frame(0.0, READYZ_SOURCE, status=200, text=readyz_text()))
    story.start(before(story))
    for number in range(int(END / _EVERY_S) + 1):
        t = number * _EVERY_S
        story.say(Frame(t, f"{SERVER_PREFIX}metrics", status=200, text=page(t)))
        for name, text in dumps(t):
            story.say(Frame(t, f"{SERVER_PREFIX}debug/api_priority_and_fairness/{name}", status=200, text=text))
        for lease in leases(story, t, NODES):
            story.change(t, lease)
    return story.frames()


def main() -> int:
    """Write the tape beside this file."""
    header = Header(
        TAPE_VERSION,
        name="api_overloaded",
        title="A controller lists tens of thousands of ConfigMaps in a loop: the API server turns requests away",
        started_at=STARTED_AT,
        start_at=OPENS_AT,
        context="serving-prod",
        server="v1.36.2",
    )
    write_tape(Path(__file__).parent / "api_overloaded.jsonl.gz", header, frames())
    return 0


if __name__ == "__main__":
    sys.exit(main())
