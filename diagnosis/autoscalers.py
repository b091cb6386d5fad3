"""Autoscalers of a workload."""

from situation.meta import Ref
from situation.situation import Situation
from situation.workloads import HorizontalPodAutoscaler


def autoscalers_of(workload: Ref, situation: Situation) -> list[HorizontalPodAutoscaler]:
    """Return the autoscalers that set how many replicas a workload has."""
    return [
        scaler
        for (namespace, _), scaler in situation.table("horizontalpodautoscalers").items()
        if isinstance(scaler, HorizontalPodAutoscaler)
        and namespace == workload.namespace
        and (scaler.spec.scale_target_ref.kind, scaler.spec.scale_target_ref.name) == (workload.kind, workload.name)
    ]
