"""Events of events.k8s.io in a dump are the same events as the core group's."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from collectors.dump import Dump, read_dump
from situation.cluster import Event, EventSource
from situation.readings import Listed
from tests.build import NOW, ago, event, meta

Manifest = dict[str, Any]
API = "events.k8s.io/v1"


def new_event(name: str = "web-1.1", **over: Any) -> Manifest:
    """Return an event as a reporter with the new library sends it: `eventTime`, no deprecated field."""
    return {
        "apiVersion": API,
        "kind": "Event",
        "metadata": meta(name, age_s=90),
        "regarding": {"kind": "Pod", "namespace": "shop", "name": "web-1", "uid": "uid-web-1", "fieldPath": "spec.x"},
        "type": "Warning",
        "reason": "FailedScheduling",
        "note": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
        "action": "Scheduling",
        "eventTime": "2026-11-23T02:39:37.123456Z",
        "reportingController": "default-scheduler",
        "reportingInstance": "default-scheduler-a",
        **over,
    }


def as_new(core: Manifest) -> Manifest:
    """Return how the API server shows an event of the core group in the new one."""
    return {
        "apiVersion": API,
        "kind": "Event",
        "metadata": core["metadata"],
        "regarding": core["involvedObject"],
        "type": core["type"],
        "reason": core["reason"],
        "note": core["message"],
        "eventTime": None,
        "deprecatedSource": {"component": "kubelet", "host": "node-1"},
        "deprecatedCount": core["count"],
        "deprecatedFirstTimestamp": core["firstTimestamp"],
        "deprecatedLastTimestamp": core["lastTimestamp"],
    }


def events(dump: Dump) -> list[Event]:
    (listed,) = [r.value for r in dump.readings if r.source == "kubernetes/events"]
    assert isinstance(listed, Listed)
    return [item for item in listed.objects if isinstance(item, Event)]


def read(folder: Path, *documents: Manifest) -> Dump:
    (folder / "dump.json").write_text("\n".join(json.dumps(document) for document in documents))
    return read_dump(folder / "dump.json")


def test_every_field_that_is_read(tmp_path: Path) -> None:
    series = {"count": 7, "lastObservedTime": "2026-11-23T02:41:02.000001Z"}
    dump = read(tmp_path, new_event(series=series))
    (found,) = events(dump)
    assert found.involved_object.name == "web-1"
    assert found.involved_object.uid == "uid-web-1"
    assert found.involved_object.field_path == "spec.x"
    assert (found.type, found.reason, found.reporting_component) == ("Warning", "FailedScheduling", "default-scheduler")
    assert found.message == "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    assert found.times == 7
    assert found.last_seen == dump.now == NOW - timedelta(seconds=5) + timedelta(microseconds=1)
    assert dump.notes == ()


def test_an_event_without_series_was_seen_at_its_event_time(tmp_path: Path) -> None:
    (found,) = events(read(tmp_path, new_event()))
    assert (found.times, found.event_time) == (1, found.last_seen)
    assert found.last_seen == NOW - timedelta(seconds=90) + timedelta(microseconds=123456)


def test_deprecated_fields_say_what_the_core_group_says(tmp_path: Path) -> None:
    core = event("Pod/web-1", "BackOff", "Back-off restarting failed container", count=12)
    (found,) = events(read(tmp_path, as_new(core)))
    (expected,) = events(read(tmp_path, {**core, "source": {"component": "kubelet", "host": "node-1"}}))
    assert found == expected
    assert (found.times, found.source) == (12, EventSource("kubelet", "node-1"))


@pytest.mark.parametrize("kind", ["List", "EventList"])
def test_lists(tmp_path: Path, kind: str) -> None:
    items = [new_event("a"), new_event("b"), {"kind": "Event", "apiVersion": API, "metadata": {"name": 7}}]
    if kind == "EventList":
        items = [{key: value for key, value in item.items() if key not in ("kind", "apiVersion")} for item in items]
    api_version = "v1" if kind == "List" else API
    dump = read(tmp_path, {"kind": kind, "apiVersion": api_version, "metadata": {}, "items": items})
    assert [item.name for item in events(dump)] == ["a", "b"]
    assert dump.notes == ("skipped 1 broken Event object",)


@pytest.mark.parametrize("newest_first", [False, True])
def test_the_same_event_in_both_groups_counts_once(tmp_path: Path, newest_first: bool) -> None:
    core = event("Pod/web-1", "BackOff", "Back-off restarting failed container", count=3, age_s=4)
    both = [{**core, "apiVersion": "v1"}, as_new(core)]
    dump = read(tmp_path, *(reversed(both) if newest_first else both))
    (found,) = events(dump)
    assert (found.message, found.times) == ("Back-off restarting failed container", 3)
    assert found.last_seen == dump.now == NOW - timedelta(seconds=4)


def test_its_text_is_harmless_and_other_groups_stay_unread(tmp_path: Path) -> None:
    foreign = {"kind": "Event", "apiVersion": "eventing.example/v1", "metadata": {"name": "e"}}
    dump = read(tmp_path, new_event(note="\x1b[2J"), foreign, new_event("old", apiVersion="events.k8s.io/v1beta1"))
    assert next(item.message for item in events(dump)) == "␛[2J"
    assert len(events(dump)) == 2
    assert dump.notes == ("not read: Event ×1",)


def test_what_is_broken_is_counted(tmp_path: Path) -> None:
    dump = read(tmp_path, new_event(), new_event("bad", deprecatedCount="many"), event("Pod/a", "X", "y", age_s=1))
    assert len(events(dump)) == 2
    assert dump.notes == ("skipped 1 broken Event object",)
    assert dump.now.isoformat() == ago(1).replace("Z", "+00:00")
