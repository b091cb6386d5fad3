"""The player: what was known at each moment of a tape or recording."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

import simulator.scenarios
from situation.readings import Readiness, Reading, SourceState
from situation.situation import Situation
from tape.format import Frame, Header, ListBody, TapeError, WatchEvent
from tape.player import is_playable, play, readings_until
from tape.writer import write_tape
from tests.build import pod

START = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
SCENARIOS = Path(simulator.scenarios.__file__).parent
HEALTHY = Path(__file__).parents[1] / "data" / "gpu_healthy.jsonl.gz"


def raw(manifest: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(manifest))


def tape(path: Path, *frames: Frame, **header: Any) -> Path:
    write_tape(path / "tape.jsonl", Header(1, "t", "t", START, **header), frames)
    return path / "tape.jsonl"


def folded(readings: tuple[Reading, ...]) -> Situation:
    known = Situation()
    for reading in readings:
        known.apply(reading)
    return known


def listed(t: float, *items: dict[str, Any]) -> Frame:
    return Frame(t, "kubernetes/pods", list=ListBody(tuple(raw(item) for item in items), "1"))


def event(t: float, kind: str, item: dict[str, Any]) -> Frame:
    return Frame(t, "kubernetes/pods", watch=WatchEvent(kind, raw(item)))


def test_events_fold_into_one_list(tmp_path: Path) -> None:
    path = tape(
        tmp_path,
        listed(0, pod("a"), pod("b")),
        event(1, "ADDED", pod("c")),
        event(2, "MODIFIED", pod("a", phase="Failed")),
        event(3, "DELETED", pod("b")),
        event(4, "BOOKMARK", {"metadata": {"resourceVersion": "9"}}),
    )
    readings, now = readings_until(path)
    known = folded(readings)
    assert now == START + timedelta(seconds=4)
    assert sorted(key[1] for key in known.pods) == ["a", "c"]
    assert known.pods["shop", "a"].status.phase == "Failed"
    assert known.sources["kubernetes/pods"].state_at(now) is SourceState.LIVE


def test_until_a_moment(tmp_path: Path) -> None:
    path = tape(tmp_path, listed(0, pod("a")), event(5, "ADDED", pod("b")))
    readings, now = readings_until(path, 3.5)
    assert len(folded(readings).pods) == 1
    assert now == START + timedelta(seconds=3.5)


def test_a_second_list_replaces_the_first(tmp_path: Path) -> None:
    readings, _ = readings_until(tape(tmp_path, listed(0, pod("a")), listed(1, pod("b"))))
    assert [key[1] for key in folded(readings).pods] == ["b"]


def test_a_kind_that_is_not_on_the_tape_is_absent_and_not_empty(tmp_path: Path) -> None:
    readings, _ = readings_until(tape(tmp_path, listed(0)))
    sources = folded(readings).sources
    assert sources["kubernetes/nodes"].state is SourceState.ABSENT
    assert sources["kubernetes/nodes"].error == "not in the recording"
    assert not sources["kubernetes/nodes"].has_value
    assert sources["kubernetes/pods"].has_value


def test_an_error_keeps_the_value_and_casts_doubt_on_it(tmp_path: Path) -> None:
    error = Frame(5, "kubernetes/pods", error="connection refused")
    readings, now = readings_until(tape(tmp_path, listed(1, pod("a")), error, Frame(9, "server", down=False)))
    source = folded(readings).sources["kubernetes/pods"]
    assert (source.state, source.error) == (SourceState.UNREACHABLE, "connection refused")
    assert source.observed_at == now - timedelta(seconds=8)
    assert len(folded(readings).pods) == 1


def test_an_error_with_its_state_and_no_value(tmp_path: Path) -> None:
    readings, _ = readings_until(tape(tmp_path, Frame(1, "kubernetes/pods", error="no", state=SourceState.FORBIDDEN)))
    source = folded(readings).sources["kubernetes/pods"]
    assert (source.state, source.has_value) == (SourceState.FORBIDDEN, False)


def test_a_list_after_an_error_is_live_again(tmp_path: Path) -> None:
    readings, _ = readings_until(tape(tmp_path, Frame(1, "kubernetes/pods", error="no"), listed(2)))
    assert folded(readings).sources["kubernetes/pods"].state is SourceState.LIVE


def test_an_error_event_of_the_watch(tmp_path: Path) -> None:
    gone = {"kind": "Status", "message": "too old resource version", "code": 410}
    readings, _ = readings_until(tape(tmp_path, listed(0), event(1, "ERROR", gone)))
    assert folded(readings).sources["kubernetes/pods"].error == "too old resource version"


def test_while_the_server_is_gone_everything_is_unreachable(tmp_path: Path) -> None:
    frames = (listed(0, pod("a")), Frame(10, "server", down=True), Frame(40, "server", down=False))
    path = tape(tmp_path, *frames)
    readings, now = readings_until(path, 30)
    source = folded(readings).sources["kubernetes/pods"]
    assert source.state is SourceState.UNREACHABLE
    assert source.observed_at == now - timedelta(seconds=20)
    readings, _ = readings_until(path)
    assert folded(readings).sources["kubernetes/pods"].state is SourceState.LIVE


def test_objects_that_do_not_decode_are_counted(tmp_path: Path) -> None:
    bad = {"metadata": {"name": 7}}
    readings, _ = readings_until(tape(tmp_path, listed(0, pod("a"), bad), event(1, "ADDED", bad)))
    known = folded(readings)
    assert (len(known.pods), known.source("pods").skipped) == (1, 2)


def test_an_object_that_does_not_decode_any_more_is_not_what_it_was(tmp_path: Path) -> None:
    bad = pod("a", status={"phase": 7})
    path = tape(tmp_path, listed(0, pod("a"), pod("b")), event(1, "MODIFIED", bad), event(2, "MODIFIED", bad),
                event(3, "DELETED", bad))  # fmt: skip
    counts = []
    for second in (0, 1, 2, 3):
        known = folded(readings_until(path, second)[0])
        counts.append((len(known.pods), known.source("pods").skipped))
    assert counts == [(2, 0), (1, 1), (1, 1), (1, 0)]


def test_text_is_made_harmless(tmp_path: Path) -> None:
    readings, _ = readings_until(tape(tmp_path, listed(0, pod("a", status={"message": "\x1b[31m"}))))
    assert folded(readings).pods["shop", "a"].status.message == "␛[31m"


def test_version_and_readiness(tmp_path: Path) -> None:
    frames = (
        Frame(0, "kubernetes/version", body={"gitVersion": "v1.35.1"}),
        Frame(1, "kubernetes/readyz", status=500, text="[+]ping ok\n[-]etcd failed: reason withheld\n"),
    )
    known = folded(readings_until(tape(tmp_path, *frames))[0])
    assert known.version is not None
    assert known.version.git_version == "v1.35.1"
    assert known.readiness == Readiness(False, ("etcd",))


def test_the_header_knows_the_version_too(tmp_path: Path) -> None:
    known = folded(readings_until(tape(tmp_path, listed(0), server="v1.34.0"))[0])
    assert known.version is not None
    assert known.version.git_version == "v1.34.0"


def test_a_bad_version_names_the_tape(tmp_path: Path) -> None:
    path = tape(tmp_path, Frame(2, "kubernetes/version", body={"gitVersion": 7}))
    with pytest.raises(TapeError, match=r"tape\.jsonl: bad frame at 2 s: kubernetes/version"):
        readings_until(path)


def test_a_cut_tape_is_played_and_says_so(tmp_path: Path) -> None:
    path = tape(tmp_path, listed(0, pod("a")), event(1, "ADDED", pod("b")))
    path.write_bytes(path.read_bytes()[:-20])
    played = play(path)
    assert len(folded(played.readings).pods) == 1
    assert "cut off at line 3" in played.notes[0]


def test_sources_of_later_programs_are_passed_over(tmp_path: Path) -> None:
    readings, now = readings_until(tape(tmp_path, listed(0), Frame(3, "vllm/metrics", text="x")))
    assert now == START + timedelta(seconds=3)
    assert "vllm/metrics" not in folded(readings).sources


def test_what_is_playable(tmp_path: Path) -> None:
    assert is_playable(tape(tmp_path, listed(0)))
    assert not is_playable(tmp_path)
    assert not is_playable(tmp_path / "none")
    dump = tmp_path / "pods.json"
    dump.write_text('{"kind":"PodList","items":[]}')
    assert not is_playable(dump)
    newer = tmp_path / "newer"
    newer.write_text('{"midwatch_tape": 9}\n')
    assert is_playable(newer), "it is a tape; playing it says what is wrong"


def test_faults_a_at_its_end() -> None:
    readings, now = readings_until(SCENARIOS / "faults_a.jsonl.gz", 98.4)
    known = folded(readings)
    assert now == datetime(2026, 11, 23, 6, 58, 33, 398000, tzinfo=UTC)
    checkout = [item for item in known.pods.values() if item.name.startswith("checkout-")]
    assert len(checkout) == 2
    for item in checkout:
        waiting = item.status.container_statuses[0].state.waiting
        assert waiting is not None
        assert waiting.reason == "CrashLoopBackOff"
        created = item.metadata.creation_timestamp
        assert created is not None
        assert 94 < (now - created).total_seconds() < 96, "the faults were applied 3 s after the start"
    assert all(age >= 0 for source in known.sources.values() if (age := source.age_s(now)) is not None)


def test_nothing_on_a_tape_lies_in_its_future() -> None:
    for path in (*SCENARIOS.glob("*.jsonl.gz"), HEALTHY):
        readings, now = readings_until(path)
        known = folded(readings)
        for item in (*known.pods.values(), *known.nodes.values()):
            created = item.metadata.creation_timestamp
            assert created is not None
            assert created <= now
        for found in known.events.values():
            assert found.last_seen is not None
            assert found.last_seen <= now + timedelta(seconds=1)


def test_healthy_recording_ends_with_gpus_and_running_servers() -> None:
    known = folded(readings_until(HEALTHY)[0])
    assert [item.status.allocatable.get("nvidia.com/gpu") for item in known.nodes.values()] == ["8"]
    assert {item.status.phase for item in known.pods.values() if item.name.startswith("vllm-")} == {"Running"}
