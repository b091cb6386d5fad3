"""Which pods are model servers, where they serve, and what only looks like one."""

from typing import Any

import pytest

from situation.pods import Pod
from situation.serving.arguments import read_arguments, words_of
from situation.serving.pods import serves_models
from situation.serving.readings import Software
from situation.serving.recognise import ServerSpec, recognise
from tests.build import made, pod


def spec_of(
    *containers: dict[str, Any], labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None
) -> ServerSpec | None:
    manifest = pod("m-0", labels=labels, spec={"containers": [{"name": "main", **item} for item in containers]})
    given = (annotations or {}).items()
    manifest["metadata"]["annotations"] = {f"prometheus.io/{name}": value for name, value in given}
    found = made(manifest)
    assert isinstance(found, Pod)
    return recognise(found)


def sh(line: str, **more: Any) -> dict[str, Any]:
    return {"image": "vllm/vllm-openai:latest", "command": ["/bin/sh", "-c"], "args": [line], **more}


def ports(**named: int) -> list[dict[str, Any]]:
    return [{"containerPort": port, "name": name} for name, port in named.items()]


SERVERS: dict[str, tuple[dict[str, Any], Software, int, str]] = {
    "vLLM's own example": (
        sh("vllm serve mistralai/Mistral-7B-Instruct-v0.3 --trust-remote-code --enable-chunked-prefill"
           " --max_num_batched_tokens 1024", ports=[{"containerPort": 8000}]),
        Software.VLLM, 8000, "mistralai/Mistral-7B-Instruct-v0.3",
    ),
    "arguments for the image's own program": (
        {"image": "vllm/vllm-openai:v0.11.0", "args": ["--model", "meta-llama/Llama-3.1-8B", "--port=8080"]},
        Software.VLLM, 8080, "meta-llama/Llama-3.1-8B",
    ),
    "a module of Python": (
        {"image": "registry.local:5000/ml/serving@sha256:abc", "command": ["python3", "-m"],
         "args": ["vllm.entrypoints.openai.api_server", "--model=facebook/opt-125m", "--served-model-name", "a", "b"]},
        Software.VLLM, 8000, "a",
    ),
    "a script that ends in a server": (
        sh("set -e; export A=1\npip install x && \\\n exec vllm serve $MODEL --port 9000; sleep 1"),
        Software.VLLM, 9000, "",
    ),
    "a shell under an init": (
        {"image": "x/y", "command": ["/usr/bin/tini", "--", "bash"],
         "args": ["-lc", "vllm serve qwen --port ${PORT:-1}"]},
        Software.VLLM, 8000, "qwen",
    ),
    "production stack, engine": (
        {"image": "lmcache/vllm-openai:2025-05-27-v1", "ports": ports(**{"container-port": 8000}),
         "command": ["vllm", "serve", "facebook/opt-125m", "--port", "8000"]},
        Software.VLLM, 8000, "facebook/opt-125m",
    ),
    "production stack, router": (
        {"image": "lmcache/lmstack-router:latest", "args": ["--port", "8000"]},
        Software.ROUTER, 8000, "",
    ),
    "KServe": (
        {"image": "kserve/huggingfaceserver:v0.15-gpu", "args": ["--model_name=llama3", "--model_id=meta/llama-3"]},
        Software.VLLM, 8000, "llama3",
    ),
    "SGLang": (
        {"image": "lmsysorg/sglang:latest", "command": ["python3", "-m", "sglang.launch_server"],
         "args": ["--model-path", "qwen/qwen2.5", "--mem-fraction-static", "0.8"]},
        Software.SGLANG, 30000, "qwen/qwen2.5",
    ),
    "TGI": (
        {"image": "ghcr.io/huggingface/text-generation-inference:3.0",
         "args": ["--model-id", "google/gemma", "--num-shard", "2"],
         "ports": ports(http=80)},
        Software.TGI, 80, "google/gemma",
    ),
    "Triton": (
        {"image": "nvcr.io/nvidia/tritonserver:25.08-trtllm-python-py3", "command": ["tritonserver"],
         "args": ["--model-repository=/models"], "ports": ports(http=8000, grpc=8001, metrics=8002)},
        Software.TRITON, 8002, "",
    ),
    "Triton elsewhere": (
        {"image": "x/y:1", "command": ["tritonserver", "--metrics-port=9102", "--http-port=9100"]},
        Software.TRITON, 9102, "",
    ),
    "NIM": (
        {"image": "nvcr.io/nim/meta/llama-3.1-8b-instruct:1.8.4", "ports": ports(**{"http-openai": 8000})},
        Software.NIM, 8000, "",
    ),
    "NIM from a mirror": ({"image": "registry.local:5000/mirror/nim/nvidia/nv-embedqa:1"}, Software.NIM, 8000, ""),
    "llm-d": (
        {"image": "ghcr.io/llm-d/llm-d-cuda:v0.3.0", "command": ["vllm", "serve"],
         "args": ["Qwen/Qwen3-0.6B", "--port", "8200", "--kv-transfer-config", '{"kv_connector":"NixlConnector"}']},
        Software.VLLM, 8200, "Qwen/Qwen3-0.6B",
    ),
    "llm-d's simulator": (
        {"image": "ghcr.io/llm-d/llm-d-inference-sim:v0.5", "args": ["--model", "m", "--port", "8000"]},
        Software.VLLM, 8000, "m",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SERVERS)
def test_servers(name: str) -> None:
    container, software, port, model = SERVERS[name]
    found = spec_of(container)
    assert found is not None
    assert (found.software, found.port, found.name, found.scheme) == (software, port, model, "http")


OTHERS: dict[str, dict[str, Any]] = {
    "an exporter": {"image": "example.org/my-vllm-exporter:1", "ports": ports(metrics=9100)},
    "a benchmark": {"image": "vllm/vllm-openai:latest", "command": ["vllm", "bench", "serve", "--model", "m"]},
    "a batch job": {"image": "vllm/vllm-openai:latest", "command": ["python3", "/app/offline.py"]},
    "a probe": {"image": "curlimages/curl:8", "command": ["curl"], "args": ["http://vllm:8000/health"]},
    "a probe by shell": {"image": "curlimages/curl:8", "command": ["sh", "-c", "until curl vllm-router; do :; done"]},
    "a search": {"image": "busybox", "command": ["pgrep", "-f", "vllm serve m"]},
    "a proxy in front": {"image": "nginx:1.29", "args": ["-g", "daemon off;"], "ports": ports(http=8000)},
    "llm-d's scheduler": {"image": "ghcr.io/llm-d/llm-d-inference-scheduler:v0.3", "args": ["--pool-name", "vllm"]},
    "llm-d's sidecar": {"image": "ghcr.io/llm-d/llm-d-routing-sidecar:v0.3", "args": ["--vllm-port=8200"]},
    "a worker of several nodes": {"image": "vllm/vllm-openai", "command": ["sh", "-c", "ray start --address=a"]},
    "a headless node": {"image": "vllm/vllm-openai", "command": ["vllm", "serve", "m", "--headless"]},
    "a registry of that name": {"image": "vllm.example.org:5000/tools/web:1"},
    "a user interface": {"image": "ghcr.io/x/vllm-webui:1"},
    "a compiler": {"image": "openai/triton-lang-builder:1"},
    "a download for a NIM": {"image": "nvcr.io/nim/meta/llama:1.8", "command": ["download-to-cache"]},
    "NIM's operator": {"image": "nvcr.io/nvidia/cloud-native/k8s-nim-operator:v2", "command": ["/usr/bin/manager"]},
    "a plain pod": {"image": "shop/web:1"},
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_look_alikes(name: str) -> None:
    assert spec_of(OTHERS[name]) is None


def test_the_server_is_found_behind_its_sidecars() -> None:
    found = spec_of({"name": "front", "image": "nginx:1"}, {"name": "engine", "image": "vllm/vllm-openai:v0.11.0"})
    assert found is not None
    assert (found.container.name, found.why) == ("engine", "image vllm/vllm-openai:v0.11.0")


def test_kserve_serves_elsewhere_and_has_a_name() -> None:
    labels = {"serving.kserve.io/inferenceservice": "llama"}
    found = spec_of({"image": "kserve/huggingfaceserver:latest-gpu"}, labels=labels)
    assert found is not None and (found.port, found.kserve) == (8080, "llama")


GPU: dict[str, Any] = {"image": "registry.local/ml/serving:7", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
KSERVE = {"serving.kserve.io/inferenceservice": "llama"}
LLM_D = {"llm-d.ai/inference-serving": "true"}


@pytest.mark.parametrize(
    ("containers", "labels", "serves"),
    [
        (({**GPU, "name": "kserve-container"},), KSERVE, "kserve-container"),
        (({"name": "queue-proxy", "image": "q"}, {**GPU, "name": "kserve-container"}), KSERVE, "kserve-container"),
        (({"name": "proxy", "image": "p"}, {**GPU, "name": "engine"}), LLM_D, "engine"),
        ((GPU,), {"llm-d.ai/inferenceServing": "true"}, "main"),
        ((GPU,), {}, None),
        ((GPU,), {"llm-d.ai/inference-serving": "false"}, None),
        ((GPU,), KSERVE, None),
        (({"name": "kserve-container", "image": "sklearnserver:1"},), KSERVE, None),
        (({**GPU, "image": "vllm/vllm-openai:v1", "command": ["vllm", "serve", "m", "--headless"]},), LLM_D, None),
        (({**GPU, "image": "vllm/vllm-openai:v1", "command": ["sh", "-c", "ray start -a b"]},), LLM_D, None),
    ],
    ids=["KServe", "beside Knative's sidecar", "llm-d", "llm-d as it was", "no label", "label off", "not its container",
         "no GPU", "a headless node", "a worker"],
)  # fmt: skip
def test_a_label_tells_where_image_and_command_line_do_not(
    containers: tuple[dict[str, Any], ...], labels: dict[str, str], serves: str | None
) -> None:
    found = spec_of(*containers, labels=labels)
    assert (found.container.name if found else None) == serves
    assert found is None or (found.software, found.why.partition(" ")[0]) == (Software.UNKNOWN, "label")
    manifest = pod("m-0", labels=labels, spec={"containers": [{"name": "main", **item} for item in containers]})
    known = made(manifest)
    assert isinstance(known, Pod) and serves_models(known) is (serves is not None)


def test_behind_knatives_sidecar_the_engine_is_asked_at_its_own_port() -> None:
    labels = {"serving.kserve.io/inferenceservice": "llama"}
    sidecar = {"name": "queue-proxy", "image": "knative/queue:1"}
    for containers, port in (((VLLM, sidecar), 8080), ((VLLM,), 9088)):
        found = spec_of(*containers, labels=labels, annotations={"port": "9088", "path": "/metrics"})
        assert found is not None and (found.port, found.metrics_path) == (port, "/metrics")


@pytest.mark.parametrize(
    ("container", "port"),
    [
        ({}, 8000),
        ({"ports": ports(http=8080, metrics=8002)}, 8080),
        ({"command": ["tritonserver", "--http-port=9100"]}, 9100),
    ],
)
def test_where_triton_tells_its_health(container: dict[str, Any], port: int) -> None:
    found = spec_of({"image": "nvcr.io/nvidia/tritonserver:25.08-py3", **container})
    assert found is not None and (found.port, found.health_port) == (8002, port)


VLLM = {"image": "vllm/vllm-openai:v0.11.0"}
NIM = {"image": "nvcr.io/nim/meta/llama:1.8"}


@pytest.mark.parametrize(
    ("container", "annotations", "expected"),
    [
        (VLLM, {"port": "9400", "path": "/stats"}, (9400, "/stats", "http")),
        (VLLM, {"path": "/stats"}, (8000, "/stats", "http")),
        (VLLM, {"port": "8000", "scheme": "https"}, (8000, "/metrics", "https")),
        ({**VLLM, "args": ["--port", "8001"]}, {"port": "15020", "path": "/stats"}, (8001, "/metrics", "http")),
        ({**VLLM, "ports": ports(http=8000)}, {"port": "15020", "path": "/stats"}, (8000, "/metrics", "http")),
        ({**VLLM, "ports": ports(http=8000, metrics=9000)}, {"port": "9000"}, (9000, "/metrics", "http")),
        ({**VLLM, "ports": ports(grpc=50051, http=8080)}, {}, (8080, "/metrics", "http")),
        ({**VLLM, "args": ["--ssl-keyfile", "/k", "--ssl-certfile", "/c"]}, {}, (8000, "/metrics", "https")),
        (VLLM, {"port": "0"}, (8000, "/metrics", "http")),
        (VLLM, {"port": "99999999999999999999"}, (8000, "/metrics", "http")),
        ({**VLLM, "args": ["--port", "99999"]}, {}, (8000, "/metrics", "http")),
        ({**VLLM, "args": ["--port", "9" * 400]}, {}, (8000, "/metrics", "http")),
        (VLLM, {"path": "/../../secrets"}, (8000, "/metrics", "http")),
        (NIM, {}, (8000, "/v1/metrics", "http")),
        (NIM, {"path": "/x/../y"}, (8000, "/v1/metrics", "http")),
        (NIM, {"port": "8000", "path": "/metrics"}, (8000, "/metrics", "http")),
        (VLLM, {"path": "/metrics?x=1"}, (8000, "/metrics", "http")),
    ],
)
def test_where_it_serves(
    container: dict[str, Any], annotations: dict[str, str], expected: tuple[int, str, str]
) -> None:
    found = spec_of(container, annotations=annotations)
    assert found is not None
    assert (found.port, found.metrics_path, found.scheme) == expected


def test_flags_in_every_spelling() -> None:
    found = spec_of(sh(
        "vllm serve m --tensor_parallel_size=4 -pp 2 --max-model-len 32k --gpu-memory-utilization .9 "
        "--max-num-seqs 1K --kv-cache-dtype=fp8 -q awq --dtype 'bfloat16' && echo done"
    ))  # fmt: skip
    assert found is not None
    told = found.arguments
    assert (told.tensor_parallel, told.pipeline_parallel, told.gpus) == (4, 2, 8)
    assert (told.max_model_len, told.max_num_seqs, told.gpu_memory_utilization) == (32_000, 1024, 0.9)
    assert (told.kv_cache_dtype, told.quantization, told.dtype) == ("fp8", "awq", "bfloat16")
    assert "--tensor-parallel-size" in told.flags


def test_a_line_with_a_quote_too_many_is_read_all_the_same() -> None:
    found = spec_of(sh("vllm serve m --port 9001 --x 'oops"))
    assert found is not None and found.port == 9001
    assert read_arguments(words_of(found.container)).model == "m"
    assert words_of(found.container)[:2] == ("/bin/sh", "-c")
