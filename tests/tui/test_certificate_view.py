"""Certificates in the pane of the control plane: most urgent first, and no unread one called fine."""

from datetime import timedelta

from situation.certificates import Certificate
from situation.readings import Reading, SourceState
from situation.situation import Situation
from tests.build import NOW
from tests.control_plane import certificate, tell_certificates
from tui.certificate_view import certificate_facts


def said(situation: Situation) -> list[str]:
    return [f"{fact.glyph} {fact.text}" for fact in certificate_facts(situation, NOW)]


def test_all_end_late() -> None:
    situation = Situation()
    tell_certificates(situation, certificate("ca", 3000), certificate("apiserver", 211.5))
    assert said(situation) == ["✓ 2 read, first to end: apiserver in 211 d"]


def test_the_most_urgent_comes_first_and_each_says_how_urgent() -> None:
    situation = Situation()
    tell_certificates(
        situation,
        certificate("admin.conf", 12),
        certificate("etcd-server", -3, place="https://10.0.0.1:2379", is_served=True),
        certificate("apiserver", 6.9, node="cp-1"),
        certificate("kubelet-client", None, place="/x.pem", error="/x.pem: permission denied; root is needed"),
        certificate("ca", 3000),
    )
    expired, soon, later, unread, rest = said(situation)
    assert expired.startswith("▲ etcd-server at 10.0.0.1:2379 EXPIRED 3d ago, at ")
    assert soon.startswith("▲ apiserver on cp-1: 6 d left, until ")
    assert later.startswith("● admin.conf: 12 d left")
    assert unread == "? kubelet-client: /x.pem: permission denied; root is needed"
    assert rest == "✓ 1 other, first to end: ca in 3000 d"


def test_many_are_counted_not_dropped() -> None:
    situation = Situation()
    tell_certificates(situation, *(certificate(f"c{number}", number) for number in range(1, 10)))
    assert said(situation)[-1] == "▲ and 5 more that end soon or cannot be read"


def test_none_read_is_not_known() -> None:
    situation = Situation()
    assert said(situation) == ["? not known: none was read yet (files are read on a control plane node, as root)"]
    situation.apply(Reading("control-plane/certificates", SourceState.UNREACHABLE, NOW, error="10.0.0.1: refused"))
    (line,) = said(situation)
    assert line.startswith("? not known: 10.0.0.1: refused (")


def test_one_way_that_failed_is_told_beside_what_the_other_brought() -> None:
    situation = Situation()
    tell_certificates(situation, certificate("ca", 3000))
    situation.apply(Reading("control-plane/certificates", SourceState.UNREACHABLE, NOW, error="10.0.0.1: refused"))
    assert said(situation)[-1] == "? 10.0.0.1: refused"


def test_the_pane_judges_as_the_rules_do() -> None:
    """A certificate of 90 days that a machine renews is fine at 29; one from the future is told."""
    born, begins = NOW - timedelta(days=61), NOW + timedelta(hours=2)
    renewed = Certificate("apiserver", "https://10.0.0.1:6443", NOW + timedelta(days=29), born, is_served=True)
    early = Certificate("etcd-server", "https://10.0.0.1:2379", NOW + timedelta(days=365), begins, is_served=True)
    situation = Situation()
    tell_certificates(situation, renewed)
    assert said(situation) == ["✓ 1 read, first to end: apiserver in 29 d"]
    tell_certificates(situation, renewed, early, certificate("admin.conf", -1))
    expired, future, rest = said(situation)
    assert expired.startswith("● admin.conf EXPIRED 24h ago")
    assert future == f"▲ etcd-server at 10.0.0.1:2379 NOT VALID before {begins:%Y-%m-%d %H:%M} UTC"
    assert rest.startswith("✓ 1 other")
