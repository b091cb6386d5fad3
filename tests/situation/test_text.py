import json
import unicodedata

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from situation.decode import decode_object
from situation.kinds import BY_NAME
from situation.text import harmless, harmless_object, is_altered, may_hold_dangerous_text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text", "plain text"),
        ("naïve – 漢字", "naïve – 漢字"),
        ("a\x1b]52;c;aGk=\x07b", "a␛]52;c;aGk=␇b"),
        ("red\x1b[31m", "red␛[31m"),
        ("two\nlines\t", "two␊lines␉"),
        ("\x7f\x9b31m", "␡‹U+009B›31m"),
        ("abc\u202etxt.exe", "abc‹U+202E›txt.exe"),
        ("zero\u200bwidth\ufeff", "zero‹U+200B›width‹U+FEFF›"),
        ("tag\U000e0041", "tag‹U+E0041›"),
        ("lone\ud800", "lone‹U+D800›"),
    ],
)
def test_dangerous_characters_become_visible_marks(text: str, shown: str) -> None:
    assert harmless(text) == shown
    assert is_altered(shown) == (text != shown)


@given(st.text())
def test_nothing_unprintable_is_left_and_it_is_idempotent(text: str) -> None:
    shown = harmless(text)
    assert not any(unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") for char in shown) or _only_known(shown)
    assert "\x1b" not in shown
    assert harmless(shown) == shown


def _only_known(shown: str) -> bool:
    """Format characters that draw themselves (Arabic number signs and the like) may stay."""
    left = {char for char in shown if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")}
    return all(unicodedata.bidirectional(char) in ("AN", "AL", "L", "ON", "NSM") and ord(char) > 0x5FF for char in left)


@given(st.text())
def test_the_cheap_test_never_misses_dangerous_json(text: str) -> None:
    for ascii_only in (True, False):
        try:
            raw = json.dumps({"message": text}, ensure_ascii=ascii_only).encode()
        except UnicodeEncodeError:
            continue  # a lone surrogate has no UTF-8
        if harmless(text) != text:
            assert may_hold_dangerous_text(raw)


def test_an_objects_every_string_is_made_harmless_and_a_clean_one_stays_the_same_object() -> None:
    kind = BY_NAME["pods"]
    raw = msgspec.json.encode(
        {
            "metadata": {"name": "web", "labels": {"a\x1b": "b\u202e"}},
            "spec": {"containers": [{"name": "x\x00", "image": "y"}]},
            "status": {"message": "bad\x1b[2J"},
        }
    )
    pod = decode_object(raw, kind)
    assert "\x1b" not in repr(pod).encode().decode("unicode_escape")
    assert "␛" in repr(pod)
    assert harmless_object(pod) == pod
