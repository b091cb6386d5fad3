"""How far this machine's clock is from the API server's, as the `Date` of its answers tells."""

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from situation.clock import duration_text
from situation.readings import ServerClock, SourceState

if TYPE_CHECKING:
    from situation.situation import Situation

SOURCE: Final = "midwatch/clock"


def measured(situation: "Situation", now: datetime) -> ServerClock | None:
    """Return the offset as it was measured of late; None if it is not known now: clocks are set, machines sleep."""
    return situation.server_clock if situation.source(SOURCE).state_at(now) is SourceState.LIVE else None


def cluster_now(situation: "Situation", now: datetime) -> datetime:
    """Return what the API server's clock says now; our own time where it was never compared."""
    clock = measured(situation, now)
    return now - timedelta(seconds=clock.ahead_s - clock.taken_off_s) if clock is not None else now


def offset_text(clock: ServerClock) -> str:
    """Return `is 3m20s ahead of the API server's`, `agrees with the API server's`."""
    if abs(clock.ahead_s) <= clock.within_s:
        return "agrees with the API server's"
    side = "ahead of" if clock.ahead_s > 0 else "behind"
    return f"is {duration_text(abs(clock.ahead_s))} {side} the API server's"


def correction_text(situation: "Situation") -> str:
    """Return `our clock 11m behind` where all times are the API server's because ours is off, else an empty text."""
    off_s = situation.server_clock.taken_off_s if situation.server_clock is not None else 0.0
    return f"our clock {duration_text(abs(off_s))} {'ahead' if off_s > 0 else 'behind'}" if off_s else ""
