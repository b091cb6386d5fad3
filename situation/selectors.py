"""Pure questions about single objects that rules and panes share."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from situation.cluster import Node
from situation.meta import find_condition
from situation.pods import Container, ContainerStatus, Pod, Terminated

CRASH_MEMORY: Final = timedelta(minutes=10)
"""A container that ran this long has left its crash loop: the kubelet resets its back-off after twice the maximum of
5 minutes (kubelet, MaxContainerBackOff)."""


def is_ready(pod: Pod) -> bool:
    condition = find_condition(pod.status.conditions, "Ready")
    return condition is not None and condition.status == "True"


def is_finished(pod: Pod) -> bool:
    return pod.status.phase in ("Succeeded", "Failed")


def is_sidecar(container: Container) -> bool:
    """An init container that keeps running beside the main ones."""
    return container.restart_policy == "Always"


def container_pairs(pod: Pod) -> Iterator[tuple[Container, ContainerStatus]]:
    """Yield each container with its status, init containers first; those without a status are left out."""
    statuses = {status.name: status for status in pod.status.init_container_statuses + pod.status.container_statuses}
    for container in pod.spec.init_containers + pod.spec.containers:
        if (status := statuses.get(container.name)) is not None:
            yield container, status


def last_end(status: ContainerStatus) -> Terminated | None:
    """How the container ended last: now if it is terminated, else its last state."""
    return status.state.terminated or status.last_state.terminated


def unhealthy_devices(pod: Pod) -> tuple[str, ...]:
    """Return the ids of the devices of a pod's containers that the kubelet reports as unhealthy."""
    return tuple(
        device.resource_id
        for status in pod.status.container_statuses
        for resource in status.allocated_resources_status
        for device in resource.resources
        if device.health == "Unhealthy"
    )


def has_run(status: ContainerStatus) -> bool:
    """Tell whether the container runs or has run; before that it has no log."""
    return status.state.running is not None or last_end(status) is not None


def is_settled(pod: Pod, now: datetime) -> bool:
    """Tell whether a pod is plainly fine: ready or completed, not going away, no restart worth a second look.

    Rules that look for faults of single pods skip settled ones; on a large cluster these are nearly all.
    """
    if pod.metadata.deletion_timestamp is not None:
        return False
    if pod.status.phase == "Succeeded":
        return True
    if pod.status.phase != "Running" or not is_ready(pod):
        return False
    for status in pod.status.container_statuses:
        if not status.ready or status.allocated_resources_status:
            return False
        if status.restart_count and not _ran_long(status, now):
            return False
    for status in pod.status.init_container_statuses:  # no generators: this is asked of every pod, often
        if status.restart_count and status.state.terminated is None and not _ran_long(status, now):
            return False
    return True


def _ran_long(status: ContainerStatus, now: datetime) -> bool:
    running = status.state.running
    return running is not None and running.started_at is not None and now - running.started_at >= CRASH_MEMORY


def pod_status_text(pod: Pod) -> str:
    """Return what `kubectl get pods` prints under STATUS (pkg/printers/internalversion, printPod)."""
    text = _init_text(pod) or _main_text(pod)
    if not pod.spec.node_name and (condition := find_condition(pod.status.conditions, "PodScheduled")):
        if condition.reason == "SchedulingGated":
            text = "SchedulingGated"
    if pod.metadata.deletion_timestamp is not None:
        return "Unknown" if pod.status.reason == "NodeLost" else "Terminating"
    return text


def _init_text(pod: Pod) -> str:
    """The first init container that is not through, empty if all are."""
    containers = {container.name: container for container in pod.spec.init_containers}
    for number, status in enumerate(pod.status.init_container_statuses):
        state = status.state
        container = containers.get(status.name)
        if state.terminated is not None and state.terminated.exit_code == 0:
            continue
        if container is not None and is_sidecar(container) and status.started:
            continue
        if state.terminated is not None:
            return f"Init:{_end_text(state.terminated)}"
        if state.waiting is not None and state.waiting.reason not in ("", "PodInitializing"):
            return f"Init:{state.waiting.reason}"
        return f"Init:{number}/{len(pod.spec.init_containers)}"
    return ""


def _main_text(pod: Pod) -> str:
    text = pod.status.reason or pod.status.phase or "Unknown"
    running = False
    for status in reversed(pod.status.container_statuses):
        state = status.state
        if state.waiting is not None and state.waiting.reason:
            text = state.waiting.reason
        elif state.terminated is not None:
            text = _end_text(state.terminated)
        elif status.ready and state.running is not None:
            running = True
    if text == "Completed" and running:
        return "Running" if is_ready(pod) else "NotReady"
    return text


def _end_text(end: Terminated) -> str:
    if end.reason:
        return end.reason
    return f"Signal:{end.signal}" if end.signal else f"ExitCode:{end.exit_code}"


def ready_count(pod: Pod) -> tuple[int, int]:
    """(ready, all) main containers and sidecars, as under READY."""
    sidecars = {container.name for container in pod.spec.init_containers if is_sidecar(container)}
    ready = sum(status.ready for status in pod.status.container_statuses)
    ready += sum(status.ready for status in pod.status.init_container_statuses if status.name in sidecars)
    return ready, len(pod.spec.containers) + len(sidecars)


def restarts(pod: Pod) -> int:
    """Restarts of all main containers."""
    return sum(status.restart_count for status in pod.status.container_statuses)


def last_restart(pod: Pod) -> datetime | None:
    """When a container ended last, if any restarted."""
    ends = [
        end.finished_at
        for status in pod.status.container_statuses
        if status.restart_count and (end := status.last_state.terminated) and end.finished_at
    ]
    return max(ends, default=None)


def is_node_ready(node: Node) -> bool:
    condition = find_condition(node.status.conditions, "Ready")
    return condition is not None and condition.status == "True"


def node_status_text(node: Node) -> str:
    """Return what `kubectl get nodes` prints under STATUS."""
    condition = find_condition(node.status.conditions, "Ready")
    parts = ["Unknown" if condition is None else "Ready" if condition.status == "True" else "NotReady"]
    if node.spec.unschedulable:
        parts.append("SchedulingDisabled")
    return ",".join(parts)


def node_roles(node: Node) -> tuple[str, ...]:
    """Roles from the labels `node-role.kubernetes.io/<role>`, sorted."""
    prefix = "node-role.kubernetes.io/"
    return tuple(sorted(key.removeprefix(prefix) for key in node.metadata.labels if key.startswith(prefix)))


def is_control_plane(node: Node) -> bool:
    """Tell whether a node runs the control plane (`master` is the label of clusters before 1.24)."""
    return bool({"control-plane", "master"} & set(node_roles(node)))


def claim_names(pod: Pod) -> tuple[str, ...]:
    """Return the names of the claims that a pod mounts: those that it names, and those made for it alone.

    The claim of an ephemeral volume is called POD-VOLUME (component-helpers, storage/ephemeral, VolumeClaimName).
    """
    if not pod.spec.volumes:  # mostly, and every pod that changes is asked
        return ()
    return tuple(
        volume.persistent_volume_claim.claim_name if volume.persistent_volume_claim else f"{pod.name}-{volume.name}"
        for volume in pod.spec.volumes
        if volume.persistent_volume_claim or volume.ephemeral
    )
