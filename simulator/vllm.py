"""vLLM servers in order, made up: what one answers, with traffic that goes on evenly.

The pages have the names, labels and buckets of vLLM 0.32.0, slimmed to what is read (`tape.serving`).
"""

import math
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from situation.serving.recognise import ServerSpec

VERSION: Final = "0.32.0"
_PERIOD_S: Final = 40.0
"""Gauges go up and down once in this time."""
_LONGEST: Final = (20.0, 40.0, 80.0)
_TTFT: Final = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_PER_TOKEN: Final = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_REQUEST: Final = (0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0)
_BOUNDS: Final[Mapping[str, tuple[float, ...]]] = {
    "time_to_first_token_seconds": (*_TTFT, *_LONGEST, 160.0, 640.0, 2560.0),
    "inter_token_latency_seconds": (*_PER_TOKEN, *_LONGEST),
    "e2e_request_latency_seconds": (*_REQUEST, 480.0, 960.0, 1920.0, 7680.0),
    "request_queue_time_seconds": (*_REQUEST, 480.0, 960.0, 1920.0, 7680.0),
    "request_prefill_time_seconds": (*_REQUEST, 480.0, 960.0, 1920.0, 7680.0),
}


class Traffic(NamedTuple):
    """What a server is asked for, and how fast it answers."""

    requests_per_s: float = 0.9
    prompt_tokens: int = 620
    """Of each request, as `generated_tokens`."""
    generated_tokens: int = 210
    running: int = 5
    kv_usage_ratio: float = 0.31
    cached_ratio: float = 0.4
    """Of the prompt's tokens, found in the prefix cache."""
    first_token_s: float = 0.12
    per_token_s: float = 0.022


def metrics_page(model: str, traffic: Traffic, started_at: float, served_s: float) -> str:
    """Return a page of a process that began at `started_at` (Unix time) and has answered requests for `served_s`."""
    labels = f'engine="0",model_name="{model}"'
    lines = ["# TYPE process_start_time_seconds gauge", f"process_start_time_seconds {started_at:.2f}"]
    for name, kind, samples in _families(traffic, served_s):
        lines.append(f"# TYPE vllm:{name} {kind}")
        lines += [f"vllm:{name}{{{labels}{more}}} {value:.6g}" for more, value in samples]
    for name in _BOUNDS:
        lines.append(f"# TYPE vllm:{name} histogram")
        lines += _histogram(name, labels, *_observed(name, traffic, served_s))
    answered = int(traffic.requests_per_s * served_s)
    lines.append("# TYPE http_requests_total counter")
    lines.append(f'http_requests_total{{handler="/v1/chat/completions",method="POST",status="2xx"}} {answered}')
    return "\n".join(lines) + "\n"


def _families(traffic: Traffic, served_s: float) -> Iterator[tuple[str, str, list[tuple[str, float]]]]:
    """Yield name, type, and the further labels and value of each sample."""
    answered = int(traffic.requests_per_s * served_s)
    prompt = int(traffic.requests_per_s * served_s * traffic.prompt_tokens)
    wave = math.sin(2 * math.pi * served_s / _PERIOD_S)
    awake = {"awake": 1, "weights_offloaded": 0, "discard_all": 0}
    reasons = {"stop": answered, "length": 0, "abort": 0, "error": 0, "repetition": 0}
    yield "num_requests_running", "gauge", [("", round(traffic.running * (1 + 0.4 * wave)))]
    yield "num_requests_waiting", "gauge", [("", 0)]
    waiting = dict.fromkeys(("capacity", "deferred"), 0)
    yield "num_requests_waiting_by_reason", "gauge", [(f',reason="{key}"', value) for key, value in waiting.items()]
    yield "engine_sleep_state", "gauge", [(f',sleep_state="{key}"', value) for key, value in awake.items()]
    yield "kv_cache_usage_perc", "gauge", [("", traffic.kv_usage_ratio * (1 + 0.3 * wave))]
    yield "prefix_cache_queries_total", "counter", [("", prompt)]
    yield "prefix_cache_hits_total", "counter", [("", int(prompt * traffic.cached_ratio))]
    yield "num_preemptions_total", "counter", [("", 0)]
    yield "prompt_tokens_total", "counter", [("", prompt)]
    yield "generation_tokens_total", "counter", [("", _generated(traffic, served_s))]
    yield "request_success_total", "counter", [(f',finished_reason="{key}"', value) for key, value in reasons.items()]
    config = ',block_size="16",cache_dtype="auto",enable_prefix_caching="True",gpu_memory_utilization="0.9"'
    yield "cache_config_info", "gauge", [(f'{config},kv_cache_size_tokens="403456",num_gpu_blocks="25216"', 1)]


def _generated(traffic: Traffic, served_s: float) -> int:
    return int(traffic.requests_per_s * served_s * traffic.generated_tokens)


def _observed(name: str, traffic: Traffic, served_s: float) -> tuple[int, float]:
    """Return how often something was observed, and its median."""
    answered = int(traffic.requests_per_s * served_s)
    request_s = traffic.first_token_s + traffic.generated_tokens * traffic.per_token_s
    return {
        "time_to_first_token_seconds": (answered, traffic.first_token_s),
        "inter_token_latency_seconds": (_generated(traffic, served_s), traffic.per_token_s),
        "e2e_request_latency_seconds": (answered, request_s),
        "request_queue_time_seconds": (answered, 0.01),
        "request_prefill_time_seconds": (answered, traffic.first_token_s),
    }[name]


def _histogram(name: str, labels: str, count: int, median: float) -> Iterator[str]:
    """Half of all are below the median, most are within twice of it."""
    for bound in _BOUNDS[name]:
        share = 1 / (1 + (median / bound) ** 4)
        yield f'vllm:{name}_bucket{{{labels},le="{bound}"}} {round(count * share)}'
    yield f'vllm:{name}_bucket{{{labels},le="+Inf"}} {count}'
    yield f"vllm:{name}_count{{{labels}}} {count}"
    yield f"vllm:{name}_sum{{{labels}}} {count * median * 1.1:.10g}"


def version_page() -> str:
    """Return the answer of `/version`."""
    return f'{{"version":"{VERSION}"}}'


def models_page(spec: ServerSpec, name: str, created_at: float) -> tuple[int, str]:
    """Return status and text of `/v1/models`, asked without a key."""
    if "--api-key" in spec.arguments.flags:
        return 401, '{"error":"Unauthorized"}'
    model = {
        "id": name,
        "object": "model",
        "created": int(created_at),
        "owned_by": "vllm",
        "root": spec.arguments.model or name,
        "parent": None,
        "max_model_len": spec.arguments.max_model_len or 8192,
    }
    return 200, msgspec.json.encode({"object": "list", "data": [model]}).decode()
