"""What one round at one member says of leader and alarms, whichever of its parts answered."""

import re
from typing import Final

from situation.etcd.members import EtcdMember

NO_SPACE: Final = "NOSPACE"
CORRUPT: Final = "CORRUPT"

_STATUS_ALARM: Final = re.compile(r"memberID:\s*(\d+)\s+alarm:\s*([A-Z]+)")
"""As Maintenance.Status writes each alarm into its errors; protobuf leaves open how many spaces stand between."""
_HEALTH_ALARM: Final = re.compile(r"\bALARM ([A-Z]+)")
"""As `/health` gives its reason; since 3.5."""


def sees_leader(member: EtcdMember) -> bool | None:
    """Tell whether the member sees a leader; None if nothing that answered says so."""
    if member.status is not None:
        return member.status.leader != 0
    if member.page is not None and member.page.has_leader is not None:
        return member.page.has_leader
    return False if member.health is not None and "NO LEADER" in member.health.reason else None


def alarm_kinds(member: EtcdMember) -> frozenset[str] | None:
    """Return the alarms that the member tells of; None if no part answered that would tell all of them."""
    found: set[str] = set()
    told = member.status is not None
    if member.status is not None:
        found.update(kind for error in member.status.errors for _, kind in _STATUS_ALARM.findall(error))
    if member.health is not None:
        found.update(_HEALTH_ALARM.findall(member.health.reason))
        told = told or member.health.healthy
    if member.page is not None:
        found.update(member.page.alarms)
    return frozenset(found) if told or found else None


def raised_by(member: EtcdMember, kind: str) -> frozenset[int]:
    """Return the IDs of the members that raised an alarm, as far as the status names them."""
    errors = member.status.errors if member.status is not None else ()
    return frozenset(int(owner) for error in errors for owner, name in _STATUS_ALARM.findall(error) if name == kind)
