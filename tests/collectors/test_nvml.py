"""NVML: a driver that is not there, GPUs that fail or hang, and bindings of other versions."""

import subprocess
import sys
from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import pytest

from collectors.errors import AbsentError, ForbiddenError, SourceError, UnreachableError
from collectors.gpu_devices import nvml
from collectors.gpu_devices.nvml import NvmlCollector, load_pynvml
from collectors.gpu_devices.wishes import DeviceWishes
from situation.gpu.devices import GpuDevice, GpuReading, NodeDevices
from situation.readings import SourceState
from tests.build import NOW, node, situation
from tests.collectors.harness import running
from tests.collectors.nvml_standin import FUNCTION_NOT_FOUND, GPU_IS_LOST, NOT_SUPPORTED, Standin

ROOT = Path(__file__).parents[2]


def told(host: str = "gpu-07") -> DeviceWishes:
    wishes = DeviceWishes(host, "")
    wishes.tell(situation(node("gpu-07"), node("gpu-08")))
    return wishes


def collector(load: Callable[[], Any], *, host: str = "gpu-07", deadline_s: float = 5.0) -> NvmlCollector:
    return NvmlCollector(told(host), lambda: NOW, load=load, deadline_s=deadline_s)


async def read(library: Standin, **options: Any) -> NodeDevices:
    one = collector(lambda: library, **options)
    try:
        (reading,) = [reading async for reading in one.collect()]
    finally:
        await one.aclose()
    assert reading.state is SourceState.LIVE
    assert isinstance(reading.value, GpuReading)
    (found,) = reading.value.nodes
    return found


async def test_all_that_is_read() -> None:
    library = Standin(1)
    found = await read(library)
    assert (found.node, found.origin, found.driver_version, found.error) == ("gpu-07", "nvml", "580.95.05", "")
    assert found.devices == (
        GpuDevice(
            0,
            uuid="GPU-0",
            product="NVIDIA H100 80GB HBM3",
            memory_used_bytes=10,
            memory_total_bytes=80,
            utilization_ratio=0.63,
            temperature_c=41,
            memory_temperature_c=47,
            power_w=117.35,
            power_limit_w=700,
            sm_clock_mhz=1980,
            memory_clock_mhz=2619,
            throttle_reasons=("sw_power_cap",),
            ecc_corrected=5,
            ecc_uncorrected=0,
            remapped_correctable=1,
            remapped_uncorrectable=2,
            row_remap_failed=False,
            row_remap_pending=True,
            nvlink_errors=6,
        ),
    )
    assert library.opened == 0


@pytest.mark.parametrize(
    ("function", "field"),
    [
        ("nvmlDeviceGetUtilizationRates", "utilization_ratio"),
        ("nvmlDeviceGetMemoryInfo", "memory_total_bytes"),
        ("nvmlDeviceGetTotalEccErrors", "ecc_uncorrected"),
        ("nvmlDeviceGetRemappedRows", "row_remap_failed"),
        ("nvmlDeviceGetFieldValues", "memory_temperature_c"),
        ("nvmlDeviceGetNvLinkErrorCounter", "nvlink_errors"),
        ("nvmlDeviceGetNvLinkState", "nvlink_errors"),
        ("nvmlDeviceGetEnforcedPowerLimit", "power_limit_w"),
    ],
)
@pytest.mark.parametrize("how", ["board", "driver", "bindings"])
async def test_what_is_missing_is_not_measured(function: str, field: str, how: str) -> None:
    library = Standin(1)
    if how == "bindings":
        library.missing.add(function)
    else:
        library.fails[function, 0] = NOT_SUPPORTED if how == "board" else FUNCTION_NOT_FOUND
    found = await read(library)
    assert getattr(found.devices[0], field) is None
    assert found.devices[0].temperature_c == 41
    assert found.error == ""


async def test_reasons_under_their_old_name() -> None:
    library = Standin(1)
    library.missing.add("nvmlDeviceGetCurrentClocksEventReasons")
    assert (await read(library)).devices[0].throttle_reasons == ("hw_thermal_slowdown",)


async def test_reasons_that_nobody_tells_are_not_none() -> None:
    library = Standin(1)
    library.missing |= {"nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"}
    assert (await read(library)).devices[0].throttle_reasons is None


@pytest.mark.parametrize("function", ["nvmlDeviceGetHandleByIndex", "nvmlDeviceGetTemperature"])
async def test_one_lost_gpu_does_not_cost_the_others(function: str) -> None:
    library = Standin(4)
    library.fails[function, 2] = GPU_IS_LOST
    found = await read(library)
    assert [device.index for device in found.devices] == [0, 1, 3]
    assert found.error == "GPU 2: GPU is lost"


async def test_mig_devices_stand_behind_their_gpu() -> None:
    library = Standin(2)
    library.mig[1] = ["NVIDIA H100 80GB HBM3 MIG 1g.10gb", "NVIDIA H100 80GB HBM3 MIG 2g.20gb"]
    found = (await read(library)).devices
    assert [(item.index, item.mig_profile, item.mig_id) for item in found] == [
        (0, "", ""), (1, "", ""), (1, "1g.10gb", "7"), (1, "2g.20gb", "8"),
    ]  # fmt: skip


async def test_a_gpu_that_hangs_costs_those_behind_it_and_is_told() -> None:
    library = Standin(4)
    library.hangs_on = 2
    one = collector(lambda: library, deadline_s=0.2)
    (reading,) = [item async for item in one.collect()]
    assert isinstance(reading.value, GpuReading)
    (found,) = reading.value.nodes
    assert [device.index for device in found.devices] == [0, 1]
    assert "GPU 2 did not answer within 0.2 s" in found.error
    with pytest.raises(UnreachableError, match="waiting for GPU 2"):
        [item async for item in one.collect()]
    library.hangs_on = -1
    library.released.set()
    async with running(one) as heard:
        await heard.until(lambda: any(len(item.devices) == 4 for item in heard.situation.devices.values()))
    assert heard.source("gpu/nvml").state is SourceState.LIVE, "it recovers by itself"


async def test_the_loop_turns_while_the_library_hangs() -> None:
    library = Standin(1)
    library.hangs_on = 0
    async with running(collector(lambda: library, deadline_s=0.2)) as heard:
        source = await heard.until_state(SourceState.UNREACHABLE, "gpu/nvml")
    assert "GPU 0" in source.error
    library.released.set()


def test_a_library_that_hangs_does_not_hold_up_the_end_of_the_program() -> None:
    script = (
        "import asyncio, threading, time\n"
        "from collectors.gpu_devices.nvml import NvmlCollector\n"
        "from tests.collectors.test_nvml import told\n"
        "from tests.build import NOW\n"
        "async def main():\n"
        "    c = NvmlCollector(told(), lambda: NOW, load=lambda: time.sleep(60), deadline_s=0.1)\n"
        "    try:\n"
        "        [r async for r in c.collect()]\n"
        "    except Exception as error:\n"
        "        print(type(error).__name__)\n"
        "asyncio.run(main())\n"
    )
    argv = [sys.executable, "-W", "error", "-c", script]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "UnreachableError\n", "")


@pytest.mark.parametrize(
    ("code", "error", "said"),
    [
        (9, AbsentError, "Driver Not Loaded"),
        (12, AbsentError, "NVML on this host"),
        (18, UnreachableError, "until the node is rebooted"),
        (4, ForbiddenError, "/dev/nvidia"),
        (999, UnreachableError, "NVML error 999"),
    ],
)
@pytest.mark.parametrize("function", ["nvmlInit", "nvmlDeviceGetCount"])
async def test_a_library_that_fails_as_a_whole(code: int, error: type[SourceError], said: str, function: str) -> None:
    library = Standin()
    library.fails[function, -1] = code
    with pytest.raises(error, match=said):
        await read(library)
    assert library.opened == 0


async def test_no_gpu_no_driver_no_node() -> None:
    with pytest.raises(AbsentError, match="sees no GPU"):
        await read(Standin(0))
    with pytest.raises(AbsentError, match="this host is not a node"):
        await read(Standin(1), host="bastion")
    broken = Standin(1)
    broken.missing.add("nvmlInit")
    with pytest.raises(UnreachableError, match="internal error in gpu/nvml: AttributeError"):
        await read(broken)


def test_without_a_driver_the_bindings_are_not_even_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(nvml, "_DRIVER_FILES", (tmp_path / "nvidiactl",))
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(AbsentError, match="no NVIDIA driver on this host"):
        load_pynvml()
    (tmp_path / "nvidiactl").touch()
    with pytest.raises(AbsentError, match="cannot be imported"):
        load_pynvml()


async def test_the_real_bindings_without_a_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if any(path.exists() for path in nvml._DRIVER_FILES):
        pytest.skip("this host has a driver")
    (tmp_path / "nvidiactl").touch()
    monkeypatch.setattr(nvml, "_DRIVER_FILES", (tmp_path / "nvidiactl",))
    with pytest.raises(AbsentError, match="NVML on this host"):
        [item async for item in NvmlCollector(told(), lambda: NOW).collect()]


async def test_a_driver_before_the_second_version_of_memory() -> None:
    """What the driver keeps for itself counts as used there."""
    library = Standin(1)
    library.fails[("nvmlDeviceGetMemoryInfo_v2", -1)] = FUNCTION_NOT_FOUND
    (device,) = (await read(library)).devices
    assert (device.memory_used_bytes, device.memory_total_bytes) == (12, 80)


def test_the_stand_in_has_the_functions_of_the_real_bindings() -> None:
    """With at least its parameters: what the stand-in takes, the bindings must take."""
    import pynvml

    for name in (name for name in vars(Standin) if name.startswith("nvml")):
        ours, real = signature(vars(Standin)[name]), signature(getattr(pynvml, name))
        assert len(ours.parameters) - 1 <= len(real.parameters), name
