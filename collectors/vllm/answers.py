"""Answers of a model server besides its metrics: `/version` and `/v1/models`; which kind has which of them."""

from collections.abc import Mapping
from typing import Final

import msgspec

from collectors.errors import BadAnswerError
from situation.serving.readings import Health, ServedModel, Software
from situation.text import harmless

HEALTH: Final[Mapping[Software, str]] = {
    software: "/health" for software in Software if software is not Software.TRITON
}
"""Triton serves its health at another port than its metrics."""
VERSION: Final[Mapping[Software, str]] = {
    Software.VLLM: "/version",
    Software.ROUTER: "/version",
    Software.UNKNOWN: "/version",
    Software.TGI: "/info",
}
MODELS: Final[Mapping[Software, str]] = {
    software: "/v1/models" for software in (Software.VLLM, Software.SGLANG, Software.ROUTER, Software.UNKNOWN)
}
_TELL_DEATH: Final = (Software.VLLM, Software.UNKNOWN)
"""Others answer 503 also while they start."""
_SHOWN: Final = 200


class _Version(msgspec.Struct, frozen=True):
    version: str


class _Model(msgspec.Struct, frozen=True):
    id: str
    root: str | None = None
    parent: str | None = None
    max_model_len: int | None = None


class _Models(msgspec.Struct, frozen=True):
    data: tuple[_Model, ...] = ()


def parse_version(body: bytes, what: str) -> str:
    """Read `{"version": "0.33.0"}`. Raises BadAnswerError; `what` names the answer."""
    try:
        return harmless(msgspec.json.decode(body, type=_Version).version)[:_SHOWN]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswerError(f"{what} does not answer with a version") from error


def parse_models(body: bytes, what: str) -> tuple[ServedModel, ...]:
    """Read the list of models, adapters among them. Raises BadAnswerError; `what` names the answer."""
    try:
        found = msgspec.json.decode(body, type=_Models).data
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswerError(f"{what} does not answer with a list of models") from error
    return tuple(
        ServedModel(harmless(item.id), harmless(item.root or ""), harmless(item.parent or ""), item.max_model_len)
        for item in found
    )


def health_of(status: int, software: Software, body: bytes = b"") -> Health | None:
    """Return what a status of `/health` means; None if it means nothing.

    vLLM says 503 without a word. With one it is a sidecar or a gateway that speaks, which finds nobody behind it.
    """
    if status == 200:
        return Health.OK
    is_dead = (status == 503 and not body.strip() and software in _TELL_DEATH) or (
        status == 500 and software is Software.VLLM
    )
    return Health.ENGINE_DEAD if is_dead else None
