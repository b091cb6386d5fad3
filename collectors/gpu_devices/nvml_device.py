"""One GPU as NVML tells of it. What a driver, a board or a library's version does not know stays "not measured"."""

from collections.abc import Iterator
from typing import Any, Final

from collectors.gpu_devices.throttling import reasons_of
from situation.gpu.devices import GpuDevice
from situation.text import harmless

_LOST: Final = frozenset({15, 16})
"""NVML_ERROR_GPU_IS_LOST, NVML_ERROR_RESET_REQUIRED: true of the whole GPU, not of one question."""
_NVLINK_COUNTERS: Final = (0, 1, 2, 3)
"""NVML_NVLINK_ERROR_DL_REPLAY, _RECOVERY, _CRC_FLIT, _CRC_DATA."""
_CORRECTED: Final = 0
_UNCORRECTED: Final = 1
_VOLATILE: Final = 0
_TEMPERATURE_GPU: Final = 0
_CLOCK_SM: Final = 1
_CLOCK_MEMORY: Final = 2
_MEMORY_VERSION: Final = 0x02000028
"""nvmlMemory_v2; drivers from 510 on."""
_MEMORY_TEMPERATURE: Final = 82
"""NVML_FI_DEV_MEMORY_TEMP."""


def read_device(library: Any, handle: Any, number: int) -> Iterator[GpuDevice]:
    """Yield GPU `number` and its MIG devices. Raises the library's NVMLError if the GPU itself does not answer."""
    device = _whole(library, handle, number)
    yield device
    yield from _mig_devices(library, handle, device)


class _Asker:
    """Asks one device; None for what it does not tell."""

    def __init__(self, library: Any, handle: Any) -> None:
        self._library = library
        self._handle = handle

    def ask(self, function: str, *arguments: Any) -> Any:
        """Return the answer, None if this version, driver or board has none. Raises NVMLError for a lost GPU."""
        try:
            return getattr(self._library, function)(self._handle, *arguments)
        except (AttributeError, TypeError):
            return None  # bindings of another version
        except self._library.NVMLError as error:
            if getattr(error, "value", 0) in _LOST:
                raise
            return None

    def text(self, function: str) -> str:
        value = self.ask(function)
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        return harmless(str(value)) if value else ""

    def number(self, function: str, *arguments: Any, per: float = 1.0) -> float | None:
        value = self.ask(function, *arguments)
        return float(value) / per if isinstance(value, int | float) else None

    def count(self, function: str, *arguments: Any) -> int | None:
        value = self.ask(function, *arguments)
        return int(value) if isinstance(value, int) else None


def _whole(library: Any, handle: Any, number: int) -> GpuDevice:
    asker = _Asker(library, handle)
    memory = _memory(asker)
    rates = asker.ask("nvmlDeviceGetUtilizationRates")
    rows = asker.ask("nvmlDeviceGetRemappedRows")
    correctable, uncorrectable, pending, failed = rows if isinstance(rows, tuple) and len(rows) == 4 else (None,) * 4
    return GpuDevice(
        number,
        uuid=asker.text("nvmlDeviceGetUUID"),
        product=asker.text("nvmlDeviceGetName"),
        memory_used_bytes=None if memory is None else int(memory.used),
        memory_total_bytes=None if memory is None else int(memory.total),
        utilization_ratio=None if rates is None else min(1.0, float(rates.gpu) / 100),
        temperature_c=asker.number("nvmlDeviceGetTemperature", _TEMPERATURE_GPU),
        memory_temperature_c=_memory_temperature(asker),
        power_w=asker.number("nvmlDeviceGetPowerUsage", per=1000),
        power_limit_w=asker.number("nvmlDeviceGetEnforcedPowerLimit", per=1000),
        sm_clock_mhz=asker.number("nvmlDeviceGetClockInfo", _CLOCK_SM),
        memory_clock_mhz=asker.number("nvmlDeviceGetClockInfo", _CLOCK_MEMORY),
        throttle_reasons=_throttling(asker),
        ecc_corrected=asker.count("nvmlDeviceGetTotalEccErrors", _CORRECTED, _VOLATILE),
        ecc_uncorrected=asker.count("nvmlDeviceGetTotalEccErrors", _UNCORRECTED, _VOLATILE),
        remapped_correctable=correctable,
        remapped_uncorrectable=uncorrectable,
        row_remap_failed=None if failed is None else bool(failed),
        row_remap_pending=None if pending is None else bool(pending),
        nvlink_errors=_nvlink_errors(asker, int(getattr(library, "NVML_NVLINK_MAX_LINKS", 18))),
    )


def _memory(asker: _Asker) -> Any:
    """Return the memory as nvidia-smi counts it: the first version of the call counts what the driver keeps as used.

    On an idle H100 that is 480 MiB.
    """
    memory = asker.ask("nvmlDeviceGetMemoryInfo", _MEMORY_VERSION)
    return asker.ask("nvmlDeviceGetMemoryInfo") if memory is None else memory


def _throttling(asker: _Asker) -> tuple[str, ...] | None:
    bits = asker.count("nvmlDeviceGetCurrentClocksEventReasons")
    if bits is None:
        bits = asker.count("nvmlDeviceGetCurrentClocksThrottleReasons")  # its name until driver 535
    return None if bits is None else reasons_of(bits)


def _memory_temperature(asker: _Asker) -> float | None:
    values = asker.ask("nvmlDeviceGetFieldValues", [_MEMORY_TEMPERATURE])
    try:
        field = values[0]
        return float(field.value.uiVal) if field.nvmlReturn == 0 and field.value.uiVal else None
    except (TypeError, IndexError, AttributeError):
        return None


def _nvlink_errors(asker: _Asker, links: int) -> int | None:
    """Sum the error counters of all links; None on a board without any."""
    total: int | None = None
    for link in range(links):
        if not asker.ask("nvmlDeviceGetNvLinkState", link):
            continue
        for counter in _NVLINK_COUNTERS:
            if (errors := asker.count("nvmlDeviceGetNvLinkErrorCounter", link, counter)) is not None:
                total = (total or 0) + errors
    return total


def _mig_devices(library: Any, handle: Any, parent: GpuDevice) -> Iterator[GpuDevice]:
    asker = _Asker(library, handle)
    mode = asker.ask("nvmlDeviceGetMigMode")
    if not isinstance(mode, list | tuple) or not mode or not mode[0]:
        return
    for slot in range(asker.count("nvmlDeviceGetMaxMigDeviceCount") or 0):
        mig = asker.ask("nvmlDeviceGetMigDeviceHandleByIndex", slot)
        if mig is None:
            continue
        asked = _Asker(library, mig)
        memory = _memory(asked)
        instance = asked.count("nvmlDeviceGetGpuInstanceId")
        name = asked.text("nvmlDeviceGetName")
        yield GpuDevice(
            parent.index,
            uuid=asked.text("nvmlDeviceGetUUID"),
            product=parent.product,
            memory_used_bytes=None if memory is None else int(memory.used),
            memory_total_bytes=None if memory is None else int(memory.total),
            mig_profile=name.rpartition(" MIG ")[2] if " MIG " in name else "",
            mig_id=str(slot if instance is None else instance),
        )
