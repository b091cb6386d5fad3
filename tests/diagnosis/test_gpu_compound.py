"""Several things broken at once in one fleet: exactly one cause for each, and what follows is under the right one."""

from datetime import timedelta
from typing import Final

import pytest

from diagnosis.engine import Engine, diagnose
from situation.findings import Severity
from situation.meta import Ref
from situation.readings import Changed, Reading, SourceState
from tests import gpu_objects as gpu
from tests import gpu_resources as resources
from tests.build import NOW, Manifest, ago, judged, made, node, pod, situation
from tests.diagnosis.healthy import deployment, replicaset
from tests.diagnosis.objects import shape
from tests.diagnosis.unscheduled import asks
from tests.gpu_objects import DRIVER, PLUGIN, crashing, gpu_node, operand_pod, operands, waiting_pods

SORT: Final = {"node.kubernetes.io/instance-type": "p5.48xlarge"}
MASTER: Final = {"app.kubernetes.io/name": "node-feature-discovery", "role": "master"}
UPGRADED: Final = ("container-toolkit", "operator-validator", "device-plugin", "gpu-feature-discovery", "dcgm-exporter",
                   "mig-manager")  # fmt: skip
LOST, NOT_READY = "node-gpus-lost", "gpu-operator-ready-in-name"


def in_namespace(manifest: Manifest) -> Manifest:
    return {**manifest, "metadata": {**manifest["metadata"], "namespace": gpu.NAMESPACE}}


def failing(name: str, labels: dict[str, str]) -> list[Manifest]:
    """Return a Deployment of the GPU Operator's namespace whose pod crashes."""
    made = in_namespace(deployment(name, ready=0))
    made["metadata"]["labels"] = labels
    return [
        made,
        in_namespace(replicaset(f"{name}-1", name, 1, 1, 0)),
        pod(f"{name}-1-x", namespace=gpu.NAMESPACE, owner=f"ReplicaSet/{name}-1", labels=labels, ready=False,
            container_status=crashing()),
    ]  # fmt: skip


def well(name: str) -> list[Manifest]:
    return [gpu_node(8, name), *operands(name), gpu.nfd_worker(name)]


def dead_driver(name: str = "gpu-1", labels: dict[str, str] | None = None) -> list[Manifest]:
    return [gpu_node(None, name, labels=labels), operand_pod(DRIVER, name, broken=crashing()), *waiting_pods(name),
            gpu.nfd_worker(name)]  # fmt: skip


def dead_plugin(name: str, labels: dict[str, str] | None = None) -> list[Manifest]:
    return [gpu_node(0, name, labels=labels), *operands(name, without=(PLUGIN,)), gpu.nfd_worker(name),
            operand_pod(PLUGIN, name, broken=crashing())]  # fmt: skip


def unlabelled(name: str = "gpu-3", age_s: float = gpu.DAY) -> Manifest:
    """Return a node of which NFD says that it has a GPU, and which the operator has not labelled."""
    made = gpu.bare_node(None, name, seen=False, age_s=age_s)
    made["metadata"]["labels"]["feature.node.kubernetes.io/pci-10de.present"] = "true"
    return made


def fleet(nodes: int) -> list[Manifest]:
    return [*gpu.operand_sets(nodes), gpu.nfd_set(), resources.policy()]


def told(*manifests: Manifest) -> dict[str, set[str]]:
    """Return the causes but for hints by what they are about: `rule/name` of what follows, waiting operands aside."""
    found = {}
    for cause in judged(*manifests).causes:
        if cause.severity is not Severity.INFO:
            follows = {f"{item.rule}/{item.subject.name}" for item in cause.consequences}
            found[cause.subject.name] = {item for item in follows if not item.startswith("gpu-link-waits/")}
    return found


def test_two_links_on_two_nodes() -> None:
    found = told(*dead_driver(), *dead_plugin("gpu-2"), *fleet(2), gpu.operator())
    assert found.keys() == {DRIVER, PLUGIN}
    assert f"{LOST}/gpu-1" in found[DRIVER]
    assert found[PLUGIN] - {f"{NOT_READY}/cluster-policy"} == {f"{LOST}/gpu-2"}


def test_a_dead_driver_while_nfd_is_down_for_all() -> None:
    """The master's labels stay on the nodes that had them: only the node that joined lacks them."""
    found = told(
        *dead_driver(labels=SORT), *well("gpu-2"), node("gpu-3", labels=SORT), gpu.nfd_worker("gpu-3"),
        *failing("nfd-master", MASTER), *fleet(2), gpu.operator(),
    )  # fmt: skip
    assert found.keys() == {DRIVER, "nfd-master"}
    assert found["nfd-master"] == {"gpu-node-not-discovered/gpu-3"}


def test_an_upgrade_under_way_is_no_fault_beside_a_dead_driver() -> None:
    cordon = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule", "timeAdded": ago(120)}
    labels = {
        "nvidia.com/gpu-driver-upgrade-state": "pod-restart-required",
        **gpu.deploy("paused-for-driver-upgrade", *UPGRADED),
    }
    upgraded = [
        gpu_node(None, "gpu-2", labels=labels, spec={"unschedulable": True, "taints": [cordon]}),
        operand_pod(DRIVER, "gpu-2", init="k8s-driver-manager", since_s=100, age_s=100),
    ]
    found = told(*dead_driver(), *upgraded, gpu.nfd_worker("gpu-2"), *fleet(1), gpu.operator(), asks())
    assert found.keys() == {DRIVER}
    assert {f"{LOST}/gpu-1", "gpus-short/llm-1"} <= found[DRIVER]


@pytest.mark.parametrize("state", ["pending", "rebooting", "success"])
def test_a_plugin_that_crashes_is_not_a_mig_change_that_hangs(state: str) -> None:
    """A change stops the plugin first: one that is still there and fails has taken the GPUs away itself."""
    labels = {"nvidia.com/mig.config": "all-1g.10gb", "nvidia.com/mig.config.state": state}
    found = told(*dead_plugin("gpu-1", labels), *fleet(1), gpu.operator())
    assert found.keys() == {PLUGIN}
    assert f"{LOST}/gpu-1" in found[PLUGIN]


def test_nor_is_it_without_the_operator_who_labels_where_a_plugin_belongs() -> None:
    labels = {"nvidia.com/mig.config": "all-1g.10gb", "nvidia.com/mig.config.state": "pending"}
    plugin = operand_pod(PLUGIN, "gpu-1", broken=crashing())
    bare = gpu.bare_node(0, "gpu-1", labels={"nvidia.com/gpu.present": "true", **labels})
    assert "mig-change-stuck" not in {cause.rule for cause in judged(bare, plugin, gpu.operand_set(PLUGIN)).causes}


def test_a_dead_operator_is_the_cause_of_the_node_that_joined_and_of_no_other() -> None:
    operator = failing("gpu-operator", {"app": "gpu-operator"})
    assert told(*well("gpu-1"), *fleet(1), *operator) == {"gpu-operator": set()}
    full = resources.user(gpus="8")
    found = told(*well("gpu-1"), full, unlabelled(), gpu.nfd_worker("gpu-3"), *fleet(1), *operator, asks())
    assert found == {"gpu-operator": {f"{LOST}/gpu-3", "gpus-short/llm-1", f"{NOT_READY}/cluster-policy"}}


@pytest.mark.parametrize(("age_s", "is_told"), [(gpu.DAY, True), (100, False)])
def test_an_operator_that_somebody_stopped(age_s: float, is_told: bool) -> None:
    stopped = gpu.operator(ready=0)
    stopped["spec"]["replicas"] = stopped["status"]["replicas"] = 0
    joined = [unlabelled(age_s=age_s), gpu.nfd_worker("gpu-3")]
    assert told(*well("gpu-1"), *fleet(1), stopped) == {}
    diagnosis = judged(*well("gpu-1"), *joined, *fleet(1), stopped)
    assert bool(diagnosis.causes) is is_told
    if is_told:
        cause = diagnosis.causes[0]
        assert cause.subject == Ref("Deployment", gpu.NAMESPACE, "gpu-operator")
        assert cause.title == "gpu-operator is scaled to 0 and has not labelled the node"
        assert LOST in {item.rule for item in cause.consequences}


def test_a_gpu_that_only_feature_discovery_knows_of_is_nobodys_fault() -> None:
    """NFD runs in clusters that give out no GPU; a pod that asks for one is told where they are."""
    alone = [unlabelled(), gpu.nfd_worker("gpu-3"), gpu.nfd_set()]
    assert judged(*alone).causes == ()
    assert told(*alone, asks()) == {"llm-1": set()}


def test_judging_what_changed_says_the_same_as_judging_everything() -> None:
    """The operator comes and goes, a node of the machines with GPUs joins unseen, a cloud's plugin fails."""
    alike, cloud = node("gpu-4", labels=SORT), {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    plugin = pod("nvidia-gpu-device-plugin-x", namespace="kube-system", owner="DaemonSet/nvidia-gpu-device-plugin",
                 labels={"k8s-app": "nvidia-gpu-device-plugin"}, node="gpu-5", age_s=gpu.DAY)  # fmt: skip
    seen = gpu.bare_node(8, "gpu-1", labels=SORT)
    known, engine, now = situation(seen, alike), Engine(), NOW
    engine.judge(known, (), now)
    stopped = gpu.operator(ready=0)
    stopped["spec"]["replicas"] = 0
    steps: list[tuple[Manifest, bool]] = [
        (gpu.operator(), False),
        (gpu.operator(), True),
        (gpu.operator(), False),
        (unlabelled(), False),
        (stopped, False),
        (gpu.operator(), False),
        (unlabelled(), True),
        (gpu.bare_node(None, "gpu-5", labels=cloud, seen=False), False),
        (plugin, False),
        ({**plugin, "status": {**plugin["status"], "containerStatuses": [{"name": "app", **crashing()}]}}, False),
        (plugin, True),
    ]
    for manifest, removed in steps:
        kind, item = manifest["kind"].lower() + "s", made(manifest)
        value = Changed(kind, removed=(item.key,)) if removed else Changed(kind, (item,))
        changes = known.apply(Reading(f"kubernetes/{kind}", SourceState.LIVE, now, value))
        assert shape(engine.judge(known, changes, now)) == shape(diagnose(known, now)), manifest["metadata"]["name"]
        now += timedelta(seconds=5)
        assert shape(engine.judge(known, (), now)) == shape(diagnose(known, now)), manifest["metadata"]["name"]
