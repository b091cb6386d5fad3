"""Collecting once: until every source has said something, or time is up."""

import asyncio
from collections.abc import Collection
from typing import Final

from situation.findings import Diagnosis, Layer, LayerState, LayerStatus
from situation.kinds import BY_NAME, WATCHED
from situation.readings import Reading, SourceState
from tui.connection import Connected
from tui.devices import nodes_first
from tui.feed import Feed

PATIENCE_S: Final = 8.0
"""etcd, model servers and the control plane's own measurements get so much longer than all the rest: one that does not
answer, or a page of megabytes, is no reason to hold back what is known. A round in which a model server hangs takes
6 s; cut short, all that the others said would count as not heard."""
_PATIENTLY: Final = ("etcd", "control-plane/", "vllm/")
_POLLS: Final = ("kubernetes/version", "kubernetes/readyz")
_TURN_S: Final = 0.05


async def collect_once(feed: Feed, connected: Connected, timeout_s: float) -> bool:
    """Turn the feed until every source has spoken, those that the rules then want included, or time is up.

    Sources that are silent for all of `timeout_s` seconds become unreachable, those of etcd, the control plane and the
    model servers also when they are PATIENCE_S later than the rest. Returns whether all that the API server tells has
    been heard.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    ends = began + timeout_s
    is_rest_there = False
    while silent := _silent_after_turn(feed, connected):
        if not is_rest_there and all(name.startswith(_PATIENTLY) for name in silent):
            is_rest_there = True
            ends = min(ends, loop.time() + PATIENCE_S)
        left_s = ends - loop.time()
        if left_s <= 0:
            break
        await asyncio.sleep(min(_TURN_S, left_s))
    waited_s = round(min(timeout_s, loop.time() - began), 1)
    for name in silent:
        if feed.situation.source(name).state is SourceState.STARTING:
            who = (connected.server or "the API server") if name.startswith("kubernetes/") else name
            error = f"{who} did not answer within {waited_s:g} s"
            feed.publish(Reading(name, SourceState.UNREACHABLE, feed.now(), error=error))
    feed.turn()
    return not any(name.startswith("kubernetes/") for name in silent)


def _silent_after_turn(feed: Feed, connected: Connected) -> Collection[str]:
    feed.turn()
    wanted = feed.diagnosis.wanted
    connected.want(wanted)
    names = [*(kind.source for kind in WATCHED), *(BY_NAME[name].source for name in sorted(wanted)), *_POLLS]
    if others := sorted(connected.unheard()):
        connected.tell(feed.situation, nodes_first(feed.situation, feed.diagnosis))
    return [*(name for name in names if feed.situation.source(name).state is SourceState.STARTING), *others]


def could_not_tell(reason: str) -> Diagnosis:
    """Return the diagnosis of a cluster that was not seen at all, for a reason that lies with us."""
    return Diagnosis(layers=tuple(LayerStatus(layer, LayerState.UNKNOWN, reason) for layer in Layer))
