"""An incident as plain data, `"version": 1`: keys are added, never renamed or taken away.

`causes` holds what was more than information at some time; `noticed`, of the same shape, the weak points that were only
noticed ("Also noticed" in the Markdown). `layers` tells of causes, `timeline` of everything.
"""

from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from incidents.entries import Entry, Incident
from incidents.stories import LayerSpell, Story, in_order, layer_spells, stories
from situation.findings import Evidence
from situation.meta import Ref

JSON_VERSION: Final = 1


def as_json(incident: Incident) -> dict[str, Any]:
    """Return the incident as what JSON knows; times are RFC 3339 in UTC, what is not known is null."""
    told = stories(incident.entries)
    causes = [story for story in told if story.is_grave]
    return {
        "version": JSON_VERSION,
        "id": incident.id,
        "context": incident.context,
        "simulated": incident.simulated or None,
        "began": _time(incident.began),
        "ended": _time(incident.ended),
        "live": incident.live,
        "people": list(incident.people),
        "layers": [_layer(spell) for spell in layer_spells(causes)],
        "causes": [_story(story) for story in causes],
        "noticed": [_story(story) for story in told if not story.is_grave],
        "timeline": [_entry(entry) for entry in in_order(incident)],
    }


def _layer(spell: LayerSpell) -> dict[str, Any]:
    return {
        "layer": spell.layer.value,
        "name": spell.layer.title,
        "severity": spell.severity.value,
        "began": _time(spell.began),
        "ended": _time(spell.ended),
        "causes": list(spell.causes),
    }


def _story(story: Story) -> dict[str, Any]:
    begun = story.begun
    return {
        "key": begun.key,
        "rule": begun.rule,
        "layer": begun.layer.value if begun.layer else None,
        "subject": _subject(begun.subject),
        "title": story.title,
        "severity": story.gravest.value,
        "found_at_start": begun.kind.value == "found at start",
        "began": _time(begun.at),
        "ended": _time(story.ended),
        "came_back": begun.times,
        "as_of": _time(begun.as_of),
        "severities": [
            {"severity": spell.severity.value, "began": _time(spell.began), "ended": _time(spell.ended)}
            for spell in story.spells
        ],
        "evidence": [_evidence(line) for line in begun.evidence],
        "follows": list(begun.follows),
    }


def _entry(entry: Entry) -> dict[str, Any]:
    return {
        "at": _time(entry.at),
        "kind": entry.kind.value,
        "who": entry.who or None,
        "text": entry.text,
        "layer": entry.layer.value if entry.layer else None,
        "rule": entry.rule or None,
        "subject": _subject(entry.subject),
        "severity": entry.severity.value if entry.severity else None,
        "key": entry.key or None,
        "sources": list(entry.sources),
        "way": entry.way or None,
        "effect": entry.effect.value if entry.effect else None,
        "where": entry.where or None,
        "step": msgspec.structs.asdict(entry.step) if entry.step else None,
    }


def _evidence(line: Evidence) -> dict[str, Any]:
    return {**msgspec.structs.asdict(line), "mark": line.mark.value, "observed_at": _time(line.observed_at)}


def _subject(subject: Ref | None) -> dict[str, Any] | None:
    return None if subject is None else {**subject._asdict(), "namespace": subject.namespace or None}


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
