"""What stops vLLM before it serves: the model, the hub it comes from, its arguments, the GPUs and how they talk.

Wordings of 0.6 to 0.33, of transformers and of the model hub (metrics section 2).
"""

from functools import partial
from typing import Final

from diagnosis.log_catalogue.signature import NVIDIA_SMI, Signature, Weight, advice, look
from diagnosis.log_catalogue.vllm import ARGUMENTS, STARTED_FAILED

_signature = partial(Signature, row="", family="vllm", found_in="vLLM, at its start", over=STARTED_FAILED)
_HUB: Final = ("vllm-log-hub-refused", "vllm-log-hub-unreachable", *STARTED_FAILED)
_TOKEN: Final = look(
    "does the container get a token (HF_TOKEN), and from which secret?",
    "get", "pod", "<pod>", "-o", "jsonpath={.spec.containers[*].env[*].name}{.spec.containers[*].envFrom}",
)  # fmt: skip
_GPUS: Final = look(
    "how many GPUs does it ask for?", "get", "pod", "<pod>", "-o",
    "jsonpath={.spec.containers[*].resources.limits}",
)  # fmt: skip
_VOLUMES: Final = look("which volumes has it?", "get", "pod", "<pod>", "-o", "jsonpath={.spec.volumes}")

SIGNATURES: Final[tuple[Signature, ...]] = (
    _signature(
        id="vllm-log-gated-model",
        texts=(
            "You are trying to access a gated repo",
            "GatedRepoError",
            "Cannot access gated repo for url",
            "Access to model…is restricted",
        ),
        meaning="the model is gated: its owner gives it only to accounts that have accepted its terms",
        cause="401: no token reaches the container. 403: the token's account has not been given access.",
        next=(_TOKEN, advice("accept the model's terms with the account of the token, or give the pod a token")),
        over=("vllm-log-no-model", *_HUB),
    ),
    _signature(
        id="vllm-log-no-model",
        texts=(
            "RepositoryNotFoundError",
            "Repository Not Found for url:",
            "is not a local folder and is not a valid model identifier",
            "Invalid repository ID or local directory specified",
        ),
        meaning="there is no such model, or it is private and no token reaches it",
        cause="The name is misspelt, a local path is not mounted, or the repository is private (the hub answers "
        "401 for missing and private ones alike).",
        next=(ARGUMENTS, _TOKEN, advice("check the name on the hub; a path must be on a volume that is mounted")),
        over=_HUB,
    ),
    _signature(
        id="vllm-log-no-weights",
        texts=("Cannot find any model weights with",),
        meaning="the model's folder has no weights in a format that vLLM reads",
        cause="A download that broke off, the wrong folder, or another --load-format.",
        next=(ARGUMENTS, _VOLUMES),
    ),
    _signature(
        id="vllm-log-hub-limited",
        texts=("429 Client Error",),
        meaning="the model hub refuses more requests for now (429)",
        cause="Many starts without a cache, or without a token: each downloads anew.",
        next=(_VOLUMES, advice("keep the model on a volume, and give the pod a token")),
        over=_HUB,
    ),
    _signature(
        id="vllm-log-hub-refused",
        texts=(
            "401 Client Error…Request ID",
            "403 Client Error…Request ID",
            "401 Client Error…huggingface.co",
            "403 Client Error…huggingface.co",
        ),
        meaning="the model hub refuses: 401 is no token, 403 a token without access",
        cause="The line after it names the repository.",
        next=(_TOKEN,),
        over=("vllm-log-hub-unreachable", *STARTED_FAILED),
    ),
    _signature(
        id="vllm-log-hub-unreachable",
        texts=(
            "LocalEntryNotFoundError",
            "Could not retrieve safetensors metadata for",
            "ConnectionError…huggingface.co",
            "HTTPSConnectionPool(host='huggingface.co'",
        ),
        meaning="the model hub cannot be reached from the pod, and the model is not in its cache",
        cause="No way out: DNS, a network policy, a proxy that is not set; or the hub is down.",
        next=(
            look("which policies select the pod?", "get", "networkpolicies"),
            _TOKEN,
            advice("keep the model on a volume and start with HF_HUB_OFFLINE=1, or let the pod out"),
        ),
        look_alikes={
            "vllm-log-hub-retry": "there it asks again, which is said of each try",
            "a hub that came back": "another fault, or a good start after it, shows that the model was there",
        },
        may_pass=True,
    ),
    _signature(
        id="vllm-log-hub-retry",
        texts=("thrown while requesting…http", "Error retrieving…, retrying"),
        meaning="the model hub did not answer one request, and is asked again",
        cause="A slow line or a busy hub; if it never answers, another error ends the start.",
        next=(_VOLUMES, advice("keep the model on a volume, so that a start needs no hub")),
        over=("vllm-log-hub-unreachable",),
        weight=Weight.NOTE,
    ),
    _signature(
        id="vllm-log-context-over-kv",
        texts=(
            "KV cache is needed, which is larger than the available KV cache memory",
            "is larger than the maximum number of tokens that can be stored in KV cache",
        ),
        meaning="the KV cache is too small for one request of the full context length",
        cause="Beside the weights less memory is left than one request of --max-model-len needs.",
        next=(ARGUMENTS, advice("--max-model-len at or below `the estimated maximum model length` of that line")),
        look_alikes={"vllm-log-context-over-model": "there the model itself does not know so long a context"},
        over=("vllm-log-gpu-oom", *STARTED_FAILED),
    ),
    _signature(
        id="vllm-log-context-over-model",
        texts=("User-specified max_model_len (…is greater than the derived max_model_len",),
        meaning="--max-model-len is more than the model was made for",
        cause="The model's own configuration says how long a context may be.",
        next=(ARGUMENTS, advice("lower --max-model-len to what the line says, or leave it out")),
    ),
    _signature(
        id="vllm-log-heads",
        texts=("Total number of attention heads (…must be divisible by tensor parallel size (",),
        meaning="the model's attention heads cannot be divided by the tensor parallel size",
        cause="--tensor-parallel-size must divide the number of heads that the line names.",
        next=(ARGUMENTS, advice("a tensor parallel size that divides it: 2, 4 or 8 nearly always")),
    ),
    _signature(
        id="vllm-log-weight-split",
        texts=("AssertionError:…is not divisible by",),
        meaning="a weight of the model cannot be split over so many GPUs",
        cause="--tensor-parallel-size does not divide one of the model's dimensions (or a quantisation group).",
        next=(ARGUMENTS, advice("another --tensor-parallel-size")),
    ),
    _signature(
        id="vllm-log-too-few-gpus",
        texts=("World size (…is larger than the number of available GPUs (",),
        meaning="it is told to use more GPUs than it has",
        cause="Tensor times pipeline parallel size is more than the GPUs of the container.",
        next=(_GPUS, ARGUMENTS),
    ),
    _signature(
        id="vllm-log-no-gpu",
        texts=("Failed to infer device type", "No CUDA GPUs are available"),
        meaning="it sees no GPU at all",
        cause="The container asks for none, it did not get the NVIDIA runtime, or the driver does not answer.",
        next=(_GPUS, NVIDIA_SMI),
        look_alikes={"vllm-log-too-few-gpus": "there it has GPUs, only not enough"},
    ),
    _signature(
        id="vllm-log-shm",
        texts=(
            "Error while creating shared memory segment /dev/shm/nccl-",
            "Call to posix_fallocate failed : No space left on device",
            "Insufficient space in /dev/shm for",
            "Bus error (core dumped)",
            "Fatal Python error: Bus error",
            "bus error encountered in worker",
        ),
        meaning="too little shared memory (/dev/shm): the GPUs of one server talk through it",
        cause="A container gets 64 MiB of it unless an emptyDir of medium Memory is mounted there.",
        next=(_VOLUMES, advice("mount an emptyDir with medium Memory at /dev/shm; it counts against the memory limit")),
        over=("vllm-log-nccl", *STARTED_FAILED),
    ),
    _signature(
        id="vllm-log-nccl",
        texts=(
            "RuntimeError: NCCL error: ",
            "torch.distributed.DistBackendError: NCCL error in:",
            "ncclSystemError",
            "ncclInternalError",
            "ncclRemoteError",
            "Watchdog caught collective operation timeout",
        ),
        meaning="the GPUs of the server cannot talk to each other (NCCL)",
        cause="Too little /dev/shm, a link or a GPU that is broken, or a worker on another node that is not reached.",
        next=(
            _VOLUMES,
            NVIDIA_SMI,
            advice("start with NCCL_DEBUG=INFO: the first NCCL WARN line names the cause"),
        ),
    ),
    _signature(
        id="vllm-log-slow-start",
        texts=("Timed out waiting for engine core processes to start",),
        meaning="the engine took longer to start than vLLM waits for it",
        cause="Loading or compiling takes longer than VLLM_ENGINE_READY_TIMEOUT_S.",
        next=(_VOLUMES, advice("a faster volume for the model, or a larger VLLM_ENGINE_READY_TIMEOUT_S")),
    ),
    _signature(
        id="vllm-log-remote-code",
        texts=(
            "argument `trust_remote_code=True`",
            "option `trust_remote_code=True`",
            "consider setting `trust_remote_code=True`",
        ),
        meaning="the model brings code of its own, which may run only with --trust-remote-code",
        cause="Its repository holds Python code that the library does not know.",
        next=(
            ARGUMENTS,
            advice("read that code first; then --trust-remote-code, or a newer vLLM"),
        ),
        look_alikes={"the line with all settings": "`trust_remote_code=True` in it only repeats the arguments"},
    ),
    _signature(
        id="vllm-log-architecture",
        texts=("Model architectures […are not supported for now", "Error in inspecting model architecture"),
        meaning="this version of vLLM does not know the model's architecture",
        cause="The model is newer than vLLM, or no model of this kind.",
        next=(ARGUMENTS, advice("a newer image of vLLM")),
    ),
)
