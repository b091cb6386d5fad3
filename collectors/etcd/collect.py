"""All collectors of etcd."""

from collections.abc import Callable
from datetime import datetime

from collectors.errors import ConfigurationError, ForbiddenError
from collectors.etcd.credentials import CredentialsKeeper
from collectors.etcd.discovery import Discovery
from collectors.etcd.doors import Doors
from collectors.etcd.lists import AlarmListCollector, MemberListCollector
from collectors.etcd.options import EtcdOptions
from collectors.etcd.rounds import EtcdCollector
from collectors.etcd.wishes import EtcdWishes
from collectors.http import HttpReader
from collectors.runner import Collector
from situation.clock import utc_now

__all__ = ["EtcdOptions", "etcd_collectors"]


def etcd_collectors(
    http: HttpReader,
    wishes: EtcdWishes,
    options: EtcdOptions = EtcdOptions(),  # noqa: B008 - frozen
    *,
    clock: Callable[[], datetime] = utc_now,
) -> list[Collector]:
    """Return the collectors of etcd. Raises ConfigurationError for endpoints and files that cannot be used."""
    options.with_metrics()
    keeper, doors = CredentialsKeeper(clock), Doors()
    if any(options.files):
        try:
            keeper.current(options.files)
        except ForbiddenError as error:
            raise ConfigurationError(str(error)) from error
    rounds = EtcdCollector(http, Discovery(options, wishes, keeper), wishes, doors, clock)
    return [rounds, MemberListCollector(doors, clock), AlarmListCollector(doors, clock)]
