"""Finds and takes apart the files of a dump: JSON and YAML documents, one after another."""

import json
import re
from collections.abc import Iterator
from itertools import chain
from math import inf
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import yaml

from collectors.errors import DumpError
from situation.text import harmless

SUFFIXES: Final = frozenset({".json", ".jsonl", ".ndjson", ".yaml", ".yml"})
"""In a folder; a file that is named itself may be called anything."""

ALIASED_LIMIT: Final = 1_000_000
"""Values that YAML's aliases may add to a document: a manifest written by hand saves itself some lines with them, and
a file of a kilobyte can stand for gigabytes."""
_VALUE_CHARS: Final = 64
"""A text counts as one value more for so many characters: a long one that stands in many places is as much."""
_SIGN: Final = re.compile(rb"\S")
_JSON_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]')
_IN_JSON: Final = (b"{", b"[{", b"{[{")
"""The brackets around a field of an object: it stands by itself, in an array, or in the items of a list."""
_YAML_KIND: Final = re.compile(rb'^( *(?:- +)?)kind: *["\']?(\w+)', re.MULTILINE)
_YAML_ITEMS: Final = re.compile(rb"^items:", re.MULTILINE)
_JSON_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Head(msgspec.Struct, rename="camel"):
    """What tells a document's kind; `items` if it is a list."""

    kind: str = ""
    api_version: str = ""
    items: list[msgspec.Raw] | None = None
    metadata: msgspec.Raw = msgspec.Raw(b"{}")


class Document(NamedTuple):
    """One JSON document, and its head if it is an object of the API."""

    raw: bytes
    head: Head | None


_head: Final = msgspec.json.Decoder(Head)


def find_files(path: Path) -> tuple[list[Path], list[str]]:
    """Return the files of a dump in order, and notes on what was passed over. Raises DumpError."""
    try:
        if not path.is_dir():
            return [path], []
        found = sorted(file for file in path.rglob("*") if file.is_file() and not _is_hidden(file, path))
    except OSError as error:
        raise DumpError(f"{path}: cannot read it: {error.strerror}") from error
    files = [file for file in found if file.suffix.lower() in SUFFIXES]
    if not files:
        raise DumpError(f"{path}: no .json or .yaml files in this folder")
    passed = len(found) - len(files)
    other = (
        "1 other file (not .json or .yaml) was" if passed == 1 else f"{passed} other files (not .json or .yaml) were"
    )
    return files, [f"{other} not read"] if passed else []


def _is_hidden(file: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in file.relative_to(root).parts)


def read_documents(file: Path) -> Iterator[Document]:
    """Yield the documents of a file, each as JSON. Raises DumpError that names file and line."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise DumpError(f"{file}: cannot read it: {error.strerror}") from error
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data or data.isspace():
        raise DumpError(f"{file}: the file is empty")
    if b"\0" in data[:4096]:
        raise DumpError(f"{file}: a binary file; a dump is JSON or YAML, as `kubectl get -o json` prints it")
    if _first_sign(data) in (b"{", b"["):
        yield from _json_documents(file, data)
    else:
        yield from _yaml_documents(file, data)


def _first_sign(data: bytes) -> bytes:
    found = _SIGN.search(data)
    return found.group() if found else b""


def _document(raw: bytes) -> Document:
    try:
        return Document(raw, _head.decode(raw))
    except _JSON_ERRORS:
        return Document(raw, None)


def _json_documents(file: Path, data: bytes) -> Iterator[Document]:
    if _first_sign(data) == b"[":
        yield from (_document(bytes(item)) for item in _array(file, data))
        return
    try:
        head = _head.decode(data)
    except _JSON_ERRORS:
        yield from map(_document, _several_json(file, data))
    else:
        yield Document(data, head)


def _array(file: Path, data: bytes) -> list[msgspec.Raw]:
    try:
        return msgspec.json.decode(data, type=list[msgspec.Raw])
    except _JSON_ERRORS as error:
        raise DumpError(f"{file}: broken or cut off JSON: {harmless(str(error))}") from error


def _several_json(file: Path, data: bytes) -> Iterator[bytes]:
    """JSON documents one after another, with or without line breaks inside."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise DumpError(f"{file}, line {line}: not UTF-8 text") from error
    decoder = json.JSONDecoder()
    place = 0
    while place < len(text):
        try:
            _, end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError) as error:  # a number may have too many digits for Python
            line = text.count("\n", 0, getattr(error, "pos", place)) + 1
            said = "nested too deeply" if isinstance(error, RecursionError) else getattr(error, "msg", str(error))
            raise DumpError(f"{file}, line {line}: broken or cut off JSON: {said}") from error
        yield text[place:end].encode()
        place = end
        while place < len(text) and text[place] in " \t\r\n,":
            place += 1


class _AliasedTooOftenError(Exception):
    """A document of which the aliases stand for too much."""


class _Loader(yaml.CSafeLoader):
    """Leaves time stamps as text: they are read as in JSON. Refuses what is small only because of its aliases."""

    def construct_document(self, node: yaml.Node) -> Any:
        if _added_by_aliases(node) > ALIASED_LIMIT:
            raise _AliasedTooOftenError(f"its aliases (*name) stand for more than {ALIASED_LIMIT:,} values")
        return super().construct_document(node)


def _added_by_aliases(root: yaml.Node) -> float:
    """Return how many more values there are below a node when its aliases are written out; nothing is written out."""
    counted: dict[int, float] = {}
    once = 0.0

    def count(node: yaml.Node) -> float:
        nonlocal once
        known = counted.get(id(node))
        if known is not None:
            return known
        if not isinstance(node, yaml.CollectionNode):
            counted[id(node)] = size = 1 + len(node.value) / _VALUE_CHARS
            once += size
            return size
        counted[id(node)] = inf  # until it is known: one that stands within itself has no end
        once += 1
        pairs = isinstance(node, yaml.MappingNode)
        below = chain.from_iterable(node.value) if pairs else node.value
        counted[id(node)] = total = 1 + sum(map(count, below))
        return total

    return count(root) - once


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def _yaml_documents(file: Path, data: bytes) -> Iterator[Document]:
    held: Any = None
    """One document is held back: the last one may be cut off."""
    try:
        for document in yaml.load_all(data, Loader=_Loader):
            if document is None:
                continue
            if held is not None:
                yield _whole_document(file, held)
            held = document
        if held is not None:
            yield _whole_document(file, held, is_cut=not data.endswith(b"\n"))
    except _AliasedTooOftenError as error:
        raise DumpError(f"{file}: not read: {error}, and `kubectl get -o yaml` writes none") from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise DumpError(f"{file}{line}: neither JSON nor valid YAML: {harmless(str(error.problem))}") from error
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise DumpError(f"{file}: neither JSON nor valid YAML: {harmless(str(error))}") from error
    except (TypeError, OverflowError) as error:  # `on: x` has a key that is true, in YAML 1.1
        raise DumpError(f"{file}: not what JSON can hold: {harmless(str(error))}") from error


def _whole_document(file: Path, document: Any, *, is_cut: bool = False) -> Document:
    """Return a YAML document. Raises DumpError for one that is cut off: nearly every part of YAML is valid YAML.

    `kubectl` sorts the keys, so `kind` follows the items of a list. `is_cut`: the file ends in the middle of a line.
    """
    encoded = _as_json(file, document)
    if "items" in document and not document.get("kind"):
        raise DumpError(f"{file}: cut off: no kind follows the items of its last list")
    is_list = "items" in document and list(document)[-1] != "items"  # all of its items are there
    if is_cut and not is_list and ("kind" in document or "apiVersion" in document):
        raise DumpError(f"{file}: cut off? It ends in the middle of a line; end the line if nothing is missing")
    return _document(encoded)


def _as_json(file: Path, document: Any) -> bytes:
    if not isinstance(document, dict):
        raise DumpError(f"{file}: not a dump: expected Kubernetes objects, as `kubectl get -o yaml` prints them")
    return msgspec.json.encode(document)


def kinds_held(file: Path) -> frozenset[str]:
    """Return the kinds of the objects in a file that is broken or cut off, as far as its text still tells."""
    try:
        data = file.read_bytes()
    except OSError:
        return frozenset()
    kinds = _kinds_in_json(data) if _first_sign(data) in (b"{", b"[") else _kinds_in_yaml(data)
    return frozenset(kind.decode("utf-8", "replace").removesuffix("List") for kind in kinds)


def _kinds_in_json(data: bytes) -> Iterator[bytes]:
    """Yield the kinds of objects, and not those of what objects refer to."""
    where, before = b"", b""
    for match in _JSON_TOKEN.finditer(data):
        token = match.group()
        if token in (b"{", b"["):
            where += token
        elif token in (b"}", b"]"):
            where = where[:-1]
        elif before == b'"kind"' and where in _IN_JSON:
            yield token.strip(b'"')
        before = token


def _kinds_in_yaml(data: bytes) -> Iterator[bytes]:
    """Yield the kinds that stand least deep: those of documents, and where there is a list also those of its items."""
    found = [(len(indent), kind) for indent, kind in _YAML_KIND.findall(data)]
    items = min((depth for depth, _ in found if depth), default=0) if _YAML_ITEMS.search(data) else 0
    yield from (kind for depth, kind in found if depth in (0, items))
