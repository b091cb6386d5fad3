"""Why a GPU pod is Pending: one row per cause and its look-alikes, which of several comes first, and its end."""

from datetime import timedelta
from typing import Final, NamedTuple

import pytest

from diagnosis.engine import Engine
from diagnosis.rules import scheduling
from playbooks.commands import Target, render
from situation.findings import Effect, Finding, Layer, Severity
from situation.meta import CLUSTER, Ref
from tests.build import NOW, Manifest, event, judged, node, pod, situation
from tests.diagnosis.healthy import HEALTHY
from tests.diagnosis.objects import daemonset, lease, workload
from tests.diagnosis.unscheduled import GPU, asks, first, gpu_node, held, none_of, offering, ours, texts, waiting, wants
from tests.gpu_resources import dra_chart

H100: Final = "NVIDIA-H100-80GB-HBM3"
PRODUCT: Final = "nvidia.com/gpu.product"
PRESENT: Final = {"nvidia.com/gpu.present": "true"}
SMALL: Final = "nvidia.com/mig-1g.10gb"
LARGE: Final = "nvidia.com/mig-3g.40gb"
SELECTOR: Final = "node(s) didn't match Pod's node affinity/selector"
TAINTED: Final = "node(s) had untolerated taint(s)"
DEDICATED: Final = {"taints": [{"key": "dedicated", "value": "ml", "effect": "NoSchedule"}]}
CONTROL_PLANE: Final = {"taints": [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]}
CORDON: Final = {"unschedulable": True}


class Case(NamedTuple):
    id: str
    subject: Manifest
    others: list[Manifest]
    rule: str
    title: str
    evidence: tuple[str, ...]
    layer: Layer = Layer.SCHEDULING
    follows: tuple[str, ...] = ()
    command: str = "kubectl get nodes -o 'custom-columns=N:"


CASES: Final = (
    Case("1 plugin never registered", asks(), [gpu_node("g1", None, labels=PRESENT)], "gpus-short",
         f"wants 1 {GPU}: the GPU nodes offer none", ("g1: capacity absent, allocatable 0, allocated 0",),
         Layer.NODE, ("g1",)),
    Case("1 no plugin, for a DRA driver gives them out", asks(),
         [gpu_node("gpu-1", None, labels=PRESENT), *dra_chart()], "gpus-short", f"wants 1 {GPU}: no node offers any",
         ("a DRA driver gives out the GPUs of gpu-1: a pod gets them by a ResourceClaim",)),
    Case("1 plugin gone", asks(), [gpu_node("g1", "0", labels=PRESENT)], "gpus-short",
         f"wants 1 {GPU}: the GPU nodes offer none", ("g1: capacity 0, allocatable 0",), Layer.NODE, ("g1",)),
    Case("1 broken on one, no room on the others", asks(),
         [gpu_node("g1"), held("g1", 8), gpu_node("g2", "8", "0", labels=PRESENT)], "gpus-short",
         f"wants 1 {GPU}: g2 offers none, no room on the others",
         ("g2: capacity 8, allocatable 0", "g1: capacity 8, allocatable 8, allocated 8: 8 by ml/train"),
         Layer.NODE, ("g2",)),
    Case("1 while the layout changes", asks(),
         [gpu_node("g1", "8", "0", labels={**PRESENT, "nvidia.com/mig.config.state": "pending"})], "gpus-short",
         f"wants 1 {GPU}: g1 offers none while its MIG layout is changed", ("away while its MIG layout",),
         Layer.NODE, ("g1",)),
    Case("1 broken, but too small by its label", asks(amount=8),
         [gpu_node("g1"), held("g1", 8), gpu_node("g2", None, labels={**PRESENT, "nvidia.com/gpu.count": "4"})],
         "gpus-short", f"wants 8 {GPU}: all 8 are allocated", ("g2: capacity absent",)),
    Case("2 unhealthy", asks(amount=8), [gpu_node("g1", "8", "7")], "gpus-short",
         f"wants 8 {GPU}: g1 offers 7 of its 8", ("would fit but for unhealthy GPUs: g1",), Layer.NODE, ("g1",)),
    Case("2 unhealthy on several", asks(),
         [gpu_node("g1", "8", "7"), gpu_node("g2", "8", "6"), held("g1", 7), held("g2", 6, "train-1")], "gpus-short",
         f"wants 1 {GPU}: 2 nodes offer less than they have", (), Layer.NODE, ("g1", "g2")),
    Case("2 unhealthy, but held all the same", asks(), [gpu_node("g1", "8", "7"), held("g1", 8)], "gpus-short",
         f"wants 1 {GPU}: all 7 are allocated", 
         ("g1: capacity 8, allocatable 7, allocated 8", "with all of them g1 would have 0 of 1 free")),
    Case("2 unhealthy, but too few are free even with that one", asks(amount=8),
         [gpu_node("g1", "8", "7"), held("g1", 2), gpu_node("g2"), held("g2", 8, "train-1")], "gpus-short",
         f"wants 8 {GPU}: only 5 of 15 free",
         ("its lost GPUs are not why: with all of them g1 would have 6 of 8 free",)),
    Case("2 unhealthy, and one more free would be enough", asks(amount=4),
         [gpu_node("g1", "8", "7"), held("g1", 4), gpu_node("g2"), held("g2", 8, "train-1")], "gpus-short",
         f"wants 4 {GPU}: g1 offers 7 of its 8", ("would fit but for unhealthy GPUs: g1",), Layer.NODE, ("g1",)),
    Case("3 allocated", asks(), [gpu_node("g1"), held("g1", 4), held("g1", 4, "train-1")], "gpus-short",
         f"wants 1 {GPU}: all 8 are allocated",
         ("allocated 8: 8 by ml/train ×2", "is not measured", "no node offers less")),
    Case("3 a few free", asks(amount=4), [gpu_node("g1"), held("g1", 6)], "gpus-short",
         f"wants 4 {GPU}: only 2 of 8 free", ("g1: capacity 8, allocatable 8, allocated 6",)),
    Case("3 fragmentation", asks(amount=4),
         [gpu_node(f"g{n}") for n in range(3)] + [held(f"g{n}", 6, f"train-{n}") for n in range(3)], "gpus-short",
         f"wants 4 {GPU}: 6 are free in total, but at most 2 on one node", (f"{GPU} on these nodes is held: 18 by",)),
    Case("3 allocated, free ones behind a taint", asks(GPU, 1, f"1 {TAINTED}"),
         [gpu_node("g1"), held("g1", 8), gpu_node("g2", spec=DEDICATED)], "gpus-short",
         f"wants 1 {GPU}: all 8 are allocated", ("g2: capacity 8, allocatable 8, allocated 0 (taint dedicated=ml",)),
    Case("3 shares", asks(),
         [offering("g1", {"nvidia.com/gpu.replicas": "4", "nvidia.com/gpu.sharing-strategy": "time-slicing"},
                   **{GPU: "8"}), held("g1", 8)], "gpus-short",
         f"wants 1 {GPU}: all 8 are allocated", ("1 node with time-slicing: the numbers are shares, 4 of each GPU",)),
    Case("a gang", asks(amount=16), [gpu_node("g1"), gpu_node("g2", "4")], "gpus-short",
         f"wants 16 {GPU}: the largest node offers 8", ("one pod runs on one node",)),
    Case("4 taint", waiting(none_of(4, f"1 Insufficient {GPU}", f"3 {TAINTED}"), container=wants(gpu="1")),
         [gpu_node("g1", spec=DEDICATED), node("cp-1", spec=CONTROL_PLANE), node("cp-2", spec=CONTROL_PLANE), node()],
         "taints", "does not tolerate the taint dedicated=ml:NoSchedule", ("g1: capacity 8", "it wants 1"),
         command="kubectl get nodes -o 'custom-columns=N:.metadata.name,TAINTS:"),
    Case("cordon", waiting(none_of(2, f"1 Insufficient {GPU}", "1 node(s) were unschedulable"),
                           container=wants(gpu="1")), [gpu_node("g1", spec=CORDON), node()], "nodes-cordoned",
         "has no usable node: 1 of 2 nodes cordoned", ("g1: capacity 8, allocatable 8, allocated 0 (cordoned)",),
         command="kubectl get nodes"),
    Case("5 product with a suffix", waiting(none_of(1, f"1 {SELECTOR}"), container=wants(gpu="1"),
                                            spec={"nodeSelector": {PRODUCT: H100}}),
         [gpu_node("g1", labels={PRODUCT: f"{H100}-SHARED"})], "node-selector",
         "selects a node label that no node has: nvidia.com/gpu.product=NVIDIA-H100-80GB-HBM3",
         (f"nodes have {PRODUCT}={H100}-SHARED (1 node)", "adds -SHARED", "g1: capacity 8, allocatable 8, allocated 0"),
         command=f"kubectl get nodes -L {PRODUCT}"),
    Case("5 product of a MIG layout that is gone", waiting(
            none_of(1, f"1 {SELECTOR}"), container=wants(gpu="1"),
            spec={"nodeSelector": {PRODUCT: f"{H100}-MIG-1g.10gb"}}),
         [gpu_node("g1", labels={PRODUCT: H100})], "node-selector",
         f"selects a node label that no node has: {PRODUCT}={H100}-MIG-1g.10gb", ("adds -MIG-<profile>",),
         command=f"kubectl get nodes -L {PRODUCT}"),
    Case("5 selects nodes without GPUs", asks(GPU, 1, f"1 {SELECTOR}", spec={"nodeSelector": {"zone": "a"}}),
         [node(labels={"zone": "a"}), gpu_node("g1", labels={"zone": "b"})], "gpus-short",
         f"wants 1 {GPU}: no node that it selects offers any", ("allocated 0 (not selected)",),
         command="kubectl get nodes -L zone", follows=("node-1",)),
    Case("5 selects nodes that are too small", asks(GPU, 8, f"1 {SELECTOR}", spec={"nodeSelector": {"zone": "a"}}),
         [gpu_node("g1", "4", labels={"zone": "a"}), gpu_node("g2", labels={"zone": "b"})], "gpus-short",
         f"wants 8 {GPU}: the nodes it selects offer at most 4", ("g2: capacity 8",),
         command="kubectl get nodes -L zone"),
    Case("6 MIG device, whole GPUs", asks(SMALL), [gpu_node("g1")], "gpus-short",
         f"wants 1 {SMALL}: no node offers that shape", (f"nodes offer instead: {GPU} (8 on 1 node)", "offered whole"),
         command="kubectl get nodes -L nvidia.com/mig.config,"),
    Case("6 MIG device, strategy single", asks(SMALL),
         [gpu_node("g1", labels={"nvidia.com/mig.strategy": "single"})], "gpus-short",
         f"wants 1 {SMALL}: no node offers that shape", ("MIG strategy single",),
         command="kubectl get nodes -L nvidia.com/mig.config,"),
    Case("6 whole GPU, strategy mixed", asks(), [offering("g1", PRESENT, **{GPU: "0", SMALL: "14"})], "gpus-short",
         f"wants 1 {GPU}: no node offers that shape", (f"offered as {SMALL}, not as {GPU}",)),
    Case("6 a larger profile than any", asks(LARGE), [offering("g1", PRESENT, **{SMALL: "14"})], "gpus-short",
         f"wants 1 {LARGE}: no node offers that shape", ("smaller than the one asked for: at most 1g.10gb",),
         command="kubectl get nodes -L nvidia.com/mig.config,"),
    Case("6 shared under another name", asks(), [offering("g1", PRESENT, **{GPU: "0", f"{GPU}.shared": "32"})],
         "gpus-short", f"wants 1 {GPU}: no node offers that shape", (f"another name (renameByDefault): {GPU}.shared",)),
    Case("6 shared, not renamed", asks(f"{GPU}.shared"), [gpu_node("g1")], "gpus-short",
         f"wants 1 {GPU}.shared: no node offers that name", (f"the name is {GPU}",)),
    Case("6 misspelt", asks("nvidia.com/gpus"), [gpu_node("g1")], "gpus-short",
         "wants 1 nvidia.com/gpus: no node offers that name", (f"nearest name that nodes offer: {GPU}",)),
    Case("no GPUs at all", asks(), [node()], "gpus-short", f"wants 1 {GPU}: no node offers any",
         ("the most a node offers is 0 of 1 node",)),
    Case("room by now", asks(), [gpu_node("g1"), held("g1", 6)], "gpus-short",
         f"wants 1 {GPU}: room for 2 seems to be on g1", ("pods that can be seen leave room",),
         command="kubectl get pods -A"),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_each_cause(case: Case) -> None:
    found = first(case.subject, *case.others)
    assert found is not None
    rule, fired = found
    assert (rule.id, fired.title) == (case.rule, case.title)
    assert (fired.layer or rule.layer) is case.layer
    assert tuple(ref.name for ref in fired.follows if ref.kind == "Node") == case.follows
    for text in case.evidence:
        assert text in texts(fired)
    assert render(fired.next[0], Target()).startswith(case.command)
    assert all(command.effect is Effect.READ for command in fired.next[:-1])
    # a whole diagnosis: the same, and nothing at all while the pod is young or once it runs
    own = [finding for finding in ours([case.subject, *case.others]) if finding.rule == case.rule]
    assert [finding.members for finding in own] == [(Ref("Pod", "shop", "llm-1"),)]
    stale = event("Pod/llm-1", "FailedScheduling", none_of(9, f"9 Insufficient {GPU}"))
    assert ours([pod("llm-1"), stale, *case.others]) == []


OPERANDS: Final = [daemonset("nvidia-device-plugin-daemonset", namespace="gpu-operator", desired=1, ready=1)]


def caused(*manifests: Manifest) -> dict[str, list[Finding]]:
    return {cause.key: [cause, *cause.consequences] for cause in judged(*manifests).causes}


def test_a_network_card_of_nvidias_is_no_gpu() -> None:
    """NVIDIA's Network Operator offers cards as `nvidia.com/hostdev`; a model server asks for them beside its GPUs."""
    card = "nvidia.com/hostdev"
    found = first(asks(card, 8), offering("g1", PRESENT, **{GPU: "8", card: "4"}))
    assert found is not None
    assert (found[0].id, found[1].title) == ("resources-short", f"wants 8 {card}: the largest node offers 4")


def test_a_broken_chain_and_unhealthy_gpus_are_the_causes_and_the_pod_follows() -> None:
    lost = gpu_node("g1", "0", labels=PRESENT)
    found = caused(asks(), lost, *OPERANDS)
    assert [item.rule for item in found["node-gpus-lost:Node/g1"]] == ["node-gpus-lost", "gpus-short"]
    found = caused(asks(amount=8), gpu_node("g1", "8", "7"))
    assert [item.rule for item in found["gpu-unhealthy:Node/g1"]] == ["gpu-unhealthy", "gpus-short"]
    found = caused(asks(), gpu_node("g1", "8", "7"), held("g1", 8))
    assert {"gpu-unhealthy:Node/g1", "gpus-short:Pod/shop/llm-1"} <= found.keys()


def test_a_node_that_is_down_is_followed_only_if_it_has_the_gpus() -> None:
    away = {"taints": [{"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule"}]}
    subject, full = asks(GPU, 1, f"1 {TAINTED}"), [gpu_node("g1"), held("g1", 8)]
    for down, follows in ((node("n1", ready="Unknown", spec=away), ()),
                          (gpu_node("n1", spec=away), (Ref("Node", "", "n1"),))):  # fmt: skip
        found = first(subject, down, *full)
        assert found is not None
        assert (found[1].title, found[1].follows) == (f"wants 1 {GPU}: all 8 are allocated", follows)


def test_the_order_when_several_hold_at_once() -> None:
    broken, unhealthy = gpu_node("g1", "0", labels=PRESENT), gpu_node("g2", "8", "7")
    full, tainted = gpu_node("g3"), gpu_node("g4", spec=DEDICATED)
    other = offering("g5", PRESENT, **{SMALL: "7"})
    taken = [held("g2", 7), held("g3", 8, "train-1")]
    subject = asks(GPU, 1, f"1 {TAINTED}")
    rest = [broken, unhealthy, full, tainted, other]
    titles = []
    while rest:
        found = first(subject, *rest, *taken)
        assert found is not None
        titles.append(f"{found[0].id}: {found[1].title}")
        rest = rest[1:]
    assert titles == [
        f"gpus-short: wants 1 {GPU}: g1 offers none, no room on the others",
        f"gpus-short: wants 1 {GPU}: g2 offers 7 of its 8",
        f"gpus-short: wants 1 {GPU}: all 8 are allocated",
        "taints: does not tolerate the taint dedicated=ml:NoSchedule",
        f"gpus-short: wants 1 {GPU}: no node offers that shape",
    ]


def test_a_claim_is_asked_for_before_gpus_and_free_gpus_leave_it_to_cpu() -> None:
    claim = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "cache"}}]}
    unbound = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"
    found = first(waiting(unbound, container=wants(gpu="1"), spec=claim), gpu_node("g1", "0", labels=PRESENT))
    assert found is not None and found[0].id == "claim-unbound"


def test_a_scheduler_that_is_down_explains_room_that_nobody_uses() -> None:
    leases = [lease("kube-scheduler", age_s=300), lease("kube-controller-manager", age_s=1)]
    found = first(asks(), gpu_node("g1"))
    assert found is not None and found[1].follows == (CLUSTER,)
    silent = waiting("", name="new", container=wants(gpu="1"), age_s=200)
    causes = caused(asks(), silent, gpu_node("g1"), *leases)
    [down] = [findings for key, findings in causes.items() if key.startswith("scheduler-down:")]
    assert {"gpus-short", "nobody-schedules"} <= {finding.rule for finding in down}


def test_a_thousand_nodes_are_a_few_lines() -> None:
    nodes = [gpu_node(f"g{n:04}", "8", "7" if n < 6 else "8") for n in range(1000)]
    taken = [held(f"g{n:04}", 8, f"train-{n}") for n in range(1000)]
    subjects = [asks(name=f"llm-{n}") for n in range(3)]
    found = first(subjects[0], *subjects[1:], *nodes, *taken)
    assert found is not None
    lines = [line.text for line in found[1].evidence]
    assert "and 995 more: 994 full, 1 unhealthy" in lines
    assert sum(line.startswith(("g0", "and ")) for line in lines) == 6
    assert f"3 pods wait for 3 {GPU} in all" in lines


def test_it_ends_when_the_pod_runs_and_follows_what_the_nodes_say_now() -> None:
    known, engine = situation(asks(), gpu_node("g1", "8", "0", labels=PRESENT)), Engine(scheduling.RULES)
    [finding] = engine.judge(known, (), NOW).causes
    assert (finding.layer, finding.severity) == (Layer.NODE, Severity.WARNING)
    later = situation(asks(), gpu_node("g1"), held("g1", 8))
    [finding] = engine.judge(later, (), NOW + timedelta(seconds=10)).causes
    assert finding.layer is Layer.SCHEDULING and "all 8 are allocated" in finding.title
    done = situation(pod("llm-1", node="g1"), gpu_node("g1"))
    assert engine.judge(done, (), NOW + timedelta(seconds=20)).causes == ()


def test_a_healthy_cluster_is_silent() -> None:
    assert ours(HEALTHY) == []


def test_one_workload_is_one_finding() -> None:
    owner = workload("llm", replicas=3)
    pods = [asks(name=f"llm-{n}", owner="Deployment/llm") for n in range(3)]
    [finding] = [found for found in ours([*pods, owner, gpu_node("g1"), held("g1", 8)])]
    assert (finding.subject, finding.count) == (Ref("Deployment", "shop", "llm"), 3)
