"""Which argument of a model server to change, to what value and why, when its GPU's memory does not suffice."""

from collections.abc import Iterator
from typing import Final

from diagnosis.gpu_fit import UTILIZATION, Fit, gib, more_gpus
from diagnosis.model_pods import ServerCrash

LENGTH: Final = 8192
"""Ours: a context that most uses get along with, offered where none is set."""
SEQUENCES: Final = 64
"""Ours: a quarter of vLLM's usual default of 256."""
CAREFUL: Final = 0.85
"""Playbooks E."""
SHARED: Final = 0.75
"""Playbooks E: 0.70 to 0.80 where a GPU is shared."""


def advice(crash: ServerCrash, fit: Fit, has_started: bool) -> Iterator[str]:
    """Yield arguments to change, the one that helps most first."""
    if fit.cannot or (fit.room_bytes is not None and fit.room_bytes <= 0):
        yield from _larger(crash, fit)
        return
    if crash.fault is not None and crash.fault.id == "vllm-log-gpu-not-free":
        yield f"{crash.flag('utilization')} {SHARED:g} if the GPU is shared on purpose (0.70 to 0.80); else free it"
        return
    if crash.fault is not None and crash.fault.id == "vllm-log-no-kv-room":
        yield from _more_kv(crash, fit)
        return
    if fit.is_tight:
        yield from _larger(crash, fit)
    if not has_started:
        yield _length(crash)
    yield _sequences(crash)
    if fit.utilization > CAREFUL:
        now = f"{fit.utilization:g}{' (default)' if fit.is_default else ''}"
        yield f"{crash.flag('utilization')} {now} -> {CAREFUL:g}: leaves room beside the KV cache"


def _length(crash: ServerCrash) -> str:
    flag, now = crash.flag("length"), crash.spec.arguments.max_model_len
    if now is None:
        return f"{flag} {LENGTH}: it is not set, so the model's own maximum counts"
    return f"{flag} {now} -> {max(1, now // 2)}: the longest request decides how much is set aside"


def _sequences(crash: ServerCrash) -> str:
    flag, now = crash.flag("sequences"), crash.spec.arguments.max_num_seqs
    if now is None:
        return f"{flag} {SEQUENCES}: it is not set, and fewer requests at once need less"
    return f"{flag} {now} -> {max(1, now // 2)}: fewer requests at once need less"


def _larger(crash: ServerCrash, fit: Fit) -> Iterator[str]:
    count = more_gpus(fit)
    pipeline = crash.spec.arguments.pipeline_parallel or 1
    if count is not None and count > fit.split and fit.size is not None:
        tensor = max(1, count // pipeline)
        each = gib(fit.size.weights_bytes / count)
        yield f"{crash.flag('tensor')} {tensor} with {count} GPUs: {each} of weights on each"
    if fit.size is not None and fit.size.bytes_each > 1:
        yield "a quantised model: 8 bit halves its weights, 4 bit quarters them"


def _more_kv(crash: ServerCrash, fit: Fit) -> Iterator[str]:
    if not fit.is_default and fit.utilization < UTILIZATION:
        more = f"{crash.flag('utilization')} {fit.utilization:g} -> {UTILIZATION:g}"
        yield f"{more}: what it gets beyond the weights is KV cache"
    yield _length(crash)
    yield from _larger(crash, fit)
