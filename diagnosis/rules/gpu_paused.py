"""Layer 5: operands that a driver upgrade paused and that were left so (gpu_operator 2.3)."""

from datetime import datetime
from typing import Final

from diagnosis.commands import counted, fact, kubectl, shorten
from diagnosis.gpu_causes import DRIVER_START_S
from diagnosis.gpu_facts import paused_operands, ready_since, unready_owners
from diagnosis.gpu_status import capacity_evidence
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule, wait_until
from diagnosis.rules.gpu_upgrades_facts import driver_on, upgrade_commands
from situation.cluster import Node
from situation.findings import Effect, Layer, Severity
from situation.gpu.components import DEPLOY
from situation.gpu.offer import UPGRADE
from situation.meta import Ref
from situation.pods import Pod
from situation.selectors import is_node_ready, is_ready, pod_status_text
from situation.situation import Situation
from situation.start_trouble import NOT_STARTED

RESTORE_S: Final = 120.0
"""Once the driver pod is ready, the labels of the paused operands are restored within seconds. Ours."""


@rule(
    "gpu-operands-left-paused",
    signature="L5-10",
    layer=Layer.NODE,
    severity=Severity.CRITICAL,
    kind="Node",
    needs=("nodes", "pods"),
    looks_at="labels nvidia.com/gpu.deploy.* that end in paused-for-driver-upgrade while no upgrade is under way and "
    "the driver pod is ready, failing or gone.",
    look_alikes={
        "a driver pod that restarts": "it pauses the operands until its driver is unloaded: given twenty minutes",
        "gpu-driver-upgrade-stuck": "the node's label says that an upgrade is under way",
        "gpu-driver-upgrade-failed": "so does that one",
    },
)
def gpu_operands_left_paused(node: Node, situation: Situation, now: datetime) -> Verdict:
    """Operands are still paused for a driver upgrade that is not under way: nothing of them runs on the node."""
    labels = node.metadata.labels
    paused = paused_operands(labels, "driver-upgrade")
    if not paused or labels.get(UPGRADE, "") not in ("", "upgrade-done", "upgrade-required"):
        return CLEAR
    if not is_node_ready(node):
        return CLEAR
    driver = driver_on(node, situation)
    if driver is not None and (wait := wait_until(*_driver_due(driver), now)):
        return wait
    restore = [f"{DEPLOY}{name}=true" for name in paused]
    shown = f"{driver.name}: {pod_status_text(driver)}" if driver else "no driver pod on it"
    return Fired(
        Ref("Node", "", node.name),
        f"has {counted(len(paused), 'operand')} paused for a driver upgrade that is not under way",
        (
            fact("nodes", f"paused: {shorten(', '.join(paused), 200)}"),
            fact("nodes", f"{UPGRADE}={labels.get(UPGRADE) or 'not set'}"),
            fact("pods", shown),
            capacity_evidence(node),
        ),
        (
            *upgrade_commands(node, situation, driver),
            kubectl("label", "node", node.name, *restore, "--overwrite",
                    purpose="let the operands come back, once the driver is ready", effect=Effect.MUTATING),
        ),
        follows=unready_owners((driver,)) if driver else (),
        node=node.name,
    )  # fmt: skip


def _driver_due(driver: Pod) -> tuple[datetime | None, float]:
    """Return since when the driver pod is as it is, and how long it may be so with the operands paused."""
    if driver.metadata.deletion_timestamp is not None:
        return driver.metadata.deletion_timestamp, DRIVER_START_S
    if is_ready(driver):
        return ready_since(driver), RESTORE_S
    statuses = driver.status.init_container_statuses + driver.status.container_statuses
    failing = any(status.state.waiting and status.state.waiting.reason not in NOT_STARTED for status in statuses)
    return driver.metadata.creation_timestamp, RESTORE_S if failing else DRIVER_START_S


RULES: Final[tuple[Rule, ...]] = (gpu_operands_left_paused,)
