"""Layer 1: model servers that cannot start, for a reason their log names, or that crash for one nobody has read yet."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from diagnosis.commands import counted, fact, kubectl, on_node
from diagnosis.container_facts import exit_text, one_of_many
from diagnosis.gpu_fit import arithmetic, data_ranks, gpus_asked, gpus_needed
from diagnosis.model_pods import ServerCrash, server_crash, shm_mount, to_change
from diagnosis.pod_verdict import fired, run_evidence
from diagnosis.rule import CLEAR, Rule, Verdict, rule
from diagnosis.rules.containers import node_oom
from diagnosis.rules.vllm_memory import DEVICE_FAULTS, HOST_FAULTS
from situation.crashes import is_slow
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.meta import Ref
from situation.pods import Pod
from situation.situation import Situation


class _Class(NamedTuple):
    """What a log signature of the start means for the finding."""

    title: str
    change: str = ""
    """What to change; a `{flag:NAME}` is the engine's own flag."""
    layer: Layer | None = None


_CLASSES: Final = {
    "vllm-log-gated-model": _Class("may not have its model: it is gated",
                                   "accept its terms with the token's account, or set HF_TOKEN from a secret"),
    "vllm-log-no-model": _Class("does not find its model: no such name, or private",
                                "the model's name, the path of its volume, or HF_TOKEN for a private one"),
    "vllm-log-no-weights": _Class("finds no weights in its model's folder", "the folder's content, or --load-format"),
    "vllm-log-hub-refused": _Class("is refused by the model hub",
                                   "401: set HF_TOKEN from a secret; 403: give the token's account access"),
    "vllm-log-hub-limited": _Class("is turned away by the model hub for asking too often",
                                   "keep the model on a volume, so that a restart does not download it",
                                   Layer.NETWORK),
    "vllm-log-hub-unreachable": _Class("cannot reach the model hub",
                                       "let the pod out, or keep the model on a volume and set HF_HUB_OFFLINE=1",
                                       Layer.NETWORK),
    "vllm-log-context-over-kv": _Class("has no room for one request of its full context"),
    "vllm-log-context-over-model": _Class("is given a longer context than its model has",
                                          "leave {flag:length} out, or lower it to what the line says"),
    "vllm-log-heads": _Class("cannot split its model: attention heads by the tensor parallel size",
                             "{flag:tensor} to a divisor of the heads that the line names"),
    "vllm-log-weight-split": _Class("cannot split its model over so many GPUs", "{flag:tensor} to another divisor"),
    "vllm-log-too-few-gpus": _Class("has fewer GPUs than it is told to use", "{flag:tensor}, or more GPUs in limits"),
    "vllm-log-no-gpu": _Class("sees no GPU"),
    "vllm-log-shm": _Class("has too little /dev/shm",
                           "mount an emptyDir with medium Memory at /dev/shm; it counts against the memory limit"),
    "vllm-log-nccl": _Class("fails to connect its GPUs (NCCL)", "NCCL_DEBUG=INFO: its first WARN line is the cause"),
    "vllm-log-slow-start": _Class("takes longer to start than it waits for itself",
                                  "VLLM_ENGINE_READY_TIMEOUT_S higher, or a faster volume for the model"),
    "vllm-log-remote-code": _Class("may not run the code that its model brings",
                                   "--trust-remote-code after reading that code, or a newer image"),
    "vllm-log-architecture": _Class("does not know its model's architecture", "a newer image"),
}  # fmt: skip
_ESTIMATE: Final = re.compile(r"estimated maximum model length is (\d{1,9})")


@rule(
    "vllm-start-failed",
    signature="L1-17",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="The log of a model server that crashes, once somebody has read it (L), or its termination message: a "
    "gated, missing or private model, the model hub, context length, tensor parallel size, GPUs, NCCL, /dev/shm, "
    "remote code, architecture.",
    look_alikes={
        "vllm-device-oom": "there the GPU's memory is full",
        "vllm-crash": "nobody has read the log, or it names no known fault",
        "gpu-link-broken": "no GPU is visible because a part of the GPU chain on the node is broken: it is the cause",
        "a log of an earlier run": "belongs to that run: forgotten once the container has ended again",
    },
)
def vllm_start_failed(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A model server cannot start, for a reason that its log names: model, hub, arguments, GPUs or how they talk."""
    crash = server_crash(pod, situation, now)
    if crash is None or crash.fault is None or crash.fault.id not in _CLASSES:
        return CLEAR
    known = _CLASSES[crash.fault.id]
    evidence = [*run_evidence(crash.loop, pod, situation), *crash.log_evidence(), *_circumstances(crash)]
    change = re.sub(r"\{flag:(\w+)\}", lambda found: crash.flag(found[1]), known.change)
    if crash.fault.id == "vllm-log-context-over-kv":
        change = _shorter(crash)
        evidence += arithmetic(crash.spec, crash.fit(situation))
    if change:
        evidence.append(to_change(change))
    layer = known.layer
    if crash.fault.id == "vllm-log-no-gpu" and gpus_asked(crash.spec.container) is not None:
        layer = Layer.NODE
    title = f"{known.title}{one_of_many(pod, crash.loop.container.name)}"
    return fired(
        pod, situation, now, title, evidence, _commands(crash), layer=layer, follows=_follows(crash)
    )  # fmt: skip


def _shorter(crash: ServerCrash) -> str:
    flag, now = crash.flag("length"), crash.spec.arguments.max_model_len
    found = _ESTIMATE.search(crash.fault.text) if crash.fault is not None else None
    value = found[1] if found else str(now // 2) if now else "8192"
    why = "the engine's own estimate" if found else "less than what did not fit"
    return f"{flag} {f'{now} -> ' if now else ''}{value}: {why}"


def _circumstances(crash: ServerCrash) -> Iterator[Evidence]:
    """Yield what the pod's spec adds to what the log says."""
    id = crash.fault.id if crash.fault is not None else ""
    asked, arguments = gpus_asked(crash.spec.container), crash.spec.arguments
    if id in ("vllm-log-no-gpu", "vllm-log-too-few-gpus", "vllm-log-heads", "vllm-log-weight-split"):
        has = f"{asked[1]:g} {asked[0]}" if asked is not None else "no GPU by name (a resource claim may bring some)"
        yield fact("pods", f"its container asks for {has}; tensor parallel {arguments.tensor_parallel or 1}, "
                   f"pipeline parallel {arguments.pipeline_parallel or 1}")  # fmt: skip
    if id in ("vllm-log-shm", "vllm-log-nccl"):
        mounted = shm_mount(crash.spec.container) is not None
        text = "a volume is mounted at /dev/shm" if mounted else "nothing is mounted at /dev/shm: it has 64 MiB"
        yield fact("pods", text, Mark.EXCLUDES if mounted and id == "vllm-log-nccl" else Mark.SUPPORTS)


def _follows(crash: ServerCrash) -> tuple[Ref, ...]:
    id = crash.fault.id if crash.fault is not None else ""
    node = Ref("Node", "", crash.pod.spec.node_name)
    if id in ("vllm-log-no-gpu", "vllm-log-nccl"):
        return (node,)
    if id == "vllm-log-hub-unreachable":
        dns = (Ref("Deployment", "kube-system", "coredns"), Ref("Service", "kube-system", "kube-dns"))
        return (*dns, node)
    return ()


def _commands(crash: ServerCrash) -> tuple[Command, ...]:
    commands = [crash.log("what stands above that line?"), crash.arguments("which arguments has it?")]
    id = crash.fault.id if crash.fault is not None else ""
    if id in ("vllm-log-no-gpu", "vllm-log-nccl"):
        commands.append(on_node(crash.pod.spec.node_name, "nvidia-smi", purpose="does the driver show its GPUs?"))
    if id == "vllm-log-hub-unreachable":
        commands.append(
            kubectl("get", "networkpolicies", purpose="which policies select the pod?", namespace=crash.pod.namespace)
        )
    return tuple(commands)


@rule(
    "vllm-tp-mismatch",
    signature="L1-17",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="Tensor x pipeline x data parallel size in the arguments of a model server that crashes, against the GPUs "
    "that its container asks for.",
    look_alikes={
        "vllm-start-failed": "the log was read and names another reason",
        "a server over several nodes": "--nnodes, or an executor that may be Ray: other pods bring GPUs too: silent",
        "--enable-dp-attention": "its data parallel ranks share the GPUs of tensor parallel, and do not count",
        "vllm-review": "more GPUs than it uses: it starts, and wastes them",
    },
)
def vllm_tp_mismatch(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A model server is told to use more GPUs than its container asks for, so it cannot start."""
    crash = server_crash(pod, situation, now)
    if crash is None or _is_told(crash) or crash.fault is not None:
        return CLEAR
    asked, needed = gpus_asked(crash.spec.container), gpus_needed(crash.spec.arguments)
    if asked is None or needed is None or needed <= asked[1]:
        return CLEAR
    arguments = crash.spec.arguments
    ranks = data_ranks(arguments)
    data = f" x data parallel {ranks}" if ranks > 1 else ""
    evidence = [
        *run_evidence(crash.loop, pod, situation),
        fact("pods", f"tensor parallel {arguments.tensor_parallel or 1} x pipeline parallel "
             f"{arguments.pipeline_parallel or 1}{data} = {counted(needed, 'GPU')}"),
        fact("pods", f"its container asks for {asked[1]:g} {asked[0]}"),
        *crash.log_evidence(),
        to_change(f"{crash.flag('tensor')} to {asked[1]:g}, or {asked[0]}: {needed} in limits"),
    ]  # fmt: skip
    commands = (crash.log("does it say that the world size is larger?"), crash.limits("how many GPUs?"))
    title = f"is told to use {needed} GPUs and has {asked[1]:g}{one_of_many(pod, crash.loop.container.name)}"
    return fired(pod, situation, now, title, evidence, commands)


def _is_told(crash: ServerCrash) -> bool:
    """Tell whether another rule has the proof: how it ended, or what its log said."""
    end = crash.loop.end
    return (end is not None and end.reason == "OOMKilled") or (
        crash.fault is not None and crash.fault.id in {*DEVICE_FAULTS, *HOST_FAULTS, *_CLASSES}
    )


@rule(
    "vllm-crash",
    signature="L1-01 L1-17",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="The last end of a model server that crashes again and again, its memory limit, whether anybody has read "
    "the log of that run, and the arithmetic of its weights against the node's GPU memory label.",
    look_alikes={
        "vllm-host-oom": "OOMKilled, or a log that says that a worker was killed",
        "vllm-device-oom": "a log that says so: CUDA out of memory",
        "vllm-start-failed": "a log that names why it cannot start",
        "vllm-killed-before-ready": "a Killing event says that a probe failed",
        "oom-killed": "a SystemOOM event of the node at that time",
    },
)
def vllm_crash(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A model server crashes, and nothing proves yet whether it is the host's memory, the GPU's, or something else."""
    crash = server_crash(pod, situation, now)
    if crash is None or _is_told(crash) or node_oom(crash.loop, pod, situation) is not None:
        return CLEAR
    loop, fit = crash.loop, crash.fit(situation)
    clean = loop.end is not None and loop.end.exit_code == 0
    title = f"{'exits as if it were done' if clean else 'crashes'}{one_of_many(pod, loop.container.name)}"
    title += f": {exit_text(loop.end)}"
    if loop.status.restart_count:
        title += f", {counted(loop.status.restart_count, 'restart')}"
    if fit.cannot:
        title += ": by its name, too large for its GPUs"
    elif crash.fault is not None:
        title += f": {crash.fault.meaning}"
    ended, *rest = run_evidence(loop, pod, situation)
    fits = list(arithmetic(crash.spec, fit))
    told = [*_host_or_device(crash, situation), *crash.log_evidence()]
    evidence = [ended, *(fits + told if fit.cannot else told + fits), *rest]
    commands = (
        crash.log("host or GPU memory, or something else? The first error is the cause"),
        crash.limits("which memory limit, how many GPUs?"),
        crash.described("what changed, and what do the events say?"),
    )
    severity = Severity.WARNING if is_slow(loop) else None
    return fired(pod, situation, now, title, evidence, commands, severity=severity)


def _host_or_device(crash: ServerCrash, situation: Situation) -> Iterator[Evidence]:
    """Yield what tells the host's memory from the GPU's: exit code, reason, limit."""
    end = crash.loop.end
    if end is None:
        yield fact("pods", "how it ended is not known: host (137, OOMKilled) or GPU (exit 1)?", Mark.OPEN)
        return
    limit = crash.loop.container.resources.limits.get("memory")
    has = f"limit {limit}" if limit is not None else "no limit set"
    if end.exit_code == 137:
        yield fact("pods", "exit 137 is SIGKILL, which a full GPU does not send", Mark.EXCLUDES)
        yield fact("pods", f"no reason OOMKilled ({has}): the host's memory is likely, and not proven", Mark.OPEN)
    else:
        yield fact("pods", f"not OOMKilled ({has}): the main process did not hit the host's limit", Mark.EXCLUDES)
    if end.exit_code == 1:
        yield fact("pods", "exit 1 is how a full GPU ends it, and every other error of its start", Mark.OPEN)
        if (crash.spec.arguments.tensor_parallel or 1) > 1:
            yield fact("pods", "a worker that the host killed ends it so too: its log says exit code -9", Mark.OPEN)
    if not situation.knows("events"):
        yield fact("pods", "events could not be read: a kill by a probe is not excluded", Mark.OPEN)


RULES: Final[tuple[Rule, ...]] = (vllm_start_failed, vllm_tp_mismatch, vllm_crash)
