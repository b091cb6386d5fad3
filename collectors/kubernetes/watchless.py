"""What a reflector does with a kind that RBAC lets it list but not watch: a cached list, polled slowly.

Midwatch polls no list of a watched kind but this: one where the server answers 403 to the watch. It comes from the
API server's watch cache (`resourceVersion=0`) and costs etcd nothing; events are in no cache, so they are polled in
their bounded pages, more slowly still, and not while etcd fails. The watch is tried again now and then: rights may have
been granted meanwhile.
"""

import math
from time import monotonic
from typing import Final

from collectors.errors import ForbiddenError, SourceError, ThrottledError, WatchForbiddenError
from collectors.runner import RETRY_AFTER_LIMIT_S
from situation.kinds import ObjectKind

POLL_S: Final = 60.0
"""Between two lists: as seldom as on-demand kinds, and well within the 150 s after which a source counts as stale."""
EVENTS_POLL_S: Final = 300.0
"""Events are read from etcd itself, up to 3,000 of them at a time."""
POLL_MIN_S: Final = 30.0
"""No list follows another sooner, whatever has failed in between."""
POLL_MAX_S: Final = 600.0
LISTING_SHARE: Final = 0.02
"""At most this share of the time is spent in lists: a server that needs long for one is asked less often."""
WATCH_AGAIN_S: Final = 600.0
"""Rights are granted by people; each try is a refusal in the audit log."""


class Watchless:
    """Cadence and wording of the polls of one kind."""

    def __init__(self, kind: ObjectKind) -> None:
        self._base_s = EVENTS_POLL_S if kind.name == "events" else POLL_S
        self._refusal = ""
        self._watch_again_at = -math.inf
        self._throttled = 0

    @property
    def is_on(self) -> bool:
        """Lists are polled, and it is not time yet to try the watch again."""
        return bool(self._refusal) and monotonic() < self._watch_again_at

    def begin(self, error: WatchForbiddenError) -> None:
        """Poll from now on."""
        self._refusal = str(error)
        self._watch_again_at = monotonic() + WATCH_AGAIN_S

    def pause_after(self, took_s: float) -> float:
        """Return the seconds until the next list after one that took `took_s` seconds."""
        self._throttled = 0
        # In tens: the text names it, and must not look like an HTTP status.
        return min(POLL_MAX_S, math.ceil(max(self._base_s, took_s / LISTING_SHARE) / 10) * 10.0)

    def fresh_for_s(self, pause_s: float) -> float:
        """Return how long a list holds: one that failed in between does not make it stale."""
        return 2 * pause_s + POLL_MIN_S

    def text(self, pause_s: float) -> str:
        """Say that the kind is polled, how often, and why."""
        return f"polled every {pause_s:.0f} s: {self._refusal}"

    def slow_down(self, error: SourceError) -> None:
        """Have the runner wait after a list that failed."""
        wait_s = POLL_MIN_S
        if isinstance(error, ThrottledError):
            self._throttled += 1
            wait_s = min(RETRY_AFTER_LIMIT_S, self._base_s * 2.0 ** min(self._throttled, 10))
        error.retry_after_s = max(error.retry_after_s or 0.0, wait_s)

    def end(self) -> ForbiddenError:
        """Return the error for a list that is forbidden too; next time the watch is tried first."""
        refusal, self._refusal = self._refusal, ""
        return ForbiddenError(f"{refusal}, nor list them (verb list)")
