"""Names of the metrics that are read of each kind of server, and what they become.

vLLM 0.6 to 0.33 as its releases have them; several names for one field stand in the order in which they are believed.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from situation.serving.readings import Software


class Meaning(NamedTuple):
    """What a metric says."""

    field: str
    """Of `EnginePage`."""
    rank: int = 0
    """The lowest one that a page has is believed."""
    scale: float = 1.0
    """What upper bounds are multiplied with to become seconds."""


class Family(NamedTuple):
    """The metrics of one kind of server."""

    software: Software
    marker: bytes
    """Is in a page that has any of them."""
    numbers: Mapping[str, Meaning]
    buckets: Mapping[str, Meaning]
    finished: Mapping[str, str]
    """Counters of finished requests -> the reason they stand for; empty: the label `finished_reason` tells."""
    model: str
    """Label with the name of the model; empty if there is none."""
    engine: str
    """Label that tells its engines apart; empty if there is none."""


def _numbers(prefix: str, **names: str) -> dict[str, Meaning]:
    return {
        f"{prefix}{name}": Meaning(field, rank)
        for field, listed in names.items()
        for rank, name in enumerate(listed.split())
    }


def _buckets(prefix: str, scale: float = 1.0, **names: str) -> dict[str, Meaning]:
    return {
        f"{prefix}{name}_bucket": Meaning(field, rank, scale)
        for field, listed in names.items()
        for rank, name in enumerate(listed.split())
    }


VLLM: Final = Family(
    Software.VLLM,
    b"vllm:",
    _numbers(
        "vllm:",
        running="num_requests_running",
        waiting="num_requests_waiting",
        kv_usage_ratio="kv_cache_usage_perc gpu_cache_usage_perc",
        preemptions="num_preemptions_total",
        prompt_tokens="prompt_tokens_total",
        generation_tokens="generation_tokens_total",
        prefix_queries="prefix_cache_queries_total gpu_prefix_cache_queries_total",
        prefix_hits="prefix_cache_hits_total gpu_prefix_cache_hits_total",
        prefix_hit_ratio="gpu_prefix_cache_hit_rate",
    ),
    _buckets(
        "vllm:",
        ttft="time_to_first_token_seconds",
        itl="inter_token_latency_seconds time_per_output_token_seconds",
        e2e="e2e_request_latency_seconds",
        queue_time="request_queue_time_seconds",
        prefill_time="request_prefill_time_seconds",
    ),
    {"vllm:request_success_total": ""},
    "model_name",
    "engine",
)
BY_REASON: Final = "vllm:num_requests_waiting_by_reason"
SLEEP: Final = "vllm:engine_sleep_state"
CACHE: Final = "vllm:cache_config_info"
LORAS: Final = "vllm:lora_requests_info"
REJECTIONS: Final = "vllm:admission_rejections_total"
HEALTHY: Final = "vllm:healthy_pods_total"
"""The production stack's router: 1 for each back end that it takes for well."""
VLLM_OTHERS: Final = frozenset({BY_REASON, SLEEP, CACHE, LORAS, REJECTIONS, HEALTHY})

SGLANG: Final = Family(
    Software.SGLANG,
    b"sglang:",
    _numbers(
        "sglang:",
        running="num_running_reqs",
        waiting="num_queue_reqs",
        kv_usage_ratio="token_usage",
        prefix_hit_ratio="cache_hit_rate",
    ),
    _buckets(
        "sglang:",
        ttft="time_to_first_token_seconds",
        itl="inter_token_latency_seconds request_time_per_output_token_seconds",
        e2e="e2e_request_latency_seconds",
        queue_time="queue_time_seconds",
    ),
    {"sglang:num_aborted_requests_total": "abort"},
    "model_name",
    "dp_rank",
)
"""Requests that were taken back are a gauge there, so there is no count of preemptions."""

TGI: Final = Family(
    Software.TGI,
    b"tgi_",
    _numbers("tgi_", running="batch_current_size", waiting="queue_size"),
    _buckets(
        "tgi_",
        itl="request_mean_time_per_token_duration",
        e2e="request_duration",
        queue_time="request_queue_duration",
    ),
    {"tgi_request_success": "success", "tgi_request_failure": "error"},
    "",
    "",
)

KV_BLOCKS: Final = "nv_trt_llm_kv_cache_block_metrics"
"""TensorRT-LLM's back end of Triton; of its lines the one of the type `fraction` is read."""
TRITON: Final = Family(
    Software.TRITON,
    b"nv_inference_",
    _numbers("nv_", waiting="inference_pending_request_count"),
    _buckets("nv_", 0.001, ttft="inference_first_response_histogram_ms"),
    {"nv_inference_request_success": "success", "nv_inference_request_failure": "error"},
    "model",
    "version",
)
MAX_RUNNING: Final = "num_request_max"
"""The engine's own limit (max_num_seqs), which vLLM's metrics do not tell."""
NIM: Final = Family(
    Software.NIM,
    MAX_RUNNING.encode(),
    _numbers(
        "",
        running="num_requests_running",
        waiting="num_requests_waiting",
        kv_usage_ratio="gpu_cache_usage_perc",
        prompt_tokens="prompt_tokens_total",
        generation_tokens="generation_tokens_total",
    ),
    _buckets(
        "", ttft="time_to_first_token_seconds", itl="time_per_output_token_seconds", e2e="e2e_request_latency_seconds"
    ),
    {},
    "model_name",
    "",
)
"""NIM 1.x for language models, as its documentation ("Observability") and its own code name them: vLLM's names of then
without the prefix. It counts clients that hang up among failures, so failures are not read. NIM 2.x passes vLLM's on.
"""
FAMILIES: Final = (VLLM, SGLANG, TGI, TRITON, NIM)

STARTED: Final = "process_start_time_seconds"
HTTP: Final = "http_requests_total"
COMMON: Final = frozenset({STARTED, HTTP})

RAY_MARKER: Final = b"ray_vllm_"


def wanted_of(family: Family) -> frozenset[str]:
    """Return all names that are read of one family."""
    others = {Software.VLLM: VLLM_OTHERS, Software.TRITON: {KV_BLOCKS}, Software.NIM: {MAX_RUNNING}}
    return frozenset((*family.numbers, *family.buckets, *family.finished, *others.get(family.software, ())))


FAMILY_OF: Final = {name: family for family in FAMILIES for name in wanted_of(family)}


def _ray_names() -> dict[str, str]:
    """Ray's metrics agent writes `ray_vllm_x` for `vllm:x`, counters with and without `_total`."""
    found: dict[str, str] = {}
    for name in wanted_of(VLLM):
        sanitised = f"ray_vllm_{name.removeprefix('vllm:')}"
        found[sanitised] = name
        found.setdefault(sanitised.removesuffix("_total"), name)
    return found


RAY: Final = _ray_names()
"""Name as Ray writes it -> vLLM's own."""
