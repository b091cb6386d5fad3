"""etcd that is slow: disk, peers, elections; each over a window and never since the start."""

from collections.abc import Mapping
from typing import Any

import pytest

from diagnosis.engine import diagnose
from diagnosis.rules import etcd_disk, etcd_elections
from playbooks.commands import Target, render
from situation.etcd.members import EtcdAccess
from situation.findings import Mark, Severity
from situation.histograms import Histogram
from situation.readings import Reading, SourceState
from situation.situation import Situation
from tests.build import NOW, meta, node, situation
from tests.diagnosis.objects import causes_of, texts
from tests.etcd_objects import MIB, disk, endpoint, healthy, status, tell, watched

RULES = etcd_disk.RULES + etcd_elections.RULES
CONTROL_PLANE = {"node-role.kubernetes.io/control-plane": ""}


def with_disk(of: str, slow_s: float, *, slow_each_s: float = 10, who: tuple[int, ...] = (2,)) -> Situation:
    """Return a minute of members; on those of `who`, `slow_each_s` observations a second ended in `slow_s`'s bucket."""

    def pages(number: int, ago_s: float) -> Mapping[str, Any]:
        past = 60 - ago_s
        slow = past * slow_each_s if number in who else 0
        return {of: disk(fast=10_000 + 100 * past, slow=slow, slow_s=slow_s)}

    return watched(pages=pages)


@pytest.mark.parametrize(
    ("slow_s", "band", "mixin", "severity"),
    [
        (0.008, None, "", None),
        (0.016, "degraded", "silent", Severity.INFO),
        (0.032, "risk of elections", "silent", Severity.WARNING),
        (0.064, "unstable", "silent", Severity.WARNING),
        (1.024, "unstable", "warns", Severity.WARNING),
        (2.048, "unstable", "critical", Severity.CRITICAL),
    ],
)
def test_both_bands_of_a_slow_fsync(slow_s: float, band: str | None, mixin: str, severity: Severity | None) -> None:
    causes = causes_of(RULES, with_disk("fsync", slow_s))
    assert list(causes) == (["etcd-slow-fsync"] if band else [])
    if band:
        finding = causes["etcd-slow-fsync"]
        assert finding.severity is severity
        assert finding.title.startswith("etcd: etcd-2 is slow to sync to disk: p99 ") and f"({band})" in finding.title
        assert f"unstable: {band}; etcd mixin: warns above 0.5 s, critical above 1 s: {mixin}" in texts(finding)
        fast = [line.text.partition(":")[0] for line in finding.evidence if line.mark is Mark.EXCLUDES]
        assert fast == ["etcd-1", "etcd-3"]


def test_what_was_slow_before_the_window_does_not_count() -> None:
    assert not causes_of(RULES, watched(pages=lambda number, ago_s: {"fsync": disk(fast=10, slow=10_000)}))


def test_two_fsyncs_are_no_p99() -> None:
    known = watched(pages=lambda number, ago_s: {"fsync": disk(slow=2 if ago_s == 0 else 0, slow_s=1.024)})
    assert not causes_of(RULES, known)


def test_where_to_look_for_the_writer() -> None:
    finding = causes_of(RULES, with_disk("fsync", 0.032))["etcd-slow-fsync"]
    first, iostat, iotop, *_ = finding.next
    assert (first.where, render(first, Target("prod"))) == (
        "node cp-2",
        "sh -c 'curl -s http://127.0.0.1:2381/metrics | grep -E "
        '"wal_fsync_duration_seconds_(sum|count)|backend_commit_duration_seconds_(sum|count)"\'',
    )
    assert (iostat.argv[0], iostat.where, iotop.argv[0]) == ("iostat", "node cp-2", "iotop")


def test_metrics_are_read_where_we_read_them() -> None:
    known = with_disk("fsync", 0.032)
    known.apply(Reading("etcd/access", SourceState.LIVE, NOW, EtcdAccess("/pki/ca.crt", "/pki/a.crt", "/pki/a.key")))
    (finding,) = causes_of(RULES, known).values()
    first = finding.next[0]
    assert (first.where, first.argv[2].partition(" | ")[0]) == (
        "here",
        "curl -s --cacert /pki/ca.crt --cert /pki/a.crt --key /pki/a.key https://10.0.0.2:2379/metrics",
    )
    tell(known, 2, status=status(2), page=known.etcd.known[endpoint(2)].page, metrics_url="http://127.0.0.1:2381")
    (finding,) = causes_of(RULES, known).values()
    first = finding.next[0]
    assert (first.where, first.argv[2].partition(" | ")[0]) == ("node cp-2", "curl -s http://127.0.0.1:2381/metrics")


def test_a_slow_commit_folds_under_a_slow_fsync_and_stands_alone_without_one() -> None:
    alone = causes_of(RULES, with_disk("commit", 0.064))["etcd-slow-commit"]
    assert alone.severity is Severity.INFO
    assert causes_of(RULES, with_disk("commit", 0.256))["etcd-slow-commit"].severity is Severity.WARNING
    assert "etcd FAQ: healthy below 25 ms; etcd mixin: warns above 0.25 s: silent" in texts(alone)
    both = watched(
        pages=lambda number, ago_s: {
            "fsync": disk(slow=(60 - ago_s) * 10),
            "commit": disk(slow=(60 - ago_s) * 10, slow_s=0.512),
        }
    )
    (cause,) = causes_of(RULES, both).values()
    assert (cause.rule, [item.rule for item in cause.consequences]) == ("etcd-slow-fsync", ["etcd-slow-commit"])


@pytest.mark.parametrize(
    ("told", "severity"),
    [
        (lambda ago_s: {"db_size_bytes": 900 * MIB if ago_s > 30 else 300 * MIB}, Severity.INFO),
        (lambda ago_s: {"defragmenting": ago_s == 10}, Severity.INFO),
        (lambda ago_s: {"db_size_bytes": 300 * MIB if ago_s > 30 else 900 * MIB}, Severity.WARNING),
    ],
    ids=["it shrank", "it is told", "it grew"],
)
def test_commits_that_wait_for_a_defragmentation_are_a_hint(told: Any, severity: Severity) -> None:
    def pages(number: int, ago_s: float) -> Mapping[str, Any]:
        slow = disk(fast=10_000, slow=(60 - ago_s) * 10 if number == 2 else 0, slow_s=0.512)
        return {"commit": slow, **(told(ago_s) if number == 2 else {})}

    finding = causes_of(RULES, watched(pages=pages))["etcd-slow-commit"]
    assert finding.severity is severity
    assert ("defragmented in these 60s" in texts(finding)) is (severity is Severity.INFO)


def test_a_member_beside_one_that_is_defragmented_counts_in_full() -> None:
    def pages(number: int, ago_s: float) -> Mapping[str, Any]:
        return {"commit": disk(slow=(60 - ago_s) * 10, slow_s=0.512), "defragmenting": number == 2}

    assert causes_of(RULES, watched(pages=pages))["etcd-slow-commit"].severity is Severity.WARNING


def test_a_node_whose_disk_is_in_trouble_is_the_cause() -> None:
    known = with_disk("fsync", 0.064)
    conditions = [
        {"type": "Ready", "status": "True"},
        {"type": "DiskPressure", "status": "True", "lastTransitionTime": "2026-11-23T02:30:00Z"},
    ]
    sick = situation(node("cp-2", labels=CONTROL_PLANE, conditions=conditions), node("cp-1"))
    sick.etcd = known.etcd
    for name, source in known.sources.items():
        sick.sources[name] = source
    (cause,) = [item for item in diagnose(sick, NOW).causes if item.severity is not Severity.INFO]
    assert (cause.rule, [item.rule for item in cause.consequences]) == ("node-disk-pressure", ["etcd-slow-fsync"])
    assert "etcd shares cp-2 with the control plane (stacked)" in texts(cause.consequences[0])


def peers(slow_s: float) -> Situation:
    def pages(number: int, ago_s: float) -> Mapping[str, Any]:
        trips = Histogram.of({0.0002: 0.0, slow_s: (60 - ago_s) * 2, float("inf"): (60 - ago_s) * 2})
        return {"round_trips": {"ab12": trips} if number == 1 else {}}

    return watched(pages=pages)


@pytest.mark.parametrize(("slow_s", "fires"), [(0.005, False), (0.2048, True)])
def test_slow_peers(slow_s: float, fires: bool) -> None:
    causes = causes_of(RULES, peers(slow_s))
    assert list(causes) == (["etcd-slow-peers"] if fires else [])


@pytest.mark.parametrize(
    ("changes", "span_s", "severity"),
    [
        (lambda ago_s: 1.0, 3600, None),
        (lambda ago_s: 9.0 + (ago_s < 1800), 3600, None),
        (lambda ago_s: 9.0 + (ago_s < 1800) + (ago_s < 900), 3600, Severity.WARNING),
        (lambda ago_s: 9.0 + (120 - ago_s) // 20, 120, Severity.CRITICAL),
    ],
)
def test_elections(changes: Any, span_s: int, severity: Severity | None) -> None:
    known = watched(
        pages=lambda number, ago_s: {"leader_changes": float(changes(ago_s))}, span_s=span_s, step_s=span_s // 12
    )
    causes = causes_of(RULES, known)
    assert [cause.severity for cause in causes.values()] == ([severity] if severity else [])
    if severity:
        finding = causes["etcd-elections"]
        assert ("and goes on" in finding.title) is (severity is Severity.CRITICAL)
        assert "the fsync of no member is known" in texts(finding)


@pytest.mark.parametrize(
    ("started", "severity", "is_explained"),
    [
        (lambda number, ago_s: 2.0 if ago_s < 1000 * number else 1.0, Severity.INFO, True),
        (lambda number, ago_s: float((ago_s < 2000) + (ago_s < 1000)), Severity.INFO, True),
        (lambda number, ago_s: 2.0 if number == 1 and ago_s < 1000 else 1.0, Severity.WARNING, False),
        (lambda number, ago_s: ago_s // 600 if number > 1 else 1.0, Severity.WARNING, True),
    ],
    ids=["an update", "all of them, and all of them back", "one of them", "again and again"],
)
def test_as_many_starts_explain_the_changes(started: Any, severity: Severity, is_explained: bool) -> None:
    def changes(ago_s: float) -> int:
        return (ago_s < 1800) + (ago_s < 900)

    known = watched(
        lambda number, ago_s: {"raft_term": 7 + changes(ago_s)},
        lambda number, ago_s: {"started_at": float(started(number, ago_s)), "leader_changes": 9.0 + changes(ago_s)},
        span_s=3600,
        step_s=300,
    )
    (finding,) = causes_of(RULES, known).values()
    assert (finding.rule, finding.severity) == ("etcd-elections", severity)
    assert ("each may change the leader" in texts(finding)) is is_explained
    assert (", as members started anew;" in finding.title) is is_explained


def test_elections_in_a_row_of_members_that_started_anew_do_not_go_on() -> None:
    """All members were started anew twice within two minutes, as for a wrong certificate and its repair."""
    known = watched(
        lambda number, ago_s: {"raft_term": 7 + (ago_s < 90) + 2 * (ago_s < 30)},
        lambda number, ago_s: {"started_at": float((ago_s < 90) + (ago_s < 30))},
        span_s=120,
    )
    (finding,) = causes_of(RULES, known).values()
    assert (finding.rule, finding.severity) == ("etcd-elections", Severity.INFO)
    assert finding.title == "etcd changed its leader 3 times in 2m, as members started anew; term 10"


def test_elections_follow_from_the_slow_disk() -> None:
    known = watched(
        pages=lambda number, ago_s: {"leader_changes": 9 + (60 - ago_s) // 20, "fsync": disk(slow=(60 - ago_s) * 10)}
    )
    (cause,) = causes_of(RULES, known).values()
    assert (cause.rule, [item.rule for item in cause.consequences]) == ("etcd-slow-fsync", ["etcd-elections"])


@pytest.mark.parametrize(
    ("field", "each_s", "severity"),
    [
        ("heartbeat_failures", 0.1, Severity.INFO),
        ("proposals_failed", 6, Severity.WARNING),
        ("slow_reads", 0.1, Severity.INFO),
        ("slow_applies", 1, None),
    ],
)
def test_late_heartbeats_and_lost_proposals(field: str, each_s: float, severity: Severity | None) -> None:
    known = watched(pages=lambda number, ago_s: {field: 500 + (60 - ago_s) * each_s if number == 1 else 0.0})
    causes = causes_of(RULES, known)
    assert [cause.severity for cause in causes.values()] == ([severity] if severity else [])


def test_all_that_is_late_or_lost_stands_in_the_title() -> None:
    def pages(number: int, ago_s: float) -> Mapping[str, Any]:
        count = (60 - ago_s) / 10 if number < 3 else 0.0
        return {"heartbeat_failures": count, "proposals_failed": count, "slow_reads": count if number == 2 else 0.0}

    (finding,) = causes_of(RULES, watched(pages=pages)).values()
    assert finding.title == "etcd: etcd-1, etcd-2 have late heartbeats, lost proposals and slow reads"


def test_messages_that_a_peer_does_not_get_name_the_peer() -> None:
    """The label of a peer comes with the first message to it that fails."""

    def pages(number: int, ago_s: float) -> Mapping[str, Any]:
        return {
            "peer_failures": {"3": (60 - ago_s) * 2} if number == 2 and ago_s < 60 else {},
            "proposals_pending": 4.0,
        }

    (finding,) = causes_of(RULES, watched(pages=pages)).values()
    assert (finding.rule, finding.severity) == ("etcd-strained", Severity.INFO)
    assert finding.title == "etcd: etcd-2 has unsent messages"
    assert "etcd-2: 120 messages to etcd-3 could not be sent in the last minute" in texts(finding)
    assert "etcd-2: in the last minute: 4 proposals pending now" in texts(finding)


def test_of_a_page_that_breaks_off_no_message_is_counted_that_it_does_not_tell() -> None:
    known = watched(pages=lambda number, ago_s: {"is_cut": True, "peer_failures": {"3": 500.0} if ago_s < 30 else {}})
    assert not causes_of(RULES, known)


def test_the_term_is_held_against_the_age_of_the_cluster() -> None:
    known = watched(
        pages=lambda number, ago_s: {"leader_changes": 9.0 + (ago_s < 1800) + (ago_s < 900)}, span_s=3600, step_s=300
    )
    old = situation({"kind": "Namespace", "metadata": meta("kube-system", "", age_s=86_400 * 2)})
    old.etcd = known.etcd
    old.sources.update(known.sources)
    (finding,) = causes_of(RULES, old).values()
    assert "term 7, and kube-system is 2 days old: 3.5 elections a day" in texts(finding)


@pytest.mark.parametrize("known", [Situation(), healthy(), watched()])
def test_silent_where_all_is_well_or_nothing_is_known(known: Situation) -> None:
    assert not causes_of(RULES, known)
