"""From JSON of the API to our types: one object at a time, so that one bad object costs only itself."""

import re
from functools import cache
from typing import Any, Final, NamedTuple

import msgspec

from situation.kinds import ObjectKind
from situation.meta import KubernetesObject, ObjectKey
from situation.text import harmless, harmless_object, may_hold_dangerous_text

_TIMES: Final = ("Timestamp", "Time", "At", "timeAdded")
"""How the names of fields that hold a time end (Kubernetes API conventions, "Units"; `timeAdded` is that of taints)."""
_WITHOUT_ZONE: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?")


class BadObjectError(ValueError):
    """An object that does not have the shape the API promises; the message says where."""


class Name(NamedTuple):
    """What is known of an object that cannot be decoded."""

    key: ObjectKey
    resource_version: str
    """Empty if that cannot be read."""


class _Metadata(msgspec.Struct, rename="camel"):
    name: Any = None
    namespace: Any = None
    resource_version: Any = None


class _Named(msgspec.Struct):
    metadata: _Metadata


def name_of(raw: bytes) -> Name | None:
    """Return the name of an object that cannot be decoded, None where its metadata is unsound too."""
    try:
        metadata = msgspec.json.decode(raw, type=_Named).metadata
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    if not (isinstance(metadata.name, str) and metadata.name and isinstance(metadata.namespace, str | None)):
        return None
    version = metadata.resource_version
    key = (harmless(metadata.namespace or ""), harmless(metadata.name))
    return Name(key, version if isinstance(version, str) else "")


def decode_object(raw: bytes, kind: ObjectKind) -> KubernetesObject:
    """Decode one object's JSON and make its text harmless.

    `null` stands for "absent", as everywhere in the Kubernetes API; a time without a zone, which the API server never
    writes but tools that rewrite its answers may, is UTC. Raises BadObjectError for wrong types, for JSON
    that is none, and for an object without a name.
    """
    try:
        value = _decoder(kind.type).decode(raw)
    except msgspec.ValidationError:
        value = decode_tolerantly(raw, kind)
    except msgspec.DecodeError as error:
        raise BadObjectError(f"{kind.kind}: not JSON: {harmless(str(error))}") from error
    except UnicodeDecodeError as error:
        raise BadObjectError(f"{kind.kind}: not UTF-8: {error.reason}") from error
    return checked(value, kind, raw)


def checked(value: KubernetesObject, kind: ObjectKind, raw: bytes) -> KubernetesObject:
    """Return an object decoded from `raw` with its text made harmless. Raises BadObjectError for one without a name.

    Where what was sent is suspicious, what was kept of it is looked at, encoded again: annotations alone then do not
    send a sound object the slow way.
    """
    if not value.metadata.name:
        raise BadObjectError(f"{kind.kind}: an object without metadata.name")
    if may_hold_dangerous_text(raw) and may_hold_dangerous_text(_encode(value)):
        return harmless_object(value)
    return value


_encode: Final = msgspec.json.Encoder().encode


@cache
def _decoder(type: type[KubernetesObject]) -> msgspec.json.Decoder[KubernetesObject]:
    return msgspec.json.Decoder(type)


def decode_tolerantly(raw: bytes, kind: ObjectKind) -> KubernetesObject:
    """Decode one object's JSON, nulls dropped, times in a zone, text as it is. Raises BadObjectError."""
    try:
        return convert_object(msgspec.json.decode(raw), kind)
    except msgspec.DecodeError as error:
        raise BadObjectError(f"{kind.kind}: not JSON: {harmless(str(error))}") from error
    except UnicodeDecodeError as error:  # of a text that a time was expected to be
        raise BadObjectError(f"{kind.kind}: not UTF-8: {error.reason}") from error


def convert_object(value: Any, kind: ObjectKind) -> KubernetesObject:
    """Turn plain JSON data into the kind's type, nulls dropped, times in a zone, text as it is.

    Raises BadObjectError.
    """
    try:
        return msgspec.convert(_mended(value), type=kind.type, strict=True)
    except msgspec.ValidationError as error:
        raise BadObjectError(f"{kind.kind}: {harmless(str(error))}") from error


def _mended(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _mended(_in_zone(str(key), item)) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_mended(item) for item in value if item is not None]
    return value


def _in_zone(name: str, value: Any) -> Any:
    """Return the value of a field, with `Z` behind a time that has no zone."""
    is_bare = isinstance(value, str) and name.endswith(_TIMES) and _WITHOUT_ZONE.fullmatch(value)
    return f"{value}Z" if is_bare else value
