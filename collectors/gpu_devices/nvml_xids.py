"""Xids as NVML's events tell of them: those that come while a GPU is listened to. What came before stays unknown.

`nvmlEventSetWait_v2`: on Linux each Xid is an event of its own, and none is lost to the next. With MIG, who lacks the
privileges hears only of what hits the whole GPU; instances are not told apart here.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

from msgspec.structs import replace

from situation.gpu.devices import GpuDevice, SeenXid
from situation.gpu.memory import with_xid

_XID: Final = 0x8
"""nvmlEventTypeXidCriticalError."""
_MOST: Final = 1000
"""Events taken of one GPU in one round: a program that faults in a loop must not keep the round from its end."""
_SILENT_KEPT: Final = timedelta(minutes=15)
"""So long a GPU that answers no more is told of, if an Xid of it was seen: longer than an Xid counts as fresh."""


class XidEvents:
    """Listens to each GPU with an event set of its own, and remembers what it heard while the program runs.

    One set for each: so it is known whose an event is though the GPU no longer tells its name, and a GPU without events
    costs no other one its own.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._sets: dict[int, tuple[str, Any]] = {}
        """Number of a GPU -> its uuid and its event set; None for one that has no events."""
        self._seen: dict[str, tuple[int, tuple[SeenXid, ...]]] = {}
        """uuid -> number of the GPU, and its Xids, the last one last."""

    @property
    def has_any(self) -> bool:
        """Whether some GPU can be listened to: else nothing is gained by keeping the library open."""
        return any(events is not None for _, events in self._sets.values())

    def listen(self, library: Any, handle: Any, device: GpuDevice) -> None:
        """Begin to listen to a GPU, if it is not done yet. One that cannot be listened to stays unknown."""
        if device.index in self._sets or not device.uuid:
            return
        self._sets[device.index] = (device.uuid, None)
        events = None
        try:
            events = library.nvmlEventSetCreate()
            library.nvmlDeviceRegisterEvents(handle, _XID, events)
        except (AttributeError, library.NVMLError):
            _free(library, events)
        else:
            self._sets[device.index] = (device.uuid, events)

    def hear(self, library: Any, number: int) -> None:
        """Take what came for a GPU since it was heard last. Waits for nothing."""
        uuid, events = self._sets.get(number, ("", None))
        if events is None:
            return
        for _ in range(_MOST):
            try:
                event = library.nvmlEventSetWait_v2(events, 0)
            except (AttributeError, library.NVMLError):
                return  # NVML_ERROR_TIMEOUT: nothing has come; any other says nothing of Xids
            if event.eventType & _XID and event.eventData:
                known = self._seen.get(uuid, (number, ()))[1]
                self._seen[uuid] = (number, with_xid(known, SeenXid(int(event.eventData), self._clock())))

    def end(self, library: Any) -> None:
        """Hear for the last time and listen no more; what was heard stays known."""
        for number, (_, events) in self._sets.items():
            self.hear(library, number)
            _free(library, events)
        self._sets.clear()

    def told(self, device: GpuDevice) -> GpuDevice:
        """Return a whole GPU with the Xids that were heard of it."""
        if device.uuid not in self._seen:
            return device
        *earlier, last = self._seen[device.uuid][1]
        return replace(device, last_xid=last.code, xid_changed_at=last.at, earlier_xids=tuple(earlier))

    def silent(self, answered: Collection[GpuDevice]) -> Iterator[GpuDevice]:
        """Yield GPUs that answer no more, with what was heard of them: one that falls off the bus tells only this."""
        uuids, numbers = {device.uuid for device in answered}, {device.index for device in answered}
        for uuid, (number, xids) in self._seen.items():
            at = xids[-1].at
            if uuid not in uuids and number not in numbers and at and self._clock() - at <= _SILENT_KEPT:
                yield self.told(GpuDevice(number, uuid, answers=False))


def _free(library: Any, events: Any) -> None:
    if events is not None:
        with suppress(AttributeError, library.NVMLError):
            library.nvmlEventSetFree(events)
