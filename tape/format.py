"""The tape format: JSON lines, plain or compressed with gzip (told by content, not by name).

The first line is the header:

    {"midwatch_tape": 1, "name": "...", "title": "...", "started_at": "2026-11-23T06:56:55Z", "start_at": 12.0,
     "hold_at": null, "context": "...", "server": "v1.36.2", "recorded_live": false,
     "again_from": null}

`started_at` is the time of t=0. A tape opens at `start_at` seconds: what stands before was
said before. A demo stops playing at `hold_at` (null: at the end);
what pods answer between `again_from` and then goes on to come again and again.
Every further line is a frame, `t` in seconds since `started_at`, never falling:

    {"t", "source": "kubernetes/pods", "list": {"resourceVersion": "17", "items": [...]}}
    {"t", "source": "kubernetes/pods", "list": {"items": [...], "remainingItemCount": 900}}
    {"t", "source": "kubernetes/pods", "watch": {"type": "MODIFIED", "object": {...}}}
    {"t", "source": "kubernetes/version", "body": {"gitVersion": "v1.36.2"}}
    {"t", "source": "kubernetes/readyz", "status": 200, "text": "[+]ping ok ..."}
    {"t", "source": "kubernetes/pods", "error": "cannot connect ...", "state": "unreachable"}
    {"t", "source": "server", "down": true}
    {"t", "source": "logs", "pod": "shop/web-1", "text": "..."}
    {"t", "source": "page/serving/vllm-0:8000/metrics", "status": 200, "text": "..."}
    {"t", "source": "page/serving/vllm-0:8000/metrics", "error": "connect: connection refused"}
    {"t", "source": "gpus/gpu-1", "body": {"3": {"xid": 79, "lost": true}}}
    {"t", "source": "gpu/nvml", "reading": {"type": "GpuReading", "value": {...}, "fresh_for_s": 60.0}}
    {"t", "source": "kubernetes/pods", "reading": {}}
    {"t", "source": "kubernetes/pods", "list": {"items": [...], "broken": [["shop", "web-2"]], "skipped": 1}}
    {"t", "source": "kubernetes/pods", "reading": {"broken": [["shop", "web-1"]]}}

A list with a `remainingItemCount` above 0 goes on in the next frame, which is of the same source: as in the API, it is
true only as a whole, and one that was cut off says nothing.

An object that could not be decoded is on no tape, but that there is one: in `broken` its namespace and name, and
where these could not be read either `skipped` counts it, with what a list left out (`isWhole` is false then). In a
`reading` of a kind of objects they say what came to be broken since.

`kubernetes/<name>` are the sources of `situation.kinds`; `tape.etcd` tells those of etcd and of the API server's own
pages. `server` says that the API server went away or came back. `page/<namespace>/<pod>:<port>/<path>` is what a pod
answers over HTTP from then on; with `error`, that nobody answers there (`tape.serving` shows those of model servers).
`gpus/<node>` holds, by GPU index, what a node's exporter shows beyond what the objects tell (`simulator.dcgm`).

`reading` is what a running cockpit wrote down of a source that is no list of objects, as it was understood
(`tape.readings`): `type` names a type of `situation.readings.Value`, `value` is that as plain data; without them the
last value is confirmed, or with another `state` than `live` doubted, for the reason in `error`. It was observed `age_s`
before `t`, and is true for `fresh_for_s` without further word. On a tape that is `recorded_live` each source says
itself that nothing changed; on others, what is not said to fail was read all the time.

Sources that a reader does not know are passed over. Objects have the shape of the API, slimmed to the fields that
Midwatch reads (`tape.slim`): no values of environment variables except `host:port`, no annotations but those that are
read, no managed fields.
"""

from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from situation.meta import ObjectKey
from situation.readings import SourceState

TAPE_VERSION: Final = 2
"""2 knows frames with `reading` and lists of several frames; tapes of version 1 have none and play as they did."""
LONGEST_S: Final = 10 * 366 * 86_400
"""Seconds that a tape may tell of, and ages on it: what lies beyond is damage."""
_PORT_DIGITS: Final = 5
_YEARS: Final = range(1970, 9_000)
SERVER_SOURCE: Final = "server"
LOGS_SOURCE: Final = "logs"
VERSION_SOURCE: Final = "kubernetes/version"
READYZ_SOURCE: Final = "kubernetes/readyz"
PAGE_PREFIX: Final = "page/"
GPUS_PREFIX: Final = "gpus/"


class TapeError(Exception):
    """A tape or recording that cannot be read; the message names the file, and the line where there is one."""


class NotATapeError(TapeError):
    """Some other file."""


class PageName(NamedTuple):
    """Names what a pod serves over HTTP: the source of frames with its answers."""

    namespace: str
    pod: str
    port: int
    path: str = "/metrics"
    """With the leading slash; without query."""

    @property
    def source(self) -> str:
        """The name as a frame carries it."""
        return f"{PAGE_PREFIX}{self.namespace}/{self.pod}:{self.port}{self.path}"


def page_name(source: str) -> PageName | None:
    """Read the source of a page; None for any other source."""
    namespace, _, rest = source.removeprefix(PAGE_PREFIX).partition("/")
    target, slash, path = rest.partition("/")
    pod, _, port = target.rpartition(":")
    is_port = port.isascii() and port.isdigit() and len(port) <= _PORT_DIGITS
    if not source.startswith(PAGE_PREFIX) or not (namespace and pod and slash and is_port):
        return None
    return PageName(namespace, pod, int(port), f"/{path}")


class Header(msgspec.Struct, frozen=True):
    """First line of a tape."""

    midwatch_tape: int
    """Version of the format."""
    name: str
    title: str
    started_at: datetime
    """Time of t=0, with a time zone."""
    start_at: float = 0.0
    """Seconds that are past already when the tape opens."""
    hold_at: float | None = None
    """Second at which a demo stops playing; None for the end of the tape."""
    context: str = "demo"
    """Name of the kubeconfig context it was recorded from."""
    server: str = ""
    """`gitVersion` of the API server; empty if unknown."""
    recorded_live: bool = False
    """Written by a running cockpit: of what it does not confirm nothing was heard."""
    only_namespace: str = ""
    """The one namespace that was read; empty: all were."""
    again_from: float | None = None
    """When a demo has stopped playing, what pods answered since this second comes again and again, with counters that
    go on; None: each goes on to answer what it answered last."""

    def __post_init__(self) -> None:
        if self.started_at.year not in _YEARS:
            raise ValueError(f"started_at lies in the year {self.started_at.year}")
        for name in ("start_at", "hold_at", "again_from"):
            second: float | None = getattr(self, name)
            if second is not None and not 0 <= second <= LONGEST_S:
                raise ValueError(f"{name} is no number of seconds since the start")


class ListBody(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """All objects of a kind, or a part of them."""

    items: tuple[msgspec.Raw, ...] = ()
    resource_version: str = ""
    remaining_item_count: int = 0
    """So many more objects belong to this list; they are in the next frames."""
    skipped: int = 0
    is_whole: bool = True
    broken: tuple[ObjectKey, ...] = ()
    """With `skipped` and `is_whole` as in `situation.readings.Listed`."""


class WatchEvent(msgspec.Struct, frozen=True):
    """One watch event as sent: ADDED, MODIFIED, DELETED, BOOKMARK or ERROR."""

    type: str
    object: msgspec.Raw


class Said(msgspec.Struct, frozen=True, omit_defaults=True):
    """A reading as it was understood (`situation.readings.Reading`), its value as plain data."""

    type: str = ""
    """Name of the value's type; empty for a reading without a value."""
    value: Any = None
    state: SourceState = SourceState.LIVE
    error: str = ""
    fresh_for_s: float = 150.0
    age_s: float = 0.0
    """It was observed so long before it came."""
    skipped: int = 0
    broken: tuple[ObjectKey, ...] = ()
    """Of a kind of objects, with `skipped` as in `situation.readings.Changed`."""

    def __post_init__(self) -> None:
        if not (0 <= self.age_s <= LONGEST_S and 0 <= self.fresh_for_s <= LONGEST_S):
            raise ValueError("age_s or fresh_for_s is no number of seconds")


class Frame(msgspec.Struct, frozen=True, omit_defaults=True):
    """One statement of one source.

    Exactly one of `list`, `watch`, `body`, `text`, `error`, `down` and `reading` is set.
    """

    t: float
    """Seconds since `Header.started_at`."""
    source: str
    list: ListBody | None = None
    watch: WatchEvent | None = None
    body: dict[str, Any] | None = None
    """Answer of `/version` or of etcd, or what is told of a node's GPUs."""
    status: int = 0
    """HTTP status that came with `text`; of a page, 0 means 200."""
    text: str | None = None
    error: str | None = None
    state: SourceState | None = None
    """With `error`: what it means for the source; unreachable if absent."""
    down: bool | None = None
    reading: Said | None = None
    pod: str = ""
    """With logs: `namespace/name`, or `namespace/name/container` for one of several containers."""

    def __post_init__(self) -> None:
        given = (self.list, self.watch, self.body, self.text, self.error, self.down, self.reading)
        if sum(item is not None for item in given) != 1:
            raise ValueError("a frame holds exactly one of list, watch, body, text, error, down, reading")
        if not 0 <= self.t <= LONGEST_S:
            raise ValueError("t is not a number of seconds since the start")
