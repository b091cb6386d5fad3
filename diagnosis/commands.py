"""Short ways for rules to write the commands and evidence that they offer."""

from datetime import datetime

from situation.cluster import Event
from situation.findings import Command, Effect, Evidence, Mark
from situation.kinds import BY_NAME
from situation.logs import LogTarget
from situation.quantity import counted as counted
from situation.text import halved


def kubectl(
    *arguments: str,
    purpose: str,
    namespace: str = "",
    effect: Effect = Effect.READ,
    where: str = "here",
    log: LogTarget | None = None,
) -> Command:
    """Return a kubectl command; the context and `-n NAMESPACE` are added when it is rendered."""
    return Command(("kubectl", *arguments), purpose, namespace, effect, where, log)


def pods_on(node: str, *, purpose: str, namespace: str) -> Command:
    """Return the command that lists the pods of a namespace on a node: the operands there, or its network plugin."""
    return kubectl("get", "pods", "-o", "wide", "--field-selector", f"spec.nodeName={node}",
                   purpose=purpose, namespace=namespace)  # fmt: skip


def on_node(node: str, *argv: str, purpose: str) -> Command:
    """Return a reading command to be run on a node's own shell."""
    return Command(argv, purpose, where=f"node {node}")


def fact(kind: str, text: str, mark: Mark = Mark.SUPPORTS, at: datetime | None = None) -> Evidence:
    """Return evidence from the objects of a kind (`pods`); `at` when the fact has a time of its own."""
    return Evidence(text, BY_NAME[kind].source, at, mark)


def said_by(event: Event, *, limit: int = 300, both_ends: bool = False) -> Evidence:
    """Return an event as evidence: reason, how often, message shortened to `limit` characters.

    A wrapped error has its reason last: with `both_ends` the message is cut in its middle.
    """
    times = f" ×{event.times}" if event.times > 1 else ""
    message = halved(event.message.strip(), limit) if both_ends else shorten(event.message, limit)
    return Evidence(f"{event.reason}{times}: {message}", "kubernetes/events", event.last_seen)


def shorten(text: str, limit: int) -> str:
    """Return `text` cut to `limit` characters, with an ellipsis if anything was cut."""
    text = text.strip()
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
