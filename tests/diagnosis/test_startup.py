"""Pods that have a node but cannot start, for reasons of the node: network, runtime, devices."""

from typing import Any

import pytest

from diagnosis.engine import diagnose
from situation.findings import Layer, Severity
from situation.meta import Ref
from situation.readings import CONFIGURED, Configured, Reading, SourceState
from tests.build import NOW, Manifest, ago, causes, event, meta, node, pod, situation
from tests.diagnosis.pod_faults import OWNED, creating, fault, first_command, rule_of, running, status, text_of

SANDBOX = "Failed to create pod sandbox: rpc error: code = Unknown desc = "
NO_ADDRESS = (
    SANDBOX + 'failed to setup network for sandbox "1f": plugin type="host-local" failed (add): failed to allocate for '
    "range 0: no IP addresses available in range set: 10.244.0.1-10.244.0.254"
)
AWS = SANDBOX + 'failed to setup network for sandbox "1f": add cmd: failed to assign an IP address to container'
CALICO = (
    SANDBOX
    + 'failed to setup network for sandbox "1f": plugin type="calico" failed (add): stat /var/lib/calico/nodename: '
    "no such file or directory"
)
SOCKET = (
    'Failed to create pod sandbox: rpc error: code = Unavailable desc = connection error: desc = "transport: Error '
    'while dialing: dial unix /run/containerd/containerd.sock: connect: no such file or directory"'
)
NO_NVIDIA = SANDBOX + 'failed to get sandbox runtime: no runtime for "nvidia" is configured'
NO_NVIDIA_2 = SANDBOX + 'unable to get OCI runtime for sandbox "1f": no runtime for "nvidia" is configured'
NO_CLASS = SANDBOX + 'failed to lookup RuntimeClass nvidia: runtimeclass.node.k8s.io "nvidia" not found'
DRA = "Failed to prepare dynamic resources: prepare claim x: DRA driver gpu.nvidia.com is not registered"


def sandbox_event(message: str, reason: str = "FailedCreatePodSandBox") -> Manifest:
    return event("Pod/web-1", reason, message, count=9)


@pytest.mark.parametrize(
    ("message", "reason", "rule", "title", "layer"),
    [
        (NO_ADDRESS, "FailedCreatePodSandBox", "pod-ips-exhausted", "node-1 has no pod addresses left", Layer.NETWORK),
        (AWS, "FailedCreatePodSandBox", "pod-ips-exhausted", "node-1 has no pod addresses left", Layer.NETWORK),
        (
            CALICO,
            "FailedCreatePodSandBox",
            "pod-network",
            "node-1 cannot connect new pods: its network plugin fails",
            Layer.NETWORK,
        ),
        (
            "network is not ready: container runtime network not ready",
            "NetworkNotReady",
            "pod-network",
            "node-1 cannot connect new pods: its network plugin fails",
            Layer.NETWORK,
        ),
        (
            SOCKET,
            "FailedCreatePodSandBox",
            "runtime-unreachable",
            "node-1 cannot start pods: its container runtime does not answer",
            Layer.NODE,
        ),
        (NO_NVIDIA, "FailedCreatePodSandBox", "nvidia-runtime", "node-1 has no container runtime nvidia", Layer.NODE),
        (NO_NVIDIA_2, "FailedCreatePodSandBox", "nvidia-runtime", "node-1 has no container runtime nvidia", Layer.NODE),
        (DRA, "FailedPrepareDynamicResources", "dra-driver", "node-1 has no DRA driver gpu.nvidia.com", Layer.NODE),
    ],
)
def test_faults_of_the_node_are_about_the_node(message: str, reason: str, rule: str, title: str, layer: Layer) -> None:
    found = fault(creating(), node(), sandbox_event(message, reason))
    assert found is not None
    assert (found.rule, found.title, found.layer) == (rule, title, layer)
    assert found.subject == Ref("Node", "", "node-1")
    assert found.severity is Severity.CRITICAL


@pytest.mark.parametrize(
    ("message", "reason", "rule", "title"),
    [
        (
            NO_CLASS,
            "FailedCreatePodSandBox",
            "nvidia-runtime",
            "web asks for RuntimeClass nvidia, which does not exist",
        ),
        (
            "Failed to prepare dynamic resources: prepare claim x: out of memory",
            "FailedPrepareDynamicResources",
            "dra-driver",
            "web cannot get its devices: prepare claim x: out of memory",
        ),
        (
            SANDBOX + "failed to reserve sandbox name: name is reserved",
            "FailedCreatePodSandBox",
            "sandbox-failure",
            "web cannot start: failed to reserve sandbox name: name is reserved",
        ),
    ],
)
def test_faults_of_the_pod_are_about_its_workload(message: str, reason: str, rule: str, title: str) -> None:
    found = fault(creating(), node(), sandbox_event(message, reason))
    assert found is not None
    assert (found.rule, found.title, found.subject) == (rule, title, Ref("Deployment", "shop", "web"))


@pytest.mark.parametrize("message", [NO_ADDRESS, CALICO, SOCKET, NO_NVIDIA, NO_CLASS, "anything else"])
def test_young_started_and_healthy_pods_are_silent(message: str) -> None:
    told = sandbox_event(message)
    assert rule_of(creating(age_s=10), node(), told) == "clear"
    assert rule_of(pod(**OWNED), node(), told) == "clear"
    started = creating(ready_to_start=True, container_status=status(running(5)), phase="Running", age_s=40)
    assert rule_of(started, node(), told) == "clear"


def test_pods_of_many_workloads_on_a_node_are_one_cause() -> None:
    pods = [creating(name=f"web-{number}", owner="", labels={"app": f"a{number}"}) for number in range(4)]
    events = [event(f"Pod/web-{number}", "FailedCreatePodSandBox", NO_ADDRESS) for number in range(4)]
    assert causes(*pods, *events, node())["pod-ips-exhausted"].count == 4


def test_exhausted_addresses_come_with_numbers() -> None:
    others = [pod(f"db-{number}", status={"podIP": f"10.244.0.{number}"}) for number in range(3)]
    found = fault(creating(), node(spec={"podCIDR": "10.244.0.0/30"}), *others, sandbox_event(NO_ADDRESS))
    assert found is not None
    assert "3 pods of node-1 with an address" in text_of(found)
    assert "podCIDR 10.244.0.0/30 (addresses: 4)" in text_of(found)


def test_addresses_in_use_are_not_counted_in_one_namespace() -> None:
    part = situation(creating(), node(spec={"podCIDR": "10.244.0.0/30"}), sandbox_event(NO_ADDRESS))
    part.apply(Reading(CONFIGURED, SourceState.LIVE, NOW, Configured(only_namespace="shop")))
    (cause,) = diagnose(part, NOW).causes
    assert cause.rule == "pod-ips-exhausted"
    assert "podCIDR 10.244.0.0/30 (addresses: 4)" in text_of(cause)
    assert "with an address" not in text_of(cause)


@pytest.mark.parametrize(
    ("message", "command", "where"),
    [
        (NO_ADDRESS, "kubectl get node node-1 -o 'jsonpath={.spec.podCIDR}'", "here"),
        (CALICO, "kubectl -n kube-system get pods -o wide --field-selector spec.nodeName=node-1", "here"),
        (SOCKET, "systemctl status containerd", "node node-1"),
        (NO_NVIDIA, "kubectl get runtimeclass", "here"),
        ("else", "kubectl -n shop describe pod web-1", "here"),
    ],
)
def test_first_commands(message: str, command: str, where: str) -> None:
    found = fault(creating(), node(), sandbox_event(message))
    assert found is not None
    assert (first_command(found), found.next[0].where) == (command, where)


def toolkit(**more: Any) -> Manifest:
    base: Manifest = {
        "namespace": "gpu-operator",
        "owner": "DaemonSet/nvidia-container-toolkit-daemonset",
        "labels": {"app": "nvidia-container-toolkit-daemonset"},
    }
    return pod("nvidia-container-toolkit-daemonset-x", **{**base, **more})


def test_the_nvidia_handler_is_waited_for_while_the_toolkit_comes_up() -> None:
    told = sandbox_event(NO_NVIDIA)
    starting = toolkit(age_s=300, phase="Pending", ready=False, container_status=status({"waiting": {}}))
    assert rule_of(creating(age_s=300), node(), starting, told) == "clear"
    fresh = toolkit(status={"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": ago(10)}]})
    assert rule_of(creating(age_s=300), node(), fresh, told) == "clear"
    assert rule_of(creating(age_s=300), node(), toolkit(), told) == "nvidia-runtime"


def test_a_broken_toolkit_explains_the_missing_handler() -> None:
    broken = toolkit(ready=False, container_status=status({"waiting": {"reason": "CrashLoopBackOff"}}, restarts=4))
    daemonset = {
        "kind": "DaemonSet",
        "metadata": meta("nvidia-container-toolkit-daemonset", "gpu-operator"),
        "status": {"desiredNumberScheduled": 1, "numberReady": 1},
    }
    cause = causes(creating(), node(), broken, daemonset, sandbox_event(NO_NVIDIA))["gpu-link-broken"]
    assert "nvidia-runtime" in {found.rule for found in cause.consequences}
