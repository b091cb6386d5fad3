"""Renewals of leases: a cluster that lives writes one every few seconds, so they tell when it wrote last."""

from collections.abc import Mapping
from datetime import datetime

from situation.cluster import Lease
from situation.meta import ObjectKey
from situation.situation import Situation


def renewals(situation: Situation) -> Mapping[ObjectKey, datetime]:
    """Return when each lease was renewed last, those of nodes among them, by the cluster's own clock."""
    return situation.once(renewals, lambda: _renewals(situation))


def _renewals(situation: Situation) -> dict[ObjectKey, datetime]:
    leases = (*situation.leases.items(), *situation.table("nodeleases").items())
    return {key: renewed for key, item in leases if isinstance(item, Lease) and (renewed := item.spec.renew_time)}


def last_write(situation: Situation) -> datetime | None:
    """Return the newest renewal that the API shows, None if there is none."""
    return max(renewals(situation).values(), default=None)
