"""`check --dump` of a tape that tells of etcd: the causes of the same incident, watched live, at the same second."""

from datetime import timedelta
from pathlib import Path

import pytest

from collectors.etcd.recorded import RecordedMembers
from diagnosis.engine import diagnose
from simulator.scenarios import open_scenario
from simulator.scenarios.make_etcd import INCIDENTS, OPENS_AT, OVERLOADED
from situation.etcd.cluster import etcd_of
from situation.findings import Diagnosis, Finding, Layer, Severity
from situation.readings import SourceState
from situation.situation import Situation
from tape.format import TapeError
from tape.player import play
from tests.build import NOW
from tests.tui.commands import midwatch
from tui.recorded import RecordedSources

NOT_MENDED = (OVERLOADED, "etcd_fragmented")
"""Incidents that still go on when their tapes end."""


def at(name: str, second: float) -> tuple[Situation, Diagnosis]:
    tape = open_scenario(name)
    readings, now, notes = play(tape.path, second, RecordedSources)
    assert notes == ()
    situation = Situation()
    for reading in readings:
        situation.apply(reading)
    return situation, diagnose(situation, now)


def grave(diagnosis: Diagnosis) -> list[Finding]:
    """What is more than a hint."""
    return [cause for cause in diagnosis.causes if cause.severity is not Severity.INFO]


@pytest.mark.parametrize(
    ("name", "second", "rule", "consequence"),
    [
        ("etcd_quorum_lost", 40, "etcd-quorum-lost", "etcd-unavailable"),
        ("etcd_leader_lost", 25, "crash-loop", "etcd-member-down"),
        ("etcd_wrong_certificate", 40, "etcd-unavailable", ""),
        ("etcd_member_hangs", 40, "etcd-member-down", ""),
        ("etcd_fragmented", 40, "etcd-fragmented", ""),
        ("etcd_certificate_expired", 40, "etcd-no-leader", "etcd-unavailable"),
        ("etcd_nospace", 40, "etcd-no-space", ""),
        (OVERLOADED, 60, "api-saturated", "api-slow-lists"),
    ],
)
def test_the_one_thing_that_is_wrong_on_the_tape(name: str, second: float, rule: str, consequence: str) -> None:
    _, diagnosis = at(name, second)
    [cause] = grave(diagnosis)
    assert (cause.rule, cause.layer) == (rule, Layer.CONTROL_PLANE)
    assert not consequence or consequence in {item.rule for item in cause.consequences}


@pytest.mark.parametrize("name", sorted(INCIDENTS))
def test_before_the_fault_all_is_well_and_afterwards_again(name: str) -> None:
    for second in (OPENS_AT,) if name in NOT_MENDED else (OPENS_AT, open_scenario(name).header.hold_at):
        assert second is not None
        _, diagnosis = at(name, second)
        assert [cause.rule for cause in grave(diagnosis)] == [], f"at {second} s"


def test_members_that_turn_their_clients_away_say_why() -> None:
    _, diagnosis = at("etcd_wrong_certificate", 40)
    [cause] = grave(diagnosis)
    assert cause.title == "etcd does not answer the API server: no member accepts our certificate either"
    told = [item.text for item in cause.evidence]
    assert [f"cp-{number}: runs, and turns us away: it does not accept our certificate" for number in (1, 2, 3)] == [
        text for text in told if "turns us away" in text
    ]


@pytest.mark.parametrize("name", ["etcd_quorum_lost", "etcd_nospace", "etcd_member_hangs"])
def test_before_the_fault_all_members_are_well(name: str) -> None:
    situation, diagnosis = at(name, 8)
    cluster = etcd_of(situation, situation.source("etcd/members").observed_at or NOW)
    assert (cluster.size, cluster.size_from, len(cluster.answering)) == (3, "member list", 3)
    assert cluster.leader is not None and cluster.frozen is None
    # Recorded on a machine that did other things: commits were slow in the first seconds, which is a warning.
    assert {cause.rule for cause in grave(diagnosis)} <= {"etcd-slow-commit"}
    assert situation.source("control-plane/metrics").state is SourceState.LIVE


async def test_the_command_says_so(tmp_path: Path) -> None:
    tape = open_scenario("etcd_nospace")
    finished = await midwatch(tmp_path, "check", "--dump", str(tape.path), "--at",
                              (tape.header.started_at + timedelta(seconds=40)).isoformat())  # fmt: skip
    assert finished.code == 2
    assert "etcd is out of space (alarm NOSPACE)" in finished.out


def test_no_member_no_word() -> None:
    assert list(RecordedMembers().round(NOW)) == []


def test_what_no_etcd_answers_is_named(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    path.write_text(
        '{"midwatch_tape":1,"name":"a","title":"b","started_at":"2026-11-24T02:41:00Z"}\n'
        '{"t":7,"source":"etcd/cp-1/status","body":{"raftTerm":"soon"}}\n'
    )
    with pytest.raises(TapeError, match="bad frame at 7 s: status of cp-1 on the tape is not what etcd answers"):
        play(path, None, RecordedSources)
