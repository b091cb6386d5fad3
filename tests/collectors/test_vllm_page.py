"""Pages of model servers: names by version, look-alikes of other software, and all that can be wrong with a page."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.errors import BadAnswerError
from collectors.vllm.page import PAGE_LIMIT_BYTES, parse_server_page
from situation.histograms import Histogram
from situation.serving.readings import CacheConfig, EnginePage, RoutedServer, ServerPage, Software
from tests.collectors.vllm_pages import (
    MODEL,
    NIM_PAGE,
    ROUTER_PAGE,
    SECONDS,
    SGLANG_PAGE,
    TGI_PAGE,
    TRITON_PAGE,
    recorded_page,
    vllm_page,
)


def read(body: bytes) -> ServerPage:
    return parse_server_page(body, "the page")


def only(body: bytes) -> EnginePage:
    (engine,) = read(body).engines
    return engine


def test_a_recorded_page() -> None:
    page = read(recorded_page())
    (engine,) = page.engines
    assert (page.software, page.broken_lines, page.is_cut) == (Software.VLLM, 0, False)
    assert (engine.model, engine.engine, engine.running) == ("tiny", "0", 8.0)
    assert engine.waiting is not None and engine.waiting > 0
    assert (engine.deferred, engine.is_sleeping, engine.sleep_level) == (0.0, False, 0)
    assert set(engine.finished) == {"stop", "length", "abort", "error", "repetition"}
    for histogram in (engine.ttft, engine.itl, engine.e2e, engine.queue_time, engine.prefill_time):
        assert histogram is not None and histogram.total > 0 and math.isinf(histogram.bounds[-1])
    assert engine.ttft is not None and engine.ttft.bounds[-2] == 2560
    assert engine.cache is not None
    assert (engine.cache.block_size, engine.cache.prefix_caching, engine.cache.cache_dtype) == (128, True, "auto")
    assert engine.cache.blocks is not None and engine.cache.size_tokens == 128 * engine.cache.blocks
    assert page.rejections == 0.0 and page.http_errors == 0.0 and page.http_requests is not None
    assert page.started_at is not None and page.started_at > 1.7e9


VERSIONS = {
    "0.6.6": vllm_page(kv="gpu_cache_usage_perc", itl="time_per_output_token_seconds", prefix="", engines=("",)),
    "0.7.3": vllm_page(kv="gpu_cache_usage_perc", itl="time_per_output_token_seconds", prefix="gpu_prefix_cache"),
    "0.9.1": vllm_page(kv="gpu_cache_usage_perc", itl="time_per_output_token_seconds", prefix="gpu_prefix_cache"),
    "0.9.2": vllm_page(itl="time_per_output_token_seconds"),
    "0.10.2": vllm_page(),
    "0.33.0": vllm_page(),
}


@pytest.mark.parametrize("version", VERSIONS)
def test_names_of_each_version(version: str) -> None:
    page = read(VERSIONS[version])
    (engine,) = page.engines
    assert page.software is Software.VLLM
    assert (engine.model, engine.engine) == (MODEL, "0")
    assert (engine.running, engine.waiting, engine.kv_usage_ratio, engine.preemptions) == (3, 5, 0.5, 7)
    assert (engine.prompt_tokens, engine.generation_tokens) == (1000, 2000)
    assert engine.itl == engine.ttft == Histogram(SECONDS, (1, 4, 8, 10))
    assert engine.finished == {"stop": 9, "abort": 1}
    assert (engine.prefix_queries, engine.prefix_hits) == ((None, None) if version == "0.6.6" else (100, 40))
    assert (engine.deferred, engine.is_sleeping, engine.queue_time) == (None, None, None), "not measured there"


def test_the_newer_of_two_names_is_believed_in_whatever_order() -> None:
    both = vllm_page() + b'vllm:gpu_cache_usage_perc{model_name="llama-8b",engine="0"} 0\n'
    assert only(both).kv_usage_ratio == 0.5
    assert only(b'vllm:gpu_cache_usage_perc{model_name="llama-8b",engine="0"} 0\n' + vllm_page()).kv_usage_ratio == 0.5
    old = vllm_page(itl="time_per_output_token_seconds").replace(b"} 4\n", b"} 5\n")
    assert only(old + vllm_page()).itl == Histogram(SECONDS, (1, 4, 8, 10))


def test_a_gauge_of_old_versions_tells_hits_of_the_prefix_cache() -> None:
    page = vllm_page(prefix="", engines=("",)) + b'vllm:gpu_prefix_cache_hit_rate{model_name="llama-8b"} 0.75\n'
    assert only(page).prefix_hit_ratio == 0.75


def test_data_parallel_engines_stay_apart_in_order_of_rank() -> None:
    engines = read(vllm_page(engines=tuple(map(str, range(12))))).engines
    assert [item.engine for item in engines] == [str(number) for number in range(12)]
    assert [item.running for item in engines] == [3 + number for number in range(12)]


def test_statistics_that_are_disabled_are_not_measured() -> None:
    page = read(b'process_start_time_seconds 1.7e9\nhttp_requests_total{handler="/v1",status="2xx"} 4\n')
    assert (page.engines, page.software, page.http_requests, page.http_errors) == ((), Software.UNKNOWN, 4, 0)
    assert read(b"") == ServerPage(), "several API servers on one port, before the first request"


def test_errors_of_the_http_layer() -> None:
    page = read(
        b'http_requests_total{status="2xx"} 4\nhttp_requests_total{status="5xx"} 2\n'
        b'http_requests_total{status="503"} 1\n'
    )
    assert (page.http_requests, page.http_errors) == (7, 3)
    assert read(vllm_page()).http_requests is None


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ((1, 0, 0), (False, 0)),
        ((0, 1, 0), (True, 1)),
        ((0, 0, 1), (True, 2)),
    ],
)
def test_sleep(states: tuple[int, int, int], expected: tuple[bool, int]) -> None:
    names = ("awake", "weights_offloaded", "discard_all")
    lines = [
        f'vllm:engine_sleep_state{{engine="0",model_name="m",sleep_state="{name}"}} {value}'
        for name, value in zip(names, states, strict=True)
    ]
    engine = only("\n".join((*lines, "")).encode())
    assert (engine.is_sleeping, engine.sleep_level) == expected


def test_adapters_are_those_of_the_newest_series() -> None:
    def line(names: str, at: float) -> bytes:
        labels = f'max_lora="4",running_lora_adapters="{names}",waiting_lora_adapters="w"'
        return f"vllm:lora_requests_info{{{labels}}} {at}\n".encode()

    page = read(line("old", 1.7e9) + line("a, b", 1.8e9) + line("", 1.75e9))
    assert (page.running_loras, page.waiting_loras) == (("a", "b"), ("w",))
    many = ",".join(f"adapter-{number}" for number in range(5000))
    first, second = read(line(many, 1.8e9)), read(line(many, 1.9e9))
    assert len(first.running_loras) == 5000
    assert first.running_loras is second.running_loras, "kept once for all pages"


def test_bounds_are_kept_once_for_all_pages() -> None:
    first, second = only(recorded_page()), only(recorded_page())
    assert first.ttft is not None and second.ttft is not None
    assert first.ttft.bounds is second.ttft.bounds


def test_names_from_people_are_kept_whole_and_harmless() -> None:
    page = vllm_page(model=r"a \"b\" \\ [red] \n" + "\x1b[2J", engines=("0",))
    assert only(page).model == 'a "b" \\ [red] ␊␛[2J'


def test_what_is_no_number_is_not_measured() -> None:
    page = vllm_page().replace(
        b'usage_perc{model_name="llama-8b",engine="0"} 0.5', b'usage_perc{engine="0",model_name="llama-8b"} NaN'
    )
    assert only(page).kv_usage_ratio is None
    broken = vllm_page().replace(b'le="0.5"} 4', b'le="0.5"} NaN')
    assert (only(broken).ttft, only(broken).running) == (None, 3), "a histogram with a hole gives wrong differences"


def test_a_page_that_breaks_off_loses_only_what_is_missing() -> None:
    whole = vllm_page()
    cut = read(
        whole[: whole.index(b'vllm:time_to_first_token_seconds_bucket{model_name="llama-8b",engine="0",le="1.0"') + 5]
    )
    (engine,) = cut.engines
    assert (cut.is_cut, engine.running, engine.ttft, engine.itl) == (True, 3, None, None)


@given(st.integers(min_value=0, max_value=len(vllm_page())))
def test_wherever_it_breaks_off_no_value_is_wrong(length: int) -> None:
    whole = only(vllm_page())
    try:
        cut = read(vllm_page()[:length])
    except BadAnswerError:
        return
    for engine in cut.engines:
        for field in ("running", "waiting", "kv_usage_ratio", "preemptions", "ttft", "itl", "e2e", "generation_tokens"):
            assert getattr(engine, field) in (None, getattr(whole, field))


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<!doctype html><p>log in", "web page"),
        (b'{"detail":"Not Found"}', "no page of metrics"),
        (b"ok", "no page of metrics"),
        (b"process_start_time_seconds 1.7e9\nvllm:num_req", "breaks off before it tells of an engine"),
        (b"#" * (PAGE_LIMIT_BYTES + 1), "larger than 8 MiB"),
        (vllm_page(engines=tuple(map(str, range(1100)))), "more than 1024 models and engines"),
    ],
)
def test_what_is_no_page(body: bytes, said: str) -> None:
    with pytest.raises(BadAnswerError, match=said):
        read(body)


def test_openmetrics_is_read_too() -> None:
    page = b"# TYPE vllm:num_requests_running gauge\n" + vllm_page() + b"# EOF\n"
    assert only(page).running == 3


def test_bounds_that_are_none_are_counted() -> None:
    page = read(vllm_page().replace(b'le="0.5"', b'le="half"'))
    assert page.broken_lines == 3
    assert page.engines[0].ttft == Histogram((0.1, 1.0, math.inf), (1, 8, 10))


def test_sglang() -> None:
    page = read(SGLANG_PAGE)
    (engine,) = page.engines
    assert (page.software, engine.model, engine.engine) == (Software.SGLANG, "qwen", "0")
    assert (engine.running, engine.waiting, engine.kv_usage_ratio, engine.prefix_hit_ratio) == (4, 2, 0.31, 0.25)
    assert engine.preemptions is None, "a gauge of those taken back is no count"
    assert engine.finished == {"abort": 2}
    assert engine.ttft == Histogram(SECONDS, (1, 4, 8, 10))


def test_tgi() -> None:
    page = read(TGI_PAGE)
    (engine,) = page.engines
    assert (page.software, engine.running, engine.waiting) == (Software.TGI, 3, 12)
    assert engine.finished == {"success": 90, "error": 5}
    assert (engine.e2e, engine.kv_usage_ratio) == (Histogram(SECONDS, (1, 4, 8, 10)), None)


def test_triton() -> None:
    page = read(TRITON_PAGE)
    (engine,) = page.engines
    assert (page.software, engine.model, engine.engine) == (Software.TRITON, "ensemble", "1")
    assert (engine.running, engine.waiting, engine.kv_usage_ratio) == (None, 6, 0.4)
    assert engine.finished == {"success": 20, "error": 3}
    assert engine.ttft == Histogram((0.1, math.inf), (3, 4)), "told in milliseconds"


def test_nim_has_names_of_its_own_or_those_of_the_engine_in_it() -> None:
    page = read(NIM_PAGE)
    (engine,) = page.engines
    assert (page.software, engine.model) == (Software.NIM, "meta/llama-3.1-8b-instruct")
    assert (engine.running, engine.max_running, engine.waiting, engine.kv_usage_ratio) == (4, 2048, 2, 0.25)
    assert (engine.prompt_tokens, engine.generation_tokens) == (603, 997)
    assert engine.ttft == Histogram(SECONDS, (1, 4, 8, 10))
    assert engine.finished == {}, "clients that hang up are among its failures"
    passed_on = read(b'num_request_max{model_name="m"} 1024\n' + vllm_page())
    assert (passed_on.software, passed_on.engines) == (Software.VLLM, (only(vllm_page()),)), "of another model"
    assert only(b'num_request_max{model_name="llama-8b"} 1024\n' + vllm_page()).max_running == 1024


def test_a_router_reuses_names_and_is_no_engine() -> None:
    page = read(ROUTER_PAGE)
    assert (page.software, page.engines) == (Software.ROUTER, ())
    assert page.routed == (
        RoutedServer("http://10.0.0.7:8000", True, 4),
        RoutedServer("http://10.0.0.8:8000", False, 0),
    )


def test_ray_writes_other_names() -> None:
    engines = read(
        b'ray_vllm_num_requests_running{model_name="m",engine="0",ReplicaId="r1"} 2\n'
        b'ray_vllm_num_requests_running{model_name="m",engine="0",ReplicaId="r2"} 4\n'
        b'ray_vllm_num_preemptions{model_name="m",engine="0",ReplicaId="r1"} 5\n'
        b'ray_vllm_generation_tokens_total{model_name="m",engine="0",ReplicaId="r2"} 6\n'
    ).engines
    assert [(item.engine, item.running, item.preemptions, item.generation_tokens) for item in engines] == [
        ("r1/0", 2, 5, None),
        ("r2/0", 4, None, 6),
    ]


def test_size_of_the_cache_is_worked_out_where_it_is_not_told() -> None:
    labels = b'block_size="16",num_gpu_blocks="100",cache_dtype="None",engine="0",enable_prefix_caching="x"'
    config = b"vllm:cache_config_info{%s} 1\n" % labels
    assert only(vllm_page() + config).cache == CacheConfig(16, 100, None, "", None, 1600, None)
