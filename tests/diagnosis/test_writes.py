"""All is green and nothing changes: told by leases alone, where nobody can ask etcd."""

import pytest

from diagnosis.rules import api_health, leaders, writes
from situation.findings import Mark, Severity
from situation.readings import Readiness, Reading, SourceState
from situation.situation import Situation
from tests.build import NOW, Manifest, node, situation
from tests.diagnosis.api_pages import unready
from tests.diagnosis.objects import causes_of, first_command, lease

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


def test_it_follows_from_an_etcd_that_is_gone() -> None:
    causes = causes_of(RULES, unready(answering(*leases(260, 250, 240)), "etcd"))
    assert [item.rule for item in causes["etcd-unavailable"].consequences] == ["writes-stopped"]
