"""Layer 5: driver upgrades that failed, hang or never start (gpu_operator 2.3)."""

from datetime import datetime
from typing import Final

from diagnosis.commands import counted, fact, kubectl, shorten
from diagnosis.gpu_causes import DRIVER_START_S
from diagnosis.gpu_facts import (
    forbidding_budgets,
    holders,
    is_discovered,
    operands_on,
    operator_namespace,
    policies,
    unready_owners,
)
from diagnosis.gpu_status import blockers
from diagnosis.placement import cordoned_since, is_cordoned
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, rule, wait_until
from diagnosis.rules.gpu_upgrades_facts import driver_on, upgrade_commands, upgrade_events, upgrade_said
from situation.clock import age_text
from situation.cluster import Node
from situation.findings import Command, Effect, Evidence, Layer, Severity
from situation.gpu.offer import UPGRADE
from situation.meta import CLUSTER, Ref
from situation.pods import Pod
from situation.selectors import is_node_ready, is_ready, pod_status_text
from situation.situation import Situation

STATE_BUDGET_S: Final = {
    "cordon-required": 120.0,
    "wait-for-jobs-required": 3600.0,
    "pod-deletion-required": 600.0,
    "drain-required": 600.0,
    "node-maintenance-required": 3600.0,
    "post-maintenance-required": 3600.0,
    "pod-restart-required": DRIVER_START_S + 600.0,
    "validation-required": 900.0,
    "uncordon-required": 120.0,
}
"""How long a node may be in a state. The operator gives pods 300 s to go and validation 600 s before it fails them
(gpu_operator 2.3), a driver takes up to 20 minutes to start; to wait for jobs or maintenance has no limit there."""
_PATIENT: Final = frozenset({"wait-for-jobs-required", "node-maintenance-required", "post-maintenance-required"})
"""States that wait for somebody else by design: a hint only."""
_EVICTING: Final = frozenset({"wait-for-jobs-required", "pod-deletion-required", "drain-required"})
QUIET_S: Final = 600.0
"""The upgrade controller looks every two minutes; when it has moved no node for ten, it will not by itself. Ours."""


def _retry(node: Node) -> Command:
    return kubectl("label", "node", node.name, f"{UPGRADE}=upgrade-required", "--overwrite",
                   purpose="have the operator try again, once the reason is gone", effect=Effect.MUTATING)  # fmt: skip


@rule(
    "gpu-driver-upgrade-failed",
    signature="L5-10",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Node",
    needs=("nodes", "pods"),
    looks_at="label nvidia.com/gpu-driver-upgrade-state=upgrade-failed, events GPUDriverUpgrade, the node's operands.",
    look_alikes={
        "gpu-driver-upgrade-stuck": "the upgrade is still under way",
        "crash-loop": "why the new driver does not start; this follows it",
    },
)
def gpu_driver_upgrade_failed(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A node's driver upgrade failed: it stays cordoned and uses up the upgrade's budget until its driver is ready."""
    if node.metadata.labels.get(UPGRADE) != "upgrade-failed":
        return CLEAR
    driver = driver_on(node, situation)
    pods = operands_on(node.name, situation)
    unready = [pod for pod in pods if not is_ready(pod)]
    cordon = "cordoned" if is_cordoned(node) else "not cordoned"
    return Fired(
        Ref("Node", "", node.name),
        "failed its driver upgrade",
        (
            fact("nodes", f"{UPGRADE}=upgrade-failed, {cordon}"),
            *upgrade_said(node, situation),
            *(fact("pods", f"{pod.name}: {pod_status_text(pod)}") for pod in unready[:3]),
        ),
        (*upgrade_commands(node, situation, driver), _retry(node)),
        follows=unready_owners(pods),
        node=node.name,
    )


@rule(
    "gpu-driver-upgrade-stuck",
    signature="L5-10",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Node",
    needs=("nodes", "pods"),
    looks_at="label nvidia.com/gpu-driver-upgrade-state, how long it has been so (events GPUDriverUpgrade, the "
    "cordon, the driver pod); pods that hold GPUs and disruption budgets that forbid their eviction.",
    look_alikes={"an upgrade under way": "each state has its own time: minutes to half an hour"},
)
def gpu_driver_upgrade_stuck(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A node's driver upgrade has been in one state for longer than that takes."""
    state = node.metadata.labels.get(UPGRADE, "")
    if state not in STATE_BUDGET_S:
        return CLEAR
    driver = driver_on(node, situation)
    since = _state_since(node, state, driver, situation)
    if since is None:
        return Unknown(f"since when {node.name} is in the state {state} is not known")
    if wait := wait_until(since, STATE_BUDGET_S[state], now):
        return wait
    pods = holders(node, situation) if state in _EVICTING else ()
    budgets = forbidding_budgets(pods, situation)
    operands = operands_on(node.name, situation)
    return Fired(
        Ref("Node", "", node.name),
        f"hangs in its driver upgrade: {state} for {age_text(since, now)}",
        (
            fact("nodes", f"{UPGRADE}={state}", at=since),
            *upgrade_said(node, situation),
            *blockers(pods, budgets),
            fact("pods", f"{driver.name}: {pod_status_text(driver)}" if driver else "no driver pod on it"),
        ),
        upgrade_commands(node, situation, driver),
        severity=Severity.INFO if state in _PATIENT else Severity.WARNING,
        follows=(
            *unready_owners(operands),
            *(Ref("PodDisruptionBudget", budget.namespace, budget.name) for budget in budgets),
        ),
        node=node.name,
        wants="poddisruptionbudgets" if pods else "",
    )


def _state_since(node: Node, state: str, driver: Pod | None, situation: Situation) -> datetime | None:
    """Return since when a node is in an upgrade state, as far as objects tell; never too early."""
    told = [event.last_seen for event in upgrade_events(node, situation) if state in event.message]
    times = [*told[-1:], cordoned_since(node)]
    if state == "pod-restart-required" and driver is not None:
        times.append(driver.metadata.creation_timestamp)
    return max((time for time in times if time is not None), default=None)


@rule(
    "gpu-driver-upgrades-wait",
    signature="L5-10",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Cluster",
    needs=("nodes",),
    looks_at="nodes with the upgrade state upgrade-required while none is being upgraded; failed, cordoned and lost "
    "nodes, which count against maxUnavailable and maxParallelUpgrades.",
    look_alikes={"nodes that wait for their turn": "another node is being upgraded: silent"},
)
def gpu_driver_upgrades_wait(_: None, situation: Situation, now: datetime) -> Verdict:
    """Nodes wait for a driver upgrade and none is under way: failed or cordoned nodes use up what may be away."""
    states = {node.name: state for node in situation.nodes.values() if (state := node.metadata.labels.get(UPGRADE))}
    waiting = sorted(name for name, state in states.items() if state == "upgrade-required")
    waiting = [name for name in waiting if not _skipped(name, situation)]
    if not waiting or STATE_BUDGET_S.keys() & states.values():
        return CLEAR
    if situation.has_unread("nodes"):
        return Unknown("not all nodes could be decoded: one may be upgraded now")
    nodes = [node for node in situation.nodes.values() if node.name in states or is_discovered(node)]
    moved = [event.last_seen for node in nodes for event in upgrade_events(node, situation)[-1:]]
    if wait := wait_until(max((time for time in moved if time is not None), default=None), QUIET_S, now):
        return wait
    failed = sorted(name for name, state in states.items() if state == "upgrade-failed")
    away = sorted(node.name for node in nodes if is_cordoned(node) or not is_node_ready(node))
    policy = next(iter(policies(situation)), None)
    return Fired(
        Ref("ClusterPolicy", "", policy.name) if policy else CLUSTER,
        ("waits" if len(waiting) == 1 else "wait") + " for a driver upgrade, and none is under way",
        _why_waiting(waiting, failed, away, situation),
        (
            kubectl("get", "nodes", "-L", UPGRADE, purpose="which nodes failed or are cordoned?"),
            kubectl("logs", "deployment/gpu-operator", "--tail=100", purpose="why does it start no upgrade?",
                    namespace=operator_namespace(situation)),
        ),
        severity=Severity.WARNING if failed or away else Severity.INFO,
        follows=tuple(Ref("Node", "", name) for name in dict.fromkeys((*failed, *away))),
        who=(counted(len(waiting), "node"),),
    )  # fmt: skip


def _skipped(name: str, situation: Situation) -> bool:
    node = situation.node(name)
    return node is not None and node.metadata.labels.get("nvidia.com/gpu-driver-upgrade.skip") == "true"


def _why_waiting(waiting: list[str], failed: list[str], away: list[str], situation: Situation) -> tuple[Evidence, ...]:
    lines = [fact("nodes", f"upgrade-required: {shorten(', '.join(waiting), 200)}")]
    if failed:
        lines.append(fact("nodes", f"upgrade-failed: {shorten(', '.join(failed), 200)}"))
    if away:
        lines.append(fact("nodes", f"cordoned or not ready: {shorten(', '.join(away), 200)}"))
    for policy in policies(situation)[:1]:
        upgrade = policy.spec.driver.upgrade_policy
        allowed = f"maxParallelUpgrades {upgrade.max_parallel_upgrades}, maxUnavailable {upgrade.max_unavailable}"
        lines.append(fact("clusterpolicies", f"autoUpgrade {str(upgrade.auto_upgrade).lower()}, {allowed}"))
    return tuple(lines)


RULES: Final[tuple[Rule, ...]] = (
    gpu_driver_upgrade_failed,
    gpu_driver_upgrade_stuck,
    gpu_driver_upgrades_wait,
)
