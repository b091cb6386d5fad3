"""What `midwatch check` prints: text for an incident channel, JSON for programs."""

from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from diagnosis.commands import shorten
from diagnosis.control_plane_doubts import frozen_doubt
from diagnosis.one_namespace import not_there, only_part
from playbooks.commands import Target, offered
from situation.clock import duration_text, moment_text
from situation.findings import Command, Diagnosis, Evidence, Finding, LayerState, LayerStatus, Severity
from situation.kinds import BY_NAME
from situation.meta import Ref
from situation.readings import Source, SourceState
from situation.server_clock import correction_text
from situation.situation import Situation
from situation.text import harmless
from widgets.families import Family, fold_families
from widgets.glyphs import FINE, MARK, PARTLY, PARTLY_WORD, SEVERITY, UNKNOWN, is_partly_judged

JSON_VERSION: Final = 1
"""Version of the JSON's shape; grows when a field changes its meaning or goes away."""

_OF_API_SERVER: Final = frozenset({"control-plane/livez", "control-plane/metrics"})
"""Answered by the API server as its objects are: silent with them, for the same reason."""
_EVIDENCE_SHOWN: Final = 4
_EVIDENCE_LENGTH: Final = 200
"""Characters; the JSON has every line in full."""
_SILENT: Final = (SourceState.UNREACHABLE, SourceState.FORBIDDEN, SourceState.UNAUTHORIZED, SourceState.STARTING)
_CONSEQUENCES_SHOWN: Final = 6
_COMMANDS_SHOWN: Final = 2
_NAMES_SHOWN: Final = 8
_ERRORS_SHOWN: Final = 3
"""Different errors of one state: of more of them one stands for all."""


class Report:
    """One diagnosis with all that is needed to print it."""

    def __init__(
        self,
        situation: Situation,
        diagnosis: Diagnosis,
        target: Target,
        now: datetime,
        notes: tuple[str, ...] = (),
        asked: tuple[str, ...] = (),
    ) -> None:
        """`notes`: what people must know before they believe the rest, for example that a tape is cut off.

        `asked`: sources that somebody named. Where one does not answer, or in part, nothing found does not mean nothing
        wrong.
        """
        self._situation = situation
        self._diagnosis = diagnosis
        self._target = target
        self._now = now
        clock = correction_text(situation)
        of_clock = (f"{clock}: times and ages are told by the API server's",) if clock else ()
        self._notes = (*(harmless(note) for note in notes), *of_clock)
        sources = map(situation.source, asked)
        self._silent = [source for source in sources if source.state in _SILENT or source.error]

    @property
    def exit_code(self) -> int:
        """0 nothing wrong, 1 warnings, 2 critical, 3 could not tell (habit of monitoring plugins)."""
        severities = {cause.severity for cause in self._diagnosis.causes}
        if Severity.CRITICAL in severities:
            return 2
        if Severity.WARNING in severities:
            return 1
        unknown = any(layer.status is LayerState.UNKNOWN for layer in self._diagnosis.layers)
        return 3 if unknown or self._silent else 0

    def text(self) -> Iterator[str]:
        """Yield the lines of the text report: causes first, evidence and next command under each."""
        version = f" · {self._situation.version.git_version}" if self._situation.version else ""
        where = harmless(self._target.context) or "no context"
        if self._target.limited_to:
            where += f" · only namespace {self._target.limited_to}"
        yield f"midwatch · {where}{version} · {self._now.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
        yield "layers: " + " · ".join(_layer_text(layer) for layer in self._diagnosis.layers)
        yield from (f"note: {note}" for note in self._notes)
        yield from (f"not answered: {source.name}: {source.error or 'not read yet'}" for source in self._silent)
        if not self._diagnosis.causes:
            yield ""
            yield self._nothing()
        folded = fold_families(self._diagnosis.causes)
        for cause in folded.listed:
            yield ""
            yield from self._cause_text(cause)
        for family in folded.families:
            yield ""
            yield from _family_text(family)
        yield from self._doubts()

    @property
    def _one_reason(self) -> str:
        """Why no layer could be judged, if that is the same for all; else empty."""
        reasons = {layer.reason for layer in self._diagnosis.layers}
        unknown = all(layer.status is LayerState.UNKNOWN for layer in self._diagnosis.layers)
        return reasons.pop() if unknown and len(reasons) == 1 else ""

    def _nothing(self) -> str:
        if self._one_reason:
            return f"could not tell: {self._one_reason}"
        unknown = [layer for layer in self._diagnosis.layers if layer.status is LayerState.UNKNOWN]
        if unknown:
            return f"nothing found, but could not tell for: {', '.join(layer.layer.title for layer in unknown)}"
        if self._silent:
            names = ", ".join(source.name for source in self._silent)
            return f"nothing found, but could not tell for what was asked by name: {names}"
        return "nothing wrong found"

    def _cause_text(self, cause: Finding) -> Iterator[str]:
        count = f" ×{cause.count}" if cause.count > 1 else ""
        age = f" (as of {moment_text(cause.as_of, self._now)} UTC)" if cause.as_of else ""
        yield f"{SEVERITY[cause.severity]} L{cause.layer} {cause.title}{count}{age}"
        about = [cause.severity.value, cause.rule, str(cause.subject) if cause.subject.name else "whole cluster"]
        yield "    " + " · ".join(about + [cause.node] * bool(cause.node and cause.subject.name != cause.node))
        for line in cause.evidence[:_EVIDENCE_SHOWN]:
            yield f"    {MARK[line.mark]} {shorten(line.text, _EVIDENCE_LENGTH)}{self._age_note(line)}"
        for consequence in cause.consequences[:_CONSEQUENCES_SHOWN]:
            times = f" ×{consequence.count}" if consequence.count > 1 else ""
            yield f"    └ follows: {consequence.title}{times}"
        if rest := cause.consequences[_CONSEQUENCES_SHOWN:]:
            yield f"    └ follows: {len(rest)} more ({sum(item.count for item in rest)} objects)"
        for number, (command, line_text) in enumerate(offered(cause.next, self._target)[:_COMMANDS_SHOWN]):
            label = "next" if number == 0 else "then"
            yield f"    {label}: {_command_note(command)}"
            yield f"      {line_text}"

    def _age_note(self, evidence: Evidence) -> str:
        age = self._age_s(evidence)
        return "" if age is None or evidence.observed_at is None else f" ({duration_text(age)} ago)"

    def _doubts(self) -> Iterator[str]:
        """Yield what could not be read, or judged. A reason that many sources share is told once."""
        doubtful = [layer for layer in self._diagnosis.layers if layer.reason]
        layers = [f"{layer.layer.value} {layer.layer.title}" for layer in doubtful]
        lines = [*not_there(self._situation, self._now), *only_part(self._situation)]
        lines += frozen_doubt(self._situation, self._now)
        lines += [line for sources in self._read_sources() for line in doubt_lines(sources, self._now)]
        lines += dict.fromkeys(layer.fault for layer in doubtful if layer.fault)
        lines = lines or [f"{layer.layer.title}: {layer.reason}" for layer in doubtful]
        if layers and not self._one_reason:
            yield ""
            yield f"not judged in full: {', '.join(layers)}"
            yield from (f"  {line}" for line in lines)

    def _read_sources(self) -> tuple[list[Source], list[Source]]:
        """Return the sources that the API server answers, and those that are read beside it.

        What most clusters do without, and what a host or a server does not have, is not missed where it is absent.
        """
        sources = self._situation.sources.values()
        api = [source for source in sources if source.name.startswith("kubernetes/") or source.name in _OF_API_SERVER]
        beside = (source for source in sources if source.name.startswith(("etcd/", "control-plane/", "vllm/")))
        direct = [source for source in beside if source.name not in _OF_API_SERVER]
        return (
            [source for source in api if source.state is not SourceState.ABSENT or not _is_optional(source)],
            [source for source in direct if source.state is not SourceState.ABSENT],
        )

    def _age_s(self, evidence: Evidence) -> float | None:
        observed = evidence.observed_at or self._situation.source(evidence.source).observed_at
        return None if observed is None else max(0.0, round((self._now - observed).total_seconds(), 1))

    def json(self) -> dict[str, Any]:
        """Return the report as plain data, in the shape that README documents."""
        version = self._situation.version
        return {
            "version": JSON_VERSION,
            "context": harmless(self._target.context),
            "namespace": self._target.limited_to or None,
            "server": version.git_version if version else None,
            "observed_at": self._now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "notes": list(self._notes),
            "layers": [
                {
                    "layer": int(layer.layer),
                    "name": layer.layer.title,
                    "status": layer.status.value,
                    "reason": layer.reason or None,
                }
                for layer in self._diagnosis.layers
            ],
            "causes": [self._cause_json(cause) for cause in self._diagnosis.causes],
            "sources": [self._source_json(source) for source in sorted(self._situation.sources.values(), key=_by_name)],
        }

    def _cause_json(self, cause: Finding) -> dict[str, Any]:
        return {
            **_finding_json(cause),
            "as_of": cause.as_of.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if cause.as_of else None,
            "evidence": [
                {"text": line.text, "source": line.source, "mark": line.mark.value, "age_s": self._age_s(line)}
                for line in cause.evidence
            ],
            "next": [
                {"command": text, "purpose": command.purpose, "effect": command.effect.value, "where": command.where}
                for command, text in offered(cause.next, self._target)
            ],
            "consequences": [_finding_json(consequence) for consequence in cause.consequences],
        }

    def _source_json(self, source: Source) -> dict[str, Any]:
        state = source.state_at(self._now)
        age = source.age_s(self._now)
        return {
            "name": source.name,
            "state": state.value,
            "age_s": None if age is None else round(age, 1),
            "error": source.error or None,
            "skipped": source.skipped,
        }


def _is_optional(source: Source) -> bool:
    """Tell whether most clusters do without, or what it reads is extra."""
    kind = BY_NAME.get(_short(source))
    return source.name in _OF_API_SERVER or (kind is not None and kind.optional)


def doubt_lines(sources: Collection[Source], now: datetime) -> Iterator[str]:
    """Yield one line for each reason why sources are not live or not complete, with the names of those it holds for."""
    by_reason: defaultdict[str, list[str]] = defaultdict(list)
    by_state: defaultdict[SourceState, list[Source]] = defaultdict(list)
    for source in sources:
        state = source.state_at(now)
        if state is not SourceState.LIVE:
            by_state[state].append(source)
        elif source.skipped:
            by_reason[f"{source.skipped} broken {'object' if source.skipped == 1 else 'objects'} left out"].append(
                _short(source)
            )
        elif source.error:
            by_reason[source.error].append(_short(source))
    for state, doubted in by_state.items():
        errors = dict.fromkeys(source.error for source in doubted)
        # Messages that differ by a name or a URL only would fill the screen: the first stands for all.
        shared = next(iter(errors)) if len(errors) > _ERRORS_SHOWN else ""
        for source in doubted:
            example = f"for example: {shared}" if shared else source.error
            by_reason[f"{state.value} ({example})" if example else state.value].append(_short(source))
    for reason, names in by_reason.items():
        if len(names) == len(sources) > 1:
            yield f"all {len(names)} sources: {reason}"
            continue
        more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
        yield f"{reason}: {', '.join(names[:_NAMES_SHOWN])}{more}" if names[1:] else f"{names[0]}: {reason}"


def _short(source: Source) -> str:
    return source.name.removeprefix("kubernetes/")


def _by_name(source: Source) -> str:
    return source.name


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "signature": finding.signature,
        "layer": int(finding.layer),
        "severity": finding.severity.value,
        "title": finding.title,
        "subject": _subject_json(finding.subject, finding.node),
        "count": finding.count,
    }


def _subject_json(ref: Ref, node: str) -> dict[str, str | None]:
    own = ref.name if ref.kind == "Node" else node
    return {"kind": ref.kind, "namespace": ref.namespace or None, "name": ref.name or None, "node": own or None}


def _command_note(command: Command) -> str:
    effect = "" if command.effect.value == "read" else f" [{command.effect.value}]"
    where = "" if command.where == "here" else f" (on {command.where})"
    return f"{command.purpose}{effect}{where}"


def _family_text(family: Family) -> Iterator[str]:
    """Yield the lines that stand for causes left out: what is pasted into an incident channel has to stay short."""
    first = family.rest[0]
    follow = f", {family.explains} more follow" if family.explains else ""
    yield f"{SEVERITY[first.severity]} L{first.layer} and {family.text} ×{family.count}{follow}"
    yield f"    {first.severity.value} · {family.key.rule} · left out here; `-o json` has them all, with their commands"


def _layer_text(layer: LayerStatus) -> str:
    name = f"{layer.layer.value} {layer.layer.title}"
    match layer.status:
        case LayerState.OK:
            return f"{name} {PARTLY} {PARTLY_WORD}" if is_partly_judged(layer) else f"{name} {FINE}"
        case LayerState.UNKNOWN:
            return f"{name} {UNKNOWN}"
    glyph = SEVERITY[layer.severity] if layer.severity else "●"
    return f"{name} {glyph} {layer.causes}"
