"""What the container rules share: which crash loops are current, how grave they are, how to look deeper."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from signal import Signals
from typing import Final

from diagnosis.commands import counted, kubectl
from diagnosis.node_agents import agent_of, home_layer
from diagnosis.rule import Wait
from situation.clock import duration_text
from situation.crashes import Loop, find_crashes
from situation.findings import Command, Layer, Severity
from situation.indexes import controller_ref
from situation.logs import LogTarget, has_ended_before
from situation.pods import ContainerStatus, Pod, Terminated
from situation.selectors import is_ready, is_settled, is_sidecar
from situation.situation import Situation

SIBLINGS_SEEN: Final = 50
"""Other pods of a workload that are looked at, at most, to tell "degraded" from "down"."""


def crash_loops(pod: Pod, now: datetime) -> tuple[tuple[Loop, ...], Wait | None]:
    """Return the pod's current crash loops, and a Wait when a first crash is too young to judge."""
    found = find_crashes(pod, now)
    return found.loops, Wait(found.until) if found.until else None


def gravity(pod: Pod, situation: Situation, now: datetime) -> Severity:
    """Return WARNING while another pod of the same workload is ready and settled, else CRITICAL.

    A node agent has no stand-in: each of its pods serves its own node.
    """
    workload = situation.workload_of(pod)
    if workload.kind == "Pod" or agent_of(pod) is not None:
        return Severity.CRITICAL
    for other in islice(siblings(pod, situation), SIBLINGS_SEEN):
        if is_ready(other) and is_settled(other, now):
            return Severity.WARNING
    return Severity.CRITICAL


def siblings(pod: Pod, situation: Situation) -> Iterator[Pod]:
    """Yield the other pods of the workload; of the direct controller alone where its own owner's list is not known."""
    owner = controller_ref(pod)
    found = situation.pods_of(situation.workload_of(pod))
    if not found and owner is not None:
        found = tuple(situation.pods_by_owner.get(owner).values())
    return (other for other in found if other.key != pod.key)


def agent_layer(pod: Pod) -> Layer | None:
    """Return the layer that breaks with this pod when it is a node agent or of the control plane, else None."""
    return home_layer(pod)


def exit_text(end: Terminated | None) -> str:
    """Return an end as people say it: `exit 1`, `exit 137 (SIGKILL)`, `exit 127 (command not found)`."""
    if end is None:
        return "exit code not known"
    code = end.exit_code
    meaning = {126: "not executable", 127: "command not found"}.get(code, "")
    number = end.signal or (code - 128 if 128 < code < 160 else 0)
    if number:
        try:
            meaning = Signals(number).name
        except ValueError:
            meaning = f"signal {number}"
    return f"exit {code} ({meaning})" if meaning else f"exit {code}"


def run_text(loop: Loop) -> str:
    """Return the last end in one line: `container app: exit 1 (Error) after running 4s, 3 restarts`."""
    reason = f", reason {loop.end.reason}" if loop.end and loop.end.reason else ""
    after = "" if loop.run_s is None else f" after running {duration_text(loop.run_s)}"
    kind = "init container" if loop.init else "container"
    count = counted(loop.status.restart_count, "restart")
    return f"{kind} {loop.container.name}: {exit_text(loop.end)}{reason}{after}, {count}"


def one_of_many(pod: Pod, name: str) -> str:
    """Return ` (container NAME)` when the pod has more than one container to tell apart, else nothing."""
    several = len(pod.spec.containers) + sum(map(is_sidecar, pod.spec.init_containers)) > 1
    return f" (container {name})" if several else ""


def logs(pod: Pod, container: str, status: ContainerStatus | None, purpose: str) -> Command:
    """Return the command that shows how the last run ended; `-c` only where there is a choice."""
    target = LogTarget(pod.namespace, pod.name, container, previous=has_ended_before(status))
    argv = ["logs", pod.name]
    if len(pod.spec.containers) + len(pod.spec.init_containers) > 1:
        argv += ["-c", container]
    if target.previous:
        argv.append("--previous")
    return kubectl(*argv, "--tail=100", purpose=purpose, namespace=pod.namespace, log=target)


def describe(pod: Pod, purpose: str) -> Command:
    return kubectl("describe", "pod", pod.name, purpose=purpose, namespace=pod.namespace)


def field(pod: Pod, path: str, purpose: str) -> Command:
    """Return the command that prints one field of the pod, for example `{.spec.containers[*].command}`."""
    return kubectl("get", "pod", pod.name, "-o", f"jsonpath={path}", purpose=purpose, namespace=pod.namespace)


def container_path(pod: Pod, name: str, what: str) -> str:
    """Return a JSONPath to a field of one container of the pod by its name."""
    return f'{{.spec.{_group(pod, name)}[?(@.name=="{name}")].{what}}}'


def group_path(pod: Pod, name: str, what: str) -> str:
    """Return a JSONPath to a field of this container and of all that stand beside it in the pod."""
    return f"{{.spec.{_group(pod, name)}[*].{what}}}"


def every_path(pod: Pod, what: str) -> str:
    """Return a JSONPath to a field of all containers of the pod, the init containers first where it has some."""
    inits = f"{{.spec.initContainers[*].{what}}}" if pod.spec.init_containers else ""
    return f"{inits}{{.spec.containers[*].{what}}}"


def _group(pod: Pod, name: str) -> str:
    """Return where a container stands: a sidecar that is restarted for ever is among the init containers too."""
    return "initContainers" if any(item.name == name for item in pod.spec.init_containers) else "containers"
