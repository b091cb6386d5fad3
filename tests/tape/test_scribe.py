"""Tapes that are written while things happen: whatever ends the program, what was written plays."""

import hashlib
import os
import resource
import signal
import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from situation.readings import CONFIGURED, Configured, Listed, Reading, SourceState
from situation.situation import Situation
from tape.format import TapeError
from tape.playhead import Playhead
from tape.scribe import Scribe
from tests.build import NOW, made, pod

ROOT = Path(__file__).parents[2]
WRITER = """
import sys, time
from datetime import timedelta
from pathlib import Path
from tape.scribe import Scribe
from tests.tape.test_scribe import listed
from tests.build import NOW
scribe = Scribe(Path(sys.argv[1]), NOW, title="cut off", context="prod")
for second in range(1, 4):
    scribe.write([listed(*(f"web-{number}" for number in range(second)))], NOW + timedelta(seconds=second))
print("written", flush=True)
time.sleep(60)
"""


def listed(*names: str) -> Reading:
    return Reading("kubernetes/pods", SourceState.LIVE, NOW, Listed("pods", tuple(made(pod(name)) for name in names)))


def names_at(path: Path, second: float) -> set[str]:
    situation = Situation()
    for reading in Playhead(path).until(second):
        situation.apply(reading)
    return {name for _, name in situation.pods}


def test_each_write_is_there_at_its_second(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl.gz"
    with Scribe(path, NOW, title="two pods", context="prod") as scribe:
        scribe.write([listed("web-1")], NOW + timedelta(seconds=1))
        scribe.write([listed("web-1", "web-2")], NOW + timedelta(seconds=2))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert names_at(path, 1) == {"web-1"}
    assert names_at(path, 2) == {"web-1", "web-2"}


def test_what_was_written_before_a_kill_plays(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl.gz"
    argv = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "written\n"
        os.kill(writer.pid, signal.SIGKILL)
    assert names_at(path, 3) == {"web-0", "web-1", "web-2"}
    head = Playhead(path)
    assert list(head.until(99))
    assert "cut off" in head.tape.notes[0]


def test_a_disk_that_is_full_ends_it_and_what_was_written_plays(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl.gz"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    names = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(200)]
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))  # the system refuses what comes after, as a full disk
    try:
        with pytest.raises(TapeError, match=r"cannot write: .*; what was written before stays, and plays$"):
            with Scribe(path, NOW, title="too much", context="prod") as scribe:
                scribe.write([listed("web-1")], NOW + timedelta(seconds=1))
                scribe.write([listed(*names)], NOW + timedelta(seconds=2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert names_at(path, 99) == {"web-1"}


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl.gz"
    path.write_text("mine")
    with pytest.raises(TapeError, match="nothing is overwritten"):
        Scribe(path, NOW, title="", context="")
    assert path.read_text() == "mine"


def test_what_is_configured_and_never_grows_stale_is_written_too(tmp_path: Path) -> None:
    path, named = tmp_path / "tape.jsonl.gz", Configured("gpus", only_namespace="shop")
    with Scribe(path, NOW, title="t", context="prod") as scribe:
        scribe.write([Reading(CONFIGURED, SourceState.LIVE, NOW, named, fresh_for_s=1e9)], NOW)
    situation = Situation()
    for reading in Playhead(path).until(1):
        situation.apply(reading)
    assert situation.configured == named


def test_a_tape_of_one_namespace_says_so_before_all_else(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl.gz"
    with Scribe(path, NOW, title="t", context="prod", only_namespace="shop") as scribe:
        scribe.write([listed("web-1")], NOW + timedelta(seconds=1))
    situation = Situation()
    situation.apply(next(Playhead(path).until(0)))
    assert (situation.sees_all, situation.sees("shop"), situation.sees("pay")) == (False, True, False)
