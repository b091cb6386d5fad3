"""The playhead: what was said up to a second of a tape, however the tape was made and whatever became of it."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from situation.readings import Listed, Reading, SourceState
from situation.situation import Situation
from tape.format import LONGEST_S, Frame, Header, ListBody, TapeError, WatchEvent
from tape.playhead import Playhead
from tape.readings import frames_of
from tape.scribe import Scribe
from tape.writer import write_tape
from tests.build import NOW, made, pod

PODS = "kubernetes/pods"
HEADER = '{"midwatch_tape":2,"name":"a","title":"b","started_at":"2026-11-24T02:41:00Z"}\n'
LIST = '{"t":1,"source":"kubernetes/pods","list":{"items":[{"metadata":{"name":"a","namespace":"b"}}]}}\n'


def tape(folder: Path, *frames: Frame, **header: Any) -> Path:
    write_tape(folder / "tape.jsonl", Header(1, "t", "t", NOW, **header), frames)
    return folder / "tape.jsonl"


def listed(t: float, *names: str) -> Frame:
    items = tuple(msgspec.Raw(msgspec.json.encode(pod(name))) for name in names)
    return Frame(t, PODS, list=ListBody(items))


def known_at(head: Playhead, second: float) -> Situation:
    situation = Situation()
    for reading in head.until(second):
        situation.apply(reading)
    return situation


def test_while_the_api_server_is_gone_nothing_is_confirmed(tmp_path: Path) -> None:
    path = tape(tmp_path, listed(0, "a"), Frame(10, "server", down=True), Frame(400, "server", down=False))
    for second in (11.0, 75.0, 399.0):
        head, situation = Playhead(path), Situation()
        for step in (second / 2, second):
            for reading in head.until(step):
                situation.apply(reading)
        source = situation.source("pods")
        assert (source.state, source.observed_at) == (SourceState.UNREACHABLE, NOW + timedelta(seconds=10))
    assert known_at(Playhead(path), 401).source("pods").state is SourceState.LIVE


def test_an_error_of_the_watch_is_told(tmp_path: Path) -> None:
    gone = msgspec.Raw(b'{"kind":"Status","message":"too old resource version","code":410}')
    head = Playhead(tape(tmp_path, listed(0, "a"), Frame(1, PODS, watch=WatchEvent("ERROR", gone))))
    assert known_at(head, 2).source("pods").error == "too old resource version"


def test_what_pods_answer_is_no_source_of_ours(tmp_path: Path) -> None:
    page = Frame(1, "page/shop/a:8000/metrics", error="connection refused")
    assert page.source not in known_at(Playhead(tape(tmp_path, listed(0, "a"), page)), 2).sources


def test_a_list_that_was_cut_off_says_nothing(tmp_path: Path) -> None:
    """At each byte: all that is known is one of the whole lists."""
    path = tmp_path / "whole.jsonl"
    lists = [[f"web-{number}" for number in range(count)] for count in (3, 250)]
    frames: list[Frame] = []
    for second, names in enumerate(lists):
        value = Listed("pods", tuple(made(pod(name)) for name in names))
        frames += frames_of(Reading(PODS, SourceState.LIVE, NOW, value), float(second), NOW)
    assert len(frames) > 3, "the long list takes several frames"
    write_tape(path, Header(2, "t", "t", NOW), frames)
    whole, seen = path.read_bytes(), set()
    first = whole.index(b"\n") + 1
    for length in range(first, len(whole), 997):
        cut = tmp_path / "cut.jsonl"
        cut.write_bytes(whole[:length])
        seen.add(len(known_at(Playhead(cut), 9).pods))
    assert seen == {0, 3}
    assert len(known_at(Playhead(path), 9).pods) == 250


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"t":0.5,"source":"server","down":true}', "t falls from 1 to 0.5"),
        ('{"t":2,"source":"kubernetes/livez","reading":{"type":"Surprise","value":{}}}', "Surprise"),
        ('{"t":2,"source":"kubernetes/pods","reading":{"age_s":1e300}}', "age_s"),
        ('{"t":2,"source":"kubernetes/version","body":{"gitVersion":7}}', "gitVersion"),
        ('{"t":2,"source":"x","body":{"a":' + "[" * 5000 + "]" * 5000 + "}}", "recursion"),
        (f'{{"t":{LONGEST_S * 2},"source":"server","down":true}}', "t is not a number"),
        ("junk", "malformed"),
    ],
)
def test_damage_ends_a_tape_and_is_told(line: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    path.write_text(HEADER + LIST + line + "\n" + LIST.replace('"t":1', '"t":3'))
    head = Playhead(path)
    assert len(known_at(head, 99).pods) == 1, "what stands before is used"
    assert head.is_at_end
    assert str(path) in head.damage
    assert said in head.damage
    assert head.notes == (f"{head.damage}; what stands before is used",)


@pytest.mark.parametrize("header", ['"start_at":-1', '"start_at":1e300', '"hold_at":1e300'])
def test_a_header_with_impossible_times_is_refused(header: str, tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    path.write_text(HEADER.replace("}", f",{header}}}"))
    with pytest.raises(TapeError, match="bad tape header"):
        Playhead(path)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TapeError, match="a pipe"):
        Playhead(tmp_path / "pipe")


def test_text_of_a_tape_is_harmless(tmp_path: Path) -> None:
    lines = (
        '{"t":1,"source":"kubernetes/pods","error":"\\u001b[31mred"}\n'
        '{"t":1,"source":"kubernetes/livez","reading":{"type":"Liveness","value":{"alive":false,"failed":["\\u001b"]}}}\n'
    )
    path = tmp_path / "tape.jsonl"
    path.write_text(HEADER.replace("}", ',"server":"\\u001b[31m"}') + lines)
    assert "\\x1b" not in repr(list(Playhead(path).until(9)))


def test_live_tapes_confirm_nothing_that_was_not_heard(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl.gz"
    with Scribe(path, NOW, title="t", context="c") as scribe:
        scribe.write([Reading(PODS, SourceState.LIVE, NOW, Listed("pods", ()))], NOW)
        later = NOW + timedelta(seconds=600)
        scribe.write([Reading("kubernetes/nodes", SourceState.LIVE, later, Listed("nodes", ()))], later)
    known = known_at(Playhead(path), 600)
    assert known.source("pods").state_at(NOW + timedelta(seconds=600)) is SourceState.STALE
