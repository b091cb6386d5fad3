"""Pages and health answers of etcd members: a recorded one, older and newer versions, and broken ones."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import BadAnswerError
from collectors.etcd.health import parse_health, parse_readyz
from collectors.etcd.metrics import parse_member_page
from situation.etcd.members import MemberPage
from situation.histograms import Histogram
from tests.collectors.etcd_pages import recorded_page

ALIVE = "etcd_server_has_leader 1\n"


def parsed(*lines: str) -> MemberPage:
    return parse_member_page((ALIVE + "".join(f"{line}\n" for line in lines)).encode(), "the page")


def test_the_page_of_a_real_leader_with_one_follower_killed() -> None:
    page = parse_member_page(recorded_page(), "the page")
    assert (page.has_leader, page.is_leader, page.is_learner) == (True, True, False)
    assert (page.db_size_bytes, page.db_in_use_bytes, page.quota_bytes) == (348_160, 348_160, 2**31)
    assert (page.proposals_committed, page.proposals_applied, page.proposals_pending) == (211, 211, 0)
    assert (page.leader_changes, page.heartbeat_failures, page.slow_applies, page.slow_reads) == (1, 0, 0, 0)
    assert page.fsync is not None and page.fsync.total == 211
    assert page.fsync.bounds[0] == 0.001 and page.fsync.bounds[-2:] == (8.192, math.inf)
    assert page.commit is not None and page.commit.total == 86
    assert {peer: item.total for peer, item in page.round_trips.items()} == {
        "b00abe490b4ecd90": 2,
        "d6cfa73f37084e28": 2,
    }
    assert page.peer_failures == {"b00abe490b4ecd90": 149}
    assert page.active_peers == 1
    assert page.member_id == 0xF9EDBDBAA18CB2A9
    assert (page.version, page.cluster_version) == ("3.5.1", "3.5")
    assert (page.defragmenting, page.applying_snapshot, page.alarms) == (False, False, ())
    assert (page.open_files, page.max_files, page.started_at) == (26, 20_000, 1795649369.17)
    assert (page.broken_lines, page.is_cut) == (0, False)


def test_what_a_version_does_not_tell_is_unknown() -> None:
    page = parsed()
    assert page == MemberPage(has_leader=True)
    assert page.quota_bytes is None and page.fsync is None and page.active_peers is None


def test_older_names_count_where_the_newer_ones_are_missing() -> None:
    old = "etcd_debugging_mvcc_db_total_size_in_bytes 4096"
    assert parsed(old).db_size_bytes == 4096
    assert parsed(old, "etcd_mvcc_db_total_size_in_bytes 8192").db_size_bytes == 8192
    assert parsed("os_fd_used 7", "os_fd_limit 9").open_files == 7
    assert parsed("os_fd_used 7", "process_open_fds 8").open_files == 8


def test_alarms_of_3_6() -> None:
    page = parsed(
        'etcd_server_alarms{alarm_type="NOSPACE",server_id="a"} 1',
        'etcd_server_alarms{alarm_type="NOSPACE",server_id="b"} 1',
        'etcd_server_alarms{alarm_type="CORRUPT",server_id="a"} 0',
    )
    assert page.alarms == ("NOSPACE",)


def test_histograms_are_summed_over_labels_that_are_not_asked_for() -> None:
    name = "etcd_disk_wal_fsync_duration_seconds_bucket"
    page = parsed(
        f'{name}{{disk="a",le="0.5"}} 2',
        f'{name}{{disk="a",le="+Inf"}} 3',
        f'{name}{{disk="b",le="0.5"}} 1',
        f'{name}{{disk="b",le="+Inf"}} 4',
    )
    assert page.fsync == Histogram((0.5, math.inf), (3, 7))


def test_what_is_no_number_is_unknown() -> None:
    page = parsed(
        "etcd_mvcc_db_total_size_in_bytes NaN",
        "etcd_server_quota_backend_bytes +Inf",
        "etcd_server_proposals_pending NaN",
        'etcd_disk_wal_fsync_duration_seconds_bucket{le="0.5"} NaN',
        'etcd_disk_wal_fsync_duration_seconds_bucket{le="wide"} 3',
        'etcd_server_id{server_id="no hex"} 1',
        "etcd_server_slow_apply_total many",
    )
    assert page == MemberPage(has_leader=True, broken_lines=2)


@pytest.mark.parametrize(("quota", "expected"), [("-1", -1), ("0", None), ("2.147483648e+09", 2**31)])
def test_a_quota_that_is_switched_off_is_not_one_that_is_not_known(quota: str, expected: int | None) -> None:
    assert parsed(f"etcd_server_quota_backend_bytes {quota}").quota_bytes == expected


def test_a_page_that_breaks_off_is_read_up_to_there() -> None:
    whole = recorded_page()
    page = parse_member_page(whole[: whole.index(b"etcd_mvcc_db_total_size_in_bytes ") + 34], "the page")
    assert page.is_cut
    assert page.db_size_bytes is None, "its last digits may be missing"
    assert page.fsync is not None and page.fsync.total == 211


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "none of etcd's metrics"),
        (b"process_open_fds 3\nvllm:num_requests_running 1\n", "none of etcd's metrics"),
        (b"<html>login</html>", "is a web page"),
    ],
)
def test_pages_that_are_not_etcds(body: bytes, said: str) -> None:
    with pytest.raises(BadAnswerError, match=f"https://x:2381/metrics .*{said}"):
        parse_member_page(body, "https://x:2381/metrics")


@given(st.binary(max_size=300))
def test_no_page_brings_the_parser_down(noise: bytes) -> None:
    try:
        parse_member_page(ALIVE.encode() + noise, "the page")
    except BadAnswerError:
        pass


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"health":"true","reason":""}', (True, "")),
        (b'{"health":"true"}', (True, "")),
        (b'{"health":true}', (True, "")),
        (b'{"health":"false"}', (False, "")),
        (b'{"health":"false","reason":"RAFT NO LEADER"}', (False, "RAFT NO LEADER")),
        (b'{"health":"false","reason":"ALARM\\u001b[2J","since":1}', (False, "ALARM␛[2J")),
    ],
)
def test_health(body: bytes, expected: tuple[bool, str]) -> None:
    assert parse_health(body, "x") == expected


@pytest.mark.parametrize("body", [b"", b"ok", b"{}", b'{"health":1}', b"\xff\xfe", b"[]"])
def test_health_that_is_none(body: bytes) -> None:
    with pytest.raises(BadAnswerError, match="https://x/health does not answer as etcd does"):
        parse_health(body, "https://x/health")


def test_failed_checks_of_readyz() -> None:
    body = b"[+]serializable_read ok\n[-]linearizable_read failed: no leader\n[-]data\x1b failed\n[-]\nnot ok\n"
    assert parse_readyz(body) == ("linearizable_read", "data␛")
    assert parse_readyz(b"[+]data_corruption ok\nok\n") == ()
