"""GPUs that a cloud or a cluster's owner gives out without the GPU Operator: one cause where one thing is broken."""

from collections.abc import Mapping
from typing import Any, Final

import pytest

from situation.findings import Diagnosis, Layer, Mark, Severity
from situation.gpu.chain import chain_of
from situation.gpu.links import Component, LinkState
from tests import gpu_objects as gpu
from tests.build import NOW, Manifest, ago, judged, node, pod, situation
from tests.diagnosis.objects import daemonset, texts
from tests.diagnosis.unscheduled import asks

LOST: Final = "node-gpus-lost"
GKE: Final = {"cloud.google.com/gke-accelerator": "nvidia-l4"}
EKS: Final = {"k8s.amazonaws.com/accelerator": "nvidia-tesla-v100"}
AKS: Final = {"kubernetes.azure.com/accelerator": "nvidia"}
OF_GKE: Final = "nvidia-gpu-device-plugin-small-cos"
"""GKE deploys its plugin once for each size and image of node."""


def gpus(count: int | None, labels: Mapping[str, str]) -> Manifest:
    return gpu.bare_node(count, "pool-1", labels=labels, seen=False)


def cloud_pod(name: str, container: str, labels: Mapping[str, str], **fields: Any) -> Manifest:
    made = pod(f"{name}-x", namespace="kube-system", owner=f"DaemonSet/{name}", labels=labels, node="pool-1",
               age_s=gpu.DAY, **fields)  # fmt: skip
    made["spec"]["containers"][0]["name"] = made["status"]["containerStatuses"][0]["name"] = container
    return made


def gke_plugin(**fields: Any) -> Manifest:
    return cloud_pod(OF_GKE, "nvidia-gpu-device-plugin", {"k8s-app": "nvidia-gpu-device-plugin"}, **fields)


def gke_driver(**fields: Any) -> Manifest:
    return cloud_pod("nvidia-driver-installer", "pause", {"k8s-app": "nvidia-driver-installer"}, **fields)


def own_plugin(**fields: Any) -> Manifest:
    """Return the plugin's pod as its static manifest, which EKS and AKS point to, makes it."""
    return cloud_pod("nvidia-device-plugin-daemonset", "nvidia-device-plugin-ctr",
                     {"name": "nvidia-device-plugin-ds"}, **fields)  # fmt: skip


def shown(diagnosis: Diagnosis) -> dict[str, set[str]]:
    """Return the causes by rule and subject, with the rules of what follows from each."""
    return {
        f"{cause.rule} {cause.subject.name}": {item.rule for item in cause.consequences} for cause in diagnosis.causes
    }


CRASHES: Final[dict[str, Any]] = {"ready": False, "container_status": gpu.crashing()}


@pytest.mark.parametrize("offered", [0, None], ids=["plugin gone", "plugin never registered"])
@pytest.mark.parametrize(
    ("labels", "plugin", "name"),
    [(GKE, gke_plugin(**CRASHES), OF_GKE), (EKS, own_plugin(**CRASHES), "nvidia-device-plugin-daemonset"),
     (AKS, own_plugin(**CRASHES), "nvidia-device-plugin-daemonset")],
    ids=["GKE", "EKS", "AKS"],
)  # fmt: skip
def test_a_cloud_plugin_that_crashes_is_the_one_cause(
    labels: dict[str, str], plugin: Manifest, name: str, offered: int | None
) -> None:
    diagnosis = judged(gpus(offered, labels), plugin, daemonset(name, desired=1, ready=0), asks())
    assert shown(diagnosis).keys() == {f"gpu-link-broken {name}"}
    assert {LOST, "gpus-short"} <= shown(diagnosis)[f"gpu-link-broken {name}"]
    assert (diagnosis.causes[0].layer, diagnosis.causes[0].severity) == (Layer.NODE, Severity.CRITICAL)


def test_a_driver_that_gke_cannot_install_is_the_cause_and_the_plugin_is_not() -> None:
    diagnosis = judged(gpus(None, GKE), gke_plugin(), gke_driver(**CRASHES), asks())
    assert shown(diagnosis) == {"gpu-link-broken nvidia-driver-installer": {LOST, "gpus-short"}}


@pytest.mark.parametrize(("ran_s", "is_told"), [(600, False), (1500, True)])
def test_a_driver_that_gke_installs_is_given_the_time_that_a_driver_takes(ran_s: float, is_told: bool) -> None:
    installs = gke_driver(ready=False, phase="Pending")
    installs["spec"]["initContainers"] = [{"name": "nvidia-driver-installer"}]
    running = {"running": {"startedAt": ago(ran_s)}}
    installs["status"]["initContainerStatuses"] = [
        {"name": "nvidia-driver-installer", "restartCount": 0, "ready": False, "state": running}
    ]
    diagnosis = judged(gpus(None, GKE), gke_plugin(), installs)
    assert shown(diagnosis) == ({"gpu-link-broken nvidia-driver-installer": {LOST}} if is_told else {})


@pytest.mark.parametrize(
    ("labels", "plugin", "container"),
    [(GKE, gke_plugin(), "nvidia-gpu-device-plugin"), (EKS, own_plugin(), "nvidia-device-plugin-ctr")],
    ids=["GKE", "EKS"],
)
def test_a_plugin_that_is_ready_and_registers_nothing_is_asked_for_its_log(
    labels: dict[str, str], plugin: Manifest, container: str
) -> None:
    diagnosis = judged(gpus(None, labels), plugin)
    assert shown(diagnosis) == {f"{LOST} pool-1": set()}
    cause = diagnosis.causes[0]
    assert "is Ready and registers no GPU" in texts(cause, Mark.OPEN)
    assert cause.next[0].argv[-2] == container
    assert cause.next[0].purpose == "why does it register no GPU?"
    assert {command.namespace for command in cause.next if "pods" in command.argv} == {"kube-system"}


@pytest.mark.parametrize(
    "manifests",
    [
        [gpus(1, GKE), gke_plugin(), gke_driver()],
        [gpus(4, EKS), own_plugin()],
        [gpus(1, AKS), own_plugin()],
        [gpus(None, {**GKE, "gke-no-default-nvidia-gpu-device-plugin": "true"})],
        [gpus(None, EKS)],
        [gpus(None, {"cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice"}), gke_plugin()],
    ],
    ids=["GKE", "EKS", "AKS", "GKE's plugin kept off", "given out in another way", "no NVIDIA GPU"],
)
def test_nothing_is_wrong(manifests: list[Manifest]) -> None:
    assert shown(judged(*manifests)) == {}


def test_an_exporter_of_its_own_chart_is_a_link_of_its_node_and_no_application() -> None:
    exporter = cloud_pod("dcgm-exporter", "exporter", {"app.kubernetes.io/name": "dcgm-exporter"}, **CRASHES)
    diagnosis = judged(gpus(4, EKS), own_plugin(), exporter)
    assert shown(diagnosis) == {"gpu-link-broken dcgm-exporter": set()}
    assert (diagnosis.causes[0].layer, diagnosis.causes[0].severity) == (Layer.NODE, Severity.WARNING)


@pytest.mark.parametrize("count", [8, None], ids=["well", "no GPU"])
def test_an_exporter_of_its_own_chart_makes_no_operator(count: int | None) -> None:
    """Labels are left of an operator that was removed: nothing brings a driver, and nothing is missing."""
    labels = {"app.kubernetes.io/name": "dcgm-exporter"}
    exporter = cloud_pod("dcgm-exporter", "exporter", labels)
    deployed = daemonset("dcgm-exporter", desired=1, ready=1)
    deployed["metadata"]["labels"] = deployed["spec"]["template"]["metadata"]["labels"] = labels
    left = gpu.bare_node(
        count, "pool-1", labels={"nvidia.com/gpu.present": "true", **gpu.deploy("true", "operator-validator")}
    )
    found = judged(left, exporter, deployed)
    assert all(cause.severity is Severity.INFO for cause in found.causes)
    assert shown(found).keys() == ({"node-gpus-lost pool-1"} if count is None else set())


def test_a_pod_that_waits_is_told_of_the_node_whose_gpus_nobody_gives_out() -> None:
    diagnosis = judged(gpus(None, EKS), asks())
    assert shown(diagnosis) == {"gpus-short llm-1": set()}
    assert "offers none: pool-1" in texts(diagnosis.causes[0])
    assert "no device plugin is seen on pool-1" in texts(diagnosis.causes[0])
    assert "does any device plugin run on it?" in {command.purpose for command in diagnosis.causes[0].next}


def test_a_node_that_a_plugin_of_ones_own_leaves_out_waits_for_no_operator() -> None:
    left_out = daemonset("nvidia-device-plugin-daemonset", desired=0, ready=0)
    left_out["spec"]["template"]["spec"]["nodeSelector"] = {"pool": "other"}
    known = situation(node("pool-1", labels=EKS), left_out)
    chain = chain_of("pool-1", known, NOW)
    link = chain.link(Component.PLUGIN) if chain else None
    assert link is not None
    assert (link.state, link.waits_for) == (LinkState.NOT_WANTED, None)


def test_a_node_that_the_operator_wants_a_plugin_on_and_another_plugin_leaves_out_lacks_one() -> None:
    of = tuple(name for name in gpu.USUAL if name != gpu.PLUGIN)
    other = daemonset("nvidia-device-plugin-daemonset", desired=0, ready=0)
    other["spec"]["template"]["spec"]["nodeSelector"] = {"pool": "other"}
    rest = (*gpu.operands(without=(gpu.PLUGIN,)), *gpu.operand_sets(of=of), gpu.operator())
    (cause,) = judged(gpu.gpu_node(0), *rest, other).causes
    assert cause.rule == "gpu-link-broken"
    assert any("label pool=other is missing" in text for text in (cause.title, *texts(cause)))


@pytest.mark.parametrize("step", ["driver-validation", "toolkit-validation"])
def test_what_the_host_brings_is_not_said_to_work(step: str) -> None:
    """Nothing in the cluster shows whether a driver of the host answers; the step that fails is what tries it."""
    of = (gpu.VALIDATOR, gpu.PLUGIN, gpu.GFD)
    diagnosis = judged(
        gpu.gpu_node(None, of=of),
        gpu.operand_pod(gpu.VALIDATOR, init=step, broken=gpu.crashing()),
        *(gpu.operand_pod(name, init="toolkit-validation", since_s=600) for name in of[1:]),
        *gpu.operand_sets(of=of),
        gpu.operator(),
    )
    cause = diagnosis.causes[0]
    assert cause.subject.name == gpu.VALIDATOR
    assert "driver" not in texts(cause, Mark.EXCLUDES)
    assert "the host brings its own driver and toolkit: no pod shows whether that works" in texts(cause, Mark.OPEN)
    assert (("nvidia-smi",), "node gpu-1") in [(command.argv, command.where) for command in cause.next]
