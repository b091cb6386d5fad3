"""All playbooks: those shipped with the package, then the user's own, and what could not be loaded."""

from collections.abc import Callable, Iterable, Iterator
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from playbooks.model import Library, Place, Playbook
from playbooks.parsing import parse_playbook
from playbooks.source import BadPlaybook, Source

_SUFFIX: Final = ".md"
_MAX_BYTES: Final = 256 * 1024


class _Read(NamedTuple):
    playbook: Playbook
    source: Source


class _Wrong(NamedTuple):
    """Something that shows only when playbooks are put together."""

    at: Place
    to: Place
    key: str
    text: str


def load_playbooks(user_dir: Path | None = None, shipped: Traversable | Path | None = None) -> Library:
    """Read the shipped playbooks and those in `user_dir`, which need not exist.

    One of the user replaces a shipped one of the same id. A bad file is told and left out; the others load.
    """
    problems: list[str] = []
    root = shipped if shipped is not None else resources.files("playbooks")
    own = _sound(_read(lambda: _files(root), problems, is_own=False), {}, problems)
    users = _read(lambda: _files(user_dir) if user_dir is not None else [], problems, is_own=True)
    kept = _sound(users, own, problems)
    replaced = tuple(sorted(id for id in own if kept[id].playbook.is_own))
    resolved = {id: _resolved(read, kept) for id, read in kept.items()}
    found = sorted((read.playbook for read in resolved.values()), key=lambda item: (item.order, item.id))
    return Library(tuple(found), tuple(problems), replaced)


def _files(folder: Traversable | Path) -> list[Traversable]:
    if not folder.is_dir():
        return []
    return sorted((file for file in folder.iterdir() if file.name.endswith(_SUFFIX)), key=lambda file: file.name)


def _read(files: Callable[[], list[Traversable]], problems: list[str], *, is_own: bool) -> dict[str, _Read]:
    found: dict[str, _Read] = {}
    try:
        listed = files()
    except OSError as error:
        problems.append(f"{error.filename}: cannot be listed: {error.strerror}")
        return found
    for file in listed:
        try:
            playbook, source = parse_playbook(_text(file), str(file), is_own=is_own)
        except BadPlaybook as error:
            problems.append(f"{file}:{error.line}: {error}")
            continue
        if playbook.id in found:
            first = found[playbook.id].playbook.file
            problems.append(f"{file}:{source.line_of('id')}: the id {playbook.id!r} is that of {first} already")
            continue
        found[playbook.id] = _Read(playbook, source)
    return found


def _text(file: Traversable) -> str:
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise BadPlaybook(1, f"cannot be read: {error.strerror}") from None
    if len(raw) > _MAX_BYTES:
        raise BadPlaybook(1, f"is larger than {_MAX_BYTES // 1024} KiB: no playbook")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadPlaybook(raw[: error.start].count(b"\n") + 1, "is not UTF-8") from None


def _sound(added: dict[str, _Read], base: dict[str, _Read], problems: list[str]) -> dict[str, _Read]:
    """Put `added` over `base` and leave out, one after the other, those of `added` that do not fit with the rest."""
    left = dict(added)
    while True:
        together = base | left
        wrong = next(((item, id) for item in _wrong(together) if (id := _blamed(item, left)) is not None), None)
        if wrong is None:
            return together
        item, id = wrong
        read = left.pop(id)
        number = next((n for n, step in enumerate(read.playbook.steps) if step.id == item.at.step), None)
        line = read.source.line_of(item.key, number) if item.at.playbook == id else read.source.line_of("step")
        problems.append(f"{read.playbook.file}:{line}: {item.text}")


def _blamed(item: _Wrong, left: dict[str, _Read]) -> str | None:
    """Return which of the files at hand is at fault: that which leads nowhere, else that which lacks the step."""
    return next((id for id in (item.at.playbook, item.to.playbook) if id in left), None)


def _wrong(found: dict[str, _Read]) -> Iterator[_Wrong]:
    for read in found.values():
        for step in read.playbook.steps:
            at = Place(read.playbook.id, step.id)
            for way in step.ways:
                other = found.get(way.to.playbook)
                if other is None:
                    text = f"goto.{way.answer}: there is no playbook {way.to.playbook!r}"
                    yield _Wrong(at, way.to, "goto", f"{step.id}: {text}")
                elif way.to.step and other.playbook.step(way.to.step) is None:
                    text = f"goto.{way.answer} of {at.playbook}#{at.step}: there is no step {way.to.step!r}"
                    yield _Wrong(at, way.to, "goto", f"{text} in {way.to.playbook}")
    yield from _traps(found)


def _traps(found: dict[str, _Read]) -> Iterator[_Wrong]:
    """Yield steps from which the answers lead round and round, with no way to an end."""
    leads: dict[Place, tuple[Place, ...]] = {}
    out: set[Place] = set()
    for read in found.values():
        for step in read.playbook.steps:
            place = Place(read.playbook.id, step.id)
            leads[place] = tuple(_known(next_place, found) for next_place in read.playbook.next_places(step))
            if read.playbook.may_end(step):
                out.add(place)
    grown = True
    while grown:
        more = {place for place, next_places in leads.items() if place not in out and out & {*next_places}}
        out |= more
        grown = bool(more)
    for place in leads:
        if place not in out:
            yield _Wrong(place, place, "goto", f"{place.step}: {_round(place, leads)} is a loop without a way out")


def _known(place: Place, found: dict[str, _Read]) -> Place:
    read = found.get(place.playbook)
    return place if place.step or read is None else Place(place.playbook, read.playbook.steps[0].id)


def _round(start: Place, leads: dict[Place, tuple[Place, ...]]) -> str:
    path, here = [start], start
    while True:
        here = next(iter(leads.get(here, ())), start)
        if here in path:
            names: Iterable[Place] = (*path[path.index(here) :], here)
            return " -> ".join(item.step for item in names)
        path.append(here)


def _resolved(read: _Read, found: dict[str, _Read]) -> _Read:
    """Fill in the first step where an answer leads to a playbook as a whole."""
    steps = tuple(
        msgspec.structs.replace(
            step, ways=tuple(msgspec.structs.replace(way, to=_known(way.to, found)) for way in step.ways)
        )
        for step in read.playbook.steps
    )
    return read._replace(playbook=msgspec.structs.replace(read.playbook, steps=steps))
