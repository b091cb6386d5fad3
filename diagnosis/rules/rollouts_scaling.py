"""Autoscalers that cannot see, and disruption budgets that allow no eviction (L1-29, L2-24)."""

import re
from datetime import datetime
from typing import Final

from diagnosis.api_facts import unavailable_apis
from diagnosis.commands import counted, fact, kubectl, shorten
from diagnosis.placement import OLD_CORDON, cordoned_since
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule, wait_until
from situation.findings import Layer, Severity
from situation.meta import Condition, Ref, find_condition
from situation.pods import Pod
from situation.selectors import is_control_plane, is_finished, is_ready
from situation.situation import Situation
from situation.workloads import HorizontalPodAutoscaler, PodDisruptionBudget

METRICS_BUDGET_S: Final = 120.0
"""New pods have no metrics for up to two scrapes of metrics-server (metric-resolution 60 s at most in practice)."""
_RESOURCE_METRICS: Final = "v1beta1.metrics.k8s.io"
_NO_REQUEST: Final = re.compile(r"missing request for (?P<what>\S+)(?: in container (?P<container>\S+))?")


@rule(
    "autoscaler-blind",
    signature="L1-29 L4-08",
    layer=Layer.APPLICATION,
    severity=Severity.WARNING,
    kind="HorizontalPodAutoscaler",
    needs=("horizontalpodautoscalers",),
    looks_at="Conditions ScalingActive=False (FailedGet...) and AbleToScale=False (FailedGetScale), with their texts.",
    look_alikes={
        "metrics API down": "no metrics come back: layer 4; 'missing request for' is the workload's own",
        "a target at zero": "reason ScalingDisabled: on purpose",
    },
)
def autoscaler_blind(item: HorizontalPodAutoscaler, situation: Situation, now: datetime) -> Verdict:
    """An autoscaler cannot compute how many replicas are needed."""
    condition = _blind(item)
    if condition is None:
        return CLEAR
    if wait := wait_until(condition.last_transition_time, METRICS_BUDGET_S, now):
        return wait
    target = item.spec.scale_target_ref
    workload = Ref(target.kind, item.namespace, target.name)
    text = f"{condition.type}=False ({condition.reason}): {shorten(condition.message, 300)}"
    stays = f"{target.kind} {target.name} stays at {counted(item.status.current_replicas, 'replica')}"
    evidence = [
        fact("horizontalpodautoscalers", text, at=condition.last_transition_time),
        fact("horizontalpodautoscalers", f"{stays} ({item.spec.min_replicas} to {item.spec.max_replicas})"),
    ]
    next = [
        kubectl("describe", "hpa", item.name, purpose="what does it miss?", namespace=item.namespace),
    ]
    layer = None
    follows: tuple[Ref, ...] = (workload,)
    if match := _NO_REQUEST.search(condition.message):
        container = f" in container {match['container']}" if match["container"] else ""
        title = f"is blind: no {match['what']} request{container}"
    elif condition.type == "AbleToScale":
        title = f"cannot scale {target.kind} {target.name}"
    else:
        title = "is blind: no metrics come back"
        layer = Layer.CONTROL_PLANE
        name = _api_of(condition.reason)
        follows = _servers_of(name, situation)
        next.append(kubectl("get", "apiservice", name, purpose="does the metrics API answer?"))
    about = Ref("HorizontalPodAutoscaler", item.namespace, item.name)
    return Fired(about, title, tuple(evidence), tuple(next), layer=layer, follows=follows)


def _api_of(reason: str) -> str:
    """Return the APIService that an autoscaler asks for the metric that it misses (podautoscaler/horizontal.go)."""
    if "Resource" in reason:
        return _RESOURCE_METRICS
    return "v1beta1.external.metrics.k8s.io" if "External" in reason else "v1beta1.custom.metrics.k8s.io"


def _servers_of(api: str, situation: Situation) -> tuple[Ref, ...]:
    """Return what stands behind an API of metrics: metrics-server serves those of resources, adapters all others."""
    down = unavailable_apis(situation)
    apis = (Ref("APIService", "", down[0] if api in down else api),)
    if api != _RESOURCE_METRICS:
        return apis
    return (*(Ref(kind, "kube-system", "metrics-server") for kind in ("Deployment", "Service")), *apis)


def _blind(item: HorizontalPodAutoscaler) -> Condition | None:
    for kind in ("AbleToScale", "ScalingActive"):
        condition = find_condition(item.status.conditions, kind)
        if condition is not None and condition.status == "False" and condition.reason.startswith("FailedGet"):
            return condition
    return None


@rule(
    "budget-blocks-eviction",
    signature="L2-24",
    layer=Layer.SCHEDULING,
    severity=Severity.WARNING,
    kind="PodDisruptionBudget",
    needs=("poddisruptionbudgets", "pods", "nodes"),
    looks_at="status.disruptionsAllowed 0 while a node that runs its pods is being drained (cordoned since less than a "
    "day; since an unknown time if it is no control plane node).",
    look_alikes={
        "a budget that allows no eviction while nobody drains": "one replica and minAvailable 1, for example: silent",
        "pods of the workload are not ready": "then the budget only follows: their finding explains it",
        "API overloaded": "both answer 429; there the text is 'too many requests'",
    },
)
def budget_blocks_eviction(budget: PodDisruptionBudget, situation: Situation, now: datetime) -> Verdict:
    """A disruption budget allows no eviction while a node that runs its pods is being drained."""
    status = budget.status
    if status.disruptions_allowed > 0 or status.expected_pods == 0 or budget.spec.selector is None:
        return CLEAR
    pods = [pod for pod in situation.pods_matching(budget.namespace, budget.spec.selector) if not is_finished(pod)]
    drained = sorted({pod.spec.node_name for pod in pods if _is_drained(pod, situation, now)})
    if not drained:
        return CLEAR
    unready = [pod for pod in pods if not is_ready(pod)]
    return Fired(
        Ref("PodDisruptionBudget", budget.namespace, budget.name),
        f"blocks the drain of {', '.join(drained[:2])}",
        (
            fact("poddisruptionbudgets", f"{status.current_healthy} of {counted(status.expected_pods, 'pod')} healthy, "
                 f"{status.desired_healthy} must stay, 0 may be evicted"),
            *(fact("nodes", f"{node} is cordoned and runs pods of it") for node in drained[:3]),
            *(fact("pods", f"{pod.name} is not ready") for pod in unready[:3]),
        ),
        (kubectl("get", "pdb", "-A", purpose="which budgets allow no eviction?"),),
        follows=tuple(dict.fromkeys(situation.workload_of(pod) for pod in unready)),
    )  # fmt: skip


def _is_drained(pod: Pod, situation: Situation, now: datetime) -> bool:
    node = situation.node(pod.spec.node_name) if pod.spec.node_name else None
    if node is None or not node.spec.unschedulable:
        return False
    since = cordoned_since(node)
    return now - since < OLD_CORDON if since is not None else not is_control_plane(node)


RULES: Final[tuple[Rule, ...]] = (autoscaler_blind, budget_blocks_eviction)
