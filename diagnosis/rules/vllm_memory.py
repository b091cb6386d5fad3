"""Layer 1: model servers that run out of memory, the host's or the GPU's (L1-02, L1-17)."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from diagnosis.commands import counted, fact, kubectl
from diagnosis.container_facts import one_of_many
from diagnosis.gpu_fit import arithmetic
from diagnosis.gpu_memory_advice import advice
from diagnosis.model_pods import ServerCrash, server_crash, to_change
from diagnosis.model_size import GIB, host_memory_gib, model_size
from diagnosis.pod_verdict import fired, run_evidence
from diagnosis.rule import CLEAR, Rule, Verdict, rule
from diagnosis.rules.containers import node_oom
from situation.crashes import is_slow
from situation.findings import Evidence, Layer, Mark, Severity
from situation.log_reads import LOG_SOURCE
from situation.pods import Pod
from situation.quantity import parse_quantity
from situation.selectors import is_finished
from situation.situation import Situation

HOST_FAULTS: Final = frozenset({"vllm-log-worker-killed", "vllm-log-host-oom"})
DEVICE_FAULTS: Final = {
    "vllm-log-gpu-oom": "runs out of GPU memory",
    "vllm-log-oom-warm-up": "runs out of GPU memory in its warm-up",
    "vllm-log-gpu-not-free": "finds the memory of its GPU in use already",
    "vllm-log-no-kv-room": "has no GPU memory left for its KV cache",
}
"""Log signature to what the server does."""
_OFFLOAD: Final = (
    "--cpu-offload-gb", "--swap-space", "--kv-offloading-size", "--kv-offloading-backend", "--kv-transfer-config",
    "--enable-hierarchical-cache", "--hicache-size",
)  # fmt: skip
"""Arguments that move weights or KV cache to the host's memory."""


@rule(
    "vllm-host-oom",
    signature="L1-02",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="The last end of a model server that crashes (OOMKilled), or its log, where it was read: a worker that "
    "was killed (exit code -9), `Memory cgroup out of memory`; the limit against the rule of thumb for the model's "
    "size; arguments that move memory to the host.",
    look_alikes={
        "vllm-device-oom": "the GPU's memory: the process ends by itself, with exit 1",
        "oom-killed": "the node's memory was used up, not the container's limit: a SystemOOM event says so",
        "liveness-kill": "exit 137 too, but reason Error and a Killing event",
        "vllm-crash": "exit 137 without OOMKilled and without a log: not proven",
    },
)
def vllm_host_oom(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A model server uses up its host memory limit: not the GPU's memory."""
    crash = server_crash(pod, situation, now)
    if crash is None or crash.loop.end is None:
        return CLEAR
    by_reason = crash.loop.end.reason == "OOMKilled"
    by_log = crash.fault is not None and crash.fault.id in HOST_FAULTS
    if not (by_reason or by_log) or node_oom(crash.loop, pod, situation) is not None:
        return CLEAR
    limit = crash.loop.container.resources.limits.get("memory")
    which = one_of_many(pod, crash.loop.container.name)
    if limit is not None:
        title = f"exceeds its host memory limit {limit}{which}"
    else:
        title = f"is OOM-killed{which} without a memory limit of its own"
    ended, *rest = run_evidence(crash.loop, pod, situation)
    evidence = [ended]
    if by_reason:
        evidence.append(fact("pods", "OOMKilled is the host's memory: the GPU's would end with exit 1", Mark.EXCLUDES))
    if crash.told is not None and by_log:
        evidence += crash.log_evidence()
        if not by_reason:
            evidence.append(fact("pods", "a worker was killed, not the main process: so not OOMKilled but an exit"))
    evidence += [*_host_memory(crash, limit), *rest]
    commands = (
        crash.limits("which memory limit?"),
        kubectl("top", "pod", pod.name, "--containers", purpose="how much does it use?", namespace=pod.namespace),
        crash.log("was it still loading, or serving?"),
    )
    severity = Severity.WARNING if is_slow(crash.loop) else None
    return fired(pod, situation, now, title, evidence, commands, severity=severity)


def _host_memory(crash: ServerCrash, limit: str | int | float | None) -> Iterator[Evidence]:
    size = model_size(crash.spec.arguments)
    rule_of_thumb = host_memory_gib(size.billions) if size is not None else None
    have = parse_quantity(limit) if limit is not None else None
    if size is not None and rule_of_thumb is not None:
        least, most = rule_of_thumb
        usual = f"a model of {size.billions:g}B (by its name) usually needs {least} to {most} Gi of host memory"
        yield fact("pods", usual, Mark.OPEN if have is not None and have >= least * GIB else Mark.SUPPORTS)
        if have is not None and have < most * GIB:
            yield to_change(f"memory limit {limit} -> {most}Gi, and the request with it")
    for flag in _OFFLOAD:
        if flag in crash.spec.arguments.flags:
            yield fact("pods", f"{flag} moves weights or KV cache to the host's memory: it counts against the limit")
    mounted = {mount.name for mount in crash.spec.container.volume_mounts}
    for volume in crash.pod.spec.volumes:
        if volume.name in mounted and volume.empty_dir is not None and volume.empty_dir.medium == "Memory":
            most_of_it = f" (up to {volume.empty_dir.size_limit})" if volume.empty_dir.size_limit else ""
            yield fact("pods", f"what is written to volume {volume.name}{most_of_it} counts against the limit")


@rule(
    "vllm-device-oom",
    signature="L1-17",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="The log of a crashed model server once somebody has read it (L), or its termination message: CUDA out of "
    "memory, memory not free, no room for the KV cache. The arithmetic: parameters by the model's name, bytes of each, "
    "tensor parallel size, the node's GPU memory label.",
    look_alikes={
        "vllm-host-oom": "OOMKilled, exit 137, or a worker with exit code -9: the host's memory",
        "vllm-crash": "nobody has read the log of the last run: not proven",
        "vllm-start-failed": "the context is longer than the KV cache or the model allows",
        "gpu-memory-errors": "the GPU's memory is broken, not full: Xid and ECC counts",
    },
)
def vllm_device_oom(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A model server's GPU memory does not suffice: while it starts, or under load."""
    crash = server_crash(pod, situation, now)
    if crash is None or crash.told is None or crash.fault is None or crash.fault.id not in DEVICE_FAULTS:
        return CLEAR
    title = DEVICE_FAULTS[crash.fault.id]
    has_started = crash.told.tells("vllm-log-started")
    if crash.fault.id == "vllm-log-gpu-oom" and has_started:
        title += " after it had started"
    fit = crash.fit(situation)
    ended, *rest = run_evidence(crash.loop, pod, situation)
    evidence = [ended, *crash.log_evidence()]
    evidence += [to_change(text) for text in advice(crash, fit, has_started)]
    if crash.loop.end is not None and crash.loop.end.reason != "OOMKilled":
        evidence.append(fact("pods", "not OOMKilled: not the host's memory limit", Mark.EXCLUDES))
    if has_started:
        told = "the KV cache had been laid out before: the weights fit"
        evidence.append(Evidence(told, LOG_SOURCE, crash.read_at))
    evidence += arithmetic(crash.spec, fit)
    if crash.fault.id == "vllm-log-gpu-not-free":
        evidence += _neighbours(pod, situation)
    evidence += rest
    commands = (
        crash.log("which line is the first with out of memory?"),
        crash.arguments("which arguments has it?"),
        kubectl("get", "pods", "-A", "-o", "wide", "--field-selector", f"spec.nodeName={pod.spec.node_name}",
                purpose="who else uses the node's GPUs?"),
    )  # fmt: skip
    severity = Severity.WARNING if is_slow(crash.loop) else None
    which = one_of_many(pod, crash.loop.container.name)
    return fired(pod, situation, now, f"{title}{which}", evidence, commands, severity=severity)


def _neighbours(pod: Pod, situation: Situation) -> Iterator[Evidence]:
    """Yield who else has GPUs of the node, and whether it shares them."""
    node = situation.node(pod.spec.node_name)
    replicas = node.metadata.labels.get("nvidia.com/gpu.replicas", "") if node is not None else ""
    if replicas.isdigit() and int(replicas) > 1:
        yield fact("nodes", f"node {pod.spec.node_name} shares each GPU among {replicas} pods, their memory too")
    others = [
        other
        for other in situation.gpu_pods_by_node.get(pod.spec.node_name).values()
        if other.key != pod.key and not is_finished(other)
    ]
    names = ", ".join(sorted(f"{other.namespace}/{other.name}" for other in others)[:3])
    if others:
        yield fact("pods", f"{counted(len(others), 'other pod')} with GPUs on the node: {names}", Mark.OPEN)
    elif situation.sees_all:
        yield fact("pods", "no other pod of the node has GPUs: a process that did not end?", Mark.OPEN)


RULES: Final[tuple[Rule, ...]] = (vllm_host_oom, vllm_device_oom)
