"""Of events only so many are kept: those that were told of last."""

from typing import Final

import pytest

from situation import store
from situation.readings import Changed, Listed, Reading, SourceState
from situation.situation import Situation
from tests.build import NOW, Manifest, event, made, situation

LIMIT: Final = 20


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "EVENT_LIMIT", LIMIT)


def old(number: int) -> Manifest:
    return event(f"Pod/old-{number:02}", "BackOff", "back-off", namespace="batch", age_s=3000)


def names(known: Situation) -> set[str]:
    return {item.involved_object.name for item in known.events.values()}


def change(known: Situation, *manifests: Manifest) -> None:
    upserts = tuple(map(made, manifests))
    known.apply(Reading("kubernetes/events", SourceState.LIVE, NOW, Changed("events", upserts)))


def test_of_a_list_the_newest_are_kept_in_whatever_order_they_come() -> None:
    fresh = event("StatefulSet/alpha", "FailedCreate", "exceeded quota", namespace="alpha", age_s=1)
    known = situation(fresh, *map(old, range(LIMIT)))
    assert len(known.events) == LIMIT
    assert "alpha" in names(known)
    assert "old-00" not in names(known)


def test_one_that_is_told_of_again_outlives_those_that_are_not() -> None:
    known = situation(*map(old, range(LIMIT)))
    change(known, old(0) | {"count": 200})
    change(known, event("Pod/web-1", "BackOff", "back-off", age_s=1))
    assert {"old-00", "web-1"} < names(known)
    assert "old-01" not in names(known)


@pytest.mark.parametrize("is_whole", [True, False])
def test_what_a_list_left_out_stays(is_whole: bool) -> None:
    known = situation(old(0))
    value = Listed("events", (made(old(1)),), is_whole=is_whole)
    known.apply(Reading("kubernetes/events", SourceState.LIVE, NOW, value))
    assert ("old-00" in names(known)) is not is_whole
