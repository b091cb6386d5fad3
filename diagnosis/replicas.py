"""How much of a workload runs, and whether any of it is to: tells a dead one from a degraded one, or one at rest."""

from situation.findings import Severity
from situation.kinds import NAMES_OF
from situation.meta import KubernetesObject, Ref
from situation.situation import Situation
from situation.workloads import DaemonSet, Deployment, ReplicaSet, StatefulSet


def ready_replicas(workload: Ref, situation: Situation) -> int | None:
    """Return how many pods of a serving workload are ready by its own status; None for other kinds or if unknown."""
    match situation.get(workload):
        case Deployment() | StatefulSet() | ReplicaSet() as found:
            return found.status.ready_replicas
        case DaemonSet() as found:
            return found.status.number_ready
    return None


def gravity(workload: Ref, situation: Situation) -> Severity:
    """Return CRITICAL when a serving workload has no ready pod at all, else WARNING."""
    return Severity.CRITICAL if ready_replicas(workload, situation) == 0 else Severity.WARNING


def wants_pods(workload: Ref, situation: Situation) -> bool:
    """Tell whether pods are to run for a workload; True as well for one of which nothing is known.

    One that is being deleted, or is gone already, wants none. A pod without workload is its own.
    """
    match situation.get(workload):
        case Deployment() | StatefulSet() | ReplicaSet() as found:
            return found.spec.replicas > 0 and found.metadata.deletion_timestamp is None
        case KubernetesObject() as found:
            return found.metadata.deletion_timestamp is None
    names, key = NAMES_OF.get(workload.kind, ()), (workload.namespace, workload.name)
    is_seen = bool(names) and situation.knows(*names) and situation.sees(workload.namespace)
    return not is_seen or any(situation.is_unread(name, key) for name in names)
