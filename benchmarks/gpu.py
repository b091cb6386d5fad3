"""What GPUs cost: a DCGM exporter's page, and the chains of a fleet."""

import gc
import statistics
from datetime import UTC, datetime
from time import perf_counter
from typing import Final

import msgspec

from collectors.gpu_devices.dcgm import parse_dcgm
from collectors.kubernetes.lists import Decoder
from simulator.generator import generate
from situation.gpu.fleet import Fleet
from situation.kinds import WATCHED
from situation.meta import KubernetesObject
from situation.readings import Changed, Listed, OwnLoad, Reading, SourceState
from situation.situation import Situation
from tests.collectors.dcgm_pages import dcgm_page

GPUS: Final = 8
NODES: Final = 1_000
_RUNS: Final = 51
_FULL_RUNS: Final = 15


def page_ms() -> float:
    """Median time to read one page of 8 GPUs into devices, in milliseconds."""
    body, now = dcgm_page(GPUS), datetime.now(UTC)
    times: list[float] = []
    for _ in range(_RUNS):
        began = perf_counter()
        (found,) = parse_dcgm(body, "gpu-07", "dcgm", now, "the page")
        times.append(perf_counter() - began)
        if len(found.devices) != GPUS:
            raise RuntimeError(f"{len(found.devices)} devices were read instead of {GPUS}")
    return statistics.median(times) * 1000


def chain_ms() -> tuple[float, float]:
    """Median times to judge the chains of 1,000 GPU nodes with nine components each, in milliseconds.

    First after one pod event, then all of them from scratch.
    """
    now = datetime.now(UTC)
    known = _fleet(now)
    whole: list[float] = []
    gc.disable()  # as cockpit and check have it until the first picture is complete, which is when all are judged
    for _ in range(_FULL_RUNS):
        fleet = Fleet()
        known.apply(Reading("midwatch/load", SourceState.LIVE, now, OwnLoad()))  # what was derived is derived anew
        began = perf_counter()
        fleet.update(known, (), now)
        whole.append(perf_counter() - began)
    gc.enable()
    if len(fleet.chains) != NODES:
        raise RuntimeError(f"{len(fleet.chains)} chains instead of {NODES}")
    pods = [pod for pod in known.pods.values() if pod.name.startswith("nvidia-device-plugin")]
    once: list[float] = []
    for number, pod in enumerate(pods[:_RUNS]):
        metadata = msgspec.structs.replace(pod.metadata, resource_version=str(10**9 + number))
        event = Changed("pods", (msgspec.structs.replace(pod, metadata=metadata),))
        changes = known.apply(Reading("kubernetes/pods", SourceState.LIVE, now, event))
        began = perf_counter()
        fleet.update(known, changes, now)
        once.append(perf_counter() - began)
    return statistics.median(once) * 1000, statistics.median(whole) * 1000


def _fleet(now: datetime) -> Situation:
    """Return a fleet as the collector hands it over: what pods of one workload have in common is held once."""
    cluster, known = generate(nodes=0, pods=0, gpu_nodes=NODES, now=now), Situation()
    for kind in WATCHED:
        decoder = Decoder(kind)
        items = [decoder.decode(b"{" + stored.tail) for stored in cluster.table(kind.name).ordered()]
        objects = tuple(item for item in items if isinstance(item, KubernetesObject))
        known.apply(Reading(kind.source, SourceState.LIVE, now, Listed(kind.name, objects)))
    return known
