"""Pods that the device plugin refuses because they ask for several shares of a shared GPU (playbook: GPU sharing)."""

import re
from datetime import datetime
from typing import Final

from diagnosis.commands import fact, kubectl
from diagnosis.container_facts import gravity
from diagnosis.leftovers import is_failed, status_command, still_matters, told
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule
from diagnosis.rules.pending_gpus_commands import sharing
from situation.findings import Evidence, Layer, Severity
from situation.pods import Pod
from situation.situation import Situation

TOO_LARGE: Final = re.compile(
    r"request for '?(?P<name>[^':\s]+): (?P<asked>\d+)'? too large: "
    r"maximum request size for shared resources is (?P<most>\d+)"
)
"""The device plugin's text with `failRequestsGreaterThanOne` (gpu_operator 5)."""


@rule(
    "shared-gpu-refused",
    signature="L2-03",
    layer=Layer.SCHEDULING,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="Failed pods with reason UnexpectedAdmissionError and 'maximum request size for shared resources is 1'; "
    "the node's sharing labels.",
    look_alikes={
        "devices-refused": "there devices are gone or unhealthy",
        "gpus-short": "there the pod has no node yet",
    },
)
def shared_gpu_refused(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A pod asks for more than one share of a GPU, and the device plugin is set to refuse that."""
    found = TOO_LARGE.search(pod.status.message) if is_failed(pod, "UnexpectedAdmissionError") else None
    if found is None:
        return CLEAR
    if (verdict := still_matters(pod, situation, now)) is not None:
        return verdict
    name, node = found["name"], pod.spec.node_name
    evidence = [told(pod), *_labels(node, situation)]
    evidence.append(fact("pods", "shares of one GPU are no more GPU: one share, or nodes that are not shared"))
    config = kubectl(
        "get", "nodes", node, "-L", "nvidia.com/device-plugin.config", purpose="which sharing does its plugin use?"
    )
    title = f"asks for {found['asked']} {name}, at most {found['most']} where GPUs are shared"
    return Fired(
        situation.workload_of(pod), title, tuple(evidence), (sharing(), config, status_command(pod)),
        severity=gravity(pod, situation, now), node=node,
    )  # fmt: skip


def _labels(name: str, situation: Situation) -> list[Evidence]:
    node = situation.node(name)
    if node is None:
        return []
    shown = [
        f"{key}={value}"
        for key, value in sorted(node.metadata.labels.items())
        if key.startswith("nvidia.com/") and key.endswith((".sharing-strategy", ".replicas", "gpu.product"))
    ]
    return [fact("nodes", f"{name}: {', '.join(shown)}")] if shown else []


RULES: Final[tuple[Rule, ...]] = (shared_gpu_refused,)
