"""Frames of etcd and of the API server's own pages."""

from pathlib import Path
from typing import Any

import pytest

from tape.etcd import ETCD_FAMILIES, METRICS_SOURCE, EtcdName, GrpcError, etcd_name, families_of, grpc_error, slim_page
from tape.format import Frame, Header
from tape.player import play
from tape.reader import Tape
from tape.slim import slim_frames
from tape.writer import write_tape
from tests.build import NOW

PAGE = (
    "# HELP etcd_server_has_leader Whether or not a leader exists.\n"
    "# TYPE etcd_server_has_leader gauge\n"
    "etcd_server_has_leader 1\n"
    'etcd_disk_wal_fsync_duration_seconds_bucket{le="0.001"} 4\n'
    "etcd_disk_wal_fsync_duration_seconds_sum 0.25\n"
    "etcd_disk_wal_fsync_duration_seconds_count 4\n"
    "etcd_server_has_leader_of_another_family 1\n"
    "go_goroutines 90\n"
    "etcd_server_proposals_failed_total 0\n"
    "\n"
)
SLIM = (
    "# TYPE etcd_server_has_leader gauge\n"
    "etcd_server_has_leader 1\n"
    'etcd_disk_wal_fsync_duration_seconds_bucket{le="0.001"} 4\n'
    "etcd_disk_wal_fsync_duration_seconds_sum 0.25\n"
    "etcd_disk_wal_fsync_duration_seconds_count 4\n"
    "etcd_server_proposals_failed_total 0\n"
)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("etcd/cp-1/status", EtcdName("cp-1", "status")),
        ("etcd/cp-1/server", EtcdName("cp-1", "server")),
        ("etcd", None),
        ("etcd/", None),
        ("etcd/cp-1", None),
        ("etcd//status", None),
        ("etcd/cp-1/said-by-a-later-program", None),
        ("etcd/cp-1/status/more", None),
        ("page/etcd/cp-1/status", None),
    ],
)
def test_names(source: str, name: EtcdName | None) -> None:
    assert etcd_name(source) == name
    assert name is None or name.source == source


def test_errors_have_a_code() -> None:
    assert grpc_error("UNAVAILABLE: etcdserver: no leader") == GrpcError("UNAVAILABLE", "etcdserver: no leader")
    assert grpc_error("went wrong") == GrpcError("UNKNOWN", "went wrong")


def test_a_page_keeps_the_families_that_are_read() -> None:
    assert slim_page(PAGE, ETCD_FAMILIES) == SLIM
    assert slim_page(SLIM, ETCD_FAMILIES) == SLIM


def test_a_counter_may_end_like_a_part_of_a_histogram() -> None:
    line = 'apiserver_admission_webhook_rejection_count{name="a"} 2\n'
    families = families_of(METRICS_SOURCE)
    assert families is not None
    assert slim_page(line, families) == line


def test_frames_are_slimmed_written_and_read_again(tmp_path: Path) -> None:
    def frame(part: str, **fields: Any) -> Frame:
        return Frame(1.0, f"etcd/cp-1/{part}", **fields)

    others = (
        frame("health", status=503, text="# TYPE stays\n"),
        frame("status", body={"dbSize": "9007199254740993"}),
        frame("alarms", error="UNAVAILABLE: etcdserver: request timed out"),
        Frame(2.0, "etcd", down=True),
    )
    write_tape(
        tmp_path / "a", Header(1, "a", "a", NOW), slim_frames((frame("metrics", status=200, text=PAGE), *others))
    )
    assert list(Tape(tmp_path / "a").frames()) == [frame("metrics", status=200, text=SLIM), *others]
    assert [reading.source for reading in play(tmp_path / "a").readings if reading.source.startswith("etcd")] == []
