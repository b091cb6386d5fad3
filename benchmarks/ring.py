"""The ring that keeps the last half hour for a tape: a million changes of pods, without a network between."""

import gc
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import process_time
from typing import Final, NamedTuple

import msgspec

from benchmarks.terminal import resident_mb
from simulator.generator import generate
from situation.decode import decode_object
from situation.kinds import BY_NAME
from situation.pods import Pod
from situation.readings import Changed, Listed, Reading, SourceState
from situation.situation import Situation
from tape.ring import LIMIT_BYTES, Ring

CHANGES: Final = 1_000_000
_PER_S: Final = 1_000
_FULL_AFTER_S: Final = 300
_PACKED_EVERY_S: Final = 2
"""As the cockpit does."""


class Held(NamedTuple):
    """What a million changes did to the ring."""

    largest_ratio: float
    """The most it ever held, as a part of its limit."""
    reach_s: float
    """How far back it reaches at that rate."""
    cpu_ms: float
    """For a thousand changes."""
    growth_mb: float
    """Resident memory, from when the ring was full to the end."""
    save_s: float
    """CPU time to write the tape."""


def hold(folder: Path, nodes: int, pods: int) -> Held:
    """Put `CHANGES` changes of pods through a ring, 1 000 a second of its time."""
    began = datetime.now(UTC)
    situation = Situation()
    ring = Ring(began, situation.listed)
    known = _listed(situation, ring, nodes, pods, began)
    before, cpu, largest, version = 0.0, 0.0, 0, 10_000_000
    for second in range(1, CHANGES // _PER_S + 1):
        at = began + timedelta(seconds=second)
        changed = []
        for _ in range(_PER_S):
            version += 1
            changed.append(_touched(known[version % len(known)], version))
        reading = Reading("kubernetes/pods", SourceState.LIVE, at, Changed("pods", tuple(changed)))
        situation.apply(reading)
        started = process_time()
        ring.add(reading, at)
        if second % _PACKED_EVERY_S == 0:
            ring.begin_segment(at)
            ring.pack()
        cpu += process_time() - started
        largest = max(largest, ring.size_bytes)
        if second == _FULL_AFTER_S:
            before = resident_mb(os.getpid())
    growth_mb = resident_mb(os.getpid()) - before
    started = process_time()
    ring.save(folder / "ring.jsonl.gz", title="a million changes", context="bench", server="")
    return Held(
        largest / LIMIT_BYTES,
        ring.held.total_seconds(),
        cpu / CHANGES * 1_000 * 1_000,
        growth_mb,
        process_time() - started,
    )


def _listed(situation: Situation, ring: Ring, nodes: int, pods: int, at: datetime) -> list[Pod]:
    cluster, found = generate(nodes=nodes, pods=pods), []
    for name in ("nodes", "pods"):
        kind = BY_NAME[name]
        items = tuple(decode_object(b"{" + stored.tail, kind) for stored in cluster.table(name).ordered())
        reading = Reading(kind.source, SourceState.LIVE, at, Listed(name, items))
        situation.apply(reading)
        ring.add(reading, at)
        found += [item for item in items if isinstance(item, Pod)]
    ring.pack()
    del cluster
    gc.collect()
    return found


def _touched(pod: Pod, version: int) -> Pod:
    """A change as a kubelet reports it: another resource version, another restart."""
    statuses = tuple(
        msgspec.structs.replace(status, restart_count=version % 1_000) for status in pod.status.container_statuses
    )
    return msgspec.structs.replace(
        pod,
        metadata=msgspec.structs.replace(pod.metadata, resource_version=str(version)),
        status=msgspec.structs.replace(pod.status, container_statuses=statuses),
    )
