"""Unscheduled pods: each reason alone, mixed with its look-alikes, too young, and gone again."""

from typing import Any

import pytest

from diagnosis.rule import Wait
from diagnosis.rules import scheduling
from playbooks.commands import Target, render
from situation.findings import Layer, Mark, Severity
from situation.meta import CLUSTER, Ref
from situation.readings import SourceState
from tests.build import NOW, Manifest, ago, event, judged, made, meta, node, pod, situation
from tests.diagnosis.unscheduled import GPU, first, gpu_node, none_of, ours, texts, waiting, wants

NO_GPU = none_of(2, f"2 Insufficient {GPU}")
CPU_NODE = node("cpu-1")


@pytest.mark.parametrize(
    ("container", "others", "title", "layer", "evidence"),
    [
        pytest.param(
            wants(gpu="4"), [CPU_NODE], f"wants 4 {GPU}: no node offers any", None,
            "the most a node offers is 0 of 1 node", id="no such hardware",
        ),
        pytest.param(
            wants(gpu="1"), [gpu_node("g1", None, labels={"nvidia.com/gpu.present": "true"})],
            f"wants 1 {GPU}: the GPU nodes offer none", Layer.NODE, "offers none: g1", id="plugin never registered",
        ),
        pytest.param(
            wants(gpu="1"), [gpu_node("g1", "8", "0")], f"wants 1 {GPU}: the GPU nodes offer none", Layer.NODE,
            "g1: capacity 8, allocatable 0, allocated 0", id="plugin gone",
        ),
        pytest.param(
            wants(gpu="8"), [gpu_node("g1", "8", "7")], f"wants 8 {GPU}: g1 offers 7 of its 8", Layer.NODE,
            "g1: capacity 8, allocatable 7, allocated 0", id="one GPU lost",
        ),
        pytest.param(
            wants(gpu="16"), [gpu_node("g1"), gpu_node("g2", "4")], f"wants 16 {GPU}: the largest node offers 8", None,
            "offers is 8 (g1 of 2)", id="larger than any node",
        ),
        pytest.param(
            wants(gpu="4"), [gpu_node("g1"), pod("a", node="g1", container=wants(gpu="6"))],
            f"wants 4 {GPU}: only 2 of 8 free", None, "g1: capacity 8, allocatable 8, allocated 6: 6 by shop/a",
            id="allocated",
        ),
    ],
)  # fmt: skip
def test_gpus(container: Manifest, others: list[Manifest], title: str, layer: Layer | None, evidence: str) -> None:
    found = first(waiting(NO_GPU, container=container), *others)
    assert found is not None
    rule, fired = found
    assert (rule.id, fired.title, fired.layer) == ("gpus-short", title, layer)
    assert evidence in texts(fired)
    assert (Ref("Node", "", "g1") in fired.follows) == (layer is Layer.NODE)
    assert render(fired.next[0], Target(context="p")).startswith("kubectl --context p get nodes -o 'custom-columns=N:")


def test_gpus_that_are_in_use_follow_a_node_that_lost_some() -> None:
    busy = pod("a", node="g1", container=wants(gpu="8"))
    found = first(waiting(NO_GPU, container=wants(gpu="1")), gpu_node("g1"), gpu_node("g2", "8", "0"), busy)
    assert found is not None
    assert found[1].layer is Layer.NODE
    assert found[1].follows == (Ref("Node", "", "g2"),)


def test_a_mig_shape_that_no_node_has() -> None:
    shape = "nvidia.com/mig-1g.10gb"
    subject = waiting(none_of(1, f"1 Insufficient {shape}"), container={"resources": {"limits": {shape: "1"}}})
    healthy, failed = gpu_node("g1"), gpu_node("g1", labels={"nvidia.com/mig.config.state": "failed"})
    for gpu, layer in ((healthy, None), (failed, Layer.NODE)):
        found = first(subject, gpu)
        assert found is not None
        assert found[1].title == f"wants 1 {shape}: no node offers that shape"
        assert found[1].layer is layer
        assert f"nodes offer instead: {GPU}" in texts(found[1])
        assert "nvidia.com/mig.config,nvidia.com/mig.config.state" in render(found[1].next[0], Target())


def test_a_driver_on_a_new_node_may_take_its_time() -> None:
    young = gpu_node("g1", None, labels={"nvidia.com/gpu.present": "true"})
    young["metadata"]["creationTimestamp"] = ago(600)
    owner = {"kind": "Deployment", "metadata": meta("llm"), "spec": {"replicas": 1}}
    subject = waiting(NO_GPU, container=wants(gpu="1"), owner="Deployment/llm")
    found = first(subject, young, owner)
    assert found is not None and found[1].severity is Severity.WARNING
    young["metadata"]["creationTimestamp"] = ago(1300)
    found = first(subject, young, owner)
    assert found is not None and found[1].severity is Severity.CRITICAL


def test_free_gpus_on_a_node_without_free_cpu_are_a_matter_of_cpu() -> None:
    message = none_of(2, "1 Insufficient cpu", f"1 Insufficient {GPU}")
    subject = waiting(message, container=wants(gpu="1", cpu="60"))
    found = first(subject, gpu_node("g1"), CPU_NODE, pod("a", node="g1", container=wants(cpu="60")))
    assert found is not None
    assert (found[0].id, found[1].title) == ("resources-short", "wants 60 cpu: no node has that much free")
    assert "g1: 60 of 64 requested" in texts(found[1])
    assert render(found[1].next[0], Target()) == "kubectl describe node g1"


@pytest.mark.parametrize(
    ("container", "title"),
    [
        (wants(cpu="12"), "wants 12 cpu: the largest node offers 8"),
        (wants(memory="64Gi"), "wants 64.0 GiB memory: the largest node offers 32.0 GiB"),
        (wants(cpu="6"), "wants 6 cpu: no node has that much free"),
    ],
)
def test_cpu_and_memory(container: Manifest, title: str) -> None:
    resource = next(iter(container["resources"]["limits"]))
    busy = pod("a", node="node-1", container=wants(cpu="4"))
    done = pod("b", node="node-1", phase="Succeeded", container=wants(cpu="4"))
    found = first(waiting(none_of(1, f"1 Insufficient {resource}"), container=container), node(), busy, done)
    assert found is not None
    assert (found[0].id, found[1].title) == ("resources-short", title)


SMALL, LARGE = {"cpu": "8", "memory": "32Gi"}, {"cpu": "64", "memory": "64Gi"}
TWO_POOLS = [
    *(node(name, labels={"pool": "gp"}, status={"capacity": SMALL, "allocatable": SMALL}) for name in ("a1", "a2")),
    *(node(name, labels={"pool": "xl"}, status={"capacity": LARGE, "allocatable": LARGE}) for name in ("b1", "b2")),
]
ONLY_A1 = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a1"]}]}]
DAEMON = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": ONLY_A1}}}


@pytest.mark.parametrize(
    ("spec", "cpu", "others", "title", "evidence"),
    [
        pytest.param({"nodeSelector": {"pool": "gp"}}, "16", [], "the largest node that it selects offers 8",
                     "the most a node offers is 8 (a1 of 2 that it selects)", id="too small"),
        pytest.param({"affinity": DAEMON}, "10", [], "the largest node that it selects offers 8",
                     "the most a node offers is 8 (a1 of 1 that it selects)", id="a daemon of one node"),
        pytest.param({"nodeSelector": {"pool": "gp"}}, "6", [pod(f"on-{name}", node=name, container=wants(cpu="4"))
                     for name in ("a1", "a2")], "no node that it selects has that much free",
                     "a1: 4 of 8 requested", id="full"),
    ],
)  # fmt: skip
def test_only_the_nodes_that_a_pod_selects_matter_to_it(
    spec: Manifest, cpu: str, others: list[Manifest], title: str, evidence: str
) -> None:
    message = none_of(4, "2 Insufficient cpu", "2 node(s) didn't match Pod's node affinity/selector")
    found = first(waiting(message, spec=spec, container=wants(cpu=cpu)), *TWO_POOLS, *others)
    assert found is not None
    assert (found[0].id, found[1].title) == ("resources-short", f"wants {cpu} cpu: {title}")
    assert evidence in texts(found[1])


def test_labels_that_a_node_has_by_now_are_not_said_to_be_missing() -> None:
    spec, message = {"nodeSelector": {"a": "b"}}, "1 node(s) didn't match Pod's node affinity/selector"
    subject = waiting(none_of(1, message), spec=spec)
    found = first(subject, node(labels={"a": "b"}))
    assert found is not None
    assert (found[0].id, found[1].title) == ("node-selector", "matches no node by its node selector or affinity")
    assert "has what the pod asks for: node-1" in texts(found[1])
    both = waiting(none_of(2, message, "1 node(s) had something new"), spec=spec)
    found = first(both, node(labels={"a": "b"}), node("other"))
    assert found is not None
    assert found[0].id == "unschedulable"


@pytest.mark.parametrize(
    ("gone_in_s", "severity", "line"),
    [
        (200, Severity.WARNING, "the scheduler waits for 1 pod to leave node-1: gone by 02:44:27"),
        (-300, Severity.CRITICAL, "the scheduler waits for 1 pod to leave node-1: should have been gone by 02:36:07"),
        (None, Severity.CRITICAL, ""),
    ],
    ids=["preemption under way", "a victim that does not go", "nobody leaves"],
)
def test_a_pod_that_waits_for_its_victims_is_not_down_yet(
    gone_in_s: float | None, severity: Severity, line: str
) -> None:
    victim = pod("batch-0", container=wants(cpu="8"))
    if gone_in_s is not None:
        victim["metadata"]["deletionTimestamp"] = ago(-gone_in_s)
    owner = {"kind": "StatefulSet", "metadata": meta("high"), "status": {"readyReplicas": 0}}
    subject = waiting(none_of(1, "1 Insufficient cpu"), owner="StatefulSet/high", container=wants(cpu="4"))
    subject["status"]["nominatedNodeName"] = "node-1"
    found = first(subject, owner, node(), victim)
    assert found is not None
    assert (found[0].id, found[1].severity) == ("resources-short", severity)
    assert line in texts(found[1])
    assert ("to leave" in texts(found[1])) == bool(line)


def test_what_a_pod_asks_for_as_a_whole_counts() -> None:
    """And so does what its runtime class needs beside it, for the pods on the nodes too."""
    message = none_of(1, "1 Insufficient cpu")
    whole = {"resources": {"requests": {"cpu": "16"}, "limits": {"cpu": "16"}}}
    found = first(waiting(message, spec=whole, container=wants(cpu="1")), node())
    assert found is not None
    assert (found[0].id, found[1].title) == ("resources-short", "wants 16 cpu: the largest node offers 8")
    kata = {"runtimeClassName": "kata", "overhead": {"cpu": "500m"}}
    busy = pod("a", spec={"resources": {"requests": {"cpu": "1"}}, "overhead": {"cpu": "250m"}})
    found = first(waiting(message, spec=kata, container=wants(cpu="7")), node(), busy)
    assert found is not None
    assert found[1].title == "wants 7.5 cpu: no node has that much free"
    assert "node-1: 1.25 of 8 requested" in texts(found[1])
    assert "0.5 cpu of it is overhead of class kata" in texts(found[1])


def test_gpus_behind_a_taint_are_a_matter_of_the_taint() -> None:
    message = none_of(2, f"1 Insufficient {GPU}", "1 node(s) had untolerated taint(s)")
    tainted = gpu_node("g1", spec={"taints": [{"key": "dedicated", "value": "ml", "effect": "NoSchedule"}]})
    found = first(waiting(message, container=wants(gpu="1")), tainted, CPU_NODE)
    assert found is not None
    assert (found[0].id, found[1].title) == ("taints", "does not tolerate the taint dedicated=ml:NoSchedule")


def test_without_nodes_the_schedulers_numbers_are_left() -> None:
    found = first(waiting(NO_GPU, container=wants(gpu="1")), missing={"nodes": SourceState.FORBIDDEN})
    assert found is not None
    assert found[1].title == f"wants 1 {GPU}: too little on 2 of 2 nodes"
    assert [line.mark for line in found[1].evidence].count(Mark.OPEN) == 2


NOT_READY = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("message", "spec", "nodes", "rule", "title"),
    [
        pytest.param(
            none_of(1, "1 node(s) didn't match Pod's node affinity/selector"), {"nodeSelector": {"gpu": "a100"}},
            [node()], "node-selector", "selects a node label that no node has: gpu=a100", id="label nobody has",
        ),
        pytest.param(
            none_of(1, "1 node(s) didn't match the requested node name"), {}, [node()],
            "node-selector", "matches no node by its node selector or affinity", id="node name",
        ),
        pytest.param(
            none_of(2, "1 node(s) didn't match Pod's node affinity/selector", "1 node(s) had untolerated taint(s)"),
            {"nodeSelector": {"gpu": "a100"}},
            [node(), node("g1", labels={"gpu": "a100"}, spec={"taints": [{"key": "x", "effect": "NoSchedule"}]})],
            "taints", "does not tolerate the taint x:NoSchedule", id="label behind a taint",
        ),
        pytest.param(
            none_of(1, "1 node(s) had untolerated taint {team: a}"), {}, [], "taints",
            "does not tolerate the taint team", id="old wording, no nodes",
        ),
        pytest.param(
            none_of(2, "2 node(s) were unschedulable"), {}, [node("a", spec={"unschedulable": True})],
            "nodes-cordoned", "has no usable node: 2 of 2 nodes cordoned", id="cordoned",
        ),
        pytest.param(
            none_of(2, "1 node(s) were unschedulable", "1 Insufficient cpu"), {},
            [node("a", spec={"unschedulable": True}), node("b")],
            "resources-short", "wants 9 cpu: the largest node offers 8", id="a cordon is not the cause",
        ),
        pytest.param(
            none_of(1, "1 Too many pods"), {}, [node()], "pod-slots-full",
            "finds no free pod slot: 1 of 1 node full", id="pod count",
        ),
        pytest.param(
            none_of(1, "1 node(s) exceed max volume count"), {}, [node()], "volume-count",
            "finds no node with room for its volumes: 1 of 1 are full", id="volume count",
        ),
        pytest.param(
            none_of(1, "cannot allocate all claims"), {}, [node()], "device-claim",
            "has resource claims, and no driver publishes devices", id="device claim",
        ),
        pytest.param(
            "0/1 nodes are available: request gpus: device class big does not exist.", {}, [node()], "device-claim",
            "wants a device class that does not exist", id="device class",
        ),
        pytest.param(
            none_of(1, "1 node(s) didn't match pod affinity rules"), {}, [node()], "pod-affinity",
            "finds no node beside the pods it wants", id="affinity",
        ),
        pytest.param(
            none_of(1, "1 node(s) had something new"), {}, [node()], "unschedulable",
            "cannot be scheduled: 1 node(s) had something new", id="unknown text",
        ),
        pytest.param(
            "no nodes available to schedule pods", {}, [], "unschedulable",
            "cannot be scheduled: no nodes available to schedule pods", id="no nodes",
        ),
    ],
)  # fmt: skip
def test_one_reason_one_rule(message: str, spec: Manifest, nodes: list[Manifest], rule: str, title: str) -> None:
    subject = waiting(message, spec=spec, container=wants(cpu="9"))
    [finding] = ours([subject, *nodes])
    assert (finding.rule, finding.title) == (rule, f"llm-1 {title}")
    assert finding.subject == Ref("Pod", "shop", "llm-1")
    assert finding.layer is Layer.SCHEDULING
    assert finding.severity is Severity.WARNING
    for command in finding.next:
        render(command, Target())
    # too young, recovered, and an old event on a healthy pod
    assert ours([waiting(message, spec=spec, age_s=8), *nodes]) == []
    stale = event("Pod/llm-1", "FailedScheduling", message)
    assert ours([pod("llm-1"), stale, *nodes]) == []


def test_a_young_pod_is_judged_again_when_its_budget_ends() -> None:
    subject = made(waiting(NO_GPU, age_s=10))
    gpus = next(rule for rule in scheduling.RULES if rule.id == "gpus-short")
    verdict = gpus.judge(subject, situation(), NOW)
    assert isinstance(verdict, Wait)
    assert (verdict.until - NOW).total_seconds() == 20


@pytest.mark.parametrize("extra", ["", "1 node(s) didn't match pod anti-affinity rules", "1 Insufficient cpu"])
def test_nodes_that_are_down_are_followed_whatever_the_others_say(extra: str) -> None:
    down = node("n1", ready="False", spec={"taints": [NOT_READY]})
    message = none_of(2, *filter(None, ["1 node(s) had untolerated taint(s)", extra]))
    found = first(waiting(message, container=wants(cpu="9")), down, node("n2"))
    assert found is not None
    assert Ref("Node", "", "n1") in found[1].follows
    if not extra:
        assert (found[1].layer, found[1].title) == (Layer.NODE, "has no usable node: 1 node is not-ready")


def test_a_down_node_that_the_pod_does_not_ask_for_is_not_followed() -> None:
    down = node("n1", ready="False", spec={"taints": [NOT_READY]})
    message = none_of(2, "1 node(s) had untolerated taint(s)", "1 node(s) didn't match Pod's node affinity/selector")
    found = first(waiting(message, spec={"nodeSelector": {"gpu": "a100"}}), down, node("n2"))
    assert found is not None
    assert (found[0].id, found[1].follows) == ("node-selector", ())


def test_a_gpu_label_not_set_yet_follows_the_gpu_daemons() -> None:
    daemon = {"kind": "DaemonSet", "metadata": meta("gpu-feature-discovery", "gpu-operator")}
    gpu = node("g1", labels={"nvidia.com/gpu.present": "true"})
    message = none_of(1, "1 node(s) didn't match Pod's node affinity/selector")
    found = first(waiting(message, spec={"nodeSelector": {"nvidia.com/gpu.product": "H200"}}), gpu, daemon)
    assert found is not None
    assert found[1].follows == (Ref("DaemonSet", "gpu-operator", "gpu-feature-discovery"),)


def anti_affinity(app: str) -> Manifest:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": app}}}
    return {"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}}


def test_anti_affinity_names_the_rolling_update_deadlock() -> None:
    message = none_of(1, "1 node(s) didn't match pod anti-affinity rules")
    replicasets = [
        {"kind": "ReplicaSet", "metadata": meta(f"web-{rev}", owner="Deployment/web")} for rev in ("old", "new")
    ]
    old = pod("web-old-1", labels={"app": "web", "pod-template-hash": "old"}, owner="ReplicaSet/web-old")
    new: dict[str, Any] = {"labels": {"app": "web", "pod-template-hash": "new"}, "owner": "ReplicaSet/web-new"}
    found = first(waiting(message, spec=anti_affinity("web"), **new), old, node(), *replicasets)
    assert found is not None
    assert found[1].about == Ref("Deployment", "shop", "web")
    assert "keeps away from pods with app=web per kubernetes.io/hostname: 1 such pod on 1 node" in texts(found[1])
    assert "1 pod of an earlier revision on the nodes" in texts(found[1])
    assert render(found[1].next[0], Target()) == "kubectl -n shop get pods -l app=web -o wide"


def test_spread_names_nodes_without_the_label() -> None:
    spread = {"topologySpreadConstraints": [{"topologyKey": "zone", "maxSkew": 1}]}
    message = none_of(2, "1 node(s) didn't match pod topology spread constraints")
    found = first(waiting(message, spec=spread), node("a", labels={"zone": "1"}), node("b"))
    assert found is not None
    assert found[0].id == "topology-spread"
    assert "without the label zone: b" in texts(found[1])


def test_host_port_names_the_holder() -> None:
    port = {"ports": [{"containerPort": 80, "hostPort": 9100}]}
    message = none_of(1, "1 node(s) didn't have free ports for the requested pod ports")
    found = first(waiting(message, container=port), node(), pod("holder", container=port))
    assert found is not None
    assert found[0].id == "host-port-taken"
    assert found[1].title == "wants host port 9100: taken on every node it may run on"
    assert "9100 on node-1 is held by shop/holder" in texts(found[1])


def test_gates_are_a_hint() -> None:
    subject = waiting(
        "Scheduling is blocked due to non-empty scheduling gates",
        reason="SchedulingGated",
        spec={"schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]},
    )
    [finding] = ours([subject])
    assert (finding.rule, finding.severity) == ("scheduling-gates", Severity.INFO)
    assert finding.title == "llm-1 is held back by scheduling gate kueue.x-k8s.io/admission"


def test_nobody_schedules() -> None:
    found = first(waiting(spec={"schedulerName": "volcano"}), waiting(NO_GPU, name="other"))
    assert found is not None
    assert (found[0].id, found[1].title) == ("nobody-schedules", "waits for scheduler volcano, which does not answer")
    assert found[1].follows == ()
    assert any(line.mark is Mark.EXCLUDES for line in found[1].evidence)
    found = first(waiting())
    assert found is not None
    assert (found[1].follows, found[1].layer) == ((CLUSTER,), Layer.CONTROL_PLANE)
    assert {"scheduler-down", "writes-stopped"} <= set(found[1].of_cluster)
    assert "controller-manager-down" not in found[1].of_cluster
    assert render(found[1].next[0], Target()).startswith("kubectl -n kube-system get lease kube-scheduler")
    assert first(waiting(age_s=5)) is None
    assert first(waiting(), event("Pod/llm-1", "FailedScheduling", NO_GPU)) is None


@pytest.mark.parametrize(
    ("ready", "age_s", "events", "severity"),
    [
        (0, 300, [], Severity.CRITICAL),
        (1, 300, [], Severity.WARNING),
        (0, 45, [], Severity.WARNING),
        (0, 300, [event("Pod/llm-1", "TriggeredScaleUp", "pod triggered scale-up", type="Normal")], Severity.WARNING),
        (0, 1200, [event("Pod/llm-1", "TriggeredScaleUp", "x", type="Normal", age_s=1000)], Severity.CRITICAL),
    ],
)
def test_a_workload_without_any_ready_pod_is_down(
    ready: int, age_s: float, events: list[Manifest], severity: Severity
) -> None:
    owner = {"kind": "StatefulSet", "metadata": meta("llm"), "status": {"readyReplicas": ready}}
    subject = waiting(NO_GPU, owner="StatefulSet/llm", age_s=age_s, container=wants(gpu="1"))
    [finding] = ours([subject, owner, node(), *events])
    assert (finding.subject, finding.severity) == (Ref("StatefulSet", "shop", "llm"), severity)


def test_replicas_are_one_finding() -> None:
    owner = {"kind": "StatefulSet", "metadata": meta("llm")}
    pods = [waiting(NO_GPU, name=f"llm-{n}", owner="StatefulSet/llm", container=wants(gpu="1")) for n in range(5)]
    [finding] = ours([*pods, owner, node()])
    assert finding.count == 5


CLAIM_SPEC = {"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}


def claim(phase: str, **spec: Any) -> Manifest:
    return {"kind": "PersistentVolumeClaim", "metadata": meta("data"), "spec": spec, "status": {"phase": phase}}


UNBOUND = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"


def test_an_unbound_claim_is_followed_and_a_bound_one_is_no_reason() -> None:
    subject = waiting(UNBOUND, spec=CLAIM_SPEC)
    found = first(subject, claim("Pending"))
    assert found is not None
    assert (found[0].id, found[1].title) == ("claim-unbound", "waits for claim data")
    assert found[1].follows == (Ref("PersistentVolumeClaim", "shop", "data"),)
    assert render(found[1].next[0], Target()) == "kubectl -n shop describe pvc data"
    bound = first(subject, claim("Bound"))
    assert bound is not None
    assert (bound[1].title, bound[1].severity) == (
        "waits to be tried again: its claims are bound by now",
        Severity.INFO,
    )
    blind = first(subject, missing={"persistentvolumeclaims": SourceState.FORBIDDEN})
    assert blind is not None and any(line.mark is Mark.OPEN for line in blind[1].evidence)


def test_no_claim_is_said_to_be_bound_where_none_is_known() -> None:
    found = first(waiting(UNBOUND))
    assert found is not None
    assert (found[0].id, found[1].title) == ("claim-unbound", "waits for a claim that is not bound")
    assert [line.mark for line in found[1].evidence] == [Mark.SUPPORTS, Mark.OPEN]


def test_the_claim_of_an_ephemeral_volume_is_the_cause() -> None:
    """Its name is that of the pod and the volume; the pod names it nowhere."""
    template = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Ti"}}}}
    spec = {"volumes": [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}]}
    made_for_it = {**claim("Pending"), "metadata": meta("llm-1-scratch", owner="Pod/llm-1")}
    failed = event("PersistentVolumeClaim/llm-1-scratch", "ProvisioningFailed", "VolumeLimitExceeded")
    [cause] = judged(waiting(UNBOUND, spec=spec), made_for_it, failed, node()).causes
    assert (cause.rule, cause.subject.name) == ("provisioning-fails", "llm-1-scratch")
    assert [item.title for item in cause.consequences] == ["llm-1 waits for claim llm-1-scratch"]
    message = 'waiting for ephemeral volume controller to create the persistentvolumeclaim "llm-1-scratch"'
    unmade = first(waiting(f"0/1 nodes are available: {message}. not found", spec=spec), node())
    assert unmade is not None
    assert (unmade[0].id, unmade[1].title) == ("claim-missing", "wants claim llm-1-scratch, which does not exist")


@pytest.mark.parametrize(
    ("message", "title"),
    [
        ('persistentvolumeclaim "data" not found', "wants claim data, which does not exist"),
        ('0/1 nodes are available: persistentvolumeclaim "data" not found. not found',
         "wants claim data, which does not exist"),
        ('persistentvolumeclaim "data" is being deleted', "wants claim data, which is being deleted"),
        (
            'persistentvolumeclaim "data" bound to non-existent persistentvolume "pv-1"',
            "wants claim data, whose volume pv-1 does not exist",
        ),
    ],
)  # fmt: skip
def test_a_claim_that_is_not_there(message: str, title: str) -> None:
    quota = {
        "kind": "ResourceQuota",
        "metadata": meta("storage"),
        "status": {"hard": {"persistentvolumeclaims": "5"}, "used": {"persistentvolumeclaims": "5"}},
    }
    found = first(waiting(message, spec=CLAIM_SPEC), quota)
    assert found is not None
    assert (found[0].id, found[1].title) == ("claim-missing", title)
    assert ("persistentvolumeclaims 5 of 5 used" in texts(found[1])) == ("not exist" in title and "volume" not in title)
    assert first(waiting(message, spec=CLAIM_SPEC, age_s=8), quota) is None


def test_a_claim_that_came_after_all() -> None:
    found = first(waiting('persistentvolumeclaim "data" not found', spec=CLAIM_SPEC), claim("Pending"))
    assert found is not None
    assert (found[1].title, found[1].severity) == ("waits to be tried again: claim data exists by now", Severity.INFO)


def test_a_volume_tied_to_a_node_that_is_cordoned() -> None:
    terms = [{"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["n1"]}]}]
    volume = {
        "kind": "PersistentVolume",
        "metadata": meta("pv-1", ""),
        "spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": terms}}},
    }
    message = none_of(2, "1 node(s) didn't match PersistentVolume's node affinity", "1 node(s) were unschedulable")
    subject = waiting(message, spec=CLAIM_SPEC)
    others = [claim("Bound", volumeName="pv-1"), node("n1", spec={"unschedulable": True}), node("n2")]
    found = first(subject, volume, *others)
    assert found is not None
    assert (found[0].id, found[1].follows) == ("volume-elsewhere", (Ref("Node", "", "n1"),))
    assert "pv-1 (claim data) is tied to kubernetes.io/hostname In n1" in texts(found[1])
    unread = first(subject, *others, missing={"persistentvolumes": SourceState.STARTING})
    assert unread is not None and unread[1].wants == "persistentvolumes"


NONE_TO_BIND = none_of(1, "1 node(s) didn't find available persistent volumes to bind")


def storage_class(name: str, provisioner: str) -> Manifest:
    mode = "WaitForFirstConsumer"
    return {"kind": "StorageClass", "metadata": meta(name, ""), "provisioner": provisioner, "volumeBindingMode": mode}


def test_no_volume_on_any_node_is_told_from_a_volume_elsewhere() -> None:
    """The claim has no volume that a node could fail to reach."""
    by_hand = storage_class("local", "kubernetes.io/no-provisioner")
    asked = claim("Pending", storageClassName="local", resources={"requests": {"storage": "10Gi"}})
    small = {
        "kind": "PersistentVolume",
        "metadata": meta("pv-1", ""),
        "spec": {"storageClassName": "local", "capacity": {"storage": "5Gi"}},
        "status": {"phase": "Available"},
    }
    subject = waiting(NONE_TO_BIND, spec=CLAIM_SPEC)
    for volumes, line in (
        ([], "there is no unbound volume of class local"),
        ([small], "pv-1: has 5Gi, asked are 10Gi"),
    ):
        found = first(subject, by_hand, asked, *volumes)
        assert found is not None
        assert (found[0].id, found[1].title) == (
            "no-volume-to-bind",
            "finds no volume for claim data on the nodes it may run on",
        )
        assert line in texts(found[1])
        assert "class local makes no volumes" in texts(found[1])
        assert render(found[1].next[0], Target()) == "kubectl get pv"
    unread = first(subject, by_hand, asked, missing={"persistentvolumes": SourceState.STARTING})
    assert unread is not None
    assert (unread[1].wants, unread[1].evidence[-1].mark) == ("persistentvolumes", Mark.OPEN)
    made_there = first(subject, storage_class("local", "csi.example"), asked)
    assert made_there is not None
    assert (
        render(made_there[1].next[0], Target()) == "kubectl get storageclass local -o 'jsonpath={.allowedTopologies}'"
    )


def test_storage_that_is_full_on_all_nodes() -> None:
    asked = claim("Pending", storageClassName="lvm", resources={"requests": {"storage": "10Gi"}})
    found = first(waiting(none_of(1, "1 node(s) did not have enough free storage"), spec=CLAIM_SPEC), asked)
    assert found is not None
    assert (found[0].id, found[1].title) == ("no-free-storage", "finds no node with free storage for claim data")
    assert "claim data asks for 10Gi" in texts(found[1])
    assert render(found[1].next[0], Target()) == "kubectl get csistoragecapacities -A"


def test_a_claim_for_one_pod_only() -> None:
    reason = "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by"
    message = none_of(1, f"1 {reason} another pod")
    holder = pod("holder", spec=CLAIM_SPEC)
    found = first(waiting(message, spec=CLAIM_SPEC), holder, claim("Bound", accessModes=["ReadWriteOncePod"]), node())
    assert found is not None
    assert (found[0].id, found[1].title) == ("claim-in-use", "wants claim data, which another pod uses")
    assert "claim data is used by holder on node-1" in texts(found[1])
