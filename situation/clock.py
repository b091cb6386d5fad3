"""The time, and ages as people read them."""

from datetime import UTC, datetime
from typing import Final

_STEP_S: Final = 5.0
_FINE_S: Final = 120.0
"""So long ages are told in steps of five seconds, then in minutes."""


def utc_now() -> datetime:
    """Return the time by this machine's clock."""
    return datetime.now(UTC)


def earlier(known: datetime | None, at: datetime) -> datetime | None:
    """Return the earlier of two times, the first of which may not be known."""
    return min(known, at) if known is not None else None


def age_text(since: datetime | None, now: datetime) -> str:
    """Return how long ago `since` was, in at most two units as kubectl prints ages: `63s`, `4m10s`, `3h5m`, `12d`.

    An unknown time is `?`; a time in the future (clock skew) is `0s`.
    """
    if since is None:
        return "?"
    return duration_text((now - since).total_seconds())


def moment_text(at: datetime, now: datetime) -> str:
    """Return a time of day in UTC, `02:41:07`, with its date where that is not today's: `2026-11-24 02:41:07`."""
    at = at.astimezone(UTC)
    return f"{at:%H:%M:%S}" if at.date() == now.astimezone(UTC).date() else f"{at:%Y-%m-%d %H:%M:%S}"


def stepped_s(age_s: float) -> float:
    """Return an age in seconds rounded down to a step, so that what shows it is not written anew each second."""
    age_s = max(0.0, age_s)
    step_s = _STEP_S if age_s < _FINE_S else 60.0
    return age_s // step_s * step_s


def duration_text(seconds: float) -> str:
    """Return a duration in at most two units (rounding of apimachinery's duration.HumanDuration)."""
    left = max(0, int(seconds))
    if left < 120:
        return f"{left}s"
    minutes, rest = divmod(left, 60)
    if minutes < 10:
        return f"{minutes}m{rest}s" if rest else f"{minutes}m"
    if minutes < 180:
        return f"{minutes}m"
    hours, rest = divmod(minutes, 60)
    if hours < 8:
        return f"{hours}h{rest}m" if rest else f"{hours}h"
    if hours < 48:
        return f"{hours}h"
    days, rest = divmod(hours, 24)
    if days < 8:
        return f"{days}d{rest}h" if rest else f"{days}d"
    return f"{days}d"
