"""The clock by which everything is dated and judged: ours, put right by the API server's where they disagree."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from situation.clock import utc_now
from situation.readings import ServerClock

AGREE: Final = timedelta(seconds=5)
"""Clocks that are this close are left alone: machines that keep time differ by less, and answers take their time."""
CONFIRMED: Final = 10
"""So many answers in a row must tell of a change: one of several servers behind an address may have a wrong clock."""


class ClusterClock:
    """Called, it returns the cluster's time: objects and events are dated by that, and a fault that began ten minutes
    ago must not look like one that is yet to come only because this machine is ten minutes late.

    Until the first comparison, and where none is made, it is our own time.
    """

    def __init__(self, own: Callable[[], datetime] = utc_now) -> None:
        self.own = own
        """This machine's clock."""
        self._ahead = timedelta(0)
        self._is_compared = False
        self._other: list[timedelta] = []
        """What the last answers told, one like the other, but unlike what is taken off."""

    def __call__(self) -> datetime:
        return self.own() - self._ahead

    def compare(self, found: ServerClock) -> ServerClock:
        """Take in how our own clock stands to the server's; return what is believed of that, and what is taken off."""
        within = AGREE + timedelta(seconds=found.within_s)
        ahead = timedelta(seconds=found.ahead_s)
        if abs(ahead - self._ahead) <= within:
            self._other.clear()  # each answer must not move time a little
        else:
            self._other = [other for other in self._other if abs(other - ahead) <= within] + [ahead]
            if not self._is_compared or len(self._other) >= CONFIRMED:
                self._ahead = ahead if abs(ahead) > within else timedelta(0)
                self._other.clear()
        self._is_compared = True
        believed = ahead if abs(ahead - self._ahead) <= within else self._ahead
        off_s = self._ahead.total_seconds()
        return msgspec.structs.replace(found, ahead_s=believed.total_seconds(), taken_off_s=off_s)
