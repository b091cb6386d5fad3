"""Does a model fit its GPUs? The arithmetic from a pod's own arguments and its node's label, with what is a guess."""

import re
from collections.abc import Iterator
from typing import Final

import msgspec

from diagnosis.commands import fact
from diagnosis.gpu_ledger import MIG, WHOLE
from diagnosis.model_size import GIB, ModelSize, model_size
from situation.cluster import Node
from situation.findings import Evidence, Mark
from situation.gpu.requests import is_gpu
from situation.pods import Container
from situation.quantity import parse_quantity
from situation.serving.arguments import EngineArguments
from situation.serving.readings import Software
from situation.serving.recognise import ServerSpec

UTILIZATION: Final = 0.9
"""vLLM's default of `--gpu-memory-utilization`; more leaves too little for CUDA graphs, NCCL and what the allocator
wastes (playbook G)."""
KV_SHARE: Final = 0.15
"""Playbooks E: 15 to 20 % of the weights for KV cache and CUDA is the least that a server can work with."""
SPANS_NODES: Final = frozenset(
    {"--nnodes", "--node-rank", "--headless", "--data-parallel-address", "--data-parallel-size-local",
     "--data-parallel-rank", "--data-parallel-start-rank", "--distributed-executor-backend", "--dist-init-addr"}
)  # fmt: skip
"""With one of these the GPUs of other pods may count too (`--distributed-executor-backend` may name ray)."""
_ATTENTION_ONLY: Final = "--enable-dp-attention"
"""SGLang: attention alone is data parallel, on the GPUs that tensor parallelism has (`--tp-size` counts them all)."""
_PROFILE: Final = re.compile(r"^\d+g\.(\d+)gb")
_MIB: Final = 2**20


class Fit(msgspec.Struct, frozen=True):
    """What the arithmetic brought. All sizes in bytes; None: not known."""

    size: ModelSize | None
    share_bytes: float | None
    """Weights on each GPU."""
    gpu_bytes: float | None
    gpu_text: str
    """Where the GPU's size comes from."""
    utilization: float
    is_default: bool
    """The utilisation is not set: it is the engine's default."""
    split: int
    """GPUs that the weights are spread over."""

    @property
    def usable_bytes(self) -> float | None:
        return None if self.gpu_bytes is None else self.gpu_bytes * self.utilization

    @property
    def room_bytes(self) -> float | None:
        """What remains on each GPU for the KV cache, activations and CUDA graphs."""
        if self.usable_bytes is None or self.share_bytes is None:
            return None
        return self.usable_bytes - self.share_bytes

    @property
    def cannot(self) -> bool:
        """The weights alone are more than the GPU has; a bound from above proves nothing."""
        if self.share_bytes is None or self.gpu_bytes is None or self.size is None or self.size.is_bound:
            return False
        return self.share_bytes > self.gpu_bytes

    @property
    def is_tight(self) -> bool:
        room = self.room_bytes
        return room is not None and self.share_bytes is not None and room < KV_SHARE * self.share_bytes


def gpus_asked(container: Container) -> tuple[str, float] | None:
    """Return the GPU resource that a container asks for, and how many; None if none (it may come by a claim)."""
    for amounts in (container.resources.limits, container.resources.requests):
        for name, amount in amounts.items():
            if is_gpu(name) and (count := parse_quantity(amount)):
                return name, count
    return None


def fit_of(spec: ServerSpec, node: Node | None) -> Fit:
    """Work out what a server's weights leave of its GPUs."""
    arguments = spec.arguments
    size = model_size(arguments)
    split = arguments.gpus
    gpu_bytes, gpu_text = _gpu_bytes(spec.container, node)
    given = arguments.gpu_memory_utilization
    usable = given if given is not None and 0 < given <= 1 else None
    return Fit(
        size,
        size.weights_bytes / split if size else None,
        gpu_bytes,
        gpu_text,
        usable or UTILIZATION,
        usable is None,
        split,
    )


def _gpu_bytes(container: Container, node: Node | None) -> tuple[float | None, str]:
    asked = gpus_asked(container)
    if asked is None:
        return None, "it asks for no GPU by name"
    name, labels = asked[0], node.metadata.labels if node is not None else {}
    if name.startswith(MIG):
        profile = name.removeprefix(MIG)
        if (known := _mib(labels.get(f"{name}.memory", ""))) is not None:
            return known, f"label {name}.memory"
        match = _PROFILE.match(profile)
        return (float(match[1]) * GIB, f"by the name of MIG profile {profile}") if match else (None, profile)
    label = f"{WHOLE}.memory"
    if (known := _mib(labels.get(label, ""))) is not None:
        return known, f"label {label} of node {node.name if node else ''}"
    return None, f"its node has no label {label}"


def _mib(label: str) -> float | None:
    return int(label) * _MIB if label.isascii() and label.isdigit() and 0 < int(label) < 2**31 else None


def gib(count: float) -> str:
    return f"{count / GIB:.1f} GiB"


def arithmetic(spec: ServerSpec, fit: Fit) -> Iterator[Evidence]:
    """Yield the arithmetic as evidence: weights, share of each GPU, what remains."""
    if fit.size is None or fit.share_bytes is None:
        name = spec.arguments.model or spec.name
        yield fact("pods", f"the name of the model ({name or 'not given'}) does not tell its size", Mark.OPEN)
        return
    weights = f"a guess: {gib(fit.size.weights_bytes)} of weights: {fit.size.text}"
    each = f"; {gib(fit.share_bytes)} on each of {fit.split} GPUs" if fit.split > 1 else ""
    yield fact("pods", weights + each)
    if fit.gpu_bytes is None or fit.usable_bytes is None or fit.room_bytes is None:
        yield fact("nodes", f"how much memory a GPU has is not known: {fit.gpu_text}", Mark.OPEN)
        return
    has = f"a GPU has {gib(fit.gpu_bytes)} ({fit.gpu_text})"
    if fit.cannot:
        yield fact("nodes", f"{has}: weights of that size cannot fit")
        return
    told = _utilization_text(spec.software, fit)
    if fit.room_bytes <= 0:
        yield fact("nodes", f"{has}; {told} it takes {gib(fit.usable_bytes)}: less than the weights")
        return
    mark = Mark.SUPPORTS if fit.is_tight else Mark.OPEN
    yield fact(
        "nodes", f"{has}; {told} it takes {gib(fit.usable_bytes)}: {gib(fit.room_bytes)} remain for the KV cache", mark
    )


def _utilization_text(software: Software, fit: Fit) -> str:
    if fit.is_default:
        default = "vLLM's default" if software is Software.VLLM else "taken for the default"
        return f"at {fit.utilization:g} ({default})"
    return f"at {fit.utilization:g}"


def more_gpus(fit: Fit) -> int | None:
    """Return the smallest power of two of GPUs over which the weights leave room for a KV cache; None if not known."""
    if fit.size is None or fit.usable_bytes is None:
        return None
    for count in (1, 2, 4, 8, 16):
        if fit.size.weights_bytes / count * (1 + KV_SHARE) <= fit.usable_bytes:
            return count
    return None


def gpus_needed(arguments: EngineArguments) -> int | None:
    """Return the GPUs that the engine wants in this pod, None where other pods may bring some of them."""
    if arguments.flags & SPANS_NODES:
        return None
    return arguments.gpus * data_ranks(arguments)


def data_ranks(arguments: EngineArguments) -> int:
    """Return how often the engine is there with GPUs of its own each time."""
    return 1 if _ATTENTION_ONLY in arguments.flags else arguments.data_parallel or 1
