"""What the GPU Operator deploys from v23.9 to v26.7 and on OpenShift: a healthy one is silent, a broken one named."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest

from situation.findings import Finding, Severity
from tests import gpu_objects as gpu
from tests import gpu_resources as resources
from tests.build import Manifest, ago, judged
from tests.diagnosis.objects import texts
from tests.gpu_objects import DRIVER, EXPORTER, GFD, MIG, PLUGIN, TOOLKIT, VALIDATOR, crashing, ran

KERNEL: Final = "feature.node.kubernetes.io/kernel-version.full"
OSTREE: Final = "feature.node.kubernetes.io/system-os_release.OSTREE_VERSION"
OLD_VALIDATOR: Final = (
    "driver-validation", "nvidia-fs-validation", "gdrcopy-validation", "toolkit-validation", "cuda-validation",
    "plugin-validation",
)  # fmt: skip
"""Of v25.10; v23.9 to v25.3 have no gdrcopy step, and from v26.3 on both are part of driver-validation."""
OLD_DRIVER: Final = ("mofed-validation", "k8s-driver-manager")
PRECOMPILED: Final = f"{DRIVER}-6.8.0-60-generic-ubuntu24.04"
OF_IMAGE: Final = f"{DRIVER}-418.94.202410090804-0"
OF_RESOURCE: Final = "nvidia-gpu-driver-ubuntu24.04-7c8d9f"
REST: Final = (TOOLKIT, VALIDATOR, PLUGIN, GFD, EXPORTER, MIG)


def with_steps(name: str, steps: Sequence[str], at: str = "", broken: Manifest | None = None) -> Manifest:
    """Return an operand's pod with these init containers, ready or in the step `at` for half an hour."""
    made = gpu.operand_pod(name, init=gpu.INITS[name][0] if at else "", age_s=3600)
    turn = steps.index(at) if at else len(steps)
    statuses: list[Manifest] = []
    for number, step in enumerate(steps):
        waits = {"ready": False, "restartCount": 0, "state": {"waiting": {"reason": "PodInitializing"}}}
        now = broken or {"ready": False, "restartCount": 0, "state": {"running": {"startedAt": ago(1800)}}}
        done = {"ready": True, "restartCount": 0, "state": ran(1900)}
        statuses.append({"name": step, **(done if number < turn else now if number == turn else waits)})
    made["spec"]["initContainers"] = [{"name": step} for step in steps]
    made["status"]["initContainerStatuses"] = statuses
    return made


def driver_set(name: str, select: Mapping[str, str], owner: str = "ClusterPolicy/cluster-policy") -> Manifest:
    made = gpu.named(gpu.operand_set(DRIVER, select={"nvidia.com/gpu.deploy.driver": "true", **select}), name)
    kind, _, called = owner.partition("/")
    made["metadata"]["ownerReferences"] = [{"kind": kind, "name": called, "controller": True}]
    labels = {**made["metadata"]["labels"], "app": name}
    made["metadata"]["labels"] = made["spec"]["template"]["metadata"]["labels"] = labels
    return made


def driver_pod(of: str, on: str = "gpu-1", **fields: Any) -> Manifest:
    made = gpu.operand_pod(DRIVER, on, owner=of, **fields)
    made["metadata"]["name"] = f"{of}-{on}"
    made["metadata"]["labels"] = {**made["metadata"]["labels"], "app": of}
    return made


def rest(nodes: int = 1) -> list[Manifest]:
    return [*gpu.operand_sets(nodes, of=REST), gpu.operator()]


def operands(on: str = "gpu-1", without: Sequence[str] = ()) -> list[Manifest]:
    return gpu.operands(on, of=REST, without=without)


def grave(*manifests: Manifest) -> list[Finding]:
    return [cause for cause in judged(*manifests).causes if cause.severity is not Severity.INFO]


@pytest.mark.parametrize(
    "manifests",
    [
        [gpu.gpu_node(), with_steps(DRIVER, OLD_DRIVER), with_steps(VALIDATOR, OLD_VALIDATOR),
         *operands(without=(VALIDATOR,)), gpu.operand_set(DRIVER), resources.policy(said=[])],
        [gpu.gpu_node(labels={KERNEL: "6.8.0-60-generic"}), driver_pod(PRECOMPILED), *operands(),
         driver_set(PRECOMPILED, {KERNEL: "6.8.0-60-generic"}), resources.policy()],
        [gpu.gpu_node(labels={OSTREE: "418.94.202410090804-0"}), driver_pod(OF_IMAGE), *operands(),
         driver_set(OF_IMAGE, {OSTREE: "418.94.202410090804-0"}), resources.policy(name="gpu-cluster-policy")],
        [gpu.gpu_node(labels={"pool": "a"}), driver_pod(OF_RESOURCE), *operands(),
         driver_set(OF_RESOURCE, {"pool": "a"}, "NVIDIADriver/a"), resources.policy(), resources.driver_resource()],
        [gpu.gpu_node(labels={"nvidia.com/gpu.deploy.driver": "pre-installed"}), *operands(),
         gpu.operand_set(DRIVER, desired=0), resources.policy()],
    ],
    ids=["v23.9 to v25.10", "precompiled", "OpenShift", "NVIDIADriver", "driver of the host"],
)  # fmt: skip
def test_a_healthy_one_is_silent(manifests: list[Manifest]) -> None:
    assert judged(*manifests, *rest()).causes == ()


@pytest.mark.parametrize(
    ("pod", "others", "subject", "words"),
    [
        (with_steps(DRIVER, OLD_DRIVER, "mofed-validation"), gpu.waiting_pods(), DRIVER,
         "init container mofed-validation does not end"),
        (with_steps(VALIDATOR, OLD_VALIDATOR, "nvidia-fs-validation", crashing()),
         [gpu.operand_pod(DRIVER), gpu.operand_pod(TOOLKIT), *gpu.waiting_pods()[2:]], VALIDATOR,
         "init container nvidia-fs-validation crashes"),
        (driver_pod(OF_RESOURCE, broken=crashing()), gpu.waiting_pods(), OF_RESOURCE, "crashes: exit 1"),
        (driver_pod(OF_IMAGE, broken=crashing()), gpu.waiting_pods(), OF_IMAGE, "crashes: exit 1"),
    ],
    ids=["v23.9 driver", "v25.10 validator", "NVIDIADriver", "OpenShift"],
)  # fmt: skip
def test_a_broken_one_names_its_link(pod: Manifest, others: list[Manifest], subject: str, words: str) -> None:
    drivers = driver_set(subject, {}) if subject not in (DRIVER, VALIDATOR) else gpu.operand_set(DRIVER)
    causes = grave(gpu.gpu_node(None), pod, *others, drivers, *rest(), resources.policy(said=[]))
    assert [cause.subject.name for cause in causes] == [subject]
    assert words in causes[0].title


@pytest.mark.parametrize(
    ("sets", "labels", "subject", "words"),
    [
        ([driver_set(PRECOMPILED, {KERNEL: "6.8.0-60-generic"})], {KERNEL: "6.11.0-1-generic"}, PRECOMPILED,
         "none is for kernel 6.11.0-1-generic"),
        ([driver_set(OF_IMAGE, {OSTREE: "418.94.202410090804-0"})], {OSTREE: "419.96.202502041234-0"}, OF_IMAGE,
         "none is for OS image 419.96.202502041234-0"),
        ([driver_set(OF_RESOURCE, {"pool": "a"}, "NVIDIADriver/a")], {}, OF_RESOURCE,
         "no NVIDIADriver selects the node: label pool=a is missing"),
        ([driver_set(OF_RESOURCE, {"pool": "a"}, "NVIDIADriver/a")], {"pool": "b"}, OF_RESOURCE,
         "no NVIDIADriver selects the node: label pool=b, not a"),
        ([driver_set("nvidia-gpu-driver-b", {"pool": "c", "zone": "2"}),
          driver_set("nvidia-gpu-driver-c", {"pool": "a", "zone": "1"})],
         {"pool": "b", "zone": "1"}, "nvidia-gpu-driver-c", "label pool=b, not a"),
    ],
    ids=["another kernel", "another OS image", "no NVIDIADriver", "another pool", "the nearest of two"],
)  # fmt: skip
def test_a_node_that_no_driver_is_for_is_told_what_of_it_is_not_covered(
    sets: list[Manifest], labels: dict[str, str], subject: str, words: str
) -> None:
    others = [gpu.gpu_node(None, labels=labels), *gpu.waiting_pods(), resources.policy()]
    causes = grave(*others, *sets, *rest())
    assert [cause.subject.name for cause in causes] == [subject]
    assert f"driver on gpu-1: absent, {words}" in texts(causes[0])


@pytest.mark.parametrize(
    ("label", "words"),
    [("pre-installed", "pre-installed by its label"), ("false", "switched off by its label")],
)
def test_a_host_without_the_driver_that_a_label_promises_is_the_cause(label: str, words: str) -> None:
    """The toolkit's first step waits for ever: it is not the toolkit that is broken."""
    labels = {"nvidia.com/gpu.deploy.driver": label}
    others = [*gpu.waiting_pods(), gpu.operand_set(DRIVER, desired=0), *rest(), resources.policy()]
    causes = grave(gpu.gpu_node(None, labels=labels), *others)
    assert [cause.title for cause in causes] == [f"gpu-1 has no driver: {words}, and none answers on the host"]
    assert {TOOLKIT, VALIDATOR} <= {item.subject.name for item in causes[0].consequences}
    assert (("nvidia-smi",), "node gpu-1") in [(command.argv, command.where) for command in causes[0].next]
    assert grave(gpu.gpu_node(None, labels=labels, age_s=900), *others) == [], "it may still be installed"
