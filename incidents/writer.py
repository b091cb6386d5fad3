"""Writes a log to disk as it happens, in one thread: a slow or full disk never holds the screen up."""

import threading
from datetime import datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from incidents.entries import Entry
from situation.boundary import Boundary, Fault

if TYPE_CHECKING:
    from incidents.store import Store

RETRY_S: Final = 10.0
"""Pause before what could not be written is tried again."""
SIZE_LIMIT_BYTES: Final = 50 * 1024 * 1024
"""An incident takes so much on disk at most."""
_END_S: Final = 3.0
"""So long the end of the program waits for the disk at most."""


class Written(msgspec.Struct, frozen=True):
    """How far the writer has come; a new one takes the place of the old, so any thread may read it."""

    id: str = ""
    """The incident; empty while there is no file."""
    problem: str = ""
    """Why some are in memory only."""
    note: str = ""
    """What people should know of an earlier problem that is over: which file was begun instead."""
    is_full: bool = False
    """The file has grown to its limit."""


class _Put(NamedTuple):
    number: int
    entry: Entry


class _End(NamedTuple):
    at: datetime
    gives_up: bool
    """The program ends: what the disk does not take now is lost."""


class Writer:
    """Takes entries from any thread; nothing it is given is lost while the program runs, whatever the disk does."""

    def __init__(
        self,
        folder: Path,
        context: str,
        began: datetime,
        *,
        origin: str = "",
        resumed: Path | None = None,
        on_disk: tuple[Entry, ...] = (),
        retry_s: float = RETRY_S,
        size_limit_bytes: int = SIZE_LIMIT_BYTES,
    ) -> None:
        """Begin a new file, or go on with the one `resumed`, in which `on_disk` stand already.

        `origin` is that of `Incident`.
        """
        self.written = Written(resumed.stem if resumed else "")
        self._folder, self._context, self._began, self._resumed = folder, context, began, resumed
        self._origin = origin
        self._retry_s, self._size_limit_bytes = retry_s, size_limit_bytes
        self._queue: SimpleQueue[_Put | _End] = SimpleQueue()
        self._all: dict[int, Entry] = dict(enumerate(on_disk))
        """Everything, so that a new file can take the place of a damaged one."""
        self._waiting: dict[int, Entry] = {}
        self._store: Store | None = None
        self._boundary = Boundary()
        self._thread = threading.Thread(target=self._run, name="incident log", daemon=True)
        self._thread.start()

    def put(self, number: int, entry: Entry) -> None:
        """Have an entry written, or one with the same number replaced."""
        self._queue.put(_Put(number, entry))

    def end(self, at: datetime, *, waits: bool = True) -> None:
        """Close the log; `waits` until all is written, or a moment if it cannot be. Else it is written as it can be."""
        self._queue.put(_End(at, waits))
        if waits:
            self._thread.join(_END_S)

    def _run(self) -> None:
        ended: datetime | None = None
        gives_up = False
        while ended is None or (self._waiting and not gives_up):
            try:
                job = self._queue.get(timeout=self._retry_s if self._waiting else None)
            except Empty:
                job = None
            if isinstance(job, _End):
                ended, gives_up = job
            elif job is not None:
                self._all[job.number] = self._waiting[job.number] = job.entry
            outcome = self._boundary.attempt("the log of the incident", self._write, ended)
            if isinstance(outcome, Fault):  # else nobody would hear that the thread has ended
                self._tell(problem=outcome.text)

    def _write(self, ended: datetime | None) -> None:
        """Write all that waits, and the end; on an error it goes on waiting."""
        from incidents.store import DamagedError, StoreError

        try:
            self._save(ended)
        except DamagedError as error:
            self._begin_anew(str(error), ended)
        except StoreError as error:
            self._tell(problem=str(error))

    def _save(self, ended: datetime | None) -> None:
        store = self._opened()
        for number, entry in list(self._waiting.items()):
            store.put(number, entry)
            del self._waiting[number]
        is_full = store.size_bytes >= self._size_limit_bytes
        self._tell(id=store.id, problem="", is_full=is_full)
        if ended is not None:
            self._store = None
            try:
                store.end(ended)
            finally:
                store.close()

    def _opened(self) -> "Store":
        from incidents.store import Store

        if self._store is None and self._resumed is not None:
            self._store = Store.resume(self._resumed)
        elif self._store is None:
            self._store = Store.create(self._folder, self._context, self._began, self._origin)
        return self._store

    def _begin_anew(self, problem: str, ended: datetime | None) -> None:
        """Leave a damaged file as it is, and write all that is known into a new one."""
        from incidents.store import StoreError

        store, self._store, self._resumed = self._store, None, None
        self._waiting = dict(self._all)
        try:
            if store is not None:
                store.close()
        except StoreError:
            pass  # what is wrong with it is told already
        try:
            self._save(ended)
            self._tell(note=f"{problem}; left as it is, the log goes on in {self.written.id}")
        except StoreError as error:
            self._tell(problem=f"{problem}; {error}")

    def _tell(self, **changes: object) -> None:
        self.written = msgspec.structs.replace(self.written, **changes)
