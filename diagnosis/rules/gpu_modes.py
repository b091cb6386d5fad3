"""Layer 5: MIG changes that fail or hang (gpu_operator 5, catalogue L5-14)."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from diagnosis.commands import fact, kubectl, on_node, shorten
from diagnosis.gpu_facts import (
    MIG_MANAGER,
    forbidding_budgets,
    holders,
    named,
    operands_on,
    paused_operands,
)
from diagnosis.gpu_status import blockers, capacity_evidence, manager_log, manager_owners, operand_commands
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, Wait, rule, wait_until
from situation.cluster import Node
from situation.findings import Effect, Layer, Severity
from situation.gpu.mig_change import TAKEN_UP, UNDER_WAY, mig_change_due
from situation.gpu.offer import MIG_CONFIG, MIG_STATE
from situation.meta import Ref
from situation.pods import Pod
from situation.selectors import is_node_ready, is_settled
from situation.situation import Situation


def _asked(labels: Mapping[str, str]) -> str:
    return labels.get(MIG_CONFIG) or "the one asked for"


def _owner_if_uneasy(manager: Pod | None, now: datetime) -> tuple[Ref, ...]:
    """Return the DaemonSet of a MIG manager that fails or has just restarted: what is found there explains the change.

    Ready does not clear it: one that crashed in the middle of a change is Ready again, and the change is not done.
    """
    owner = manager.metadata.controller if manager and not is_settled(manager, now) else None
    return (Ref(owner.kind, manager.namespace, owner.name),) if manager and owner else ()


@rule(
    "mig-change-failed",
    signature="L5-14",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Node",
    needs=("nodes",),
    looks_at="label nvidia.com/mig.config.state=failed; pods that hold GPUs, which a change of the layout needs free.",
    look_alikes={
        "a change under way": "the state is pending or rebooting, or the label was seen to change less than 30 seconds "
        "ago: the state is that of the layout before",
        "mig-change-stuck": "the state is pending or rebooting for ever",
    },
)
def mig_change_failed(node: Node, situation: Situation, now: datetime) -> Verdict:
    """The MIG manager could not apply the layout that the node's label asks for."""
    labels = node.metadata.labels
    if labels.get(MIG_STATE) != "failed":
        return CLEAR
    if wait := wait_until(situation.mig_asked_at.get(node.name), TAKEN_UP.total_seconds(), now):
        return wait
    pods = operands_on(node.name, situation)
    return Fired(
        Ref("Node", "", node.name),
        f"could not change its MIG layout to {_asked(labels)}",
        (
            fact("nodes", f"{MIG_STATE}=failed"),
            capacity_evidence(node),
            *blockers(holders(node, situation), ()),
        ),
        (
            *(manager_log(pods) or operand_commands(node, situation)[:1]),
            on_node(node.name, "nvidia-smi", "-q", "-d", "MIG", purpose="is a mode change pending until a reset?"),
        ),
        follows=_owner_if_uneasy(named(pods, MIG_MANAGER), now),
        node=node.name,
    )  # fmt: skip


@rule(
    "mig-change-stuck",
    signature="L5-14",
    layer=Layer.NODE,
    severity=Severity.CRITICAL,
    kind="Node",
    needs=("nodes", "pods"),
    looks_at="label nvidia.com/mig.config.state=pending or rebooting while the device plugin is gone for more than "
    "five minutes; operands that do not go away, pods that hold GPUs, disruption budgets that forbid their eviction.",
    look_alikes={
        "a change under way": "capacity is still there (the plugin is gone for less than five minutes), or its "
        "operands were told to stop less than five minutes ago",
        "a device plugin that fails": "it is still there and not told to stop: its own fault took the GPUs away",
        "a reboot for the change": "ten minutes are given from when the node is ready again",
    },
)
def mig_change_stuck(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A MIG change hangs: the manager gave up waiting for the operands it stopped, without saying so or undoing it."""
    labels = node.metadata.labels
    state = labels.get(MIG_STATE, "")
    if state not in UNDER_WAY or not is_node_ready(node):
        return CLEAR
    pods = operands_on(node.name, situation)
    if (due := mig_change_due(node, pods)) is None:
        return CLEAR
    if now < due:
        return Wait(due)
    leaving = [pod for pod in pods if pod.metadata.deletion_timestamp is not None]
    users = holders(node, situation)
    budgets = forbidding_budgets(users, situation)
    manager = named(pods, MIG_MANAGER)
    paused = paused_operands(labels, "mig-change")
    retry = kubectl("delete", "pod", manager.name, purpose="have the manager try again, once nothing uses a GPU",
                    namespace=manager.namespace, effect=Effect.MUTATING) if manager else None  # fmt: skip
    return Fired(
        Ref("Node", "", node.name),
        f"hangs in its change to MIG layout {_asked(labels)}: {state}, and it offers no GPU",
        (
            fact("nodes", f"{MIG_STATE}={state}; paused: {shorten(', '.join(paused), 120) or 'nothing'}"),
            capacity_evidence(node),
            *(fact("pods", f"does not go away: {pod.name}", at=pod.metadata.deletion_timestamp) for pod in leaving[:3]),
            *blockers(users, budgets),
            *(() if manager else (fact("pods", "no MIG manager runs on it"),)),
        ),
        (
            *(manager_log(pods) or operand_commands(node, situation)[:1]),
            kubectl("get", "pods", "-A", "-o", "wide", "--field-selector", f"spec.nodeName={node.name}",
                    purpose="what on it still uses a GPU?"),
            *((retry,) if retry else ()),
        ),
        follows=(
            *_owner_if_uneasy(manager, now),
            *(() if manager else manager_owners(situation)),
            *(Ref("Pod", *pod.key) for pod in leaving),
            *(Ref("PodDisruptionBudget", item.namespace, item.name) for item in budgets),
        ),
        node=node.name,
        wants="poddisruptionbudgets" if users else "",
    )  # fmt: skip


RULES: Final[tuple[Rule, ...]] = (mig_change_stuck, mig_change_failed)
