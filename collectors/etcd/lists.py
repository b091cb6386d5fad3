"""The member list and the alarm list: asked seldom, each with its own state. Sources `etcd/members`, `etcd/alarms`."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import datetime
from typing import Final, TypeVar

from collectors.errors import AbsentError, SourceError, UnreachableError
from collectors.etcd.doors import Doors, most_telling
from collectors.etcd.maintenance import Maintenance
from situation.etcd.members import EtcdAlarms, EtcdMembership
from situation.readings import Reading, SourceState

T = TypeVar("T")

EVERY_S: Final = 30.0
FRESH_S: Final = 100.0
DEADLINE_S: Final = 1.5
"""For one member; then the next one is asked."""


class MemberListCollector:
    """Reads the member list of whichever member answers, as that one knows it: no quorum is needed."""

    name = "etcd/members"
    pause_s = EVERY_S
    deadline_s = None

    def __init__(self, doors: Doors, clock: Callable[[], datetime]) -> None:
        self._doors = doors
        self._clock = clock

    async def collect(self) -> AsyncGenerator[Reading, None]:
        members = await _first_answer(self._doors, lambda member: member.members(DEADLINE_S))
        self._doors.listed = members
        yield Reading(self.name, SourceState.LIVE, self._clock(), EtcdMembership(members), fresh_for_s=FRESH_S)


class AlarmListCollector:
    """Reads the alarm list. It goes through raft: without quorum only each member's status tells alarms."""

    name = "etcd/alarms"
    pause_s = EVERY_S
    deadline_s = None

    def __init__(self, doors: Doors, clock: Callable[[], datetime]) -> None:
        self._doors = doors
        self._clock = clock

    async def collect(self) -> AsyncGenerator[Reading, None]:
        try:
            alarms = await _first_answer(self._doors, lambda member: member.alarms(DEADLINE_S))
        except UnreachableError as error:
            raise UnreachableError(
                f"{error}; the alarm list needs a quorum, alarms are in the members' status too"
            ) from error
        yield Reading(self.name, SourceState.LIVE, self._clock(), EtcdAlarms(alarms), fresh_for_s=FRESH_S)


async def _first_answer(doors: Doors, ask: Callable[[Maintenance], Awaitable[T]]) -> T:
    """Ask one member after the other, on a connection of its own, until one answers. Raises SourceError."""
    await doors.until_known()
    if not doors.targets:
        raise AbsentError(doors.error, EVERY_S)
    if doors.credentials is None:
        raise doors.no_credentials()
    errors: list[SourceError] = []
    for target in doors.likely():
        member = Maintenance(target.endpoint, doors.credentials)
        try:
            return await ask(member)
        except SourceError as error:
            errors.append(error)
        finally:
            await member.aclose()
    raise most_telling(errors)
