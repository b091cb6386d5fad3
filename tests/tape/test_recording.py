"""Raw recording folders: no header, so the time comes from the objects."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from situation.readings import SourceState
from tape.format import TapeError
from tape.player import is_playable, play
from tape.recording import Recording
from tests.build import NOW, ago, event, node, pod


def record(folder: Path, resource: str, *lines: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    text = "".join(msgspec.json.encode(line).decode() + "\n" for line in lines)
    (folder / f"{resource}.jsonl").write_text(text)
    return folder


def listed(*items: dict[str, Any], t: float = 0.0, status: int = 200, message: str = "") -> dict[str, Any]:
    body = {"metadata": {"resourceVersion": "5"}, "items": items, "message": message}
    return {"t": t, "path": "/api/v1/x", "status": status, "list": body}


def test_now_is_the_newest_stamp_of_something_that_happened(tmp_path: Path) -> None:
    leaving = pod("b")
    leaving["metadata"]["deletionTimestamp"] = ago(-600)
    record(tmp_path, "pods", listed(pod("a", age_s=300), leaving))
    record(tmp_path, "events", listed(event("Pod/a", "Failed", "x", age_s=2)))
    played = play(tmp_path)
    assert played.now == NOW.replace(second=NOW.second - 2)
    assert is_playable(tmp_path)


def test_a_stamp_from_the_future_does_not_move_now(tmp_path: Path) -> None:
    ahead = node(conditions=[{"type": "Ready", "status": "True", "lastHeartbeatTime": ago(-7200)}])
    record(tmp_path, "nodes", listed(ahead))
    created = pod("a", age_s=10)
    record(tmp_path, "pods", listed(), {"t": 3.0, "watch": {"type": "ADDED", "object": created}})
    assert play(tmp_path).now == datetime(2026, 11, 23, 2, 40, 57, tzinfo=UTC)


def test_a_creation_time_without_a_zone_is_utc(tmp_path: Path) -> None:
    bare = pod("b", age_s=10)
    bare["metadata"]["creationTimestamp"] = ago(10).removesuffix("Z")
    came = [{"t": 3.0, "watch": {"type": "ADDED", "object": created}} for created in (pod("a", age_s=11), bare)]
    record(tmp_path, "pods", listed(), *came)
    assert play(tmp_path).now == datetime(2026, 11, 23, 2, 40, 57, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        (401, SourceState.UNAUTHORIZED),
        (403, SourceState.FORBIDDEN),
        (404, SourceState.ABSENT),
        (500, SourceState.UNREACHABLE),
    ],
)
def test_a_list_that_was_refused(tmp_path: Path, status: int, state: SourceState) -> None:
    record(tmp_path, "pods", listed(pod()))
    record(tmp_path, "nodes", listed(status=status, message="no"))
    readings = {reading.source: reading for reading in play(tmp_path).readings}
    assert readings["kubernetes/nodes"].state is state
    assert "no" in readings["kubernetes/nodes"].error


def test_a_stream_that_ended(tmp_path: Path) -> None:
    record(tmp_path, "pods", listed(pod()), {"t": 9.0, "error": "reset by peer"})
    readings = [reading for reading in play(tmp_path).readings if reading.source == "kubernetes/pods"]
    assert [(reading.state, reading.error) for reading in readings] == [
        (SourceState.ABSENT, "not in the recording"),
        (SourceState.LIVE, ""),
        (SourceState.UNREACHABLE, "reset by peer"),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"t":0,"watch":{"type":"ADDED"}}\n', "line 1: not a line of a recording"),
        ('{"t":0}\n', "line 1: not a line of a recording"),
        ('{"t":0,"error":"x"}\nnonsense\n', "line 2: not a line of a recording"),
        ("", "not a recording"),
    ],
)
def test_bad_recordings(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "pods.jsonl").write_text(content)
    with pytest.raises(TapeError, match=message) as caught:
        Recording(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_last_line_that_is_cut_off(tmp_path: Path) -> None:
    record(tmp_path, "pods", listed(pod()))
    with (tmp_path / "pods.jsonl").open("a") as file:
        file.write('{"t": 4, "wat')
    played = play(tmp_path)
    assert "cut off at line 2" in played.notes[0]


def test_without_any_stamp_the_time_is_unknown(tmp_path: Path) -> None:
    record(tmp_path, "pods", listed({"metadata": {"name": "a"}}))
    with pytest.raises(TapeError, match="cannot tell when it was recorded"):
        play(tmp_path)


def test_a_folder_of_dumps_is_no_recording(tmp_path: Path) -> None:
    (tmp_path / "pods.jsonl").write_text('{"kind":"Pod","metadata":{"name":"a"}}\n')
    assert not is_playable(tmp_path)
