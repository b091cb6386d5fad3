"""How busy the GPUs are that somebody holds: allocated and busy are different things."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import msgspec

from diagnosis.gpu_ledger import Account, workload_of
from situation.gpu.sharing import gpu_sharing
from situation.meta import Ref
from situation.situation import Situation

IDLE_BELOW: Final = 0.05
"""A GPU below this utilisation counts as idle at that reading. Ours: an idle one shows 0 to 2 %, a serving one more."""
READING_AGE: Final = timedelta(minutes=5)
"""An older reading says nothing about now. Ours."""


class Use(msgspec.Struct, frozen=True):
    """Measured utilisation of the GPUs that pods hold on some nodes."""

    measured: int = 0
    """GPUs with a holder and a utilisation."""
    shared: int = 0
    """Of these, those that several pods share: the reading is of the whole GPU, and says of no pod how it uses it."""
    idle: int = 0
    idle_by: tuple[tuple[Ref, int, int], ...] = ()
    """Workload, how many of its GPUs are idle, how many are measured; the most idle ones first. Without shared ones."""
    observed_at: datetime | None = None
    """The oldest reading among them."""
    origin: str = ""


def use_of(accounts: Iterable[Account], situation: Situation, now: datetime) -> Use:
    """Return what was measured on these nodes. A GPU without utilisation or holder is not counted: never as idle."""
    measured, shared, idle = 0, 0, 0
    have: Counter[Ref] = Counter()
    rest: Counter[Ref] = Counter()
    oldest: datetime | None = None
    origin = ""
    for account in accounts:
        known = situation.devices.get(account.node.name)
        if known is None or known.observed_at is None or now - known.observed_at > READING_AGE:
            continue
        holders = {holder.workload for holder in account.holders}  # of this resource: a node may have several
        is_shared = gpu_sharing(account.node.metadata.labels).is_shared
        for device in known.devices:
            if device.utilization_ratio is None or not device.holders:
                continue
            pods = (situation.pods.get(key) for key in device.holders)
            workloads = {workload_of(pod, situation) for pod in pods if pod is not None} & holders
            if not workloads:
                continue
            is_idle = device.utilization_ratio < IDLE_BELOW
            measured, idle = measured + 1, idle + is_idle
            if is_shared or len(device.holders) > 1:
                shared += 1
            else:
                have.update(workloads)
                rest.update(workloads if is_idle else ())
            oldest, origin = min(oldest or known.observed_at, known.observed_at), known.origin
    order = sorted(rest, key=lambda workload: (-rest[workload], workload))
    return Use(measured, shared, idle, tuple((name, rest[name], have[name]) for name in order), oldest, origin)
