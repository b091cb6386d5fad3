"""All is green and nothing changes: told by leases alone, where nobody can ask etcd."""

from datetime import timedelta

import pytest

from diagnosis.catalogue import ALL
from diagnosis.layers import layer_statuses
from diagnosis.rules import api_health, leaders, writes
from situation.findings import Layer, LayerState, Mark, Severity
from situation.readings import Readiness, Reading, ServerClock, SourceState
from situation.situation import Situation
from tests.build import NOW, Manifest, node, situation
from tests.diagnosis.api_pages import unready
from tests.diagnosis.objects import causes_of, first_command, lease
from tests.etcd_objects import healthy

RULES = writes.RULES + leaders.RULES + api_health.RULES


def leases(*ages_s: float) -> list[Manifest]:
    names = ("kube-scheduler", "kube-controller-manager", "apiserver-abc")
    return [lease(name, age_s=age_s) for name, age_s in zip(names, ages_s, strict=False)]


def answering(*manifests: Manifest, state: SourceState = SourceState.LIVE) -> Situation:
    known = situation(node("cp-1", labels={"node-role.kubernetes.io/control-plane": ""}), *manifests)
    known.apply(Reading("kubernetes/readyz", state, NOW, Readiness(True), fresh_for_s=30))
    return known


def test_an_api_server_that_reads_but_does_not_write() -> None:
    causes = causes_of(RULES, answering(*leases(260, 250, 240)))
    assert list(causes) == ["writes-stopped"]
    finding = causes["writes-stopped"]
    assert finding.title == "no lease has been renewed for 4m: writes may fail while reads go on"
    assert finding.severity is Severity.WARNING
    assert any(line.mark is Mark.OPEN and "our clock is ahead" in line.text for line in finding.evidence)
    assert first_command(finding) == "kubectl get leases -A"


@pytest.mark.parametrize(
    ("known", "rule"),
    [
        (answering(*leases(260, 250, 5)), "scheduler-down"),
        (answering(*leases(100, 90, 80)), ""),
        (answering(*leases(260)), ""),
        (answering(*leases(260, 250, 240), state=SourceState.UNREACHABLE), ""),
        (situation(*leases(260, 250, 240)), ""),
        (answering(*leases(-260, -250, -240)), ""),
        (answering(), ""),
    ],
    ids=["only the leaders", "a little late", "one lease", "it does not answer", "a dump", "our clock is behind",
         "none to be seen"],
)  # fmt: skip
def test_what_does_not_say_that_writes_fail(known: Situation, rule: str) -> None:
    causes = causes_of(RULES, known)
    assert "writes-stopped" not in causes
    assert not rule or rule in causes


def compared(known: Situation, ahead_s: float, ago_s: float = 5.0) -> Situation:
    at = NOW - timedelta(seconds=ago_s)
    known.apply(Reading("midwatch/clock", SourceState.LIVE, at, ServerClock(ahead_s, 0.6), fresh_for_s=90))
    return known


def test_our_own_clock_that_is_ahead_is_taken_into_account() -> None:
    """The leases are old by our clock only."""
    assert causes_of(RULES, compared(answering(*leases(260, 250, 240)), ahead_s=235.0)) == {}
    known = compared(answering(*leases(560, 550, 540)), ahead_s=240.0)
    finding = causes_of(RULES, known)["writes-stopped"]
    assert finding.title == "no lease has been renewed for 5m: writes may fail while reads go on"
    assert finding.as_of is None, "it is known now"
    (line,) = [line for line in finding.evidence if line.source == "midwatch/clock"]
    assert line.mark is Mark.EXCLUDES and line.text.startswith("our clock is 4m ahead of the API server's")


def test_a_clock_that_is_behind_hides_nothing() -> None:
    assert "writes-stopped" in causes_of(RULES, compared(answering(*leases(60, 50, 40)), ahead_s=-200.0))


def test_an_old_comparison_is_not_believed() -> None:
    finding = causes_of(RULES, compared(answering(*leases(260, 250, 240)), ahead_s=235.0, ago_s=200))["writes-stopped"]
    assert any(line.mark is Mark.OPEN and "our clock is ahead" in line.text for line in finding.evidence)


@pytest.mark.parametrize(
    ("known", "why"),
    [
        (answering(*leases(260, 250, 240)), "as of 02:37:07 UTC: no lease is renewed"),
        (
            unready(answering(*leases(60, 50, 40)), "etcd"),
            "as of 02:40:27 UTC: etcd takes no writes (the API server does not reach it)",
        ),
        (unready(answering(), "etcd-readiness"), "as of 02:41:06 UTC: etcd takes no writes"),
        (
            unready(healthy(known=answering(*leases(60, 50, 40))), "etcd"),
            "as of 02:40:27 UTC: etcd takes no writes (the API server does not reach it)",
        ),
        (answering(*leases(60, 50, 40)), ""),
        (compared(answering(*leases(260, 250, 240)), ahead_s=235.0), ""),
        (healthy(known=answering(*leases(260, 250, 240))), ""),
    ],
    ids=[
        "still",
        "readyz",
        "no lease",
        "only for the API server",
        "all is well",
        "our clock",
        "etcd's members say that it works",
    ],
)
def test_where_etcd_is_not_read_other_layers_are_not_called_fine(known: Situation, why: str) -> None:
    for layer in layer_statuses(ALL, (), known, NOW):
        if layer.layer is not Layer.CONTROL_PLANE:
            frozen = [text for text in (layer.reason or "").split("; ") if text.startswith("as of ")]
            assert [text.startswith(why) for text in frozen] == ([True] if why else []), layer
            assert not why or layer.status is LayerState.UNKNOWN


def test_it_follows_from_an_etcd_that_is_gone() -> None:
    causes = causes_of(RULES, unready(answering(*leases(260, 250, 240)), "etcd"))
    assert [item.rule for item in causes["etcd-unavailable"].consequences] == ["writes-stopped"]
