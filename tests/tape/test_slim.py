"""Slimming: what a tape keeps, and above all what it does not."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from situation.decode import BadObjectError, decode_object
from situation.kinds import BY_NAME
from tape.format import Frame, ListBody, Said, TapeError, WatchEvent
from tape.reader import Tape
from tape.slim import main, slim_frames, slim_object
from tests.build import pod

PODS = BY_NAME["pods"]


def slim(manifest: dict[str, Any], **over: bool) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(slim_object(msgspec.json.encode(manifest), PODS, **over))
    return found


def test_secrets_and_ballast_stay_out() -> None:
    manifest = pod(
        container={"env": [{"name": "PASSWORD", "value": "hunter2"}, {"name": "DB", "value": "db.shop:5432"}]}
    )
    manifest["metadata"] |= {"annotations": {"token": "hunter2"}, "managedFields": [{"manager": "hunter2"}]}
    found = slim(manifest)
    assert "hunter2" not in msgspec.json.encode(found).decode()
    assert found["spec"]["containers"][0]["env"] == [{"name": "PASSWORD"}, {"name": "DB", "value": "db.shop:5432"}]


def test_everything_that_is_read_stays() -> None:
    raw = msgspec.json.encode(pod(status={"message": "evicted\x1b[31m"}))
    assert decode_object(slim_object(raw, PODS), PODS) == decode_object(raw, PODS)
    assert "evicted\x1b[31m" in slim(msgspec.json.decode(raw))["status"]["message"], "a tape keeps the text as it was"


def test_slimming_twice_changes_nothing() -> None:
    once = slim_object(msgspec.json.encode(pod()), PODS)
    assert slim_object(once, PODS) == once


def test_kind_stands_in_watch_objects_and_not_in_list_items() -> None:
    assert (slim(pod())["kind"], slim(pod())["apiVersion"]) == ("Pod", "v1")
    assert "kind" not in slim(pod(), in_list=True)


def test_nulls_count_as_absent() -> None:
    assert "ownerReferences" not in slim({"metadata": {"name": "a", "ownerReferences": None}})["metadata"]


@pytest.mark.parametrize("raw", [b"[]", b"7", b'{"metadata":{"name":7}}', b"{", b"\xff"])
def test_what_is_no_object(raw: bytes) -> None:
    with pytest.raises(BadObjectError, match="Pod"):
        slim_object(raw, PODS)


def test_frames_with_objects_that_do_not_decode() -> None:
    good, bad = msgspec.Raw(b'{"metadata":{"name":"a"}}'), msgspec.Raw(b'{"metadata":{"name":7}}')
    broken = msgspec.Raw(b'{"metadata":{"name":"b","namespace":"shop"},"status":7}')
    frames = [
        Frame(0, PODS.source, list=ListBody((bad, good, broken), "5")),
        Frame(1, PODS.source, watch=WatchEvent("ADDED", bad)),
        Frame(1, PODS.source, watch=WatchEvent("MODIFIED", broken)),
        Frame(1, PODS.source, watch=WatchEvent("DELETED", broken)),
        Frame(
            2, PODS.source, watch=WatchEvent("BOOKMARK", msgspec.Raw(b'{"metadata":{"resourceVersion":"9"},"spec":{}}'))
        ),
        Frame(3, "gpu/else", text="as it is"),
    ]
    listed, nameless, changed, gone, bookmark, other = slim_frames(frames)
    assert listed.list is not None
    assert (len(listed.list.items), listed.list.resource_version) == (1, "5")
    assert (listed.list.skipped, listed.list.broken) == (1, (("shop", "b"),))
    assert (nameless.reading, changed.reading) == (Said(skipped=1), Said(broken=(("shop", "b"),)))
    assert gone.watch is not None
    assert msgspec.json.decode(gone.watch.object)["metadata"] == {"name": "b", "namespace": "shop"}
    assert bookmark.watch is not None
    assert msgspec.json.decode(bookmark.watch.object)["metadata"] == {"resourceVersion": "9"}
    assert other is frames[-1]


def test_command_turns_a_recording_into_a_tape(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "night"
    folder.mkdir()
    created = {"name": "a", "creationTimestamp": "2026-11-23T02:00:07Z"}
    watch = {"t": 7.25, "watch": {"type": "ADDED", "object": {"metadata": created}}}
    listed = {
        "t": 0.1,
        "path": "/api/v1/pods",
        "status": 200,
        "list": {"metadata": {"resourceVersion": "1"}, "items": []},
    }
    (folder / "pods.jsonl").write_text("".join(msgspec.json.encode(line).decode() + "\n" for line in (listed, watch)))
    (folder / "widgets.jsonl").write_text("{}\n")
    out = tmp_path / "night.jsonl.gz"
    assert main([str(folder), str(out), "--title", "A night", "--server", "v1.36.2"]) == 0
    assert "widgets.jsonl" in capsys.readouterr().err
    tape = Tape(out)
    assert (tape.header.name, tape.header.title, tape.header.server) == ("night", "A night", "v1.36.2")
    assert tape.header.started_at.isoformat() == "2026-11-23T01:59:59.750000+00:00"
    assert [frame.t for frame in tape.frames()] == [0.1, 7.25]


def test_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), str(tmp_path / "out")]) == 1
    assert "not a recording" in capsys.readouterr().err
    with pytest.raises(TapeError):
        Tape(tmp_path / "out")
