"""Renewals of leases: a cluster that lives writes one every few seconds, so they tell when it wrote last."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from situation.api_server import READYZ
from situation.meta import ObjectKey
from situation.readings import SourceState
from situation.renewals import LEASES, NODE_LEASES, STANDSTILL
from situation.server_clock import cluster_now
from situation.situation import Situation

STILL: Final = timedelta(seconds=120)
"""Scheduler, controller manager and API server renew theirs every few seconds, kubelets every 10: all of them missed
many."""
LEAST: Final = 2
"""One lease alone says something about its holder."""


def renewals(situation: Situation) -> Mapping[ObjectKey, datetime]:
    """Return when each lease was renewed last, those of nodes among them, by the cluster's own clock."""
    return situation.while_same((LEASES, NODE_LEASES), renewals, lambda: _renewals(situation))


def _renewals(situation: Situation) -> dict[ObjectKey, datetime]:
    return {key: at for dated in situation.renewals.at.values() for key, at in dated.items()}


def last_write(situation: Situation) -> datetime | None:
    """Return the newest renewal that the API shows, None if there is none."""
    return max(renewals(situation).values(), default=None)


def still_for(situation: Situation, now: datetime) -> timedelta | None:
    """Return for how long no lease has been renewed, by the cluster's own clock as far as it is known.

    None where that says nothing of writes: too few leases are to be seen, they or the API server are not live, or that
    answers again since a moment only, in which nobody need have written yet.
    """
    newest = last_write(situation)
    if newest is None or len(renewals(situation)) < LEAST:
        return None
    sources = (situation.source("leases"), situation.source(READYZ))
    if situation.readiness is None or any(source.state_at(now) is not SourceState.LIVE for source in sources):
        return None
    if situation.answering_since is not None and now - situation.answering_since < STANDSTILL:
        return None
    return cluster_now(situation, now) - newest


def at_work_since(situation: Situation, name: str) -> datetime | None:
    """Return since when the leader kube-system/`name` can have worked, by the cluster's clock; None if nobody knows.

    It was elected then, or all leases stood still until then.
    """
    lease, renewed = situation.leases.get(("kube-system", name)), renewals(situation).get(("kube-system", name))
    elected = lease.spec.acquire_time if lease is not None else None
    if elected is not None and renewed is not None:
        elected = min(elected, renewed)  # its holder's clock may be ahead
    return max((at for at in (elected, situation.renewals.resumed_at) if at is not None), default=None)
