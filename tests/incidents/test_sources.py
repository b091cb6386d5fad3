"""Sources that fall silent and come back."""

from incidents.entries import Entry, Incident, Kind
from incidents.sources import SourceFollower
from situation.readings import Source, SourceState
from tests.incidents.build import at, entry

Told = list[tuple[Kind, float, str]]


def followed(follower: SourceFollower, states: list[tuple[float, dict[str, SourceState]]]) -> Told:
    """What is written while each source has its state until the next second that is named."""
    told: Told = []
    for (start, held), (end, _) in zip(states, [*states[1:], (states[-1][0] + 0.5, {})], strict=True):
        second = start
        while second < end:
            sources = [Source(name, state, "timed out", at(0), 1e6) for name, state in held.items()]
            told += [
                (update.entry.kind, (update.entry.at - at(0)).total_seconds(), update.entry.text)
                for update in follower.take(sources, at(second))
            ]
            second += 0.5
    return told


LIVE, LOST, ABSENT = SourceState.LIVE, SourceState.UNREACHABLE, SourceState.ABSENT
PODS = "kubernetes/pods"


def test_lost_and_back_have_the_times_at_which_they_were() -> None:
    assert followed(SourceFollower(), [(0, {PODS: LIVE}), (10, {PODS: LOST}), (40, {PODS: LIVE}), (70, {})]) == [
        (Kind.LOST, 10, "pods: unreachable (timed out)"),
        (Kind.BACK, 40, "pods"),
    ]


def test_what_is_lost_is_known_until_it_is_back() -> None:
    follower, nodes = SourceFollower(), "kubernetes/nodes"
    followed(follower, [(0, {PODS: LIVE, nodes: LIVE}), (10, {PODS: LOST, nodes: LOST}), (60, {})])
    (lost,) = follower.lost
    assert (lost.kind, lost.at, lost.text) == (Kind.LOST, at(10), "pods, nodes: unreachable (timed out)")
    followed(follower, [(60, {PODS: LIVE, nodes: LOST}), (90, {})])
    (lost,) = follower.lost
    assert (lost.at, lost.text) == (at(10), "nodes: unreachable (timed out)")
    followed(follower, [(90, {PODS: LIVE, nodes: LIVE}), (120, {})])
    assert follower.lost == ()


def test_a_short_silence_is_not_told() -> None:
    assert followed(SourceFollower(), [(0, {PODS: LIVE}), (10, {PODS: LOST}), (14, {PODS: LIVE}), (90, {})]) == []


def test_a_flapping_source_is_lost_once() -> None:
    states = [(0.0, {PODS: LIVE})]
    for turn in range(4):
        states += [(10.0 + 20 * turn, {PODS: LOST}), (20.0 + 20 * turn, {PODS: LIVE})]
    kinds = [kind for kind, _, _ in followed(SourceFollower(), [*states, (110.0, {})])]
    assert kinds == [Kind.LOST, Kind.BACK]


def test_sources_that_fall_together_are_told_together() -> None:
    names = [f"kubernetes/k{number}" for number in range(6)]
    all_live, all_lost = dict.fromkeys(names, LIVE), dict.fromkeys(names, LOST)
    first = {**all_lost, "kubernetes/k5": LIVE}
    told = followed(SourceFollower(), [(0, all_live), (10, first), (13, all_lost), (60, {})])
    assert told == [(Kind.LOST, 10, "k0, k1, k2, k3 and 2 more: unreachable (timed out)")]


def test_one_that_wavers_does_not_hold_the_others_up_for_ever() -> None:
    both, one = {PODS: LOST, "kubernetes/nodes": LOST}, {PODS: LOST, "kubernetes/nodes": LIVE}
    states = [(0.0, {PODS: LIVE, "kubernetes/nodes": LIVE})]
    for turn in range(10):
        states += [(10.0 + 4 * turn, both), (12.0 + 4 * turn, one)]
    assert followed(SourceFollower(), [*states, (51.0, {})])[0] == (Kind.LOST, 10, "pods: unreachable (timed out)")


def test_what_the_server_does_not_have_and_what_was_never_read_is_not_lost() -> None:
    assert followed(SourceFollower(), [(0, {PODS: LIVE}), (10, {PODS: ABSENT}), (60, {})]) == []
    assert followed(SourceFollower(), [(0, {PODS: LOST}), (60, {})]) == []
    assert followed(SourceFollower(), [(0, {"midwatch/load": LIVE}), (9, {"midwatch/load": LOST}), (60, {})]) == []


def test_a_live_source_that_goes_unconfirmed_is_lost_as_stale() -> None:
    follower = SourceFollower()
    source = Source(PODS, LIVE, "", at(0), 30.0)
    told = [update.entry for second in range(60) for update in follower.take([source], at(second))]
    assert [(entry.kind, entry.at, entry.text) for entry in told] == [(Kind.LOST, at(31), "pods: stale")]


def test_what_an_earlier_part_of_the_log_left_lost_is_told_to_be_back() -> None:
    names = [f"kubernetes/k{number}" for number in range(6)]
    before = SourceFollower()
    entries: list[Entry] = []
    for second in range(120):
        state = LOST if 10 <= second < 60 else LIVE
        held = {**dict.fromkeys(names, state), PODS: LOST if second >= 10 else LIVE}
        sources = [Source(name, state, "timed out", at(0), 1e6) for name, state in held.items()]
        entries += [update.entry for update in before.take(sources, at(second))]
    resumed = SourceFollower(Incident("i", "prod", at(0), entries=tuple(entries)).lost)
    (lost,) = resumed.lost
    assert (lost.at, lost.sources) == (at(10), (PODS,))
    told = followed(resumed, [(200, {**dict.fromkeys(names, LIVE), PODS: LIVE}), (260, {})])
    assert told == [(Kind.BACK, 200, "pods")], "the others are back already"
    assert resumed.lost == ()


def test_of_what_was_lost_before_and_not_read_since_no_state_is_made_up() -> None:
    first = entry(Kind.LOST, "pods, nodes: unreachable", sources=(PODS, "kubernetes/nodes"))
    resumed = SourceFollower(dict.fromkeys(first.sources, first))
    assert resumed.lost == (first,)
    followed(resumed, [(200, {PODS: LIVE}), (260, {})])
    assert [item.text for item in resumed.lost] == ["nodes: not read since the log was resumed"]
