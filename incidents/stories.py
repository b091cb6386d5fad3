"""What an incident's entries add up to: each cause from its beginning to its end, and each layer over time."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import pairwise

import msgspec

from incidents.entries import Entry, Incident, Kind
from situation.findings import Layer, Severity


class Spell(msgspec.Struct, frozen=True):
    """One severity for a while."""

    began: datetime
    ended: datetime | None
    """None: it still stood when the log ended."""
    severity: Severity


class Story(msgspec.Struct, frozen=True):
    """A cause from its beginning to its end. One that comes back after its end is another."""

    begun: Entry
    changes: tuple[Entry, ...] = ()
    cleared: Entry | None = None

    @property
    def title(self) -> str:
        """As it was told last."""
        return next((entry.text for entry in reversed(self.changes) if entry.text), self.begun.text)

    @property
    def ended(self) -> datetime | None:
        return self.cleared.at if self.cleared else None

    @property
    def spells(self) -> tuple[Spell, ...]:
        """Its severities over time."""
        turns = [(self.begun.at, self.begun.severity or Severity.INFO)]
        for entry in self.changes:
            if entry.severity not in (None, turns[-1][1]):
                turns.append((entry.at, entry.severity))
        ends = [at for at, _ in turns[1:]]
        return tuple(
            Spell(began, ended, severity) for (began, severity), ended in zip(turns, [*ends, self.ended], strict=True)
        )

    @property
    def gravest(self) -> Severity:
        return min((spell.severity for spell in self.spells), key=lambda item: item.rank)

    @property
    def is_grave(self) -> bool:
        """It was more than information at some time: a cause, not only a weak point that was noticed."""
        return self.gravest is not Severity.INFO


def stories(entries: Iterable[Entry]) -> tuple[Story, ...]:
    """Return the stories in the order in which they began."""
    found: list[Story] = []
    latest: dict[str, int] = {}
    for entry in entries:
        if entry.kind.begins_cause:
            latest[entry.key] = len(found)
            found.append(Story(entry))
        elif entry.key in latest and entry.kind in (Kind.CHANGED, Kind.CLEARED):
            number = latest[entry.key]
            story = found[number]
            if entry.kind is Kind.CHANGED:
                found[number] = msgspec.structs.replace(story, changes=(*story.changes, entry))
            else:
                found[number] = msgspec.structs.replace(story, cleared=entry)
    return tuple(sorted(found, key=lambda story: story.begun.at))


class LayerSpell(msgspec.Struct, frozen=True):
    """The gravest severity of a layer for a while, and the causes that stood then."""

    layer: Layer
    began: datetime
    ended: datetime | None
    severity: Severity
    causes: tuple[str, ...]


def layer_spells(told: Iterable[Story]) -> tuple[LayerSpell, ...]:
    """Return for each layer what was wrong in it over time, layers from the first to the fifth."""
    by_layer: dict[Layer, list[Story]] = {layer: [] for layer in Layer}
    for story in told:
        if story.begun.layer is not None:
            by_layer[story.begun.layer].append(story)
    return tuple(spell for layer, here in by_layer.items() for spell in _spells(layer, here))


def _spells(layer: Layer, here: list[Story]) -> Iterator[LayerSpell]:
    parts = [(spell, story.title) for story in here for spell in story.spells]
    if not parts:
        return
    moments = sorted({at for spell, _ in parts for at in (spell.began, spell.ended) if at is not None})
    last: LayerSpell | None = None
    for began, ended in (*pairwise(moments), (moments[-1], None)):
        now = [(spell, title) for spell, title in parts if spell.began <= began and _lasts(spell, began)]
        if not now:
            if last is not None:
                yield last
            last = None
            continue
        severity = min((spell.severity for spell, _ in now), key=lambda item: item.rank)
        titles = tuple(dict.fromkeys(title for _, title in now))
        if last is not None and last.severity is severity:
            both = tuple(dict.fromkeys((*last.causes, *titles)))
            last = msgspec.structs.replace(last, ended=ended, causes=both)
            continue
        if last is not None:
            yield last
        last = LayerSpell(layer, began, ended, severity, titles)
    if last is not None:
        yield last


def _lasts(spell: Spell, at: datetime) -> bool:
    return spell.ended is None or spell.ended > at


def in_order(incident: Incident) -> tuple[Entry, ...]:
    """Return the entries in the order in which things happened: what is debounced is written later than it was."""
    return tuple(sorted(incident.entries, key=lambda entry: entry.at))
