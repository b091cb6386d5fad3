"""The GPU chain of one node: every edge of the graph, every state, every way in which a component is recognised."""

from datetime import timedelta
from typing import Any

import pytest

from situation.gpu.chain import BROKEN, Component, Link, LinkState, NodeChain, is_gpu_node, node_chain
from situation.gpu.components import NEEDS, ORDER, PARTS, awaited, component_of, needs_of
from situation.gpu.fleet import Fleet
from situation.readings import Changed, Reading, SourceState
from situation.situation import Situation
from tests import gpu_objects as gpu
from tests.build import NOW, Manifest, ago, event, made, node, pod, situation
from tests.gpu_objects import (
    DCGM,
    DRA,
    DRIVER,
    EXPORTER,
    GFD,
    MIG,
    MPS,
    NFD_WORKER,
    PLUGIN,
    TOOLKIT,
    USUAL,
    VALIDATOR,
    crashing,
    gpu_node,
    labelled,
    named,
    nfd_set,
    operand_pod,
    operand_set,
    operand_sets,
    operands,
    operator,
    waiting_for,
    waiting_pods,
)
from tests.gpu_resources import dra_chart

C, S = Component, LinkState
CONTROL = [operator(), nfd_set(), operand_pod(NFD_WORKER)]
ALL_SETS = [*operand_sets(), *CONTROL]
DISCOVERED = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "nvidia.com/mig.capable": "true"}
NEW: dict[str, str | None] = {"nvidia.com/mig.capable": None}
"""What GFD has yet to tell."""


def chain(*manifests: Manifest, node_name: str = "gpu-1", after_s: float = 0) -> NodeChain:
    known = situation(*manifests)
    return chain_in(known, node_name, after_s)


def chain_in(known: Situation, node_name: str = "gpu-1", after_s: float = 0) -> NodeChain:
    found = known.node(node_name)
    assert found is not None
    return node_chain(found, known, NOW + timedelta(seconds=after_s))


def link(component: Component, *manifests: Manifest, **more: Any) -> Link:
    found = chain(*manifests, **more).link(component)
    assert found is not None
    return found


def said(found: Link) -> tuple[LinkState, Component | None]:
    return (found.state, found.waits_for)


# The graph


@pytest.mark.parametrize(
    ("after", "needs"),
    [
        (C.NFD, ()),
        (C.OPERATOR, ()),
        (C.DRIVER, ()),
        (C.TOOLKIT, (C.DRIVER,)),
        (C.VALIDATOR, (C.DRIVER, C.TOOLKIT)),
        (C.PLUGIN, (C.TOOLKIT, C.VALIDATOR, C.MPS)),
        (C.GFD, (C.TOOLKIT, C.VALIDATOR)),
        (C.DCGM, (C.TOOLKIT, C.VALIDATOR, C.DRA_DRIVER)),
        (C.EXPORTER, (C.TOOLKIT, C.VALIDATOR, C.DCGM, C.DRA_DRIVER)),
        (C.MIG, (C.TOOLKIT, C.VALIDATOR)),
        (C.MPS, (C.TOOLKIT, C.VALIDATOR)),
        (C.DRA_DRIVER, (C.DRIVER,)),
        (C.CAPACITY, (C.PLUGIN,)),
        (C.CHECKS, (C.TOOLKIT, C.VALIDATOR, C.PLUGIN, C.DRA_DRIVER, C.CAPACITY)),
    ],
)
def test_what_each_component_needs(after: Component, needs: tuple[Component, ...]) -> None:
    assert PARTS[after].needs == needs
    assert all(ORDER.index(before) < ORDER.index(after) for before in NEEDS[after])


def test_whose_labels_each_component_needs() -> None:
    labelled_by = {component: part.labelled_by for component, part in PARTS.items()}
    assert (labelled_by[C.OPERATOR], labelled_by[C.DRIVER]) == (C.NFD, C.OPERATOR)
    assert {component for component, by in labelled_by.items() if by is C.GFD} == {C.MIG, C.MPS}
    assert tuple(PARTS) == tuple(Component)


def test_the_checks_come_last_and_the_validator_stands_in_the_middle() -> None:
    assert ORDER[-1] is C.CHECKS
    assert ORDER.index(C.TOOLKIT) < ORDER.index(C.VALIDATOR) < ORDER.index(C.PLUGIN)
    assert C.PLUGIN not in NEEDS[C.GFD]
    assert needs_of(C.CHECKS, "cuda-validation") == (C.DRIVER, C.TOOLKIT)
    assert awaited(C.VALIDATOR, "toolkit-validation") is C.TOOLKIT
    assert awaited(C.PLUGIN, "toolkit-validation") is C.VALIDATOR


def waits(component: Component, upon: Component | None, *manifests: Manifest) -> Any:
    return pytest.param(component, upon, manifests)


STARTING_DRIVER = operand_pod(DRIVER, ready=False, since_s=60, age_s=60)
NO_TOOLKIT = operand_pod(TOOLKIT, ready=False, since_s=30, age_s=30)
DCGM_NODE = gpu_node(of=(*USUAL, DCGM))
MPS_NODE = gpu_node(labels={"nvidia.com/mps.capable": "true"})
STARTING_MPS = operand_pod(MPS, ready=False, since_s=30, age_s=30)
HANDLER = event(f"Pod/{PLUGIN}-gpu-1", "FailedCreatePodSandBox", 'no runtime for "nvidia" is configured',
                namespace=gpu.NAMESPACE)  # fmt: skip


@pytest.mark.parametrize(
    ("component", "upon", "manifests"),
    [
        # 1: NFD worker -> master -> labels
        waits(C.NFD, None, gpu_node(labels={"feature.node.kubernetes.io/pci-10de.present": None}), *ALL_SETS),
        # 2, 3: PCI labels -> operator -> deploy labels -> DaemonSets
        waits(C.DRIVER, C.OPERATOR, gpu_node(None, of=(), age_s=200, labels={"nvidia.com/gpu.present": None}),
              *operand_sets(), operator(), nfd_set(), operand_pod(NFD_WORKER)),
        # 4: MOFED -> driver, which the API does not show: the driver's own step does not end, and its log tells why
        waits(C.DRIVER, None, gpu_node(None), *ALL_SETS, operand_pod(DRIVER, init="k8s-driver-manager", since_s=3000)),
        # 5: k8s-driver-manager -> driver
        waits(C.DRIVER, None, gpu_node(None), *ALL_SETS, operand_pod(DRIVER, init="k8s-driver-manager", since_s=60)),
        # 6: driver -> toolkit
        waits(C.TOOLKIT, C.DRIVER, gpu_node(None), *ALL_SETS, STARTING_DRIVER, *waiting_pods()),
        # 7, 8: toolkit -> runtime handler -> all with the runtime class
        waits(C.PLUGIN, C.TOOLKIT, gpu_node(None), *ALL_SETS, operand_pod(DRIVER), NO_TOOLKIT,
              operand_pod(PLUGIN, started=False, since_s=30), HANDLER),
        # 9: driver step -> toolkit step of the validator
        waits(C.VALIDATOR, C.TOOLKIT, gpu_node(None), *ALL_SETS, operand_pod(DRIVER), NO_TOOLKIT,
              operand_pod(VALIDATOR, init="toolkit-validation", since_s=10)),
        # 10: toolkit-ready, which the validator writes -> six in parallel
        *(waits(component, C.VALIDATOR, DCGM_NODE, MPS_NODE, *ALL_SETS, *operand_sets(of=(DCGM, MPS)),
                operand_pod(DRIVER), operand_pod(TOOLKIT), operand_pod(VALIDATOR, init="driver-validation", since_s=9),
                operand_pod(name, init="toolkit-validation", since_s=600))
          for component, name in ((C.PLUGIN, PLUGIN), (C.GFD, GFD), (C.DCGM, DCGM), (C.EXPORTER, EXPORTER),
                                  (C.MIG, MIG), (C.MPS, MPS))),
        # 11: plugin -> plugin-validation
        waits(C.CHECKS, C.PLUGIN, gpu_node(None), *ALL_SETS, *operands(without=(PLUGIN, VALIDATOR)),
              operand_pod(PLUGIN, ready=False, since_s=30, age_s=30),
              operand_pod(VALIDATOR, init="plugin-validation", since_s=100)),
        # 12: the CUDA step needs driver and toolkit alone
        waits(C.CHECKS, None, gpu_node(None), *ALL_SETS, *operands(without=(PLUGIN, VALIDATOR)),
              operand_pod(PLUGIN, ready=False, since_s=30, age_s=30),
              operand_pod(VALIDATOR, init="cuda-validation", since_s=100)),
        # 13: GFD -> NFD -> labels
        waits(C.GFD, C.NFD, gpu_node(None), *ALL_SETS, *operands()),
        # 14: GFD's label -> MIG manager
        waits(C.MIG, C.GFD, gpu_node(None, of=[name for name in USUAL if name != MIG]), *ALL_SETS,
              STARTING_DRIVER, *waiting_pods()[:-1]),
        # 15: MPS -> plugin, where there is MPS
        waits(C.PLUGIN, C.MPS, MPS_NODE, *ALL_SETS, operand_set(MPS), *operands(without=(PLUGIN,)), STARTING_MPS,
              operand_pod(PLUGIN, ready=False, since_s=30)),
        waits(C.PLUGIN, None, gpu_node(), *ALL_SETS, operand_set(MPS, desired=0), *operands(without=(PLUGIN,)),
              operand_pod(PLUGIN, ready=False, since_s=30)),
        # 16: DCGM -> exporter, where there is DCGM
        waits(C.EXPORTER, C.DCGM, DCGM_NODE, *ALL_SETS, operand_set(DCGM), *operands(without=(EXPORTER,)),
              operand_pod(DCGM, ready=False, since_s=30), operand_pod(EXPORTER, ready=False, since_s=30)),
        waits(C.EXPORTER, None, DCGM_NODE, *ALL_SETS, *operands(without=(EXPORTER,)),
              operand_pod(EXPORTER, ready=False, since_s=30)),
        # the DRA stack: driver -> DRA driver
        waits(C.DRA_DRIVER, C.DRIVER, gpu_node(None, of=(DRIVER, DRA)), *operand_sets(of=(DRIVER, DRA)), *CONTROL,
              STARTING_DRIVER, operand_pod(DRA, init="driver-validation", since_s=600)),
        # plugin -> capacity
        waits(C.CAPACITY, C.PLUGIN, gpu_node(None), *ALL_SETS, *operands(without=(PLUGIN,)),
              operand_pod(PLUGIN, ready=False, since_s=30)),
    ],
)  # fmt: skip
def test_each_edge_of_the_graph(component: Component, upon: Component | None, manifests: tuple[Manifest, ...]) -> None:
    found = link(component, *manifests)
    assert found.waits_for is upon
    assert (found.state is S.WAITING) is (upon is not None)


def test_a_driver_that_waits_for_the_network_driver_fails_itself_once_its_time_is_up() -> None:
    """Edge 4: the step is the same as for a driver that cannot be unloaded."""
    for since_s, state in ((600, S.STARTING), (3000, S.FAILING)):
        waiting = operand_pod(DRIVER, init="k8s-driver-manager", since_s=since_s, age_s=since_s)
        found = link(C.DRIVER, gpu_node(None), *ALL_SETS, waiting)
        assert (found.state, found.container) == (state, "k8s-driver-manager")


def test_a_mig_change_stops_what_uses_the_gpus() -> None:
    """Edge 17."""
    paused = {f"nvidia.com/gpu.deploy.{name}": "paused-for-mig-change" for name in
              ("device-plugin", "gpu-feature-discovery", "dcgm-exporter", "operator-validator")}  # fmt: skip
    labels = {**paused, "nvidia.com/mig.config": "all-1g.10gb", "nvidia.com/mig.config.state": "pending"}
    pods = [*ALL_SETS, *operands(of=(DRIVER, TOOLKIT, MIG))]
    made = chain(gpu_node(0, labels=labels, age_s=300), *pods)
    states = {found.component: found.state for found in made.links}
    assert {component for component, state in states.items() if state is S.PAUSED} == {
        C.VALIDATOR, C.PLUGIN, C.GFD, C.EXPORTER, C.CHECKS, C.CAPACITY,
    }  # fmt: skip
    assert made.broken is None
    assert (manager := made.link(C.MIG)) is not None
    assert (manager.state, manager.text) == (S.STARTING, "change to all-1g.10gb")
    hanging = chain(gpu_node(0, labels=labels, age_s=9000), *pods).broken
    assert hanging is not None
    assert (hanging.component, hanging.text) == (C.MIG, "change to all-1g.10gb hangs")


@pytest.mark.parametrize("validator", [operand_pod(VALIDATOR), operand_pod(VALIDATOR, init="cuda-validation")])
def test_an_upgrade_that_waits_for_the_validator_is_no_link(validator: Manifest) -> None:
    """Edge 18: the upgrade controller uncordons a node once its validator is ready.

    What waits there is the node's cordon. No component of the chain needs it, and none of them bears it: links are
    what has a pod on the node, or shows in its labels or capacity. So the chain says the same with and without the
    upgrade, and the rule `gpu-driver-upgrade-stuck` follows the validator (see the tests of upgrades).
    """
    pods = [*operands(without=(VALIDATOR,)), validator]
    upgrade = {"nvidia.com/gpu-driver-upgrade-state": "validation-required"}
    upgrading = chain(gpu_node(labels=upgrade, spec={"unschedulable": True}), *ALL_SETS, *pods)
    assert upgrading.links == chain(gpu_node(), *ALL_SETS, *pods).links


# The states


def test_a_healthy_node() -> None:
    found = chain(gpu_node(), *ALL_SETS, *operands())
    assert {item.component for item in found.links if item.state is not S.READY} == {C.DCGM, C.MPS, C.DRA_DRIVER}
    capacity = found.link(C.CAPACITY)
    assert capacity is not None and capacity.text == "8 of 8"
    assert found.broken is None


def test_a_crashing_driver_and_the_evidence_of_its_link() -> None:
    found = chain(gpu_node(None), *ALL_SETS, operand_pod(DRIVER, broken=crashing()), *waiting_pods())
    driver = found.broken
    assert driver is not None and driver.component is C.DRIVER
    assert (driver.text, driver.restarts, driver.container) == ("crashes, exit 1 ×4", 4, "nvidia-driver-ctr")
    assert (driver.pod and driver.pod.name, driver.owner and driver.owner.name) == (f"{DRIVER}-gpu-1", DRIVER)
    waiting = [item for item in found.links if item.state is S.WAITING]
    assert len(waiting) == 8
    assert {found.cause_of(item) for item in waiting} == {driver}
    validator = found.link(C.VALIDATOR)
    assert validator is not None and (validator.text, validator.container) == ("waits 0/4", "driver-validation")


@pytest.mark.parametrize("breaks", [C.NFD, C.OPERATOR])
def test_on_a_node_that_nobody_labelled_all_operands_wait_for_the_one_that_is_broken(breaks: Component) -> None:
    fresh = gpu.bare_node(None, seen=False, spec={"taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]})
    worker = operand_pod(gpu.NFD_WORKER, broken=crashing() if breaks is C.NFD else None)
    crashed = pod("gpu-operator-1", namespace=gpu.NAMESPACE, ready=False, labels={"app": "gpu-operator"},
                  owner="Deployment/gpu-operator", node="cpu-1", container_status=crashing())  # fmt: skip
    fails = [crashed, gpu.operator(ready=0)] if breaks is C.OPERATOR else [gpu.operator()]
    fresh["metadata"]["labels"] |= {"feature.node.kubernetes.io/cpu-cpuid.AVX": "true"} if breaks is C.OPERATOR else {}
    found = chain(fresh, *gpu.operand_sets(desired=0), gpu.nfd_set(), worker, *fails)
    assert found.broken is not None and found.broken.component is breaks
    waiting = [item for item in found.links if item.state is S.WAITING]
    assert {C.DRIVER, C.TOOLKIT, C.VALIDATOR, C.PLUGIN, C.GFD, C.EXPORTER} <= {item.component for item in waiting}
    assert {found.cause_of(item) for item in waiting} == {found.broken}


def test_a_change_that_failed_is_not_as_old_as_the_managers_pod() -> None:
    failed = {"nvidia.com/mig.config": "all-1g.10gb", "nvidia.com/mig.config.state": "failed"}
    manager = chain(gpu_node(labels=failed), *ALL_SETS, *operands()).link(C.MIG)
    assert manager is not None
    assert (manager.state, manager.text, manager.since) == (S.FAILING, "change to all-1g.10gb failed", None)


def test_a_layout_that_was_just_asked_for_has_not_failed_because_the_one_before_did() -> None:
    failed = {"nvidia.com/mig.config": "all-1g.10gb", "nvidia.com/mig.config.state": "failed"}
    known = situation(gpu_node(labels=failed), *ALL_SETS, *operands())
    other = made(gpu_node(labels={**failed, "nvidia.com/mig.config": "all-2g.20gb"}))
    known.apply(Reading("kubernetes/nodes", SourceState.LIVE, NOW, Changed("nodes", (other,))))
    fleet = Fleet()
    told = []
    for after_s in (0, 29, 30):
        fleet.update(known, (), NOW + timedelta(seconds=after_s))
        manager = fleet.chains["gpu-1"].link(C.MIG)
        assert manager is not None
        told.append((manager.state, manager.text, manager.until))
    changes = (S.STARTING, "change to all-2g.20gb", NOW + timedelta(seconds=30))
    assert told == [changes, changes, (S.FAILING, "change to all-2g.20gb failed", None)]


VGPU: dict[str, str | None] = {
    "nvidia.com/vgpu.present": "true",
    "nvidia.com/vgpu.host-driver-version": "550.90.05",
    "nvidia.com/gpu.product": "GRID-A100D-3-40C",
}
"""What GFD says in a guest with a part of a GPU; it calls it MIG-capable as well."""
IMAGE = waiting_for("ImagePullBackOff", "not found")


@pytest.mark.parametrize(
    ("component", "state", "text", "manifests"),
    [
        (C.DRIVER, S.FAILING, "ImagePullBackOff", [operand_pod(DRIVER, broken=IMAGE)]),
        (C.DRIVER, S.FAILING, "crashes, exit 1 ×4",
         [operand_pod(DRIVER, init="k8s-driver-manager", broken=crashing())]),
        (C.DRIVER, S.FAILING, "out of memory ×4",
         [operand_pod(DRIVER, broken=crashing(exit_code=137, reason="OOMKilled"))]),
        (C.DRIVER, S.STARTING, "starts", [operand_pod(DRIVER, ready=False, since_s=1100)]),
        (C.DRIVER, S.FAILING, "does not get ready", [operand_pod(DRIVER, ready=False, since_s=1300)]),
        (C.DRIVER, S.STARTING, "waits 0/1", [operand_pod(DRIVER, init="k8s-driver-manager", since_s=900)]),
        (C.DRIVER, S.FAILING, "k8s-driver-manager does not end",
         [operand_pod(DRIVER, init="k8s-driver-manager", since_s=1300)]),
        (C.TOOLKIT, S.STARTING, "waits 0/1",
         [operand_pod(DRIVER, since_s=30), operand_pod(TOOLKIT, init="driver-validation", since_s=900)]),
        (C.TOOLKIT, S.FAILING, "driver-validation does not end",
         [operand_pod(DRIVER), operand_pod(TOOLKIT, init="driver-validation", since_s=900)]),
        (C.TOOLKIT, S.WAITING, "crashes, exit 1 ×4",
         [operand_pod(DRIVER, broken=crashing()), operand_pod(TOOLKIT, broken=crashing())]),
        (C.TOOLKIT, S.FAILING, "ImagePullBackOff",
         [operand_pod(DRIVER, broken=crashing()), operand_pod(TOOLKIT, broken=IMAGE)]),
        (C.TOOLKIT, S.FAILING, "did not bring the runtime its handler",
         [*operands(without=(PLUGIN,)), operand_pod(PLUGIN, started=False, since_s=600), HANDLER]),
        (C.TOOLKIT, S.READY, "",
         [*operands(without=(PLUGIN,)), operand_pod(PLUGIN, started=False, since_s=60), HANDLER]),
        (C.PLUGIN, S.STARTING, "no runtime handler",
         [*operands(without=(PLUGIN,)), operand_pod(PLUGIN, started=False, since_s=60), HANDLER]),
        (C.PLUGIN, S.WAITING, "no runtime handler",
         [*operands(without=(PLUGIN,)), operand_pod(PLUGIN, started=False, since_s=600), HANDLER]),
        (C.VALIDATOR, S.FAILING, "crashes, exit 1 ×4",
         [operand_pod(DRIVER), operand_pod(TOOLKIT),
          operand_pod(VALIDATOR, init="toolkit-validation", broken=crashing())]),
        (C.VALIDATOR, S.READY, "",
         [*operands(without=(VALIDATOR,)), operand_pod(VALIDATOR, init="cuda-validation", broken=crashing())]),
        (C.CHECKS, S.FAILING, "crashes, exit 1 ×4",
         [*operands(without=(VALIDATOR,)), operand_pod(VALIDATOR, init="cuda-validation", broken=crashing())]),
        (C.CHECKS, S.STARTING, "waits 2/4",
         [*operands(without=(VALIDATOR,)), operand_pod(VALIDATOR, init="cuda-validation", since_s=200)]),
        (C.CHECKS, S.FAILING, "plugin-validation does not end",
         [*operands(without=(VALIDATOR,)), operand_pod(VALIDATOR, init="plugin-validation", since_s=600)]),
        (C.EXPORTER, S.FAILING, "does not get ready",
         [*operands(without=(EXPORTER,)), operand_pod(EXPORTER, ready=False, since_s=300)]),
        (C.EXPORTER, S.FAILING, "crashes, exit 1 ×4",
         [*operands(without=(EXPORTER,)), operand_pod(EXPORTER, broken=crashing())]),
    ],
)  # fmt: skip
def test_what_the_pods_say(component: Component, state: LinkState, text: str, manifests: list[Manifest]) -> None:
    found = link(component, gpu_node(), *ALL_SETS, *manifests)
    assert (found.state, found.text) == (state, text)


def test_the_pod_that_the_cuda_step_starts_tells_why_it_fails() -> None:
    trial = pod("nvidia-cuda-validator-abc", namespace=gpu.NAMESPACE, node="gpu-1", ready=False,
                labels={"app": "nvidia-cuda-validator"}, owner="ClusterPolicy/cluster-policy",
                container_status=crashing())  # fmt: skip
    validator = operand_pod(VALIDATOR, init="cuda-validation", broken=crashing())
    found = link(C.CHECKS, gpu_node(), *ALL_SETS, *operands(without=(VALIDATOR,)), validator, trial)
    assert (found.state, found.text) == (S.FAILING, "cuda-validation: crashes, exit 1 ×4")
    assert found.pod is not None and found.pod.name == "nvidia-cuda-validator-abc"
    assert found.owner is not None and found.owner.name == VALIDATOR


def test_a_completed_trial_is_healthy() -> None:
    trial = pod("nvidia-cuda-validator-abc", namespace=gpu.NAMESPACE, node="gpu-1", phase="Succeeded", ready=False,
                labels={"app": "nvidia-cuda-validator"})  # fmt: skip
    assert chain(gpu_node(), *ALL_SETS, *operands(), trial).broken is None


@pytest.mark.parametrize(
    ("component", "state", "text", "labels"),
    [
        (C.DRIVER, S.PREINSTALLED, "host driver", {"nvidia.com/gpu.deploy.driver": "pre-installed"}),
        (C.PLUGIN, S.NOT_WANTED, "switched off", {"nvidia.com/gpu.deploy.device-plugin": "false"}),
        (C.PLUGIN, S.NOT_WANTED, "all operands switched off", {"nvidia.com/gpu.deploy.operands": "false"}),
        (C.PLUGIN, S.NOT_WANTED, "node for virtual machines", {"nvidia.com/gpu.workload.config": "vm-passthrough"}),
        (C.PLUGIN, S.PAUSED, "driver upgrade", {"nvidia.com/gpu.deploy.device-plugin": "paused-for-driver-upgrade"}),
        (C.PLUGIN, S.PAUSED, "driver upgrade",
         {"nvidia.com/gpu.deploy.device-plugin": "true_paused-for-driver-upgrade"}),
        (C.PLUGIN, S.PAUSED, "MIG change", {"nvidia.com/gpu.deploy.device-plugin": "paused-for-mig-change"}),
        (C.PLUGIN, S.ABSENT, "label nvidia.com/gpu.deploy.device-plugin=true is missing",
         {"nvidia.com/gpu.deploy.device-plugin": None}),
        (C.PLUGIN, S.ABSENT, "label nvidia.com/gpu.deploy.device-plugin=true is missing",
         {"nvidia.com/gpu.deploy.device-plugin": ""}),
        (C.MIG, S.NOT_WANTED, "no MIG",
         {"nvidia.com/gpu.deploy.mig-manager": None, "nvidia.com/mig.capable": "false"}),
        (C.MIG, S.NOT_WANTED, "vGPU", {"nvidia.com/gpu.deploy.mig-manager": None, **VGPU}),
        (C.MIG, S.ABSENT, "label nvidia.com/gpu.deploy.mig-manager=true is missing",
         {"nvidia.com/gpu.deploy.mig-manager": None, "nvidia.com/vgpu.host-driver-version": ""}),
        (C.MPS, S.NOT_WANTED, "no MPS", {}),
        (C.DCGM, S.NOT_WANTED, "not deployed", {"nvidia.com/gpu.deploy.dcgm": "true"}),
        (C.TOOLKIT, S.NOT_WANTED, "devices through DRA",
         {"nvidia.com/gpu.deploy.dra-driver": "true", "nvidia.com/gpu.deploy.container-toolkit": None}),
    ],
)  # fmt: skip
def test_what_the_labels_say(component: Component, state: LinkState, text: str, labels: dict[str, str | None]) -> None:
    found = link(component, gpu_node(labels=labels), *ALL_SETS, operand_set(MPS, desired=0))
    assert (found.state, found.text) == (state, text)


TAINT = {"taints": [{"key": "dedicated", "value": "ml", "effect": "NoSchedule"}]}
NO_QUOTA = event(f"DaemonSet/{DRIVER}", "FailedCreate", "exceeded quota", namespace=gpu.NAMESPACE)


@pytest.mark.parametrize(
    ("state", "text", "manifests"),
    [
        (S.ABSENT, "its DaemonSet wants no pod", [gpu_node(), operand_set(DRIVER, desired=0)]),
        (S.ABSENT, "does not tolerate taint dedicated", [gpu_node(spec=TAINT), operand_set(DRIVER, desired=0)]),
        (S.ABSENT, "label kernel=6.8 is missing", [gpu_node(), operand_set(DRIVER, select={"kernel": "6.8"})]),
        (S.ABSENT, "its pod cannot be made", [gpu_node(), operand_set(DRIVER, current=0), NO_QUOTA]),
        (S.STARTING, "its pod is being made", [gpu_node(), operand_set(DRIVER, current=0)]),
        (S.UNKNOWN, "no pod, and its DaemonSet misses none", [gpu_node(), operand_set(DRIVER)]),
        (S.STARTING, "its pod is yet to come", [gpu_node(), operand_set(DRIVER, desired=0, age_s=30)]),
        (S.STARTING, "its pod is yet to come", [gpu_node(age_s=30), operand_set(DRIVER, desired=0)]),
        (S.PREINSTALLED, "host driver", [gpu_node(), operand_set(TOOLKIT), operand_pod(TOOLKIT)]),
        (S.ABSENT, "nothing deploys it, and the host has none",
         [gpu_node(), operand_set(TOOLKIT), operand_pod(TOOLKIT, init="driver-validation", since_s=90)]),
        (S.NOT_WANTED, "not installed", [gpu_node()]),
    ],
)  # fmt: skip
def test_a_driver_without_a_pod(state: LinkState, text: str, manifests: list[Manifest]) -> None:
    found = link(C.DRIVER, *manifests)
    assert (found.state, found.text) == (state, text)


def test_a_pod_that_cannot_be_scheduled_is_found_on_the_node_it_is_made_for() -> None:
    made = operand_pod(DRIVER)
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["gpu-1"]}]}
    required = {"nodeSelectorTerms": [term]}
    made["spec"] = {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}
    said_so = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": ago(90)}
    made["status"] = {"phase": "Pending", "conditions": [said_so]}
    assert link(C.DRIVER, gpu_node(), *ALL_SETS, made).text == "not scheduled: Unschedulable"


def test_a_validator_that_nothing_deploys_is_missing() -> None:
    sets = operand_sets(of=[name for name in USUAL if name != VALIDATOR])
    found = link(C.VALIDATOR, gpu_node(None), *sets, *waiting_pods()[2:], operand_pod(DRIVER), operand_pod(TOOLKIT))
    assert (found.state, found.text) == (S.ABSENT, "no DaemonSet")


NO_PLUGIN = [name for name in USUAL if name != PLUGIN]
"""What the operator deploys with devicePlugin.enabled=false; it labels the nodes for the plugin all the same."""


@pytest.mark.parametrize("of", [USUAL, NO_PLUGIN], ids=["labelled for the plugin", "not labelled"])
@pytest.mark.parametrize("name", ["nvidia-dra-driver-gpu", "dra-driver-nvidia-gpu"])
def test_gpus_that_the_dra_drivers_own_chart_gives_out_lack_no_device_plugin(name: str, of: list[str]) -> None:
    manifests = [gpu_node(None, of=of, labels=DISCOVERED), *operand_sets(of=NO_PLUGIN), *CONTROL,
                 *operands(of=NO_PLUGIN), *dra_chart(name=name)]  # fmt: skip
    found = chain(*manifests)
    links = {item.component: (item.state, item.text) for item in found.links}
    assert links[C.PLUGIN] == (S.NOT_WANTED, "devices through DRA")
    assert links[C.CAPACITY] == (S.NOT_WANTED, "through DRA")
    assert links[C.DRA_DRIVER][0] is S.READY
    assert found.broken is None


@pytest.mark.parametrize(
    ("plugin", "capacity", "manifests"),
    [
        (S.ABSENT, S.WAITING, [*operand_sets(of=NO_PLUGIN), *dra_chart("compute-domains")]),
        (S.FAILING, S.WAITING, [*operand_sets(), *dra_chart(), operand_pod(PLUGIN, broken=crashing())]),
    ],
    ids=["ComputeDomains only", "a device plugin stands beside it"],
)
def test_a_device_plugin_that_is_lacking_beside_a_dra_driver(
    plugin: LinkState, capacity: LinkState, manifests: list[Manifest]
) -> None:
    found = chain(gpu_node(None, labels=DISCOVERED), *CONTROL, *operands(of=NO_PLUGIN), *manifests)
    states = {item.component: item.state for item in found.links}
    assert (states[C.PLUGIN], states[C.CAPACITY]) == (plugin, capacity)


def test_a_dra_driver_that_begins_to_give_out_gpus_concerns_all_chains() -> None:
    before, after = dra_chart("compute-domains"), dra_chart()
    known = situation(gpu_node(None, labels=DISCOVERED), *operand_sets(of=NO_PLUGIN), *CONTROL,
                      *operands(of=NO_PLUGIN), *before)  # fmt: skip
    fleet = Fleet()
    fleet.update(known, (), NOW)
    assert fleet.chains["gpu-1"].broken is not None
    assert fleet.update(known, change(known, after[0]), NOW) == {"gpu-1"}
    assert fleet.chains["gpu-1"] == chain_in(known)


def _not_ready(manifest: Manifest) -> Manifest:
    manifest["status"]["conditions"] = [{"type": "Ready", "status": "False", "reason": "KubeletNotReady"}]
    return manifest


@pytest.mark.parametrize(
    ("state", "text", "manifests"),
    [
        (S.READY, "8 of 8", [gpu_node()]),
        (S.UNKNOWN, "8 of 8, node not Ready", [_not_ready(gpu_node())]),
        (S.FAILING, "7 of 8", [gpu_node(allocatable=7)]),
        (S.FAILING, "0 of 8", [gpu_node(allocatable=0)]),
        (S.FAILING, "0 of 0", [gpu_node(0)]),
        (S.FAILING, "none", [gpu_node(None)]),
        (S.PAUSED, "0 of 0", [gpu_node(0, labels={"nvidia.com/gpu-driver-upgrade-state": "drain-required"})]),
        (S.NOT_WANTED, "none offered", [gpu_node(0, labels={"nvidia.com/gpu.workload.config": "vm-vgpu"})]),
    ],
)
def test_what_a_node_offers(state: LinkState, text: str, manifests: list[Manifest]) -> None:
    found = link(C.CAPACITY, *manifests, *ALL_SETS, *operands())
    assert (found.state, found.text) == (state, text)


def test_a_young_node_is_silent_until_its_budget_ends() -> None:
    manifests = [gpu_node(None, age_s=100), *ALL_SETS, operand_pod(DRIVER, ready=False, since_s=90, age_s=95),
                 *waiting_pods(since_s=80, age_s=95)]  # fmt: skip
    for after_s in (0, 600, 1100):
        assert chain(*manifests, after_s=after_s).broken is None
    broken = chain(*manifests, after_s=1120).broken
    assert broken is not None and (broken.component, broken.text) == (C.DRIVER, "does not get ready")


def test_the_plugin_may_take_a_moment_to_register() -> None:
    pods = [*operands(without=(PLUGIN,)), operand_pod(PLUGIN, since_s=60)]
    fresh = situation(gpu_node(None), *ALL_SETS, *pods)
    capacity = chain_in(fresh).link(C.CAPACITY)
    assert capacity is not None and capacity.state is S.STARTING
    assert capacity.until == NOW + timedelta(seconds=60)
    late = chain_in(fresh, after_s=61).link(C.CAPACITY)
    assert late is not None and late.state is S.FAILING


def test_gfds_labels_may_take_five_minutes_and_then_nfd_is_at_fault() -> None:
    known = situation(gpu_node(None), *ALL_SETS, *operands(without=(GFD,)), operand_pod(GFD, since_s=200))
    fresh, late = chain_in(known), chain_in(known, after_s=101)
    assert [fresh.link(C.GFD), fresh.link(C.NFD)] and said_of(fresh, C.GFD) == (S.STARTING, None)
    assert said_of(late, C.GFD) == (S.WAITING, C.NFD)
    assert said_of(late, C.NFD) == (S.FAILING, None)


def said_of(found: NodeChain, component: Component) -> tuple[LinkState, Component | None]:
    one = found.link(component)
    assert one is not None
    return said(one)


def test_a_gpu_node_that_nfd_does_not_reach() -> None:
    taint = {"taints": [{"key": "nvidia.com/gpu", "value": "true", "effect": "NoSchedule"}]}
    bare = node("gpu-1", spec=taint)
    assert is_gpu_node(made(bare))  # type: ignore[arg-type]
    found = link(C.NFD, bare, *operand_sets(desired=0), operator(), nfd_set())
    assert (found.state, found.text) == (S.ABSENT, "does not tolerate taint nvidia.com/gpu")


def test_an_operator_that_has_not_labelled_a_node() -> None:
    bare = gpu_node(None, of=(), labels={"nvidia.com/gpu.present": None})
    found = chain(bare, *ALL_SETS)
    assert said_of(found, C.OPERATOR) == (S.FAILING, None)
    assert said_of(found, C.DRIVER) == (S.WAITING, C.OPERATOR)
    young = gpu_node(None, of=(), labels={"nvidia.com/gpu.present": None}, age_s=60)
    assert said_of(chain(young, *ALL_SETS), C.OPERATOR) == (S.STARTING, None)


def test_what_was_not_read_is_unknown() -> None:
    known = situation(gpu_node(), missing={"pods": SourceState.FORBIDDEN})
    assert {found.state for found in chain_in(known).links} == {S.UNKNOWN}
    blind = situation(gpu_node(), *operands(), missing={"daemonsets": SourceState.FORBIDDEN})
    assert (said_of(chain_in(blind), C.DRIVER)[0], said_of(chain_in(blind), C.DCGM)[0]) == (S.READY, S.UNKNOWN)
    gone = gpu_node(conditions=[{"type": "Ready", "status": "Unknown"}])
    assert {found.state for found in chain(gone, *ALL_SETS, *operands()).links} == {S.UNKNOWN}


@pytest.mark.parametrize(
    ("manifest", "answer"),
    [
        (gpu_node(), True),
        (node(labels={"feature.node.kubernetes.io/pci-0302_10de.present": "true"}), True),
        (node(status={"capacity": {"nvidia.com/mig-1g.10gb": "7"}}), True),
        (node(labels={"nvidia.com/gpu.present": "false"}), False),
        (node(), False),
    ],
)
def test_which_nodes_have_gpus(manifest: Manifest, answer: bool) -> None:
    assert is_gpu_node(made(manifest)) is answer  # type: ignore[arg-type]


# How components are recognised

PART = "app.kubernetes.io/component"
NAME = "app.kubernetes.io/name"


@pytest.mark.parametrize(
    ("component", "manifest"),
    [
        *((component, operand_pod(name)) for component, name in (
            (C.DRIVER, DRIVER), (C.TOOLKIT, TOOLKIT), (C.VALIDATOR, VALIDATOR), (C.PLUGIN, PLUGIN), (C.GFD, GFD),
            (C.DCGM, DCGM), (C.EXPORTER, EXPORTER), (C.MIG, MIG), (C.MPS, MPS), (C.DRA_DRIVER, DRA),
            (C.NFD, NFD_WORKER))),
        (C.OPERATOR, operator()),
        # OpenShift driver toolkit, NVIDIADriver, precompiled
        (C.DRIVER, labelled(operand_pod(DRIVER), app="nvidia-driver-daemonset-417.94.2024", **{PART: "nvidia-driver"})),
        (C.DRIVER, labelled(operand_pod(DRIVER), app="nvidia-gpu-driver-ubuntu22.04-7c5d", **{PART: "nvidia-driver"})),
        (C.DRIVER, named(labelled(operand_set(DRIVER)), "nvidia-gpu-driver-ubuntu22.04-7c5d")),
        (C.DRIVER, named(labelled(operand_set(DRIVER)), "nvidia-driver-daemonset-5.15.0-91-generic-ubuntu22.04")),
        (C.CHECKS, labelled(operand_pod(VALIDATOR), app=VALIDATOR, **{NAME: "nvidia-dra-validator"})),
        (C.CHECKS, labelled(operand_pod(VALIDATOR), app="nvidia-cuda-validator")),
        (C.DCGM, labelled(operand_pod(DCGM), app="nvidia-dcgm-dra")),
        (C.EXPORTER, labelled(operand_pod(EXPORTER), app="nvidia-dcgm-exporter-dra")),
        (C.NFD, labelled(operand_pod(NFD_WORKER), role="worker", **{NAME: "node-feature-discovery"})),
        (C.NFD, labelled(operand_pod(NFD_WORKER), role="master", **{NAME: "nfd"})),
        (C.PLUGIN, labelled(pod("x"), **{NAME: "nvidia-device-plugin"})),
        (C.TOOLKIT, named(labelled(operand_pod(TOOLKIT)), f"{TOOLKIT}-abcde")),
        # none of the chain
        (None, labelled(pod("x"), role="worker", **{NAME: "spark"})),
        (None, labelled(pod("x"), role="gc", **{NAME: "node-feature-discovery"})),
        (None, labelled(pod("x"), app="nvidia-sandbox-validator")),
        (None, labelled(pod("x"), app="nvidia-sandbox-device-plugin-daemonset")),
        (None, labelled(pod("x"), app="nvidia-kata-sandbox-device-plugin-daemonset")),
        (None, labelled(pod("x"), app="nvidia-vgpu-manager-daemonset")),
        (None, labelled(pod("x"), app="nvidia-vgpu-device-manager")),
        (None, labelled(pod("x"), app="nvidia-vgpu-host-manager-x", **{PART: "nvidia-vgpu-host-manager"})),
        (None, labelled(named(pod("x"), "nvidia-vfio-manager-abc"), name="nvidia-vfio-manager")),
        (None, labelled(named(pod("x"), "nvidia-cc-manager-abc"), name="nvidia-cc-manager")),
        (None, labelled(pod("x"), app="nvidia-node-status-exporter")),
        (None, labelled(pod("x"), app="nvidia-dra-driver-controller")),
        # the DRA driver's own chart, by both of its names; for ComputeDomains alone it gives out no GPU
        *((C.DRA_DRIVER, manifest) for manifest in dra_chart() + dra_chart(name="dra-driver-nvidia-gpu")),
        *((None, manifest) for manifest in dra_chart("compute-domains")),
        (None, pod("gpu-operator-demo")),
        (None, pod("web-1")),
    ],
)  # fmt: skip
def test_which_component_a_manifest_is_of(component: Component | None, manifest: Manifest) -> None:
    assert component_of(made(manifest)) is component


def test_the_validators_late_steps_are_checks() -> None:
    item = made(operand_pod(VALIDATOR))
    assert [component_of(item, step) for step in ("toolkit-validation", "plugin-validation")] == [C.VALIDATOR, C.CHECKS]


# The fleet


def change(known: Situation, *manifests: Manifest, removed: bool = False) -> list[Any]:
    kind = manifests[0]["kind"].lower() + "s"
    objects = tuple(made(manifest) for manifest in manifests)
    value = Changed(kind, removed=tuple(item.key for item in objects)) if removed else Changed(kind, objects)
    return known.apply(Reading(f"kubernetes/{kind}", SourceState.LIVE, NOW, value))


def two_nodes() -> Situation:
    return situation(gpu_node(name="gpu-1"), gpu_node(name="gpu-2"), node("cpu-1"), *operand_sets(2), *CONTROL,
                     operand_pod(NFD_WORKER, "gpu-2"), *operands("gpu-1"), *operands("gpu-2"))  # fmt: skip


def test_a_fleet_tells_which_nodes_changed() -> None:
    known, fleet = two_nodes(), Fleet()
    assert fleet.update(known, (), NOW) == {"gpu-1", "gpu-2"}
    assert set(fleet.chains) == {"gpu-1", "gpu-2"}
    broken = operand_pod(DRIVER, "gpu-2", broken=crashing())
    assert fleet.update(known, change(known, broken), NOW) == {"gpu-2"}
    assert fleet.update(known, change(known, operand_pod(DRIVER, "gpu-1")), NOW) == set()
    assert fleet.update(known, change(known, pod("web", node="gpu-1")), NOW) == set()
    assert fleet.update(known, change(known, operand_set(DRIVER, select={"a": "b"})), NOW) == set()
    gone = change(known, operand_pod(DRIVER, "gpu-2"), removed=True)
    assert fleet.update(known, gone, NOW) == {"gpu-2"}
    driver = fleet.chains["gpu-2"].link(C.DRIVER)
    assert driver is not None and driver.state in BROKEN
    assert fleet.update(known, change(known, gpu_node(name="gpu-2"), removed=True), NOW) == {"gpu-2"}


def test_a_fleet_judges_again_when_a_budget_ends() -> None:
    starting = operand_pod(DRIVER, ready=False, since_s=1000)
    known, fleet = situation(gpu_node(None), *ALL_SETS, starting, *waiting_pods()), Fleet()
    fleet.update(known, (), NOW)
    assert fleet.chains["gpu-1"].broken is None
    assert fleet.update(known, (), NOW + timedelta(seconds=100)) == set()
    assert fleet.update(known, (), NOW + timedelta(seconds=201)) == {"gpu-1"}
    assert fleet.chains["gpu-1"].broken is not None


def test_a_fleet_is_the_same_as_judging_from_scratch_whatever_came_before() -> None:
    known, fleet = two_nodes(), Fleet()
    fleet.update(known, (), NOW)
    steps: list[tuple[list[Manifest], bool]] = [
        ([operand_pod(DRIVER, "gpu-1", broken=crashing())], False),
        ([operand_set(EXPORTER, desired=0)], False),
        ([operand_pod(EXPORTER, "gpu-1"), operand_pod(EXPORTER, "gpu-2")], True),
        ([operand_set(EXPORTER, select={"x": "y"})], False),
        ([gpu_node(name="gpu-1", labels={"nvidia.com/gpu.deploy.device-plugin": "paused-for-driver-upgrade"})], False),
        ([operator(ready=0)], False),
        ([operand_set(MIG)], True),
        ([operand_pod(PLUGIN, "gpu-2", started=False, since_s=600)], False),
        ([event(f"Pod/{PLUGIN}-gpu-2", "FailedCreatePodSandBox", 'no runtime for "nvidia" is configured',
                namespace=gpu.NAMESPACE)], False),
        ([operand_pod(DRIVER, "gpu-1")], False),
    ]  # fmt: skip
    for manifests, removed in steps:
        fleet.update(known, change(known, *manifests, removed=removed), NOW)
        for name, kept in fleet.chains.items():
            assert kept == chain_in(known, name), manifests[0]["metadata"]["name"]
