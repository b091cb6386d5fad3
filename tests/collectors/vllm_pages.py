"""Pages of model servers: a recorded one, and hand-made ones with the names that each release has."""

import gzip
from pathlib import Path
from typing import Final

_RECORDED: Final = Path(__file__).parents[1] / "data" / "vllm_0.32.0_metrics.txt.gz"
MODEL: Final = "llama-8b"
SECONDS: Final = (0.1, 0.5, 1.0, float("inf"))


def recorded_page() -> bytes:
    """A page of vLLM 0.32.0 with 8 requests running and others waiting."""
    return gzip.decompress(_RECORDED.read_bytes())


def bound(value: float) -> str:
    return "+Inf" if value == float("inf") else str(value)


def histogram(name: str, labels: str, counts: tuple[float, ...] = (1, 4, 8, 10)) -> str:
    """Lines of a histogram with the bounds SECONDS, and its `_created`."""
    begin = f"{labels}," if labels else ""
    lines = [f'{name}_bucket{{{begin}le="{bound(le)}"}} {count}' for le, count in zip(SECONDS, counts, strict=True)]
    ends = [
        f"{name}_sum{{{labels}}} 3.5",
        f"{name}_count{{{labels}}} {counts[-1]}",
        f"{name}_created{{{labels}}} 1.7e9",
    ]
    return "\n".join((*lines, *ends)) + "\n"


def vllm_page(
    *,
    kv: str = "kv_cache_usage_perc",
    itl: str = "inter_token_latency_seconds",
    prefix: str = "prefix_cache",
    engines: tuple[str, ...] = ("0",),
    model: str = MODEL,
    started_at: float = 1.7e9,
    running: float = 3,
) -> bytes:
    """A page with the names of one release; each engine has its number added to its gauges."""
    text = f"process_start_time_seconds {started_at}\n"
    for engine in engines:
        labels = f'model_name="{model}"' + (f',engine="{engine}"' if engine else "")
        more = int(engine or 0)
        text += f"""\
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{{labels}}} {running + more}
vllm:num_requests_waiting{{{labels}}} {5 + more}
vllm:{kv}{{{labels}}} 0.5
vllm:num_preemptions_total{{{labels}}} 7
vllm:num_preemptions_created{{{labels}}} 1.7e9
vllm:prompt_tokens_total{{{labels}}} 1000
vllm:generation_tokens_total{{{labels}}} 2000
vllm:request_success_total{{{labels},finished_reason="stop"}} 9
vllm:request_success_total{{{labels},finished_reason="abort"}} 1
"""
        if prefix:
            text += f"vllm:{prefix}_queries_total{{{labels}}} 100\nvllm:{prefix}_hits_total{{{labels}}} 40\n"
        text += histogram("vllm:time_to_first_token_seconds", labels) + histogram(f"vllm:{itl}", labels)
        text += histogram("vllm:e2e_request_latency_seconds", labels)
    return text.encode()


SGLANG_PAGE: Final = b"""\
sglang:num_running_reqs{engine_type="unified",model_name="qwen",pp_rank="0",tp_rank="0"} 4
sglang:num_queue_reqs{engine_type="unified",model_name="qwen",pp_rank="0",tp_rank="0"} 2
sglang:token_usage{engine_type="unified",model_name="qwen",pp_rank="0",tp_rank="0"} 0.31
sglang:cache_hit_rate{engine_type="unified",model_name="qwen",pp_rank="0",tp_rank="0"} 0.25
sglang:num_retracted_reqs{engine_type="unified",model_name="qwen",pp_rank="0",tp_rank="0"} 1
sglang:num_requests_total{model_name="qwen"} 50
sglang:num_aborted_requests_total{model_name="qwen"} 2
""" + histogram("sglang:time_to_first_token_seconds", 'model_name="qwen"').encode()

TGI_PAGE: Final = b"""\
tgi_batch_current_size 3
tgi_queue_size 12
tgi_request_count 100
tgi_request_success 90
tgi_request_failure{err="overloaded"} 4
tgi_request_failure{err="generation"} 1
""" + histogram("tgi_request_duration", "").encode()

NIM_PAGE: Final = b"""\
num_requests_running{model_name="meta/llama-3.1-8b-instruct"} 4
num_requests_waiting{model_name="meta/llama-3.1-8b-instruct"} 2
num_request_max{model_name="meta/llama-3.1-8b-instruct"} 2048
gpu_cache_usage_perc{model_name="meta/llama-3.1-8b-instruct"} 0.25
prompt_tokens_total{model_name="meta/llama-3.1-8b-instruct"} 603
generation_tokens_total{model_name="meta/llama-3.1-8b-instruct"} 997
request_success_total{finished_reason="stop",model_name="meta/llama-3.1-8b-instruct"} 30
request_failure_total{model_name="meta/llama-3.1-8b-instruct"} 5
""" + histogram("time_to_first_token_seconds", 'model_name="meta/llama-3.1-8b-instruct"').encode()

TRITON_PAGE: Final = b"""\
nv_inference_request_success{model="ensemble",version="1"} 20
nv_inference_request_failure{model="ensemble",reason="OTHER",version="1"} 1
nv_inference_request_failure{model="ensemble",reason="REJECTED",version="1"} 2
nv_inference_pending_request_count{model="ensemble",version="1"} 6
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="max",model="ensemble",version="1"} 600
nv_trt_llm_kv_cache_block_metrics{kv_cache_block_type="fraction",model="ensemble",version="1"} 0.4
nv_inference_first_response_histogram_ms_bucket{model="ensemble",version="1",le="100"} 3
nv_inference_first_response_histogram_ms_bucket{model="ensemble",version="1",le="+Inf"} 4
"""

ROUTER_PAGE: Final = b"""\
vllm:num_requests_running{server="http://10.0.0.7:8000"} 4
vllm:num_requests_running{server="http://10.0.0.8:8000"} 0
vllm:healthy_pods_total{server="http://10.0.0.7:8000"} 1
vllm:healthy_pods_total{server="http://10.0.0.8:8000"} 0
vllm:avg_itl{server="http://10.0.0.7:8000"} 0.02
vllm:gpu_prefix_cache_hit_rate{server="http://10.0.0.7:8000"} 0
vllm:num_incoming_requests_total{model="llama"} 9
"""
