"""What the rules about pods of model servers share: which container serves, how it crashes, what its log told."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Final, NamedTuple

from diagnosis.commands import fact, shorten
from diagnosis.container_facts import container_path, crash_loops, describe, field, logs
from diagnosis.gpu_fit import Fit, fit_of
from diagnosis.log_reads import said_in_message
from diagnosis.probe_text import newest_kill
from situation.crashes import Loop
from situation.findings import Command, Evidence, Mark
from situation.log_reads import LOG_SOURCE, LogSaid, RunRead, ended_run
from situation.pods import Container, Pod
from situation.serving.readings import Software
from situation.serving.recognise import ServerSpec, recognise, servers_of
from situation.situation import Situation
from situation.volumes import VolumeMount

ENGINES: Final = frozenset({Software.VLLM, Software.SGLANG, Software.TGI})
"""They load the model themselves and take their memory by flags; routers do not, and Triton is set up by files."""
FLAGS: Final[Mapping[Software, Mapping[str, str]]] = {
    Software.VLLM: {
        "utilization": "--gpu-memory-utilization", "length": "--max-model-len", "sequences": "--max-num-seqs",
        "tensor": "--tensor-parallel-size",
    },
    Software.SGLANG: {
        "utilization": "--mem-fraction-static", "length": "--context-length", "sequences": "--max-running-requests",
        "tensor": "--tp-size",
    },
    Software.TGI: {
        "utilization": "--cuda-memory-fraction", "length": "--max-total-tokens",
        "sequences": "--max-concurrent-requests", "tensor": "--num-shard",
    },
}  # fmt: skip
"""How each engine calls the same thing."""
SHM: Final = "/dev/shm"  # noqa: S108 - a mount path to look for, not a file of ours


class ServerCrash(NamedTuple):
    """A model server whose container crashes again and again."""

    pod: Pod
    spec: ServerSpec
    loop: Loop
    told: RunRead | None
    """What the log of the run told that ended last; None if nobody has read it, and no message tells."""
    read_at: datetime | None
    """When the log was read; None where it is the termination message that tells."""

    @property
    def fault(self) -> LogSaid | None:
        """What its log names as the cause."""
        return self.told.fault if self.told is not None else None

    def log(self, purpose: str) -> Command:
        """Return the command that shows how the last run ended."""
        return logs(self.pod, self.spec.container.name, self.loop.status, purpose)

    def arguments(self, purpose: str) -> Command:
        return field(self.pod, container_path(self.pod, self.spec.container.name, "args"), purpose)

    def limits(self, purpose: str) -> Command:
        return field(self.pod, container_path(self.pod, self.spec.container.name, "resources"), purpose)

    def described(self, purpose: str) -> Command:
        return describe(self.pod, purpose)

    def fit(self, situation: Situation) -> Fit:
        """Work out whether the model fits its GPUs."""
        return fit_of(self.spec, situation.node(self.pod.spec.node_name))

    def flag(self, what: str) -> str:
        """Return what its engine calls `utilization`, `length`, `sequences` or `tensor`."""
        return FLAGS[self.spec.software][what]

    def log_evidence(self) -> Iterator[Evidence]:
        """Yield what the log told, or that nobody has read it."""
        if self.told is None:
            yield Evidence("its log has not been read: the first error in it is the cause", LOG_SOURCE, None, Mark.OPEN)
        elif self.fault is None:
            where = "its log, as far as it was read," if self.read_at else "its termination message"
            yield Evidence(f"{where} tells no known fault", LOG_SOURCE, self.read_at, Mark.OPEN)
        elif self.read_at is None:
            yield fact("pods", f"the message tells: {self.fault.meaning} ({self.fault.id})")
        else:
            yield Evidence(f"log, line {self.fault.line}: {shorten(self.fault.text, 240)}", LOG_SOURCE, self.read_at)
            yield Evidence(f"which means: {self.fault.meaning} ({self.fault.id})", LOG_SOURCE, self.read_at)


def engine_of(pod: Pod) -> ServerSpec | None:
    """Return how a pod serves a model with an engine that loads it itself, None if it does not."""
    spec = recognise(pod)
    return spec if spec is not None and spec.software in ENGINES else None


def server_crash(pod: Pod, situation: Situation, now: datetime) -> ServerCrash | None:
    """Return the crash loop of a model server's own container; None for others, and where a probe ends it."""
    found = crash_loops(pod, now)[0]
    if not found:
        return None
    specs = {spec.container.name: spec for spec in reversed(servers_of(pod)) if spec.software in ENGINES}
    loop = next((item for item in found if not item.init and item.container.name in specs), None)
    if loop is None or _probe_ended(loop, pod, situation):
        return None
    spec = specs[loop.container.name]
    read = situation.logs.of_last_end(pod, loop.status)
    if read is not None:
        return ServerCrash(pod, spec, loop, *read)
    return ServerCrash(pod, spec, loop, said_in_message(loop.end, ended_run(loop.status) or 0), None)


def shm_mount(container: Container) -> VolumeMount | None:
    """Return the volume that is mounted at /dev/shm, None if it has the 64 MiB of its runtime."""
    return next((mount for mount in container.volume_mounts if mount.mount_path.rstrip("/") == SHM), None)


def _probe_ended(loop: Loop, pod: Pod, situation: Situation) -> bool:
    """Tell whether the kubelet had the last run killed because a probe failed."""
    kill = newest_kill(pod, loop.container, situation)
    began = loop.end.started_at if loop.end else None
    if kill is None or (loop.end is not None and loop.end.reason == "OOMKilled"):
        return False
    return began is None or kill[1].last_seen is None or kill[1].last_seen >= began


def to_change(text: str) -> Evidence:
    """Return an argument or a field to change, with its value and why, as evidence."""
    return fact("pods", f"to change: {text}")
