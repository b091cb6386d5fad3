"""The next commands about a model server, and which of its arguments to change, with the reason."""

from typing import Final

from diagnosis.autoscalers import autoscalers_of
from diagnosis.commands import kubectl
from diagnosis.container_facts import describe, logs
from diagnosis.gpu_fit import UTILIZATION
from diagnosis.model_pods import FLAGS
from diagnosis.serving_facts import pod_of
from situation.findings import Command, Effect, Evidence
from situation.selectors import container_pairs
from situation.serving.readings import HEALTH_PATH, Software, triton_http_url
from situation.serving.view import ServerView, highest
from situation.situation import Situation
from situation.workloads import Deployment, StatefulSet

_SCALED: Final = {"Deployment": "deployment", "StatefulSet": "statefulset"}
_CURL_WAITS_S: Final = 5
"""A server that hangs must not hang who asks it."""
ROOM_RATIO: Final = 0.6
"""With less of the KV cache in use, more requests fit beside those that run ..."""
FILLED_RATIO: Final = 0.85
"""... until it is as full as this: above 0.90 preemption is near (playbook F)."""


def metrics(view: ServerView, purpose: str) -> Command:
    """Return the command that prints the server's page."""
    return _get(view, view.metrics_path, purpose)


def health(view: ServerView, purpose: str) -> Command:
    """Return the command that asks the server whether its engine lives."""
    return _get(view, HEALTH_PATH[view.software], purpose, view.health_port)


def _get(view: ServerView, path: str, purpose: str, own_port: int | None = None) -> Command:
    """Return what asks a pod through the API server, and what no pod has where it was asked."""
    place, _, port = view.key.rpartition(":")
    if view.pod is None and (view.key.startswith(("http://", "https://")) or "/" not in place):
        wait = f"--max-time={_CURL_WAITS_S}"
        elsewhere = triton_http_url(view.key) if path == HEALTH_PATH[Software.TRITON] else ""
        return Command(("curl", "-sSi", wait, f"{(elsewhere or view.key).rstrip('/')}{path}"), purpose)
    if view.url.startswith("/api/") and own_port is None:
        return kubectl("get", "--raw", f"{view.url}{path}", purpose=purpose)
    namespace, name = view.pod or place.split("/", 1)  # a Prometheus may name pods that nobody else knows of
    scheme = "https:" if view.url.startswith("https://") else ""
    raw = f"/api/v1/namespaces/{namespace}/pods/{scheme}{name}:{own_port or port}/proxy{path}"
    return kubectl("get", "--raw", raw, purpose=purpose)


def log(view: ServerView, situation: Situation, purpose: str) -> tuple[Command, ...]:
    """Return the command that prints the server's log: of the last run, if that one failed."""
    if (pod := pod_of(view, situation)) is None:
        return ()
    container = view.container or next((item.name for item in pod.spec.containers), "")
    status = next((status for item, status in container_pairs(pod) if item.name == container), None)
    return (logs(pod, container, status, purpose),)


def described(view: ServerView, situation: Situation, purpose: str) -> tuple[Command, ...]:
    """Return the command that describes the server's pod."""
    pod = pod_of(view, situation)
    return (describe(pod, purpose),) if pod is not None else ()


def scale(view: ServerView, situation: Situation, purpose: str) -> tuple[Command, ...]:
    """Return the command that adds a replica, if it is known what is scaled and how many there are."""
    workload = view.workload
    if workload is None or workload.kind not in _SCALED:
        return ()
    match situation.get(workload):
        case Deployment() | StatefulSet() as owner:
            target = f"{_SCALED[workload.kind]}/{workload.name}"
            for scaler in autoscalers_of(workload, situation)[:1]:
                bounds = f"{scaler.spec.min_replicas} to {scaler.spec.max_replicas}"
                purpose += f"; autoscaler {scaler.name} ({bounds}) sets it back: raise its bounds"
            return (
                kubectl("scale", target, f"--replicas={owner.spec.replicas + 1}", purpose=purpose,
                        namespace=workload.namespace, effect=Effect.MUTATING),
            )  # fmt: skip
    return ()


def flag_of(view: ServerView, what: str) -> str:
    """Return what its engine calls `sequences`, `length` or `utilization`; empty where it has no such flag."""
    if view.software is Software.TGI and what == "sequences":
        return ""
    return FLAGS.get(view.software, {}).get(what, "")


def change(view: ServerView, text: str) -> Evidence:
    """Return an argument to change as evidence."""
    return Evidence(f"to change: {text}", view.source, view.read_at)


def more_at_once(view: ServerView) -> Evidence:
    """Return what lets a saturated server take more requests at once, by how full its KV cache is."""
    limit, flag = view.max_num_seqs, flag_of(view, "sequences")
    if not flag:
        return change(view, "more replicas")
    usage = highest(view.engines, lambda item: item.kv_usage_ratio)
    if limit is None:
        why = ", which its command line does not set" if view.container else "; its command line is not known here"
        return change(view, f"more replicas; or a higher {flag}{why}")
    if usage is None:
        return change(view, f"more replicas; {flag} {limit} may go up if its KV cache has room")
    if usage < ROOM_RATIO:
        more = min(2 * limit, int(limit * FILLED_RATIO / usage)) if usage else 2 * limit
        return change(view, f"{flag} {limit} -> {more}: only {usage:.0%} of its KV cache is in use")
    return change(
        view,
        f"more replicas: {usage:.0%} of its KV cache is in use, so a higher {flag} would end in preemption",
    )


def less_memory(view: ServerView) -> tuple[Evidence, ...]:
    """Return what gives requests enough KV cache: fewer at once, shorter ones, more memory.

    Of a server whose command line is not known (at a URL) nothing is said of what that sets or leaves out.
    """
    arguments = view.arguments
    limit, flag = view.max_num_seqs, flag_of(view, "sequences")
    fits = min((item.mean_running for item in view.engines if item.mean_running is not None), default=0.0)
    found = []
    if flag and fits >= 1 and (limit is None or int(fits) < limit):
        now = f" {limit}" if limit is not None else " (default)" if view.container else ""
        found.append(change(view, f"{flag}{now} -> {int(fits)}: no more fit at once over the last minute"))
    told = next((item.cache for item in view.engines if item.cache is not None), None)
    share = arguments.gpu_memory_utilization or (told.gpu_memory_utilization if told is not None else None)
    if share is not None and share < UTILIZATION and (flag := flag_of(view, "utilization")):
        now = f"{flag} {share:g}"
        found.append(change(view, f"{now} -> {UTILIZATION:.2f}: what it gets beyond the weights is KV cache"))
    if view.container and arguments.max_model_len is None and (flag := flag_of(view, "length")):
        found.append(change(view, f"{flag} is not set: one long request may take the whole KV cache"))
    if view.container and not arguments.kv_cache_dtype and view.software is Software.VLLM:
        found.append(change(view, "--kv-cache-dtype auto -> fp8: twice as many tokens fit, where the GPU can"))
    return tuple(found)
