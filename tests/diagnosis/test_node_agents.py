"""Node agents that are not ready, and nodes whose GPUs are lost."""

from typing import Any

import pytest

from diagnosis.rules import gpus, node_agents, nodes
from situation.findings import Effect, Layer, Severity
from situation.meta import Ref
from situation.readings import SourceState
from tests.build import Manifest, ago, node, pod, situation
from tests.diagnosis.objects import causes_of, daemonset, first_command, ready_condition

RULES = nodes.RULES + node_agents.RULES + gpus.RULES


def found(*manifests: Manifest) -> dict[str, Any]:
    return causes_of(RULES, situation(*manifests))


def agent_pod(of: str, *, ready: bool = False, age_s: float = 9000, on: str = "node-1", **fields: Any) -> Manifest:
    labels = {"app": of}
    namespace = "gpu-operator" if "nvidia" in of else "kube-system"
    return pod(f"{of}-x", namespace=namespace, owner=f"DaemonSet/{of}", labels=labels, ready=ready, age_s=age_s,
               node=on, **fields)  # fmt: skip


CRASHING = {"restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}


@pytest.mark.parametrize(
    ("name", "layer", "title"),
    [
        ("calico-node", Layer.NETWORK, "calico-node (network plugin) is not ready on 1 of 2 nodes"),
        ("kube-proxy", Layer.NETWORK, "kube-proxy (kube-proxy) is not ready on 1 of 2 nodes"),
        ("ebs-csi-node", Layer.NODE, "ebs-csi-node (storage driver) is not ready on 1 of 2 nodes"),
    ],
)
def test_an_agent_that_is_not_ready(name: str, layer: Layer, title: str) -> None:
    causes = found(daemonset(name), agent_pod(name), node(), node("node-2"))
    finding = causes["node-agent-not-ready"]
    assert list(causes) == ["node-agent-not-ready"]
    assert finding.subject == Ref("DaemonSet", "kube-system", name)
    assert (finding.layer, finding.severity, finding.title) == (layer, Severity.WARNING, title)
    assert first_command(finding) == f"kubectl -n kube-system get pods -l app={name} -o wide"


def gpu_daemonset(name: str, **fields: Any) -> Manifest:
    return daemonset(name, namespace="gpu-operator", desired=1, ready=0, **fields)


@pytest.mark.parametrize(
    "manifests",
    [
        [daemonset("calico-node", ready=2)],
        [daemonset("calico-node"), agent_pod("calico-node", age_s=60)],
        [daemonset("log-shipper"), agent_pod("log-shipper")],
        [daemonset("calico-node", current=1, age_s=60)],
        [gpu_daemonset("nvidia-driver-daemonset"), agent_pod("nvidia-driver-daemonset", age_s=900)],
    ],
    ids=["ready", "young pod", "no node agent", "young DaemonSet", "driver compiles"],
)
def test_agents_that_are_well_or_given_time(manifests: list[Manifest]) -> None:
    assert not found(node(), node("node-2"), *manifests)


def test_pods_that_are_missing_count_too() -> None:
    assert "node-agent-not-ready" in found(daemonset("kube-proxy", current=1))


def test_an_operand_of_the_gpu_chain_is_judged_node_by_node_instead() -> None:
    driver = "nvidia-driver-daemonset"
    manifests = [gpu_daemonset(driver), agent_pod(driver, container_status=CRASHING)]
    assert "node-agent-not-ready" not in found(node(), *manifests)
    blind = situation(*manifests, missing={"nodes": SourceState.FORBIDDEN})
    assert "node-agent-not-ready" in causes_of(RULES, blind)


def test_an_agent_on_a_dead_node_follows_the_node() -> None:
    gone = node(conditions=ready_condition("Unknown", reason="NodeStatusUnknown"))
    causes = found(gone, node("node-2"), daemonset("calico-node"), agent_pod("calico-node"))
    assert list(causes) == ["node-unreachable"]
    assert [item.rule for item in causes["node-unreachable"].consequences] == ["node-agent-not-ready"]


def gpu_node(
    capacity: str | None, allocatable: str | None, *, resource: str = "nvidia.com/gpu", more: Manifest | None = None,
    present: bool = True, age_s: float = 86400,
) -> Manifest:  # fmt: skip
    def offer(count: str | None) -> Manifest:
        return {"cpu": "8", **({resource: count} if count is not None else {})}

    made = node(
        labels={**({"nvidia.com/gpu.present": "true"} if present else {}), **(more or {})},
        status={"capacity": offer(capacity), "allocatable": offer(allocatable)},
        conditions=ready_condition("True", age_s=age_s),
    )
    made["metadata"]["creationTimestamp"] = ago(age_s)
    return made


PLUGIN = agent_pod("nvidia-device-plugin-daemonset", ready=True)
PLUGIN["spec"]["containers"][0]["name"] = PLUGIN["status"]["containerStatuses"][0]["name"] = "nvidia-device-plugin"
OTHER_PLUGIN = daemonset("nvidia-device-plugin-daemonset", namespace="gpu-operator", desired=1, ready=1)


@pytest.mark.parametrize(
    ("made", "pods", "title"),
    [
        (gpu_node(None, None), [PLUGIN], "has GPUs but offers none: the device plugin never registered"),
        (gpu_node("0", "0"), [], "offers no GPU any more: the device plugin is not registered"),
        (gpu_node("0", "0", present=False), [], "offers no GPU any more: the device plugin is not registered"),
        (gpu_node("8", "0"), [], "offers no GPU: the device plugin has stopped"),
        (gpu_node("8", "0"), [PLUGIN], "offers no GPU: every GPU is unhealthy"),
    ],
)
def test_a_node_that_lost_its_gpus(made: Manifest, pods: list[Manifest], title: str) -> None:
    causes = found(made, OTHER_PLUGIN, *pods)
    finding = causes["node-gpus-lost"]
    assert list(causes) == ["node-gpus-lost"]
    assert (finding.subject, finding.layer) == (Ref("Node", "", "node-1"), Layer.NODE)
    assert (finding.severity, finding.title) == (Severity.CRITICAL, f"node-1 {title}")
    log = "logs nvidia-device-plugin-daemonset-x -c nvidia-device-plugin --tail=200"
    listed = "get pods -o wide --field-selector spec.nodeName=node-1"
    says_why = pods and "never registered" in title
    assert first_command(finding) == f"kubectl -n gpu-operator {log if says_why else listed}"


DRIVER = agent_pod("nvidia-driver-daemonset", age_s=300)


@pytest.mark.parametrize(
    ("made", "more"),
    [
        (gpu_node("8", "8"), []),
        (gpu_node(None, None, present=False), []),
        (gpu_node(None, None, age_s=300), [OTHER_PLUGIN]),
        (gpu_node(None, None), [DRIVER]),
        (gpu_node("0", "0", age_s=60), [OTHER_PLUGIN]),
        (gpu_node("8", "0"), [agent_pod("nvidia-device-plugin-daemonset", age_s=20)]),
        (gpu_node(None, None, more={"nvidia.com/gpu.deploy.operands": "false"}), [OTHER_PLUGIN]),
        (gpu_node(None, None, more={"nvidia.com/gpu.workload.config": "vm-passthrough"}), [OTHER_PLUGIN]),
        (gpu_node(None, None, more={"nvidia.com/gpu.deploy.dra-driver": "true"}), [OTHER_PLUGIN]),
        (gpu_node("7", "7", resource="nvidia.com/mig-1g.10gb"), []),
        (gpu_node("4", "4", resource="nvidia.com/gpu.shared"), []),
    ],
    ids=[
        "full", "no GPU node", "young node", "driver compiles", "back from a reboot", "plugin restarts",
        "switched off", "virtual machines", "DRA", "MIG", "shared",
    ],
)  # fmt: skip
def test_nodes_whose_gpus_are_fine_meant_or_given_time(made: Manifest, more: list[Manifest]) -> None:
    assert not found(made, *more)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ({"nvidia.com/mig.config.state": "pending"}, "while its MIG layout is changed"),
        ({"nvidia.com/gpu-driver-upgrade-state": "pod-restart-required"}, "while its driver is upgraded"),
    ],
)
def test_a_change_under_way_is_a_hint(labels: dict[str, str], words: str) -> None:
    finding = found(gpu_node("0", "0", more=labels), OTHER_PLUGIN)["node-gpus-lost"]
    assert (finding.severity, finding.title) == (Severity.INFO, f"node-1 offers no GPU {words}")


def test_labels_left_of_a_removed_operator_are_a_hint() -> None:
    assert found(gpu_node(None, None))["node-gpus-lost"].severity is Severity.INFO


def test_some_unhealthy_gpus() -> None:
    health = {"allocatedResourcesStatus": [
        {"name": "nvidia.com/gpu", "resources": [{"resourceID": "GPU-1", "health": "Unhealthy"}]}]}  # fmt: skip
    user = pod("train-1", container_status=health)
    causes = found(gpu_node("8", "7"), PLUGIN, OTHER_PLUGIN, user)
    assert list(causes) == ["gpu-unhealthy"]
    finding = causes["gpu-unhealthy"]
    assert (finding.title, finding.severity) == ("node-1 has 1 of 8 GPUs unhealthy", Severity.WARNING)
    assert any("shop/train-1: GPU-1 Unhealthy" in line.text for line in finding.evidence)
    assert first_command(finding) == (
        "kubectl -n gpu-operator logs nvidia-device-plugin-daemonset-x -c nvidia-device-plugin --tail=200"
    )
    assert finding.next[-1].effect is Effect.MUTATING


COUNTED = {"nvidia.com/gpu.count": "8", "nvidia.com/gpu.replicas": "1"}


@pytest.mark.parametrize(
    ("made", "plugin", "fires"),
    [
        (gpu_node("7", "7", more=COUNTED), PLUGIN, True),
        (gpu_node("8", "8", more=COUNTED), PLUGIN, False),
        (gpu_node("16", "16", more={**COUNTED, "nvidia.com/gpu.replicas": "2"}), PLUGIN, False),
        (gpu_node("7", "7", more={**COUNTED, "nvidia.com/mig.strategy": "mixed"}), PLUGIN, False),
        (gpu_node("7", "7", more=COUNTED), agent_pod("nvidia-device-plugin-daemonset", ready=True, age_s=30), False),
    ],
    ids=["one is gone", "all there", "time-sliced", "MIG", "plugin just came"],
)
def test_fewer_gpus_than_were_counted(made: Manifest, plugin: Manifest, fires: bool) -> None:
    causes = found(made, plugin, OTHER_PLUGIN)
    assert list(causes) == (["gpu-missing"] if fires else [])
    if fires:
        assert causes["gpu-missing"].title == "node-1 shows 7 of 8 GPUs"
