"""Reading and writing tapes: round trips, and a clear error for each thing that can be wrong with a file."""

import gzip
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.scenarios import open_scenario
from tape.format import Frame, Header, ListBody, NotATapeError, TapeError, WatchEvent
from tape.reader import Tape
from tape.writer import write_tape

HEADER = Header(1, "night", "A night", datetime(2026, 11, 23, 2, 0, tzinfo=UTC), 5.0, 60.0, "prod", "v1.36.2")
HEADER_LINE = msgspec.json.encode(HEADER) + b"\n"
VERSION_LINE = b'{"t":1,"source":"kubernetes/version","body":{"gitVersion":"v1.36.2"}}\n'
FRAMES = (
    Frame(0.0, "kubernetes/pods", list=ListBody((msgspec.Raw(b'{"metadata":{"name":"a"}}'),), "7")),
    Frame(0.5, "kubernetes/version", body={"gitVersion": "v1.36.2"}),
    Frame(0.5, "kubernetes/readyz", status=500, text="[-]etcd failed\n"),
    Frame(1.0, "kubernetes/pods", watch=WatchEvent("DELETED", msgspec.Raw(b'{"metadata":{"name":"a"}}'))),
    Frame(2.0, "kubernetes/nodes", error="forbidden"),
    Frame(3.0, "server", down=True),
    Frame(4.0, "server", down=False),
    Frame(5.0, "logs", text="", pod="shop/a"),
)


def plain(frame: Frame) -> Any:
    return msgspec.to_builtins(msgspec.json.decode(msgspec.json.encode(frame)))


@pytest.mark.parametrize("name", ["night.jsonl", "night.jsonl.gz"])
def test_round_trip(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    write_tape(path, HEADER, FRAMES)
    tape = Tape(path)
    assert tape.header == HEADER
    assert [plain(frame) for frame in tape.frames()] == [plain(frame) for frame in FRAMES]
    assert tape.notes == []
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_compression_is_told_by_content(tmp_path: Path) -> None:
    path = tmp_path / "night.tape"
    path.write_bytes(gzip.compress(HEADER_LINE + VERSION_LINE))
    assert len(list(Tape(path).frames())) == 1


def test_the_same_frames_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.gz", "b.gz"):
        write_tape(tmp_path / name, HEADER, FRAMES)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_writing_where_one_may_not(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match="nowhere"):
        write_tape(tmp_path / "nowhere" / "night.jsonl", HEADER, FRAMES)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"\n\n", "the file is empty"),
        (b"apiVersion: v1\nkind: Pod\n", "line 1: not a tape"),
        (b'{"kind":"PodList","items":[]}\n', "line 1: not a tape"),
        (b"\x00\x01\xff\xfe" * 40, "line 1: not a tape"),
        (gzip.compress(HEADER_LINE, mtime=0)[:12], "not a tape: a compressed file, cut off"),
    ],
)
def test_some_other_file(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "some.file"
    path.write_bytes(content)
    with pytest.raises(NotATapeError, match=message) as caught:
        Tape(path)
    assert str(path) in str(caught.value)


def test_a_newer_format(tmp_path: Path) -> None:
    path = tmp_path / "new.jsonl"
    path.write_bytes(b'{"midwatch_tape": 3, "cast": "everything else is different"}\n')
    with pytest.raises(TapeError, match=r"format version 3; this program reads up to 2") as caught:
        Tape(path)
    assert not isinstance(caught.value, NotATapeError)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (b'{"midwatch_tape":1,"name":"a","title":"b"}', "started_at"),
        (b'{"midwatch_tape":1,"name":"a","title":"b","started_at":"2026-11-23T02:00:00"}', "no time zone"),
        (b'{"midwatch_tape":1,"name":7,"title":"b","started_at":"2026-11-23T02:00:00Z"}', "name"),
    ],
)
def test_a_bad_header(tmp_path: Path, header: bytes, message: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(header + b"\n")
    with pytest.raises(TapeError, match=f"line 1: bad tape header.*{message}"):
        Tape(path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"not json\n", "bad frame"),
        (b'{"t":1,"source":"server","do', None),
        (b'{"source":"server","down":true}\n', "missing required field `t`"),
        (b'{"t":-1,"source":"server","down":true}\n', "t is not a number"),
        (b'{"t":0.5,"source":"server","down":true}\n', "t falls from 1 to 0.5"),
        (b'{"t":1,"source":"server"}\n', "exactly one"),
        (b'{"t":1,"source":"server","down":true,"error":"x"}\n', "exactly one"),
        (b'{"t":1,"source":"x","error":"\xff"}\n', "bad frame"),
    ],
)
def test_a_bad_frame_names_its_line(tmp_path: Path, line: bytes, message: str | None) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(HEADER_LINE + VERSION_LINE + line + (VERSION_LINE if message else b""))
    tape = Tape(path)
    if message is None:
        assert len(list(tape.frames())) == 1
        assert "cut off at line 3, 20" in tape.notes[0]
        return
    with pytest.raises(TapeError, match=message) as caught:
        list(tape.frames())
    assert f"{path}, line 3" in str(caught.value)


def test_a_compressed_tape_that_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "cut.gz"
    lines = b"".join(
        msgspec.json.encode(Frame(t, "logs", text=f"line {t * t}", pod="a/b")) + b"\n" for t in range(9000)
    )
    packed = gzip.compress(HEADER_LINE + lines)
    path.write_bytes(packed[: len(packed) // 2])
    tape = Tape(path)
    played = len(list(tape.frames()))
    assert 0 < played < 9000
    assert "cut off" in tape.notes[0]


def test_a_damaged_compressed_tape(tmp_path: Path) -> None:
    path = tmp_path / "damaged.gz"
    packed = bytearray(gzip.compress(HEADER_LINE + VERSION_LINE * 1000))
    packed[-8:-4] = b"\x00\x00\x00\x00"
    path.write_bytes(bytes(packed))
    with pytest.raises(TapeError, match="cannot read"):
        list(Tape(path).frames())


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(TapeError, match=r"none\.jsonl: cannot read: No such file"):
        Tape(tmp_path / "none.jsonl")


def test_blank_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "blank.jsonl"
    path.write_bytes(HEADER_LINE + b"\n" + VERSION_LINE + b"\n  \n")
    assert len(list(Tape(path).frames())) == 1


@given(content=st.binary(max_size=300), has_header=st.booleans(), packed=st.booleans())
def test_garbage_is_a_tape_error_or_nothing(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, has_header: bool, packed: bool
) -> None:
    path = tmp_path_factory.mktemp("garbage") / "tape"
    whole = (HEADER_LINE if has_header else b"") + content
    path.write_bytes(gzip.compress(whole) if packed else whole)
    try:
        tape = Tape(path)
        for frame in tape.frames():
            assert frame.t >= 0
    except TapeError as error:
        assert str(path) in str(error)


@given(cut=st.integers(min_value=0, max_value=400))
def test_any_cut_plays_what_stands_before(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    path = tmp_path_factory.mktemp("cut") / "tape"
    write_tape(path, HEADER, FRAMES)
    whole = path.read_bytes()
    path.write_bytes(whole[:cut])
    if cut < len(HEADER_LINE) - 1:
        with pytest.raises(NotATapeError):
            Tape(path)
        return
    tape = Tape(path)
    frames = list(tape.frames())
    assert [plain(frame) for frame in frames] == [plain(frame) for frame in FRAMES[: len(frames)]]
    lines = whole[:cut].splitlines(keepends=True)
    complete = sum(line.endswith(b"\n") or line + b"\n" in whole.splitlines(keepends=True) for line in lines[1:])
    assert len(frames) == complete
    assert bool(tape.notes) == (complete < len(lines) - 1)


def test_two_may_read_the_frames_of_one_tape_side_by_side() -> None:
    tape = open_scenario("faults_a")
    first, second = tape.frames(), tape.frames()
    ahead = [next(first).t for _ in range(50)]
    assert [next(second).t for _ in range(50)] == ahead
    assert sum(1 for _ in first) == sum(1 for _ in second)
