"""Certificates: bands, what is in use against what lies in files, clocks, and what nobody can renew."""

from datetime import timedelta
from typing import Final

import pytest

from diagnosis.rules import api_server, certificates, control_plane
from situation.certificates import Certificate
from situation.findings import Effect, Finding, Mark, Severity
from situation.kinds import WATCHED
from situation.readings import Reading, SourceState
from situation.situation import Situation
from tests.build import NOW, Manifest, node, pod, situation
from tests.diagnosis.api_pages import certified
from tests.diagnosis.objects import causes_of, lease, ready_condition

RULES: Final = certificates.RULES
CONTROL: Final = {"node-role.kubernetes.io/control-plane": ""}
NODES: Final = (node("cp-1", labels=CONTROL), node("cp-2", labels=CONTROL), node("worker"))
SERVERS: Final = tuple(
    pod(f"kube-apiserver-cp-{number}", namespace="kube-system", owner=f"Node/cp-{number}", node=f"cp-{number}",
        labels={"component": "kube-apiserver"}, status={"podIP": f"10.0.0.{number}"})
    for number in (1, 2)
)  # fmt: skip
PKI: Final = "/etc/kubernetes/pki"


def certificate(
    name: str, left_days: float, *, life_days: float = 365, served: bool = False, where: str = "cp-1",
    authority: bool = False, place: str = "",
) -> Certificate:  # fmt: skip
    ends = NOW + timedelta(days=left_days)
    return Certificate(
        name, place or ("https://10.0.0.1:6443" if served else f"{PKI}/{name}.crt"), ends,
        ends - timedelta(days=life_days), authority, served, node=where,
    )  # fmt: skip


def found(*items: Certificate, manifests: tuple[Manifest, ...] = NODES) -> dict[str, Finding]:
    return causes_of(RULES, certified(situation(*manifests), *items))


@pytest.mark.parametrize(
    ("item", "rule", "severity"),
    [
        (certificate("apiserver", 29), "certificate-expires", Severity.WARNING),
        (certificate("apiserver", 6), "certificate-expires", Severity.CRITICAL),
        (certificate("apiserver", -2), "certificate-expired", Severity.CRITICAL),
        (certificate("apiserver", 400), "certificate-expired", Severity.CRITICAL),
        (certificate("admin.conf", 6), "certificate-expires", Severity.WARNING),
        (certificate("admin.conf", -2), "certificate-expired", Severity.WARNING),
        (certificate("ca", 20, life_days=3650, authority=True), "certificate-authority-expires", Severity.WARNING),
        (certificate("etcd-ca", -1, life_days=3650, authority=True), "certificate-expired", Severity.CRITICAL),
        (certificate("kubelet-client", 20), "certificate-expires", Severity.WARNING),
        (certificate("etcd-server", 0.05, life_days=1), "certificate-expires", Severity.WARNING),
        (certificate("etcd-server", 0.02, life_days=1), "certificate-expires", Severity.CRITICAL),
    ],
    ids=["soon", "urgent", "expired", "not yet valid", "for people", "expired for people", "CA", "expired CA",
         "does not rotate", "short-lived, late", "short-lived, nearly over"],
)  # fmt: skip
def test_how_near_the_end_is(item: Certificate, rule: str, severity: Severity) -> None:
    causes = found(item)
    assert list(causes) == [rule]
    assert causes[rule].severity is severity


@pytest.mark.parametrize(
    "item",
    [
        certificate("apiserver", 31),
        certificate("etcd-server", 0.5, life_days=1),
        certificate("kubelet-client", 40, life_days=365),
        certificate("ca", 31, life_days=3650, authority=True),
        Certificate("apiserver", f"{PKI}/apiserver.crt", error="permission denied"),
    ],
    ids=["fine", "short-lived", "rotates later", "CA", "unreadable"],
)
def test_what_is_no_fault(item: Certificate) -> None:
    assert not found(item)


def test_all_that_was_made_in_one_minute_is_one_finding_with_what_to_do() -> None:
    finding = found(
        certificate("apiserver", 12), certificate("etcd-server", 12), certificate("scheduler.conf", 12),
        certificate("apiserver", 12, served=True),
        Certificate("etcd-peer", f"{PKI}/etcd/peer.crt", error="permission denied"),
    )["certificate-expires"]  # fmt: skip
    assert finding.title == "certificates apiserver, etcd-server and 1 more: 12d left"
    texts = [line.text for line in finding.evidence]
    assert any("kubernetes mixin: 7 days and 1 day" in text for text in texts)
    assert any("EXTERNALLY MANAGED" in text for text in texts)
    assert any(text.startswith("cannot be told: etcd-peer") and "permission denied" in text for text in texts)
    assert sum("apiserver: 12d left" in text for text in texts) == 1, "the file of what is in use is the same"
    check, renew, *restarts = finding.next
    assert (check.argv, check.where, check.effect) == (
        ("kubeadm", "certs", "check-expiration"), "node cp-1", Effect.READ)  # fmt: skip
    assert (renew.argv, renew.effect) == (("kubeadm", "certs", "renew", "all"), Effect.MUTATING)
    assert [command.effect for command in restarts] == [Effect.DISRUPTIVE] * 3
    assert [command.argv[2].partition(".yaml")[0].rpartition("/")[2] for command in restarts] == [
        "kube-apiserver", "kube-scheduler", "etcd"]  # fmt: skip


def test_without_a_known_node_every_control_plane_node_is_renewed() -> None:
    server = pod("kube-apiserver-cp-1", namespace="kube-system", node="cp-1", labels={"component": "kube-apiserver"})
    served = certificate("apiserver", 12, served=True, where="")
    finding = found(served, manifests=(*NODES, server))["certificate-expires"]
    renew = [command.where for command in finding.next if command.effect is Effect.MUTATING]
    assert renew == ["node cp-1", "node cp-2"]
    unlike = found(served, manifests=NODES)["certificate-expires"]  # OpenShift: nobody sees that kubeadm was there
    assert all(command.effect is Effect.READ for command in unlike.next)


def test_of_a_managed_control_plane_only_the_handshake_is_asked() -> None:
    finding = found(certificate("apiserver", 12, served=True, where=""), manifests=())["certificate-expires"]
    assert [command.argv for command in finding.next] == [("curl", "-kvI", "https://10.0.0.1:6443")]


@pytest.mark.parametrize(
    ("where", "place", "fires"),
    [
        ("cp-1", "https://10.0.0.1:6443", True),
        ("cp-2", "https://10.0.0.2:6443", False),
        ("", "https://lb.example.com:6443", False),
        ("", "https://127.0.0.1:6443", True),
        ("", "https://10.0.0.1:6443", True),
        ("", "https://10.0.0.2:6443", False),
    ],
    ids=["same node", "another node", "a load balancer", "this host", "address of its pod", "address of another"],
)
def test_a_renewed_file_that_was_not_loaded(where: str, place: str, fires: bool) -> None:
    old = certificate("apiserver", 3, served=True, where=where, place=place)
    causes = found(old, certificate("apiserver", 364), manifests=(*NODES, *SERVERS))
    assert list(causes) == (["certificate-not-reloaded"] if fires else ["certificate-expires"])
    if fires:
        finding = causes["certificate-not-reloaded"]
        assert finding.title == "renewed certificate apiserver: the process still holds the old one, 3d left"
        assert finding.severity is Severity.CRITICAL
        assert [command.effect for command in finding.next] == [Effect.READ, Effect.DISRUPTIVE]


def test_the_only_control_plane_node_is_meant_by_any_address() -> None:
    old = certificate("apiserver", 3, served=True, where="", place="https://api.example.com:6443")
    assert list(found(old, certificate("apiserver", 364), manifests=(NODES[0], SERVERS[0]))) == [
        "certificate-not-reloaded"]  # fmt: skip


def test_a_process_that_loaded_the_new_file_is_fine() -> None:
    assert not found(certificate("apiserver", 364, served=True), certificate("apiserver", 364))


@pytest.mark.parametrize(
    ("age_s", "mark", "words"),
    [
        (5, Mark.EXCLUDES, "our clock and the cluster's agree"),
        (86400, Mark.OPEN, "our clock may be 24h ahead of"),
        (-7200, Mark.OPEN, "our clock may be 120m behind"),
    ],
)
def test_a_wrong_clock_is_named_as_look_alike(age_s: float, mark: Mark, words: str) -> None:
    manifests = (*NODES, lease("apiserver-abc", age_s=age_s))
    finding = found(certificate("apiserver", -0.5), manifests=manifests)["certificate-expired"]
    assert any(line.mark is mark and line.text.startswith(words) for line in finding.evidence)


def silent(known: Situation) -> Situation:
    for kind in WATCHED:
        error = "https://10.0.0.1:6443: x509: certificate has expired or is not yet valid"
        known.apply(Reading(kind.source, SourceState.UNREACHABLE, NOW, error=error))
    return known


def test_what_follows_from_an_expired_certificate_folds_under_it() -> None:
    gone = ready_condition("Unknown", message="Kubelet stopped posting node status.", age_s=300)
    known = situation(node("cp-1", labels=CONTROL, conditions=gone), node("worker", conditions=gone))
    known = silent(certified(known, certificate("apiserver", -0.1)))
    causes = causes_of((*RULES, *api_server.RULES, *control_plane.RULES), known)
    assert list(causes) == ["certificate-expired"]
    assert {item.rule for item in causes["certificate-expired"].consequences} == {
        "api-certificate", "nodes-down-together"}  # fmt: skip


def test_nothing_broken_follows_from_a_certificate_that_will_expire() -> None:
    known = silent(certified(situation(*NODES), certificate("apiserver", 12)))
    causes = causes_of((*RULES, *api_server.RULES), known)
    assert set(causes) == {"certificate-expires", "api-certificate"}
