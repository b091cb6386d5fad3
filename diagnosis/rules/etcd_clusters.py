"""Layer 4: members that are asked as if they were one etcd, and are of several."""

from collections import defaultdict
from datetime import datetime
from typing import Final

from diagnosis.etcd_commands import looks
from diagnosis.etcd_facts import named, of_all, said, unless_known
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule
from situation.etcd.cluster import ETCD, etcd_of
from situation.etcd.view import MemberView
from situation.findings import Layer, Mark, Severity
from situation.situation import Situation


@rule(
    "etcd-clusters-mixed",
    signature="L4-02",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="the cluster ID in each member's status.",
    look_alikes={"a member that was removed": "it keeps its cluster ID: it is only missing from the member list"},
)
def etcd_clusters_mixed(_: None, situation: Situation, now: datetime) -> Verdict:
    """The endpoints lead to members of more than one etcd: quorum and leader are told of a mixture."""
    cluster = etcd_of(situation, now)
    of: defaultdict[int, list[MemberView]] = defaultdict(list)
    for member in cluster.answering:
        if member.status is not None and member.status.cluster_id:
            of[member.status.cluster_id].append(member)
    if len(of) < 2:
        return CLEAR if of else unless_known(False, "the cluster ID")
    parts = sorted(of.items(), key=lambda item: (-len(item[1]), item[0]))
    mixture = "leader, quorum and lag are worked out of all of them together: name the endpoints of one cluster only"
    apart = "an etcd of its own for events (--etcd-servers-overrides), a member that was started as a new cluster?"
    return Fired(
        ETCD,
        f"members of {len(of)} clusters are asked as one: {' / '.join(named(members) for _, members in parts[:3])}",
        (
            *(said(member, f"is of cluster {number:x}") for number, members in parts for member in members),
            of_all(cluster, mixture),
            of_all(cluster, apart, Mark.OPEN),
        ),
        looks(situation, cluster),
        who=("etcd:",),
    )


RULES: Final[tuple[Rule, ...]] = (etcd_clusters_mixed,)
