"""What the evidence pane shows where there is no proof: withdrawn, the rest of a family, a layer without cause."""

from datetime import datetime
from typing import Final

from diagnosis.layers import doubt
from situation.clock import moment_text
from situation.cluster import Node
from situation.findings import Diagnosis, Finding, LayerState, LayerStatus
from situation.kinds import NAMES_OF
from situation.meta import Ref
from situation.pods import Pod
from situation.selectors import node_status_text, pod_status_text, ready_count
from situation.situation import Situation
from widgets.evidence import Card, CardLine
from widgets.families import Family, FamilyKey
from widgets.glyphs import PARTLY_WORD, SEVERITY, SEVERITY_ROLE, is_partly_judged, layer_glyph

_MEMBERS_SHOWN: Final = 5
"""Objects of a withdrawn finding whose present state is told."""
_CAUSES_SHOWN: Final = 8
"""Causes of a family that its card names: enter lists all of them."""


def withdrawn_card(finding: Finding, at: datetime, situation: Situation, diagnosis: Diagnosis, now: datetime) -> Card:
    """Return the card of a finding that was selected when it was withdrawn: why, and how its objects are now.

    It offers no command: those of the finding are for a fault that is no longer proven.
    """
    refs = finding.members or (finding.subject,)
    lines = [CardLine(text) for ref in refs[:_MEMBERS_SHOWN] if (text := _present_state(ref, situation))]
    if len(refs) > _MEMBERS_SHOWN:
        lines.append(CardLine(f"and {len(refs) - _MEMBERS_SHOWN} more"))
    return Card(
        title=finding.title,
        glyph="·",
        role="dim",
        about=f"{finding.subject if finding.subject.name else 'the whole cluster'} · {finding.rule}",
        notice=_why_withdrawn(finding, f"withdrawn at {moment_text(at, now)} UTC", situation, diagnosis, now),
        lines=(*lines, CardLine("nothing to copy for it: go on to what is proven now")),
    )


def _why_withdrawn(finding: Finding, when: str, situation: Situation, diagnosis: Diagnosis, now: datetime) -> str:
    """Say why, and call nothing recovered that merely cannot be judged, is told otherwise now, or is gone."""
    from diagnosis.catalogue import BY_ID  # all rules: not before the first paint

    rule = BY_ID.get(finding.rule)
    doubts = [text for need in (rule.needs if rule else ()) if (text := doubt(situation.source(need), now))]
    if doubts:
        return f"{when}: it cannot be judged now ({'; '.join(doubts)})"
    for cause in diagnosis.causes:
        for other in (cause, *cause.consequences):
            if other.subject == finding.subject:
                return f"{when}: now it is “{other.title}”"
    if all(_is_gone(ref, situation) for ref in (finding.subject, *finding.members)):
        return f"{when}: {finding.subject} is gone"
    return f"recovered: {when}"


def _is_gone(ref: Ref, situation: Situation) -> bool:
    names = NAMES_OF.get(ref.kind, ())
    if not names or not situation.knows(*names) or situation.get(ref) is not None:
        return False
    return not any(situation.is_unread(name, (ref.namespace, ref.name)) for name in names)


def _present_state(ref: Ref, situation: Situation) -> str:
    """Return the state of a pod or a node in words, that anything is gone, or nothing."""
    item = situation.get(ref)
    if isinstance(item, Pod):
        ready, total = ready_count(item)
        return f"{ref.name} now: {pod_status_text(item)}, {ready} of {total} ready"
    if isinstance(item, Node):
        return f"{ref.name} now: {node_status_text(item)}"
    return f"{ref.name} now: gone" if _is_gone(ref, situation) else ""


def family_card(key: FamilyKey, family: Family | None) -> Card:
    """Return the card of the line that stands for the rest of a family; `family` is None once there is no rest."""
    rest = family.rest if family else ()
    lines = [CardLine(cause.title) for cause in rest[:_CAUSES_SHOWN]]
    if len(rest) > _CAUSES_SHOWN:
        lines.append(CardLine("…"))
    title = f"more of {key.rule}" if family else f"no more of {key.rule} than those listed"
    return Card(
        title=title,
        glyph=SEVERITY[key.severity],
        role=SEVERITY_ROLE[key.severity],
        about=f"{key.severity.value} · {key.rule} · enter lists them or folds them again",
        lines=tuple(lines),
    )


def layer_card(layer: LayerStatus) -> Card:
    """Return the card of a layer in which there is no cause to show."""
    glyph, role = layer_glyph(layer)
    if layer.status is LayerState.UNKNOWN:
        said = "could not tell"
    else:
        said = f"nothing wrong found, judged only {PARTLY_WORD}" if is_partly_judged(layer) else "nothing wrong found"
    lines = (CardLine(layer.reason),) if layer.reason else ()
    return Card(title=f"Layer {layer.layer.value}, {layer.layer.title}: {said}", glyph=glyph, role=role, lines=lines)
