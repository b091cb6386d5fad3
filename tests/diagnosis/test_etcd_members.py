"""Single members of etcd that lag, learn or are unwell; versions; an even number."""

from typing import Any

import pytest

from diagnosis.rules import etcd_clusters, etcd_members
from situation.etcd.members import MemberHealth
from situation.findings import Severity
from situation.situation import Situation
from tests.diagnosis.objects import causes_of, texts
from tests.etcd_objects import healthy, list_members, page, status, tell, watched


@pytest.mark.parametrize(
    ("told", "title"),
    [
        ({"status": status(3, applied_index=98_000)}, ""),
        ({"status": status(3, applied_index=90_000, raft_index=90_000)}, "is 10000 entries behind"),
        ({"status": status(3, applied_index=80_000)}, "is 20000 entries behind"),
        ({"status": status(3), "page": page(applying_snapshot=True)}, "loads a snapshot"),
        ({"status": status(3, is_learner=True, applied_index=0), "page": page(applying_snapshot=True)}, ""),
    ],
)
def test_a_member_far_behind(told: dict[str, Any], title: str) -> None:
    known = healthy(1, 2)
    tell(known, 3, **told)
    causes = causes_of(etcd_members.RULES, known)
    assert list(causes) == (["etcd-member-behind"] if title else [])
    if title:
        assert causes["etcd-member-behind"].title == f"etcd: etcd-3 {title}"


@pytest.mark.parametrize(("span_s", "fires"), [(300, False), (900, True)])
def test_a_learner_that_stays(span_s: int, fires: bool) -> None:
    known = watched(lambda number, ago_s: {"is_learner": number == 3}, span_s=span_s, step_s=60)
    causes = causes_of(etcd_members.RULES, known)
    assert list(causes) == (["etcd-learner"] if fires else [])
    if fires:
        assert causes["etcd-learner"].title == "etcd: etcd-3 has been a learner for 15m or longer: no vote"
        assert "2 of 2 members answer, quorum 2, can lose 0 more" in texts(causes["etcd-learner"])


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"health": MemberHealth(True)}, ""),
        ({"health": MemberHealth(False, "ALARM NOSPACE")}, ""),
        ({"health": MemberHealth(False, "RAFT NO LEADER")}, ""),
        (
            {"health": MemberHealth(False, "QGET ERROR:context deadline exceeded")},
            "QGET ERROR:context deadline exceeded",
        ),
        ({"health": MemberHealth(True, "", ("linearizable_read",))}, "linearizable_read"),
        ({"health_error": "timed out after 2 s", "page": page()}, "timed out after 2 s"),
        ({"health_error": "connection refused", "page_error": "connection refused"}, ""),
        ({"health_error": "tls: bad certificate", "page": page()}, ""),
    ],
)
def test_a_member_that_tells_its_status_but_is_not_well(told: dict[str, Any], why: str) -> None:
    known = healthy(1, 2)
    tell(known, 3, status=status(3), **told)
    causes = causes_of(etcd_members.RULES, known)
    assert list(causes) == (["etcd-unhealthy"] if why else [])
    if why:
        assert causes["etcd-unhealthy"].title == f"etcd: etcd-3 fails its health check: {why}"


@pytest.mark.parametrize(
    ("version", "severity", "words"),
    [
        ("3.5.1", Severity.WARNING, "can lose entries on one member"),
        ("3.5.4", Severity.INFO, "a crash during defragmentation"),
        ("3.5.22", Severity.INFO, "a snapshot applied during a defragmentation"),
        ("3.4.37", Severity.INFO, "a snapshot applied during a defragmentation"),
        ("3.6.4", Severity.INFO, "a snapshot applied during a defragmentation"),
        ("3.5.23", None, ""),
        ("3.4.38", None, ""),
        ("3.6.5", None, ""),
        ("nightly", None, ""),
    ],
)
def test_versions_that_etcd_warns_of(version: str, severity: Severity | None, words: str) -> None:
    causes = causes_of(etcd_members.RULES, healthy(statuses={"version": version}))
    assert [cause.severity for cause in causes.values()] == ([severity] if severity else [])
    if severity:
        assert words in texts(causes["etcd-known-bad-version"])
        assert "as 2 more do" in texts(causes["etcd-known-bad-version"])


@pytest.mark.parametrize(
    ("other", "found"),
    [
        ("3.5.26", {}),
        ("3.5.27", {"etcd-versions-differ": Severity.INFO}),
        ("3.6.12", {"etcd-versions-differ": Severity.INFO}),
        ("3.7.1", {"etcd-versions-differ": Severity.WARNING}),
    ],
)
def test_members_of_different_versions(other: str, found: dict[str, Severity]) -> None:
    known = healthy(1, 2)
    healthy(3, known=known, statuses={"version": other})
    assert {rule: cause.severity for rule, cause in causes_of(etcd_members.RULES, known).items()} == found


def test_what_a_cluster_of_different_versions_works_as() -> None:
    known = healthy(1, 2, pages={"cluster_version": "3.5"})
    healthy(3, known=known, statuses={"version": "3.6.12"}, pages={"cluster_version": "3.5"})
    assert "they work as 3.5 (etcd_cluster_version)" in texts(
        causes_of(etcd_members.RULES, known)["etcd-versions-differ"]
    )


def test_a_member_that_refuses_its_status_is_behind_by_its_page() -> None:
    known = healthy(1, 2)
    told = page(proposals_committed=100_000.0, proposals_applied=80_000.0)
    tell(known, 3, status_error="permission denied", health=MemberHealth(True), page=told)
    finding = causes_of(etcd_members.RULES, known)["etcd-member-behind"]
    assert finding.title == "etcd: etcd-3 is 20000 entries behind"


def test_members_of_two_clusters_asked_as_one() -> None:
    known = healthy(1, 2)
    assert not causes_of(etcd_clusters.RULES, known)
    healthy(3, known=known, statuses={"cluster_id": 0xE7E7, "leader": 3})
    (finding,) = causes_of(etcd_clusters.RULES, known).values()
    assert finding.title == "etcd: members of 2 clusters are asked as one: etcd-1, etcd-2 / etcd-3"
    assert "etcd-3: is of cluster e7e7" in texts(finding)
    silent = healthy(1)
    tell(silent, 3, status_error="permission denied", page=page())
    assert not causes_of(etcd_clusters.RULES, silent), "what does not tell its cluster may be of this one"


def test_an_update_to_3_6_from_too_early_a_version() -> None:
    known = healthy(1, 2, statuses={"version": "3.5.24"})
    healthy(3, known=known, statuses={"version": "3.6.12"})
    causes = causes_of(etcd_members.RULES, known)
    assert causes["etcd-known-bad-version"].severity is Severity.WARNING
    assert "go to 3.5.26 before 3.6" in texts(causes["etcd-known-bad-version"])


@pytest.mark.parametrize(
    ("size", "listed", "fires"), [(4, True, True), (2, True, True), (3, True, False), (4, False, False)]
)
def test_an_even_number_of_members(size: int, listed: bool, fires: bool) -> None:
    known = healthy(*range(1, size + 1))
    if listed:
        list_members(known, size)
    causes = causes_of(etcd_members.RULES, known)
    assert list(causes) == (["etcd-even-members"] if fires else [])
    if fires:
        assert causes["etcd-even-members"].severity is Severity.INFO


@pytest.mark.parametrize("known", [Situation(), healthy(), healthy(ago_s=120, statuses={"version": "3.5.1"})])
def test_silent_where_all_is_well_nothing_is_known_or_the_word_is_old(known: Situation) -> None:
    assert not causes_of(etcd_members.RULES, known)
