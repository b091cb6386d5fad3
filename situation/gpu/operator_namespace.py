"""Where the GPU Operator lives."""

from situation.gpu.components import component_of, is_of_dra_chart
from situation.gpu.links import Component
from situation.gpu.operator import ClusterPolicy
from situation.situation import Situation


def operator_namespace(situation: Situation) -> str:
    """Return it as the configuration names it, as the ClusterPolicy in force says, where its pod runs, or where
    operands are deployed; empty if nothing tells."""
    return situation.once("gpu-operator-namespace", lambda: _operator_namespace(situation))


def _operator_namespace(situation: Situation) -> str:
    if named := situation.configured.gpu_operator_namespace:
        return named
    for policy in situation.table("clusterpolicies").values():
        if isinstance(policy, ClusterPolicy) and policy.status.namespace and policy.status.state != "ignored":
            return policy.status.namespace
    for namespace in situation.pods_by_namespace.keys():
        pods = situation.pods_by_label.get((namespace, "app", "gpu-operator")).values()
        if any(component_of(pod) is Component.OPERATOR for pod in pods):
            return namespace
    operands = (
        item
        for item in situation.daemonsets.values()
        if component_of(item) not in (None, Component.NFD) and not is_of_dra_chart(item)
    )
    return next((item.namespace for item in operands), "")
