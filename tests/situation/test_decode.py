import builtins
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.new_events import NEW_EVENTS
from situation.decode import BadObjectError, Name, _in_zone, decode_object, name_of
from situation.kinds import BY_NAME, KINDS
from situation.meta import Time
from situation.pods import Pod

PODS = BY_NAME["pods"]


def test_nulls_stand_for_absent() -> None:
    raw = b'{"metadata":{"name":"a","labels":null},"spec":{"containers":null,"nodeName":null},"status":{"phase":null}}'
    pod = decode_object(raw, PODS)
    assert isinstance(pod, Pod)
    assert pod.metadata.labels == {}
    assert pod.spec.containers == ()


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"{}", "without metadata.name"),
        (b'{"metadata":{"name":7}}', "metadata.name"),
        (b'{"metadata":{"name":"a"},"spec":{"containers":"none"}}', "containers"),
        (b'{"metadata":{"name":"a"},"status":{"containerStatuses":[{"name":"c","restartCount":"3"}]}}', "restartCount"),
        (b'{"metadata":{"name":"a"', "not JSON"),
        (b'{"metadata":{"name":"\xff"}}', "UTF-8|JSON"),
        (b"<html>", "not JSON"),
    ],
)
def test_a_bad_object_says_where(raw: bytes, says: str) -> None:
    with pytest.raises(BadObjectError, match=says):
        decode_object(raw, PODS)


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b'{"metadata":{"name":"a","namespace":"shop","resourceVersion":"7"},"spec":5}', Name(("shop", "a"), "7")),
        (b'{"metadata":{"name":"a","namespace":null,"labels":5,"resourceVersion":7}}', Name(("", "a"), "")),
        (b'{"metadata":{"name":"\\u001b[2J"}}', Name(("", "␛[2J"), "")),
        (b'{"metadata":{"name":7}}', None),
        (b'{"metadata":{"name":"a","namespace":7}}', None),
        (b'{"metadata":{}}', None),
        (b'{"metadata":5}', None),
        (b"[" * 5000, None),
        (b'"\xff', None),
    ],
)
def test_the_name_of_what_does_not_decode(raw: bytes, name: Name | None) -> None:
    assert name_of(raw) == name


@given(st.binary())
def test_garbage_is_never_another_error(raw: bytes) -> None:
    for kind in KINDS[:3]:
        with pytest.raises(BadObjectError):
            decode_object(raw, kind)


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("postgres://user:secret@db.shop:5432/orders", "db.shop:5432"),
        ("redis:6379", "redis:6379"),
        ("http://search:9200", "search:9200"),
        ("s3cr3t", ""),
        ("a:b:c", ""),
        ("token=abc:123xyz", ""),
    ],
)
def test_env_values_are_dropped_except_for_an_address(value: str, kept: str) -> None:
    raw = b'{"metadata":{"name":"a"},"spec":{"containers":[{"name":"c","env":[{"name":"X","value":"%s"}]}]}}'
    pod = decode_object(raw % value.encode(), PODS)
    assert isinstance(pod, Pod)
    assert pod.spec.containers[0].env[0].value == kept


@pytest.mark.parametrize("zone", ["Z", "+00:00", ""])
def test_times_are_aware_and_without_a_zone_in_utc(zone: str) -> None:
    raw = b'{"metadata":{"name":"a","creationTimestamp":"2026-11-23T06:56:58%s"}}' % zone.encode()
    assert decode_object(raw, PODS).metadata.creation_timestamp == datetime(2026, 11, 23, 6, 56, 58, tzinfo=UTC)


def _structs(type: Any) -> Iterator[type[msgspec.Struct]]:
    """Yield the struct types of which a type is made."""
    for part in get_args(type):
        yield from _structs(part)
    if isinstance(type, builtins.type) and issubclass(type, msgspec.Struct):
        yield type
        for field in msgspec.structs.fields(type):
            yield from _structs(field.type)


def test_every_field_that_holds_a_time_gets_a_zone() -> None:
    stamp = "2026-11-23T06:56:58.5"
    told = set()
    for kind in (*KINDS, NEW_EVENTS):
        for struct in _structs(kind.type):
            for field in msgspec.structs.fields(struct):
                assert datetime not in get_args(field.type), f"{struct.__name__}.{field.name} takes a time without zone"
                if Time in get_args(field.type):
                    told.add(field.encode_name)
    assert {"creationTimestamp", "lastTimestamp", "startedAt", "renewTime", "timeAdded"} < told
    assert all(_in_zone(name, stamp) == f"{stamp}Z" for name in told)
    assert _in_zone("message", stamp) == stamp


def test_what_is_no_time_is_a_bad_object() -> None:
    with pytest.raises(BadObjectError, match="creationTimestamp"):
        decode_object(b'{"metadata":{"name":"a","creationTimestamp":"yesterday"}}', PODS)
