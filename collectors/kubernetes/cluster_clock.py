"""The clock by which everything is dated and judged: ours, put right by the API server's where they disagree."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from situation.clock import utc_now
from situation.readings import ServerClock

AGREE: Final = timedelta(seconds=5)
"""Clocks that are this close are left alone: machines that keep time differ by less, and answers take their time."""


class ClusterClock:
    """Called, it returns the cluster's time: objects and events are dated by that, and a fault that began ten minutes
    ago must not look like one that is yet to come only because this machine is ten minutes late.

    Until the first comparison, and where none is made, it is our own time.
    """

    def __init__(self, own: Callable[[], datetime] = utc_now) -> None:
        self.own = own
        """This machine's clock."""
        self._ahead = timedelta(0)

    def __call__(self) -> datetime:
        return self.own() - self._ahead

    def compare(self, found: ServerClock) -> ServerClock:
        """Take in how our own clock stands to the server's; return it with what is taken off of it from now on."""
        ahead = timedelta(seconds=found.ahead_s)
        within = AGREE + timedelta(seconds=found.within_s)
        if abs(ahead) <= within:
            self._ahead = timedelta(0)
        elif abs(ahead - self._ahead) > within:  # else each answer would move time a little
            self._ahead = ahead
        return msgspec.structs.replace(found, taken_off_s=self._ahead.total_seconds())
