"""One sanitising function for every text that comes from outside.

Nothing between a Kubernetes object and the terminal removes escape sequences, so text is made harmless once, where it
is decoded. Each dangerous character is replaced by a visible mark: nothing is dropped, nothing reaches the terminal.
"""

import re
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")

_DANGEROUS: Final = re.compile(
    "["
    "\x00-\x1f\x7f"  # C0 and DEL
    "\x80-\x9f"  # C1: an 8-bit CSI or OSC needs no ESC
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f"  # soft hyphen, joiners and fillers that draw nothing
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\u2028\u2029"  # zero width, bidirectional controls, line separators
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb"  # fillers, variation selectors, byte order mark, annotations
    "\ud800-\udfff"  # lone surrogates cannot be encoded for the terminal
    "\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"  # format controls of scripts and music
    "\U000e0000-\U000e0fff"  # tags and variation selectors supplement: invisible
    "]"
)
_MARK: Final = re.compile("[\u2400-\u2421]|‹U\\+[0-9A-F]{2,5}›")
_ESCAPE: Final = re.compile(rb'\\[^"]')
_SUSPICIOUS_JSON: Final = re.compile(
    rb"\x7f|\\(?:[bfnrt]|u(?:00[01]|007[fF]|00[89]|00[aA][dD]|034|061|115|116|17|180|2|3164|[fFdD]))"
)


def halved(name: str, length: int) -> str:
    """Return a name or a wrapped error in `length` characters at most, cut in its middle: both ends of it tell."""
    if len(name) <= length:
        return name
    end = length // 2
    return f"{name[: length - 1 - end]}…{name[-end:]}"


def _visible(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "\u2421"
    return f"‹U+{code:04X}›"


def harmless(text: str) -> str:
    """Return `text` with control, escape, bidirectional and invisible characters replaced by visible marks.

    C0 controls become Unicode control pictures (ESC is shown as `␛`, a line feed as `␊`), everything else
    becomes `‹U+XXXX›`. Idempotent; printable ASCII is returned as it is.
    """
    if text.isascii() and text.isprintable():
        return text
    return _DANGEROUS.sub(_visible, text)


def is_altered(text: str) -> bool:
    """Tell whether `text` holds a mark of `harmless`: it is then not the real name and must not enter a command."""
    return _MARK.search(text) is not None


def may_hold_dangerous_text(raw_json: bytes) -> bool:
    """Tell cheaply whether decoded strings of this JSON document could need `harmless`; false positives only."""
    if not raw_json.isascii() or b"\x7f" in raw_json:  # JSON lets DEL stand as it is
        return True
    if _ESCAPE.search(raw_json) is None:
        return False  # nearly always, and found out several times as fast
    return _SUSPICIOUS_JSON.search(raw_json) is not None


def harmless_object(value: T) -> T:
    """Return a decoded value (struct, tuple, list, dictionary, string) with every string in it made harmless."""
    return _clean(value)  # type: ignore[no-any-return]


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return harmless(value)
    if isinstance(value, msgspec.Struct):
        changed = {
            name: cleaned
            for name in value.__struct_fields__
            if (cleaned := _clean(before := getattr(value, name))) is not before
        }
        return msgspec.structs.replace(value, **changed) if changed else value
    if isinstance(value, dict):
        return {_clean(key): _clean(item) for key, item in value.items()} if value else value
    if isinstance(value, tuple):
        cleaned_items = tuple(_clean(item) for item in value)
        return value if all(a is b for a, b in zip(cleaned_items, value, strict=True)) else cleaned_items
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value
