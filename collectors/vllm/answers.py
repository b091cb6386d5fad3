"""Answers of a model server besides its metrics: `/version` and `/v1/models`; which kind has which of them."""

from collections.abc import Mapping
from typing import Final

import msgspec

from collectors.errors import BadAnswerError
from situation.serving.readings import Health, ServedModel, Software
from situation.text import harmless

VERSION: Final[Mapping[Software, str]] = {
    Software.VLLM: "/version",
    Software.ROUTER: "/version",
    Software.UNKNOWN: "/version",
    Software.TGI: "/info",
    Software.NIM: "/v1/version",
}
MODELS: Final[Mapping[Software, str]] = {
    software: "/v1/models"
    for software in (Software.VLLM, Software.SGLANG, Software.NIM, Software.ROUTER, Software.UNKNOWN)
}
_TELL_DEATH: Final = (Software.VLLM, Software.UNKNOWN)
"""Others answer 503 also while they start."""
_NOT_READY: Final = {Software.TRITON: 400, Software.NIM: 503}
"""What they answer while they do not serve: the open inference protocol, and NIM's API reference."""
_SHOWN: Final = 200


class _Version(msgspec.Struct, frozen=True):
    version: str = ""
    release: str = ""
    """NIM's."""


class _Model(msgspec.Struct, frozen=True):
    id: str
    root: str | None = None
    parent: str | None = None
    max_model_len: int | None = None


class _Models(msgspec.Struct, frozen=True):
    data: tuple[_Model, ...] = ()


def parse_version(body: bytes, what: str) -> str:
    """Read `{"version": "0.33.0"}` or `{"release": "2.1.6"}`. Raises BadAnswerError; `what` names the answer."""
    try:
        found = msgspec.json.decode(body, type=_Version)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadAnswerError(f"{what} does not answer with a version") from error
    if not (text := found.version or found.release):
        raise BadAnswerError(f"{what} does not answer with a version")
    return harmless(text)[:_SHOWN]


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
    """Return what a status of `HEALTH_PATH` means; None if it means nothing.

    vLLM says 503 without a word, and Triton 400. With one it is a sidecar or a gateway that speaks, which finds nobody
    behind it, or does not take what it is asked.
    """
    is_silent = not body.strip()
    if status == 200:
        return Health.OK
    if status == _NOT_READY.get(software) and (is_silent or software is not Software.TRITON):
        return Health.NOT_READY
    is_dead = (status == 503 and is_silent and software in _TELL_DEATH) or (status == 500 and software is Software.VLLM)
    return Health.ENGINE_DEAD if is_dead else None
