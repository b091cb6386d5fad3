"""What of the control plane itself could not be judged, in a few words for layer 4."""

from datetime import datetime
from typing import Final

from diagnosis.api_facts import LIVEZ, METRICS
from diagnosis.commands import counted, shorten
from situation.readings import SourceState
from situation.situation import Situation

_READ: Final = {METRICS: "the API server's metrics", LIVEZ: "/livez of the API server"}
_ERROR_CHARS: Final = 60


def control_plane_doubts(situation: Situation, now: datetime) -> list[str]:
    """Return why latency, rejects, liveness or certificates are not judged; nothing of what was never asked for."""
    found = []
    for name, words in _READ.items():
        source = situation.sources.get(name)
        if source is None or (state := source.state_at(now)) in (SourceState.LIVE, SourceState.ABSENT):
            continue
        why = f" ({shorten(source.error, _ERROR_CHARS)})" if source.error else ""
        found.append(f"{words}: {'not read yet' if state is SourceState.STARTING else state.value}{why}")
    if unread := [item for item in situation.certificates if item.not_after is None]:
        why = shorten(unread[0].error, _ERROR_CHARS) or "no reason known"
        found.append(f"{counted(len(unread), 'certificate')} not readable, {unread[0].name} for one: {why}")
    return found
