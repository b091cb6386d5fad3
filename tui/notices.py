"""Which notices answer a key: only the latest of them is shown, two would hide half of a small terminal."""

from typing import Final

from textual.message import Message

COPIED: Final = "Copied"
PARTLY_COPIED: Final = "Not everything worked"
NOTED: Final = "Noted"
ANSWERS: Final = frozenset({"", COPIED, PARTLY_COPIED, NOTED})
"""Titles; without one it says why a key did nothing. All other notices stay until their time is over."""


class AnswersRead(Message):
    """What was answered to the last key need not be shown any longer: a panel opened that tells of it."""
