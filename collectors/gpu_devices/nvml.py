"""The GPUs of this host, asked through the driver's own library. Source `gpu/nvml`."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from time import monotonic
from typing import Any, Final

from collectors.errors import AbsentError, SourceError, UnreachableError
from collectors.gpu_devices.nvml_device import read_device
from collectors.gpu_devices.nvml_session import NvmlSession, failure_of
from collectors.gpu_devices.wishes import DeviceWishes
from situation.boundary import Boundary, Fault
from situation.gpu.devices import GpuDevice, GpuReading, NodeDevices
from situation.readings import Reading, SourceState
from situation.text import harmless

EVERY_S: Final = 15.0
FRESH_S: Final = 60.0
DEADLINE_S: Final = 10.0
"""For all GPUs. Without persistence mode the first call wakes them up, which takes seconds."""
CLOSE_S: Final = 1.0
_DRIVER_FILES: Final = (Path("/dev/nvidiactl"), Path("/proc/driver/nvidia/version"), Path("/dev/dxg"))
"""One of them is there wherever the driver is loaded: elsewhere the library need not be looked for."""


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
    """One round over the GPUs of this host: what it has got so far can be seen at any time."""

    def __init__(self, session: NvmlSession) -> None:
        self.devices: list[GpuDevice] = []
        self.faults: list[str] = []
        self.asking = "the library"
        """Whom it waits for."""
        self.driver = ""
        self.failure: SourceError | None = None
        self.is_running = True
        self._session = session
        self._boundary = Boundary()

    def run(self) -> None:
        outcome = self._boundary.attempt("gpu/nvml", self._attempt)
        if isinstance(outcome, Fault):
            self.failure = UnreachableError(outcome.text)
        self.is_running = False

    def _attempt(self) -> None:
        try:
            with self._session.opened() as library:
                self._read(library)
        except SourceError as error:
            self.failure = error

    def _read(self, library: Any) -> None:
        """Ask one GPU after the other. Raises SourceError where none can be asked."""
        events = self._session.events
        self.driver = _text(library, "nvmlSystemGetDriverVersion")
        try:
            count = int(library.nvmlDeviceGetCount())
        except library.NVMLError as error:
            raise failure_of(error) from error
        for number in range(count):
            self.asking = f"GPU {number}"
            events.hear(library, number)
            try:
                handle = library.nvmlDeviceGetHandleByIndex(number)
                whole, *parts = read_device(library, handle, number)
            except library.NVMLError as error:
                self.faults.append(f"GPU {number}: {harmless(str(error))}")
                self._session.fault()
                events.hear(library, number)  # an Xid that comes only as the driver finds it lost
                continue
            if self._session.may_stay_open:
                events.listen(library, handle, whole)
            self.devices += (events.told(whole), *parts)
        self.asking = "the library"
        self.devices += events.silent(self.devices)


class NvmlCollector:
    """Asks now and then. A call that hangs costs the thread it runs in, and is told; nothing waits for it.

    While the driver may be held the library stays open between rounds, for only then its events tell of Xids.
    """

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
        self._session = NvmlSession(load, clock, lambda: wishes.may_hold_driver)
        wishes.withdrawn = self._give_free
        self._deadline_s = deadline_s
        self._round: _Round | None = None
        self._began_at = 0.0
        self._is_closing = False

    async def collect(self) -> AsyncGenerator[Reading, None]:
        await self._wishes.until_told()
        node = self._wishes.this_node
        if not node:
            self._give_free()
            raise AbsentError("this host is not a node of the cluster")
        if self._round is not None and self._round.is_running:
            waited = f"{monotonic() - self._began_at:.0f} s"
            raise UnreachableError(f"NVML has been waiting for {self._round.asking} for {waited}: a GPU may hang")
        self._session.begin()
        self._round = current = _Round(self._session)
        self._began_at = monotonic()
        await _apart(current.run, self._deadline_s)
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

    async def aclose(self) -> None:
        """Close the library. A call that hangs keeps it open until it comes back: nothing waits for that."""
        self._session.end()
        if self._session.is_open:
            await _apart(self._session.close, CLOSE_S)

    def _give_free(self) -> None:
        """Close the library at once, or after the round that runs now: somebody may need the driver for himself."""
        if self._session.is_open and not self._is_closing:  # a call that hangs would gather threads behind it
            self._is_closing = True
            _in_daemon(self._close)

    def _close(self) -> None:
        self._session.close()
        self._is_closing = False


def _in_daemon(work: Callable[[], None]) -> None:
    # Not a worker of the event loop's pool: the end of the program waits for those.
    threading.Thread(target=work, name="nvml", daemon=True).start()


async def _apart(work: Callable[[], None], deadline_s: float) -> None:
    """Do work in a thread of its own and wait for it, at most until the deadline."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def run() -> None:
        work()
        if not loop.is_closed():
            loop.call_soon_threadsafe(done.set)

    _in_daemon(run)
    with suppress(TimeoutError):
        async with asyncio.timeout(deadline_s):
            await done.wait()


def _text(library: Any, function: str) -> str:
    try:
        value = getattr(library, function)()
    except (AttributeError, library.NVMLError):
        return ""
    return harmless(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))
