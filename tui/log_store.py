"""What logs told that were looked at: kept until the container runs anew, shown with the evidence."""

from datetime import datetime
from typing import Final, NamedTuple

import msgspec

from diagnosis.log_catalogue.signature import Weight
from diagnosis.log_signatures import Match, trigger
from situation.clock import duration_text
from situation.findings import Mark
from situation.logs import LastLine, LogTarget
from situation.pods import Pod
from situation.situation import Situation
from widgets.evidence import Card, CardLine

_KEPT: Final = 100


class RunKey(NamedTuple):
    """One run of one container."""

    uid: str
    container: str
    restarts: int


class _Told(NamedTuple):
    first: Match | None
    more: int
    at: datetime
    last: LastLine | None


def run_key(target: LogTarget, situation: Situation) -> RunKey | None:
    """Return the run that the container is in; None when pod or container are not known."""
    pod = situation.pods.get((target.namespace, target.pod))
    if pod is None:
        return None
    name = target.container or _only_container(pod)
    statuses = pod.status.init_container_statuses + pod.status.container_statuses
    status = next((item for item in statuses if item.name == name), None)
    return RunKey(pod.metadata.uid, name, status.restart_count) if status is not None else None


def _only_container(pod: Pod) -> str:
    return pod.spec.containers[0].name if pod.spec.containers else ""


def _ago(then: datetime, now: datetime) -> str:
    age_s = max(0.0, (now - then).total_seconds())
    return f"{duration_text(age_s // 10 * 10)} ago" if age_s >= 10 else "now"


class LogStore:
    """Remembers the last logs that were read: what they told, and their last lines."""

    def __init__(self) -> None:
        self._told: dict[RunKey, _Told] = {}

    def keep(self, key: RunKey | None, matches: tuple[Match, ...], at: datetime, last: LastLine | None = None) -> None:
        """Remember what the log of a run told, and said last; a log that has neither any more is forgotten."""
        if key is None:
            return
        self._told.pop(key, None)
        first = trigger(matches)
        if first is not None or last is not None:
            others = sum(not match.explained_by for match in matches) - 1
            self._told[key] = _Told(first, others, at, last)
        while len(self._told) > _KEPT:
            del self._told[next(iter(self._told))]

    @property
    def is_empty(self) -> bool:
        return not self._told

    def line(self, target: LogTarget, situation: Situation, now: datetime) -> CardLine | None:
        """Return what the log of that container told, while it is in the same run."""
        key = run_key(target, situation)
        told = self._told.get(key) if key else None
        if told is None or told.first is None:
            return None
        age = _ago(told.at, now)
        more = f", and {told.more} more" if told.more else ""
        mark = Mark.SUPPORTS if told.first.signature.weight is Weight.FAULT else None
        return CardLine(f"log: {told.first.signature.meaning} ({told.first.signature.id}){more}", f"log · {age}", mark)

    def last_said(self, target: LogTarget, situation: Situation, now: datetime) -> str:
        """Return the last line of that container's log with its age, while it is in the same run; empty if not read."""
        key = run_key(target, situation)
        told = self._told.get(key) if key else None
        if told is None or told.last is None:
            return ""
        at = told.last.line.at
        age = f" {_ago(at, now)}" if at is not None else ""
        whose = "last line of the run before" if told.last.of_previous else "last line"
        return f"log read {_ago(told.last.read_at, now)}, {whose}{age}: {told.last.line.text.strip()}"

    def added_to(self, card: Card, target: LogTarget | None, situation: Situation, now: datetime) -> Card:
        """Return the card with what the log told above its other lines."""
        line = self.line(target, situation, now) if target is not None else None
        return msgspec.structs.replace(card, lines=(line, *card.lines)) if line is not None else card
