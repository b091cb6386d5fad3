"""The last half hour of what the sources said, held in memory, compressed, ready to be saved as a tape.

Held as segments. Each begins with the whole picture of its moment, so that the oldest can be dropped at any time and
what is left is a tape that begins there. A picture tells only what each source said last: what is worked out over time
begins anew. So a tape is shown from `WARM_UP` after its first picture on; what stands before is played, not shown.
"""

import gzip
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Final, NamedTuple

import msgspec

from situation.etcd.members import EtcdReading
from situation.gpu.devices import GpuReading
from situation.log_reads import LogRead
from situation.readings import Changed, Listed, Reading
from situation.serving.readings import ServerReading
from tape.format import TAPE_VERSION, Header, TapeError
from tape.readings import frames_of

SPAN: Final = timedelta(minutes=30)
SEGMENT: Final = timedelta(minutes=10)
"""A picture of 10,000 pods takes about 2 MB: not more often than needed."""
WARM_UP: Final = timedelta(minutes=15)
"""What is worked out over as long (`gpu.memory.WINDOW`, `serving.windows.SPAN`, which Xids are new) is as it was live.
What is followed for longer (objects that grow: 30 minutes; etcd's elections and growth: an hour) then has been watched
for longer than its rules need (10 minutes), and they tell over how long they judge."""
LIMIT_BYTES: Final = 24 * 2**20
"""Of all segments together, compressed. Under heavy churn less than `SPAN` is held."""
_SEGMENT_PART: Final = 4
"""A segment ends early when what came after its picture takes one part in so many of the limit, and as much as the
picture: else dropping one would drop nearly all, and of a large cluster little but pictures would be held."""
_PICTURE_PART: Final = 2
"""A picture may take one part in so many of the limit; nothing is held of a cluster that is larger."""
_LEVEL: Final = 1
_OF_MANY: Final = (EtcdReading, GpuReading, ServerReading, LogRead)
"""Values of sources that tell of many things, each for itself."""
_encode: Final = msgspec.json.Encoder().encode

Objects = Callable[[], Iterable[Reading]]
"""Returns one reading for each kind of objects that is known, with all of them (`Situation.listed`)."""


class _Picture(NamedTuple):
    """All that is known at a moment, for a new segment to begin with."""

    at: datetime
    readings: tuple[Reading, ...]


class _Segment:
    """A picture and what came after it."""

    def __init__(self, began_at: datetime, picture: bytes = b"") -> None:
        self.began_at = began_at
        self.picture_bytes = len(picture)
        self.chunks = [picture]
        """Lines of frames, each chunk compressed for itself."""
        self.size_bytes = len(picture)

    def add(self, chunk: bytes) -> None:
        self.chunks.append(chunk)
        self.size_bytes += len(chunk)

    @property
    def changes_bytes(self) -> int:
        return self.size_bytes - self.picture_bytes


class Ring:
    """Takes readings on the event loop (`add`, `begin_segment`) without waiting; `pack` and `save` are for threads."""

    def __init__(
        self, started_at: datetime, objects: Objects, *, span: timedelta = SPAN, limit_bytes: int = LIMIT_BYTES
    ) -> None:
        self.started_at = started_at
        self._objects = objects
        self._said: dict[tuple[str, str], Reading] = {}
        """The last reading of each source, and of each member or node where a source tells of many."""
        self._span = span
        self._segment_span = min(SEGMENT, span / 3)
        self._limit_bytes = limit_bytes
        self._last_t = 0.0
        self._waiting: deque[tuple[float, Reading | _Picture]] = deque()
        """What has come: added on the event loop, taken away by `pack`."""
        self._begins = False
        """A picture waits to be packed."""
        self._lock = Lock()
        """Held by whoever packs or saves; guards what follows."""
        self._segments: deque[_Segment] = deque((_Segment(started_at),))
        """Empty after more came at once than may be held, until the next picture."""
        self._too_large_bytes = 0
        """Size of a picture that was too large; then nothing is held any more."""

    def add(self, reading: Reading, at: datetime) -> None:
        """Take a reading in; `at` is when it came. A clock that runs backwards stands still here."""
        if self._too_large_bytes:
            return
        self._keep(reading)
        self._waiting.append((self._seconds(at), reading))

    def _seconds(self, at: datetime) -> float:
        self._last_t = max(self._last_t, round((at - self.started_at).total_seconds(), 3))
        return self._last_t

    def _time(self, t: float) -> datetime:
        return self.started_at + timedelta(seconds=t)

    def begin_segment(self, at: datetime) -> bool:
        """Begin a new segment if the present one is old or large enough. Returns whether it did."""
        if self._begins or self._too_large_bytes or not self._is_due(at):
            return False
        t, self._begins = self._seconds(at), True
        self._waiting.append((t, _Picture(self._time(t), tuple(self._picture(at)))))
        return True

    def _is_due(self, at: datetime) -> bool:
        try:
            current = self._segments[-1]
        except IndexError:
            return True
        enough = max(self._limit_bytes // _SEGMENT_PART, current.picture_bytes)
        return at - current.began_at >= self._segment_span or current.changes_bytes >= enough

    def pack(self) -> None:
        """Compress what has come since the last call, and drop what is too old or too much."""
        with self._lock:
            readings: list[tuple[float, Reading]] = []
            for _ in range(len(self._waiting)):  # what comes meanwhile is for the next call
                t, item = self._waiting.popleft()
                if isinstance(item, Reading):
                    readings.append((t, item))
                    continue
                self._add(readings)
                readings = []
                self._begin(t, item)
                if self._too_large_bytes:
                    return  # what waited was thrown away with it
            self._add(readings)

    def _add(self, readings: list[tuple[float, Reading]]) -> None:
        if readings and self._segments:
            self._segments[-1].add(self._packed(readings))
            self._drop()

    def _begin(self, t: float, picture: _Picture) -> None:
        packed = self._packed((t, reading) for reading in picture.readings)
        if len(packed) > self._limit_bytes // _PICTURE_PART:
            self._too_large_bytes = len(packed)
            self._segments.clear()
            self._waiting.clear()
        else:
            self._segments.append(_Segment(picture.at, packed))
            self._drop()
        self._begins = False

    def _drop(self) -> None:
        now = self._time(self._last_t)
        while len(self._segments) > 1 and now - self._segments[1].began_at >= self._span + WARM_UP:
            self._segments.popleft()
        while self._segments and self.size_bytes > self._limit_bytes:
            self._segments.popleft()

    def _packed(self, readings: Iterable[tuple[float, Reading]]) -> bytes:
        packer = zlib.compressobj(_LEVEL)
        packed = bytearray()
        for t, reading in readings:
            for frame in frames_of(reading, t, self.started_at):
                packed += packer.compress(_encode(frame) + b"\n")
        return bytes(packed + packer.flush())

    @property
    def size_bytes(self) -> int:
        """Compressed, of all segments."""
        return sum(segment.size_bytes for segment in tuple(self._segments))

    @property
    def held(self) -> timedelta:
        """How far back a tape would show what was, from the last reading on."""
        first = next(iter(tuple(self._segments)), None)
        return self._time(self._last_t) - self._shown_from(first) if first is not None else timedelta()

    def _shown_from(self, first: _Segment) -> datetime:
        """Return when the windows are as they were live; of a tape that reaches back less, half is shown."""
        last = self._time(self._last_t)
        if first.began_at == self.started_at:  # live, they began there too
            return max(first.began_at, last - self._span - self._segment_span)
        return first.began_at + min(WARM_UP, (last - first.began_at) / 2)

    def save(self, path: Path, *, title: str, context: str, server: str, only_namespace: str = "") -> None:
        """Write all that is held as a tape, readable by its owner only. Raises TapeError naming the file."""
        self.pack()
        with self._lock:
            if not self._segments:
                raise TapeError(f"{path}: not written: {self._why_empty}")
            shown_from = self._shown_from(self._segments[0])
            chunks = [chunk for segment in self._segments for chunk in segment.chunks if chunk]
        header = Header(
            TAPE_VERSION,
            name=path.name.partition(".")[0],
            title=title,
            started_at=self.started_at,
            start_at=(shown_from - self.started_at).total_seconds(),
            context=context,
            server=server,
            recorded_live=True,
            only_namespace=only_namespace,
        )
        part = path.with_name(path.name + ".part")
        try:
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
                    packed.write(_encode(header) + b"\n")
                    for chunk in chunks:
                        packed.write(zlib.decompress(chunk))
            os.replace(part, path)
        except OSError as error:
            raise TapeError(f"{path}: cannot write: {error.strerror or error}") from error
        finally:
            with suppress(OSError):  # where nothing can be written nothing need be taken away
                part.unlink(missing_ok=True)

    @property
    def _why_empty(self) -> str:
        if not self._too_large_bytes:
            return "too much came at once; try again in a few seconds"
        size, limit = self._too_large_bytes / 2**20, self._limit_bytes / _PICTURE_PART / 2**20
        return f"a picture of this cluster takes {size:.0f} MiB, more than {limit:.0f} MiB; use `midwatch record`"

    def _keep(self, reading: Reading) -> None:
        """Keep what is no list of objects for later pictures, the newest last."""
        match reading.value:
            case Listed() | Changed():
                self._said.pop((reading.source, "state"), None)
                return
            case EtcdReading() as said:
                what = said.member.endpoint
            case GpuReading() as said:
                what = " ".join(item.node for item in said.nodes)
            case ServerReading() as said:
                what = said.server.key
            case LogRead() as said:
                what = f"{said.namespace}/{said.pod}/{said.container}"
            case None:
                what = "state"
            case other:
                what = type(other).__name__
        self._said.pop((reading.source, what), None)
        self._said[reading.source, what] = reading

    def _picture(self, at: datetime) -> Iterator[Reading]:
        """Yield what is known at a moment: objects first, so that the states of their sources come after them."""
        yield from self._objects()
        for key, reading in list(self._said.items()):
            if isinstance(reading.value, _OF_MANY) and at - reading.observed_at > self._span:
                del self._said[key]  # a member, node or server that is gone
            else:
                yield reading
