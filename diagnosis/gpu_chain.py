"""The GPU operands in the order in which they wait for each other (dependency graph of the NVIDIA GPU Operator)."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from diagnosis.container_facts import crash_loops
from diagnosis.node_agents import Agent, agent_of
from diagnosis.rule import Wait
from situation.meta import KubernetesObject, Ref, find_condition
from situation.pods import Pod
from situation.selectors import is_finished, is_ready
from situation.situation import Situation
from situation.start_trouble import NOT_STARTED
from situation.workloads import DaemonSet

DRIVER, TOOLKIT, VALIDATOR, PLUGIN, USER, CHECKS, WORKLOAD = range(7)
"""Places in the chain. The validator stands in the middle: its toolkit step opens the gate for all after it, and its
CUDA and plugin steps (`CHECKS`) come last."""

_PLACES: Final = (
    ("nvidia-container-toolkit", TOOLKIT),
    ("nvidia-operator-validator", VALIDATOR),
    ("nvidia-device-plugin-mps-control-daemon", USER),
    ("nvidia-device-plugin", PLUGIN),
    ("gpu-feature-discovery", PLUGIN),
    ("nvidia-dcgm-exporter", USER),
    ("nvidia-mig-manager", USER),
    ("nvidia-dcgm", PLUGIN),
)
_LATE_STEPS: Final = frozenset({"cuda-validation", "plugin-validation"})

DRIVER_START_S: Final = 1200.0
"""A driver pod that builds its kernel module may take this long: its startup probe waits 60 s and then allows 120
failures 10 s apart (GPU Operator, driver DaemonSet). Everything after it waits as long."""

RECHECK: Final = timedelta(seconds=30)


def place_of(item: KubernetesObject, init: str = "") -> int | None:
    """Return the place of an operand's pod or DaemonSet in the chain, None for what is no operand.

    `init` is the init container that runs now: the validator's late steps come after the device plugin.
    """
    labels = item.metadata.labels
    if labels.get("app.kubernetes.io/component") == "nvidia-driver":
        return DRIVER
    for name in (labels.get("app", ""), item.name):
        for prefix, place in _PLACES:
            if name.startswith(prefix):
                return CHECKS if place == VALIDATOR and init in _LATE_STEPS else place
        if name.startswith(("nvidia-driver", "nvidia-gpu-driver")):
            return DRIVER
    return None


def upstream(place: int, situation: Situation) -> Iterator[Ref]:
    """Yield the DaemonSets of the operands that stand before `place`."""
    for key, item in situation.daemonsets.items():
        if _is_before(item, place):
            yield Ref("DaemonSet", *key)


def stands_on(daemonset: DaemonSet, situation: Situation) -> tuple[Ref, ...]:
    """Return the DaemonSets of the operands that this one needs on every node.

    The validator needs all others and is needed by none: what fails after its toolkit step is not its fault.
    """
    place = place_of(daemonset)
    before = CHECKS if place == VALIDATOR else WORKLOAD if place is None else place
    return tuple(ref for ref in upstream(before, situation) if place_of(situation.daemonsets[ref[1:]]) != VALIDATOR)


def _is_before(item: KubernetesObject, place: int) -> bool:
    other = place_of(item) if agent_of(item) is Agent.GPU else None
    return other is not None and other < place and not (place == CHECKS and other == VALIDATOR)


def _upstream_pods(node: str, place: int, situation: Situation) -> list[Pod]:
    found = [
        pod for pod in situation.pods_by_node.get(node).values() if _is_before(pod, place) and not is_finished(pod)
    ]
    return sorted(found, key=lambda pod: (place_of(pod) or DRIVER, pod.name))


def still_starting(node: str, place: int, budget_s: float, situation: Situation, now: datetime) -> Wait | None:
    """Return Wait while the chain before `place` comes up on this node, or did so less than `budget_s` seconds ago.

    The first operand that is not ready decides: if it crashes or cannot start, there is nothing to wait for.
    """
    newest: datetime | None = None
    for pod in _upstream_pods(node, place, situation):
        condition = find_condition(pod.status.conditions, "Ready")
        if not is_ready(pod):
            return Wait(now + RECHECK) if _comes_up(pod, now) else None
        if condition and condition.last_transition_time:
            newest = max(newest or condition.last_transition_time, condition.last_transition_time)
    if newest is not None and now < (due := newest + timedelta(seconds=budget_s)):
        return Wait(due)
    return None


def _comes_up(pod: Pod, now: datetime) -> bool:
    """Tell whether a pod that is not ready is young and shows no fault: nothing crashes, nothing fails to start."""
    created = pod.metadata.creation_timestamp
    if (
        created is None
        or now - created > timedelta(seconds=DRIVER_START_S)
        or pod.metadata.deletion_timestamp is not None
    ):
        return False
    statuses = pod.status.init_container_statuses + pod.status.container_statuses
    reasons = {status.state.waiting.reason for status in statuses if status.state.waiting}
    return reasons <= NOT_STARTED and not crash_loops(pod, now)[0]
