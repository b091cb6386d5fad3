"""What the evidence pane shows for a member of etcd that no finding is about."""

from datetime import datetime

from diagnosis.commands import counted
from playbooks.commands import Target
from situation.clock import duration_text
from situation.etcd.cluster import etcd_of
from situation.etcd.places import member_nodes, member_pods
from situation.etcd.view import MemberView, Standing
from situation.findings import Command
from situation.meta import Ref
from situation.quantity import human_bytes, short_latency
from situation.situation import Situation
from tui.cards import card_commands
from tui.etcd_view import member_state
from widgets.etcd_members import LOOK
from widgets.evidence import Card, CardLine


def member_card(ref: Ref, situation: Situation, target: Target, now: datetime) -> Card:
    """Return the card of a member: what it is, where it runs, its figures; commands about its static pod."""
    view = next((item for item in etcd_of(situation, now).members if item.name == ref.name), None)
    pods = member_pods(ref.name, situation)
    commands = [
        command
        for pod in pods
        for command in (
            Command(("kubectl", "describe", "pod", pod.name), "all about its pod", pod.namespace),
            Command(("kubectl", "logs", pod.name, "--tail=100"), "what does it log?", pod.namespace),
        )
    ]
    if view is None:
        lines = (CardLine(f"{ref.name} is not among the members (any more)"),)
        return Card(title=f"etcd member {ref.name}", glyph="·", role="focus", lines=lines)
    state = member_state(view)
    glyph, role = LOOK[state]
    places = [view.endpoint, *(f"on node {node}" for node in sorted(member_nodes(ref.name, situation)))]
    return Card(
        title=f"etcd member {ref.name}: {state.value}",
        glyph=glyph,
        role=role,
        about=" · ".join(filter(None, places)),
        lines=(*_lines(view, situation, now), *(CardLine(f"its pod is {pod.namespace}/{pod.name}") for pod in pods)),
        commands=card_commands(tuple(commands), target),
    )


def _lines(view: MemberView, situation: Situation, now: datetime) -> list[CardLine]:
    origin = view.source
    if view.heard_at is not None:
        origin = f"{view.source} · {duration_text((now - view.heard_at).total_seconds())}"
    lines = [CardLine(view.error, view.source)] if view.error else []
    if view.status is not None:
        lines.append(CardLine(f"version {view.version}, raft term {view.status.raft_term}", origin))
    if view.size_bytes is not None:
        limit = view.quota.limit_bytes
        quota = f"quota {human_bytes(limit)}" if limit is not None else "quota not known"
        used = f"{human_bytes(view.in_use_bytes)} in use" if view.in_use_bytes is not None else "in use not known"
        lines.append(CardLine(f"database {human_bytes(view.size_bytes)}, {used}, {quota}", origin))
    if view.standing is Standing.ANSWERS:
        lines += _figures(view, situation, origin)
    return lines


def _figures(view: MemberView, situation: Situation, origin: str) -> list[CardLine]:
    """What it does now; of a member that does not answer nothing is said."""
    times = (
        ("WAL fsync", view.fsync_p99_s),
        ("backend commit", view.commit_p99_s),
        ("to its slowest peer", view.round_trip_p99_s),
    )
    told = [f"{name} {short_latency(value)}" for name, value in times if value is not None]
    lines = [CardLine(f"p99 of the last minute: {', '.join(told)}", origin)] if told else []
    known = situation.etcd.known.get(view.endpoint)
    if known is not None and known.member.round_trip_s is not None:
        lines.append(CardLine(f"answers us within {short_latency(known.member.round_trip_s)}", origin))
    if view.page is not None and view.page.proposals_pending is not None:
        lines.append(CardLine(f"{counted(round(view.page.proposals_pending), 'proposal')} pending", origin))
    if view.page is not None and view.page.open_files is not None and view.page.max_files:
        lines.append(CardLine(f"{view.page.open_files} of {view.page.max_files} files open", origin))
    if view.lag is not None:
        lines.append(CardLine(f"{view.lag} entries behind the leader", origin))
    if view.elections is not None:
        over = duration_text(view.elections.over.total_seconds())
        lines.append(CardLine(f"{view.elections.changes:.0f} changes of the leader seen in {over}", origin))
    return lines
