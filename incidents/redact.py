"""Replaces what names a cluster by numbers, the same everywhere: what is left may be shown to others.

A text is taken apart into words that may be names. A word that is a name becomes `pod-3`, one that only holds a name
(`web-1` where `web` is one) becomes `name-4`: too much is replaced rather than too little.
"""

import re
from bisect import insort
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Final

import msgspec

from incidents.entries import Entry, Incident, Name, Step
from incidents.names import TOKEN, sort_of
from situation.findings import Evidence
from situation.meta import CLUSTER, Ref

_SHORT: Final = {"namespace": "ns"}
_PART: Final = re.compile(r"[A-Za-z0-9]+")
_PUBLIC: Final = frozenset({"localhost"})
_ADDRESS: Final = re.compile(
    r"(?<![\w:.])(?:(?:\d{1,3}\.){3}\d{1,3}|\[?(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?:%\w+)?\]?)(?![\w.]*\w)"
)
"""What may be an IP address; the standard library decides."""
_HOST: Final = re.compile(
    r"(?:\b[a-z][a-z0-9+.-]*://(?:[^\s/@]*@)?|\blookup |\bhost (?=[\w-]+\.))([A-Za-z0-9][A-Za-z0-9._-]*)"
)
_IMAGE: Final = re.compile(
    r"[\w.-]+(?::\d+)?(?:/[\w.-]+)+(?::[\w.-]+)?@sha256:[0-9a-f]+|[\w-]+(?:\.[\w-]+)+(?::\d+)?(?:/[\w.-]+)+:[\w.-]+"
    r"|(?<=image )(?:\"[^\"\s]+\"|[\w.-]+(?:/[\w.-]+)*:[\w.-]+)"
)
"""With a digest; with a registry and a tag; or said to be one."""
_OPTION: Final = re.compile(r"(--context|--kubeconfig|--namespace|-n)[ =]('[^']+'|\S+)")
_OPTION_SORT: Final = {"--context": "cluster", "--kubeconfig": "file", "--namespace": "namespace", "-n": "namespace"}
_KIND: Final = re.compile(
    r"\b(pod|node|namespace|deployment|statefulset|daemonset|replicaset|job|service)s?[ /]\"?"
    r"([a-z][a-z0-9.-]*\d[a-z0-9.-]*)",
    re.IGNORECASE,
)
"""A kind and a name with a number in it: a word of plain letters behind a kind is as likely an English one."""
_REFERRED: Final = re.compile(
    r"\b(Secret|ConfigMap|StorageClass|PriorityClass|RuntimeClass|ServiceAccount)[ /]\"?"
    r"([a-z0-9]+[.-][a-z0-9.-]*[a-z0-9])"
)
"""What an object refers to and is nowhere to be seen, by its kind as the API writes it, and a name of several parts."""
_WORKLOADS: Final = frozenset({"deployment", "statefulset", "daemonset", "replicaset", "job"})


def redacted(incident: Incident) -> Incident:
    """Return the incident without the names of clusters, namespaces, nodes, pods, workloads, images, addresses, and of
    the people who wrote it. Rules, layers, times and what is told of faults stay."""
    words = Redaction(incident)
    entries = tuple(words.entry(entry) for entry in incident.entries)
    begun = incident.id[:15] if re.match(r"\d{4}-\d\d-\d\d-\d{4}", incident.id) else "incident"
    return msgspec.structs.replace(
        incident, id=f"{begun}-{words.of('cluster', incident.context)}", context=words.of("cluster", incident.context),
        entries=entries, origin=incident.simulated or None,
    )  # fmt: skip


class Redaction:
    """The replacements of one incident: learned from all of its entries first, so that they are the same in all."""

    def __init__(self, incident: Incident) -> None:
        self._numbers: dict[str, int] = {}
        self._known: dict[str, str] = {}
        """Name in small letters to what stands for it."""
        self._images: list[str] = []
        """Names that are no words, such as those of images, the longest first."""
        self.of("cluster", incident.context)
        for entry in incident.entries:
            for name in names_of(entry):
                self.of(name.sort, name.name)

    def of(self, sort: str, name: str) -> str:
        """Return what stands for a name."""
        if not name:
            return ""
        key = name.casefold()
        if key not in self._known:
            short = _SHORT.get(sort, sort)
            self._numbers[short] = self._numbers.get(short, 0) + 1
            self._known[key] = f"{short}-{self._numbers[short]}"
            if "/" in key or ":" in key:
                insort(self._images, key, key=lambda image: -len(image))
        return self._known[key]

    def entry(self, entry: Entry) -> Entry:
        """Return an entry with everything replaced in it."""
        subject = entry.subject
        if subject is not None and subject != CLUSTER:
            subject = Ref(subject.kind, self.of("namespace", subject.namespace), self._name_of(subject))
        return msgspec.structs.replace(
            entry,
            text=self.text(entry.text),
            way=self.text(entry.way),
            where=self.text(entry.where),
            who=self.of("person", entry.who),
            subject=subject,
            key=self.text(entry.key),
            evidence=tuple(self._evidence(line) for line in entry.evidence),
            follows=tuple(self.text(text) for text in entry.follows),
            sources=tuple(self.text(name) for name in entry.sources),
            step=self._step(entry.step),
            names=(),
        )

    def _step(self, step: Step | None) -> Step | None:
        return None if step is None else msgspec.structs.replace(step, note=self.text(step.note))

    def _name_of(self, ref: Ref) -> str:
        return self.of(sort_of(ref.kind), ref.name)

    def _evidence(self, line: Evidence) -> Evidence:
        return msgspec.structs.replace(line, text=self.text(line.text), source=self.text(line.source))

    def text(self, text: str) -> str:
        """Return a text with every name in it replaced."""
        for image in self._images:
            text = re.sub(rf"(?<![\w]){re.escape(image)}(?![\w])", self._known[image], text, flags=re.IGNORECASE)
        return TOKEN.sub(self._word, text)

    def _word(self, match: re.Match[str]) -> str:
        word = match.group()
        key = word.casefold()
        if key in self._known:
            return self._known[key]
        return self.of("name", word) if self._holds_name(key) else word

    def _holds_name(self, word: str) -> bool:
        """Tell whether a word holds a name as whole parts: `web-1` holds `web`, `website` does not."""
        parts = [part.span() for part in _PART.finditer(word)]
        return any(word[start:end] in self._known for at, (start, _) in enumerate(parts) for _, end in parts[at:])


def names_of(entry: Entry) -> Iterator[Name]:
    """Yield what an entry tells, or shows, to be a name."""
    for name in entry.names:
        yield name
        if name.sort == "image":
            yield Name("image", name.name.partition("@")[0].rpartition(":")[0])
    subject = entry.subject
    if subject is not None and subject != CLUSTER:
        yield Name("namespace", subject.namespace)
        yield Name(sort_of(subject.kind), subject.name)
    yield Name("person", entry.who)
    texts = (entry.text, entry.way, entry.where, *(line.text for line in entry.evidence), *entry.follows)
    for text in (*texts, *entry.sources, *(line.source for line in entry.evidence)):
        yield from _shown(text)


def _shown(text: str) -> Iterator[Name]:
    for match in _IMAGE.finditer(text):
        yield Name("image", match.group().strip('"'))
    for match in _ADDRESS.finditer(text):
        address = match.group().strip("[]")
        if _is_address(address):
            yield Name("address", address)
    for match in _HOST.finditer(text):
        if match.group(1) not in _PUBLIC:
            yield Name("address", match.group(1).rstrip("."))
    for match in _OPTION.finditer(text):
        yield Name(_OPTION_SORT[match.group(1)], match.group(2).strip("'"))
    for match in _KIND.finditer(text):
        kind = match.group(1).casefold()
        yield Name("workload" if kind in _WORKLOADS else kind, match.group(2).rstrip(".-"))
    for match in _REFERRED.finditer(text):
        yield Name(match.group(1).casefold(), match.group(2))


def _is_address(text: str) -> bool:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return not (address.is_loopback or address.is_unspecified)
