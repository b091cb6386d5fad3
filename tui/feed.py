"""Folds readings into the Situation, coalesced, and judges. Knows no terminal: cockpit and `check` turn it alike."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, NamedTuple

from situation.boundary import Boundary, Fault
from situation.findings import Diagnosis
from situation.gpu.devices import GpuReading
from situation.gpu.fleet import Fleet
from situation.kinds import WATCHED
from situation.meta import ObjectKey
from situation.ordering import PodOrder
from situation.pods import Pod
from situation.readings import Reading, SourceState
from situation.situation import Situation
from situation.steps import Steps, finish
from situation.store import Change
from tui.device_history import DeviceHistory

if TYPE_CHECKING:
    from diagnosis.engine import Engine

RESORT: Final = timedelta(seconds=5)
"""Pods turn from "needs a look" to "settled" by time alone; those at the top are looked at again this often."""

PATIENCE: Final = timedelta(seconds=3)
"""At the start, kinds that have not been read are waited for this long; then what is there is judged."""

_SET_BACK: Final = timedelta(seconds=2)
"""Small steps are what keeping time is made of."""

Heard = Callable[[Sequence[Reading], datetime], None]


class Turn(NamedTuple):
    """What one turn brought."""

    diagnosis: Diagnosis
    kinds: frozenset[str]
    """Manifest kinds (`Pod`) of which some object changed."""
    pods: frozenset[ObjectKey]
    """Pods that came, changed or went."""
    reordered: bool
    """The order of the pod table changed."""


class Feed:
    """Collects readings from `publish`; each `turn` folds all of them in at once and judges what they concern.

    `heard` is told of the readings of each turn after they were folded in, and when that was.
    """

    def __init__(self, clock: Callable[[], datetime], heard: Heard | None = None) -> None:
        self.now = clock
        """The time by which all is judged."""
        self._heard = heard
        self._boundary = Boundary()
        self.forget()

    def forget(self) -> None:
        """Begin anew, knowing nothing: what is heard from now on is of another time."""
        self.situation = Situation()
        self.diagnosis = Diagnosis()
        self.order = PodOrder()
        self.fleet = Fleet()
        self.devices = DeviceHistory()
        self._engine: Engine | None = None
        """None before the first reading."""
        self._waiting: list[Reading] = []
        self._resort_at: datetime | None = None
        self._judge_from: datetime | None = None
        self._turned_at: datetime | None = None
        self._unjudged: list[Change] = []
        self._arrived: list[Change] = []
        """What was taken over from another time, until the next turn."""

    def resume(self, situation: Situation, devices: DeviceHistory) -> None:
        """Go on from what was known at another time; all of it is judged anew at the next turn."""
        self.forget()
        self.situation, self.devices = situation, devices
        self._arrived = situation.arrivals()

    def _set_back(self, now: datetime) -> None:
        """Judge all anew: a clock was set back, and what was to be looked at again later would wait for as long."""
        self.situation.set_back(now)
        self.resume(self.situation, self.devices)

    def publish(self, reading: Reading) -> None:
        """Take a reading in; it takes effect at the next turn."""
        self._waiting.append(reading)

    def turn(self) -> Turn:
        """Apply all waiting readings and judge."""
        return finish(self.turning())

    def turning(self) -> Steps[Turn]:
        """Do what `turn` does in steps; between them `situation` is ahead of `diagnosis`."""
        now, readings = self.now(), self._waiting
        if self._turned_at is not None and now < self._turned_at - _SET_BACK:
            self._set_back(now)
        self._waiting, self._turned_at = [], now
        if self._engine is None:
            if not readings and not self._arrived:
                return Turn(self.diagnosis, frozenset(), frozenset(), False)
            self._engine = _new_engine()
        changes, self._arrived = self._arrived, []
        for reading in readings:
            changes += self._apply(reading)
            yield
        if self._heard is not None and readings:
            self._heard(readings, now)
        judged = yield from self._boundary.attempt_steps("diagnosis", self._judge(self._engine, changes, now))
        if isinstance(judged, Fault):
            self._unjudged = []
            self._engine = _new_engine()  # what the old one kept may be half of the truth
            self.diagnosis = self._engine.not_judged(self.situation, now, f"{judged.text} (see the log)")
        reordered = self._keep_order(changes, now)
        yield
        self._follow_gpus(readings, changes, now)
        return Turn(
            self.diagnosis,
            frozenset(change.ref.kind for change in changes),
            frozenset((change.ref.namespace, change.ref.name) for change in changes if change.ref.kind == "Pod"),
            reordered,
        )

    def _follow_gpus(self, readings: list[Reading], changes: list[Change], now: datetime) -> None:
        """Follow the chains of the GPU nodes, and keep what their devices did."""
        followed = self._boundary.attempt("GPU chains", self.fleet.update, self.situation, changes, now)
        if isinstance(followed, Fault):
            self.fleet = Fleet()  # what the old one kept may be half of the truth
        for reading in readings:
            if isinstance(reading.value, GpuReading):
                self.devices.take(reading.value.nodes, self.situation.devices)

    def _apply(self, reading: Reading) -> list[Change]:
        """Fold a reading in; one that cannot be leaves its source not to be believed, with the reason."""
        changes = self._boundary.attempt(reading.source, self.situation.apply, reading)
        if isinstance(changes, Fault):
            failed = Reading(reading.source, SourceState.UNREACHABLE, reading.observed_at, None, changes.text)
            return self.situation.apply(failed)
        return changes

    def _judge(self, engine: "Engine", changes: list[Change], now: datetime) -> Steps[None]:
        """Judge, but at the start not before every kind has been read: half a picture gives false findings."""
        if self._judge_from is None:
            self._judge_from = now + PATIENCE
        self._unjudged += changes
        starting = any(self.situation.source(kind.name).state is SourceState.STARTING for kind in WATCHED)
        if starting and now < self._judge_from:
            self.diagnosis = engine.not_judged(self.situation, now)
            return
        self._judge_from = now
        self.diagnosis = yield from engine.judging(self.situation, self._unjudged, now)
        self._unjudged = []

    def _keep_order(self, changes: list[Change], now: datetime) -> bool:
        if not self.order and self.situation.pods:
            self.order.fill(self.situation.pods, now)
            return True
        moved = False
        for change in changes:
            if change.ref.kind == "Pod":
                if isinstance(change.new, Pod):
                    moved |= self.order.put(change.new, now)
                else:
                    moved |= self.order.remove((change.ref.namespace, change.ref.name))
        if self._resort_at is None or now >= self._resort_at:
            self._resort_at = now + RESORT
            for key in self.order.unsettled_keys():
                if (pod := self.situation.pods.get(key)) is not None:
                    moved |= self.order.put(pod, now)
        return moved


def _new_engine() -> "Engine":
    """Return an engine with all rules, which take a tenth of a second to import: not before the first paint."""
    from diagnosis.engine import Engine

    return Engine()
