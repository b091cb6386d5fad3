"""The doctor's lines on GPUs: which ways to them are open from here. None of them is needed for the rest."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final

import msgspec

from situation.clock import utc_now
from situation.kinds import BY_NAME
from situation.readings import Listed, Reading, SourceState
from situation.situation import Situation

if TYPE_CHECKING:
    from collectors.errors import SourceError
    from collectors.gpu_devices.options import DeviceOptions
    from collectors.gpu_devices.wishes import DeviceWishes
    from collectors.kubernetes.client import Client
    from collectors.runner import Collector

Line = tuple[bool | None, str, str]
"""Whether it works (None: it does not, and nothing else needs it), what, and what there is to say."""
_NAMES: Final = {"gpu/nvml": "GPUs of this host", "gpu/dcgm": "GPU exporters", "gpu/prometheus": "GPUs in Prometheus"}


async def device_lines(client: "Client", namespace: str | None, options: "DeviceOptions") -> list[Line]:
    """Return a line for NVML, for the exporters, and for the Prometheus if one was given."""
    return [line async for line in _lines(client, namespace, options)]


async def _lines(client: "Client", namespace: str | None, options: "DeviceOptions") -> AsyncIterator[Line]:
    from collectors.errors import SourceError
    from collectors.gpu_devices.collect import gpu_collectors
    from collectors.gpu_devices.wishes import DeviceWishes
    from collectors.http import HttpReader

    wishes = DeviceWishes()
    async with HttpReader() as http:
        try:
            await _tell(wishes, client, namespace)
            # One exporter shows whether they can be reached.
            collectors = gpu_collectors(client, http, wishes, msgspec.structs.replace(options, nodes=1))
        except SourceError as error:
            yield None, "GPU exporters", str(error)
            return
        for collector in collectors:
            if collector.name == "gpu/dcgm" and not options.nodes and not options.urls:
                yield True, _NAMES[collector.name], "not asked: gpu_nodes = 0"
            else:
                yield await _heard(collector)


async def _tell(wishes: "DeviceWishes", client: "Client", namespace: str | None) -> None:
    from collectors.gpu_devices.wishes import EXPORTER_LABELS
    from collectors.kubernetes.lists import list_cached

    pods, now = BY_NAME["pods"], utc_now()
    lists = [await list_cached(client, pods, namespace, f"{label}={value}") for label, value in EXPORTER_LABELS]
    situation = Situation()
    found = tuple(item for one in lists for item in one.objects)
    situation.apply(Reading(pods.source, SourceState.LIVE, now, Listed("pods", found)))
    # Whether this host is a node of the cluster does not matter here: its GPUs are asked as if it were.
    situation.apply(Reading(BY_NAME["nodes"].source, SourceState.UNREACHABLE, now))
    wishes.tell(situation)


async def _heard(collector: "Collector") -> Line:
    from collectors.errors import AbsentError
    from situation.gpu.devices import GpuReading

    name = _NAMES[collector.name]
    readings, error = await one_pass(collector)
    if error is not None:
        return (True, name, f"none: {error}") if isinstance(error, AbsentError) else (None, name, str(error))
    nodes = [item for reading in readings if isinstance(reading.value, GpuReading) for item in reading.value.nodes]
    read = [item for item in nodes if item.observed_at is not None]
    fault = next(filter(None, (*(item.error for item in nodes), *(reading.error for reading in readings))), "")
    gpus = sum(len(item.devices) for item in read)
    told = f"{gpus} {'GPU' if gpus == 1 else 'GPUs'} on {len(read)} {'node' if len(read) == 1 else 'nodes'}"
    return (None if fault else True), name, f"{told}; {fault}" if read and fault else fault or told


async def one_pass(collector: "Collector") -> tuple[list[Reading], "SourceError | None"]:
    """Run one pass of a collector as the runner does, and return its readings and what ended it."""
    from collectors.errors import SourceError, UnreachableError

    readings: list[Reading] = []
    try:
        async with asyncio.timeout(collector.deadline_s), aclosing(collector.collect()) as heard:
            async for reading in heard:
                readings.append(reading)
    except SourceError as error:
        return readings, error
    except TimeoutError:
        return readings, UnreachableError(f"no answer within {collector.deadline_s:g} s")
    return readings, None
