"""Answers of `/health` and `/readyz?verbose`, which say the same with a status of 200 and with 503."""

from typing import Final

import msgspec

from collectors.errors import BadAnswerError
from situation.text import harmless

_SHOWN: Final = 200
_FAILED: Final = "[-]"


class _Health(msgspec.Struct, frozen=True):
    health: str | bool
    reason: str = ""


def parse_health(body: bytes, what: str) -> tuple[bool, str]:
    """Read `{"health":"false","reason":"RAFT NO LEADER"}` into (healthy, reason); before 3.5 there is no reason.

    Raises BadAnswerError; `what` names the answer.
    """
    try:
        answer = msgspec.json.decode(body, type=_Health)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        shown = harmless(body[:_SHOWN].decode("utf-8", "replace").strip())
        raise BadAnswerError(f"{what} does not answer as etcd does: {shown or 'nothing'}") from error
    return answer.health in (True, "true"), harmless(answer.reason)


def parse_readyz(body: bytes) -> tuple[str, ...]:
    """Return the names of the failed checks: of lines such as `[-]data_corruption failed: alarm activated`."""
    lines = (line.strip() for line in body.decode("utf-8", "replace").splitlines())
    words = (line.removeprefix(_FAILED).split() for line in lines if line.startswith(_FAILED))
    return tuple(harmless(first) for first, *_ in filter(None, words))
