"""Xids through NVML's events: what came while we listened, what is never told, and when the driver is given free."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from time import monotonic

import pynvml
import pytest

from collectors.errors import UnreachableError
from collectors.gpu_devices.nvml import NvmlCollector
from collectors.gpu_devices.nvml_xids import _XID
from collectors.gpu_devices.wishes import DeviceWishes
from diagnosis.engine import Engine
from diagnosis.xids import XID_FRESH
from situation.findings import Finding, Mark, Severity
from situation.gpu.devices import GpuDevice, GpuReading, NodeDevices, SeenXid
from situation.readings import CONFIGURED, Configured, Reading, SourceState
from tests.build import NOW, node, situation
from tests.collectors.nvml_standin import GPU_IS_LOST, NOT_SUPPORTED, UNINITIALIZED, Standin
from tests.collectors.test_device_wishes import exporter
from tests.diagnosis.gpus import RULES, gpu_node


class Host:
    """A node with NVML, asked round by round; each round is 15 seconds after the last."""

    def __init__(self, library: Standin, *, deadline_s: float = 5.0) -> None:
        self.library = library
        self.now = NOW
        self.wishes = DeviceWishes("gpu-07", "")
        self.in_cluster()
        self.collector = NvmlCollector(self.wishes, lambda: self.now, load=lambda: library, deadline_s=deadline_s)

    def in_cluster(self, *, cordoned: bool = False, labels: dict[str, str] | None = None, name: str = "gpu-07") -> None:
        self.wishes.tell(situation(node(name, labels=labels or {}, spec={"unschedulable": cordoned})))

    async def reading(self) -> Reading:
        self.now += timedelta(seconds=15)
        (reading,) = [item async for item in self.collector.collect()]
        return reading

    async def read(self) -> NodeDevices:
        reading = await self.reading()
        assert isinstance(reading.value, GpuReading)
        (found,) = reading.value.nodes
        return found

    async def devices(self) -> tuple[GpuDevice, ...]:
        return (await self.read()).devices


@asynccontextmanager
async def host(library: Standin) -> AsyncIterator[Host]:
    one = Host(library)
    try:
        yield one
    finally:
        await one.collector.aclose()
        assert (library.opened, library.event_sets) == (0, [])


async def until_closed(library: Standin) -> None:
    assert await asyncio.to_thread(library.closed.wait, 5)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


async def test_an_xid_that_comes_while_we_listen_is_told_with_its_time() -> None:
    library = Standin(3)
    library.xid(1, 79)
    async with host(library) as one:
        assert [item.last_xid for item in await one.devices()] == [None] * 3, "what came before is unknown, not none"
        library.xid(1, 48)
        found = await one.devices()
        assert [(item.last_xid, item.xid_changed_at) for item in found] == [(None, None), (48, at(30)), (None, None)]
        again = await one.devices()
        assert (again[1].last_xid, again[1].xid_changed_at) == (48, at(30)), "its time is that of the event"
        library.xid(1, 48)
        assert (await one.devices())[1].xid_changed_at == at(60), "the same one again is a new event"


async def test_an_xid_does_not_hide_the_one_before_it() -> None:
    library = Standin(1)
    async with host(library) as one:
        await one.read()
        for code in (48, *[45] * 40):
            library.xid(0, code)
        (device,) = await one.devices()
        assert (device.last_xid, device.earlier_xids) == (45, (SeenXid(48, at(30)),))


@pytest.mark.parametrize("function", ["nvmlEventSetCreate", "nvmlDeviceRegisterEvents", "nvmlEventSetWait_v2"])
@pytest.mark.parametrize("how", ["board", "bindings"])
async def test_events_that_fail_cost_nothing_but_themselves(function: str, how: str) -> None:
    library = Standin(2)
    if how == "bindings":
        library.missing.add(function)
    else:
        library.fails[function, -1 if function == "nvmlEventSetCreate" else 0] = NOT_SUPPORTED
    async with host(library) as one:
        for _ in range(2):
            library.xid(0, 79)
            library.xid(1, 94)
            found = await one.read()
            assert [item.temperature_c for item in found.devices] == [41, 41]
            assert found.error == ""
            assert found.devices[0].last_xid is None
        heard_of_the_other = how == "board" and function != "nvmlEventSetCreate"
        assert found.devices[1].last_xid == (94 if heard_of_the_other else None)


async def test_a_gpu_that_falls_off_the_bus_still_tells_its_xid() -> None:
    library = Standin(3)
    async with host(library) as one:
        await one.read()
        library.xid(1, 79)
        library.fails["nvmlDeviceGetHandleByIndex", 1] = GPU_IS_LOST
        found = await one.read()
        assert found.error == "GPU 1: GPU is lost"
        assert found.devices[2:] == (GpuDevice(1, "GPU-1", last_xid=79, xid_changed_at=at(30), answers=False),)
        assert [item.index for item in found.devices[:2]] == [0, 2]
        assert library.opened == 0, "who holds the driver keeps it from being reset"
        del library.fails["nvmlDeviceGetHandleByIndex", 1]
        found = await one.read()
        assert [(item.last_xid, item.answers) for item in found.devices] == [(None, True), (79, True), (None, True)]
        library.xid(0, 94)
        assert (await one.devices())[0].last_xid == 94, "it listens again"


async def test_an_xid_that_comes_only_as_the_gpu_is_asked_is_not_lost_with_it() -> None:
    library = Standin(2)
    async with host(library) as one:
        await one.read()
        library.falls = 1
        found = await one.read()
        assert (found.error, library.opened) == ("GPU 1: GPU is lost", 0)
        assert [(item.index, item.last_xid, item.answers) for item in found.devices] == [
            (0, None, True),
            (1, 79, False),
        ]


async def test_what_came_before_the_driver_is_given_free_is_heard() -> None:
    library = Standin(1)
    async with host(library) as one:
        await one.read()
        library.xid(0, 48)
        one.in_cluster(cordoned=True)
        await until_closed(library)
        assert (await one.devices())[0].xids == (SeenXid(48, at(15)),)


def test_the_event_is_that_of_the_real_bindings() -> None:
    assert _XID == pynvml.nvmlEventTypeXidCriticalError
    assert {"eventType", "eventData"} <= {field[0] for field in pynvml.c_nvmlEventData_t._fields_}


async def test_a_silent_gpu_is_not_told_of_for_ever_nor_by_the_number_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    library = Standin(2)
    async with host(library) as one:
        await one.read()
        library.xid(1, 79)
        await one.read()
        library.gpus = 1
        assert [item.answers for item in await one.devices()] == [True, False]
        with monkeypatch.context() as patch:
            patch.setattr(library, "gpus", 2)
            patch.setattr(library, "nvmlDeviceGetUUID", lambda gpu: f"GPU-{7 * gpu}")
            assert [(item.uuid, item.last_xid) for item in await one.devices()] == [("GPU-0", None), ("GPU-7", None)]
        one.now += timedelta(minutes=15)
        assert [item.answers for item in await one.devices()] == [True]


async def test_a_driver_that_was_loaded_anew_is_listened_to_anew() -> None:
    library = Standin(1)
    async with host(library) as one:
        await one.read()
        library.xid(0, 31)
        await one.read()
        library.fails["nvmlDeviceGetCount", -1] = UNINITIALIZED
        with pytest.raises(UnreachableError):
            await one.read()
        assert library.opened == 0
        library.xid(0, 79)
        del library.fails["nvmlDeviceGetCount", -1]
        (device,) = await one.devices()
        assert (device.last_xid, device.xid_changed_at) == (31, at(30)), "what came in between was not heard"
        library.xid(0, 94)
        assert (await one.devices())[0].last_xid == 94


async def test_mig_devices_have_no_events_of_their_own() -> None:
    library = Standin(1)
    library.mig[0] = ["NVIDIA H100 80GB HBM3 MIG 1g.10gb"]
    async with host(library) as one:
        await one.read()
        library.xid(0, 94)
        assert [(item.mig_id, item.last_xid) for item in await one.devices()] == [("", 94), ("7", None)]


@pytest.mark.parametrize(
    "change",
    [
        {"cordoned": True},
        {"labels": {"nvidia.com/mig.config.state": "pending"}},
        {"labels": {"nvidia.com/gpu-driver-upgrade-state": "drain-required"}},
        {"name": "gpu-08"},
    ],
)
async def test_a_node_that_is_worked_at_has_its_driver_for_itself(change: dict[str, object]) -> None:
    library = Standin(1)
    async with host(library) as one:
        await one.read()
        assert library.opened == 1
        one.in_cluster(**change)  # type: ignore[arg-type]
        await until_closed(library)
        if "name" not in change:
            await one.read()
            assert library.opened == 0, "a round opens it for itself alone"
        one.in_cluster()
        await one.read()
        library.xid(0, 94)
        assert (await one.devices())[0].last_xid == 94


async def test_a_node_with_an_exporter_is_not_held_also_when_somebody_takes_it_away() -> None:
    """Who is about to reset a GPU stops DCGM first: that must not be when we begin to hold the driver."""
    library = Standin(1)
    async with host(library) as one:
        await one.read()
        one.wishes.tell(situation(node("gpu-07"), exporter()))
        await until_closed(library)
        await one.read()
        one.in_cluster()
        await one.read()
        assert library.opened == 0


@pytest.mark.parametrize(
    ("only", "missing"), [("shop", {}), ("", {"pods": SourceState.FORBIDDEN})], ids=["one namespace", "no rights"]
)
async def test_where_an_exporter_would_not_be_seen_the_driver_is_not_held(
    only: str, missing: dict[str, SourceState]
) -> None:
    library = Standin(1)
    wishes, known = DeviceWishes("gpu-07", "gpu-07"), situation(node("gpu-07"), missing=missing)
    known.apply(Reading(CONFIGURED, SourceState.LIVE, NOW, Configured(only_namespace=only)))
    wishes.tell(known)
    assert [item async for item in NvmlCollector(wishes, lambda: NOW, load=lambda: library).collect()]
    assert library.opened == 0


async def test_a_host_of_which_no_node_is_known_is_not_held() -> None:
    library = Standin(1)
    wishes = DeviceWishes("gpu-07", "gpu-07")
    wishes.tell(situation(missing={"nodes": SourceState.FORBIDDEN}))
    assert [item async for item in NvmlCollector(wishes, lambda: NOW, load=lambda: library).collect()]
    assert library.opened == 0


async def test_a_call_that_hangs_is_not_waited_for_in_the_end_and_gives_free_when_it_comes_back() -> None:
    library = Standin(2)
    one = Host(library, deadline_s=0.1)
    await one.read()
    library.hangs_on = 1
    assert "GPU 1 did not answer" in (await one.read()).error
    began = monotonic()
    await one.collector.aclose()
    assert monotonic() - began < 5
    library.released.set()
    await until_closed(library)


async def test_from_the_event_to_the_finding_and_to_the_history_that_it_becomes() -> None:
    library = Standin(2)
    known = situation(gpu_node(2))

    def found(at: datetime) -> dict[str, Finding]:
        causes = Engine(RULES).judge(known, (), at).causes
        return {item.rule: item for cause in causes for item in (cause, *cause.consequences)}

    async with host(library) as one:
        library.xid(0, 48)
        known.apply(await one.reading())
        assert "gpu-xid" not in found(one.now), "one round alone, as `check` makes it, knows of no Xid"
        assert known.devices["gpu-07"].devices[0].last_xid is None, "and does not say that there was none"
        library.xid(0, 48)
        library.xid(0, 45)
        known.apply(await one.reading())
        told = found(one.now)["gpu-xid"]
        assert (told.title, told.severity) == ("gpu-07 GPU 0: Xid 48, double-bit memory error", Severity.CRITICAL)
        assert [(line.text, line.source, line.observed_at) for line in told.evidence[:2]] == [
            ("GPU 0: Xid 48, double-bit memory error", "gpu/nvml", at(30)),
            ("GPU 0: Xid 45, clean-up of a program that was ended (also)", "gpu/nvml", at(30)),
        ]
        assert not [line for line in told.evidence if line.mark is Mark.OPEN], "nothing is hidden: each was an event"
        one.now += XID_FRESH
        known.apply(await one.reading())
        assert found(one.now)["gpu-xid"].title.endswith("Xid 48, double-bit memory error (in the past)")
