"""Nodes: not Ready, under pressure, rebooted, cordoned; and what is silent."""

from typing import Any

import pytest

from diagnosis.engine import Engine
from diagnosis.rules import control_plane, node_agents, node_conditions, nodes, services
from situation.findings import Effect, Layer, Mark, Severity
from situation.meta import Ref
from situation.readings import SourceState
from tests.build import NOW, Manifest, ago, event, node, pod, situation
from tests.diagnosis.objects import (
    causes_of,
    daemonset,
    endpoints,
    first_command,
    lease,
    ready_condition,
    service,
)

RULES = nodes.RULES + node_conditions.RULES

GONE = ready_condition("Unknown", reason="NodeStatusUnknown", message="Kubelet stopped posting node status.")
NEVER = ready_condition("Unknown", reason="NodeStatusNeverUpdated", message="Kubelet never posted node status.")
CNI = ready_condition(
    "False",
    reason="KubeletNotReady",
    message="container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
    "message:Network plugin returns error: cni plugin not initialized",
)
PLEG = ready_condition(
    "False", message="PLEG is not healthy: pleg was last seen active 3m10s ago; threshold is 3m0s", age_s=240
)
RUNTIME = ready_condition("False", reason="KubeletNotReady", message="container runtime is down")
SHUTDOWN = ready_condition("False", reason="KubeletNotReady", message="node is shutting down")
OTHER = ready_condition("False", reason="KubeletNotReady", message="kubelet cgroup manager failed")
FINE = node("node-2")


def found(*manifests: Manifest) -> dict[str, Any]:
    return causes_of(RULES, situation(FINE, *manifests))


@pytest.mark.parametrize(
    ("conditions", "rule", "layer", "words", "first"),
    [
        (GONE, "node-unreachable", Layer.NODE, "has not reported for 5m50s", "kube-node-lease get lease node-1"),
        (NEVER, "node-unreachable", Layer.NODE, "has never reported", "kube-node-lease get lease node-1"),
        ([], "node-unreachable", Layer.NODE, "has not reported for ?", "kube-node-lease get lease node-1"),
        (CNI, "node-network-not-ready", Layer.NETWORK, "network plugin (CNI)", "spec.nodeName=node-1"),
        (PLEG, "node-runtime-down", Layer.NODE, "4m: PLEG is not healthy", "describe node node-1"),
        (RUNTIME, "node-runtime-down", Layer.NODE, "5m: container runtime is down", "describe node node-1"),
        (SHUTDOWN, "node-not-ready", Layer.NODE, "is shutting down", "describe node node-1"),
        (OTHER, "node-not-ready", Layer.NODE, "kubelet cgroup manager failed", "describe node node-1"),
    ],
)
def test_a_node_that_is_not_ready(conditions: list[Manifest], rule: str, layer: Layer, words: str, first: str) -> None:
    causes = found(node(conditions=conditions), pod())
    assert list(causes) == [rule]
    finding = causes[rule]
    assert (finding.subject, finding.node) == (Ref("Node", "", "node-1"), "node-1")
    assert (finding.layer, finding.severity) == (layer, Severity.CRITICAL)
    assert words in finding.title
    assert first in first_command(finding)
    assert finding.next[0].effect is Effect.READ
    assert any("1 pod on it" in line.text for line in finding.evidence)


def joined(age_s: float, conditions: list[Manifest]) -> Manifest:
    made = node(conditions=conditions)
    made["metadata"]["creationTimestamp"] = ago(age_s)
    return made


@pytest.mark.parametrize(
    "manifest",
    [
        joined(60, CNI),
        joined(60, GONE),
        node(conditions=ready_condition("False", message="container runtime is down", age_s=5)),
        node(),
    ],
    ids=["joins, no network yet", "joins", "turned just now", "recovered"],
)
def test_a_node_that_is_given_time_or_well(manifest: Manifest) -> None:
    assert not found(manifest)


@pytest.mark.parametrize(
    ("known", "missing", "text", "mark"),
    [
        ([lease("node-1", age_s=300, namespace="kube-node-lease")], {}, "renewed 5m ago", Mark.SUPPORTS),
        ([lease("node-1", age_s=8, namespace="kube-node-lease")], {}, "the kubelet reaches", Mark.EXCLUDES),
        ([lease("node-1", age_s=-3000, namespace="kube-node-lease")], {}, "by its own clock", Mark.OPEN),
        ([], {}, "has no lease", Mark.SUPPORTS),
        ([], {"nodeleases": SourceState.STARTING}, "not known yet", Mark.OPEN),
        ([], {"nodeleases": SourceState.FORBIDDEN}, "not known: cannot list nodeleases", Mark.OPEN),
    ],
    ids=["old", "fresh", "from the future", "none", "not read", "not to be read"],
)
def test_the_lease_tells_a_dead_node_from_a_silent_status(
    known: list[Manifest], missing: dict[str, SourceState], text: str, mark: Mark
) -> None:
    causes = causes_of(RULES, situation(FINE, node(conditions=GONE), *known, missing=missing))
    lines = [line for line in causes["node-unreachable"].evidence if text in line.text]
    assert [line.mark for line in lines] == [mark]


def test_a_dead_node_whose_clock_was_ahead_has_not_reported_just_now() -> None:
    gone = ready_condition("Unknown", reason="NodeStatusUnknown", age_s=1700, heartbeat_s=-1500)
    assert "has not reported for 28m" in found(node(conditions=gone))["node-unreachable"].title


def test_a_dead_node_asks_for_the_node_leases() -> None:
    known = situation(FINE, node(conditions=GONE), missing={"nodeleases": SourceState.STARTING})
    assert Engine(RULES).judge(known, (), NOW).wanted == {"nodeleases"}
    assert not Engine(RULES).judge(situation(FINE), (), NOW).wanted


def test_what_is_on_a_dead_node_follows_it() -> None:
    known = situation(FINE, node(conditions=GONE), service(), endpoints("web", {"web-1": False}), pod(ready=False))
    causes = causes_of(nodes.RULES + services.RULES, known)
    assert list(causes) == ["node-unreachable"]
    assert [item.rule for item in causes["node-unreachable"].consequences] == ["no-ready-endpoint"]


def test_nodes_that_went_together_follow_one_cause() -> None:
    names = ("node-1", "node-2", "node-3")
    known = situation(*(node(name, conditions=GONE) for name in names))
    causes = causes_of(RULES + control_plane.RULES, known)
    assert list(causes) == ["nodes-down-together"]
    assert len(causes["nodes-down-together"].consequences) == 3


def test_a_dead_network_plugin_explains_the_node_that_waits_for_it() -> None:
    calico = pod("calico-node-x", namespace="kube-system", owner="DaemonSet/calico-node", ready=False)
    known = situation(FINE, node(conditions=CNI), daemonset("calico-node"), calico)
    causes = causes_of(RULES + node_agents.RULES, known)
    assert list(causes) == ["node-agent-not-ready"]
    assert [item.rule for item in causes["node-agent-not-ready"].consequences] == ["node-network-not-ready"]


def pressed(kind: str, *, status: str = "True", reason: str = "") -> Manifest:
    ready = ready_condition("True", reason="KubeletReady")
    other = {"type": kind, "status": status, "reason": reason, "message": "", "lastTransitionTime": ago(240)}
    return node(conditions=[*ready, other])


@pytest.mark.parametrize(
    ("kind", "rule", "title"),
    [
        ("DiskPressure", "node-disk-pressure", "node-1 is under disk pressure for 4m"),
        ("MemoryPressure", "node-memory-pressure", "node-1 is under memory pressure for 4m"),
        ("PIDPressure", "node-pid-pressure", "node-1 is under process ID pressure for 4m"),
        ("ReadonlyFilesystem", "node-problem", "node-1 has a read-only file system"),
        ("KernelDeadlock", "node-problem", "node-1 reports a kernel deadlock"),
        ("NetworkUnavailable", "node-network-unavailable", "node-1 has no network for 4m"),
    ],
)
def test_a_node_in_trouble_though_ready(kind: str, rule: str, title: str) -> None:
    causes = found(pressed(kind))
    assert list(causes) == [rule]
    assert causes[rule].title == title
    assert causes[rule].severity is Severity.WARNING
    assert first_command(causes[rule]) == "kubectl describe node node-1"
    assert not found(pressed(kind, status="False"))


def test_evicted_pods_are_evidence_of_pressure() -> None:
    status = {"reason": "Evicted", "message": "The node was low on resource: memory. Threshold quantity: 100Mi"}
    finding = found(pressed("MemoryPressure"), pod(phase="Failed", ready=False, status=status))["node-memory-pressure"]
    assert any("1 pod evicted" in line.text for line in finding.evidence)


def node_event(reason: str, message: str, age_s: float) -> Manifest:
    return event("Node/node-1", reason, message, namespace="", age_s=age_s)


@pytest.mark.parametrize(
    ("manifests", "rule"),
    [
        (
            (node_event("SystemOOM", "System OOM encountered, victim process: python, pid: 7", 60),),
            "node-out-of-memory",
        ),
        ((node_event("SystemOOM", "System OOM encountered, victim process: python, pid: 7", 3000),), None),
        ((node_event("Rebooted", "Node node-1 has been rebooted, boot id: 1", 60), pod(ready=False)), "node-rebooted"),
        ((node_event("Rebooted", "Node node-1 has been rebooted, boot id: 1", 60), pod()), None),
        ((node_event("Rebooted", "Node node-1 has been rebooted, boot id: 1", 3000), pod(ready=False)), None),
        ((node_event("InvalidDiskCapacity", "invalid capacity 0 on image filesystem", 5),), None),
        ((node_event("NodeNotReady", "Node node-1 status is now: NodeNotReady", 60),), None),
    ],
    ids=["oom", "old oom", "rebooted", "pods are back", "old reboot", "kubelet start", "recovered"],
)
def test_events_of_a_node_count_while_they_are_true(manifests: tuple[Manifest, ...], rule: str | None) -> None:
    assert list(found(node(), *manifests)) == ([rule] if rule else [])


def cordoned(age_s: float | None, **fields: Any) -> Manifest:
    taint: Manifest = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    if age_s is not None:
        taint["timeAdded"] = ago(age_s)
    return node(spec={"unschedulable": True, "taints": [taint]}, **fields)


def test_only_an_old_cordon_is_told_and_only_as_a_hint() -> None:
    finding = found(cordoned(3 * 86400))["node-cordoned"]
    assert (finding.severity, finding.title) == (Severity.INFO, "node-1 has been cordoned for 3d")
    assert [command.effect for command in finding.next] == [Effect.READ, Effect.MUTATING]
    assert not found(cordoned(3600))
    assert not found(cordoned(None))
    assert not found(cordoned(3 * 86400, labels={"node-role.kubernetes.io/control-plane": ""}))


@pytest.mark.parametrize(
    ("info", "labels", "commands"),
    [
        ({}, {}, ["systemctl status kubelet", "journalctl -u kubelet"]),
        ({"kubeletVersion": "v1.33.1+k3s1"}, {}, ["systemctl status k3s-agent", "journalctl -u k3s-agent"]),
        (
            {"kubeletVersion": "v1.33.1+k3s1"},
            {"node-role.kubernetes.io/control-plane": "true"},
            ["systemctl status k3s", "journalctl -u k3s"],
        ),
        (
            {"kubeletVersion": "v1.33.1+rke2r1"},
            {},
            ["systemctl status rke2-agent", "tail -n 200 /var/lib/rancher/rke2"],
        ),
        ({"operatingSystem": "windows"}, {}, []),
        ({"osImage": "Talos (v1.10.3)"}, {}, []),
        ({}, {"type": "virtual-kubelet"}, []),
    ],
    ids=["kubelet", "k3s agent", "k3s server", "rke2", "windows", "talos", "virtual-kubelet"],
)
def test_a_node_is_looked_at_by_the_service_that_it_has(
    info: Manifest, labels: dict[str, str], commands: list[str]
) -> None:
    cause = found(node(conditions=GONE, labels=labels, status={"nodeInfo": info}))["node-unreachable"]
    on_it = [" ".join(command.argv) for command in cause.next if command.where == "node node-1"]
    assert len(on_it) == len(commands)
    assert all(line.startswith(start) for line, start in zip(on_it, commands, strict=True))
