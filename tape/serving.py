"""Pages of model servers: what a tape keeps of them.

    {"t", "source": "page/serving/vllm-0:8000/metrics", "status": 200, "text": "..."}
    {"t", "source": "page/serving/vllm-0:8000/health", "status": 503, "text": ""}
    {"t", "source": "page/serving/vllm-0:8000/version", "status": 200, "text": "{\"version\":\"0.32.0\"}"}
    {"t", "source": "page/serving/vllm-0:8000/v1/models", "status": 401, "text": "{\"error\":\"Unauthorized\"}"}
    {"t", "source": "page/serving/vllm-0:8000/health", "error": "connect: connection refused"}
    {"t", "source": "page/serving/vllm-0:8000/health", "error": "hang"}

A page is known by its content, as any pod may serve it at any port: by a metric that only such servers have.
"""

import re
from typing import Final

from tape.etcd import slim_page

HANGS: Final = "hang"
"""The error of a page whose server accepts connections and never answers."""

_VLLM: Final = (
    "admission_rejections_total",
    "cache_config_info",
    "e2e_request_latency_seconds",
    "engine_sleep_state",
    "generation_tokens_total",
    "healthy_pods_total",
    "inter_token_latency_seconds",
    "kv_cache_usage_perc",
    "lora_requests_info",
    "num_preemptions_total",
    "num_requests_running",
    "num_requests_waiting",
    "num_requests_waiting_by_reason",
    "prefix_cache_hits_total",
    "prefix_cache_queries_total",
    "prompt_tokens_total",
    "request_prefill_time_seconds",
    "request_queue_time_seconds",
    "request_success_total",
    "time_to_first_token_seconds",
)
_VLLM_OLD: Final = (
    "gpu_cache_usage_perc",
    "gpu_prefix_cache_hit_rate",
    "gpu_prefix_cache_hits_total",
    "gpu_prefix_cache_queries_total",
    "time_per_output_token_seconds",
)
"""What older releases call the same."""
_SGLANG: Final = (
    "cache_hit_rate",
    "e2e_request_latency_seconds",
    "inter_token_latency_seconds",
    "num_aborted_requests_total",
    "num_queue_reqs",
    "num_running_reqs",
    "queue_time_seconds",
    "request_time_per_output_token_seconds",
    "time_to_first_token_seconds",
    "token_usage",
)
_TGI: Final = (
    "tgi_batch_current_size",
    "tgi_queue_size",
    "tgi_request_duration",
    "tgi_request_failure",
    "tgi_request_mean_time_per_token_duration",
    "tgi_request_queue_duration",
    "tgi_request_success",
)
_TRITON: Final = (
    "nv_inference_first_response_histogram_ms",
    "nv_inference_pending_request_count",
    "nv_inference_request_failure",
    "nv_inference_request_success",
    "nv_trt_llm_kv_cache_block_metrics",
)
_NIM: Final = (
    "e2e_request_latency_seconds",
    "generation_tokens_total",
    "gpu_cache_usage_perc",
    "num_request_max",
    "num_requests_running",
    "num_requests_waiting",
    "prompt_tokens_total",
    "time_per_output_token_seconds",
    "time_to_first_token_seconds",
)
"""Of NIM 1.x; `num_request_max` is what it is known by."""
SERVING_FAMILIES: Final = frozenset(
    {
        *(f"vllm:{name}" for name in (*_VLLM, *_VLLM_OLD)),
        *(f"sglang:{name}" for name in _SGLANG),
        *_TGI,
        *_TRITON,
        *_NIM,
        "http_requests_total",
        "process_start_time_seconds",
    }
)
"""The metric families of a model server that somebody reads."""
_OF_A_MODEL_SERVER: Final = re.compile(
    r"^(?:vllm:|sglang:|tgi_|nv_inference_|num_request_max\b|http_requests_total\b)", re.MULTILINE
)
"""With its statistics disabled, a server that answers requests still counts them."""


def is_serving_page(text: str) -> bool:
    """Tell whether a page of metrics is that of a model server."""
    return _OF_A_MODEL_SERVER.search(text) is not None


def slim_serving_page(text: str) -> str:
    """Return the page of a model server with what is read of it; any other page as it is. Idempotent."""
    return slim_page(text, SERVING_FAMILIES) if is_serving_page(text) else text
