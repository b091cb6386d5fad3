"""`/debug/api_priority_and_fairness/...`: the API server's tables of priority levels and of requests that wait or run.

Made of its page of metrics, so that both tell the same; the requests are made up.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from simulator.pages import Page

PREFIX: Final = "/debug/api_priority_and_fairness/"
_LEVEL: Final = re.compile(
    r'^apiserver_flowcontrol_(current_executing_seats|rejected_requests_total)\{.*priority_level="([^"]+)".*\} (\S+)$',
    re.MULTILINE,
)
_REQUEST: Final = "service-accounts, system:serviceaccount:platform:config-sync, list, /api/v1/configmaps"
_SHOWN: Final = 20


class _Level(NamedTuple):
    name: str
    executing: int
    rejected: int


def priority_table(path: str, metrics: Page) -> str | None:
    """Return the table at a path, with a line for its columns first; None where there is none."""
    match path.removeprefix(PREFIX):
        case "dump_priority_levels":
            rows = [f"{level.name}, false, {level.executing}, {level.rejected}" for level in _levels(metrics)]
            return "\n".join(("PriorityLevelName, IsIdle, ExecutingRequests, RejectedRequests", *rows, ""))
        case "dump_requests":
            full = [level.name for level in _levels(metrics) if level.rejected]
            rows = [f"{name}, {_REQUEST}" for name in full for _ in range(_SHOWN)]
            return "\n".join(("PriorityLevelName, FlowSchemaName, UserName, Verb, APIPath", *rows, ""))
    return None


def _levels(metrics: Page) -> Iterator[_Level]:
    found: dict[str, dict[str, float]] = {}
    for metric, name, value in _LEVEL.findall(metrics.text):
        numbers = found.setdefault(name, {})
        numbers[metric] = numbers.get(metric, 0.0) + float(value)
    for name, numbers in sorted(found.items()):
        executing, rejected = (numbers.get(key, 0) for key in ("current_executing_seats", "rejected_requests_total"))
        yield _Level(name, int(executing), int(rejected))
