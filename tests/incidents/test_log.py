"""The log: when it becomes an incident, and what becomes of it when the disk fails or the process dies."""

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from incidents.entries import Entry, Kind, Name
from incidents.log import QUIET, Log
from incidents.secrets import kept_text
from incidents.shelf import kept, left_open
from incidents.store import Store, read
from incidents.writer import Writer
from situation.findings import Evidence, Severity
from tests.build import NOW
from tests.incidents.build import at, begun, entry

ROOT = Path(__file__).parents[2]
GRAVE = (Severity.CRITICAL, Severity.WARNING)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "incidents"


def until(met: Callable[[], bool], deadline_s: float = 10.0) -> None:
    """Wait for the thread that writes."""
    end = time.monotonic() + deadline_s
    while not met():
        assert time.monotonic() < end
        time.sleep(0.005)


def looks(log: Log, seconds: float, *stands: Entry) -> None:
    """Let the log look around while these stand."""
    log.look(at(seconds), lambda: stands, is_grave=any(item.severity in GRAVE for item in stands))


def close(log: Log) -> None:
    log.close(entry(Kind.CLOSED, seconds=99))


@pytest.mark.parametrize(
    ("made", "begins"),
    [
        (begun(severity=Severity.CRITICAL), True),
        (begun(severity=Severity.WARNING), True),
        (begun(severity=Severity.INFO), False),
        (entry(Kind.NOTE), True),
        (entry(Kind.COPIED), False),
        (entry(Kind.LOST), False),
    ],
)
def test_a_quiet_cluster_leaves_no_file(folder: Path, made: object, begins: bool) -> None:
    log = Log(folder, "prod")
    log.add(entry(Kind.OPENED, seconds=-9))
    assert log.add(made)  # type: ignore[arg-type]
    assert bool(log.status) == begins
    close(log)
    assert folder.exists() == begins
    if begins:
        (item,) = kept(folder)
        assert item.incident is not None
        assert [found.kind for found in item.incident.entries] == [Kind.OPENED, made.kind, Kind.CLOSED]  # type: ignore[attr-defined]
        assert item.incident.began == NOW


def test_what_comes_before_an_incident_is_bounded_and_keeps_its_first_entry(folder: Path) -> None:
    log = Log(folder)
    log.add(entry(Kind.OPENED, "first"))
    for number in range(500):
        log.add(entry(Kind.LOST, str(number)))
    assert len(log.entries) == 200
    assert (log.entries[0].text, log.entries[-1].text) == ("first", "499")


def test_a_cause_that_comes_back_replaces_its_entry_on_disk_too(folder: Path) -> None:
    log = Log(folder, "prod")
    log.add(entry(Kind.OPENED))
    log.add(begun())
    log.add(entry())
    log.add(begun(times=2), again=True)
    close(log)
    (item,) = kept(folder)
    assert item.incident is not None
    assert [(found.kind, found.times) for found in item.incident.entries][:3] == [
        (Kind.OPENED, 0),
        (Kind.APPEARED, 2),
        (Kind.NOTE, 0),
    ]


def test_no_secret_and_no_escape_sequence_is_kept(folder: Path) -> None:
    log = Log(folder, "prod")
    secret = Evidence("401: Authorization: Bearer abcdefghijkl", "kubernetes/pods")
    log.add(begun(text="\x1b]52;c;x\a https://me:hunter2@host", evidence=(secret,)))
    log.add(entry(text="the password=hunter2 is --token s3cr3tvalue"))
    close(log)
    (path,) = folder.iterdir()
    content = path.read_bytes()
    assert not any(word in content for word in (b"\x1b]", b"hunter2", b"abcdefghijkl", b"s3cr3tvalue"))
    assert b"Bearer [masked]" in content


def test_the_limit_of_entries_is_said_and_kept(folder: Path) -> None:
    log = Log(folder, "prod", entry_limit=10)
    taken = [log.add(begun(number, key=str(number))) for number in range(30)]
    assert taken == [True] * 9 + [False] * 21
    assert log.status == "log full"
    assert log.entries[-1].kind is Kind.FULL
    close(log)
    (item,) = kept(folder)
    assert item.incident is not None
    assert len(item.incident.entries) == 10
    assert item.incident.ended == at(99)


def test_the_next_log_begins_with_the_sources_that_are_lost_and_keeps_the_names_for_redaction(folder: Path) -> None:
    log, hour = Log(folder, "prod"), QUIET.total_seconds()
    weak = begun(1, "i", Severity.INFO)
    log.add(begun(1, "i", Severity.INFO, names=(Name("pod", "web-1"),)))
    log.add(begun(2, "k"))
    log.add(entry(Kind.CLEARED, seconds=3, key="k", severity=Severity.CRITICAL))
    lost = entry(Kind.LOST, "pods: unreachable", seconds=9, key="kubernetes/pods")
    log.add(lost)
    looks(log, 10, weak, lost)
    until(lambda: log.id != "")
    looks(log, 20 + hour, weak, lost)
    assert [(item.kind, item.key) for item in log.entries[1:]] == [
        (Kind.APPEARED, "i"),
        (Kind.LOST, "kubernetes/pods"),
    ]
    assert log.entries[1].names == (Name("pod", "web-1"),)
    log.add(entry(Kind.BACK, "pods", seconds=30 + hour, key="kubernetes/pods"))
    log.add(begun(31 + hour, "k"))
    close(log)
    later = read(kept(folder)[0].path)
    kinds = [item.kind for item in later.entries if item.key == "kubernetes/pods"]
    assert kinds == [Kind.LOST, Kind.BACK]


def test_a_quiet_incident_is_over_and_the_next_cause_begins_another(folder: Path) -> None:
    log, hour = Log(folder, "prod"), QUIET.total_seconds()
    small = begun(1, "i", Severity.INFO, text="weak set-up")
    log.add(small)
    log.add(begun(2, "k"))
    looks(log, hour + 100, small, begun(2, "k"))
    log.add(entry(Kind.CLEARED, seconds=hour + 200, key="k", severity=Severity.CRITICAL))
    log.add(entry(Kind.NOTE, seconds=hour + 300, who="anna"))
    log.add(entry(Kind.LOST, seconds=hour + 900))
    until(lambda: log.id != "")
    first = log.id
    looks(log, 2 * hour + 299, small)
    assert log.id == first
    looks(log, 2 * hour + 301, small)
    assert (log.id, log.status) == ("", "")
    assert list(log.news()) == [f"{first} was quiet for 60m: its log is closed."]
    assert [item.kind for item in log.entries] == [Kind.OPENED, Kind.APPEARED]
    looks(log, 9 * hour, small)
    log.add(entry(Kind.CLEARED, seconds=9 * hour, key="i", severity=Severity.INFO))
    log.add(begun(9 * hour + 1, "k"))
    close(log)
    later, before = (read(item.path) for item in kept(folder))
    assert before.id == first
    assert (before.entries[-1].kind, before.ended) == (Kind.CLOSED, at(2 * hour + 301))
    assert [item.kind for item in later.entries] == [
        Kind.OPENED,
        Kind.APPEARED,
        Kind.CLEARED,
        Kind.APPEARED,
        Kind.CLOSED,
    ]
    assert later.began == at(9 * hour + 1)


def test_an_incident_that_the_disk_does_not_take_is_not_ended(folder: Path) -> None:
    folder.write_text("in the way")
    log = Log(folder, "prod")
    log.add(begun())
    until(lambda: bool(log.problem))
    looks(log, 2 * QUIET.total_seconds())
    looks(log, 4 * QUIET.total_seconds())
    assert len(log.entries) == 1 and log.problem


def test_a_full_log_ends_with_its_incident_too(folder: Path) -> None:
    log = Log(folder, "prod", entry_limit=3)
    for number in range(5):
        log.add(begun(number, key=str(number)))
    assert log.is_full
    until(lambda: log.id != "")
    looks(log, 10)
    looks(log, 10 + QUIET.total_seconds())
    assert not log.is_full and log.add(begun(9_999))
    close(log)
    assert len(kept(folder)) == 2


def test_the_limit_of_bytes_is_noticed(folder: Path) -> None:
    writer = Writer(folder, "prod", NOW, size_limit_bytes=20_000)
    for number in range(30):
        writer.put(number, entry(text="x" * 1000))
    until(lambda: writer.written.is_full)
    writer.end(at(1))


def test_a_fault_of_ours_is_said_and_the_writer_goes_on(folder: Path) -> None:
    writer = Writer(folder, "prod", NOW)
    writer.put(0, entry(text="\ud800"))  # what `kept_text` lets nobody pass
    until(lambda: "internal error in the log of the incident: UnicodeEncodeError" in writer.written.problem)
    writer.put(0, entry(text="fine"))
    until(lambda: not writer.written.problem)
    writer.end(at(1))
    assert [item.text for item in read(folder / f"{writer.written.id}.db").entries] == ["fine"]


def test_a_folder_that_cannot_be_written_is_said_once_and_tried_again(tmp_path: Path) -> None:
    folder = tmp_path / "incidents"
    folder.write_text("in the way")
    log = Log(folder, "prod")
    log.add(begun())
    until(lambda: bool(log.problem))
    assert log.status == "log in memory only"
    (said,) = log.news()
    assert "in memory only" in said and str(folder) in said
    log.add(entry())
    assert not list(log.news())
    assert len(log.entries) == 2
    folder.unlink()
    log.add(entry())
    until(lambda: not log.problem and log.id != "")
    assert list(log.news()) == ["The log is on disk again, with all that was in memory."]
    close(log)
    (item,) = kept(folder)
    assert item.incident is not None
    assert len(item.incident.entries) == 4


def test_a_locked_file_is_waited_for_in_memory(folder: Path) -> None:
    log = Log(folder, "prod")
    log.add(begun())
    until(lambda: log.id != "")
    other = sqlite3.connect(folder / f"{log.id}.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    log.add(entry(text="while locked"))
    until(lambda: "locked" in log.problem)
    other.execute("ROLLBACK")
    other.close()
    log.add(entry(text="after"))
    until(lambda: not log.problem)
    close(log)
    (item,) = kept(folder)
    assert item.incident is not None
    assert [found.text for found in item.incident.entries[1:3]] == ["while locked", "after"]


def test_a_file_that_somebody_put_in_its_place_is_left_and_all_goes_into_a_new_one(folder: Path) -> None:
    log = Log(folder, "prod")
    log.add(begun())
    until(lambda: log.id != "")
    path = folder / f"{log.id}.db"
    path.rename(folder / "taken-away")
    path.write_text("something else")
    log.add(entry(text="later"))
    until(lambda: log.id.endswith("-2"))
    (said,) = log.news()
    assert "another file stands in its place" in said
    close(log)
    assert path.read_text() == "something else"
    assert [item.text for item in read(folder / f"{log.id}.db").entries][:2] == ["web-1 crashes", "later"]


FULL = """
import resource, signal, sys, time
from pathlib import Path
from incidents.log import QUIET, Log
from incidents.secrets import kept_text
from incidents.shelf import kept
from tests.incidents.build import begun, entry
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))
folder = Path(sys.argv[1])
log = Log(folder, "prod")
log.add(begun())
deadline = time.monotonic() + 10
while not log.problem and time.monotonic() < deadline:
    log.add(entry(text="x" * 1900))
    time.sleep(0.001)
print(log.status, "|", log.problem)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.add(entry(text="room again"))
while log.problem and time.monotonic() < deadline:
    time.sleep(0.001)
log.close(entry(text="end"))
(item,) = kept(folder)
print(item.incident.entries == log.entries, item.incident.entries[-2].text)
"""


def test_a_file_that_may_not_grow_loses_nothing(folder: Path) -> None:
    """The limit on the size of files stands for a full disk: what is written fails in the same calls."""
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(folder)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.splitlines()
    assert first.startswith("log in memory only | "), first
    assert str(folder) in first
    assert second == "True room again"


KILLED = """
import sys, time
from pathlib import Path
from incidents.log import QUIET, Log
from incidents.secrets import kept_text
from tests.incidents.build import begun, entry
log = Log(Path(sys.argv[1]), "prod")
log.add(begun())
for number in range(100_000):
    log.add(entry(text=str(number)))
    print(number, time.monotonic(), flush=True)
    time.sleep(0.002)
"""


def test_a_killed_cockpit_loses_the_last_second_at_most_and_can_be_resumed(folder: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", KILLED, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    lines = [child.stdout.readline() for _ in range(400)]
    killed_at = time.monotonic()
    child.send_signal(signal.SIGKILL)
    lines += child.stdout.readlines()
    child.stdout.close()
    child.wait()
    added = [(int(number), float(moment)) for number, moment in (line.split() for line in lines if line.count(" "))]
    found = left_open(folder, "prod")
    assert found is not None and found.incident is not None
    there = {item.text for item in found.incident.entries}
    assert all(str(number) in there for number, moment in added if moment < killed_at - 1.0)
    assert len(there) > 1
    log = Log(folder, "prod", resumed=found.incident, path=found.path)
    log.add(entry(Kind.RESUMED, "again", 60))
    close(log)
    again = read(found.path)
    assert [item.text for item in again.entries][-2:] == ["again", "something"]
    assert len(again.entries) == len(found.incident.entries) + 2
    assert again.ended == at(99)


def test_a_damaged_file_that_was_to_be_resumed_is_left_and_a_new_one_begun(folder: Path) -> None:
    store = Store.create(folder, "prod", NOW)
    store.put(0, begun())
    store.close()
    incident, path = read(store.path), store.path
    path.write_bytes(b"broken" * 1000)
    log = Log(folder, "prod", resumed=incident, path=path)
    log.add(entry(text="more"))
    until(lambda: log.id.endswith("-2"))
    close(log)
    assert path.read_bytes() == b"broken" * 1000
    assert [item.text for item in read(folder / f"{log.id}.db").entries][:2] == ["web-1 crashes", "more"]


@pytest.mark.parametrize("text", ["a" * 200_000, "a-" * 100_000, "password" * 30_000, "eyJ" * 70_000, "a://" * 50_000])
def test_a_text_without_end_is_cut_at_once(text: str) -> None:
    started = time.process_time()
    assert len(kept_text(text, 2000)) <= 2000
    assert time.process_time() - started < 1.0
