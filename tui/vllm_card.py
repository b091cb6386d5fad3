"""What the evidence pane shows for a model server that no finding is about."""

from collections.abc import Iterator
from datetime import datetime

from diagnosis import serving_commands
from playbooks.commands import Target
from situation.findings import Command
from situation.meta import Ref
from situation.serving.serving import serving_of
from situation.serving.view import ServerView
from situation.situation import Situation
from tui.cards import card_commands, origin_text
from tui.vllm_facts import asked_text, facts, remarks
from tui.vllm_groups import software_text
from tui.vllm_judging import row_state
from widgets.evidence import Card, CardLine
from widgets.vllm_states import LOOK


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
        commands=card_commands(tuple(_commands(server, situation)), target),
    )


def _lines(server: ServerView, now: datetime) -> Iterator[CardLine]:
    age_s = (now - server.read_at).total_seconds() if server.read_at is not None else None
    origin = origin_text("vllm", age_s)
    yield CardLine(f"{server.why} ({asked_text(server, now)})", origin)
    if server.is_fresh:
        for words in remarks(server, server.engines, now):
            yield CardLine(words.text, origin)
    for name, words in facts(server, server.engines if server.is_fresh else ()):
        yield CardLine(f"{name}: {words.text}")
    if server.recognised_by:
        yield CardLine(f"known as a model server by its {server.recognised_by}", "pods")


def _commands(server: ServerView, situation: Situation) -> Iterator[Command]:
    yield from serving_commands.log(server, situation, "what does it log?")
    yield from serving_commands.described(server, situation, "all about its pod")
    yield serving_commands.metrics(server, "what do its metrics say?")
    yield serving_commands.health(server, "does it say that it lives?")
