"""The GPUs of this host, asked through the driver's own library. Source `gpu/nvml`."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any, Final

from collectors.errors import AbsentError, ForbiddenError, SourceError, UnreachableError
from collectors.gpu_devices.nvml_device import read_device
from collectors.gpu_devices.wishes import DeviceWishes
from situation.boundary import Boundary, Fault
from situation.gpu.devices import GpuDevice, GpuReading, NodeDevices
from situation.readings import Reading, SourceState
from situation.text import harmless

EVERY_S: Final = 15.0
FRESH_S: Final = 60.0
DEADLINE_S: Final = 10.0
"""For all GPUs. Without persistence mode the first call wakes them up, which takes seconds."""
_DRIVER_FILES: Final = (Path("/dev/nvidiactl"), Path("/proc/driver/nvidia/version"), Path("/dev/dxg"))
"""One of them is there wherever the driver is loaded: elsewhere the library need not be looked for."""
_MISMATCH: Final = 18
"""NVML_ERROR_LIB_RM_VERSION_MISMATCH."""
_NO_PERMISSION: Final = 4
_ABSENT: Final = frozenset({9, 12})
"""NVML_ERROR_DRIVER_NOT_LOADED, NVML_ERROR_LIBRARY_NOT_FOUND."""


def load_pynvml() -> Any:
    """Import the bindings if this host has a driver at all. Raises AbsentError."""
    if not any(path.exists() for path in _DRIVER_FILES):
        raise AbsentError("no NVIDIA driver on this host")
    try:
        import pynvml
    except ImportError as error:
        raise AbsentError(f"the NVML bindings cannot be imported: {error}") from error
    return pynvml


class _Round:
    """One round over the GPUs of this host, in a thread of its own: what it has got so far can be seen at any time."""

    def __init__(self, load: Callable[[], Any], done: Callable[[], None]) -> None:
        self.devices: list[GpuDevice] = []
        self.faults: list[str] = []
        self.asking = "the library"
        """Whom it waits for."""
        self.driver = ""
        self.failure: SourceError | None = None
        self.is_running = True
        self._load = load
        self._done = done
        self._boundary = Boundary()
        # A daemon, not a worker of the event loop's pool: the end of the program waits for those.
        self._thread = threading.Thread(target=self._run, name="nvml", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        outcome = self._boundary.attempt("gpu/nvml", self._attempt)
        if isinstance(outcome, Fault):
            self.failure = UnreachableError(outcome.text)
        self.is_running = False  # before it is told: the thread itself ends a moment later
        self._done()

    def _attempt(self) -> None:
        try:
            self._read(self._load())
        except SourceError as error:
            self.failure = error

    def _read(self, library: Any) -> None:
        """Open the library, ask, close it again: who keeps it open keeps the driver from being unloaded."""
        try:
            library.nvmlInit()
        except library.NVMLError as error:
            raise _failure(error) from error
        try:
            self.driver = _text(library, "nvmlSystemGetDriverVersion")
            try:
                count = int(library.nvmlDeviceGetCount())
            except library.NVMLError as error:
                raise _failure(error) from error
            for number in range(count):
                self.asking = f"GPU {number}"
                try:
                    self.devices += read_device(library, number)
                except library.NVMLError as error:
                    self.faults.append(f"GPU {number}: {harmless(str(error))}")
            self.asking = "the library"
        finally:
            with suppress(library.NVMLError):
                library.nvmlShutdown()


class NvmlCollector:
    """Asks now and then. A call that hangs costs the thread it runs in, and is told; nothing waits for it."""

    name = "gpu/nvml"
    pause_s = EVERY_S
    deadline_s = None

    def __init__(
        self,
        wishes: DeviceWishes,
        clock: Callable[[], datetime],
        *,
        load: Callable[[], Any] = load_pynvml,
        deadline_s: float = DEADLINE_S,
    ) -> None:
        self._wishes = wishes
        self._clock = clock
        self._load = load
        self._deadline_s = deadline_s
        self._round: _Round | None = None
        self._began_at = 0.0

    async def collect(self) -> AsyncGenerator[Reading, None]:
        await self._wishes.until_told()
        node = self._wishes.this_node
        if not node:
            raise AbsentError("this host is not a node of the cluster")
        if self._round is not None and self._round.is_running:
            waited = f"{monotonic() - self._began_at:.0f} s"
            raise UnreachableError(f"NVML has been waiting for {self._round.asking} for {waited}: a GPU may hang")
        current = await self._finished()
        if current.is_running:
            current.faults.append(
                f"{current.asking} did not answer within {self._deadline_s:g} s; what comes after it is not known"
            )
            if not current.devices:
                raise UnreachableError(f"NVML: {current.faults[-1]}")
        elif current.failure is not None:
            raise current.failure
        elif not current.devices and not current.faults:
            raise AbsentError("the NVIDIA driver of this host sees no GPU")
        now = self._clock()
        devices = NodeDevices(node, tuple(current.devices), "nvml", current.driver, now, "; ".join(current.faults))
        yield Reading(self.name, SourceState.LIVE, now, GpuReading((devices,)), fresh_for_s=FRESH_S)

    async def _finished(self) -> _Round:
        """Start a round and wait for it, at most until the deadline."""
        loop, done = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(done.set)

        self._round = current = _Round(self._load, tell)
        self._began_at = monotonic()
        current.start()
        try:
            async with asyncio.timeout(self._deadline_s):
                await done.wait()
        except TimeoutError:
            pass
        return current


def _text(library: Any, function: str) -> str:
    try:
        value = getattr(library, function)()
    except (AttributeError, library.NVMLError):
        return ""
    return harmless(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))


def _failure(error: Any) -> SourceError:
    """Return our error for an NVML error that leaves nothing to be read."""
    code, said = getattr(error, "value", 0), harmless(str(error))
    if code in _ABSENT:
        return AbsentError(f"NVML on this host: {said}")
    if code == _MISMATCH:
        return UnreachableError(
            "NVML: the driver that is loaded and the library on disk are of different versions: the packages were "
            "upgraded under a running driver; new containers cannot use the GPUs until the node is rebooted"
        )
    if code == _NO_PERMISSION:
        return ForbiddenError("NVML: this user may not ask the driver (permissions of /dev/nvidia*)")
    return UnreachableError(f"NVML: {said}")
