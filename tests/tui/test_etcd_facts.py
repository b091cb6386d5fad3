"""What the pane of the control plane says of etcd in words: true, or not known."""

import pytest

from situation.etcd.cluster import etcd_of
from situation.etcd.members import Alarm, EtcdAccess, EtcdAlarms
from situation.readings import Readiness, Reading, SourceState
from situation.situation import Situation
from tests.build import NOW
from tests.control_plane import live_api_server, live_etcd
from tests.etcd_objects import GIB, NO_LEADER, NO_SPACE, healthy, list_members, silence, status, tell
from tui.etcd_facts import etcd_facts, second_hand, title_note


def said(situation: Situation) -> dict[str, str]:
    """The facts by part, each with its glyph; several of one part one after the other."""
    found: dict[str, str] = {}
    for fact in etcd_facts(etcd_of(situation, NOW), situation, NOW):
        found[fact.part] = " | ".join(filter(None, (found.get(fact.part), f"{fact.glyph} {fact.text}")))
    return found


def live() -> Situation:
    situation = Situation()
    live_etcd(situation)
    return situation


def test_all_is_well() -> None:
    situation = live()
    assert said(situation) == {
        "quorum": "✓ 3 of 3 answer, quorum 2, can lose 1 more",
        "alarms": "✓ none",
        "database": "✓ 200Mi of 2.0Gi on etcd-1, 150Mi in use",
    }
    assert title_note(etcd_of(situation, NOW)) == "leader etcd-1 · term 7 · 3.5.26"


def test_without_a_member_list_it_says_how_it_counted() -> None:
    assert said(healthy())["quorum"] == "✓ 3 of 3 answer, quorum 2, can lose 1 more (counted by: endpoints asked)"


def test_a_silent_member_and_what_may_still_fail() -> None:
    situation = Situation()
    live_etcd(situation, silent={3: 120})
    told = said(situation)
    assert told["quorum"] == "● 2 of 3 answer, quorum 2, can lose none"
    assert told["members"] == "▲ etcd-3 silent since 02:39:17 UTC: deadline exceeded"


def test_quorum_lost() -> None:
    situation = Situation()
    live_etcd(situation, silent={2: 60, 3: 60})
    tell(situation, 1, status=status(1, leader=0, errors=NO_LEADER))
    told = said(situation)
    assert told["quorum"] == "▲ 1 of 3 answer, quorum 2: quorum lost"
    assert told["writes"].startswith("▲ nothing can be written since 02:41:07 UTC (no quorum)")
    assert title_note(etcd_of(situation, NOW)).startswith("no leader · ")


def test_no_space() -> None:
    situation = Situation()
    live_etcd(situation, db_size_bytes=2 * GIB, errors=NO_SPACE)
    situation.apply(Reading("etcd/alarms", SourceState.LIVE, NOW, EtcdAlarms((Alarm(1, "NOSPACE"),))))
    told = said(situation)
    assert told["alarms"] == "▲ NOSPACE, raised by etcd-1"
    assert "alarm NOSPACE" in told["writes"]
    assert told["database"].startswith("▲ 2.0Gi of 2.0Gi on etcd-1, 150Mi in use")


def test_a_slow_disk_is_held_against_both_bands() -> None:
    situation = Situation()
    live_etcd(situation, slow=3)
    assert said(situation)["disk"] == "● fsync p99 etcd-3 30ms; FAQ < 10ms, mixin < 500ms"


@pytest.mark.parametrize(
    ("state", "error", "wanted"),
    [
        (SourceState.ABSENT, "no endpoint is known", "no endpoint is known; --etcd-endpoints, "),
        (SourceState.FORBIDDEN, "server.crt: permission denied; give --etcd-cert", "denied; give --etcd-cert"),
    ],
)
def test_etcd_that_is_not_read_says_why_and_what_would_help(state: SourceState, error: str, wanted: str) -> None:
    situation = Situation()
    situation.apply(Reading("etcd/access", state, NOW, error=error))
    (fact,) = etcd_facts(etcd_of(situation, NOW), situation, NOW)
    assert (fact.part, fact.glyph) == ("etcd", "?")
    assert wanted in fact.text
    assert fact.text.count("--etcd-cert") == 1
    assert fact.state is not None and fact.state.state is state


def test_before_anything_spoke_nothing_is_claimed() -> None:
    situation = Situation()
    assert said(situation)["etcd"].startswith(
        "? not read directly: no member of it is known from here; --etcd-endpoints"
    )
    assert second_hand(situation, NOW) is None
    assert title_note(etcd_of(situation, NOW)) == ""


@pytest.mark.parametrize(
    ("state", "asked", "wanted"),
    [
        (SourceState.STARTING, 3, "? starting: asking 3 endpoints, none was heard yet"),
        (SourceState.LIVE, 1, "? starting: asking 1 endpoint, none was heard yet"),
        (SourceState.STARTING, 0, "? starting: its members are being looked for"),
    ],
)
def test_while_the_first_members_are_asked_it_is_starting(state: SourceState, asked: int, wanted: str) -> None:
    situation = Situation()
    situation.apply(Reading("etcd/access", state, NOW, EtcdAccess(asked=asked)))
    assert said(situation)["etcd"] == wanted
    silence(situation, 1)
    assert "starting" not in said(situation).get("etcd", "")


def test_what_the_api_server_says_of_an_etcd_that_is_not_read_directly() -> None:
    situation = Situation()
    situation.apply(Reading("kubernetes/readyz", SourceState.LIVE, NOW, Readiness(False, ("etcd",)), fresh_for_s=30))
    assert said(situation)["writes"] == (
        "▲ nothing can be written at least since 02:41:07 UTC (the API server does not reach it): "
        "the API shows what was before"
    )


def test_members_that_refuse_us_prove_nothing() -> None:
    situation = Situation()
    for number in (1, 2, 3):
        tell(situation, number, state=SourceState.FORBIDDEN, error="tls: certificate required; give --etcd-cert")
    told = said(situation)
    assert told["quorum"].startswith("? 3 of 3 answer, quorum 2, but none lets us read")
    assert told["alarms"].startswith("? not known")
    assert told["members"].count("refuses us: tls: certificate required; give --etcd-cert") == 3
    assert "database" not in told
    assert title_note(etcd_of(situation, NOW)) == "leader not known"


def test_a_member_that_is_only_listed_was_not_asked() -> None:
    situation = healthy(1, 2)
    list_members(situation, 3)
    told = said(situation)
    assert told["quorum"] == "? 2 of 3 answer, quorum 2; not all were heard, so what it can lose is not known"
    assert told["members"].startswith("? etcd-3 not asked: no endpoint of it is known; --etcd-endpoints")


def test_second_hand_says_that_it_is() -> None:
    situation = Situation()
    live_api_server(situation)
    fact = second_hand(situation, NOW)
    assert fact is not None
    assert fact.text == "second-hand, as the API server sees it: size 1.4Gi; request p99 get 20ms"
    assert fact.glyph == "·"


def test_an_alarm_is_not_ruled_out_by_silence() -> None:
    situation = healthy(ago_s=40)
    for number in (1, 2, 3):
        silence(situation, number)
    assert said(situation)["alarms"].startswith("? not known")
