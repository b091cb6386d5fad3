"""An incident as the draft of a post-mortem: what was seen is filled in, what only people know is left to them."""

import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final

from incidents.entries import Entry, Incident, Kind
from incidents.stories import Story, in_order, layer_spells, stories
from incidents.telling import Times, ending, flapped, remarks, span, subject_text
from situation.findings import Mark
from situation.quantity import counted

_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>#|~])")
_STEPS: Final = (Kind.TICKED, Kind.UNTICKED, Kind.NOT_APPLICABLE)
_FOLLOWS_SHOWN: Final = 6
"""Consequences of a cause that the impact names; all that the log has stand with the cause."""
_MARKS: Final = {Mark.SUPPORTS: "", Mark.EXCLUDES: "speaks against something else: ", Mark.OPEN: "not known: "}
_TO_FILL: Final = (
    ("Impact on users", "who was hurt, how badly, from when to when"),
    ("Root cause", "why the first cause below could happen"),
    ("What fixed it", "and how that was known"),
    ("Follow-ups", "what is done about it, by whom, until when"),
)


def markdown(incident: Incident, now: datetime, zone: tzinfo | None = None, version: str = "") -> Iterator[str]:
    """Yield the lines of the draft, as of `now`; `zone` is that of the local times, None that of this machine."""
    times, told = Times(incident, zone), stories(incident.entries)
    causes = [story for story in told if story.is_grave]
    noticed = [story for story in told if not story.is_grave]
    yield f"# Incident {_text(incident.id)}"
    yield ""
    made = f"{now.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    by = f"Midwatch {version}".rstrip()
    yield f"> Draft made by {by} on {made} from what it saw and what was written down meanwhile."
    yield "> Times are UTC. What was found as watching began may be older than its time."
    yield ""
    yield from _overview(incident, causes, noticed, times, now)
    yield from _summary(causes, times)
    yield from _impact(causes, times, incident)
    yield from _causes(causes, times)
    yield from _noticed(noticed, times)
    yield from _timeline(incident, times)
    yield from _commands(incident, times)
    yield from _listed("Steps", incident, _STEPS, times, "No step was ticked.")
    yield from _listed("Notes", incident, (Kind.NOTE,), times, "No note was written.")


def _overview(
    incident: Incident, causes: Sequence[Story], noticed: Sequence[Story], times: Times, now: datetime
) -> Iterator[str]:
    end = incident.until(now)
    gravest = min((story.gravest for story in causes), key=lambda item: item.rank, default=None)
    open_ones = sum(story.cleared is None for story in causes)
    also = f"; {counted(len(noticed), 'weak point')} noticed besides" if noticed else ""
    rows = [
        ("Cluster", f"simulated: `{incident.simulated}`" if incident.simulated else _cluster(incident)),
        ("Began", times.full(incident.began)),
        ("Log ended", f"{times.full(end)}, {ending(incident)}"),
        ("Lasted", span(incident.began, end)),
        ("Gravest", gravest.value if gravest else "no cause was found"),
        (
            "Causes",
            (f"{len(causes)}, of which {open_ones} still stood at the end of the log" if causes else "none") + also,
        ),
        ("People", ", ".join(_text(name) for name in incident.people) or "nobody did anything"),
    ]
    yield "| | |"
    yield "|---|---|"
    yield from (f"| **{name}** | {value} |" for name, value in rows)
    yield ""


def _cluster(incident: Incident) -> str:
    return f"`{incident.context}`" if incident.context else "that which Midwatch ran in"


def _summary(causes: Sequence[Story], times: Times) -> Iterator[str]:
    yield "## Summary"
    yield ""
    if causes:
        first = causes[0]
        which = "The only cause" if len(causes) == 1 else f"The first of {len(causes)} causes"
        yield _first_sentence(first, which, times)
        cleared = [story for story in causes if story.ended is not None]
        if len(cleared) == len(causes):
            last = max(story.ended for story in causes if story.ended is not None)
            which = "It" if len(causes) == 1 else f"The last of {len(causes)} causes"
            yield f"{which} had cleared by {times.utc(last)}, {span(first.begun.at, last)} after it began."
        elif len(causes) == 1:
            yield "It still stood when the log ended."
        else:
            left = len(causes) - len(cleared)
            yield f"When the log ended, {left} of {counted(len(causes), 'cause')} still stood."
        yield ""
    for title, hint in _TO_FILL:
        yield f"- **{title}:** _to be written: {hint}_"
    yield ""


def _first_sentence(story: Story, which: str, times: Times) -> str:
    first = story.begun
    layer = f"layer {first.layer.value} ({first.layer.title})" if first.layer else "no layer"
    how = f"was {first.kind.word} (it may be older), at" if first.kind is Kind.FOUND else "appeared at"
    follows = f" {counted(len(first.follows), 'other finding')} followed from it." if first.follows else ""
    return f"{which}, *{_text(first.text)}* on {layer}, {how} {times.utc(first.at)}.{follows}"


def _impact(causes: Sequence[Story], times: Times, incident: Incident) -> Iterator[str]:
    yield "## Impact: layers over time"
    yield ""
    spells = layer_spells(causes)
    if not spells:
        yield "No layer was affected."
        yield ""
        return
    yield "| Layer | Severity | From | To | For | Causes |"
    yield "|---|---|---|---|---|---|"
    for spell in spells:
        to = times.utc(spell.ended) if spell.ended else "still then"
        titles = "; ".join(_text(title) for title in spell.causes[:3])
        more = f" and {len(spell.causes) - 3} more" if len(spell.causes) > 3 else ""
        lasted = span(spell.began, spell.ended) or f"over {span(spell.began, incident.ended or incident.last_at)}"
        layer = f"{spell.layer.value} {spell.layer.title}"
        yield f"| {layer} | {spell.severity.value} | {times.utc(spell.began)} | {to} | {lasted} | {titles}{more} |"
    yield ""
    if any(story.begun.follows for story in causes):
        yield "What followed from each cause while it stood:"
        yield ""
        for story in causes:
            yield from _followed(story)
        yield ""


def _followed(story: Story) -> Iterator[str]:
    follows = story.begun.follows
    if not follows:
        return
    more = f"; and {len(follows) - _FOLLOWS_SHOWN} more, told with the cause" if len(follows) > _FOLLOWS_SHOWN else ""
    yield f"- *{_text(story.begun.text)}*: {'; '.join(_text(title) for title in follows[:_FOLLOWS_SHOWN])}{more}"


def _causes(causes: Sequence[Story], times: Times) -> Iterator[str]:
    yield "## Causes, with the evidence as it was"
    yield ""
    if not causes:
        yield "None."
        yield ""
    for number, story in enumerate(causes, 1):
        yield f"### {number}. {_text(story.begun.text)}"
        yield ""
        yield from _story(story, times)


def _noticed(noticed: Sequence[Story], times: Times) -> Iterator[str]:
    """What was never more than information: weak points in the set-up, which hurt nobody yet."""
    if not noticed:
        return
    yield "## Also noticed"
    yield ""
    yield "Weak points that were told as information only: no causes, and not in the impact."
    yield ""
    for story in noticed:
        yield f"### {_text(story.begun.text)}"
        yield ""
        yield from _story(story, times)


def _story(story: Story, times: Times) -> Iterator[str]:
    begun = story.begun
    layer = f", layer {begun.layer.value} ({begun.layer.title})" if begun.layer else ""
    yield f"- **What:** {story.gravest.value}{layer}, {_text(subject_text(begun.subject))}, rule `{begun.rule}`"
    since = f"{begun.kind.word}, at" if begun.kind is Kind.FOUND else "from"
    until = f"to {times.utc(story.ended)} ({span(begun.at, story.ended)})" if story.ended else "and not cleared"
    flaps = f"; {flapped(begun)}" if begun.times else ""
    yield f"- **When:** {since} {times.utc(begun.at)} {until}{flaps}"
    if begun.as_of is not None:
        yield f"- **History:** its source was silent; the evidence is of {times.utc(begun.as_of)}"
    for change in story.changes:
        yield f"- **Changed at {times.utc(change.at)}:** {_text(change.text)} ({_text(change.way)})"
    if story.cleared is not None and story.cleared.way:
        yield f"- **End:** {_text(story.cleared.way)}"
    if begun.evidence:
        yield "- **Evidence:**"
        for line in begun.evidence:
            seen = f", {times.utc(line.observed_at)}" if line.observed_at else ""
            yield f"  - {_MARKS[line.mark]}{_text(line.text)} _({_text(line.source)}{seen})_"
    if begun.follows:
        yield "- **Followed from it:**"
        yield from (f"  - {_text(title)}" for title in begun.follows)
    yield ""


def _timeline(incident: Incident, times: Times) -> Iterator[str]:
    yield "## Timeline"
    yield ""
    local = f" {_text(times.zone_name)} |" if times.has_local else ""
    yield f"| UTC |{local} Who | What | Which |"
    yield f"|---|{'---|' if times.has_local else ''}---|---|---|"
    for entry in in_order(incident):
        at = f" {times.local(entry.at)} |" if times.has_local else ""
        yield f"| {times.utc(entry.at)} |{at} {_text(entry.who)} | {_what(entry)} | {_said(entry)} |"
    yield ""


def _what(entry: Entry) -> str:
    grave = f" ({entry.severity.value})" if entry.severity and entry.kind.begins_cause else ""
    return f"{entry.kind.word}{grave}"


def _said(entry: Entry) -> str:
    text = _code(entry.text) if entry.kind is Kind.COPIED else _text(entry.text)
    more = remarks(entry)
    return f"{text} _({_text(more)})_" if more and text else text or _text(more)


def _commands(incident: Incident, times: Times) -> Iterator[str]:
    yield "## Commands copied"
    yield ""
    copied = [entry for entry in in_order(incident) if entry.kind is Kind.COPIED]
    if not copied:
        yield "No command was copied."
        yield ""
        return
    yield "Copied, which does not say that they were run: Midwatch runs nothing itself."
    yield ""
    yield "```sh"
    for entry in copied:
        more = remarks(entry)
        yield f"# {times.utc(entry.at)} {entry.who}{': ' if more else ''}{more}"
        yield entry.text
    yield "```"
    yield ""


def _listed(title: str, incident: Incident, kinds: Sequence[Kind], times: Times, none: str) -> Iterator[str]:
    yield f"## {title}"
    yield ""
    found = [entry for entry in in_order(incident) if entry.kind in kinds]
    for entry in found:
        word = "" if entry.kind is Kind.NOTE else f"{entry.kind.word}: "
        more = f" _({_text(entry.way)})_" if entry.way else ""
        yield f"- {times.utc(entry.at)} {_text(entry.who)}: {word}{_text(entry.text)}{more}"
    if not found:
        yield none
    yield ""


def _text(text: str) -> str:
    """Text as text: nothing in it is read as Markdown, in a table or outside of one."""
    return _SPECIAL.sub(r"\\\1", text)


def _code(text: str) -> str:
    """A command within a table, as code; a bar would end its cell also there."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * (longest + 1)
    space = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{space}{text}{space}{fence}".replace("|", "\\|")
