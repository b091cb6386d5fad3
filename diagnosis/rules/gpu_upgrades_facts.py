"""What the rules about driver upgrades ask of a node: its driver's pod, and what the upgrade controller said."""

from typing import Final

from diagnosis.commands import kubectl, said_by
from diagnosis.gpu_facts import operands_on
from situation.cluster import Event, Node
from situation.findings import Command, Evidence
from situation.pods import Pod
from situation.situation import Situation

_REASON: Final = "GPUDriverUpgrade"


def upgrade_events(node: Node, situation: Situation) -> tuple[Event, ...]:
    """Return what the upgrade controller said of a node, oldest first."""
    return situation.events_of(node, "Node", _REASON)


def upgrade_said(node: Node, situation: Situation) -> tuple[Evidence, ...]:
    """Return its last words about a node as evidence, the warnings if there are any."""
    warnings = [event for event in upgrade_events(node, situation) if event.type == "Warning"]
    return tuple(said_by(event) for event in (warnings or upgrade_events(node, situation))[-2:])


def _is_driver(pod: Pod) -> bool:
    labels = pod.metadata.labels
    return labels.get("app.kubernetes.io/component") == "nvidia-driver" or labels.get("app", "").startswith(
        ("nvidia-driver-daemonset", "nvidia-gpu-driver")
    )


def driver_on(node: Node, situation: Situation) -> Pod | None:
    """Return the driver's pod on a node, whichever way it was deployed."""
    return next(filter(_is_driver, operands_on(node.name, situation)), None)


def upgrade_commands(node: Node, situation: Situation, driver: Pod | None) -> tuple[Command, ...]:
    """Return the commands that show how a node's driver upgrade goes."""
    commands = [
        kubectl("get", "events", "--field-selector", f"reason={_REASON},involvedObject.name={node.name}",
                purpose="what did the upgrade controller do, and what failed?", namespace="default"),
        kubectl("get", "pods", "-A", "-o", "wide", "--field-selector", f"spec.nodeName={node.name}",
                purpose="what is still on the node, and how is its driver pod?"),
    ]  # fmt: skip
    if driver is not None:
        commands.append(
            kubectl("logs", driver.name, "--all-containers", "--tail=100", purpose="what stops the driver?",
                    namespace=driver.namespace)
        )  # fmt: skip
    return tuple(commands)
