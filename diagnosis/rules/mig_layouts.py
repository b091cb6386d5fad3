"""Layer 5: MIG layouts that do not fit, are empty or never came (gpu_operator 5, catalogue L5-14)."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from diagnosis.commands import fact, kubectl, on_node
from diagnosis.gpu_causes import DRIVER_START_S
from diagnosis.gpu_facts import (
    MIG_MANAGER,
    is_discovered,
    named,
    operands_on,
    operator_namespace,
    ready_since,
    unready_owners,
)
from diagnosis.gpu_status import capacity_evidence, manager_log, manager_owners, operand_commands
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, rule, wait_until
from situation.cluster import Node
from situation.findings import Layer, Mark, Severity
from situation.gpu.components import DEPLOY, MIG_CAPABLE
from situation.gpu.offer import MIG_CONFIG, MIG_STATE, PRODUCT, gpu_resources, paused_why
from situation.meta import Ref
from situation.selectors import is_node_ready, is_ready
from situation.situation import Situation

LABELS_S: Final = 300.0
"""GPU feature discovery and the device plugin show a new layout within a minute or two of their restart."""
_ONE_PROFILE: Final = re.compile(r"all-(\d+g\.\d+gb(?:\.me)?)")
"""Names of the default layouts: all GPUs of a node cut into one profile."""
_CAPABLE: Final = re.compile(r"\b(?:A100|A30|H100|H200|H800|H20|GH200|B200|B300|GB200|GB300)\b")
"""Products that can do MIG; the operator itself falls back on the first ones (gpu_operator 1.6, edge 14)."""


def _shown(labels: Mapping[str, str], *names: str) -> str:
    return ", ".join(f"{name}={labels.get(name) or 'not set'}" for name in names)


@rule(
    "mig-layout-invalid",
    signature="L5-14",
    layer=Layer.NODE,
    severity=Severity.CRITICAL,
    kind="Node",
    needs=("nodes", "pods"),
    looks_at="the suffix -MIG-INVALID of the label nvidia.com/gpu.product.",
    look_alikes={"mig-change-failed": "there the layout was not applied; here it was, and does not fit the strategy"},
)
def mig_layout_invalid(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A node's MIG layout does not fit the strategy `single`: it offers no GPU until all its GPUs are cut alike."""
    labels = node.metadata.labels
    if not labels.get(PRODUCT, "").endswith("-MIG-INVALID") or paused_why(labels) or not is_node_ready(node):
        return CLEAR
    gfd = named(operands_on(node.name, situation), "gpu-feature-discovery")
    if gfd is not None and (wait := wait_until(ready_since(gfd), LABELS_S, now)):
        return wait
    return Fired(
        Ref("Node", "", node.name),
        "has a MIG layout that the strategy `single` cannot offer",
        (
            fact("nodes", _shown(labels, PRODUCT, MIG_CONFIG)),
            capacity_evidence(node),
            fact("nodes", "instances of several profiles, GPUs with and without MIG, or no instance at all", Mark.OPEN),
        ),
        (
            kubectl("get", "node", node.name, "-L", f"{PRODUCT},{MIG_CONFIG},{MIG_STATE}",
                    purpose="which layout was asked for, and what came of it?"),
            on_node(node.name, "nvidia-smi", "-L", purpose="which instances are there on which GPU?"),
            *manager_log(operands_on(node.name, situation)),
        ),
        node=node.name,
    )  # fmt: skip


@rule(
    "mig-without-instances",
    signature="L5-14",
    layer=Layer.NODE,
    severity=Severity.CRITICAL,
    kind="Node",
    needs=("nodes", "pods"),
    looks_at="a ready device plugin that offers nothing, with the layout all-enabled or with the strategy `mixed` and "
    "no GPU outside MIG.",
    look_alikes={"node-gpus-lost": "the device plugin is not there, or MIG is not on; this explains it"},
)
def mig_without_instances(node: Node, situation: Situation, now: datetime) -> Verdict:
    """MIG mode is on and there is no MIG instance, so there is nothing to offer."""
    labels = node.metadata.labels
    enabled = labels.get(MIG_CONFIG, "").endswith("all-enabled")
    mixed = labels.get("nvidia.com/mig.strategy") == "mixed" and labels.get(MIG_CAPABLE) == "true"
    if not enabled and not (mixed and labels.get("nvidia.com/gpu.count", "0") == "0"):
        return CLEAR
    if any(gpu_resources(node.status.capacity).values()) or paused_why(labels) or not is_node_ready(node):
        return CLEAR
    plugin = named(operands_on(node.name, situation), "nvidia-device-plugin-daemonset")
    if plugin is None or not is_ready(plugin):
        return CLEAR
    if wait := wait_until(ready_since(plugin), LABELS_S, now):
        return wait
    return Fired(
        Ref("Node", "", node.name),
        "has MIG mode on and no MIG instance: there is nothing to offer",
        (
            fact("nodes", _shown(labels, MIG_CONFIG, MIG_STATE)),
            capacity_evidence(node),
            fact("pods", f"{plugin.name} is ready"),
        ),
        (
            kubectl("get", "node", node.name, "-L", f"{MIG_CONFIG},{MIG_STATE}", purpose="which layout was asked for?"),
            on_node(node.name, "nvidia-smi", "mig", "-lgi", purpose="which instances are there?"),
        ),
        node=node.name,
    )


@rule(
    "mig-not-applied",
    signature="L5-14",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Node",
    needs=("nodes", "pods"),
    looks_at="the label nvidia.com/mig.config against nvidia.com/mig.config.state and what the node offers.",
    look_alikes={
        "mig-change-stuck": "the manager began",
        "a change under way": "its state is pending, or the operands restarted or the label was seen to change less "
        "than five minutes ago",
    },
)
def mig_not_applied(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A MIG layout is asked for and not there: no manager acts on the label, or the node shows another layout."""
    labels = node.metadata.labels
    asked = labels.get(MIG_CONFIG, "")
    if not asked or not is_discovered(node) or not is_node_ready(node) or paused_why(labels):
        return CLEAR
    pods = operands_on(node.name, situation)
    manager = named(pods, MIG_MANAGER)
    state = labels.get(MIG_STATE, "")
    if not state and asked != "all-disabled":
        due = (ready_since(manager), LABELS_S) if manager else (node.metadata.creation_timestamp, DRIVER_START_S)
        told = f"{manager.name} runs on it" if manager else "no MIG manager runs on it"
        title = f"was never given its MIG layout {asked}"
    elif state == "success" and (other := _other_layout(node, asked)):
        due = (max((time for pod in pods if (time := pod.metadata.creation_timestamp)), default=None), LABELS_S)
        told, title = other, f"does not show its MIG layout {asked}"
    else:
        return CLEAR
    if wait := wait_until(*due, now) or wait_until(situation.mig_asked_at.get(node.name), LABELS_S, now):
        return wait
    return Fired(
        Ref("Node", "", node.name),
        title,
        (
            fact("nodes", _shown(labels, MIG_CONFIG, MIG_STATE)),
            fact("nodes" if state else "pods", told),
            capacity_evidence(node),
        ),
        (
            *(manager_log(pods) or operand_commands(node, situation)[:1]),
            kubectl("get", "node", node.name, "--show-labels", purpose="which layout do its labels show?"),
            kubectl("get", "configmaps", "-o", "name", purpose="is there a layout of that name?",
                    namespace=operator_namespace(situation)),
        ),
        follows=(*unready_owners(pods), *(() if manager else manager_owners(situation))),
        node=node.name,
    )  # fmt: skip


def _other_layout(node: Node, asked: str) -> str:
    """Return how what a node offers differs from a layout of one profile, empty if it does not or cannot be told."""
    labels = node.metadata.labels
    capacity = gpu_resources(node.status.capacity)
    slices = sorted(name for name, count in capacity.items() if name.startswith("nvidia.com/mig-") and count)
    if asked == "all-disabled":
        return f"still offers {slices[0]}" if slices else ""
    match = _ONE_PROFILE.fullmatch(asked)
    strategy = labels.get("nvidia.com/mig.strategy")
    if match is None or not any(capacity.values()):
        return ""
    if strategy == "mixed" and not any(name.startswith(f"nvidia.com/mig-{match[1]}") for name in slices):
        return f"offers {', '.join(slices) or 'whole GPUs'}"
    if strategy == "single" and PRODUCT in labels and f"MIG-{match[1]}" not in labels[PRODUCT]:
        return f"{PRODUCT}={labels[PRODUCT]}"
    return ""


@rule(
    "mig-manager-missing",
    signature="L5-14",
    layer=Layer.NODE,
    severity=Severity.INFO,
    kind="Node",
    needs=("nodes", "pods", "daemonsets"),
    looks_at="nodes whose GPUs can do MIG, without a MIG manager and without the label that places it.",
    look_alikes={
        "gpu-labels-missing": "the label mig.capable is missing with all others: that is the cause",
        "node-agent-not-ready": "the manager is placed there and fails",
    },
)
def mig_manager_missing(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A node whose GPUs can do MIG has no MIG manager, so a layout that is asked for would not be applied."""
    labels = node.metadata.labels
    capable = labels.get(MIG_CAPABLE) == "true" or _CAPABLE.search(labels.get(PRODUCT, "")) is not None
    if not capable or labels.get(f"{DEPLOY}{MIG_MANAGER.removeprefix('nvidia-')}") or not is_discovered(node):
        return CLEAR
    if labels.get("nvidia.com/vgpu.present") == "true" or labels.get(f"{DEPLOY}operands") == "false":
        return CLEAR
    owners = manager_owners(situation)
    if not owners or named(operands_on(node.name, situation), MIG_MANAGER) is not None:
        return CLEAR
    if any(situation.has_unread("pods", owner.namespace) for owner in owners):
        return Unknown("not all pods beside the MIG manager's could be decoded: one may be its")
    if wait := wait_until(node.metadata.creation_timestamp, DRIVER_START_S, now):
        return wait
    asked = labels.get(MIG_CONFIG, "all-disabled") not in ("", "all-disabled")
    return Fired(
        Ref("Node", "", node.name),
        "can do MIG, but no MIG manager is placed on it",
        (
            fact("nodes", _shown(labels, PRODUCT, MIG_CAPABLE)),
            fact("nodes", f"no label {DEPLOY}mig-manager"),
        ),
        (
            kubectl("get", "nodes", "-L", f"{MIG_CAPABLE},{DEPLOY}mig-manager", purpose="which nodes lack the labels?"),
            *operand_commands(node, situation)[:1],
        ),
        severity=Severity.WARNING if asked else Severity.INFO,
        follows=(Ref("Node", "", node.name),),
        node=node.name,
    )


RULES: Final[tuple[Rule, ...]] = (
    mig_layout_invalid,
    mig_without_instances,
    mig_not_applied,
    mig_manager_missing,
)
