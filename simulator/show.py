"""Plays a tape on a simulator, as if it happened now."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from itertools import count
from math import floor
from typing import Final

import msgspec

from simulator.cluster import Cluster, GpuFacts
from simulator.etcd.state import EtcdState
from simulator.leases import keep_renewing, leases_renewed_since
from simulator.logs import take_log
from simulator.pages import Page, with_moved_start
from simulator.repeats import Repeats
from simulator.server import Simulator
from simulator.wire import manifest_of
from situation.clock import utc_now
from situation.decode import BadObjectError
from situation.kinds import BY_NAME, KINDS, ObjectKind, kind_of
from situation.meta import ObjectKey
from tape.etcd import ETCD_SOURCE, LIVEZ_SOURCE, METRICS_SOURCE, EtcdName, etcd_name, families_of
from tape.format import (
    GPUS_PREFIX,
    LOGS_SOURCE,
    READYZ_SOURCE,
    SERVER_SOURCE,
    VERSION_SOURCE,
    Frame,
    TapeError,
    page_name,
)
from tape.reader import Tape
from tape.slim import read_object

RENEWED_WITHIN: Final = timedelta(seconds=20)
"""A lease renewed so recently when the tape ended is kept alive afterwards: kubelets renew theirs every 10 s."""


class Show:
    """A cluster that lives through a tape: at `start_at` when it opens, then on by itself until `hold_at`.

    All time stamps are moved by whole seconds so that `start_at` is the moment of opening. At another speed, what comes
    later is moved to when it is played.
    """

    def __init__(self, tape: Tape, *, speed: float = 1.0, clock: Callable[[], datetime] = utc_now) -> None:
        """Play the tape up to its `start_at`. Raises TapeError."""
        self.tape = tape
        self.cluster = Cluster()
        self.ended = asyncio.Event()
        """Set when nothing more will happen."""
        self._clock = clock
        self._speed = speed
        self._opens_at = tape.header.started_at + timedelta(seconds=tape.header.start_at)
        self._shift = timedelta(seconds=floor((clock() - self._opens_at).total_seconds()))
        self._is_down = self._is_frozen = False
        self._repeats = self._again()
        if tape.header.server:
            self.cluster.version["gitVersion"] = tape.header.server
        frames = self._frames()
        self._next: Frame | None = None
        for frame in frames:
            if frame.t > tape.header.start_at:
                self._next = frame
                break
            self._apply(frame)
        self._rest = frames

    @property
    def absent(self) -> frozenset[str]:
        """Names of kinds that are nowhere on the tape: they are absent, which is not the same as empty."""
        on_tape = {frame.source.removeprefix("kubernetes/") for frame in self.tape.frames()}
        return frozenset(kind.name for kind in KINDS if kind.name not in on_tape)

    async def play(self, simulator: Simulator) -> None:
        """Play on until `hold_at` or the end, then keep alive what was alive, and repeat pages; until cancelled."""
        loop = asyncio.get_running_loop()
        opened = loop.time()
        if self._is_down:
            await simulator.down()
        if self._is_frozen:
            simulator.faults.freeze_etcd = True
        frame = self._next
        while frame is not None:
            due = opened + (frame.t - self.tape.header.start_at) / self._speed
            if (delay := due - loop.time()) > 0:
                await asyncio.sleep(delay)
            self._apply(frame)
            if frame.source == SERVER_SOURCE:
                await (simulator.down() if frame.down else simulator.up())
            elif frame.source == ETCD_SOURCE:
                simulator.faults.freeze_etcd = self._is_frozen
            elif etcd_name(frame.source):
                await simulator.follow_etcd()
            frame = next(self._rest, None)
        self.ended.set()
        alive = leases_renewed_since(self.cluster, self._clock() - RENEWED_WITHIN)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(keep_renewing(self.cluster, alive, self._clock))
            if self._repeats is not None:
                tasks.create_task(self._repeat(self._repeats, opened))

    def _again(self) -> Repeats | None:
        header = self.tape.header
        if header.again_from is None or header.hold_at is None:
            return None
        try:
            return Repeats(header.again_from, header.hold_at)
        except ValueError as error:
            raise TapeError(f"{self.tape.path}: {error}") from error

    async def _repeat(self, repeats: Repeats, opened: float) -> None:
        """Answer again and again what was answered, from the tape's end on; `opened` in the loop's time."""
        loop = asyncio.get_running_loop()
        ended = opened + (repeats.until - self.tape.header.start_at) / self._speed
        for number in count(1):
            for after_s, name, page in repeats.round(number):
                due = ended + ((number - 1) * repeats.length_s + after_s) / self._speed
                await asyncio.sleep(max(0.0, due - loop.time()))
                self.cluster.pages[name] = page
            await asyncio.sleep(max(0.0, ended + number * repeats.length_s / self._speed - loop.time()))

    def moved(self, stamp: datetime) -> datetime:
        """Return when a time stamp of the tape is, for those who look now."""
        if stamp <= self._opens_at or self._speed == 1.0:
            return stamp + self._shift
        later = self._opens_at + (stamp - self._opens_at) / self._speed + self._shift
        return later if stamp.microsecond else later.replace(microsecond=0)

    def _frames(self) -> Iterator[Frame]:
        hold_at = self.tape.header.hold_at
        for frame in self.tape.frames():
            if hold_at is not None and frame.t > hold_at:
                return
            yield frame

    def _apply(self, frame: Frame) -> None:
        if frame.source == SERVER_SOURCE:
            self._is_down = bool(frame.down)
        elif frame.source == LOGS_SOURCE:
            take_log(self.cluster, frame.pod, frame.text or "")
        elif page := page_name(frame.source):
            text = with_moved_start(frame.text or "", self.moved)
            answer = self.cluster.pages[page] = Page(frame.status or 200, text, frame.error or "")
            if self._repeats is not None:
                self._repeats.note(frame, answer)
        elif frame.source.startswith(GPUS_PREFIX) and frame.body is not None:
            self.cluster.gpus[frame.source.removeprefix(GPUS_PREFIX)] = self._gpu_facts(frame)
        elif kind := BY_NAME.get(frame.source.removeprefix("kubernetes/")):
            self._apply_objects(frame, kind)
        else:
            self._apply_control_plane(self._moved_page(frame))

    def _apply_control_plane(self, frame: Frame) -> None:
        if frame.source == READYZ_SOURCE and frame.text is not None:
            self.cluster.readyz = (frame.status, frame.text)
        elif frame.source == LIVEZ_SOURCE and frame.text is not None:
            self.cluster.livez = (frame.status, frame.text)
        elif frame.source == VERSION_SOURCE and frame.body is not None:
            self.cluster.version = frame.body
        elif frame.source == METRICS_SOURCE:
            self.cluster.metrics = Page(frame.status or 200, frame.text or "")
        elif frame.source == ETCD_SOURCE:
            self._is_frozen = bool(frame.down)
        elif name := etcd_name(frame.source):
            self._apply_etcd(name, frame)

    def _apply_etcd(self, name: EtcdName, frame: Frame) -> None:
        try:
            self.cluster.etcd.setdefault(name.member, EtcdState(name.member)).take(name, frame)
        except msgspec.ValidationError as error:
            raise self._bad(frame, error) from error

    def _moved_page(self, frame: Frame) -> Frame:
        """A page of metrics with its process start moved as all time stamps are."""
        if frame.text is None or families_of(frame.source) is None:
            return frame
        return msgspec.structs.replace(frame, text=with_moved_start(frame.text, self.moved))

    def _bad(self, frame: Frame, error: Exception) -> TapeError:
        return TapeError(f"{self.tape.path}: bad frame at {frame.t:g} s: {frame.source}: {error}")

    def _gpu_facts(self, frame: Frame) -> dict[int, GpuFacts]:
        try:
            return msgspec.convert(frame.body, type=dict[int, GpuFacts], strict=False)
        except msgspec.ValidationError as error:
            raise self._bad(frame, error) from error

    def _apply_objects(self, frame: Frame, kind: ObjectKind) -> None:
        if frame.list is not None:
            present = {self._put(bytes(raw), kind) for raw in frame.list.items}
            for key in [key for key in self.cluster.table(kind.name).objects if key not in present]:
                if kind_of(kind.kind, key[0]) is kind:
                    self.cluster.delete(kind.name, *key)
        elif frame.watch is not None and frame.watch.type in ("ADDED", "MODIFIED"):
            self._put(bytes(frame.watch.object), kind)
        elif frame.watch is not None and frame.watch.type == "DELETED":
            key = read_object(bytes(frame.watch.object), kind).key
            if key in self.cluster.table(kind.name).objects:
                self.cluster.delete(kind.name, *key)

    def _put(self, raw: bytes, kind: ObjectKind) -> ObjectKey | None:
        """Put an object; one that does not decode is not shown, as it would not be by any reader."""
        try:
            item = read_object(raw, kind)
        except BadObjectError:
            return None
        if not item.name:
            return None
        self.cluster.put(kind.name, manifest_of(item, self.moved))
        return item.key
