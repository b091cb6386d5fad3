"""Secrets in command lines, masked before anything is kept of them."""

import re
from typing import Final

_SECRET_WORD: Final = r"(?:api|auth|access|secret)?(?:keys?|token|passwords?|passwd|secrets?|credentials?)"  # noqa: S105
_SECRET_NAME: Final = rf"-(?:[\w-]*[-_])?{_SECRET_WORD}(?:[-_][\w-]*)?"
_SECRET_FLAG: Final = re.compile(_SECRET_NAME, re.IGNORECASE)
_VALUE: Final = r"""(?:"[^"]*"|'[^']*'|[^\s"'-][^\s"']*)"""
_MORE_KEYS: Final = r"(?:[ \t]+[\w*.~/+=][\w*.~/+=-]*(?!\S))*"
"""A server may take several keys after one flag."""
_SECRET_IN_TEXT: Final = re.compile(
    rf"""(?P<name>(?<![\w-])(?i:{_SECRET_NAME})(?:=|\s+)){_VALUE}{_MORE_KEYS}
        |(?P<variable>\b[A-Z0-9_]*(?:KEY|TOKEN|PASSWORD|PASSWD|SECRET|CREDENTIAL)[A-Z0-9_]*=){_VALUE}
        |(?P<member>["'](?i:[\w-]*(?:key|token|password|secret|credential))["']\s*:\s*)(?:"[^"]*"|'[^']*')
        |(?P<scheme>\b(?i:bearer)\s+)[^\s"']+
        |(?P<user>://)[^\s/@"']+(?=@)""",
    re.VERBOSE,
)
_TOKEN: Final = re.compile(r"\b(?:hf_|sk-|ghp_|glpat-|nvapi-|AKIA|eyJ)[A-Za-z0-9_.-]{8,}")
_MASK: Final = "***"
_MASKINGS: Final = 8


def without_secrets(words: tuple[str, ...]) -> tuple[str, ...]:
    """Return a command line with the values of flags and variables masked whose names speak of secrets. Idempotent."""
    kept: list[str] = []
    is_secret = False
    for word in words:
        flag, equals, _ = word.partition("=")
        if word.startswith("-"):
            is_secret = _SECRET_FLAG.fullmatch(word) is not None
        if is_secret and not word.startswith("-"):
            kept.append(_MASK)
        elif equals and _SECRET_FLAG.fullmatch(flag):
            kept.append(f"{flag}={_MASK}")
        else:
            kept.append(_without_secrets(word))
    return tuple(kept)


def _without_secrets(text: str) -> str:
    """Mask until nothing is left to mask: one mask may bring quotes together that stood apart."""
    for _ in range(_MASKINGS):
        masked = _TOKEN.sub(_MASK, _SECRET_IN_TEXT.sub(_masked, text))
        if masked == text:
            return text
        text = masked
    return _MASK


def _masked(found: re.Match[str]) -> str:
    quote = '"' if found.lastgroup == "member" else ""
    return f"{found[found.lastgroup or 0]}{quote}{_MASK}{quote}"
