"""The API server's metrics: what is read of a page, by version, in pieces, cut and damaged."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from collectors.control_plane import api_page
from collectors.control_plane.api_page import parse_api_page, slices
from collectors.errors import BadAnswerError
from situation.api_server import ApiServerPage, ListKey, Seats
from situation.histograms import Histogram
from tests.collectors.api_pages import STARTED, bucket_lines, recorded_page, request_lines

BOUNDS = (0.1, 1.0, 10.0, math.inf)


def parsed(text: str) -> ApiServerPage:
    return parse_api_page(text.encode())


def test_the_recorded_page() -> None:
    page = parse_api_page(slices(recorded_page(), 2**16))
    assert (page.broken_lines, page.is_cut) == (0, False)
    assert page.started_at == 1795416072.7
    assert set(page.durations) == {"LIST", "GET", "POST", "PUT", "PATCH", "APPLY", "DELETE"}
    assert len(page.lists) == 89
    assert page.lists[ListKey("", "configmaps", "cluster")].total == 1
    assert page.lists[ListKey("", "configmaps", "namespace")].counts[:2] == (10, 11)
    assert set(page.etcd_durations) == {"create", "delete", "get", "list", "listWithCount", "update"}
    assert page.in_flight == {"readOnly": 0, "mutating": 0}
    assert page.in_queue == {"readOnly": 0, "mutating": 0}
    assert page.watches == 121
    assert page.seats == {"exempt": Seats(1, None), "workload-high": Seats(0, 191)}, "exempt shows a limit of 2"
    assert page.objects == {"events": 108, "pods": 10, "leases.coordination.k8s.io": 2}, "-1 is not counted, not none"
    assert page.storage_bytes == 2_895_872
    assert (page.open_files, page.max_files) == (85, 20_000)
    assert (page.rejected, page.terminated, page.webhooks, page.webhook_failures) == ({}, None, {}, {})
    assert page.unavailable_apis == ()


def test_sums_of_the_recorded_page_are_those_of_its_count_lines() -> None:
    """The page counts each series twice: in its last bucket and in a line of its own."""
    counted: dict[str, float] = {}
    for line in recorded_page().decode().splitlines():
        if line.startswith("apiserver_request_duration_seconds_count{") and ',resource=""' not in line:
            verb = line.partition('verb="')[2].partition('"')[0]
            if 'subresource="log"' not in line and verb not in ("WATCH", "CONNECT"):
                counted[verb] = counted.get(verb, 0) + float(line.rpartition(" ")[2])
    assert {verb: found.total for verb, found in parse_api_page(recorded_page()).durations.items()} == counted


def test_pieces_of_any_size_give_the_same_page() -> None:
    text = STARTED + request_lines("LIST", "pods", (1, 2, 3, 4)) + 'apiserver_resource_objects{resource="pods"} 7\n'
    whole = parsed(text)
    assert whole.objects == {"pods": 7}
    for size in range(1, len(text) + 1):
        assert parse_api_page(slices(text.encode(), size)) == whole


def test_what_lasts_by_design_and_what_is_no_work_on_objects_is_left_out() -> None:
    page = parsed(
        request_lines("WATCH", "pods", (0, 0, 0, 9))
        + request_lines("CONNECT", "pods", (0, 0, 0, 9), subresource="exec")
        + request_lines("GET", "pods", (0, 0, 0, 9), subresource="log")
        + request_lines("GET", "", (0, 0, 0, 9), subresource="/readyz")
        + request_lines("GET", "pods", (1, 2, 3, 4))
        + request_lines("GET", "nodes", (10, 10, 10, 10), subresource="status")
    )
    assert page.durations == {"GET": Histogram(BOUNDS, (11, 12, 13, 14))}
    assert page.lists == {}


def test_lists_are_kept_by_resource_and_scope() -> None:
    page = parsed(
        request_lines("LIST", "pods", (0, 1, 1, 1))
        + request_lines("LIST", "pods", (5, 5, 5, 5), scope="namespace")
        + request_lines("LIST", "deployments", (2, 2, 2, 3), group="apps")
    )
    assert page.lists == {
        ListKey("", "pods", "cluster"): Histogram(BOUNDS, (0, 1, 1, 1)),
        ListKey("", "pods", "namespace"): Histogram(BOUNDS, (5, 5, 5, 5)),
        ListKey("apps", "deployments", "cluster"): Histogram(BOUNDS, (2, 2, 2, 3)),
    }
    assert page.durations["LIST"].counts == (7, 8, 8, 9)


@pytest.mark.parametrize(
    ("lines", "field", "expected"),
    [
        ('apiserver_resource_objects{group="apps",resource="deployments"} 3', "objects", {"deployments.apps": 3}),
        ('apiserver_storage_objects{resource="deployments.apps"} 3', "objects", {"deployments.apps": 3}),
        ('etcd_object_counts{resource="pods"} 3', "objects", {"pods": 3}),
        ('etcd_object_counts{resource="pods"} 1\napiserver_storage_objects{resource="pods"} 2', "objects", {"pods": 2}),
        ('apiserver_resource_objects{group="",resource="pods"} -1', "objects", {}),
        ('apiserver_resource_size_estimate_bytes{group="",resource="pods"} 9', "object_bytes", {"pods": 9}),
        ('apiserver_storage_size_bytes{storage_cluster_id="etcd-0"} 2.9e+06', "storage_bytes", 2_900_000),
        ('apiserver_storage_db_total_size_in_bytes{endpoint="https://a"} 5', "storage_bytes", 5),
        (
            'etcd_db_total_size_in_bytes{endpoint=""} 5\netcd_db_total_size_in_bytes{endpoint="b"} 6',
            "storage_bytes",
            6,
        ),
        ('apiserver_storage_size_bytes{storage_cluster_id="etcd-0"} -1', "storage_bytes", None),
        ('apiserver_longrunning_requests{verb="WATCH"} 2\napiserver_longrunning_requests{verb="GET"} 1', "watches", 2),
        ('apiserver_longrunning_gauge{verb="WATCH"} 2', "watches", 2),
        ('apiserver_registered_watchers{group="",kind="Pod",version="v1"} 2', "watches", 2),
        (
            'apiserver_flowcontrol_rejected_requests_total{priority_level="low",reason="queue-full"} 2\n'
            'apiserver_flowcontrol_rejected_requests_total{priority_level="low",reason="time-out"} 3',
            "rejected",
            {"low": 5},
        ),
        (
            'apiserver_flowcontrol_request_concurrency_in_use{flow_schema="a",priority_level="low"} 2\n'
            'apiserver_flowcontrol_request_concurrency_limit{priority_level="low"} 4',
            "seats",
            {"low": Seats(2, 4)},
        ),
        (
            'apiserver_flowcontrol_current_executing_seats{flow_schema="a",priority_level="low"} 2\n'
            'apiserver_flowcontrol_current_executing_seats{flow_schema="b",priority_level="low"} 1\n'
            'apiserver_flowcontrol_nominal_limit_seats{priority_level="low"} 3\n'
            'apiserver_flowcontrol_current_limit_seats{priority_level="low"} 9',
            "seats",
            {"low": Seats(3, 9)},
        ),
        ('apiserver_request_terminations_total{code="504",verb="GET"} 4', "terminated", 4),
        (
            'apiserver_admission_webhook_rejection_count{error_type="calling_webhook_error",name="w"} 2\n'
            'apiserver_admission_webhook_rejection_count{error_type="no_error",name="w"} 50\n'
            'apiserver_admission_webhook_fail_open_count{name="w",type="validating"} 3\n'
            'apiserver_admission_webhook_fail_open_count{name="v",type="validating"} 1',
            "webhook_failures",
            {"w": 5, "v": 1},
        ),
        (
            'aggregator_unavailable_apiservice{name="v1.apps"} 0\n'
            'aggregator_unavailable_apiservice{name="v1beta1.metrics.k8s.io"} 1',
            "unavailable_apis",
            ("v1beta1.metrics.k8s.io",),
        ),
        ('apiserver_current_inflight_requests{request_kind="readOnly"} 400', "in_flight", {"readOnly": 400}),
        ("process_open_fds NaN\nprocess_max_fds 9", "open_files", None),
        ('apiserver_resource_objects{group="",resource="\x1b[2J"} 3', "objects", {"␛[2J": 3}),
    ],
)
def test_names_by_version(lines: str, field: str, expected: object) -> None:
    assert getattr(parsed(lines + "\n"), field) == expected


@pytest.mark.parametrize("labels", ['operation="get",type="/registry/pods"', 'operation="get",resource="pods"'])
def test_etcd_latency_with_the_labels_of_either_version(labels: str) -> None:
    page = parsed(bucket_lines("etcd_request_duration_seconds", labels, (1, 2, 2, 2)))
    assert page.etcd_durations == {"get": Histogram(BOUNDS, (1, 2, 2, 2))}


def test_webhooks() -> None:
    name = "apiserver_admission_webhook_admission_duration_seconds"
    page = parsed(
        bucket_lines(name, 'name="w",operation="CREATE",rejected="false",type="admit"', (1, 2, 2, 2))
        + bucket_lines(name, 'name="w",operation="UPDATE",rejected="false",type="admit"', (0, 0, 3, 3))
    )
    assert page.webhooks == {"w": Histogram(BOUNDS, (1, 2, 5, 5))}


def test_a_page_that_is_not_written_as_go_writes_it_is_read_all_the_same() -> None:
    text = "".join(
        f'apiserver_request_duration_seconds_bucket{{le="{bound}", verb="GET" , resource="po\\"ds"}}  {count} 17\r\n'
        for bound, count in zip(("0.1", "+Inf"), (3, "4e0"), strict=True)
    )
    page = parsed(text)
    assert page.durations == {"GET": Histogram((0.1, math.inf), (3, 4))}
    assert page.broken_lines == 0


@pytest.mark.parametrize(
    "damage",
    [
        request_lines("GET", "nodes", (1, "NaN", 3, 4)),
        request_lines("GET", "nodes", (1, "x", 3, 4)),
        request_lines("GET", "nodes", (5, 4, 3, 4)),
        request_lines("GET", "nodes", (1, 2, 3, "+Inf")),
        request_lines("GET", "nodes", (1, 2, 3, 4)).rpartition("apiserver")[0],
        request_lines("GET", "nodes", (1, 2, 3, 4)).partition("\n")[2],
        'apiserver_request_duration_seconds_bucket{verb="GET",resource="nodes"} 5\n',
        'apiserver_request_duration_seconds_bucket{verb="GET\n',
        "apiserver_request_duration_seconds_bucket{\x00\xff\n",
    ],
    ids=["NaN", "garbage", "falling", "infinite", "no last", "no first", "no bound", "no end", "bytes"],
)
def test_a_histogram_with_a_damaged_line_is_absent_rather_than_too_small(damage: str) -> None:
    page = parsed(
        STARTED
        + request_lines("GET", "pods", (1, 2, 3, 4))
        + damage
        + bucket_lines("etcd_request_duration_seconds", 'operation="get"', (1, 1, 1, 1))
    )
    assert page.broken_lines >= 1
    assert page.durations == {}
    assert page.started_at is not None
    assert set(page.etcd_durations) == {"get"}, "other metrics are not concerned"


def test_a_sum_with_a_damaged_line_is_absent_and_a_gauge_loses_that_line_only() -> None:
    page = parsed(
        'apiserver_flowcontrol_rejected_requests_total{priority_level="low",reason="a"} 5\n'
        'apiserver_flowcontrol_rejected_requests_total{priority_level="low",reason="b"} x\n'
        'apiserver_resource_objects{resource="pods"} 5\n'
        'apiserver_resource_objects{resource="nodes"} NaN\n'
    )
    assert (page.rejected, page.objects, page.broken_lines) == ({}, {"pods": 5}, 2)


def test_a_page_that_breaks_off_tells_only_what_is_whole() -> None:
    """Every cut: what is told of a histogram is what the whole page says, or nothing."""
    text = (
        bucket_lines("etcd_request_duration_seconds", 'operation="get",resource="a"', (1, 1, 1, 1))
        + bucket_lines("etcd_request_duration_seconds", 'operation="get",resource="b"', (1, 1, 1, 1))
        + "# HELP apiserver_request_duration_seconds Response latency\n"
        + request_lines("GET", "nodes", (1, 2, 3, 4))
        + request_lines("GET", "pods", (1, 2, 3, 4))
        + STARTED
    ).encode()
    whole = parse_api_page(text)
    for end in range(len(text)):
        page = parse_api_page(text[:end])
        if text[end - 1 : end] not in (b"\n", b""):
            assert page.is_cut
            assert page.durations in ({}, whole.durations)
            assert page.etcd_durations in ({}, whole.etcd_durations)
            assert page.started_at is None


def test_the_recorded_page_cut_anywhere_never_tells_less_of_a_verb_than_it_had() -> None:
    body = recorded_page()
    whole = parse_api_page(body)
    for end in range(1, len(body), len(body) // 40):
        page = parse_api_page(body[:end])
        assert page.is_cut == (body[end - 1 : end] != b"\n")
        if page.is_cut:
            assert page.durations in ({}, whole.durations)
            assert page.etcd_durations in ({}, whole.etcd_durations)


@given(st.binary(max_size=300), st.integers(1, 50))
@example(b"process_open_fds{", 3)
@example(b"process_open_fds 1_0\n", 3)
def test_garbage_never_raises_anything_else(body: bytes, size: int) -> None:
    try:
        page = parse_api_page(slices(STARTED.encode() + body, size))
    except BadAnswerError:
        return
    assert page.started_at is not None
    assert page.open_files is None


@given(st.lists(st.sampled_from(request_lines("GET", "pods", (1, 2, 3, 4)).split("\n")), max_size=12))
def test_buckets_in_any_order_give_all_or_nothing(lines: list[str]) -> None:
    durations = parsed("\n".join(lines) + "\n").durations
    assert durations == {} or durations["GET"].counts[-1] % 4 == 0


def test_what_is_no_page_of_metrics(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadAnswerError, match="https://a/metrics is a web page"):
        parse_api_page(b"\n <!doctype html>", "https://a/metrics")
    monkeypatch.setattr(api_page, "PAGE_LIMIT_BYTES", 2**20)
    with pytest.raises(BadAnswerError, match="larger than 1 MiB"):
        parse_api_page([b"a 1\n" * 2**18, b"a"])
    monkeypatch.setattr(api_page, "SERIES_LIMIT", 2)
    with pytest.raises(BadAnswerError, match="more than 2 series"):
        parsed("".join(f'etcd_object_counts{{resource="r{n}"}} 1\n' for n in range(3)))


def test_a_line_without_end_is_not_gathered() -> None:
    reader = api_page.ApiPageReader()
    reader.feed(b"process_max_fds 7\nprocess_open_fds ")
    for _ in range(100):
        reader.feed(b"1" * 10_000)
        assert len(reader._rest) <= api_page.LINE_LIMIT_BYTES
    reader.feed(b"\nprocess_start_time_seconds 5\n")
    page = reader.page()
    assert (page.max_files, page.open_files, page.started_at) == (7, None, 5)
    assert (page.broken_lines, page.is_cut) == (1, False)
