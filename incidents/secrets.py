"""Masks what must not be kept: credentials that stand in an error, a URL, a command or a note."""

import re
from typing import Final

from situation.text import harmless

MASK: Final = "[masked]"
_SECRETS: Final = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"), rf"\1 {MASK}"),
    (re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?"), MASK),  # a JSON web token (RFC 7519)
    (re.compile(r"(?i)\b([a-z][a-z0-9+.-]{0,20}://)[^\s/@:]*:[^\s/@]+@"), rf"\1{MASK}@"),
    (
        re.compile(
            r"(?i)([\w-]{0,40}(?:password|passwd|secret[_-]?key|client[_-]?secret|access[_-]?key|api[_-]?key|token)"
            r"\s*[=:]\s*|--[\w-]{0,40}(?:password|token|secret)\s+)(?!\[masked\])(\"[^\"]+\"|'[^']+'|[^\s,;&\"']+)"
        ),
        rf"\1{MASK}",
    ),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)"), MASK),
)


def kept_text(text: str, limit: int) -> str:
    """Return `text` as it may be kept: harmless, on one line, without credentials, of `limit` characters at most."""
    text = harmless(text[: 2 * limit])  # patterns must not be looked for in a megabyte
    for pattern, mask in _SECRETS:
        text = pattern.sub(mask, text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
