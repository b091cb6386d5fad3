"""When leases were renewed. Their holders write the time of their own clocks into them, and a clock may be wrong."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from situation.cluster import Lease
from situation.meta import ObjectKey
from situation.store import Change

STANDSTILL: Final = timedelta(seconds=30)
"""The API server renews its lease every 10 s, and the leaders theirs more often: all of them missed three."""
LEASES: Final = "leases"
NODE_LEASES: Final = "nodeleases"


class Renewals:
    """Dates renewals by the API server's clock: those that were seen by when that was, others by what stands in them.

    So client-go's leader election does it, for the same reason. No renewal is later than it was read.
    """

    def __init__(self) -> None:
        self.at: dict[str, dict[ObjectKey, datetime]] = {LEASES: {}, NODE_LEASES: {}}
        """By kind (`ObjectKind.name`) and key."""
        self.resumed_at: datetime | None = None
        """The first renewal of a lease in kube-system after none had been for STANDSTILL."""

    def take(
        self, kind: str, changes: Iterable[Change], read_at: datetime | None, *, is_polled: bool, is_seen: bool
    ) -> None:
        """Take in what changed of a kind of leases.

        `read_at` is when that was read, by the API server's clock; None where it is not known. `is_polled`: only a list
        comes, now and then. `is_seen`: it was heard of until just before, so that this is when it changed.
        """
        dated = self.at[kind]
        is_watched = kind == LEASES and not is_polled
        before = max(dated.values(), default=None) if is_watched else None
        for change in changes:
            key, old, new = (change.ref.namespace, change.ref.name), change.old, change.new
            if not isinstance(new, Lease) or (renewed := new.spec.renew_time) is None:
                dated.pop(key, None)
            elif not isinstance(old, Lease) or old.spec.renew_time != renewed:
                in_sight = is_watched and is_seen and isinstance(old, Lease)
                dated[key] = (read_at or renewed) if in_sight else min(renewed, read_at or renewed)
        if before is not None and (newest := max(dated.values(), default=before)) - before > STANDSTILL:
            self.resumed_at = newest

    def set_back(self, now: datetime) -> None:
        """Take none for later than `now`: a clock was set back."""
        self.at = {kind: {key: min(at, now) for key, at in dated.items()} for kind, dated in self.at.items()}
