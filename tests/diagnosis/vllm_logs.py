"""Logs of vLLM made by hand from the wordings of its releases, each with the signature of its root cause."""

from typing import Final

# ruff: noqa: E501  lines of logs are as long as they are

START: Final = (
    "INFO 11-23 02:30:01 [api_server.py:1896] vLLM API server version 0.11.0\n"
    "INFO 11-23 02:30:02 [core.py:77] Initializing a V1 LLM engine (v0.11.0) with config: model='m', trust_remote_code=True, dtype=torch.bfloat16, max_seq_len=8192, tensor_parallel_size=1\n"
)
LOADED: Final = (
    "(EngineCore_0 pid=88) INFO 11-23 02:31:40 [gpu_worker.py:298] Available KV cache memory: 44.20 GiB\n"
    "(EngineCore_0 pid=88) INFO 11-23 02:31:40 [kv_cache_utils.py:1087] GPU KV cache size: 362,064 tokens\n"
    "(EngineCore_0 pid=88) INFO 11-23 02:31:40 [kv_cache_utils.py:1091] Maximum concurrency for 8,192 tokens per request: 44.20x\n"
)
FREE: Final = "INFO 11-23 02:30:09 [gpu_worker.py:201] Free memory on device (78.5/79.1 GiB) on startup. Desired GPU memory utilization is (0.9, 71.2 GiB).\n"
FAILED: Final = (
    "(EngineCore_0 pid=88) ERROR 11-23 02:31:50 [core.py:708] EngineCore failed to start.\n"
    "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore_0': 1}\n"
)
DIED: Final = (
    "ERROR 11-23 04:11:02 [core.py:845] EngineCore encountered a fatal error.\n"
    "ERROR 11-23 04:11:02 [async_llm.py:480] AsyncLLM output_handler failed.\n"
    "vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack trace (above) for the root cause.\n"
)
OOM: Final = (
    "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 896.00 MiB. GPU 0 has a total capacity of 79.11 GiB "
    "of which 512.69 MiB is free.\n"
)
HUB: Final = "huggingface_hub.errors.GatedRepoError: 401 Client Error. (Request ID: Root=1-6)\n\nCannot access gated repo for url https://huggingface.co/m/resolve/main/config.json.\nAccess to model m is restricted. You must have access to it and be authenticated.\n"

RETRY: Final = (
    "'(ReadTimeoutError(\"HTTPSConnectionPool(host='huggingface.co', port=443): Read timed out. (read timeout=10)\"), '(Request ID: 3e1b)')' thrown while requesting HEAD https://huggingface.co/m/resolve/main/config.json\n"
    "Retrying in 1s [Retry 1/5].\n"
)
"""Of the hub's own library: it asks again, as a rule with success."""
UNREACHED: Final = (
    "huggingface_hub.errors.LocalEntryNotFoundError: An error happened while trying to locate the file on the Hub\n"
)

LOGS: Final[tuple[tuple[str, str], ...]] = (
    ("vllm-log-gpu-oom", START + FREE + OOM + FAILED),
    ("vllm-log-gpu-oom", "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB\n" + FAILED),
    ("vllm-log-gpu-oom", START + LOADED + OOM + DIED),
    (
        "vllm-log-oom-warm-up",
        START
        + OOM
        + "RuntimeError: CUDA out of memory occurred when warming up sampler with 1024 dummy requests. Please try lowering `max_num_seqs` or `gpu_memory_utilization` when initializing the engine.\n"
        + FAILED,
    ),
    (
        "vllm-log-oom-warm-up",
        "RuntimeError: CUDA out of memory occurred when warming up pooler (model.pooler) with 256 dummy requests.\n",
    ),
    (
        "vllm-log-gpu-not-free",
        START
        + "ValueError: Free memory on device (12.1/79.1 GiB) on startup is less than desired GPU memory utilization (0.9, 71.2 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes.\n"
        + FAILED,
    ),
    (
        "vllm-log-no-kv-room",
        START
        + "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` when initializing the engine.\n"
        + FAILED,
    ),
    (
        "vllm-log-context-over-kv",
        "ValueError: To serve at least one request with the models's max seq len (131072), (16.00 GiB KV cache is needed, which is larger than the available KV cache memory (3.52 GiB). Based on the available memory, the estimated maximum model length is 28816.\n"
        + FAILED,
    ),
    (
        "vllm-log-context-over-kv",
        "ValueError: To serve at least one request with the model's max seq len (131072), 16.0 GiB KV cache is needed, which is larger than the available KV cache memory (3.52 GiB).\n",
    ),
    (
        "vllm-log-context-over-kv",
        "ValueError: The model's max seq len (32768) is larger than the maximum number of tokens that can be stored in KV cache (21584). Try increasing `gpu_memory_utilization`\n",
    ),
    (
        "vllm-log-context-over-model",
        "ValueError: User-specified max_model_len (65536) is greater than the derived max_model_len (max_position_embeddings=8192.0 or model_max_length=None in model's config.json).\n",
    ),
    (
        "vllm-log-heads",
        "ValueError: Total number of attention heads (28) must be divisible by tensor parallel size (8).\n",
    ),
    ("vllm-log-weight-split", "AssertionError: 151937 is not divisible by 2\n" + FAILED),
    (
        "vllm-log-too-few-gpus",
        "ValueError: World size (4) is larger than the number of available GPUs (2) in this node.\n",
    ),
    (
        "vllm-log-no-gpu",
        "RuntimeError: Failed to infer device type, please set the environment variable `VLLM_LOGGING_LEVEL=DEBUG`\n",
    ),
    ("vllm-log-no-gpu", "RuntimeError: No CUDA GPUs are available\n" + FAILED),
    (
        "vllm-log-nccl",
        "RuntimeError: NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)\n" + FAILED,
    ),
    (
        "vllm-log-nccl",
        "torch.distributed.DistBackendError: NCCL error in: ../torch/csrc/distributed/c10d/NCCLUtils.cpp:77, remote process exited\n"
        + DIED,
    ),
    (
        "vllm-log-shm",
        "pod-0:88:88 [0] transport/shm.cc NCCL WARN Error while creating shared memory segment /dev/shm/nccl-0hXk2l (size 9637888)\nRuntimeError: NCCL error: unhandled system error\n"
        + FAILED,
    ),
    (
        "vllm-log-shm",
        "RuntimeError: Insufficient space in /dev/shm for 4 workers. Increase /dev/shm (e.g. --shm-size or --ipc=host)\n",
    ),
    (
        "vllm-log-worker-killed",
        START
        + "ERROR 11-23 02:31:44 [multiproc_executor.py:154] Worker proc VllmWorker-1 died unexpectedly (exit code: -9), shutting down executor.\n"
        + FAILED,
    ),
    (
        "vllm-log-worker-died",
        "ERROR [multiproc_executor.py:154] Worker proc VllmWorker-1 died unexpectedly, shutting down executor.\n"
        + FAILED,
    ),
    (
        "vllm-log-host-oom",
        "[Mon Nov 23 02:31:12 2026] Memory cgroup out of memory: Killed process 4711 (VLLM::Worker) total-vm:91234kB\n",
    ),
    ("vllm-log-engine-start-failed", "RuntimeError: Frontend process failed during engine core initialization.\n"),
    (
        "vllm-log-slow-start",
        "TimeoutError: Timed out waiting for engine core processes to start. This is often caused by slow weight loading. Set VLLM_ENGINE_READY_TIMEOUT_S\n",
    ),
    ("vllm-log-engine-died", LOADED + DIED),
    (
        "vllm-log-engine-died",
        "vllm.engine.async_llm_engine.AsyncEngineDeadError: Background loop has errored already.\n",
    ),
    ("vllm-log-gated-model", START + HUB),
    (
        "vllm-log-gated-model",
        "OSError: You are trying to access a gated repo.\nMake sure to have access to it at https://huggingface.co/m.\n403 Client Error. (Request ID: Root=1-6)\n",
    ),
    (
        "vllm-log-no-model",
        "401 Client Error. (Request ID: Root=1-6)\n\nRepository Not Found for url: https://huggingface.co/api/models/meta/lama.\n",
    ),
    ("vllm-log-no-model", "ValueError: Invalid repository ID or local directory specified: '/models/llama'.\n"),
    ("vllm-log-no-weights", "RuntimeError: Cannot find any model weights with `/models/llama`\n" + FAILED),
    ("vllm-log-hub-unreachable", UNREACHED),
    ("vllm-log-hub-unreachable", START + RETRY + RETRY + UNREACHED + FAILED),
    ("vllm-log-hub-unreachable", START + LOADED + UNREACHED + DIED),
    ("vllm-log-gpu-oom", START + RETRY + LOADED + OOM + DIED),
    ("vllm-log-gpu-oom", START + UNREACHED + LOADED + OOM + DIED),
    ("vllm-log-engine-died", START + UNREACHED + LOADED + DIED),
    (
        "vllm-log-too-few-gpus",
        UNREACHED
        + "ValueError: World size (4) is larger than the number of available GPUs (1) in this node.\n"
        + FAILED,
    ),
    (
        "vllm-log-hub-unreachable",
        "requests.exceptions.ConnectionError: (MaxRetryError(\"HTTPSConnectionPool(host='huggingface.co', port=443): Max retries exceeded\n",
    ),
    (
        "vllm-log-hub-limited",
        "huggingface_hub.errors.HfHubHTTPError: 429 Client Error: Too Many Requests for url: https://huggingface.co/m\n",
    ),
    (
        "vllm-log-remote-code",
        "ValueError: The repository for m contains custom code which must be executed. Please pass the argument `trust_remote_code=True` to allow custom code to be run.\n",
    ),
    (
        "vllm-log-architecture",
        "ValueError: Model architectures ['NewForCausalLM'] are not supported for now. Supported architectures: dict_keys([...])\n",
    ),
)
"""(signature of the root cause, log)."""

QUIET: Final[tuple[tuple[str, str], ...]] = (
    ("free memory is only told", START + FREE),
    ("all settings are repeated", START),
    (
        "PCIe corrects an error by itself",
        "pcieport 0000:00:1c.0: PCIe Bus Error: severity=Corrected, type=Physical Layer\n",
    ),
    ("a number that is not divisible, and nobody asserts", "note: 7 is not divisible by 2\n"),
    ("an exit of another code", "Worker proc count is 2, exit code: -9 is not among them\n"),
)
"""What looks like a fault and is none."""
