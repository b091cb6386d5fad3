"""How much of a workload runs: what decides between a degraded and a dead one."""

from situation.findings import Severity
from situation.meta import Ref
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
