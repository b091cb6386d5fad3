"""`kubectl logs`."""

from collections.abc import Mapping

from aiohttp import web

from simulator.cluster import Cluster, Manifest
from simulator.statuses import bad_request, not_found
from situation.kinds import BY_NAME


def answer_log(cluster: Cluster, namespace: str, name: str, query: Mapping[str, str]) -> web.Response:
    """Answer with the text in `cluster.logs`; the same for a container's present and previous run.

    Raises StatusError as the API server does: 404 without the pod, 400 for a container that is not in it, must be
    named, or has not started.
    """
    manifest = cluster.get("pods", namespace, name)
    if manifest is None:
        raise not_found(BY_NAME["pods"], name)
    spec = manifest.get("spec", {})
    containers = [item["name"] for item in spec.get("containers", [])]
    every = [*containers, *(item["name"] for item in spec.get("initContainers", []))]
    container = query.get("container") or (containers[0] if len(containers) == 1 else "")
    if not container:
        raise bad_request(f"a container name must be specified for pod {name}, choose one of: [{' '.join(containers)}]")
    if container not in every:
        raise bad_request(f"container {container} is not valid for pod {name}")
    text = cluster.logs.get(f"{namespace}/{name}/{container}", cluster.logs.get(f"{namespace}/{name}", ""))
    previous = query.get("previous") == "true"
    status = manifest.get("status", {})
    statuses = [*status.get("containerStatuses", []), *status.get("initContainerStatuses", [])]
    found: Manifest = next((item for item in statuses if item["name"] == container), {})
    if previous and not found.get("restartCount"):
        raise bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
    waiting = found.get("state", {}).get("waiting")
    if waiting is not None and not found.get("restartCount") and not text:
        reason = waiting.get("reason", "ContainerCreating")
        raise bad_request(f'container "{container}" in pod "{name}" is waiting to start: {reason}')
    lines = text.splitlines(keepends=True)
    if (tail := query.get("tailLines", "")).isdigit():
        lines = lines[len(lines) - min(int(tail), len(lines)) :]
    return web.Response(text="".join(lines))
