"""What tapes keep of model servers' pages."""

import msgspec
import pytest

from collectors.vllm import names
from collectors.vllm.page import parse_server_page
from simulator.scenarios.vllm_pages import read_pages
from tape.format import Frame
from tape.serving import SERVING_FAMILIES, is_serving_page, slim_serving_page
from tape.slim import slim_frames
from tests.collectors.vllm_pages import recorded_page

SOURCE = "page/serving/vllm-0:8000/metrics"


def test_what_the_collector_reads_is_kept_and_nothing_else() -> None:
    read = names.COMMON.union(*map(names.wanted_of, names.FAMILIES))
    assert {names.NIM.marker.decode(), *(name.removesuffix("_bucket") for name in read)} == SERVING_FAMILIES
    text = recorded_page().decode()
    slim = slim_serving_page(text)
    assert parse_server_page(slim.encode(), "slim") == parse_server_page(text.encode(), "whole")


def test_noise_goes_and_nothing_else_does_the_second_time() -> None:
    noise = 'python_info{a="b"} 1.0\nvllm:num_preemptions_created{engine="0"} 1.7e9\n# HELP x y\n'
    kept = '# TYPE vllm:num_preemptions_total counter\nvllm:num_preemptions_total{engine="0"} 3.0\n'
    assert slim_serving_page(noise + kept) == kept
    assert slim_serving_page(kept) == kept


@pytest.mark.parametrize(
    ("line", "is_one"),
    [
        ("vllm:num_requests_running 3", True),
        ("sglang:num_running_reqs 3", True),
        ("tgi_queue_size 3", True),
        ("nv_inference_request_success 3", True),
        ('http_requests_total{status="2xx"} 3', True),
        ("DCGM_FI_DEV_GPU_UTIL 3", False),
        ("process_start_time_seconds 3", False),
    ],
)
def test_a_page_is_known_by_its_metrics(line: str, is_one: bool) -> None:
    assert is_serving_page(f"# TYPE x gauge\n{line}\n") is is_one


def test_frames_of_other_pods_stay_as_they_are() -> None:
    other = Frame(0, "page/gpu-operator/dcgm:9400/metrics", text="DCGM_FI_DEV_GPU_UTIL 3\npython_info 1\n")
    served = Frame(1, SOURCE, text="vllm:num_requests_running 3\npython_info 1\n")
    refused = Frame(2, SOURCE, error="hang")
    slim = msgspec.structs.replace(served, text="vllm:num_requests_running 3\n")
    assert list(slim_frames([other, served, refused])) == [other, slim, refused]


def test_recorded_pages_are_slim() -> None:
    for pages in read_pages().values():
        assert all(slim_serving_page(page.text) == page.text for page in pages)
