"""Collecting once: until every source has said something, or time is up."""

import asyncio
from datetime import UTC, datetime
from typing import Final

from situation.findings import Diagnosis, Layer, LayerState, LayerStatus
from situation.kinds import BY_NAME, WATCHED
from situation.readings import Reading, SourceState
from tui.connection import Connected
from tui.devices import nodes_first
from tui.feed import Feed

_POLLS: Final = ("kubernetes/version", "kubernetes/readyz")
_TURN_S: Final = 0.05


async def collect_once(feed: Feed, connected: Connected, timeout_s: float) -> bool:
    """Turn the feed until every source has spoken, those that the rules then want included, or time is up.

    Sources that are silent for all of `timeout_s` seconds become unreachable; returns whether all have spoken.
    """
    loop = asyncio.get_running_loop()
    ends = loop.time() + timeout_s
    while silent := _silent_after_turn(feed, connected):
        left_s = ends - loop.time()
        if left_s <= 0:
            break
        await asyncio.sleep(min(_TURN_S, left_s))
    for name in silent:
        error = f"{connected.server or 'the API server'} did not answer within {timeout_s:g} s"
        feed.publish(Reading(name, SourceState.UNREACHABLE, datetime.now(UTC), error=error))
    feed.turn()
    return not silent


def _silent_after_turn(feed: Feed, connected: Connected) -> list[str]:
    feed.turn()
    wanted = feed.diagnosis.wanted
    connected.want(wanted)
    names = [*(kind.source for kind in WATCHED), *(BY_NAME[name].source for name in sorted(wanted)), *_POLLS]
    names += connected.device_sources
    if any(feed.situation.source(name).state is SourceState.STARTING for name in connected.device_sources):
        connected.want_devices(feed.situation, nodes_first(feed.situation, feed.diagnosis))
    return [name for name in names if feed.situation.source(name).state is SourceState.STARTING]


def could_not_tell(reason: str) -> Diagnosis:
    """Return the diagnosis of a cluster that was not seen at all, for a reason that lies with us."""
    return Diagnosis(layers=tuple(LayerStatus(layer, LayerState.UNKNOWN, reason) for layer in Layer))
