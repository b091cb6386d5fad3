"""Stands for the NVML bindings: as many GPUs as a test wants, each of which may fail, hang or be lost."""

import threading
from types import SimpleNamespace
from typing import Any


class NVMLError(Exception):
    def __init__(self, value: int, text: str = "") -> None:
        super().__init__(text or f"NVML error {value}")
        self.value = value


UNINITIALIZED = 1
INVALID_ARGUMENT = 2
NOT_SUPPORTED = 3
TIMEOUT = 10
FUNCTION_NOT_FOUND = 13
GPU_IS_LOST = 15


class EventSet:
    """Holds what came for the GPUs that were registered with it."""

    def __init__(self) -> None:
        self.gpus: dict[int, int] = {}
        """GPU -> types of events."""
        self.waiting: list[SimpleNamespace] = []


class Standin:
    """What `import pynvml` gives, as far as it is used. Attributes that are deleted are functions of newer bindings."""

    NVMLError = NVMLError
    NVML_NVLINK_MAX_LINKS = 2

    def __init__(self, gpus: int = 2) -> None:
        self.gpus = gpus
        self.fails: dict[tuple[str, int], int] = {}
        """(function, GPU) -> error code; GPU -1 for functions of the whole library and for all GPUs."""
        self.hangs_on = -1
        """GPU whose first question never comes back."""
        self.falls = -1
        """GPU that the driver finds lost as it is asked, and not before."""
        self.released = threading.Event()
        self.opened = 0
        self.closed = threading.Event()
        self.missing: set[str] = set()
        """Functions that these bindings do not have."""
        self.mig: dict[int, list[str]] = {}
        """GPU -> names of its MIG devices."""
        self.event_sets: list[EventSet] = []

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("nvml") and name in object.__getattribute__(self, "missing"):
            raise AttributeError(name)
        return object.__getattribute__(self, name)

    def _check(self, function: str, gpu: int = -1) -> None:
        code = self.fails.get((function, gpu)) or self.fails.get((function, -1))
        if code:
            raise NVMLError(code, {GPU_IS_LOST: "GPU is lost", 9: "Driver Not Loaded"}.get(code, ""))

    def xid(self, gpu: int, code: int) -> None:
        """Have a GPU report an Xid: only those who listen now will ever hear of it."""
        for events in self.event_sets:
            if events.gpus.get(gpu, 0) & 0x8:
                events.waiting.append(SimpleNamespace(device=gpu, eventType=0x8, eventData=code))

    def nvmlInit(self) -> None:  # noqa: N802
        self._check("nvmlInit")
        self.opened += 1
        self.closed.clear()

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.opened -= 1
        if not self.opened:
            self.event_sets.clear()
            self.closed.set()

    def nvmlSystemGetDriverVersion(self) -> bytes:  # noqa: N802
        self._check("nvmlSystemGetDriverVersion")
        return b"580.95.05"  # bindings before 12 gave bytes

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        self._check("nvmlDeviceGetCount")
        return self.gpus

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:  # noqa: N802
        if number == self.hangs_on:
            self.released.wait(20)
        if number == self.falls:
            self.xid(number, 79)
            raise NVMLError(GPU_IS_LOST, "GPU is lost")
        self._check("nvmlDeviceGetHandleByIndex", number)
        return number

    def _answer(self, function: str, gpu: Any, value: Any) -> Any:
        self._check(function, gpu if isinstance(gpu, int) else -2)
        return value

    def nvmlDeviceGetUUID(self, gpu: Any) -> str:  # noqa: N802
        return str(self._answer("nvmlDeviceGetUUID", gpu, f"GPU-{gpu}" if isinstance(gpu, int) else f"MIG-{gpu[1]}"))

    def nvmlDeviceGetName(self, gpu: Any) -> str:  # noqa: N802
        return "NVIDIA H100 80GB HBM3" if isinstance(gpu, int) else self.mig[gpu[0]][gpu[1]]

    def nvmlDeviceGetMemoryInfo(self, gpu: Any, version: int | None = None) -> Any:  # noqa: N802
        if version is None:
            return self._answer("nvmlDeviceGetMemoryInfo", gpu, SimpleNamespace(used=12, total=80, free=68))
        self._check("nvmlDeviceGetMemoryInfo_v2", gpu)
        return self._answer("nvmlDeviceGetMemoryInfo", gpu, SimpleNamespace(used=10, total=80, free=68, reserved=2))

    def nvmlDeviceGetUtilizationRates(self, gpu: int) -> Any:  # noqa: N802
        return self._answer("nvmlDeviceGetUtilizationRates", gpu, SimpleNamespace(gpu=63, memory=20))

    def nvmlDeviceGetTemperature(self, gpu: int, sensor: int) -> int:  # noqa: N802
        return int(self._answer("nvmlDeviceGetTemperature", gpu, 41))

    def nvmlDeviceGetPowerUsage(self, gpu: int) -> int:  # noqa: N802
        return int(self._answer("nvmlDeviceGetPowerUsage", gpu, 117_350))

    def nvmlDeviceGetEnforcedPowerLimit(self, gpu: int) -> int:  # noqa: N802
        return int(self._answer("nvmlDeviceGetEnforcedPowerLimit", gpu, 700_000))

    def nvmlDeviceGetClockInfo(self, gpu: int, clock: int) -> int:  # noqa: N802
        return int(self._answer("nvmlDeviceGetClockInfo", gpu, {1: 1980, 2: 2619}[clock]))

    def nvmlDeviceGetCurrentClocksEventReasons(self, gpu: int) -> int:  # noqa: N802
        return int(self._answer("nvmlDeviceGetCurrentClocksEventReasons", gpu, 0x4))

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, gpu: int) -> int:  # noqa: N802
        return int(self._answer("nvmlDeviceGetCurrentClocksThrottleReasons", gpu, 0x40))

    def nvmlDeviceGetTotalEccErrors(self, gpu: int, kind: int, counter: int) -> int:  # noqa: N802
        return int(self._answer("nvmlDeviceGetTotalEccErrors", gpu, (5, 0)[kind]))

    def nvmlDeviceGetRemappedRows(self, gpu: int) -> tuple[int, int, int, int]:  # noqa: N802
        self._check("nvmlDeviceGetRemappedRows", gpu)
        return (1, 2, 1, 0)

    def nvmlDeviceGetNvLinkState(self, gpu: int, link: int) -> int:  # noqa: N802
        return int(self._answer("nvmlDeviceGetNvLinkState", gpu, 1 if link == 0 else 0))

    def nvmlDeviceGetNvLinkErrorCounter(self, gpu: int, link: int, counter: int) -> int:  # noqa: N802
        return int(self._answer("nvmlDeviceGetNvLinkErrorCounter", gpu, counter))

    def nvmlDeviceGetFieldValues(self, gpu: int, fields: list[int]) -> Any:  # noqa: N802
        return self._answer(
            "nvmlDeviceGetFieldValues", gpu, [SimpleNamespace(nvmlReturn=0, value=SimpleNamespace(uiVal=47))]
        )

    def nvmlDeviceGetMigMode(self, gpu: int) -> list[int]:  # noqa: N802
        self._check("nvmlDeviceGetMigMode", gpu)
        return [1, 1] if gpu in self.mig else [0, 0]

    def nvmlDeviceGetMaxMigDeviceCount(self, gpu: int) -> int:  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, gpu: int, slot: int) -> tuple[int, int]:  # noqa: N802
        if slot >= len(self.mig[gpu]):
            raise NVMLError(6, "Not Found")
        return (gpu, slot)

    def nvmlDeviceGetGpuInstanceId(self, mig: tuple[int, int]) -> int:  # noqa: N802
        return mig[1] + 7

    def nvmlEventSetCreate(self) -> EventSet:  # noqa: N802
        self._check("nvmlEventSetCreate")
        events = EventSet()
        self.event_sets.append(events)
        return events

    def nvmlDeviceRegisterEvents(self, gpu: int, types: int, events: EventSet) -> None:  # noqa: N802
        self._check("nvmlDeviceRegisterEvents", gpu)
        events.gpus[gpu] = types

    def nvmlEventSetWait_v2(self, events: EventSet, timeout_ms: int) -> Any:  # noqa: N802
        for gpu in events.gpus:
            self._check("nvmlEventSetWait_v2", gpu)
        if events not in self.event_sets:
            raise NVMLError(INVALID_ARGUMENT)
        if not events.waiting:
            raise NVMLError(TIMEOUT, "Timeout")
        return events.waiting.pop(0)

    def nvmlEventSetFree(self, events: EventSet) -> None:  # noqa: N802
        self.event_sets.remove(events)
