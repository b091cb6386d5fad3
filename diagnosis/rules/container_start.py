"""Layer 1: containers that the runtime cannot start at all (L1-03, L1-15)."""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Final

from diagnosis.commands import fact, said_by, shorten
from diagnosis.container_facts import (
    container_path,
    crash_loops,
    describe,
    every_path,
    exit_text,
    field,
    group_path,
    logs,
    one_of_many,
    run_text,
)
from diagnosis.pod_verdict import fired
from diagnosis.rule import CLEAR, Rule, Verdict, rule
from situation.crashes import START_ENDS, in_service, started_pairs
from situation.findings import Evidence, Layer, Mark, Severity
from situation.pods import Container, ContainerStatus, Pod
from situation.selectors import last_end
from situation.situation import Situation
from situation.start_trouble import start_events

START_FAILURES: Final = frozenset(
    {"RunContainerError", "CreateContainerError", "StartError", "PostStartHookError", "PreStartHookError",
     "PreCreateHookError"}
)  # fmt: skip
"""`state.waiting.reason` while a container cannot be created or started (kubelet container/sync_result.go)."""

SHELL_FAILURE_S: Final = 10.0
"""Exit 126 or 127 this soon after the start is the command itself; later it is some line of a script."""

_MEMORY: Final = re.compile(r"OOM-killed|memory limit too low|memory limit \S+ too low", re.IGNORECASE)
_NVIDIA: Final = re.compile(
    r"nvidia-container-(?:cli|runtime)|nvidia-ctk|libnvidia-ml|unresolvable CDI devices|no runtime for \"nvidia\""
)
_EXEC: Final = re.compile(
    r'exec:? ["`]?(?P<command>[^"`:]+?)["`]?: (?:stat \S+: )?'
    r"(?P<why>executable file not found|no such file or directory|permission denied|is a directory|exec format error)",
    re.IGNORECASE,
)
_CRUN: Final = re.compile(r"executable file `(?P<command>[^`]+)` (?P<why>not found)")
_WHY: Final = {
    "executable file not found": "is not in the image",
    "not found": "is not in the image",
    "no such file or directory": "does not exist in the image",
    "permission denied": "may not be executed",
    "is a directory": "is a directory",
    "exec format error": "is built for another architecture",
}


def start_failures(pod: Pod) -> Iterator[tuple[Container, ContainerStatus, bool, str]]:
    """Yield container, status, "is init" and the runtime's text of every container that cannot be started now."""
    if not in_service(pod):
        return
    for container, status, init in started_pairs(pod):
        waiting, end = status.state.waiting, last_end(status)
        if status.state.running is not None:
            continue
        if waiting is not None and waiting.reason in START_FAILURES:
            yield container, status, init, waiting.message or (end.message if end else "")
        elif end is not None and end.reason in START_ENDS and (waiting is None or waiting.reason == "CrashLoopBackOff"):
            yield container, status, init, end.message


def is_nvidia_text(text: str) -> bool:
    """Tell whether a runtime's text blames the NVIDIA runtime (L5-15), whatever else it says."""
    return _NVIDIA.search(text) is not None


def innermost(text: str) -> str:
    """Return the two innermost parts of a wrapped Go error, without gRPC's preamble and the trailing `unknown`."""
    parts = [part.strip() for part in text.rpartition(" desc = ")[2].split(": ") if part.strip() not in ("", "unknown")]
    return ": ".join(parts[-2:])


@rule(
    "memory-limit-too-small",
    signature="L1-03",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="Texts of containers that cannot start, and of FailedCreatePodSandBox and Failed events while the "
    "pod has not started: the words `OOM-killed`.",
    look_alikes={
        "oom-killed": "there the container did run, and its end says OOMKilled",
        "pod-network": "FailedCreatePodSandBox too, without the words OOM-killed",
    },
)
def memory_limit_too_small(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A container's memory limit is too small for it even to start."""
    evidence: list[Evidence] = []
    names: list[str] = []
    for container, _, _, text in start_failures(pod):
        if _MEMORY.search(text):
            names.append(container.name)
            evidence.append(fact("pods", f"container {container.name}: {shorten(text, 240)}"))
    for event in start_events(pod, situation, "Failed")[::-1]:
        if _MEMORY.search(event.message) and not names:
            evidence.append(said_by(event))
            break
    if not evidence:
        return CLEAR
    limited = [item for item in pod.spec.init_containers + pod.spec.containers if "memory" in item.resources.limits]
    wanted = [item for item in limited if not names or item.name in names]
    evidence += [
        fact("pods", f"container {item.name}: memory limit {item.resources.limits['memory']}") for item in wanted
    ]
    limit = f" {wanted[0].resources.limits['memory']}" if len(wanted) == 1 else ""
    return fired(
        pod,
        situation,
        now,
        f"cannot start: memory limit{limit} is too small",
        evidence,
        (
            field(pod, _resources_path(pod, names), "which limits?"),
            describe(pod, "what did the runtime say?"),
        ),
    )


def _resources_path(pod: Pod, names: Sequence[str]) -> str:
    """Return a JSONPath to the limits of these containers; of all where it is not known which one it is."""
    if not names:
        return every_path(pod, "resources")
    return "".join(dict.fromkeys(group_path(pod, name, "resources") for name in names))


@rule(
    "bad-command",
    signature="L1-15 L1-16",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="StartError or RunContainerError with `exec:`; a crash loop with exit 126 or 127 within 10 s of the "
    "start.",
    look_alikes={
        "nvidia-runtime": "StartError 128 too, but the text names nvidia-container-cli",
        "memory-limit-too-small": "StartError 128 too, but the text says OOM-killed",
        "crash-loop": "any other exit code, or 127 after a longer run: some line of a script",
    },
)
def bad_command(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A container's command does not exist in its image, or cannot be executed."""
    for container, _, _, text in start_failures(pod):
        found = _EXEC.search(text) or _CRUN.search(text)
        if found is None or is_nvidia_text(text):
            continue
        why = _WHY[found["why"].lower()]
        evidence = [
            fact("pods", f"container {container.name}: {shorten(innermost(text), 240)}"),
            fact("pods", "the text does not name the NVIDIA runtime", Mark.EXCLUDES),
        ]
        command = field(pod, container_path(pod, container.name, "command"), "which command?")
        return fired(
            pod, situation, now, f"cannot start: {shorten(found['command'], 30)} {why}", evidence,
            (command, describe(pod, "what did the runtime say?")),
        )  # fmt: skip
    for loop in crash_loops(pod, now)[0]:
        end = loop.end
        if end is not None and end.exit_code in (126, 127) and loop.run_s is not None and loop.run_s <= SHELL_FAILURE_S:
            command = field(pod, container_path(pod, loop.container.name, "command"), "which command?")
            log = logs(pod, loop.container.name, loop.status, "which command does the shell miss?")
            title = f"cannot run its command{one_of_many(pod, loop.container.name)}: {exit_text(end)}"
            evidence = [fact("pods", run_text(loop), at=end.finished_at)]
            return fired(pod, situation, now, title, evidence, (log, command))
    return CLEAR


@rule(
    "start-failure",
    signature="L1-15",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="state.waiting.reason CreateContainerError, RunContainerError or a failed hook; lastState StartError.",
    look_alikes={
        "bad-command": "the text says that the command cannot be executed",
        "nvidia-runtime": "the text names the NVIDIA runtime",
        "missing-config": "reason CreateContainerConfigError",
    },
)
def start_failure(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """The runtime cannot create or start a container, for a reason that no other rule knows."""
    for container, status, _, text in start_failures(pod):
        waiting = status.state.waiting
        if is_nvidia_text(text):
            continue
        reason = waiting.reason if waiting and waiting.reason in START_FAILURES else "StartError"
        evidence = [fact("pods", f"container {container.name}: {reason}: {shorten(text, 240)}")]
        said = shorten(innermost(text), 60)
        title = f"cannot start: {said}" if said else f"cannot start: {reason}"
        commands = (
            describe(pod, "what did the runtime say?"),
            logs(pod, container.name, status, "did it say anything?"),
        )
        return fired(pod, situation, now, title, evidence, commands)
    return CLEAR


RULES: Final[tuple[Rule, ...]] = (memory_limit_too_small, bad_command, start_failure)
