"""NVML, open for one round or from round to round.

Its events come only to who keeps it open. But while it is open the driver counts us as one more user: a GPU cannot be
reset (`nvidia-smi --gpu-reset`) and the driver not be unloaded. So it stays open only on a node in service, where
nobody does either, and without an exporter, which would tell Xids too; it is closed as soon as a GPU fails.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, Final

from collectors.errors import AbsentError, ForbiddenError, SourceError, UnreachableError
from collectors.gpu_devices.nvml_xids import XidEvents
from situation.text import harmless

_MISMATCH: Final = 18
"""NVML_ERROR_LIB_RM_VERSION_MISMATCH."""
_NO_PERMISSION: Final = 4
_ABSENT: Final = frozenset({9, 12})
"""NVML_ERROR_DRIVER_NOT_LOADED, NVML_ERROR_LIBRARY_NOT_FOUND."""


class NvmlSession:
    """The library and the events that it has for us. Used by one thread at a time.

    `load` returns the bindings or raises SourceError; `may_stay` tells whether the library may stay open now.
    """

    def __init__(self, load: Callable[[], Any], clock: Callable[[], datetime], may_stay: Callable[[], bool]) -> None:
        self.events = XidEvents(clock)
        self._load = load
        self._may_stay = may_stay
        self._library: Any = None
        """Set while it is open."""
        self._lock = threading.Lock()
        self._is_faulty = False
        self._is_over = False

    @property
    def is_open(self) -> bool:
        return self._library is not None

    @property
    def may_stay_open(self) -> bool:
        """Whether it stays open after this round, as far as is known now."""
        return not self._is_faulty and not self._is_over and self._may_stay()

    def begin(self) -> None:
        """Allow it to stay open, until `end`."""
        self._is_over = False

    def end(self) -> None:
        """Have it closed at the end of the round that runs now, if one does."""
        self._is_over = True

    def fault(self) -> None:
        """Note that a GPU failed: the library is closed at the end of this round, and opened anew for the next."""
        self._is_faulty = True

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """Open the library if it is not, and close it in the end unless it may stay. Raises SourceError."""
        with self._lock:
            self._is_faulty, is_whole = False, False
            try:
                yield self._open()
                is_whole = True
            finally:
                if not is_whole or not self.may_stay_open or not self.events.has_any:
                    self._close()

    def close(self) -> None:
        """Close the library, after the round that runs now."""
        with self._lock:
            self._close()

    def _open(self) -> Any:
        library = self._load()
        if self._library is None:
            try:
                library.nvmlInit()
            except library.NVMLError as error:
                raise failure_of(error) from error
            self._library = library
        return library

    def _close(self) -> None:
        library, self._library = self._library, None
        if library is not None:
            self.events.end(library)
            with suppress(library.NVMLError):
                library.nvmlShutdown()


def failure_of(error: Any) -> SourceError:
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
