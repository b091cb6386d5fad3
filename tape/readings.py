"""Readings as frames of a tape, and back: what a running cockpit writes down, and what is played to one.

Objects become `list` and `watch` frames, in the shape of the API, so that the simulator can serve such a tape too. All
else is written as it was understood, not as it was said: an API server's page has megabytes, of which a few hundred
numbers are read.
"""

import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, get_args

import msgspec
from msgspec.structs import replace

from situation.decode import BadObjectError, Name, decode_object, name_of
from situation.kinds import BY_NAME, ObjectKind
from situation.meta import KubernetesObject, ObjectKey
from situation.readings import Changed, Listed, Readiness, Reading, ServerVersion, SourceState, Value
from situation.text import harmless
from tape.format import LONGEST_S, READYZ_SOURCE, VERSION_SOURCE, Frame, ListBody, Said, TapeError, WatchEvent

READYZ_FRESH_S: Final = 30.0
_LISTED: Final = 100
"""Objects in a list frame; more follow in the next: whoever writes never holds all of a large cluster as text."""
_AGE_TOLD_S: Final = 1.0
"""Younger readings count as heard when they came."""
FRESH_S: Final = Said().fresh_for_s
_TYPES: Final[dict[str, type[msgspec.Struct]]] = {
    item.__name__: item for item in get_args(Value) if item not in (Listed, Changed)
}
"""What `reading` frames hold, by `Said.type`."""
_KEY_PARTS: Final = "\x1f"
"""Stands between the parts of a key that is a tuple: JSON knows texts only. No text of a reading holds it."""
_encode: Final = msgspec.json.Encoder().encode


def frames_of(reading: Reading, t: float, started_at: datetime) -> Iterator[Frame]:
    """Yield what a reading that came at `t` looks like on a tape; `t` in seconds since `started_at`."""
    age_s = round(t - (reading.observed_at - started_at).total_seconds(), 1)
    age_s = age_s if age_s >= _AGE_TOLD_S else 0.0
    match reading.value:
        case Listed() as listed:
            total = len(listed.objects)
            for start in range(0, max(total, 1), _LISTED):
                items = tuple(msgspec.Raw(_encode(item)) for item in listed.objects[start : start + _LISTED])
                rest = max(0, total - start - _LISTED)
                page = ListBody(items, remaining_item_count=rest)
                if not start:
                    page = replace(page, skipped=listed.skipped, is_whole=listed.is_whole, broken=listed.broken)
                yield Frame(t, reading.source, list=page)
            if age_s or reading.error or reading.fresh_for_s != FRESH_S or reading.state is not SourceState.LIVE:
                yield _said(reading, t, age_s)
        case Changed() as changed:
            kind = BY_NAME[changed.kind]
            for item in changed.upserts:
                yield Frame(t, reading.source, watch=WatchEvent("MODIFIED", msgspec.Raw(_object(item, kind))))
            for key in changed.removed:
                yield Frame(t, reading.source, watch=WatchEvent("DELETED", msgspec.Raw(deleted_object(key, kind))))
            if changed.skipped or changed.broken:
                yield Frame(t, reading.source, reading=Said(skipped=changed.skipped, broken=changed.broken))
        case None if reading.state is not SourceState.LIVE:
            yield Frame(t, reading.source, error=reading.error, state=reading.state)
        case value:
            yield _said(reading, t, age_s, value)


def reading_of(frame: Frame, started_at: datetime, kind: ObjectKind | None = None) -> Reading | None:
    """Return what a frame says, None for one that says nothing to the Situation.

    `kind` is that of the frame's source, if it is one of objects. Raises TapeError for a value that cannot be read.
    """
    at = started_at + timedelta(seconds=frame.t)
    is_served = kind is not None or frame.source in (VERSION_SOURCE, READYZ_SOURCE)
    if frame.error is not None:
        if not is_served and frame.state is None:
            return None  # what a page or a member of etcd answered: no source of ours
        return Reading(frame.source, frame.state or SourceState.UNREACHABLE, at, error=harmless(frame.error))
    if frame.watch is not None and frame.watch.type == "ERROR":
        return Reading(frame.source, SourceState.UNREACHABLE, at, error=_status_message(frame.watch.object))
    if frame.reading is not None:
        said = frame.reading
        observed_at = at - timedelta(seconds=said.age_s)
        value = _value(frame)
        if kind is not None and (said.skipped or said.broken):
            broken = _harmless_keys(said.broken)
            value = Changed(kind.name, removed=broken, skipped=said.skipped, broken=broken)
        return Reading(frame.source, said.state, observed_at, value, harmless(said.error), said.fresh_for_s)
    if kind is not None:
        objects = objects_of(frame, kind)
        return Reading(frame.source, SourceState.LIVE, at, objects) if objects is not None else None
    if frame.source == VERSION_SOURCE and frame.body is not None:
        return Reading(frame.source, SourceState.LIVE, at, ServerVersion(_git_version(frame)))
    if frame.source == READYZ_SOURCE and frame.text is not None:
        ready = Readiness(frame.status == 200, _failed_checks(frame.text))
        return Reading(frame.source, SourceState.LIVE, at, ready, fresh_for_s=READYZ_FRESH_S)
    return None


def objects_of(frame: Frame, kind: ObjectKind) -> Listed | Changed | None:
    """Return the objects that a list or watch frame brings; None for bookmarks and errors. Bad objects are told of."""
    if frame.list is not None:
        found = [_decoded(bytes(raw), kind) for raw in frame.list.items]
        objects = tuple(item for item in found if isinstance(item, KubernetesObject))
        broken = tuple(item.key for item in found if isinstance(item, Name))
        skipped = frame.list.skipped + len(found) - len(objects) - len(broken)
        return Listed(kind.name, objects, skipped, frame.list.is_whole, broken + _harmless_keys(frame.list.broken))
    if frame.watch is None or frame.watch.type not in ("ADDED", "MODIFIED", "DELETED"):
        return None
    match _decoded(bytes(frame.watch.object), kind):
        case None:
            return Changed(kind.name, skipped=1)
        case item if frame.watch.type == "DELETED":
            return Changed(kind.name, removed=(item.key,))
        case Name(key):
            return Changed(kind.name, removed=(key,), broken=(key,))
        case item:
            return Changed(kind.name, (item,))


def _harmless_keys(keys: tuple[ObjectKey, ...]) -> tuple[ObjectKey, ...]:
    return tuple((harmless(namespace), harmless(name)) for namespace, name in keys)


def _failed_checks(text: str) -> tuple[str, ...]:
    """Return the names of the checks that an answer of `/readyz?verbose` marks as failed."""
    return tuple(harmless(line[3:].split(" ", 1)[0]) for line in text.splitlines() if line.startswith("[-]"))


def _git_version(frame: Frame) -> str:
    version = (frame.body or {}).get("gitVersion", "")
    if not isinstance(version, str):
        raise _bad(frame, "gitVersion is no text")
    return harmless(version)


def _status_message(raw: msgspec.Raw) -> str:
    body: Any = msgspec.json.decode(raw)
    message = body.get("message") if isinstance(body, dict) else None
    return harmless(str(message or "the watch ended with an error"))


def _bad(frame: Frame, what: str) -> TapeError:
    return TapeError(f"bad frame at {frame.t:g} s: {frame.source}: {harmless(what)}")


def _said(reading: Reading, t: float, age_s: float, value: Value | None = None) -> Frame:
    name, plain = ("", None) if value is None else (type(value).__name__, _plain(value))
    fresh_for_s = min(reading.fresh_for_s, LONGEST_S)  # what never grows stale outlives every tape
    said = Said(name, plain, reading.state, reading.error, fresh_for_s, age_s)
    return Frame(t, reading.source, reading=said)


def _object(item: KubernetesObject, kind: ObjectKind) -> bytes:
    head = f'{{"kind":"{kind.kind}","apiVersion":"{kind.group_version}",'.encode()
    return head + _encode(item)[1:]


def deleted_object(key: ObjectKey, kind: ObjectKind) -> bytes:
    """Return what stands in a DELETED event for an object of which the name alone is known."""
    metadata = {"name": key[1]} | ({"namespace": key[0]} if key[0] else {})
    return _encode({"kind": kind.kind, "apiVersion": kind.group_version, "metadata": metadata})


def _decoded(raw: bytes, kind: ObjectKind) -> KubernetesObject | Name | None:
    try:
        return decode_object(raw, kind)
    except (BadObjectError, RecursionError):
        return name_of(raw)


def _value(frame: Frame) -> Value | None:
    said = frame.reading
    if said is None or not said.type:
        return None
    known = _TYPES.get(said.type)
    if known is None:
        raise _bad(frame, f"no reading of type {said.type!r} is known")
    try:
        return msgspec.convert(_restored(said.value), type=known, strict=False)  # type: ignore[return-value]
    except (msgspec.ValidationError, RecursionError) as error:
        raise _bad(frame, str(error)) from error


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it: structs as objects without their defaults, infinite numbers as words."""
    if isinstance(value, msgspec.Struct):
        defaults = dict(zip(reversed(value.__struct_fields__), reversed(value.__struct_defaults__), strict=False))
        pairs = ((name, getattr(value, name)) for name in value.__struct_fields__)
        return {name: _plain(item) for name, item in pairs if name not in defaults or item != defaults[name]}
    if isinstance(value, Mapping):
        return {_KEY_PARTS.join(key) if isinstance(key, tuple) else key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | frozenset):
        return [_plain(item) for item in (sorted(value) if isinstance(value, frozenset) else value)]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return msgspec.to_builtins(value)


def _restored(value: Any) -> Any:
    """Return plain data with the keys that were tuples taken apart again, and its text harmless: tapes are files."""
    if isinstance(value, dict):
        return {_restored_key(key): _restored(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_restored(item) for item in value]
    return harmless(value) if isinstance(value, str) else value


def _restored_key(key: str) -> str | tuple[str, ...]:
    parts = tuple(map(harmless, key.split(_KEY_PARTS)))
    return parts if len(parts) > 1 else parts[0]
