"""All collectors of one cluster."""

from collections.abc import Callable
from datetime import datetime

from collectors.kubernetes.client import Client
from collectors.kubernetes.meter import LoadCollector
from collectors.kubernetes.on_demand import OnDemandList, Wishes
from collectors.kubernetes.polls import ReadyzPoll, VersionPoll
from collectors.kubernetes.reflector import Reflector
from collectors.runner import Collector
from situation.clock import utc_now
from situation.kinds import ON_DEMAND, WATCHED


def kubernetes_collectors(
    client: Client,
    namespace: str | None = None,
    *,
    wishes: Wishes | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> list[Collector]:
    """Return the collectors of every kind, of the version, of the readiness checks and of our own load.

    `namespace` limits kinds that have namespaces to this one, for users who may read no other; the rest is tried, and
    becomes forbidden where RBAC says no. `wishes` tells which on-demand kinds to fetch, none without it.
    """
    wanted = wishes or Wishes()
    readyz = ReadyzPoll(client, clock)
    return [
        readyz,
        VersionPoll(client, clock),
        *(
            Reflector(client, kind, namespace, clock, lambda: readyz.etcd_fails, lambda: readyz.silent_since)
            for kind in WATCHED
        ),
        *(OnDemandList(client, kind, namespace, wanted, clock) for kind in ON_DEMAND),
        LoadCollector(client.meter, clock),
    ]
