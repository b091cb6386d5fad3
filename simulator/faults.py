"""What can go wrong, as switches that tests turn while the server runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import msgspec


class Request(NamedTuple):
    """A request as the server saw it."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Case-insensitive."""


@dataclass
class Answer:
    """A scripted answer to requests whose path starts with `path` and whose query holds `query`."""

    path: str
    status: int = 200
    body: bytes | str | Mapping[str, Any] = b""
    """Bytes and text are sent as they are, a mapping as JSON."""
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    """A value of `*` asks only that the key is there."""
    times: int | None = 1
    """How often it answers; None for ever."""

    def matches(self, path: str, query: Mapping[str, str]) -> bool:
        """Tell whether it answers this request."""
        return path.startswith(self.path) and all(
            key in query and value in ("*", query[key]) for key, value in self.query.items()
        )

    def encoded(self) -> bytes:
        """The body as bytes."""
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else msgspec.json.encode(self.body)


@dataclass
class Faults:
    """Switches; everything is off at first."""

    streaming_list: Literal["ok", "error-event", "refused"] = "ok"
    """`error-event`: HTTP 200 and one ERROR event (etcd 3.5.1 behind 1.36). `refused`: HTTP 422."""
    answers: list[Answer] = field(default_factory=list)
    """The first that matches answers; spent ones are removed."""
    hang: list[str] = field(default_factory=list)
    """Path prefixes that are accepted and never answered."""
    raw_lines: dict[str, list[bytes]] = field(default_factory=dict)
    """Kind name to bytes that an open watch of that kind sends, once and in order, the next time it wakes."""
    expire_watches: Literal["", "status", "event"] = ""
    """The next watch that names a version gets 410: as HTTP status, or as an ERROR event. Then the switch goes back."""
    forbid: set[str] = field(default_factory=set)
    """Kind names (`pods`, `nodeleases`) answered with 403; `pods/proxy` for the proxy to pods alone."""
    absent: set[str] = field(default_factory=set)
    """Kind names the server does not have: plain-text 404."""
    unauthorized: bool = False
    """Every token is refused with 401."""
    html: bool = False
    """A proxy's login page answers everything, with 200."""
    bookmark_every_s: float = 60.0
    freeze_etcd: bool = False
    """Lists from the watch cache (`resourceVersion=0`) work, others hang, then 504; `/readyz` and `/livez` fail."""
    etcd_check_s: float = 2.0
    """How long `/readyz` and `/livez` wait for an etcd that is frozen (`--etcd-healthcheck-timeout`)."""
    freeze_timeout_s: float = 60.0
    """How long requests that need etcd hang before the 504."""
