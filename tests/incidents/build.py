"""Findings, diagnoses and logs for the tests of incidents."""

from datetime import datetime, timedelta
from typing import Any

from incidents.entries import Entry, Kind
from situation.findings import Diagnosis, Evidence, Finding, Layer, LayerState, LayerStatus, Severity
from situation.meta import Ref
from tests.build import NOW

POD = Ref("Pod", "shop", "web-1")


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def finding(name: str = "web-1", **over: Any) -> Finding:
    """A critical finding about a pod of that name."""
    fields: dict[str, Any] = {
        "rule": "crash-loop",
        "signature": "L1-01",
        "layer": Layer.APPLICATION,
        "severity": Severity.CRITICAL,
        "subject": Ref("Pod", "shop", name),
        "title": f"{name} crashes",
        "evidence": (Evidence("exit 1", "kubernetes/pods"),),
        "next": (),
    }
    return Finding(**{**fields, **over})


def diagnosis(*causes: Finding, unknown: tuple[Layer, ...] = (), reason: str = "", judged: bool = True) -> Diagnosis:
    statuses = tuple(
        LayerStatus(layer, LayerState.UNKNOWN if layer in unknown else LayerState.OK, reason) for layer in Layer
    )
    return Diagnosis(causes, statuses, judged_at=NOW if judged else None)


def entry(kind: Kind = Kind.NOTE, text: str = "something", seconds: float = 0, **over: Any) -> Entry:
    return Entry(at(seconds), kind, text, **over)


def begun(seconds: float = 0, key: str = "k", severity: Severity = Severity.CRITICAL, **over: Any) -> Entry:
    """A cause that appeared."""
    fields: dict[str, Any] = {"text": "web-1 crashes", "layer": Layer.APPLICATION, "rule": "crash-loop", "subject": POD}
    return Entry(at(seconds), Kind.APPEARED, severity=severity, key=key, **{**fields, **over})
