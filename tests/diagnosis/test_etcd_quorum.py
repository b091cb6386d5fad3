"""etcd without quorum or leader, a member less, cut off, or with different data."""

from datetime import timedelta

import pytest

from diagnosis.engine import diagnose
from diagnosis.rule import CLEAR, Rule, Unknown
from diagnosis.rules import etcd_database, etcd_disk, etcd_elections, etcd_members, etcd_quorum
from situation.certificates import Certificate, Certificates
from situation.etcd.cluster import ETCD
from situation.etcd.members import MemberHealth
from situation.findings import Layer, LayerState, Severity
from situation.histograms import Histogram
from situation.kinds import WATCHED
from situation.readings import Listed, Readiness, Reading, SourceState
from situation.situation import Situation
from tests.build import NOW, node, pod, situation
from tests.diagnosis.objects import causes_of, lease, texts
from tests.etcd_objects import NO_LEADER, disk, healthy, list_members, silence, status, tell, watched

LEADERLESS = {"leader": 0, "errors": NO_LEADER}


def leaderless(known: Situation, *numbers: int, since_s: float = 30) -> None:
    """Tell that these members see no leader since then."""
    for ago_s in (since_s, 0):
        healthy(*numbers, known=known, ago_s=ago_s, statuses=LEADERLESS, pages={"has_leader": False})


def two_of_three_killed(*objects: dict[str, object]) -> Situation:
    known = healthy(known=situation(*objects), ago_s=60)
    for number in (1, 2):
        silence(known, number, ago_s=30, error="connection refused")
    leaderless(known, 3, since_s=28)
    return known


def test_quorum_lost_says_how_many_answer_and_what_is_history() -> None:
    causes = causes_of(etcd_quorum.RULES, two_of_three_killed())
    assert list(causes) == ["etcd-quorum-lost"]
    lost = causes["etcd-quorum-lost"]
    assert (lost.subject, lost.layer, lost.severity) == (ETCD, Layer.CONTROL_PLANE, Severity.CRITICAL)
    assert lost.title == "etcd has lost quorum: 1 of 3 members answer, quorum 2, 1 more needed"
    assert "etcd-1: does not answer since 02:40:37: connection refused" in texts(lost)
    assert "etcd-3: answers and sees no leader" in texts(lost)
    assert "frozen history as of 02:40:07" in texts(lost)
    assert lost.as_of is None  # it is known now


def test_certificates_of_etcd_that_expired_are_named() -> None:
    known = two_of_three_killed()
    old = [Certificate(name, f"/pki/{name}.crt", NOW - timedelta(hours=2)) for name in ("etcd-peer", "front-proxy-ca")]
    known.apply(Reading("control-plane/certificates", SourceState.LIVE, NOW, Certificates(tuple(old))))
    lost = causes_of(etcd_quorum.RULES, known)["etcd-quorum-lost"]
    assert "certificate etcd-peer (/pki/etcd-peer.crt) expired at 2026-11-23 00:41 UTC" in texts(lost)
    assert "front-proxy" not in texts(lost)


def test_without_quorum_only_what_answers_without_it_is_offered() -> None:
    lost = causes_of(etcd_quorum.RULES, two_of_three_killed())["etcd-quorum-lost"]
    lines = [" ".join(command.argv) for command in lost.next]
    assert lines[0].endswith("endpoint status -w table") and "--cluster" not in lines[0]
    assert not [line for line in lines if "alarm list" in line or "member list" in line or "endpoint health" in line]


def test_the_only_member_gone_is_a_lost_quorum_and_says_what_it_may_be_instead() -> None:
    known = healthy(1, ago_s=20)
    silence(known, 1, error="deadline exceeded")
    lost = causes_of(etcd_quorum.RULES, known)["etcd-quorum-lost"]
    assert lost.title == "etcd has lost quorum: 0 of 1 member answers, quorum 1, 1 more needed"
    assert "a network between us and them would look the same" in texts(lost)


def test_members_that_only_we_do_not_reach_are_no_fault_of_etcd() -> None:
    known = healthy(known=situation(), ago_s=60)
    for number in (1, 2, 3):
        silence(known, number, ago_s=20)
    known.apply(Reading("kubernetes/readyz", SourceState.LIVE, NOW, Readiness(True)))
    assert not causes_of(etcd_quorum.RULES, known)
    reason = diagnose(known, NOW).layers[Layer.CONTROL_PLANE - 1].reason
    assert "etcd is not reached from here (etcd-1, etcd-2, etcd-3); the API server reaches it" in reason


def test_a_member_that_refuses_our_certificate_is_told_with_the_layer_only() -> None:
    known = healthy(1, 2, known=situation())
    silence(known, 3, error="tls: bad certificate")
    assert not causes_of(etcd_quorum.RULES, known)
    assert (
        "etcd: etcd-3 cannot be read (tls: bad certificate)"
        in diagnose(known, NOW).layers[Layer.CONTROL_PLANE - 1].reason
    )


@pytest.mark.parametrize(("since_s", "fires"), [(2, False), (30, True)])
def test_an_election_is_given_five_seconds(since_s: float, fires: bool) -> None:
    known = healthy(ago_s=60)
    leaderless(known, 1, 2, 3, since_s=since_s)
    causes = causes_of(etcd_quorum.RULES, known)
    assert bool(causes) is fires
    if fires:
        title = "etcd has had no leader for 30s: 3 of 3 members answer, quorum 2"
        assert causes["etcd-no-leader"].title == title


def test_one_member_down_is_a_warning_that_says_what_may_still_fail() -> None:
    known = healthy(ago_s=60)
    silence(known, 3, ago_s=25)
    silence(known, 3)
    healthy(1, 2, known=known)
    down = causes_of(etcd_quorum.RULES, known)["etcd-member-down"]
    assert (down.severity, down.title) == (
        Severity.WARNING,
        "etcd: etcd-3 has not answered for 25s; etcd can lose 0 more",
    )
    assert down.next[0].effect.value == "read"
    assert [command.where for command in down.next if command.argv[0] == "crictl"] == ["node cp-3"]


def test_a_member_on_a_node_that_is_gone_follows_from_the_node() -> None:
    gone = node("cp-3", ready="Unknown")
    known = healthy(1, 2, known=situation(gone, node("cp-1"), node("cp-2")))
    silence(known, 3, ago_s=25)
    by_rule = {cause.rule: cause for cause in diagnose(known, NOW).causes}
    assert "etcd-member-down" not in by_rule
    assert "etcd-member-down" in [item.rule for item in by_rule["node-unreachable"].consequences]


def test_a_member_that_alone_sees_no_leader_is_cut_off() -> None:
    known = healthy(1, 2)
    leaderless(known, 3)
    causes = causes_of(etcd_quorum.RULES, known)
    assert list(causes) == ["etcd-member-apart"]
    assert causes["etcd-member-apart"].title == "etcd: etcd-3 is cut off from the leader for 30s"


def test_different_data() -> None:
    known = healthy(1, 2)
    tell(known, 3, status=status(3, errors=("memberID:3 alarm:CORRUPT ",)), health=MemberHealth(False, "ALARM CORRUPT"))
    corrupt = causes_of(etcd_quorum.RULES, known)["etcd-corrupt"]
    assert corrupt.title == "etcd has members with different data: etcd-3; it refuses to serve"
    assert "hashkv" in corrupt.next[1].argv
    assert not [command for command in corrupt.next if "defrag" in command.argv]


@pytest.mark.parametrize("known", [Situation(), healthy(), healthy(ago_s=120)])
def test_silent_where_all_is_well_or_nothing_is_known(known: Situation) -> None:
    assert not causes_of(etcd_quorum.RULES, known)


def test_what_an_etcd_without_quorum_stops_folds_under_it_and_is_history() -> None:
    known = two_of_three_killed(
        lease("kube-scheduler", age_s=50),
        lease("kube-controller-manager", age_s=5),
        pod("web-1", ready=False, container_status={"state": {"waiting": {"reason": "ImagePullBackOff"}}}),
    )
    known.apply(Reading("kubernetes/readyz", SourceState.LIVE, NOW, Readiness(False, ("etcd", "etcd-readiness"))))
    causes = {cause.rule: cause for cause in diagnose(known, NOW).causes}
    lost = causes["etcd-quorum-lost"]
    assert {"etcd-unavailable", "scheduler-down"} <= {item.rule for item in lost.consequences}
    assert "etcd-unavailable" not in causes and "scheduler-down" not in causes
    since = NOW - timedelta(seconds=28)
    assert [cause.as_of for cause in causes.values() if cause.rule not in ("etcd-quorum-lost",)] == [since]


def test_layer_4_names_what_of_etcd_it_cannot_judge_only_where_etcd_is_ours() -> None:
    absent = Reading("etcd/access", SourceState.ABSENT, NOW, error="no endpoints and no certificates")
    managed = situation(node("node-1"))
    ours = situation(node("cp-1", labels={"node-role.kubernetes.io/control-plane": ""}))
    for known in (managed, ours):
        known.apply(absent)
    layer = Layer.CONTROL_PLANE - 1
    assert "etcd" not in diagnose(managed, NOW).layers[layer].reason
    assert diagnose(ours, NOW).layers[layer].reason == "etcd itself is not read (no endpoints and no certificates)"
    assert diagnose(ours, NOW).layers[layer].status is LayerState.OK
    known = healthy(1, known=ours)
    list_members(known, 3)
    assert "etcd: etcd-2, etcd-3 not asked" in diagnose(known, NOW).layers[layer].reason


ETCD_POD = {"component": "etcd"}
CRASHES = {
    "restartCount": 9,
    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s restarting failed container"}},
    "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": "2026-11-23T02:40:00Z"}},
}


@pytest.mark.parametrize(
    ("shown", "cause", "effect"),
    [
        (CRASHES, "crash-loop", "etcd-member-down"),
        ({"state": {"running": {"startedAt": "2026-11-23T01:00:00Z"}}}, "etcd-member-down", "not-ready"),
    ],
)
def test_a_pod_that_crashes_is_the_cause_and_one_that_fails_its_probe_the_effect(
    shown: dict[str, object], cause: str, effect: str
) -> None:
    broken = pod(
        "etcd-cp-3", namespace="kube-system", node="cp-3", ready=False, labels=ETCD_POD, container_status=shown
    )
    known = healthy(1, 2, known=situation(broken, *(node(f"cp-{number}") for number in (1, 2, 3))))
    silence(known, 3, ago_s=25)
    (found,) = [item for item in diagnose(known, NOW).causes if item.severity is not Severity.INFO]
    assert (found.rule, [item.rule for item in found.consequences]) == (cause, [effect])


def test_an_api_server_that_dies_with_etcd_follows_from_it() -> None:
    known = two_of_three_killed()
    for kind in WATCHED:
        known.apply(Reading(kind.source, SourceState.UNREACHABLE, NOW, error="connection refused"))
    (found,) = diagnose(known, NOW).causes
    assert (found.rule, [item.rule for item in found.consequences]) == ("etcd-quorum-lost", ["api-unreachable"])


FAMILIES = (etcd_quorum, etcd_database, etcd_disk, etcd_elections, etcd_members)
ABOUT_ETCD = [rule for family in FAMILIES for rule in family.RULES]


@pytest.mark.parametrize("rule", ABOUT_ETCD, ids=lambda rule: rule.id)
@pytest.mark.parametrize("known", [Situation(), healthy(ago_s=120)], ids=["nothing known", "an old word"])
def test_every_rule_says_that_it_does_not_know(rule: Rule, known: Situation) -> None:
    assert isinstance(rule.judge(None, known, NOW), Unknown)


@pytest.mark.parametrize("rule", ABOUT_ETCD, ids=lambda rule: rule.id)
def test_every_rule_is_clear_where_all_is_well(rule: Rule) -> None:
    def pages(number: int, ago_s: float) -> dict[str, object]:
        past = 60 - ago_s
        trips = Histogram.of({0.001: past * 2, float("inf"): past * 2})
        return {"fsync": disk(fast=past * 9), "commit": disk(fast=past * 9), "round_trips": {"ab": trips}}

    known = watched(pages=pages)
    list_members(known, 3)
    assert rule.judge(None, known, NOW) == CLEAR


def test_while_nothing_is_written_no_other_layer_is_called_fine() -> None:
    known = two_of_three_killed(pod("web-1", node="cp-1"), node("cp-1"))
    for kind in WATCHED:
        if not known.knows(kind.name):
            known.apply(Reading(kind.source, SourceState.LIVE, NOW, Listed(kind.name, ())))
    others = [status for status in diagnose(known, NOW).layers if status.layer is not Layer.CONTROL_PLANE]
    assert {status.status for status in others} == {LayerState.UNKNOWN}
    assert {status.reason.partition(";")[0] for status in others} == {
        "as of 02:40:07 UTC: etcd takes no writes (no quorum)"
    }
