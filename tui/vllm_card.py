"""What the evidence pane shows for a model server that no finding is about."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from playbooks.commands import Target
from situation.clock import duration_text
from situation.findings import Command
from situation.meta import Ref
from situation.serving.serving import serving_of
from situation.serving.view import ServerView
from situation.situation import Situation
from tui.cards import card_commands
from tui.vllm_facts import asked_text, facts, remarks
from tui.vllm_groups import software_text
from tui.vllm_judging import row_state
from widgets.evidence import Card, CardLine
from widgets.vllm_states import LOOK

_CURL_WAITS_S: Final = 5


def server_card(ref: Ref, situation: Situation, target: Target, now: datetime) -> Card:
    """Return the card of a model server: how it is, its figures and arguments; commands about its pod and metrics."""
    server = serving_of(situation, now).of(ref)
    if server is None:
        lines = (CardLine(f"{ref.name} is not among the model servers (any more)"),)
        return Card(title=f"model server {ref.name}", glyph="·", role="focus", lines=lines)
    look = LOOK[row_state(server, situation, now)]
    places = [software_text(server), str(server.workload or ""), f"on node {server.node}" if server.node else ""]
    return Card(
        title=f"model server {ref.name}: {look.word}",
        glyph=look.glyph,
        role=look.role,
        about=" · ".join(filter(None, places)),
        lines=tuple(_lines(server, now)),
        commands=card_commands(tuple(_commands(server)), target),
    )


def _lines(server: ServerView, now: datetime) -> Iterator[CardLine]:
    origin = asked_text(server, now)
    yield CardLine(server.why, origin)
    if server.started_at is not None:
        age = duration_text((now - server.started_at).total_seconds() // 10 * 10)
        yield CardLine(f"its process started at {server.started_at:%H:%M:%S} UTC, {age} ago", origin)
    if server.is_fresh:
        for words in remarks(server, server.engines, now):
            yield CardLine(words.text, origin)
    for name, words in facts(server, server.engines if server.is_fresh else ()):
        yield CardLine(f"{name}: {words.text}")
    if server.recognised_by:
        yield CardLine(f"known as a model server by its {server.recognised_by}", "pods")


def _commands(server: ServerView) -> Iterator[Command]:
    if server.pod is None:
        if "@" not in server.key and server.key.startswith(("http://", "https://")):
            health = f"{server.key.rstrip('/')}/health"
            yield Command(("curl", "-sSi", f"--max-time={_CURL_WAITS_S}", health), "does it say that it lives?")
        return
    namespace, pod = server.pod
    which = ("-c", server.container) if server.container else ("--all-containers",)
    yield Command(("kubectl", "logs", pod, *which, "--tail=100"), "what does it log?", namespace)
    yield Command(("kubectl", "describe", "pod", pod), "all about its pod", namespace)
    port = server.key.rpartition(":")[2]
    if port.isdigit():
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy/metrics"
        yield Command(("kubectl", "get", "--raw", path), "its metrics, through the API server")
