"""Slims objects to the fields that Midwatch reads. `python -m tape.slim FOLDER OUT` turns a recording into a tape."""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from situation.decode import BadObjectError, decode_tolerantly, name_of
from situation.kinds import BY_NAME, ObjectKind
from situation.meta import KubernetesObject
from situation.text import harmless
from tape.etcd import families_of, slim_page
from tape.format import TAPE_VERSION, Frame, Header, ListBody, Said, TapeError, WatchEvent, page_name
from tape.readings import deleted_object
from tape.recording import Recording
from tape.serving import slim_serving_page
from tape.writer import write_tape

_KEPT_OF_BOOKMARKS: Final = ("resourceVersion", "annotations")


def read_object(raw: bytes, kind: ObjectKind) -> KubernetesObject:
    """Decode an object with its text as it is: a tape keeps what was said, readers make it harmless.

    Raises BadObjectError for anything that is not an object of this kind.
    """
    try:
        return msgspec.json.decode(raw, type=kind.type)
    except msgspec.ValidationError:
        return decode_tolerantly(raw, kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadObjectError(f"{kind.kind}: not JSON: {harmless(str(error))}") from error


def slim_object(raw: bytes, kind: ObjectKind, *, in_list: bool = False) -> bytes:
    """Return the object's JSON with only the fields that Midwatch reads.

    `kind` and `apiVersion` stand first, except in list items, where the API leaves them out. Idempotent. Raises
    BadObjectError.
    """
    slim = msgspec.json.encode(read_object(raw, kind))
    if in_list:
        return slim
    head = f'{{"kind":"{kind.kind}","apiVersion":"{kind.group_version}"'.encode()
    return head + (b"," if slim != b"{}" else b"") + slim[1:]


def slim_frames(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Yield the frames with slim objects and slim pages of metrics; of an object that does not decode only its name.

    All other frames pass.
    """
    for frame in frames:
        kind = BY_NAME.get(frame.source.removeprefix("kubernetes/"))
        if frame.text is not None and (families := families_of(frame.source)) is not None:
            yield msgspec.structs.replace(frame, text=slim_page(frame.text, families))
        elif frame.text is not None and page_name(frame.source) is not None:
            yield msgspec.structs.replace(frame, text=slim_serving_page(frame.text))
        elif kind is None:
            yield frame
        elif frame.list is not None:
            yield msgspec.structs.replace(frame, list=_slim_list(frame.list, kind))
        elif frame.watch is not None:
            yield _slim_change(frame, frame.watch, kind)
        else:
            yield frame


def _slim_list(body: ListBody, kind: ObjectKind) -> ListBody:
    items = [_slim_or_none(bytes(item), kind, in_list=True) for item in body.items]
    kept = tuple(msgspec.Raw(item) for item in items if item is not None)
    names = [name_of(bytes(raw)) for raw, item in zip(body.items, items, strict=True) if item is None]
    broken = tuple(name.key for name in names if name is not None)
    skipped = body.skipped + len(names) - len(broken)
    return msgspec.structs.replace(body, items=kept, skipped=skipped, broken=body.broken + broken)


def _slim_change(frame: Frame, event: WatchEvent, kind: ObjectKind) -> Frame:
    if (slim := _slim_event(event, kind)) is not None:
        return msgspec.structs.replace(frame, watch=slim)
    name = name_of(bytes(event.object))
    if name is not None and event.type == "DELETED":
        gone = WatchEvent("DELETED", msgspec.Raw(deleted_object(name.key, kind)))
        return msgspec.structs.replace(frame, watch=gone)
    said = Said(skipped=1) if name is None else Said(broken=(name.key,))
    return msgspec.structs.replace(frame, watch=None, reading=said)


def _slim_or_none(raw: bytes, kind: ObjectKind, *, in_list: bool = False) -> bytes | None:
    try:
        return slim_object(raw, kind, in_list=in_list)
    except BadObjectError:
        return None


def _slim_event(event: WatchEvent, kind: ObjectKind) -> WatchEvent | None:
    if event.type == "ERROR":
        return event
    if event.type == "BOOKMARK":
        metadata: dict[str, Any] = msgspec.json.decode(event.object).get("metadata", {})
        kept = {name: metadata[name] for name in _KEPT_OF_BOOKMARKS if name in metadata}
        slim = {"kind": kind.kind, "apiVersion": kind.group_version, "metadata": kept}
        return WatchEvent("BOOKMARK", msgspec.Raw(msgspec.json.encode(slim)))
    body = _slim_or_none(bytes(event.object), kind)
    return WatchEvent(event.type, msgspec.Raw(body)) if body is not None else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Turn a recording folder into a tape."""
    parser = argparse.ArgumentParser(prog="python -m tape.slim", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="one <resource>.jsonl for each kind")
    parser.add_argument("out", type=Path, help="the tape; compressed if it ends in .gz")
    parser.add_argument("--title", default="", help="one line that says what happens in it")
    parser.add_argument("--server", default="", help="version of the API server, for example v1.36.2")
    given = parser.parse_args(arguments)
    try:
        recording = Recording(given.folder)
        header = Header(
            TAPE_VERSION,
            name=given.folder.name,
            title=given.title or given.folder.name,
            started_at=recording.started_at(),
            server=given.server,
        )
        write_tape(given.out, header, slim_frames(recording.frames))
    except TapeError as error:
        print(f"tape.slim: {error}", file=sys.stderr)
        return 1
    for note in recording.notes:
        print(f"tape.slim: {note}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
