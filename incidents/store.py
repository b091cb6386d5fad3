"""One incident as one SQLite file: made private, never overwritten, each entry one transaction.

`sqlite3` is imported when the first file is opened: no cockpit needs it before its first picture.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from incidents.entries import Entry, Incident, Name
from situation.meta import Ref
from situation.text import harmless, harmless_object

if TYPE_CHECKING:
    import sqlite3

SCHEMA: Final = 1
"""`PRAGMA user_version` of the files that are written; files of a newer one are refused."""
SUFFIX: Final = ".db"
_APPLICATION: Final = 0x4D574943
"""`PRAGMA application_id`: "MWIC"."""
_TABLES: Final = """
CREATE TABLE incident (id TEXT NOT NULL, context TEXT NOT NULL, began TEXT NOT NULL, ended TEXT, origin TEXT);
CREATE TABLE entry (
    number INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, who TEXT NOT NULL, text TEXT NOT NULL,
    json BLOB NOT NULL
);
"""
_BUSY_S: Final = 1.0
"""So long a write waits for another program that holds the file."""
_NAME_CHARS: Final = 60
_PRIVATE: Final = 0o600
_SAME_NAME: Final = 100
_STRANGE: Final = re.compile(r"[^A-Za-z0-9.-]+")
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")


class StoreError(Exception):
    """A file of an incident cannot be written or read now; the message names it and says why."""


class DamagedError(StoreError):
    """The file is no database, or a damaged one: it is left as it is."""


class NewerError(StoreError):
    """The file was written by a newer version."""


class BusyError(StoreError):
    """Another cockpit writes this incident."""


def incident_id(began: datetime, context: str) -> str:
    """Return the name of an incident that began at this time (UTC), safe as the name of a file."""
    name = _STRANGE.sub("-", context).strip("-.")[:_NAME_CHARS].rstrip("-.") or "in-cluster"
    return f"{began:%Y-%m-%d-%H%M}-{name}"


def is_id(text: str) -> bool:
    """Tell whether this may be the name of an incident: it becomes the name of a file."""
    return _ID.fullmatch(text) is not None


class Store:
    """A file that is open for writing, by one thread. `close` leaves one plain file behind."""

    def __init__(self, path: Path, connection: "sqlite3.Connection", lock: int) -> None:
        self.path = path
        self._connection = connection
        self._lock = lock
        self._inode = path.stat().st_ino

    @classmethod
    def create(cls, folder: Path, context: str, began: datetime, origin: str = "") -> "Store":
        """Make the file of a new incident; one that is there is never taken. Raises StoreError.

        `origin` is that of `Incident`.
        """
        with _mapped(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            wanted = incident_id(began, context)
            for number in range(1, _SAME_NAME):
                path = folder / f"{wanted}{f'-{number}' if number > 1 else ''}{SUFFIX}"
                try:
                    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _PRIVATE))
                except FileExistsError:
                    continue
                return cls._made(path, context, began, origin)
        raise StoreError(f"{folder}: too many incidents named {wanted}")

    @classmethod
    def _made(cls, path: Path, context: str, began: datetime, origin: str) -> "Store":
        lock = -1
        try:
            lock = _locked(path)
            with _mapped(path):
                connection = _connect(path)
                connection.executescript(
                    f"BEGIN; PRAGMA application_id={_APPLICATION}; PRAGMA user_version={SCHEMA}; {_TABLES} COMMIT;"
                )
                connection.execute(
                    "INSERT INTO incident VALUES (?, ?, ?, NULL, ?)", (path.stem, context, began.isoformat(), origin)
                )
                return cls(path, connection, lock)
        except StoreError:
            if lock >= 0:
                os.close(lock)
            _remove(path)  # ours, and nothing is in it
            raise

    @classmethod
    def resume(cls, path: Path) -> "Store":
        """Open the file of an incident again and take back that it ended. Raises StoreError."""
        check(path)
        lock = _locked(path)
        try:
            with _mapped(path):
                connection = _connect(path)
                connection.execute("UPDATE incident SET ended = NULL")
                return cls(path, connection, lock)
        except StoreError:
            os.close(lock)
            raise

    @property
    def id(self) -> str:
        return self.path.stem

    @property
    def size_bytes(self) -> int:
        """What it takes on disk, its write-ahead log included."""
        return sum(path.stat().st_size for path in (self.path, _beside(self.path, "-wal")) if path.exists())

    def put(self, number: int, entry: Entry) -> None:
        """Write an entry, or replace the one with this number; one transaction. Raises StoreError."""
        with _mapped(self.path):
            if self.path.stat().st_ino != self._inode:
                raise DamagedError(f"{self.path}: another file stands in its place")
            self._connection.execute(
                "INSERT OR REPLACE INTO entry VALUES (?, ?, ?, ?, ?, ?)",
                (number, entry.at.isoformat(), entry.kind, entry.who, entry.text, msgspec.json.encode(entry)),
            )

    def end(self, at: datetime) -> None:
        """Note that the log was closed. Raises StoreError."""
        with _mapped(self.path):
            self._connection.execute("UPDATE incident SET ended = ?", (at.isoformat(),))
            self._connection.execute("PRAGMA journal_mode=DELETE")  # one file, readable where nothing may be written

    def close(self) -> None:
        """Let go of the file."""
        try:
            with _mapped(self.path):
                self._connection.close()
        finally:
            os.close(self._lock)
            _beside(self.path, ".lock").unlink(missing_ok=True)


def check(path: Path) -> None:
    """Raise StoreError unless this is the file of an incident that this version reads; changes nothing."""
    with _reading(path) as connection:
        _check_schema(path, connection)
        row = connection.execute("PRAGMA quick_check(1)").fetchone()
        if row is None or row[0] != "ok":
            raise DamagedError(f"{path}: damaged: {harmless(str(row[0] if row else 'no answer'))}")


def read(path: Path) -> Incident:
    """Read an incident, entries in the order of their numbers. Raises StoreError."""
    with _reading(path) as connection:
        _check_schema(path, connection)
        columns = [name for _, name, *_ in connection.execute("PRAGMA table_info(incident)")]
        origin = "origin" if "origin" in columns else "NULL"  # files of earlier versions
        row = connection.execute(f"SELECT context, began, ended, {origin} FROM incident").fetchone()  # noqa: S608 - ours
        if row is None:
            raise DamagedError(f"{path}: it says nothing of an incident")
        rows = connection.execute("SELECT json FROM entry ORDER BY number").fetchall()
        try:
            entries = tuple(_harmless(msgspec.json.decode(blob, type=Entry)) for (blob,) in rows)
            began, ended = datetime.fromisoformat(row[1]), datetime.fromisoformat(row[2]) if row[2] else None
        except (ValueError, TypeError, msgspec.MsgspecError) as error:
            raise DamagedError(f"{path}: an entry that nobody can read: {harmless(str(error))}") from error
    said = None if row[3] is None else harmless(str(row[3]))
    return Incident(path.stem, harmless(str(row[0])), began, ended, entries, is_live(path), said)


def _harmless(entry: Entry) -> Entry:
    """What a file holds is as little to be trusted as what a server says."""
    clean = harmless_object(entry)
    subject = Ref(*clean.subject) if clean.subject is not None else None
    return msgspec.structs.replace(clean, subject=subject, names=tuple(Name(*name) for name in clean.names))


def is_live(path: Path) -> bool:
    """Tell whether a cockpit writes this incident right now."""
    try:
        lock = os.open(_beside(path, ".lock"), os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(lock)
    return False


def delete(path: Path) -> None:
    """Remove an incident. Raises StoreError, BusyError while a cockpit writes it."""
    if is_live(path):
        raise BusyError(f"{path.stem}: a cockpit is writing it")
    with _mapped(path):
        path.unlink()
        _remove(path)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", ".lock"):
        _beside(path, suffix).unlink(missing_ok=True)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _locked(path: Path) -> int:
    """Take the lock that says who writes; it is on a file of its own, because SQLite loses its locks when anybody in
    this process closes the database's file. It ends with the process, however that ends."""
    with _mapped(path):
        lock = os.open(_beside(path, ".lock"), os.O_CREAT | os.O_WRONLY, _PRIVATE)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise BusyError(f"{path.stem}: another cockpit is writing it") from None
    except OSError:
        pass  # a file system without locks: two cockpits on one incident are then not noticed
    return lock


def _connect(path: Path) -> "sqlite3.Connection":
    import sqlite3

    connection = sqlite3.connect(
        f"file:{_quoted(path)}?mode=rw", uri=True, timeout=_BUSY_S, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
    except sqlite3.Error:
        connection.close()
        raise
    return connection


@contextmanager
def _reading(path: Path) -> Iterator["sqlite3.Connection"]:
    with _mapped(path):
        import sqlite3

        path.stat()  # sqlite3's own words for a missing file say nothing
        connection = sqlite3.connect(f"file:{_quoted(path)}?mode=ro", uri=True, timeout=_BUSY_S)
        try:
            yield connection
        finally:
            connection.close()


def _quoted(path: Path) -> str:
    from urllib.parse import quote

    return quote(str(path.absolute()))


def _check_schema(path: Path, connection: "sqlite3.Connection") -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != _APPLICATION:
        raise DamagedError(f"{path}: not the log of an incident")
    if version > SCHEMA:
        raise NewerError(
            f"{path}: written by a newer Midwatch (schema {version}, this one reads up to {SCHEMA}); update this one"
        )


@contextmanager
def _mapped(path: Path) -> Iterator[None]:
    """Turn what the file system and SQLite raise into our errors, with the name of the file."""
    import sqlite3

    try:
        yield
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}") from error
    except sqlite3.OperationalError as error:
        raise StoreError(f"{path}: {harmless(str(error))}") from error
    except sqlite3.Error as error:
        raise DamagedError(f"{path}: {harmless(str(error))}") from error
