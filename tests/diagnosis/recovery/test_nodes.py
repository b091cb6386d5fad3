"""Nodes that are Ready again, and their agents; leases, namespaces and controllers that move on."""

from functools import partial
from typing import Final

import pytest

from tests.build import Manifest, ago, event, node, pod
from tests.diagnosis.objects import daemonset, endpoints, lease, ready_condition, service
from tests.diagnosis.recovery.harness import Case, check, gone
from tests.diagnosis.test_control_plane import API_LEASE, down, leaving, new_deployment, placed, unseen
from tests.diagnosis.test_node_agents import agent_pod
from tests.diagnosis.test_node_clock import MANAGER, dated, live, renewed
from tests.diagnosis.test_nodes import CNI, FINE, GONE, OTHER, RUNTIME, cordoned, node_event, pressed

BACK: Final = node(conditions=ready_condition("True", reason="KubeletReady", age_s=-1, heartbeat_s=-1))
"""The node, Ready since a second."""
SILENT: Final = lease("node-1", age_s=300, namespace="kube-node-lease")
RENEWED: Final = lease("node-1", age_s=-1, namespace="kube-node-lease")
TOLD_OF_IT: Final = event("Node/node-1", "NodeNotReady", "Node node-1 status is now: NodeNotReady", namespace="")
REBOOT: Final = node_event("Rebooted", "Node node-1 has been rebooted, boot id: 1", 60)
OOM: Final = node_event("SystemOOM", "System OOM encountered, victim process: python, pid: 7", 60)
PRESSURES: Final = {
    "node-disk-pressure": "DiskPressure",
    "node-memory-pressure": "MemoryPressure",
    "node-pid-pressure": "PIDPressure",
    "node-problem": "ReadonlyFilesystem",
    "node-network-unavailable": "NetworkUnavailable",
}
AS_IT_WAS: Final = pod(age_s=9000, ready=False, container_status={"ready": True})
"""A pod of the node: its containers are ready, the node controller has set Ready=False."""
ELECTED: Final[Manifest] = lease("kube-scheduler", age_s=-1)
ELECTED["spec"]["acquireTime"] = ago(-1)
WEB: Final = pod(owner="ReplicaSet/web-5d8")
LOOKED_S: Final = 6.0
"""Leases of nodes are read once a minute: who stands on them is judged again by time alone (`engine.RECHECK`)."""
CASES: Final = (
    *(Case(rule, [node(conditions=conditions), FINE, TOLD_OF_IT, WEB], [BACK])
      for rule, conditions in (("node-unreachable", GONE), ("node-network-not-ready", CNI),
                               ("node-runtime-down", RUNTIME), ("node-not-ready", OTHER))),
    Case("node-unreachable", [node(conditions=GONE), FINE, WEB, SILENT], [RENEWED, BACK], name="its lease too"),
    Case("node-unreachable", [node(conditions=GONE), FINE], [gone("Node", "node-1", "")], name="removed"),
    Case("node-unreachable", [node(conditions=GONE), FINE, service(), endpoints("web", {"web-1": False}),
                              pod(ready=False)],
         [BACK, pod(), endpoints("web", {"web-1": True})], name="with what followed"),
    Case("node-unreachable", [node(conditions=GONE), FINE, service(), endpoints("web", {"web-1": False}), AS_IT_WAS,
                              daemonset("kube-proxy"), agent_pod("kube-proxy")], [BACK],
         name="nobody has written yet that its pods are ready"),
    Case("node-network-not-ready", [node(conditions=CNI), FINE, daemonset("calico-node"), agent_pod("calico-node")],
         [BACK, daemonset("calico-node", ready=2), agent_pod("calico-node", ready=True)], name="its plugin is back"),
    *(Case(rule, [pressed(kind), FINE], [pressed(kind, status="False")]) for rule, kind in PRESSURES.items()),
    Case("node-out-of-memory", [node(), FINE, OOM], [], after_s=1800, name="nothing since"),
    Case("node-rebooted", [node(), FINE, REBOOT, pod(ready=False)], [pod()], name="its pods are back"),
    Case("node-rebooted", [node(), FINE, REBOOT, pod(ready=False)], [gone("Pod", "web-1")], name="its pods moved"),
    Case("node-cordoned", [cordoned(3 * 86400), FINE], [node()]),
    Case("nodes-down-together", [down("a", 300), down("b", 280), down("c", 270)], [node("a"), node("b"), node("c")]),
    Case("node-agent-not-ready", [daemonset("kube-proxy"), agent_pod("kube-proxy"), node(), FINE],
         [daemonset("kube-proxy", ready=2), agent_pod("kube-proxy", ready=True)]),
    Case("node-agent-not-ready", [daemonset("kube-proxy", current=1), node(), FINE],
         [daemonset("kube-proxy", ready=2)], name="no pod is missing"),
    Case("scheduler-down", [API_LEASE, lease("kube-scheduler", age_s=125)], [lease("kube-scheduler", age_s=-1)],
         name="lease renewed"),
    Case("scheduler-down", [unseen("a"), unseen("b"), node()], [placed(-1), pod("a"), pod("b")], name="pods get nodes"),
    Case("scheduler-down", [API_LEASE, lease("kube-scheduler", age_s=125), unseen("a"), unseen("b"), node()],
         [ELECTED], name="elected a second ago, and pods wait for it"),
    Case("controller-manager-down", [API_LEASE, lease("kube-controller-manager", age_s=125)],
         [lease("kube-controller-manager", age_s=-1)]),
    Case("deployment-not-observed", [new_deployment(age_s=60)], [new_deployment(age_s=60, observed=1)]),
    Case("node-clock-off", partial(live, dated(heartbeat_s=-300), FINE), [dated(heartbeat_s=-1)]),
    *(Case("node-clock-off", partial(live, *known, FINE), [renewed(age_s=-1)], after_s=LOOKED_S, name=name)
      for name, known in (("its lease tells it first", (dated(heartbeat_s=-300), renewed(age_s=-300))),
                          ("so does a first lease", (dated(heartbeat_s=-300),)),
                          ("behind", (dated(heartbeat_s=400), renewed(age_s=245), MANAGER)))),
    Case("node-clock-off", partial(live, *(dated(f"n{i}", heartbeat_s=-90) for i in range(3))),
         [dated(f"n{i}", heartbeat_s=-1) for i in range(3)], name="the API server's"),
    Case("namespace-stuck", [leaving(600, "NamespaceContentRemaining")], [gone("Namespace", "old", "")]),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_recovery(case: Case) -> None:
    check(case)
