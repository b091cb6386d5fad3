"""What a log signature is: texts that identify a fault in a log, with what they mean and what to do about it."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from situation.findings import Command, Effect

GAP: Final = "…"
"""Stands in a text for anything, on the same line: `failed to pull image … not found`."""
DRIVER_POD: Final = "<driver-pod>"
DRIVER_NAMESPACE: Final = "<driver-namespace>"
PLACEHOLDERS: Final = ("<namespace>", "<pod>", "<container>", "<node>", DRIVER_POD, DRIVER_NAMESPACE)
"""What templates of commands are filled with: the pod that the log is of, and the driver's pod on its node if the
driver runs in one."""


class Weight(StrEnum):
    FAULT = "fault"
    """Something failed here."""
    WAITS = "waits"
    """Says only that it waits for something before it: the fault is elsewhere."""
    NOTE = "note"
    """Worth knowing, no fault by itself."""


class Step(msgspec.Struct, frozen=True):
    """One thing to do next: a command with placeholders, or plain words where there is no command for it."""

    text: str
    argv: tuple[str, ...] = ()
    namespace: str = ""
    effect: Effect = Effect.READ
    where: str = "here"


class Signature(msgspec.Struct, frozen=True):
    """A fault that a log tells by its wording."""

    id: str
    """Stable: `secure-boot`."""
    row: str
    """Row of the list of known GPU faults, `gpu-05`; empty for what stands elsewhere."""
    family: str
    found_in: str
    """Whose log says it."""
    texts: tuple[str, ...]
    """Any of them identifies it, old and new wordings; upper and lower case are the same, `…` is a GAP."""
    meaning: str
    """One line."""
    cause: str
    next: tuple[Step, ...]
    """The first is a read."""
    look_alikes: Mapping[str, str] = {}
    """Another signature's id, or a name, to how it is told apart."""
    over: tuple[str, ...] = ()
    """Ids of more general signatures: on the same line they are dropped, elsewhere in the log this one explains
    them if it is a fault."""
    weight: Weight = Weight.FAULT
    may_pass: bool = False
    """It may have ended by itself. Another fault in the same log, or a good start after it, shows that it has."""
    is_start: bool = False
    """The mark of a good start."""


def look(text: str, *argv: str, namespace: str = "<namespace>") -> Step:
    """A kubectl command that reads; `namespace` is empty for what is in none."""
    return Step(text, ("kubectl", *argv), namespace)


def look_on_node(text: str, *argv: str) -> Step:
    """A reading command for the node's own shell."""
    return Step(text, argv, where="node <node>")


def change(text: str, *argv: str, effect: Effect = Effect.DISRUPTIVE, namespace: str = "<namespace>") -> Step:
    """A kubectl command that changes something."""
    return Step(text, ("kubectl", *argv), namespace, effect)


def advice(text: str, effect: Effect = Effect.READ) -> Step:
    """What is done without a command of ours."""
    return Step(text, effect=effect)


OPERANDS: Final = look(
    "which is the first operand on this node that is not ready?",
    "get", "pods", "-o", "wide", "--field-selector", "spec.nodeName=<node>",
)  # fmt: skip
KERNEL_LOG: Final = look_on_node("what does the node's kernel say?", "dmesg", "-T", "--level=err,warn")
NVIDIA_SMI: Final = look_on_node("does the driver answer on the node?", "nvidia-smi", "-L")
GPU_ERRORS: Final = look_on_node("which GPU, what error?", "nvidia-smi", "-q", "-d", "ECC,ROW_REMAPPER")
FABRIC_IN_DRIVER: Final = look(
    'did the driver\'s container start it? ("Starting NVIDIA fabric manager daemon")',
    "logs", DRIVER_POD, "-c", "nvidia-driver-ctr", "--tail=200", namespace=DRIVER_NAMESPACE,
)  # fmt: skip
"""A driver that runs in a container brings Fabric Manager along, and then there is no such unit on the host
(gpu-operator #1595, #286)."""
FABRIC_ON_HOST: Final = look_on_node(
    "where the driver is the host's: does Fabric Manager run?", "systemctl", "status", "nvidia-fabricmanager"
)
CORDON: Final = change(
    "keep new pods off the node", "cordon", "<node>", effect=Effect.MUTATING, namespace=""
)  # fmt: skip
DELETE_POD: Final = change("start the pod anew", "delete", "pod", "<pod>")


def commands(signature: Signature, place: Mapping[str, str]) -> tuple[Command, ...]:
    """Return the signature's commands filled from `place` (placeholder to value); those that stay unfilled are left
    out."""
    filled = (_filled(step, place) for step in signature.next if step.argv)
    return tuple(command for command in filled if command is not None)


def _filled(step: Step, place: Mapping[str, str]) -> Command | None:
    parts = [*step.argv, step.namespace, step.where]
    for placeholder in PLACEHOLDERS:
        if value := place.get(placeholder):
            parts = [part.replace(placeholder, value) for part in parts]
    if any(placeholder in part for part in parts for placeholder in PLACEHOLDERS):
        return None
    *argv, namespace, where = parts
    return Command(tuple(argv), step.text, namespace, step.effect, where)
