"""Controllers of pods: ReplicaSets, Deployments, StatefulSets, DaemonSets, Jobs; their autoscaler and budget."""

from situation.meta import Condition, IntOrString, KubernetesObject, LabelSelector, Wire
from situation.pods import PodTemplate


class ReplicaSetSpec(Wire, frozen=True):
    replicas: int = 1
    selector: LabelSelector = LabelSelector()


class ReplicaSetStatus(Wire, frozen=True):
    replicas: int = 0
    ready_replicas: int = 0
    observed_generation: int = 0
    conditions: tuple[Condition, ...] = ()


class ReplicaSet(KubernetesObject, frozen=True):
    spec: ReplicaSetSpec = ReplicaSetSpec()
    status: ReplicaSetStatus = ReplicaSetStatus()


class DeploymentSpec(Wire, frozen=True):
    replicas: int = 1
    paused: bool = False
    selector: LabelSelector = LabelSelector()
    template: PodTemplate = PodTemplate()


class DeploymentStatus(Wire, frozen=True):
    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    unavailable_replicas: int = 0
    conditions: tuple[Condition, ...] = ()


class Deployment(KubernetesObject, frozen=True):
    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()


class StatefulSet(KubernetesObject, frozen=True):
    spec: DeploymentSpec = DeploymentSpec()
    status: DeploymentStatus = DeploymentStatus()


class DaemonSetSpec(Wire, frozen=True):
    selector: LabelSelector = LabelSelector()
    template: PodTemplate = PodTemplate()


class DaemonSetStatus(Wire, frozen=True):
    desired_number_scheduled: int = 0
    current_number_scheduled: int = 0
    number_ready: int = 0
    number_misscheduled: int = 0
    updated_number_scheduled: int = 0
    observed_generation: int = 0


class DaemonSet(KubernetesObject, frozen=True):
    spec: DaemonSetSpec = DaemonSetSpec()
    status: DaemonSetStatus = DaemonSetStatus()


class JobSpec(Wire, frozen=True):
    suspend: bool = False
    parallelism: int = 1
    completions: int | None = None
    backoff_limit: int = 6
    selector: LabelSelector = LabelSelector()


class JobStatus(Wire, frozen=True):
    active: int = 0
    succeeded: int = 0
    failed: int = 0
    conditions: tuple[Condition, ...] = ()


class Job(KubernetesObject, frozen=True):
    spec: JobSpec = JobSpec()
    status: JobStatus = JobStatus()


class ScaleTarget(Wire, frozen=True):
    kind: str = ""
    name: str = ""


class MetricName(Wire, frozen=True):
    name: str = ""


class NamedMetric(Wire, frozen=True):
    metric: MetricName = MetricName()


class MetricSpec(Wire, frozen=True):
    """What an autoscaler looks at; one of the fields is set, as `type` says."""

    type: str = ""
    resource: MetricName | None = None
    container_resource: MetricName | None = None
    pods: NamedMetric | None = None
    object: NamedMetric | None = None
    external: NamedMetric | None = None

    @property
    def name(self) -> str:
        """Name of the resource or metric."""
        named = self.pods or self.object or self.external
        return (
            named.metric.name if named is not None else (self.resource or self.container_resource or MetricName()).name
        )


class ScalingRules(Wire, frozen=True):
    stabilization_window_seconds: int | None = None


class ScalingBehavior(Wire, frozen=True):
    scale_down: ScalingRules | None = None


class AutoscalerSpec(Wire, frozen=True):
    scale_target_ref: ScaleTarget = ScaleTarget()
    min_replicas: int = 1
    max_replicas: int = 0
    metrics: tuple[MetricSpec, ...] = ()
    behavior: ScalingBehavior | None = None


class AutoscalerStatus(Wire, frozen=True):
    current_replicas: int = 0
    desired_replicas: int = 0
    conditions: tuple[Condition, ...] = ()


class HorizontalPodAutoscaler(KubernetesObject, frozen=True):
    spec: AutoscalerSpec = AutoscalerSpec()
    status: AutoscalerStatus = AutoscalerStatus()


class BudgetSpec(Wire, frozen=True):
    selector: LabelSelector | None = None
    min_available: IntOrString | None = None
    max_unavailable: IntOrString | None = None


class BudgetStatus(Wire, frozen=True):
    disruptions_allowed: int = 0
    current_healthy: int = 0
    desired_healthy: int = 0
    expected_pods: int = 0


class PodDisruptionBudget(KubernetesObject, frozen=True):
    spec: BudgetSpec = BudgetSpec()
    status: BudgetStatus = BudgetStatus()


Workload = Deployment | StatefulSet | DaemonSet | ReplicaSet | Job
WORKLOAD_KINDS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"})


def selector_text(selector: dict[str, str]) -> str:
    """Return a label selector as kubectl takes it: `a=b,c=d`."""
    return ",".join(f"{key}={value}" for key, value in sorted(selector.items()))


def label_selector_text(selector: LabelSelector) -> str:
    """Return a selector with expressions as kubectl takes it: `a=b,c in (d,e),!f`; empty for one that selects all."""
    parts = [selector_text(selector.match_labels)] if selector.match_labels else []
    for item in selector.match_expressions:
        match item.operator:
            case "Exists":
                parts.append(item.key)
            case "DoesNotExist":
                parts.append(f"!{item.key}")
            case _:
                parts.append(f"{item.key} {item.operator.lower()} ({','.join(item.values)})")
    return ",".join(parts)
