"""vLLM at work: memory, workers and the engine. What stops it before it has loaded is in `vllm_start`.

Wordings of 0.6 to 0.33 (metrics section 2). The cause always stands above the generic last line.
"""

from functools import partial
from typing import Final

from diagnosis.log_catalogue.signature import Signature, Step, Weight, advice, look
from situation.findings import Effect

_signature = partial(Signature, row="", family="vllm", found_in="vLLM")

ARGUMENTS: Final = look(
    "which arguments has it?", "get", "pod", "<pod>", "-o",
    "jsonpath={.spec.containers[*].command}{.spec.containers[*].args}",
)  # fmt: skip
_RESOURCES: Final = look(
    "which limits has it?", "get", "pod", "<pod>", "-o", "jsonpath={.spec.containers[*].resources}"
)
_NODE_PODS: Final = look(
    "which other pods of the node use its GPUs?",
    "get", "pods", "-A", "-o", "wide", "--field-selector", "spec.nodeName=<node>", namespace="",
)  # fmt: skip
_GPU_MEMORY: Final[Step] = Step(
    "who holds the GPU's memory?", ("nvidia-smi", "--query-compute-apps=pid,process_name,used_memory", "--format=csv"),
    where="node <node>",
)  # fmt: skip

STARTED_FAILED: Final = ("vllm-log-engine-start-failed", "vllm-log-worker-died", "vllm-log-engine-died")
"""What is said last whatever the cause is."""
_OUT_OF_MEMORY: Final = ("vllm-log-gpu-oom", *STARTED_FAILED)

SIGNATURES: Final[tuple[Signature, ...]] = (
    _signature(
        id="vllm-log-gpu-oom",
        texts=("CUDA out of memory", "torch.OutOfMemoryError", "torch.cuda.OutOfMemoryError"),
        meaning="the GPU's memory is full: weights, KV cache and activations do not fit",
        cause="The model, its context or the share of memory it may take is too large for the GPU, or something else "
        "uses the GPU too.",
        next=(
            ARGUMENTS,
            _NODE_PODS,
            advice("lower --max-model-len first, then --max-num-seqs; or more GPUs with --tensor-parallel-size"),
        ),
        look_alikes={
            "OOMKilled": "exit 137 is the host's memory; this ends with exit 1",
            "vllm-log-gpu-not-free": "there the memory was gone before vLLM took any",
        },
        over=STARTED_FAILED,
    ),
    _signature(
        id="vllm-log-oom-warm-up",
        texts=("occurred when warming up sampler with", "occurred when warming up pooler"),
        meaning="the GPU's memory was full while warming up with as many requests as may run at once",
        cause="The weights fit; --max-num-seqs requests at once beside the KV cache do not.",
        next=(ARGUMENTS, advice("lower --max-num-seqs, or --gpu-memory-utilization")),
        over=_OUT_OF_MEMORY,
    ),
    _signature(
        id="vllm-log-gpu-not-free",
        texts=("Free memory on device…on startup is less than desired GPU memory utilization",),
        meaning="the GPU's memory was in use already when vLLM started",
        cause="Another process has the GPU: a shared GPU, a second server on it, or one that did not end.",
        next=(_NODE_PODS, _GPU_MEMORY, advice("on shared GPUs --gpu-memory-utilization 0.70 to 0.80")),
        look_alikes={"the information line": "`Free memory on device (` without `is less than desired` is no fault"},
        over=_OUT_OF_MEMORY,
    ),
    _signature(
        id="vllm-log-no-kv-room",
        texts=("No available memory for the cache blocks",),
        meaning="the weights fill the GPU's memory: nothing is left for the KV cache",
        cause="What --gpu-memory-utilization allows is used up by weights and activations.",
        next=(
            ARGUMENTS,
            advice("more GPUs with --tensor-parallel-size, a quantised model, or a higher --gpu-memory-utilization"),
        ),
        over=STARTED_FAILED,
    ),
    _signature(
        id="vllm-log-worker-killed",
        texts=("Worker proc…died unexpectedly…exit code: -9",),
        meaning="a worker was killed with SIGKILL: nearly always the host's memory, not the GPU's",
        cause="The container's memory limit, or the node's memory, was used up; the kernel took a worker, not the main "
        "process, so the container itself may end with exit 1.",
        next=(_RESOURCES, advice("a higher memory limit", Effect.DISRUPTIVE)),
        over=STARTED_FAILED,
    ),
    _signature(
        id="vllm-log-host-oom",
        texts=("Memory cgroup out of memory",),
        found_in="the node's kernel",
        meaning="a container's memory limit was used up, and the kernel killed a process in it",
        cause="The limit is too low for what the container keeps in the host's memory.",
        next=(_RESOURCES, advice("a higher memory limit", Effect.DISRUPTIVE)),
        look_alikes={"vllm-log-gpu-oom": "there the GPU's memory is full, and CUDA says so"},
        over=STARTED_FAILED,
    ),
    _signature(
        id="vllm-log-broadcast-wait",
        texts=("No available shared memory broadcast block found",),
        meaning="a worker waits for the others: once is normal while loading, again and again is a hung worker",
        cause="A rank loads, compiles, or hangs (NCCL, a GPU that fell out).",
        next=(ARGUMENTS, advice("repeated while it serves: look for NCCL lines and Xid errors of the node")),
        weight=Weight.WAITS,
    ),
    _signature(
        id="vllm-log-worker-died",
        texts=(
            "Worker proc…died unexpectedly",
            "WorkerProc initialization failed due to",
            "WorkerProc failed to start.",
            "WorkerProc hit an exception.",
        ),
        meaning="a worker of the engine ended; the line above says why",
        cause="This is the end, not the cause.",
        next=(ARGUMENTS, advice("read upwards to the first error of a worker")),
        over=("vllm-log-engine-start-failed", "vllm-log-engine-died"),
    ),
    _signature(
        id="vllm-log-engine-start-failed",
        texts=(
            "EngineCore failed to start",
            "Engine core initialization failed",
            "Frontend process failed during engine core initialization",
        ),
        meaning="the engine could not start; the root cause stands above this line",
        cause="This is the end, not the cause.",
        next=(ARGUMENTS, advice("read upwards to the first error")),
        over=("vllm-log-engine-died",),
    ),
    _signature(
        id="vllm-log-engine-died",
        texts=(
            "EngineCore encountered a fatal error",
            "AsyncLLM output_handler failed",
            "EngineDeadError",
            "Background loop has errored already",
            "MQLLMEngine is already dead",
        ),
        meaning="the engine died while it served; the first error above says why",
        cause="Memory, a worker, a GPU error (Xid), or a fault of vLLM itself.",
        next=(ARGUMENTS, advice("read upwards to the first error; look for Xid errors of the node at that time")),
    ),
    _signature(
        id="vllm-log-preempted",
        texts=("is preempted by…mode because there is not enough KV cache space",),
        meaning="requests are thrown out of the KV cache and computed anew (vLLM up to 0.10.2 says so in its log)",
        cause="More requests at once, or longer ones, than the KV cache holds.",
        next=(ARGUMENTS, advice("lower --max-num-seqs, or give it more memory")),
        weight=Weight.NOTE,
    ),
    _signature(
        id="vllm-log-started",
        texts=(
            "Available KV cache memory:",
            "GPU KV cache size:…tokens",
            "Maximum concurrency for…tokens per request:",
        ),
        meaning="weights are loaded and the KV cache is laid out: the start went well up to here",
        cause="A marker of a good start.",
        next=(ARGUMENTS,),
        weight=Weight.NOTE,
        is_start=True,
    ),
    _signature(
        id="vllm-log-shutdown",
        texts=("[shutdown] API server: shutdown triggered",),
        meaning="it was asked to stop, and stops",
        cause="A rollout, a scale-down, a drain, or a probe.",
        next=(look("what asked it to stop?", "describe", "pod", "<pod>"),),
        weight=Weight.NOTE,
    ),
)
