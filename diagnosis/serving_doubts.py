"""What of the model servers could not be judged, in a few words for layer 1."""

from datetime import datetime
from typing import Final

from diagnosis.commands import shorten
from situation.readings import SourceState
from situation.serving.serving import SOURCE, serving_of
from situation.serving.view import ServerState
from situation.situation import Situation

_NOT_ASKED: Final = (ServerState.DOWN, ServerState.STARTING, ServerState.LEFT_OUT)
"""Nobody expects these to answer, or wants them asked; their pods are judged."""
_WHY_CHARS: Final = 60


def serving_doubts(situation: Situation, now: datetime) -> list[str]:
    """Return why the load of model servers is not judged; nothing where there are none, or nobody would ask (a dump).

    Servers that have not been asked yet are a doubt only once their source has spoken of others.
    """
    if SOURCE not in situation.sources:
        return []
    asked = [view for view in serving_of(situation, now).servers if view.state not in _NOT_ASKED]
    unread = [view for view in asked if view.state is ServerState.UNKNOWN]
    if not unread:
        engines = [engine for view in asked for engine in view.engines]
        once = bool(engines) and not any(engine.window for engine in engines)
        return ["load of model servers: measured once, a rate needs two"] if once else []
    source = situation.source(SOURCE)
    if source.state is SourceState.STARTING:
        return ["model servers: not read yet"]
    why = shorten(unread[0].error or unread[0].why, _WHY_CHARS)
    if len(unread) == len(asked):
        count = "not read" if len(asked) == 1 else f"none of {len(asked)} is read"
        return [f"model servers: {count} ({why})"]
    return [f"model servers: {len(unread)} of {len(asked)} not read ({why})"]
