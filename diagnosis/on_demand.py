"""What was read of kinds that are read only while a verdict wants them: an old list says nothing of now."""

from datetime import datetime, timedelta
from typing import Final

from situation.situation import Situation

LATELY: Final = timedelta(minutes=5)
"""While it is wanted, a kind is read every minute: what is this old was wanted no longer, or cannot be read. Ours."""


def read_lately(kind: str, situation: Situation, now: datetime) -> datetime | None:
    """Return when a kind was read, by `ObjectKind.name`; None if never, or so long ago that it may have changed."""
    read = situation.source(kind).observed_at
    return read if situation.knows(kind) and read is not None and now - read <= LATELY else None
