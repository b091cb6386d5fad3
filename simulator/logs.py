"""`kubectl logs`: the text on the tape where the container has run, else what API server and kubelet say instead."""

from collections.abc import Mapping
from typing import Any, Final

from aiohttp import web

from simulator.cluster import Cluster, Manifest
from simulator.statuses import StatusError, bad_request, not_found
from situation.kinds import BY_NAME

_WAITS: Final = {
    "ErrImagePull": "image can't be pulled",
    "ImagePullBackOff": "trying and failing to pull image",
}
"""Reasons that the kubelet puts into words; it repeats the others as they are."""


def take_log(cluster: Cluster, place: str, text: str) -> None:
    """Take what a container has printed by now; `place` is `namespace/pod` or `namespace/pod/container`.

    The first text after a restart is of another run, and the one before is that of the previous run.
    """
    namespace, name, *rest = place.split("/")
    restarts = _restarts(cluster.get("pods", namespace, name), *rest)
    if place in cluster.logs and restarts > cluster.log_runs.get(place, 0):
        cluster.ended_logs[place] = cluster.logs[place]
    cluster.logs[place], cluster.log_runs[place] = text, restarts


def answer_log(cluster: Cluster, namespace: str, name: str, query: Mapping[str, str]) -> web.Response:
    """Answer with the text in `cluster.logs`: of the present run, or of the last one that ended if none runs.

    Where nothing was told since a restart, it is of both runs: what ended one will end the next. A container that has
    run and of which no log is there answers with one line that says so. A pod without a node answers with nothing.
    Raises StatusError as the API server does: 404 without the pod, 400 for a container that is not in it, must be
    named, or has no such run.
    """
    manifest = cluster.get("pods", namespace, name)
    if manifest is None:
        raise not_found(BY_NAME["pods"], name)
    container = _container(manifest, query.get("container", ""))
    if not manifest.get("spec", {}).get("nodeName"):
        return web.Response(text="")
    previous = query.get("previous") == "true"
    if refusal := _refusal(manifest, container, previous=previous):
        raise refusal
    pod = f"{namespace}/{name}"
    place = f"{pod}/{container}" if f"{pod}/{container}" in cluster.logs else pod
    text = cluster.logs.get(place)
    if previous and _runs_on(cluster, manifest, place, container):
        text = cluster.ended_logs.get(place, text)
    if text is None:
        text = f"(simulated cluster: no log of container {container} was recorded)\n"
    lines = text.splitlines(keepends=True)
    if (tail := query.get("tailLines", "")).isdigit():
        lines = lines[len(lines) - min(int(tail), len(lines)) :]
    if query.get("timestamps") == "true" and (began := _began(manifest, container, previous=previous)):
        lines = [f"{began} {line}" for line in lines]
    body = "".join(lines).encode()
    if (limit := query.get("limitBytes", "")).isdigit():
        body = body[: int(limit)]
    return web.Response(body=body, content_type="text/plain")


def _container(manifest: Manifest, asked: str) -> str:
    """Return the container that is meant. Raises StatusError 400 for one that is not there, or must be named."""
    spec, pod = manifest.get("spec", {}), manifest["metadata"]["name"]
    containers = [item["name"] for item in spec.get("containers", [])]
    init_containers = [item["name"] for item in spec.get("initContainers", [])]
    if asked:
        if asked not in (*containers, *init_containers):
            raise bad_request(f"container {asked} is not valid for pod {pod}")
        return asked
    if len(containers) == 1:
        return str(containers[0])
    message = f"a container name must be specified for pod {pod}, choose one of: [{' '.join(containers)}]"
    if init_containers:
        message += f" or one of the init containers: [{' '.join(init_containers)}]"
    raise bad_request(message)


def _refusal(manifest: Manifest, container: str, *, previous: bool) -> StatusError | None:
    """Return why the kubelet has no log of this run, in its words; None if it has."""
    about = f'container "{container}" in pod "{manifest["metadata"]["name"]}"'
    found = _status(manifest, container)
    if found is None:
        return bad_request(f"{about} is not available")
    state: dict[str, Any] = found.get("state") or {}
    has_ended = bool((found.get("lastState") or {}).get("terminated"))
    if previous:
        return None if has_ended else bad_request(f"previous terminated {about} not found")
    if "running" in state or "terminated" in state or has_ended:
        return None
    reason = state.get("waiting", {}).get("reason")
    if reason is None:
        return bad_request(f"{about} is waiting to start - no logs yet")
    return bad_request(f"{about} is waiting to start: {_WAITS.get(reason, reason)}")


def _status(manifest: Manifest, container: str) -> Manifest | None:
    status = manifest.get("status", {})
    statuses = [*status.get("containerStatuses", []), *status.get("initContainerStatuses", [])]
    return next((item for item in statuses if item["name"] == container), None)


def _restarts(manifest: Manifest | None, container: str = "") -> int:
    """Return how often a container was restarted; without a name, all of the pod together."""
    statuses = (manifest or {}).get("status", {}).get("containerStatuses", [])
    return sum(item.get("restartCount", 0) for item in statuses if container in ("", item["name"]))


def _runs_on(cluster: Cluster, manifest: Manifest, place: str, container: str) -> bool:
    """Tell whether the run that the newest text is of still runs."""
    state = (_status(manifest, container) or {}).get("state") or {}
    named = container if place.count("/") == 2 else ""
    return "running" in state and _restarts(manifest, named) <= cluster.log_runs.get(place, 0)


def _began(manifest: Manifest, container: str, *, previous: bool) -> str:
    """Return when the run whose log is shown began, as the kubelet writes times: the tape has none for the lines."""
    found = _status(manifest, container) or {}
    state, last = found.get("state") or {}, found.get("lastState") or {}
    present = state.get("running") or state.get("terminated")
    run = last.get("terminated") if previous or not present else present
    began: str = (run or {}).get("startedAt", "")
    return began.replace("Z", ".000000000Z")
