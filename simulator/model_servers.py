"""Plays the vLLM servers of a cluster that nothing was recorded of: those that are ready answer, and are in order."""

import time
from collections.abc import Callable
from datetime import datetime
from zlib import crc32

import msgspec

from simulator.cluster import Manifest
from simulator.pages import Page
from simulator.vllm import Traffic, metrics_page, models_page, version_page
from situation.pods import Pod
from situation.serving.readings import Software
from situation.serving.recognise import ServerSpec, servers_of


def server_at(manifest: Manifest, port: int) -> ServerSpec | None:
    """Return how a pod serves a model at a port, None if it does not."""
    return next((spec for spec in servers_of(msgspec.convert(manifest, Pod)) if spec.port == port), None)


class ModelServers:
    """Makes up what the servers answer."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        """`clock` returns Unix time; what moves, moves with it."""
        self._clock = clock

    def answer(self, manifest: Manifest, spec: ServerSpec, path: str) -> Page | None:
        """Return what a server answers; None if nobody listens there, as in a container that does not run."""
        started_at = _started_at(manifest, spec.container.name)
        if spec.software is not Software.VLLM or started_at is None:
            return None
        model = spec.name or _label(manifest)
        if path in ("/health", "/ping"):
            return Page()
        if path == "/version":
            return Page(text=version_page())
        if path == "/v1/models":
            return Page(*models_page(spec, model, started_at))
        if path == spec.metrics_path:
            load = crc32(manifest["metadata"]["name"].encode()) % 5
            traffic = Traffic(0.5 + 0.2 * load, running=3 + load, kv_usage_ratio=0.2 + 0.05 * load)
            return Page(text=metrics_page(model, traffic, started_at, max(0.0, self._clock() - started_at)))
        return Page(404, '{"detail":"Not Found"}')


def _started_at(manifest: Manifest, container: str) -> float | None:
    """Return since when the container has been running, None if it does not run or is not ready."""
    for status in manifest.get("status", {}).get("containerStatuses", []):
        began = (status.get("state", {}).get("running") or {}).get("startedAt")
        if status["name"] == container and status.get("ready") and began:
            return datetime.fromisoformat(began).timestamp()
    return None


def _label(manifest: Manifest) -> str:
    """The name of the model, as far as the pod tells."""
    metadata = manifest["metadata"]
    return str((metadata.get("labels") or {}).get("app") or metadata["name"])
