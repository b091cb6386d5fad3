"""Whose fault is it, the API server's or etcd's? And etcd as the API server sees it, when nobody can ask etcd."""

from datetime import timedelta

import pytest

from diagnosis.rules import api_health
from situation.api_server import ApiServerPage
from situation.etcd.members import EtcdMember, EtcdReading, MemberPage
from situation.findings import Finding, Mark, Severity
from situation.readings import Reading, SourceState
from situation.situation import Situation
from tests.build import NOW, node, pod, situation
from tests.diagnosis.api_pages import alive, grown, scraped, took, unready
from tests.diagnosis.objects import causes_of

RULES = api_health.RULES
OLD = took(0.004, 90_000)
GIB = 1024**3


def texts(finding: Finding, mark: Mark) -> list[str]:
    return [line.text for line in finding.evidence if line.mark is mark]


def test_an_api_server_that_lives_without_etcd_is_not_to_blame() -> None:
    finding = causes_of(RULES, alive(unready(situation(), "etcd")))["etcd-unavailable"]
    assert "/livez without etcd passes: the API server itself is well" in texts(finding, Mark.EXCLUDES)
    unknown = causes_of(RULES, unready(situation(), "etcd"))["etcd-unavailable"]
    assert any("is not known now" in text for text in texts(unknown, Mark.OPEN))


@pytest.mark.parametrize(
    ("known", "title", "severity"),
    [
        (alive(situation(), "ping"), "API server is not alive: ping", Severity.CRITICAL),
        (alive(unready(situation(), "informer-sync"), "ping"), "API server is not ready: informer-sync",
         Severity.CRITICAL),
        (alive(situation(), "poststarthook/rbac/bootstrap-roles"),
         "API server is still starting: poststarthook/rbac/bootstrap-roles", Severity.WARNING),
    ],
    ids=["only livez", "both", "starting"],
)  # fmt: skip
def test_an_api_server_that_is_ill_itself(known: Situation, title: str, severity: Severity) -> None:
    causes = causes_of(RULES, known)
    assert [(item.title, item.severity) for item in causes.values()] == [(title, severity)]
    finding = causes["api-not-ready"]
    assert any("fails without etcd too" in text for text in texts(finding, Mark.SUPPORTS))


def test_when_both_fail_the_api_server_follows_from_etcd() -> None:
    causes = causes_of(RULES, alive(unready(situation(), "etcd"), "poststarthook/crd-informer-synced"))
    assert [item.rule for item in causes["etcd-unavailable"].consequences] == ["api-not-ready"]


def test_a_livez_that_passes_or_is_old_accuses_nobody() -> None:
    assert not causes_of(RULES, alive(situation()))
    assert not causes_of(RULES, alive(situation(), "ping"), NOW + timedelta(minutes=2))


def second_hand(seconds: float, storage: float = 0.5, operation: str = "update") -> tuple[ApiServerPage, ApiServerPage]:
    return grown(
        {"etcd_durations": {operation: OLD}},
        {"etcd_durations": {operation: took(seconds, 200, OLD)}},
        storage_bytes=int(storage * GIB),
    )


def asked(known: Situation) -> Situation:
    """Let a member of etcd answer Midwatch itself."""
    member = EtcdMember("https://10.0.0.1:2379", page=MemberPage(has_leader=True))
    known.apply(Reading("etcd/https://10.0.0.1:2379", SourceState.LIVE, NOW, EtcdReading(member, NOW)))
    return known


@pytest.mark.parametrize(
    ("known", "rule"),
    [
        (scraped(situation(), *second_hand(0.4)), "etcd-slow-second-hand"),
        (scraped(situation(), *second_hand(0.04)), ""),
        (scraped(situation(), *second_hand(0.4, operation="list")), ""),
        (scraped(situation(), second_hand(0.4)[1]), ""),
        (scraped(asked(situation()), *second_hand(0.4, 1.9)), ""),
        (scraped(situation(), *second_hand(0.004, 1.9)), "etcd-large-second-hand"),
        (scraped(situation(), *second_hand(0.004, 3.4)), ""),
        (scraped(situation(node("worker")), *second_hand(0.004, 1.9)), ""),
    ],
    ids=["slow", "fast", "long lists", "one scrape", "etcd itself is read", "near the default quota", "quota raised",
         "a managed control plane"],
)  # fmt: skip
def test_etcd_as_the_api_server_sees_it(known: Situation, rule: str) -> None:
    assert list(causes_of(RULES, known)) == ([rule] if rule else [])


def test_what_is_second_hand_is_labelled_so() -> None:
    known = unready(scraped(situation(), *second_hand(0.4, 1.2)), "etcd")
    causes = causes_of(RULES, known)
    finding = causes["etcd-unavailable"]
    assert [item.rule for item in finding.consequences] == ["etcd-slow-second-hand"]
    told = [line.text for line in finding.evidence if line.source == "control-plane/metrics"]
    assert len(told) == 2
    assert all(text.startswith("as the API server sees it: ") for text in told)
    assert "etcd's database has 1.2 GiB" in told[1]


@pytest.mark.parametrize(
    ("version", "folder"),
    [
        ("v1.33.1", "/etc/kubernetes/pki/etcd"),
        ("v1.33.1+rke2r1", "/var/lib/rancher/rke2/server/tls/etcd"),
        ("v1.33.1+k3s1", "/var/lib/rancher/k3s/server/tls/etcd"),
    ],
)
def test_etcdctl_is_given_the_files_of_the_distribution(version: str, folder: str) -> None:
    plane = node(
        "cp-1", labels={"node-role.kubernetes.io/control-plane": ""}, status={"nodeInfo": {"kubeletVersion": version}}
    )
    known = causes_of(RULES, unready(situation(plane), "etcd"))["etcd-unavailable"]
    (look, *_) = (command for command in known.next if command.argv[0] == "etcdctl")
    assert {part.rpartition("/")[0] for part in look.argv if part.startswith("/")} == {folder}


def test_etcdctl_is_offered_with_endpoint_and_certificates_where_etcd_is_ours() -> None:
    place = pod("etcd-cp-1", namespace="kube-system", node="cp-1", labels={"component": "etcd"})
    known = causes_of(RULES, unready(situation(place), "etcd"))["etcd-unavailable"]
    looks = [command for command in known.next if command.argv[0] == "etcdctl"]
    assert looks
    assert {command.where for command in looks} == {"node cp-1"}
    assert all({"--endpoints", "--cacert", "--cert", "--key"} <= set(command.argv) for command in looks)
    managed = causes_of(RULES, unready(situation(), "etcd"))["etcd-unavailable"]
    assert not any("etcdctl" in command.argv for command in managed.next), "nobody can log in there"
