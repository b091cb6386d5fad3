"""The ring: what it holds plays as it was, and it stays within its bounds."""

import stat
from collections.abc import Iterable
from datetime import datetime, timedelta
from math import inf
from pathlib import Path
from threading import Event, Thread

import pytest

from diagnosis.xids import XID_FRESH
from situation.api_load import latency_by_verb, observed
from situation.api_server import ApiServerPage, ApiServerReading
from situation.gpu.devices import GpuDevice, GpuReading, NodeDevices
from situation.histograms import Histogram
from situation.kinds import KINDS
from situation.readings import Changed, Listed, Readiness, Reading, SourceState
from situation.situation import Situation
from tape.format import TapeError
from tape.playhead import Playhead
from tape.ring import Ring
from tests.build import NOW, made, pod

SPAN = timedelta(minutes=30)


class Recorded:
    """A Situation and the ring beside it, as in the cockpit."""

    def __init__(self, limit_bytes: int = 2**24) -> None:
        self.situation = Situation()
        self.ring = Ring(NOW, self.situation.listed, span=SPAN, limit_bytes=limit_bytes)

    def hear(self, readings: Iterable[Reading], at: datetime) -> None:
        for reading in readings:
            self.situation.apply(reading)
            self.ring.add(reading, at)
        self.ring.begin_segment(at)
        self.ring.pack()


def listed(*names: str, at: datetime = NOW) -> Reading:
    return Reading("kubernetes/pods", SourceState.LIVE, at, Listed("pods", tuple(made(pod(name)) for name in names)))


def changed(name: str, at: datetime, *, restarts: int = 1) -> Reading:
    item = made(pod(name, container_status={"restartCount": restarts}))
    return Reading("kubernetes/pods", SourceState.LIVE, at, Changed("pods", (item,)))


def scattered(number: int) -> int:
    """A number that compresses badly (Knuth's multiplicative hash)."""
    return number * 2_654_435_761 % 2**32


def played(path: Path, until: timedelta = timedelta(days=1)) -> Situation:
    head, situation = Playhead(path), Situation()
    for reading in head.until(until.total_seconds()):
        situation.apply(reading)
    return situation


def saved(ring: Ring, folder: Path) -> Path:
    path = folder / "incident.jsonl.gz"
    ring.save(path, title="what happened", context="prod", server="v1.36.2")
    return path


def test_what_was_heard_plays_as_it_was(tmp_path: Path) -> None:
    recorded = Recorded()
    recorded.hear([listed("web-1", "web-2")], NOW)
    recorded.hear([changed("web-1", NOW + timedelta(seconds=5), restarts=4)], NOW + timedelta(seconds=5))
    ready = Reading("kubernetes/readyz", SourceState.LIVE, NOW, Readiness(False, ("etcd",)), fresh_for_s=30.0)
    gone = Reading("kubernetes/pods", SourceState.UNREACHABLE, NOW + timedelta(seconds=9), error="no route to host")
    recorded.hear([ready, gone], NOW + timedelta(seconds=9))
    path = saved(recorded.ring, tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

    before = played(path, timedelta(seconds=4))
    assert [item.status.container_statuses[0].restart_count for item in before.pods.values()] == [0, 0]
    after = played(path)
    assert after.pods == recorded.situation.pods
    assert after.readiness == Readiness(False, ("etcd",))
    assert (after.source("pods").state, after.source("pods").error) == (SourceState.UNREACHABLE, "no route to host")


def test_what_cannot_be_decoded_is_on_the_tape_also_after_a_new_picture(tmp_path: Path) -> None:
    recorded = Recorded()
    broken = ("shop", "web-150")
    many = Listed("pods", tuple(made(pod(f"web-{number}")) for number in range(150)), 2, broken=(broken,))
    recorded.hear([Reading("kubernetes/pods", SourceState.LIVE, NOW, many)], NOW)
    at = NOW + timedelta(minutes=5)
    lost = Changed("pods", removed=(("shop", "web-7"),), broken=(("shop", "web-7"),))
    recorded.hear([Reading("kubernetes/pods", SourceState.LIVE, at, lost)], at)
    for minute in range(6, 95):
        at = NOW + timedelta(minutes=minute)
        recorded.hear([changed("web-1", at, restarts=minute)], at)
        if minute in (20, 94):
            known = played(saved(recorded.ring, tmp_path))
            assert len(known.pods) == 149
            assert known.source("pods").skipped == 4
            assert known.source("pods").broken == {broken, ("shop", "web-7")}
            assert known.is_unread("pods", ("shop", "anything")), "two have no name"


def test_what_is_older_than_the_span_is_dropped_and_the_rest_begins_with_the_whole_picture(tmp_path: Path) -> None:
    recorded = Recorded()
    recorded.hear([listed("web-1", "web-2")], NOW)
    for minute in range(1, 95):
        at = NOW + timedelta(minutes=minute)
        recorded.hear([changed("web-1", at, restarts=minute)], at)
        assert recorded.ring.held <= SPAN + timedelta(minutes=11)
        assert minute < 30 or recorded.ring.held >= SPAN
    path = saved(recorded.ring, tmp_path)
    head = Playhead(path)
    assert timedelta(minutes=94) - timedelta(seconds=head.start_s) >= SPAN - timedelta(minutes=1)
    begun = played(path, timedelta(seconds=head.start_s))
    assert set(begun.pods) == {("shop", "web-1"), ("shop", "web-2")}
    assert begun.source("pods").observed_at == NOW + timedelta(seconds=head.start_s)
    assert recorded.ring.held == timedelta(minutes=94) - timedelta(seconds=head.start_s)
    assert played(path).pods == recorded.situation.pods


def test_windows_are_as_they_were_live_where_a_tape_opens_though_older_parts_were_dropped(tmp_path: Path) -> None:
    recorded = Recorded()
    live: dict[int, tuple[object, ...]] = {}
    for second in range(0, 3600, 30):
        at = NOW + timedelta(seconds=second)
        slow = second * second / 100
        durations = {"GET": Histogram((1.0, 2.0, inf), (60.0 * second, 60.0 * second + slow, 60.0 * second + slow))}
        page = ApiServerPage(started_at=1.0, durations=durations)
        reading = Reading("control-plane/api-server", SourceState.LIVE, at, ApiServerReading(page, at))
        recorded.hear([reading], at)
        live[second] = windows(recorded.situation)
    path = saved(recorded.ring, tmp_path)
    start_s = Playhead(path).start_s
    shown = [second for second in live if second >= start_s]
    assert 0 < start_s <= 1800
    assert len({str(live[second]) for second in shown}) > 50
    for second in shown:
        assert windows(played(path, timedelta(seconds=second))) == live[second]


def test_an_xid_that_is_new_is_new_where_a_tape_opens(tmp_path: Path) -> None:
    """It counts for ten minutes after it was seen to change, which is longer than a picture tells."""
    recorded = Recorded()
    live: dict[int, datetime | None] = {}
    for second in range(0, 4500, 30):
        at = NOW + timedelta(seconds=second)
        device = GpuDevice(0, "GPU-1", last_xid=second // 540)
        nodes = (NodeDevices("gpu-1", (device,), "dcgm", observed_at=at),)
        recorded.hear([Reading("gpu/dcgm", SourceState.LIVE, at, GpuReading(nodes), fresh_for_s=120.0)], at)
        live[second] = recorded.situation.devices["gpu-1"].devices[0].xid_changed_at
    path = saved(recorded.ring, tmp_path)
    start_s = Playhead(path).start_s
    assert start_s > 0
    new = {
        second: changed_at
        for second, changed_at in live.items()
        if start_s <= second < start_s + 900
        and changed_at is not None
        and NOW + timedelta(seconds=second) - changed_at <= XID_FRESH
    }
    assert min(new) < start_s + 60
    for second, changed_at in new.items():
        assert played(path, timedelta(seconds=second)).devices["gpu-1"].devices[0].xid_changed_at == changed_at


def windows(situation: Situation) -> tuple[object, ...]:
    return (observed(situation.api_server), latency_by_verb(situation.api_server))


def test_a_source_that_failed_long_ago_still_has_failed_in_a_later_picture(tmp_path: Path) -> None:
    recorded = Recorded()
    recorded.hear([listed("web-1")], NOW)
    failed_at = NOW + timedelta(minutes=9)
    recorded.hear([Reading("kubernetes/pods", SourceState.FORBIDDEN, failed_at, error="RBAC")], failed_at)
    for minute in range(10, 60):
        at = NOW + timedelta(minutes=minute)
        recorded.hear([Reading("kubernetes/readyz", SourceState.LIVE, at, Readiness(True))], at)
    pods = played(saved(recorded.ring, tmp_path)).source("pods")
    assert (pods.state, pods.error, pods.observed_at) == (SourceState.FORBIDDEN, "RBAC", NOW)


def test_it_stays_within_its_bytes_by_holding_less_time() -> None:
    limit = 64 * 1024
    recorded = Recorded(limit)
    recorded.hear([listed(*(f"web-{number}" for number in range(50)))], NOW)
    for second in range(1, 150):
        at = NOW + timedelta(seconds=second)
        recorded.hear((changed(f"web-{number % 50}", at, restarts=second * number) for number in range(40)), at)
        assert recorded.ring.size_bytes <= limit
    assert recorded.ring.held < timedelta(seconds=150)


def test_more_at_once_than_may_be_held_leaves_nothing_until_the_next_picture(tmp_path: Path) -> None:
    recorded = Recorded(limit := 16 * 1024)
    recorded.hear([listed("web-1")], NOW)
    flood = (changed("web-1", NOW, restarts=scattered(number)) for number in range(10_000))
    recorded.hear(flood, NOW + timedelta(seconds=2))
    assert recorded.ring.size_bytes <= limit
    with pytest.raises(TapeError, match="try again in a few seconds"):
        saved(recorded.ring, tmp_path)
    recorded.hear([changed("web-1", NOW, restarts=7)], NOW + timedelta(seconds=4))
    assert 0 < recorded.ring.size_bytes <= limit
    assert played(saved(recorded.ring, tmp_path)).pods == recorded.situation.pods


def test_of_a_cluster_that_is_too_large_nothing_is_held_and_saving_says_why(tmp_path: Path) -> None:
    recorded = Recorded(4 * 1024)
    recorded.hear([listed(*(f"web-{scattered(number)}" for number in range(300)))], NOW)
    for minute in (11, 12):
        at = NOW + timedelta(minutes=minute)
        recorded.hear([changed("web-1", at)], at)
    assert recorded.ring.size_bytes == 0
    with pytest.raises(TapeError, match="midwatch record"):
        saved(recorded.ring, tmp_path)


def test_what_comes_after_a_picture_that_is_too_large_is_not_looked_for() -> None:
    recorded = Recorded(4 * 1024)
    recorded.hear([listed(*(f"web-{scattered(number)}" for number in range(300)))], NOW)
    at = NOW + timedelta(minutes=11)
    assert recorded.ring.begin_segment(at)
    recorded.ring.add(changed("web-1", at), at)
    recorded.ring.pack()
    assert recorded.ring.size_bytes == 0


def test_segments_of_a_large_cluster_hold_more_than_their_pictures() -> None:
    recorded = Recorded(limit := 64 * 1024)
    recorded.hear([listed(*(f"web-{scattered(number)}" for number in range(1_500)))], NOW)
    assert recorded.ring.size_bytes > limit / 4
    recorded.hear([changed("web-0", NOW)], NOW)
    for second in range(1, 60):
        at = NOW + timedelta(seconds=second)
        recorded.hear([changed("web-0", at, restarts=second)], at)
        assert not recorded.ring.begin_segment(at), "a large picture is no reason for the next one"
    assert limit / 2 < recorded.ring.size_bytes <= limit


def test_nothing_is_lost_that_comes_while_it_packs(tmp_path: Path) -> None:
    recorded = Recorded()
    recorded.hear([listed("web-0")], NOW)
    ended = Event()

    def pack() -> None:
        while not ended.is_set():
            recorded.ring.pack()

    packer = Thread(target=pack)
    packer.start()
    try:
        for number in range(1_500):
            at = NOW + timedelta(milliseconds=number)
            reading = changed(f"web-{number}", at)
            recorded.situation.apply(reading)
            recorded.ring.add(reading, at)
    finally:
        ended.set()
        packer.join()
    assert played(saved(recorded.ring, tmp_path)).pods == recorded.situation.pods


def test_a_clock_that_is_set_back_keeps_the_order(tmp_path: Path) -> None:
    recorded = Recorded()
    recorded.hear([listed("web-1")], NOW + timedelta(minutes=5))
    recorded.hear([changed("web-1", NOW, restarts=7)], NOW)
    assert played(saved(recorded.ring, tmp_path)).pods == recorded.situation.pods


@pytest.mark.parametrize("place", ["gone/tape.jsonl.gz", "file/tape.jsonl.gz"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TapeError, match=f"^{tmp_path / place}: cannot write: (No such|Not a dir)"):
        Recorded().ring.save(tmp_path / place, title="", context="", server="")


def test_kinds_of_which_nothing_was_heard_are_absent(tmp_path: Path) -> None:
    recorded = Recorded()
    recorded.hear([listed("web-1")], NOW)
    situation = played(saved(recorded.ring, tmp_path))
    absent = {kind.name for kind in KINDS if situation.source(kind.name).state is SourceState.ABSENT}
    assert absent == {kind.name for kind in KINDS} - {"pods"}


def test_a_saved_tape_knows_that_one_namespace_was_read(tmp_path: Path) -> None:
    recorded = Recorded()
    recorded.hear([listed("web-1")], NOW)
    path = tmp_path / "part.jsonl.gz"
    recorded.ring.save(path, title="", context="", server="", only_namespace="shop")
    situation = Situation()
    for reading in Playhead(path).until(0):
        situation.apply(reading)
    assert not situation.sees_all
