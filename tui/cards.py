"""What the evidence pane shows for a finding, and for an object that no finding is about."""

from datetime import datetime
from typing import Final

from playbooks.commands import CommandRefusedError, Target, offered, render
from situation.clock import age_text, duration_text, moment_text
from situation.cluster import Event, Node
from situation.findings import Command, Evidence, Finding
from situation.kinds import NAMES_OF
from situation.meta import Ref
from situation.pods import Pod
from situation.selectors import container_pairs, has_run, node_status_text, pod_status_text, ready_count, restarts
from situation.situation import Situation
from widgets.evidence import Card, CardCommand, CardLine
from widgets.glyphs import SEVERITY, SEVERITY_ROLE

_CONSEQUENCES_SHOWN: Final = 8
_EVENTS_SHOWN: Final = 5


def finding_card(finding: Finding, situation: Situation, target: Target, now: datetime, cause: Finding | None) -> Card:
    """Return the card of a finding; `cause` is set when it is only a consequence of that."""
    subject = str(finding.subject) if finding.subject.name else "the whole cluster"
    about = subject + (f" on {finding.node}" if finding.node and finding.subject.kind != "Node" else "")
    if finding.count > 1:
        about += f" · {finding.count} objects"
    notices = []
    if cause is not None:
        notices.append(f"follows from: {cause.title}")
    if finding.as_of is not None:
        as_of = f"as of {moment_text(finding.as_of, now)} UTC"
        notices.append(f"{as_of}: history since then: its source is silent, or etcd takes no writes")
    follows = [_counted(item) for item in finding.consequences[:_CONSEQUENCES_SHOWN]]
    if len(finding.consequences) > _CONSEQUENCES_SHOWN:
        follows.append(f"and {len(finding.consequences) - _CONSEQUENCES_SHOWN} more")
    return Card(
        title=finding.title,
        glyph=SEVERITY[finding.severity],
        role=SEVERITY_ROLE[finding.severity],
        about=f"{about} · {finding.signature} · {finding.rule}",
        lines=tuple(CardLine(line.text, _origin(line, situation, now), line.mark) for line in finding.evidence),
        follows=tuple(follows),
        commands=card_commands(finding.next, target),
        notice="; ".join(notices),
    )


def _counted(finding: Finding) -> str:
    return finding.title + (f" ×{finding.count}" if finding.count > 1 else "")


def _origin(line: Evidence, situation: Situation, now: datetime) -> str:
    source = situation.source(line.source)
    name = line.source.removeprefix("kubernetes/")
    age = source.age_s(now) if line.observed_at is None else (now - line.observed_at).total_seconds()
    return origin_text(name, age)


def origin_text(name: str, age_s: float | None) -> str:
    """Return who told something and how old it is: `pods · 20s`; without the age where that is not known."""
    if age_s is None:
        return name
    return f"{name} · {duration_text(age_s // 10 * 10)}" if age_s >= 10 else f"{name} · now"


def card_commands(commands: tuple[Command, ...], target: Target) -> tuple[CardCommand, ...]:
    """Return those of the commands that may be offered, as lines."""
    return tuple(
        CardCommand(command.purpose, line, command.effect, command.where) for command, line in offered(commands, target)
    )


def object_card(ref: Ref, situation: Situation, target: Target, now: datetime) -> Card:
    """Return the card of an object that no finding is about: its state, its last events, and the first commands."""
    item = situation.get(ref)
    lines: list[CardLine] = []
    commands: list[Command] = [_describe(ref)]
    if item is None:
        lines.append(CardLine(f"{ref} is not known (any more)"))
        if ref.kind in NAMES_OF:
            commands = [_events(ref)]
    elif isinstance(item, Pod):
        ready, total = ready_count(item)
        age = age_text(item.metadata.creation_timestamp, now)
        lines.append(
            CardLine(f"{pod_status_text(item)}, {ready} of {total} ready, {restarts(item)} restarts, age {age}")
        )
        if item.spec.node_name:
            lines.append(CardLine(f"on node {item.spec.node_name}, workload {situation.workload_of(item)}"))
        commands += _logs(item)
    elif isinstance(item, Node):
        lines += _node_lines(item, situation)
    events = [event for event in situation.events_by_object.get(ref).values()]
    events.sort(key=lambda event: event.last_seen or now, reverse=True)
    lines += [_event_line(event, now) for event in events[:_EVENTS_SHOWN]]
    return Card(
        title=f"{ref.kind} {ref.name}",
        glyph="·",
        role="focus",
        about=f"namespace {ref.namespace}" if ref.namespace else "",
        lines=tuple(lines),
        commands=card_commands(tuple(commands), target),
    )


def _node_lines(node: Node, situation: Situation) -> list[CardLine]:
    conditions = [
        CardLine(f"{condition.type}={condition.status}: {condition.reason or condition.message}")
        for condition in node.status.conditions
        if (condition.type == "Ready") != (condition.status == "True")
    ]
    taints = ", ".join(f"{taint.key}:{taint.effect}" for taint in node.spec.taints)
    pods = len(situation.pods_by_node.get(node.name)) if situation.sees_all_pods else "?"
    info = node.status.node_info
    return [
        CardLine(
            f"{node_status_text(node)}, {pods} pods, kubelet {info.kubelet_version}, {info.container_runtime_version}"
        ),
        *([CardLine(f"taints: {taints}")] if taints else []),
        *conditions,
    ]


def _event_line(event: Event, now: datetime) -> CardLine:
    times = f" ×{event.times}" if event.times > 1 else ""
    return CardLine(f"{event.reason}{times}: {event.message}", f"events · {age_text(event.last_seen, now)}")


def _describe(ref: Ref) -> Command:
    return Command(("kubectl", "describe", ref.kind.lower(), ref.name), "all about it", ref.namespace)


def _events(ref: Ref) -> Command:
    only = f"involvedObject.name={ref.name}"
    where = () if ref.namespace else ("-A",)  # of what has no namespace they are in `default`, as a rule
    return Command(
        ("kubectl", "get", "events", *where, "--field-selector", only), "what happened to it?", ref.namespace
    )


def _logs(pod: Pod) -> list[Command]:
    """The logs of all containers; of the first that has run while others have not: kubectl would fail on those."""
    pairs = list(container_pairs(pod))
    run = [container.name for container, status in pairs if has_run(status)]
    if not run:
        return []
    which = ("--all-containers",) if len(run) == len(pairs) else ("-c", run[0])
    return [Command(("kubectl", "logs", pod.name, *which, "--tail=100"), "what does it log?", pod.namespace)]


def rendered(command: Command, target: Target) -> str | None:
    """Return the command line, or None if the command must not be offered."""
    try:
        return render(command, target)
    except CommandRefusedError:
        return None
