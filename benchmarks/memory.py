"""Memory over a million events, without a network between: readings straight into the feed."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

import msgspec

from benchmarks.terminal import resident_mb
from simulator.generator import generate
from situation.decode import decode_object
from situation.kinds import BY_NAME
from situation.meta import KubernetesObject
from situation.readings import Changed, Listed, Reading, SourceState
from tui.feed import Feed

_EVENTS = 1_000_000
_BATCH = 1_000


def growth_percent(nodes: int, pods: int) -> float:
    """Percent by which resident memory grew from the 50,000th event to the millionth."""
    start = datetime.now(UTC)
    now = start
    feed = Feed(lambda: now)
    cluster = generate(nodes=nodes, pods=pods)
    listed: list[KubernetesObject] = []
    for name in ("nodes", "pods"):
        kind = BY_NAME[name]
        items = tuple(decode_object(b"{" + stored.tail, kind) for stored in cluster.table(name).ordered())
        feed.publish(Reading(kind.source, SourceState.LIVE, now, Listed(name, items)))
        listed = list(items)
    del cluster
    feed.turn()
    before = 0.0
    changes = _changes(listed)
    for number in range(0, _EVENTS, _BATCH):
        now = start + timedelta(seconds=number / _BATCH)
        for reading in _readings(list(islice(changes, _BATCH)), number, now):
            feed.publish(reading)
        feed.turn()
        if number == 50_000:
            before = resident_mb(os.getpid())
    return (resident_mb(os.getpid()) / before - 1) * 100


def _changes(pods: list[KubernetesObject]) -> Iterator[KubernetesObject]:
    version = 10_000_000
    while True:
        for pod in pods:
            version += 1
            metadata = msgspec.structs.replace(pod.metadata, resource_version=str(version))
            yield msgspec.structs.replace(pod, metadata=metadata)


def _readings(pods: list[KubernetesObject], number: int, now: datetime) -> Iterator[Reading]:
    """Half of the churn are pods, half are events about them."""
    half = len(pods) // 2
    yield Reading("kubernetes/pods", SourceState.LIVE, now, Changed("pods", tuple(pods[:half])))
    kind = BY_NAME["events"]
    events = tuple(
        decode_object(
            msgspec.json.encode(
                {
                    "metadata": {"name": f"{pod.name}.{number}", "namespace": pod.namespace, "resourceVersion": "1"},
                    "involvedObject": {"kind": "Pod", "namespace": pod.namespace, "name": pod.name},
                    "reason": "Pulled",
                    "type": "Normal",
                    "message": f"Container image pulled in {number} ms",
                    "lastTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
                }
            ),
            kind,
        )
        for pod in pods[half:]
    )
    yield Reading(kind.source, SourceState.LIVE, now, Changed("events", events))
