"""etcd's database: full, filling up, fragmented, and the safe way to make room."""

import shlex
from typing import Any

import pytest

from diagnosis.engine import diagnose
from diagnosis.rules import etcd_database
from playbooks.commands import Target, render
from situation.etcd.members import Alarm, EtcdAccess, EtcdAlarms, MemberHealth
from situation.findings import Command, Effect, Finding, Mark, Severity
from situation.readings import Reading, SourceState
from situation.situation import Situation
from tests.build import NOW, pod, situation
from tests.diagnosis.objects import causes_of, lease, texts
from tests.etcd_objects import GIB, MIB, NO_SPACE, healthy, page, silence, status, tell, watched

FULL = {"db_size_bytes": 2 * GIB + MIB, "db_in_use_bytes": 1800 * MIB}
ACCESS = EtcdAccess("/etc/kubernetes/pki/etcd/ca.crt", "/root/my certs/client.crt", "/root/client.key", "cp-1")
CONTROL_PLANE = {"node-role.kubernetes.io/control-plane": ""}


def full(*objects: dict[str, Any]) -> Situation:
    """Return three members of which the first raised NOSPACE, and the last lease was renewed 90 s ago."""
    known = situation(lease("kube-scheduler", age_s=90), *objects)
    for number in (1, 2, 3):
        tell(
            known,
            number,
            status=status(number, errors=NO_SPACE, **FULL),
            page=page(),
            health=MemberHealth(False, "ALARM NOSPACE"),
        )
    known.apply(Reading("etcd/access", SourceState.LIVE, NOW, ACCESS))
    return known


def no_space(known: Situation) -> Finding:
    return causes_of(etcd_database.RULES, known)["etcd-no-space"]


def changing(finding: Finding) -> list[Command]:
    return [command for command in finding.next if command.effect is not Effect.READ]


def test_out_of_space_says_that_what_is_shown_is_history() -> None:
    finding = no_space(full())
    assert finding.severity is Severity.CRITICAL
    assert finding.title == "etcd is out of space (alarm NOSPACE): nothing is written since 02:39:37"
    assert "raised by etcd-1" in texts(finding)
    assert "etcd-2: file 2.0 GiB, in use 1.8 GiB, quota 2.0 GiB (metrics)" in texts(finding)
    assert "reads and deletes still work, leases and node status are frozen history as of 02:39:37" in texts(finding)
    excluded = [line.text for line in finding.evidence if line.mark is Mark.EXCLUDES]
    assert excluded == ["the members still see a leader (term 7): this is not a lost quorum"]


def test_the_safe_order_followers_first_leader_last_disarm_at_the_end() -> None:
    steps = [command for command in no_space(full()).next if command.purpose[:1].isdigit()]
    assert [command.purpose.partition(":")[0] for command in steps] == [f"{number} of 9" for number in range(1, 10)]
    lines = [render(command, Target("prod")) for command in steps]
    calls = [line.partition("client.key ")[2] for line in lines]
    assert calls == [
        "snapshot save etcd-90000.db",
        "--command-timeout 300s compact 90000",
        "--command-timeout 300s defrag",
        "endpoint status -w table",
        "--command-timeout 300s defrag",
        "endpoint status -w table",
        "--command-timeout 300s defrag",
        "endpoint status -w table",
        "alarm disarm",
    ]
    asked = [shlex.split(line)[2] for line, call in zip(lines, calls, strict=True) if call.endswith("defrag")]
    assert asked == ["https://10.0.0.2:2379", "https://10.0.0.3:2379", "https://10.0.0.1:2379"]  # the leader is last
    effects = [command.effect for command in steps]
    read, mutating, disruptive = Effect.READ, Effect.MUTATING, Effect.DISRUPTIVE
    assert effects == [read, mutating, *[disruptive, read] * 3, mutating]
    assert {command.where for command in steps} == {"node cp-1"}
    assert "'/root/my certs/client.crt'" in lines[0]


def member_down(known: Situation) -> None:
    silence(known, 3)


def member_behind(known: Situation) -> None:
    tell(known, 3, status=status(3, errors=NO_SPACE, applied_index=90_000), page=page())


def other_alarm(known: Situation) -> None:
    known.apply(Reading("etcd/alarms", SourceState.LIVE, NOW, EtcdAlarms((Alarm(2, "CORRUPT"),))))


def snapshot_coming(known: Situation) -> None:
    tell(known, 2, status=status(2, errors=NO_SPACE), page=page(applying_snapshot=True))


@pytest.mark.parametrize(
    ("breaks", "reason"),
    [
        (member_down, "etcd-3 does not answer"),
        (member_behind, "etcd-3 is behind"),
        (other_alarm, "the alarm CORRUPT is up"),
        (snapshot_coming, "etcd-2 applies a snapshot"),
    ],
)
def test_no_defragmentation_while_a_member_is_not_well(breaks: Any, reason: str) -> None:
    known = full()
    breaks(known)
    finding = no_space(known)
    assert not changing(finding)
    assert f"compaction and defragmentation are not offered now: {reason}" in texts(finding)


def test_without_access_kubeadm_s_own_paths_are_taken() -> None:
    known = situation(pod("etcd-cp-1", namespace="kube-system", node="cp-1", labels={"component": "etcd"}))
    tell(known, 1, health=MemberHealth(False, "ALARM NOSPACE"))
    first, inside, *_ = no_space(known).next
    line = render(first, Target("prod"))
    assert (first.where, line.partition(" endpoint ")[0]) == (
        "node cp-1",
        "etcdctl --endpoints https://10.0.0.1:2379 --cacert /etc/kubernetes/pki/etcd/ca.crt "
        "--cert /etc/kubernetes/pki/etcd/healthcheck-client.crt --key /etc/kubernetes/pki/etcd/healthcheck-client.key",
    )
    assert render(inside, Target("prod")).startswith(
        "kubectl --context prod -n kube-system exec etcd-cp-1 -- etcdctl --endpoints https://127.0.0.1:2379 --cacert "
    )


@pytest.mark.parametrize(
    ("size", "quota", "severity", "title"),
    [
        (1500 * MIB, 2 * GIB, None, ""),
        (1700 * MIB, 2 * GIB, Severity.WARNING, "etcd: database 1.7 GiB of 2.0 GiB quota (83%)"),
        (1970 * MIB, 2 * GIB, Severity.CRITICAL, "etcd: database 1.9 GiB of 2.0 GiB quota (96%)"),
        (3000 * MIB, 8 * GIB, None, ""),
        (1500 * MIB, None, None, ""),
        (1700 * MIB, None, Severity.WARNING, "etcd: database 1.7 GiB: near or above etcd's default quota of 2.0 GiB"),
        (9000 * MIB, -1, None, ""),
    ],
)
def test_how_near_the_quota_is(size: int, quota: int | None, severity: Severity | None, title: str) -> None:
    sizes = {"db_size_bytes": size, "db_in_use_bytes": size}
    causes = causes_of(etcd_database.RULES, healthy(statuses=sizes, pages={"quota_bytes": quota}))
    assert list(causes) == (["etcd-quota"] if severity else [])
    if severity:
        assert (causes["etcd-quota"].severity, causes["etcd-quota"].title) == (severity, title)
        how = "the quota is not known" if quota is None else "how fast it grows is not known yet"
        assert how in texts(causes["etcd-quota"])


def test_a_database_that_grows_fast_is_told_before_it_is_near() -> None:
    known = watched(
        lambda number, ago_s: {"db_size_bytes": int(GIB - ago_s * MIB / 10), "db_in_use_bytes": GIB // 2 + MIB},
        span_s=1200,
        step_s=60,
    )
    finding = causes_of(etcd_database.RULES, known)["etcd-quota"]
    assert finding.title == "etcd: database 1.0 GiB of 2.0 GiB quota (50%), full in 170m"
    assert "grew 6.0 MiB/min over the last 20m; at that rate the quota is reached in 170m" in texts(finding)


@pytest.mark.parametrize(
    ("size", "in_use", "severity"),
    [
        (500 * MIB, 200 * MIB, Severity.INFO),
        (1600 * MIB, 200 * MIB, Severity.WARNING),
        (500 * MIB, 99 * MIB, None),
        (500 * MIB, 300 * MIB, None),
    ],
)
def test_fragmentation(size: int, in_use: int, severity: Severity | None) -> None:
    known = healthy(statuses={"db_size_bytes": size, "db_in_use_bytes": in_use})
    causes = causes_of(etcd_database.RULES, known)
    assert [cause.severity for cause in causes.values()] == ([severity] if severity else [])
    if severity:
        calls = [command.argv for command in changing(causes["etcd-fragmented"])]
        assert [argv[-1] for argv in calls] == ["defrag"] * 3  # nothing to compact, no alarm to disarm


def test_a_version_that_a_defragmentation_can_hurt_is_named() -> None:
    known = healthy(statuses={"version": "3.5.1", "db_size_bytes": 500 * MIB, "db_in_use_bytes": 200 * MIB})
    finding = causes_of(etcd_database.RULES, known)["etcd-fragmented"]
    assert "3.5.1: a crash during defragmentation can make members differ" in texts(finding)


@pytest.mark.parametrize("known", [Situation(), healthy(), healthy(statuses=FULL, ago_s=120)])
def test_silent_where_all_is_well_nothing_is_known_or_the_word_is_old(known: Situation) -> None:
    assert not causes_of(etcd_database.RULES, known)


def test_what_cannot_be_written_folds_under_the_alarm() -> None:
    known = full(lease("kube-controller-manager", age_s=20))
    (cause,) = [item for item in diagnose(known, NOW).causes if item.severity is Severity.CRITICAL]
    assert cause.rule == "etcd-no-space"
    assert [item.rule for item in cause.consequences] == ["scheduler-down"]
    assert cause.consequences[0].as_of is not None
