"""Layer 4: scheduler and controller manager, which elect a leader (L4-09, L4-10)."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from diagnosis.commands import counted, fact, kubectl
from diagnosis.explaining import API_BUSY, CERTIFICATES_OUT, CONTROLLERS_DOWN, ETCD_DOWN, ETCD_SLOW
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, rule, wait_until
from diagnosis.rules.api_server import control_plane_commands
from situation.clock import duration_text
from situation.cluster import Lease
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.leases import at_work_since, renewals
from situation.meta import CLUSTER, Ref, find_condition
from situation.pods import Pod
from situation.selectors import is_node_ready
from situation.server_clock import cluster_now
from situation.situation import Situation
from situation.workloads import Deployment

LEASE_S: Final = 30.0
"""leaseDurationSeconds of a leader is 15 s (client-go leader election); as much again for a change of leader. A longer
lease has twice its own duration."""
FROZEN_S: Final = 60.0
"""When every lease is older, the list is frozen, old, or our clock is wrong: nothing is said of one component."""
PLACE_S: Final = 10.0
"""A scheduler that lives has judged a pod after this time."""
BEHIND_S: Final = 30.0
"""Six times what a pod may take from its creation to running (Kubernetes scalability objective: 5 s at p99)."""
BEHIND_LEAST: Final = 2
"""Of one pod alone its own finding speaks."""
OBSERVE_S: Final = 30.0
"""A deployment controller that lives has seen a new Deployment after this time."""
UNPLACED: Final = kubectl(
    "get", "pods", "-A", "--field-selector", "status.phase=Pending,spec.nodeName=", purpose="which pods wait?"
)


class _Leader(NamedTuple):
    """Lease of a component that elects a leader, with its age on the cluster's own clock."""

    lease: Lease
    age_s: float
    missed_s: float
    """For so long it has not been renewed while others were: what stood still with all of them is no fault of its."""
    may_miss_s: float
    """Beyond this its holder is no leader any more, and no other has come."""
    evidence: tuple[Evidence, ...]


def _leader(situation: Situation, name: str, now: datetime) -> _Leader | None:
    """Return the lease kube-system/`name` with its age, None where there is none or all leases are frozen.

    The age is counted from the newest renewal of any other lease, so that a difference between our
    clock and the cluster's does not count.
    """
    lease = situation.leases.get(("kube-system", name))
    found = renewals(situation)
    if lease is None or (renewed := found.get(lease.key)) is None:
        return None
    other = max((at for (_, item), at in found.items() if item != name), default=None)
    there = cluster_now(situation, now)
    if (there - max(other or renewed, renewed)).total_seconds() > FROZEN_S:
        return None
    newest, resumed = other or there, situation.renewals.resumed_at
    age_s, missed_s = ((newest - since).total_seconds() for since in (renewed, max(renewed, resumed or renewed)))
    skew = "no other lease to compare with"
    if other is not None:
        skew = f"the newest other lease is {duration_text((there - other).total_seconds())} old"
    return _Leader(
        lease,
        age_s,
        missed_s,
        max(LEASE_S, 2.0 * lease.spec.lease_duration_seconds),
        (
            fact("leases", f"{name} renewed {renewed:%H:%M:%S}: {duration_text(age_s)} old", at=renewed),
            fact("leases", f"held by {lease.spec.holder_identity or 'nobody'}"),
            fact("leases", skew, Mark.EXCLUDES if other is not None else Mark.OPEN),
        ),
    )  # fmt: skip


def _lease_command(name: str) -> Command:
    return kubectl(
        "get", "lease", name, "-o", "jsonpath={.spec.renewTime}",
        purpose="when was the lease renewed last?", namespace="kube-system",
    )  # fmt: skip


def _scheduled_at(pod: Pod) -> datetime | None:
    condition = find_condition(pod.status.conditions, "PodScheduled")
    return condition.last_transition_time if condition else None


def _unseen(situation: Situation, now: datetime) -> list[Pod]:
    """Pods for the default scheduler that it has not looked at, although it had time and judged no other since."""
    waiting = _untried(situation, now - timedelta(seconds=PLACE_S))
    acted = _acted(situation) if waiting else None
    return [pod for pod in waiting if acted is None or (pod.metadata.creation_timestamp or now) >= acted]


def _acted(situation: Situation) -> datetime | None:
    """When a pod was placed last, or found not to fit."""
    return max((time for pod in situation.pods.values() if (time := _scheduled_at(pod))), default=None)


def _untried(situation: Situation, due: datetime) -> list[Pod]:
    """Pods for the default scheduler, made before `due`, of which nothing says that it looked at them."""
    return [
        pod
        for pod in situation.unscheduled_pods.get(True).values()
        if pod.spec.scheduler_name == "default-scheduler"
        and find_condition(pod.status.conditions, "PodScheduled") is None
        and pod.metadata.deletion_timestamp is None
        and (made := pod.metadata.creation_timestamp) is not None
        and made < due
        and not situation.events_by_object.get(Ref("Pod", *pod.key))
    ]


@rule(
    "scheduler-down",
    signature="L4-09",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.CRITICAL,
    kind="Cluster",
    needs=("pods",),
    looks_at="renewTime of the Lease kube-system/kube-scheduler against the newest of all leases; without that Lease, "
    "new pods with neither a PodScheduled condition nor events.",
    look_alikes={
        "a scheduler that a pod names and nobody runs": "there other pods are scheduled",
        "pods seconds old": "10 s are given",
        "frozen state": "there all leases are old: etcd, not the scheduler; once others are renewed it has 30 s",
    },
)
def scheduler_down(_: None, situation: Situation, now: datetime) -> Verdict:
    """The scheduler does not work: no new pod gets a node."""
    leader = _leader(situation, "kube-scheduler", now)
    has_lease = ("kube-system", "kube-scheduler") in situation.leases
    if has_lease and (leader is None or leader.missed_s <= leader.may_miss_s):
        return CLEAR
    pods = _unseen(situation, now)
    if leader is None and (len(pods) < 2 or not situation.sees_all):
        return CLEAR  # pods of other namespaces may well be scheduled
    evidence = list(leader.evidence if leader else ())
    if not leader:
        evidence.append(fact("leases", "its Lease is not to be seen here", Mark.OPEN))
    if pods:
        names = ", ".join(pod.name for pod in pods[:3])
        evidence.append(
            fact("pods", f"{counted(len(pods), 'new pod')} without condition PodScheduled or event: {names}")
        )
    return Fired(
        CLUSTER,
        f"has not renewed its lease for {duration_text(leader.age_s)}" if leader else "does not look at new pods",
        tuple(evidence),
        (_lease_command("kube-scheduler"), UNPLACED, *control_plane_commands(situation, "kube-scheduler")),
        follows=(CLUSTER,),
        follows_only=(*CERTIFICATES_OUT, *ETCD_DOWN),
        who=("scheduler",),
    )


@rule(
    "scheduler-behind",
    signature="L4-09",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    needs=("pods",),
    looks_at="pods for the default scheduler that have had neither a PodScheduled condition nor an event for 30 s, "
    "while its lease is renewed; whether any other pod was placed, or found not to fit, since they were made.",
    look_alikes={
        "scheduler-down": "there its lease is old, or it looks at nothing and its lease is not to be seen",
        "pods that fit nowhere, or are gated": "these have the condition: they were looked at",
        "scheduler-slow": "there the scheduler's own metrics say how long it takes: the same, measured",
        "a scheduler that was just elected": "it has 30 s to get to what waited for it",
    },
)
def scheduler_behind(_: None, situation: Situation, now: datetime) -> Verdict:
    """The scheduler lives, and pods wait for it to look at them: it is behind, or stands still."""
    leader = _leader(situation, "kube-scheduler", now)
    if leader is not None and leader.age_s > leader.may_miss_s:
        return CLEAR  # it is down, which is said
    due = cluster_now(situation, now) - timedelta(seconds=BEHIND_S)
    waiting, began = _untried(situation, due), at_work_since(situation, "kube-scheduler")
    if len(waiting) < BEHIND_LEAST or (began is not None and began > due):
        return CLEAR
    made = sorted((at, pod.name) for pod in waiting if (at := pod.metadata.creation_timestamp) is not None)
    acted = _acted(situation)
    still = situation.sees_all and (acted is None or acted < made[0][0])
    if still and leader is None:
        return CLEAR  # without a lease to be seen it may as well be down: that rule says so
    oldest = duration_text((cluster_now(situation, now) - made[0][0]).total_seconds())
    lines = [
        fact("pods", f"{counted(len(waiting), 'pod')} without condition PodScheduled or event for 30 s and longer: "
             f"{', '.join(name for _, name in made[:3])}", at=made[0][0]),
        *(leader.evidence if leader is not None else ()),
    ]  # fmt: skip
    if acted is not None:
        mark = Mark.SUPPORTS if still else Mark.EXCLUDES
        lines.append(fact("pods", f"a pod was placed, or found not to fit, last at {acted:%H:%M:%S}", mark, at=acted))
    return Fired(
        CLUSTER,
        f"renews its lease and has looked at no pod for {oldest}" if still
        else f"is behind: {counted(len(waiting), 'pod')} not looked at yet, the oldest for {oldest}",
        tuple(lines),
        (UNPLACED, _lease_command("kube-scheduler"), *control_plane_commands(situation, "kube-scheduler")),
        severity=Severity.CRITICAL if still else Severity.WARNING,
        follows=(CLUSTER,),
        follows_only=(*CERTIFICATES_OUT, *ETCD_DOWN, *ETCD_SLOW, *API_BUSY, "api-slow-requests", "writes-stopped",
                      "scheduler-slow"),
        who=("scheduler",),
    )  # fmt: skip


@rule(
    "controller-manager-down",
    signature="L4-10",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.CRITICAL,
    kind="Cluster",
    needs=("leases",),
    looks_at="renewTime of the Lease kube-system/kube-controller-manager against the newest of all leases.",
    look_alikes={"frozen state": "there all leases are old", "a managed control plane": "it hides this Lease: silent"},
)
def controller_manager_down(_: None, situation: Situation, now: datetime) -> Verdict:
    """The controller manager does not work: no new pods, no endpoints, no node taints, no quota counts."""
    leader = _leader(situation, "kube-controller-manager", now)
    if leader is None or leader.missed_s <= leader.may_miss_s:
        return CLEAR
    return Fired(
        CLUSTER,
        f"has not renewed its lease for {duration_text(leader.age_s)}",
        (*leader.evidence, *_burst_to_come(situation)),
        (
            _lease_command("kube-controller-manager"),
            kubectl("get", "deployments", "-A", purpose="which Deployments are behind?"),
            *control_plane_commands(situation, "kube-controller-manager"),
        ),
        follows=(CLUSTER,),
        follows_only=(*CERTIFICATES_OUT, *ETCD_DOWN),
        who=("controller manager",),
    )


def _burst_to_come(situation: Situation) -> Iterator[Evidence]:
    lost = [node for node in situation.nodes.values() if not is_node_ready(node)]
    if lost and situation.sees_all:
        pods = sum(len(situation.pods_by_node.get(node.name)) for node in lost)
        text = (
            f"{counted(len(lost), 'node')} not Ready: {counted(pods, 'pod')} will be replaced at once when it is back"
        )
        yield fact("nodes", text)


@rule(
    "deployment-not-observed",
    signature="L4-10",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Deployment",
    needs=("deployments", "replicasets"),
    looks_at="observedGeneration 0 and no ReplicaSet 30 s after a Deployment was made.",
    look_alikes={
        "a paused Deployment": "its observedGeneration still follows",
        "pods refused by quota or admission": "there the ReplicaSet exists",
    },
)
def deployment_not_observed(deployment: Deployment, situation: Situation, now: datetime) -> Verdict:
    """No controller has looked at a new Deployment: it has no ReplicaSet."""
    ref = Ref("Deployment", *deployment.key)
    seen = deployment.status.observed_generation
    if seen or deployment.metadata.generation <= seen or situation.replicasets_by_owner.get(ref):
        return CLEAR
    if situation.has_unread("replicasets", deployment.namespace):
        return Unknown(f"not all ReplicaSets of namespace {deployment.namespace} could be decoded")
    if wait := wait_until(deployment.metadata.creation_timestamp, OBSERVE_S, now):
        return wait
    return Fired(
        CLUSTER,
        "ignores new Deployments",
        (
            fact("deployments", f"{deployment.namespace}/{deployment.name}: observed generation 0 of "
                 f"{deployment.metadata.generation}, no ReplicaSet", at=deployment.metadata.creation_timestamp),
        ),
        (
            _lease_command("kube-controller-manager"),
            kubectl("describe", "deployment", deployment.name, purpose="has anything acted on it?",
                    namespace=deployment.namespace),
        ),
        follows=(CLUSTER,),
        follows_only=CONTROLLERS_DOWN,
        who=("controller manager",),
    )  # fmt: skip


RULES: Final[tuple[Rule, ...]] = (scheduler_down, scheduler_behind, controller_manager_down, deployment_not_observed)
