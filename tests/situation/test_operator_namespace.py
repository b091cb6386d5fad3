"""Where the GPU Operator lives."""

from typing import Any

import pytest

from diagnosis.gpu_facts import operator_namespace as for_commands
from situation.gpu.operator_namespace import operator_namespace
from situation.gpu.survey import survey
from situation.readings import CONFIGURED, Configured, Reading, SourceState
from tests import gpu_objects as gpu
from tests.build import NOW, Manifest, meta, pod, situation
from tests.gpu_resources import dra_chart

OPERATOR = pod("gpu-operator-1", namespace="nvidia", labels={"app": "gpu-operator"})


def policy(name: str, namespace: str, state: str = "ready") -> Manifest:
    return {"kind": "ClusterPolicy", "metadata": meta(name, ""), "status": {"state": state, "namespace": namespace}}


@pytest.mark.parametrize(
    ("manifests", "found"),
    [
        ((), ""),
        ((pod("web", namespace="shop"), gpu.nfd_set(namespace="nfd")), ""),
        ((gpu.operand_set("nvidia-driver-daemonset"),), gpu.NAMESPACE),
        ((*dra_chart(), gpu.operand_set("nvidia-driver-daemonset")), gpu.NAMESPACE),
        ((gpu.operand_set("nvidia-driver-daemonset"), OPERATOR), "nvidia"),
        ((OPERATOR, policy("a", "told")), "told"),
        ((OPERATOR, policy("a", "old", "ignored"), policy("b", "")), "nvidia"),
    ],
    ids=[
        "nothing",
        "NFD alone",
        "operands",
        "not the chart of the DRA driver",
        "its pod",
        "the policy in force",
        "policies that do not tell",
    ],
)
def test_what_tells_it(manifests: tuple[Any, ...], found: str) -> None:
    known = situation(*manifests)
    assert operator_namespace(known) == found
    assert for_commands(known) == found or (not found and for_commands(known) == "gpu-operator")


def test_the_configuration_names_one_that_nothing_else_tells_of() -> None:
    """An operator that is scaled to 0 in a namespace of its own, without a DaemonSet."""
    stopped = gpu.operator()
    stopped["metadata"]["namespace"] = "gpus"
    stopped["spec"]["replicas"] = 0
    known = situation(stopped)
    assert survey(known).operator is None
    known.apply(Reading(CONFIGURED, SourceState.LIVE, NOW, Configured("gpus")))
    assert operator_namespace(known) == for_commands(known) == "gpus"
    operator = survey(known).operator
    assert operator is not None and operator.namespace == "gpus"
