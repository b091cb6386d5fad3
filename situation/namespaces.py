"""Whether the one namespace that is read exists: in one that does not, nothing is wrong, and nothing is well."""

import difflib
from collections.abc import Collection
from datetime import datetime

from situation.readings import SourceState
from situation.situation import Situation


def missing_namespace(situation: Situation, now: datetime) -> str:
    """Return a sentence that says so, if the cluster has no namespace of the name that alone is read.

    Empty where that is not known: namespaces may be forbidden, or out of date. One in which there are pods exists.
    """
    name = situation.configured.only_namespace
    if not name or situation.pods or situation.source("namespaces").state_at(now) is not SourceState.LIVE:
        return ""
    if situation.is_unread("namespaces", ("", name)):
        return ""
    return situation.while_same(
        ("namespaces",), ("missing", name), lambda: absent_text(name, [known for _, known in situation.namespaces])
    )


def absent_text(name: str, known: Collection[str]) -> str:
    """Return the sentence for a name that is not among the known ones, else an empty string.

    A cluster always has some namespaces: a list without any is one from which somebody in between has taken those that
    we may not see.
    """
    if not known or name in known:
        return ""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]}?" if close else ""
    return f"this cluster has no namespace {name}{hint}"
