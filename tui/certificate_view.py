"""What the pane of the control plane says of certificates: those that end soon first, the rest in one line."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from diagnosis.certificate_facts import Band, band
from situation.certificates import Certificate
from situation.clock import duration_text
from situation.findings import Severity
from situation.readings import Source, SourceState
from situation.situation import Situation
from widgets.control_plane_facts import ControlPlaneFact
from widgets.glyphs import FINE, SEVERITY, SEVERITY_ROLE, UNKNOWN
from widgets.pane import PaneState, pane_state

_SERVED: Final = "control-plane/certificates"
_FILES: Final = "control-plane/certificate-files"
_SHOWN: Final = 4
"""Certificates with trouble that get a line each."""
_PART: Final = "certificates"
_OPTION: Final = "files are read on a control plane node, as root"

_NO_DATE: Final = datetime.max.replace(tzinfo=UTC)


def certificate_facts(situation: Situation, now: datetime) -> Iterator[ControlPlaneFact]:
    """Yield certificates that are not valid or end soon, as the rules judge, then those not read, then the rest."""
    known = situation.certificates
    sources = [
        source for name in (_SERVED, _FILES) if (source := situation.source(name)).state is not SourceState.STARTING
    ]
    if not known:
        yield _unknown(sources, now)
        return
    soon = sorted((item for item in known if _is_soon(item, now)), key=lambda item: item.not_after or _NO_DATE)
    unread = [item for item in known if item.not_after is None]
    shown = [_urgent(item, situation, now) for item in soon] + [_unread(item, situation, now) for item in unread]
    yield from shown[:_SHOWN]
    if more := shown[_SHOWN:]:
        yield ControlPlaneFact(
            _PART, more[0].glyph, f"and {len(more)} more that end soon or cannot be read", more[0].role
        )
    fine = [item for item in known if item.not_after is not None and not _is_soon(item, now)]
    if fine:
        yield _rest(fine, bool(shown), situation, now)
    yield from _one_missing(known, sources, now)


def _is_soon(item: Certificate, now: datetime) -> bool:
    return band(item, now) not in (None, Band.FINE)


def _urgent(item: Certificate, situation: Situation, now: datetime) -> ControlPlaneFact:
    left = (item.not_after or _NO_DATE) - now
    until = f"{item.not_after or _NO_DATE:%Y-%m-%d %H:%M} UTC"
    found = band(item, now)
    if found is Band.EXPIRED:
        text = f"{_name(item)} EXPIRED {duration_text(-left.total_seconds())} ago, at {until}"
    elif found is Band.NOT_YET:
        text = f"{_name(item)} is not valid before {item.not_before or now:%Y-%m-%d %H:%M} UTC by our clock"
    else:
        text = f"{_name(item)}: {_left(left)} left, until {until}"
    severity = Severity.WARNING if found is Band.SOON else Severity.CRITICAL
    return ControlPlaneFact(_PART, SEVERITY[severity], text, SEVERITY_ROLE[severity], _state(item, situation, now))


def _unread(item: Certificate, situation: Situation, now: datetime) -> ControlPlaneFact:
    why = item.error or "its end is not known"
    place = "" if item.place in why else f"{item.place}: "
    return ControlPlaneFact(_PART, UNKNOWN, f"{_name(item)}: {place}{why}", "warning", _state(item, situation, now))


def _rest(fine: Sequence[Certificate], is_rest: bool, situation: Situation, now: datetime) -> ControlPlaneFact:
    first = min(fine, key=lambda item: item.not_after or _NO_DATE)
    left = _left((first.not_after or _NO_DATE) - now)
    counted = f"{len(fine)} {'others' if len(fine) > 1 else 'other'}" if is_rest else f"{len(fine)} read"
    names = {_source_of(item) for item in fine}
    state = pane_state(*(situation.source(name) for name in sorted(names)), now=now)
    return ControlPlaneFact(_PART, FINE, f"{counted}, first to end: {first.name} in {left}", "fine", state)


def _one_missing(known: Sequence[Certificate], sources: Sequence[Source], now: datetime) -> Iterator[ControlPlaneFact]:
    """Say which way to certificates failed although the other brought some; no files here is no fault."""
    told = {_source_of(item) for item in known}
    for source in sources:
        if source.name not in told and source.error and source.state is not SourceState.ABSENT:
            yield ControlPlaneFact(_PART, UNKNOWN, source.error, "warning", pane_state(source, now=now))


def _unknown(sources: Sequence[Source], now: datetime) -> ControlPlaneFact:
    errors = "; ".join(dict.fromkeys(source.error for source in sources if source.error))
    state = pane_state(*sources, now=now) if sources else PaneState()
    return ControlPlaneFact(_PART, UNKNOWN, f"not known: {errors or 'none was read yet'} ({_OPTION})", "warning", state)


def _name(item: Certificate) -> str:
    """Its name and where it was seen, files without errors by their node only: the name tells which file it is."""
    address = item.place.partition("://")[2] or item.place
    places = [f"at {address}"] if item.is_served else []
    places += [f"on {item.node}"] if item.node else []
    return " ".join((item.name, *places))


def _left(left: timedelta) -> str:
    return f"{left.days} d" if left.days >= 2 else duration_text(left.total_seconds())


def _source_of(item: Certificate) -> str:
    return _SERVED if item.is_served else _FILES


def _state(item: Certificate, situation: Situation, now: datetime) -> PaneState:
    return pane_state(situation.source(_source_of(item)), now=now)
