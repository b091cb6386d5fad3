"""Layer 5: DCGM exporters that answer and measure nothing (gpu_operator 6, row 40)."""

from datetime import datetime
from typing import Final

from diagnosis.commands import fact, kubectl
from diagnosis.gpu_readings import source_of
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule, wait_until
from situation.cluster import Node
from situation.findings import Command, Effect, Evidence, Layer, Mark, Severity
from situation.gpu.components import component_of
from situation.gpu.devices import Lack
from situation.gpu.links import Component
from situation.meta import Ref, find_condition
from situation.pods import Pod
from situation.situation import Situation

FIRST_SAMPLES_S: Final = 120.0
"""So long after its pod became Ready an exporter may be without samples: it collects in rounds. Ours."""


@rule(
    "gpu-exporter-silent",
    signature="L5-10",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="Node",
    needs=("nodes", "pods"),
    looks_at="the page of the node's DCGM exporter: it is there, and holds no sample of a GPU.",
    look_alikes={
        "an exporter that cannot be reached": "nothing is known of its page: the node's devices say why",
        "an exporter that is not Ready": "it is not asked; the chain says what it waits for",
        "an exporter that has just become Ready": "its first round is to come",
    },
)
def gpu_exporter_silent(node: Node, situation: Situation, now: datetime) -> Verdict:
    """A node's DCGM exporter is Ready and answers, but tells of no GPU: faults of its GPUs go unseen."""
    devices = situation.devices.get(node.name)
    if devices is None or devices.lack is not Lack.NO_SAMPLES:
        return CLEAR
    on_it = tuple(situation.pods_by_node.get(node.name).values())
    exporter = next((pod for pod in on_it if component_of(pod) is Component.EXPORTER), None)
    ready = find_condition(exporter.status.conditions, "Ready") if exporter else None
    if wait := wait_until(ready.last_transition_time if ready else None, FIRST_SAMPLES_S, now):
        return wait
    engine = next((pod for pod in on_it if component_of(pod) is Component.DCGM), None)
    return Fired(
        Ref("Node", "", node.name),
        "has a DCGM exporter that answers without samples of GPUs",
        (
            Evidence("its page holds no sample of a GPU", source_of(devices), devices.observed_at),
            *(fact("pods", f"{pod.name} is Ready: that proves nothing") for pod in (exporter,) if pod),
            fact("pods", "the host engine may have started while the driver was reloaded", Mark.OPEN),
        ),
        _commands([pod for pod in (engine, exporter) if pod]) or (_pods_on(node),),
        follows=(Ref("Node", "", node.name),),
        follows_only=("node-gpus-lost", "gpu-off-bus"),
        node=node.name,
    )


def _commands(pods: list[Pod]) -> tuple[Command, ...]:
    """Return commands for the host engine, if it has a pod of its own, and the exporter, in the order of a restart."""
    return (
        *(kubectl("logs", pod.name, "--tail=200", purpose="was the driver there when it started?",
                  namespace=pod.namespace) for pod in pods),
        *(kubectl("delete", "pod", pod.name, purpose="have it start again, once the driver runs",
                  namespace=pod.namespace, effect=Effect.MUTATING) for pod in pods),
    )  # fmt: skip


def _pods_on(node: Node) -> Command:
    """Return the command for an exporter that answered and whose pod is not known."""
    return kubectl(
        "get", "pods", "-A", "-o", "wide", "--field-selector", f"spec.nodeName={node.name}",
        purpose="which exporter runs on it?",
    )  # fmt: skip


RULES: Final[tuple[Rule, ...]] = (gpu_exporter_silent,)
