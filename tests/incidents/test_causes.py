"""Causes become entries: debounced, in pairs, with the time at which they really began and ended."""

from collections import defaultdict
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from incidents.causes import CauseFollower
from incidents.entries import Kind, Update
from situation.findings import Diagnosis, Layer, Severity
from tests.incidents.build import at, begun, diagnosis, finding

WEB = finding()
WARNED = diagnosis(finding(severity=Severity.WARNING))
NOTHING = diagnosis()
FAILED = diagnosis(reason="internal error in crash-loop: KeyError")


def followed(follower: CauseFollower, steps: Iterable[tuple[float, Diagnosis]]) -> list[Update]:
    """What is written when each diagnosis holds from its second until the next, looked at twice a second."""
    listed = list(steps)
    updates: list[Update] = []
    for (start, held), (end, _) in zip(listed, [*listed[1:], (listed[-1][0] + 0.5, NOTHING)], strict=True):
        second = start
        while second < end:
            updates += follower.take(held, at(second))
            second += 0.5
    return updates


def told(*steps: tuple[float, Diagnosis], follower: CauseFollower | None = None) -> list[tuple[str, float, str]]:
    """(kind, second, text) of each entry; the last of the steps only ends the one before it."""
    return [
        (update.entry.kind.value, (update.entry.at - at(0)).total_seconds(), update.entry.text)
        for update in followed(follower or CauseFollower(), steps)
        if not update.again
    ]


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param([(0, NOTHING), (60, NOTHING)], [], id="a quiet cluster"),
        pytest.param(
            [(0, diagnosis(WEB)), (60, NOTHING)], [("found at start", 0, "web-1 crashes")], id="there from the start"
        ),
        pytest.param(
            [(0, NOTHING), (30, diagnosis(WEB)), (34, NOTHING), (60, NOTHING)], [], id="it did not stand 5 seconds"
        ),
        pytest.param(
            [(0, NOTHING), (30, diagnosis(WEB)), (40, NOTHING), (54, NOTHING)],
            [("appeared", 30, "web-1 crashes")],
            id="not gone for 15 seconds yet",
        ),
        pytest.param(
            [(0, NOTHING), (30, diagnosis(WEB)), (40, NOTHING), (60, NOTHING)],
            [("appeared", 30, "web-1 crashes"), ("cleared", 40, "web-1 crashes")],
            id="began and ended when it did, not when it was written",
        ),
        pytest.param(
            [(0, diagnosis(judged=False)), (100, diagnosis(WEB)), (110, NOTHING)],
            [("found at start", 100, "web-1 crashes")],
            id="the start is the first judgement",
        ),
        pytest.param(
            [(0, NOTHING), (19, diagnosis(WEB)), (30, NOTHING)],
            [("found at start", 19, "web-1 crashes")],
            id="within 20 seconds nothing is new",
        ),
        pytest.param(
            [(0, NOTHING), (30, diagnosis(WEB)), (40, diagnosis(unknown=(Layer.APPLICATION,))), (500, NOTHING)],
            [("appeared", 30, "web-1 crashes")],
            id="what cannot be judged has not gone",
        ),
        pytest.param(
            [(0, NOTHING), (30, diagnosis(WEB)), (40, FAILED), (99, NOTHING)],
            [("appeared", 30, "web-1 crashes")],
            id="a rule that failed clears nothing",
        ),
        pytest.param(
            [(0, diagnosis(WEB)), (10, WARNED), (14, diagnosis(WEB)), (30, NOTHING)],
            [("found at start", 0, "web-1 crashes")],
            id="a change that did not stand",
        ),
        pytest.param(
            [(0, diagnosis(WEB)), (10, WARNED), (30, NOTHING)],
            [("found at start", 0, "web-1 crashes"), ("changed", 10, "web-1 crashes")],
            id="another severity",
        ),
        pytest.param(
            [(0, diagnosis(finding(title="1 restart"))), (90, diagnosis(finding(title="27 restart"))), (200, NOTHING)],
            [("found at start", 0, "1 restart")],
            id="another number is no change",
        ),
        pytest.param(
            [(0, diagnosis(WEB)), (10, diagnosis(finding(title="other"))), (100, NOTHING)],
            [("found at start", 0, "web-1 crashes"), ("changed", 10, "other")],
            id="another title, in its time",
        ),
    ],
)
def test_what_is_written(steps: list[tuple[float, Diagnosis]], expected: list[tuple[str, float, str]]) -> None:
    assert told(*steps) == expected


def test_a_cause_of_a_layer_that_stays_in_doubt_is_not_kept_for_ever() -> None:
    held = diagnosis(unknown=(Layer.APPLICATION,))
    steps = [(0.0, NOTHING), (30.0, diagnosis(WEB)), (36.0, diagnosis(WEB)), (40.0, held), (630.0, held)]
    assert [item.entry.kind for item in followed(CauseFollower(), steps)] == [Kind.APPEARED]
    later = [*steps, (641.0, held), (660.0, held)]
    assert [item.entry.kind for item in followed(CauseFollower(), later)] == [Kind.APPEARED, Kind.CLEARED]


def test_a_flapping_cause_is_one_entry_with_a_count() -> None:
    steps = [(0.0, NOTHING)]
    for turn in range(4):
        steps += [(30.0 + 20 * turn, diagnosis(WEB)), (40.0 + 20 * turn, NOTHING)]
    updates = followed(CauseFollower(), [*steps, (130.0, NOTHING)])
    assert [(item.entry.kind, item.entry.times, item.again) for item in updates] == [
        (Kind.APPEARED, 0, False),
        (Kind.APPEARED, 1, True),
        (Kind.APPEARED, 2, True),
        (Kind.APPEARED, 3, True),
        (Kind.CLEARED, 3, False),
    ]


def test_one_that_never_stands_long_but_comes_again_and_again_is_written() -> None:
    steps = [(0.0, NOTHING)]
    for turn in range(5):
        steps += [(30.0 + 6 * turn, diagnosis(WEB)), (33.0 + 6 * turn, NOTHING)]
    first = followed(CauseFollower(), [*steps, (61.0, NOTHING)])[0].entry
    assert (first.kind, first.times, first.at) == (Kind.APPEARED, 3, at(30))


def test_a_cause_that_follows_from_another_now_has_changed_and_not_cleared() -> None:
    parent = finding("node", rule="node-down", title="gpu-07 is down", consequences=(finding(part="node-down:gpu-07"),))
    updates = followed(
        CauseFollower(), [(0, diagnosis(WEB)), (30, diagnosis(parent)), (60, diagnosis(WEB)), (90, NOTHING)]
    )
    entries = [(item.entry.kind.value, item.entry.text, item.entry.way) for item in updates if not item.again]
    assert entries == [
        ("found at start", "web-1 crashes", ""),
        ("changed", "web-1 crashes", "now follows from: gpu-07 is down"),
        ("appeared", "gpu-07 is down", ""),
        ("changed", "web-1 crashes", "stands on its own again"),
        ("cleared", "gpu-07 is down", ""),
    ]


def test_a_finding_that_is_folded_before_it_was_written_is_told_with_its_cause() -> None:
    parent = finding("node", rule="node-down", title="gpu-07 is down", consequences=(WEB,))
    updates = followed(CauseFollower(), [(0, diagnosis(WEB)), (3, diagnosis(parent)), (60, NOTHING)])
    assert [item.entry.text for item in updates] == ["gpu-07 is down"]
    assert updates[0].entry.follows == ("layer 1: web-1 crashes",)


def test_what_follows_later_is_added_to_the_entry() -> None:
    late = finding(consequences=(finding("cart"), finding("search")))
    updates = followed(CauseFollower(), [(0, diagnosis(WEB)), (20, diagnosis(late)), (60, NOTHING)])
    assert [(item.again, item.entry.follows) for item in updates] == [
        (False, ()),
        (True, ("layer 1: cart crashes", "layer 1: search crashes")),
    ]


def test_an_earlier_log_goes_on_without_a_word_while_its_causes_stand() -> None:
    entry = begun(-600, key=WEB.key, text=WEB.title)
    assert told((0, diagnosis(WEB)), (90, NOTHING), follower=CauseFollower([entry], at(-300))) == []


def test_what_went_while_nobody_watched_is_cleared_with_that_said() -> None:
    follower = CauseFollower([begun(-600, key=WEB.key, text=WEB.title)], at(-300))
    (update,) = followed(follower, [(0, NOTHING), (60, NOTHING)])
    assert (update.entry.kind, update.entry.at) == (Kind.CLEARED, at(0))
    assert "nobody watched since 02:36:07 UTC" in update.entry.way


KEYS = ("a", "b", "c")
rounds = st.lists(
    st.tuples(
        st.floats(0.1, 30),
        st.sets(st.sampled_from(KEYS)),
        st.sampled_from(list(Severity)),
        st.sampled_from(["", "a", "b"]),
        st.booleans(),
    ),
    max_size=40,
)


@given(rounds)
def test_beginning_and_end_alternate_whatever_happens(
    given_: list[tuple[float, set[str], Severity, str, bool]],
) -> None:
    follower = CauseFollower()
    second, kinds = 0.0, defaultdict[str, list[Kind]](list)
    times = defaultdict[str, list[float]](list)
    for wait, present, severity, parent, doubted in given_:
        second += wait
        folded = tuple(finding(name) for name in sorted(present - {parent})) if parent in present else ()
        alone = present if not folded else {parent}
        causes = [finding(name, severity=severity, consequences=folded) for name in sorted(alone)]
        held = diagnosis(*causes, unknown=(Layer.APPLICATION,) if doubted else ())
        for update in follower.take(held, at(second)):
            assert update.entry.at <= at(second)
            if not update.again:
                kinds[update.entry.key].append(update.entry.kind)
                times[update.entry.key].append((update.entry.at - at(0)).total_seconds())
    for key, listed in kinds.items():
        ends = [kind for kind in listed if kind is not Kind.CHANGED]
        assert all(kind.begins_cause == (number % 2 == 0) for number, kind in enumerate(ends))
        assert listed[0].begins_cause
        assert times[key] == sorted(times[key])
