"""What the containers of the vLLM incidents print: the lines that people search for, as vLLM writes them."""

from typing import Final

_API: Final = "(APIServer pid=1) "
_CORE: Final = "(EngineCore pid=96) "

STARTS: Final = (
    f"{_API}INFO [api_server.py] vLLM API server version 0.32.0\n"
    f"{_CORE}INFO [core.py] Initializing a V1 LLM engine (v0.32.0)\n"
)
SERVES: Final = (
    f"{STARTS}"
    f"{_CORE}INFO [gpu_worker.py] Available KV cache memory: 49.25 GiB\n"
    f"{_CORE}INFO [kv_cache_utils.py] GPU KV cache size: 403,456 tokens\n"
    f"{_API}INFO:     Application startup complete.\n"
)
HANGS: Final = (
    f"{SERVES}"
    f"{_API}INFO [loggers.py] Engine 000: Avg prompt throughput: 558.0 tokens/s, Avg generation throughput: "
    "189.0 tokens/s, Running: 8 reqs, Waiting: 0 reqs, GPU KV cache usage: 44.0%, Prefix cache hit rate: 40.0%\n"
    + f"{_CORE}INFO [shm_broadcast.py] No available shared memory broadcast block found in 60 seconds. This typically "
    "happens when some processes are hanging or doing some time-consuming work (e.g. compilation).\n" * 2
)
ENGINE_DIED: Final = (
    f"{SERVES}"
    f"{_CORE}ERROR [core.py] EngineCore encountered a fatal error.\n"
    f"{_CORE}ERROR [core.py] Traceback (most recent call last):\n"
    f"{_CORE}ERROR [core.py] torch.AcceleratorError: CUDA error: an illegal memory access was encountered\n"
    f"{_API}ERROR [async_llm.py] AsyncLLM output_handler failed.\n"
    f"{_API}ERROR [async_llm.py] vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered an issue. See stack "
    "trace (above) for the root cause.\n"
    f'{_API}INFO:     10.20.0.9:52814 - "POST /v1/chat/completions HTTP/1.1" 500 Internal Server Error\n'
    f"{_API}INFO:     Shutting down\n"
    f"{_API}INFO:     Finished server process [1]\n"
)
GPU_MEMORY_RAN_OUT: Final = (
    f"{STARTS}"
    f"{_CORE}INFO [gpu_model_runner.py] Starting to load model meta-llama/Llama-3.1-70B-Instruct...\n"
    f"{_CORE}ERROR [core.py] EngineCore failed to start.\n"
    f"{_CORE}ERROR [core.py] Traceback (most recent call last):\n"
    f"{_CORE}ERROR [core.py] torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 448.00 MiB. GPU 0 has a "
    "total capacity of 79.11 GiB of which 281.06 MiB is free. Including non-PyTorch memory, this process has 78.82 GiB "
    "memory in use.\n"
    f"{_API}Traceback (most recent call last):\n"
    f"{_API}RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): "
    "{'EngineCore': 1}\n"
)
LOADING: Final = f"{STARTS}" + "".join(
    f"{_CORE}Loading safetensors checkpoint shards: {done * 100 // 30:3}% Completed | {done}/30\n"
    for done in range(1, 9)
)
"""Ends in the middle: a process that is killed while it loads has no last word."""
