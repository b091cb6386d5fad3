"""From our types back to the API's JSON, with time stamps moved: how a tape's objects enter the cluster."""

from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any, Final

import msgspec

from simulator.cluster import Manifest
from situation.meta import KubernetesObject

Move = Callable[[datetime], datetime]

_MICRO_TIMES: Final = frozenset({"renewTime", "acquireTime", "eventTime", "lastObservedTime"})
"""Fields of type MicroTime, which clients parse with exactly six digits (apimachinery, meta/v1/micro_time.go)."""


def manifest_of(item: KubernetesObject, move: Move) -> Manifest:
    """Return the manifest of an object with every time stamp moved.

    Defaults of our types that the API server would fill in are written out, so that other clients see them; empty
    fields stay out, as in the API.
    """
    made: Manifest = _plain(item, move)
    return made


def stamp_text(stamp: datetime, *, micro: bool = False) -> str:
    """Return a UTC time as the API writes it: whole seconds, or six digits for a MicroTime."""
    return stamp.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")


def _plain(value: Any, move: Move) -> Any:
    if isinstance(value, msgspec.Struct):
        made = {}
        for attribute, name, default in _fields(type(value)):
            item = getattr(value, attribute)
            if item is None:
                continue
            if isinstance(item, datetime):
                made[name] = stamp_text(move(item), micro=name in _MICRO_TIMES)
                continue
            written = _plain(item, move)
            if written or item != default:
                made[name] = written
        return made
    if isinstance(value, tuple):
        return [_plain(item, move) for item in value]
    return value


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[tuple[str, str, Any], ...]:
    """Attribute, name on the wire and default of each field."""
    return tuple((item.name, item.encode_name, _default(item)) for item in msgspec.structs.fields(kind))


def _default(item: msgspec.structs.FieldInfo) -> Any:
    return item.default_factory() if item.default_factory is not msgspec.NODEFAULT else item.default
