"""What the pod of one component says by itself: ready, failing, or on its way and waiting in which step."""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from situation.crashes import Loop, find_crashes
from situation.gpu.components import DRIVER_STEPS, LATE_STEPS, awaited, component_of
from situation.gpu.links import Component, Link, LinkState
from situation.meta import Ref, find_condition
from situation.node_returns import back_at
from situation.pods import Container, ContainerStatus, Pod
from situation.selectors import is_ready, is_sidecar
from situation.situation import Situation
from situation.start_trouble import NOT_STARTED, has_not_started, start_events, waiting_since

DRIVER_START: Final = timedelta(seconds=1200)
"""A driver pod that builds its kernel module may take this long: its startup probe waits 60 s and then allows 120
failures 10 s apart (GPU Operator, driver DaemonSet). An image may take as long to be pulled."""

CUDA_CHECK: Final = timedelta(seconds=330)
"""The validator's CUDA step gives its pod 60 times 5 s (GPU Operator, validator), and then ends."""

OTHER_STEP: Final = timedelta(seconds=300)
"""For an init container that waits for no other component. Ours, as for any init container."""

READY_AFTER_START: Final = timedelta(seconds=120)
"""From the start of an operand's container until it is ready; the exporter's probe begins after 45 s. Ours."""

TROUBLE: Final = timedelta(seconds=60)
"""A sandbox or a volume that fails is tried again within seconds; what lasts a minute is no hiccup."""

PLACED_AFTER: Final = timedelta(seconds=60)
"""A DaemonSet's pod is bound within a second or two, if it can be."""

GOING: Final = timedelta(seconds=60)
"""A DaemonSet's failed pod is taken away and made anew with a back-off that starts at a second."""

NO_HANDLER: Final = "no runtime for"
"""In `FailedCreatePodSandBox`: the container runtime does not know the handler of the pod's runtime class."""

_OWN_REASONS: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError",
     "RegistryUnavailable", "CreateContainerConfigError"}
)  # fmt: skip
"""No other component can bring a container into one of these."""


class Own(NamedTuple):
    """What a pod says. STARTING with `awaits` is a step that waits for another component, as it is made to."""

    state: LinkState
    text: str = ""
    container: str = ""
    since: datetime | None = None
    until: datetime | None = None
    restarts: int = 0
    awaits: Component | None = None
    own_fault: bool = False
    """FAILING for a reason that nothing before it can explain."""


def at_rest_since(pod: Pod) -> datetime | None:
    """Return since when a pod is ready that nobody need look at twice: bound, staying, no container ever restarted."""
    if pod.metadata.deletion_timestamp is not None or pod.status.phase != "Running" or not pod.spec.node_name:
        return None
    for status in pod.status.container_statuses:
        if status.restart_count:
            return None
    for condition in pod.status.conditions:
        if condition.type == "Ready":
            return condition.last_transition_time if condition.status == "True" else None
    return None


def resting_link(component: Component, pod: Pod) -> Link | None:
    """Return the link of a pod that nobody need look at twice (`at_rest_since`), None for any other."""
    since, metadata, owned_by = at_rest_since(pod), pod.metadata, None
    if since is None:
        return None
    for owner in metadata.owner_references:
        if owner.controller:
            owned_by = _owner(owner.kind, metadata.namespace, owner.name)
            break
    return Link(component, LinkState.READY, since=since, pod=Ref("Pod", metadata.namespace, metadata.name),
                owner=owned_by)  # fmt: skip


_owner = lru_cache(maxsize=256)(Ref)
"""One Ref for a DaemonSet and not one for each of its pods: there are thousands of these."""


def read_pod(component: Component, pod: Pod, situation: Situation, now: datetime) -> Own:
    """Judge a pod by itself; the validator's pod is judged for its early or its late steps, as `component` says."""
    if (leaving := pod.metadata.deletion_timestamp) is not None:
        return Own(LinkState.STARTING, "is being replaced", since=leaving)
    if pod.status.phase in ("Failed", "Succeeded"):
        return _finished(pod, now)
    if not pod.spec.node_name:
        return _unscheduled(pod, now)
    if (since := at_rest_since(pod)) is not None:
        return Own(LinkState.READY, since=since)
    if component is Component.VALIDATOR:
        return _early_steps(pod, situation, now)
    late = component is Component.CHECKS and component_of(pod) is Component.VALIDATOR
    return _fault(pod, now, None) or _progress(component, pod, situation, now, late)


def _early_steps(pod: Pod, situation: Situation, now: datetime) -> Own:
    """Judge the validator up to its toolkit step, which opens the gate for what follows."""
    early = frozenset(item.name for item in pod.spec.init_containers if item.name not in LATE_STEPS)
    if (fault := _fault(pod, now, early)) is not None:
        return fault
    step = current_step(pod)
    if is_ready(pod) or (pod.spec.init_containers and (step is None or step[0].name in LATE_STEPS)):
        ends = [
            status.state.terminated.finished_at
            for status in pod.status.init_container_statuses
            if status.name in early and status.state.terminated and status.state.terminated.finished_at
        ]
        return Own(LinkState.READY, since=max(ends, default=pod.metadata.creation_timestamp))
    return _progress(Component.VALIDATOR, pod, situation, now, False)


def _finished(pod: Pod, now: datetime) -> Own:
    condition = find_condition(pod.status.conditions, "Ready")
    since = (condition.last_transition_time if condition else None) or pod.metadata.creation_timestamp
    if since is not None and now < (due := since + GOING):
        return Own(LinkState.STARTING, "is being replaced", since=since, until=due)
    text = pod.status.reason or f"pod {pod.status.phase.lower()}"
    return Own(LinkState.FAILING, text, since=since, own_fault=True)


def _unscheduled(pod: Pod, now: datetime) -> Own:
    condition = find_condition(pod.status.conditions, "PodScheduled")
    since = (condition.last_transition_time if condition else None) or pod.metadata.creation_timestamp
    if since is None or now < (due := since + PLACED_AFTER):
        return Own(LinkState.STARTING, "not scheduled yet", since=since, until=since and due)
    reason = condition.reason if condition else ""
    return Own(LinkState.FAILING, f"not scheduled: {reason or 'no word of the scheduler'}", since=since)


def _fault(pod: Pod, now: datetime, only: frozenset[str] | None) -> Own | None:
    """Return the first container that crashes or cannot start; `only` leaves all others out."""
    if not _is_suspect(pod):
        return None
    found = find_crashes(pod, now)
    for loop in found.loops:
        if only is None or loop.container.name in only:
            return _crash(loop)
    for status in pod.status.init_container_statuses + pod.status.container_statuses:
        waiting = status.state.waiting
        if waiting is not None and waiting.reason not in NOT_STARTED and (only is None or status.name in only):
            return Own(
                LinkState.FAILING,
                waiting.reason,
                status.name,
                pod.metadata.creation_timestamp,
                restarts=status.restart_count,
                own_fault=waiting.reason in _OWN_REASONS,
            )
    if found.until is not None:
        return Own(LinkState.STARTING, "crashed once", since=pod.metadata.creation_timestamp, until=found.until)
    return None


def _is_suspect(pod: Pod) -> bool:
    """Tell whether any container restarted, ended, or waits for a reason of its own; most pods just wait."""
    for status in pod.status.init_container_statuses:
        ended, waiting = status.state.terminated, status.state.waiting
        if (
            status.restart_count
            or (ended is not None and ended.exit_code)
            or (waiting and waiting.reason not in NOT_STARTED)
        ):
            return True
    return any(
        status.restart_count
        or status.state.terminated is not None
        or (status.state.waiting is not None and status.state.waiting.reason not in NOT_STARTED)
        for status in pod.status.container_statuses
    )


def _crash(loop: Loop) -> Own:
    end, count = loop.end, loop.status.restart_count
    if end is not None and end.reason == "OOMKilled":
        text = "out of memory"
    else:
        text = f"crashes, exit {end.exit_code}" if end is not None else "crashes"
    return Own(
        LinkState.FAILING,
        f"{text} ×{count}" if count else text,
        loop.container.name,
        end.finished_at if end else None,
        restarts=count,
        own_fault=end is not None and end.reason == "OOMKilled",
    )


def current_step(pod: Pod) -> tuple[Container, ContainerStatus | None, int] | None:
    """Return the init container that is not through, its status, and how many are; None when all are."""
    statuses = {status.name: status for status in pod.status.init_container_statuses}
    done = 0
    for container in pod.spec.init_containers:
        status = statuses.get(container.name)
        ended = status.state.terminated if status else None
        if (ended is not None and ended.exit_code == 0) or (is_sidecar(container) and status and status.started):
            done += 1
        else:
            return container, status, done
    return None


def _progress(component: Component, pod: Pod, situation: Situation, now: datetime, late: bool) -> Own:
    """Say how far a pod without a fault is."""
    if has_not_started(pod):
        return _not_started(pod, situation, now)
    step = current_step(pod)
    if step is None:
        return _main(component, pod, situation, now)
    container, status, done = step
    running = status.state.running if status else None
    since = (running.started_at if running else None) or pod.metadata.creation_timestamp
    text = f"waits {done}/{len(pod.spec.init_containers)}"
    if running is not None and (component_awaited := awaited(component, container.name)) is not None:
        restarts = status.restart_count if status else 0
        return Own(LinkState.STARTING, text, container.name, since, restarts=restarts, awaits=component_awaited)
    budget = _step_budget(container.name, running is not None, late)
    return _given(budget, since, now, Own(LinkState.STARTING, text, container.name, since))


def _step_budget(name: str, runs: bool, late: bool) -> timedelta:
    if name in DRIVER_STEPS or not runs:
        return DRIVER_START
    return CUDA_CHECK if late else OTHER_STEP


def _main(component: Component, pod: Pod, situation: Situation, now: datetime) -> Own:
    """All init containers are through: ready, or the main containers are still to be."""
    condition = find_condition(pod.status.conditions, "Ready")
    if condition is not None and condition.status == "True":
        return Own(LinkState.READY, since=condition.last_transition_time)
    unready = next((status for status in pod.status.container_statuses if not status.ready), None)
    running = unready.state.running if unready else None
    since = (running.started_at if running else None) or pod.metadata.creation_timestamp
    own = Own(LinkState.STARTING, "starts", unready.name if unready else "", since,
              restarts=unready.restart_count if unready else 0)  # fmt: skip
    if (back := back_at(pod, situation)) is not None and now < back:
        return own._replace(until=back)
    return _given(READY_AFTER_START if running and component is not Component.DRIVER else DRIVER_START, since, now, own)


def _not_started(pod: Pod, situation: Situation, now: datetime) -> Own:
    """No sandbox yet: the runtime class's handler, which the toolkit brings, or a volume, or the network."""
    since = waiting_since(pod)
    events = start_events(pod, situation)
    if events and NO_HANDLER in events[-1].message:
        return Own(LinkState.STARTING, "no runtime handler", since=since, awaits=Component.TOOLKIT)
    if events:
        return _given(TROUBLE, since, now, Own(LinkState.STARTING, events[-1].reason, since=since, own_fault=True))
    return _given(DRIVER_START, since, now, Own(LinkState.STARTING, "starts", since=since))


def _given(budget: timedelta, since: datetime | None, now: datetime, own: Own) -> Own:
    """Return `own` as STARTING while within its budget, as FAILING afterwards."""
    if since is None or now < since + budget:
        return own._replace(until=since + budget if since else None)
    text = "does not get ready" if own.text == "starts" else own.text
    if own.text.startswith("waits "):
        text = f"{own.container} does not end"
    return own._replace(state=LinkState.FAILING, text=text)


def driver_pod(node: str, situation: Situation) -> Pod | None:
    """Return the pod that the driver of a node runs in; None where the driver is the host's, or there is none."""
    on_it = situation.pods_by_node.get(node).values()
    found = [pod for pod in on_it if component_of(pod) is Component.DRIVER and pod.metadata.deletion_timestamp is None]
    return min(found, key=lambda pod: pod.name, default=None)
