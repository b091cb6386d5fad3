"""Which pods are model servers, told fast: every pod that comes or changes is asked."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from situation.meta import ObjectKey, Ref
from situation.pods import Container, ContainerStatus, Pod, PodSpec
from situation.serving.arguments import KNOWN_COMMANDS
from situation.serving.recognise import ServerSpec, recognise, server_by_label, servers_of
from situation.serving.view import server_ref


@lru_cache(KNOWN_COMMANDS)
def _serves(image: str, command: tuple[str, ...], args: tuple[str, ...]) -> bool:
    container = Container("", image=image, command=command, args=args)
    return recognise(Pod(spec=PodSpec(containers=(container,)))) is not None


def serves_models(pod: Pod) -> bool:
    """Tell whether a container of the pod is recognised as a model server."""
    if any(_serves(item.image, item.command, item.args) for item in pod.spec.containers):
        return True
    return server_by_label(pod) is not None


def specs_of(pod: Pod, known: dict[ObjectKey, tuple[Pod, tuple[ServerSpec, ...]]]) -> tuple[ServerSpec, ...]:
    """Return how a pod serves models, read once for each version of it; `known` is where that is kept."""
    held = known.get(pod.key)
    if held is None or held[0] is not pod:
        known[pod.key] = held = (pod, servers_of(pod))
    return held[1]


def server_refs(pod: Pod, specs: Sequence[ServerSpec]) -> tuple[Ref, ...]:
    """Return the references to the servers of a pod: the first, or whatever answers there, by its name alone."""
    return (server_ref(pod.key, ""), *(server_ref(pod.key, "", spec.port) for spec in specs[1:]))


def server_status(pod: Pod, spec: ServerSpec) -> ContainerStatus | None:
    """Return the status of the container that serves, None while it has none."""
    return next((item for item in pod.status.container_statuses if item.name == spec.container.name), None)


def running_since(pod: Pod, spec: ServerSpec) -> datetime | None:
    """Return when the present run of the serving container began, None if it does not run or that is not told."""
    status = server_status(pod, spec)
    return status.state.running.started_at if status is not None and status.state.running is not None else None


def runs(pod: Pod, spec: ServerSpec) -> bool:
    status = server_status(pod, spec)
    return status is not None and status.state.running is not None
