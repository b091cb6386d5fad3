"""What `check` prints: text for people, JSON in the shape that programs rely on."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from playbooks.commands import Target
from situation.findings import (
    Command,
    Diagnosis,
    Evidence,
    Finding,
    Layer,
    LayerState,
    LayerStatus,
    Mark,
    Severity,
)
from situation.meta import CLUSTER, Ref
from situation.readings import Reading, SourceState
from situation.situation import Situation
from tests.build import NOW
from tui.report import Report, doubt_lines

TEXT = str
NUMBER = (int, float)
SHAPE: dict[str, Any] = {
    "version": int,
    "context": TEXT,
    "server": (TEXT, type(None)),
    "observed_at": TEXT,
    "layers": [{"layer": int, "name": TEXT, "status": TEXT, "reason": (TEXT, type(None))}],
    "causes": [
        {
            "rule": TEXT,
            "layer": int,
            "severity": TEXT,
            "title": TEXT,
            "subject": {
                "kind": TEXT,
                "namespace": (TEXT, type(None)),
                "name": (TEXT, type(None)),
                "node": (TEXT, type(None)),
            },
            "evidence": [{"text": TEXT, "source": TEXT, "age_s": (*NUMBER, type(None))}],
            "next": [{"command": TEXT, "purpose": TEXT, "effect": TEXT, "where": TEXT}],
            "consequences": [
                {"rule": TEXT, "layer": int, "severity": TEXT, "title": TEXT, "subject": {"kind": TEXT}, "count": int}
            ],
        }
    ],
    "sources": [{"name": TEXT, "state": TEXT, "age_s": (*NUMBER, type(None)), "error": (TEXT, type(None))}],
}
"""The documented fields; more are allowed."""


def fits(value: Any, shape: Any) -> None:
    """Fail unless `value` has at least the fields of `shape`, of these types."""
    if isinstance(shape, dict):
        assert isinstance(value, dict)
        for key, inner in shape.items():
            assert key in value, key
            fits(value[key], inner)
    elif isinstance(shape, list):
        assert isinstance(value, list)
        for item in value:
            fits(item, shape[0])
    else:
        assert isinstance(value, shape), (value, shape)


def finding(**fields: Any) -> Finding:
    made: dict[str, Any] = {
        "rule": "crash-loop",
        "signature": "L1-01",
        "layer": Layer.APPLICATION,
        "severity": Severity.CRITICAL,
        "subject": Ref("Deployment", "shop", "checkout"),
        "title": "checkout crashes: exit 1",
        "evidence": (Evidence("exit 1, 3 restarts", "kubernetes/pods", NOW - timedelta(seconds=2)),),
        "next": (Command(("kubectl", "logs", "checkout-1", "--previous"), "why did it end?", "shop"),),
    }
    return Finding(**{**made, **fields})


def layers(*states: LayerState, reason: str = "") -> tuple[LayerStatus, ...]:
    wanted = states or (LayerState.OK,) * 5
    return tuple(LayerStatus(layer, state, reason) for layer, state in zip(Layer, wanted, strict=True))


def situation_with(*readings: Reading) -> Situation:
    made = Situation()
    for reading in readings:
        made.apply(reading)
    return made


def report(*causes: Finding, of_layers: tuple[LayerStatus, ...] = (), readings: tuple[Reading, ...] = ()) -> Report:
    diagnosis = Diagnosis(causes, of_layers or layers())
    return Report(situation_with(*readings), diagnosis, Target(context="prod-h100"), NOW)


def test_the_json_has_the_documented_shape() -> None:
    consequence = finding(rule="no-endpoints", layer=Layer.NETWORK, subject=Ref("Service", "shop", "checkout"))
    forbidden = Reading("kubernetes/nodes", SourceState.FORBIDDEN, NOW, error="cannot list nodes")
    live = Reading("kubernetes/pods", SourceState.LIVE, NOW - timedelta(seconds=0.4))
    made = report(finding(consequences=(consequence,)), finding(subject=CLUSTER), readings=(forbidden, live)).json()
    fits(made, SHAPE)
    assert made["version"] == 1
    assert made["observed_at"] == "2026-11-23T02:41:07Z"
    assert made["context"] == "prod-h100"
    assert [layer["layer"] for layer in made["layers"]] == [1, 2, 3, 4, 5]
    cause = made["causes"][0]
    assert cause["subject"] == {"kind": "Deployment", "namespace": "shop", "name": "checkout", "node": None}
    assert cause["evidence"][0]["age_s"] == 2.0
    assert cause["next"][0]["command"] == "kubectl --context prod-h100 -n shop logs checkout-1 --previous"
    assert cause["consequences"][0]["rule"] == "no-endpoints"
    assert made["sources"] == [
        {"name": "kubernetes/nodes", "state": "forbidden", "age_s": None, "error": "cannot list nodes", "skipped": 0},
        {"name": "kubernetes/pods", "state": "live", "age_s": 0.4, "error": None, "skipped": 0},
    ]


@pytest.mark.parametrize(
    ("severities", "states", "code"),
    [
        ((), (LayerState.OK,) * 5, 0),
        ((Severity.INFO,), (LayerState.OK,) * 5, 0),
        ((Severity.WARNING,), (LayerState.OK,) * 5, 1),
        ((Severity.WARNING, Severity.CRITICAL), (LayerState.OK,) * 5, 2),
        ((), (*(LayerState.OK,) * 4, LayerState.UNKNOWN), 3),
        ((Severity.INFO,), (LayerState.UNKNOWN,) * 5, 3),
        ((Severity.WARNING,), (LayerState.UNKNOWN,) * 5, 1),
    ],
)
def test_exit_codes(severities: tuple[Severity, ...], states: tuple[LayerState, ...], code: int) -> None:
    assert report(*(finding(severity=item) for item in severities), of_layers=layers(*states)).exit_code == code


def test_the_text_has_cause_evidence_and_next_command_in_this_order() -> None:
    lines = list(report(finding(members=(Ref("Pod", "shop", "a"), Ref("Pod", "shop", "b")), node="node-1")).text())
    assert lines[0] == "midwatch · prod-h100 · 2026-11-23 02:41:07 UTC"
    assert lines[3:] == [
        "▲ L1 checkout crashes: exit 1 ×2",
        "    critical · crash-loop · Deployment/shop/checkout · node-1",
        "    ✗ exit 1, 3 restarts (2s ago)",
        "    next: why did it end?",
        "      kubectl --context prod-h100 -n shop logs checkout-1 --previous",
    ]


def test_long_evidence_is_cut_in_the_text_and_whole_in_the_json() -> None:
    long = "x" * 1000
    made = report(finding(evidence=(Evidence(long, "kubernetes/events", mark=Mark.OPEN),)))
    assert max(len(line) for line in made.text()) < 220
    assert made.json()["causes"][0]["evidence"][0]["text"] == long


def test_many_consequences_end_in_a_sum() -> None:
    many = tuple(finding(subject=Ref("Pod", "shop", f"p{n}"), title=f"p{n} waits") for n in range(10))
    lines = [line for line in report(finding(consequences=many)).text() if "follows" in line]
    assert len(lines) == 7
    assert lines[-1] == "    └ follows: 4 more (4 objects)"


def test_a_big_family_is_three_causes_and_a_line_after_all_else_while_the_json_is_complete() -> None:
    crashes = [
        finding(subject=Ref("Deployment", "shop", f"app-{n:02}"), title=f"app-{n:02} crashes") for n in range(60)
    ]
    made = report(*crashes, finding(rule="node-not-ready", subject=Ref("Node", "", "gpu-07"), title="gpu-07 is dead"))
    titles = [line for line in made.text() if line.startswith("▲")]
    assert titles == [
        "▲ L1 app-00 crashes",
        "▲ L1 app-01 crashes",
        "▲ L1 app-02 crashes",
        "▲ L1 gpu-07 is dead",
        "▲ L1 and 57 more crash-loop: app-03, app-04, app-05, app-06, app-07, app-08, app-09, app-10, … ×57",
    ]
    assert "    critical · crash-loop · left out here; `-o json` has them all, with their commands" in list(made.text())
    assert len(list(made.text())) < 40
    assert len(made.json()["causes"]) == 61


def test_the_cluster_as_a_subject_reads_as_words() -> None:
    assert "    critical · crash-loop · whole cluster" in list(report(finding(subject=CLUSTER)).text())


def test_nothing_found_differs_from_could_not_tell() -> None:
    assert "nothing wrong found" in list(report().text())
    partly = layers(*(LayerState.OK,) * 4, LayerState.UNKNOWN)
    assert "nothing found, but could not tell for: node and GPU" in list(report(of_layers=partly).text())
    blind = layers(*(LayerState.UNKNOWN,) * 5, reason="exec plugin failed")
    assert list(report(of_layers=blind).text())[-1] == "could not tell: exec plugin failed"


def test_a_layer_that_is_judged_in_part_is_not_printed_as_fine() -> None:
    partly = (*layers()[:4], LayerStatus(Layer.NODE, LayerState.OK, "leases: forbidden"))
    line = list(report(of_layers=partly).text())[1]
    assert line.endswith("4 control plane ✓ · 5 node and GPU ◐ partly")


def test_why_a_layer_is_judged_in_part_is_said_also_where_all_was_read() -> None:
    once = "load of model servers: measured once, a rate needs two"
    partly = (LayerStatus(Layer.APPLICATION, LayerState.OK, once), *layers()[1:])
    assert list(report(of_layers=partly).text())[-2:] == ["not judged in full: 1 application", f"  application: {once}"]


def test_an_error_of_ours_is_said_beside_what_was_not_read() -> None:
    fault = "internal error in image-pull: TypeError: x (see the log)"
    broken = (LayerStatus(Layer.APPLICATION, LayerState.UNKNOWN, f"{fault}; leases: forbidden", fault=fault),)
    forbidden = Reading("kubernetes/leases", SourceState.FORBIDDEN, NOW, error="no")
    text = list(report(of_layers=(*broken, *layers()[1:]), readings=(forbidden,)).text())
    assert text[-3:] == ["not judged in full: 1 application", "  leases: forbidden (no)", f"  {fault}"]


def test_a_reason_that_many_sources_share_is_told_once() -> None:
    down = [Reading(f"kubernetes/{n}", SourceState.UNREACHABLE, NOW, error="refused") for n in ("pods", "nodes")]
    assert list(doubt_lines(situation_with(*down).sources.values(), NOW)) == ["all 2 sources: unreachable (refused)"]
    names = ("a", "b", "c", "d")
    denied = [Reading(f"kubernetes/{n}", SourceState.FORBIDDEN, NOW, error=f"cannot list {n}") for n in names]
    live = Reading("kubernetes/pods", SourceState.LIVE, NOW)
    assert list(doubt_lines(situation_with(*denied, live).sources.values(), NOW)) == [
        "forbidden (for example: cannot list a): a, b, c, d"
    ]


def test_three_different_reasons_are_all_told() -> None:
    said = {"pods": "internal error", "livez": "not what Kubernetes answers", "metrics": "breaks off"}
    down = [Reading(f"kubernetes/{name}", SourceState.UNREACHABLE, NOW, error=error) for name, error in said.items()]
    lines = list(doubt_lines(situation_with(*down).sources.values(), NOW))
    assert sorted(lines) == sorted(f"{name}: unreachable ({error})" for name, error in said.items())


def test_a_source_that_is_polled_says_so_though_it_is_live() -> None:
    polled = "polled every 60 s: cannot watch pods (RBAC: verb watch, resource pods)"
    known = situation_with(Reading("kubernetes/pods", SourceState.LIVE, NOW, error=polled))
    assert list(doubt_lines(known.sources.values(), NOW)) == [f"pods: {polled}"]
    assert Report(known, Diagnosis(), Target(), NOW).json()["sources"][0]["error"] == polled


def test_a_hostile_context_is_shown_as_marks() -> None:
    made = Report(Situation(), Diagnosis((finding(),), layers()), Target(context="a\x1b]0;x\x07"), NOW)
    assert "\x1b" not in "\n".join(made.text())
    assert made.json()["context"] == "a␛]0;x␇"
    assert made.json()["causes"][0]["next"] == []


def test_what_model_servers_did_not_say_is_told() -> None:
    layers = (LayerStatus(Layer.APPLICATION, LayerState.OK, "model servers: 1 of 2 not read (silent)"),)
    known = Situation()
    known.apply(Reading("vllm/servers", SourceState.LIVE, NOW, error="http://x did not answer within 3 s"))
    text = list(Report(known, Diagnosis(layers=layers), Target(), NOW).text())
    assert text[-2:] == ["not judged in full: 1 application", "  vllm/servers: http://x did not answer within 3 s"]


@pytest.mark.parametrize("state", [SourceState.UNAUTHORIZED, SourceState.FORBIDDEN, SourceState.UNREACHABLE])
def test_a_named_source_that_turns_us_away_is_told_also_beside_a_hint(state: SourceState) -> None:
    known = situation_with(Reading("gpu/prometheus", state, NOW, error="401: who are you?"))
    hint = msgspec.structs.replace(finding(), severity=Severity.INFO)
    asked = Report(known, Diagnosis((hint,), ()), Target(), NOW, asked=("gpu/prometheus",))
    assert asked.exit_code == 3
    assert "not answered: gpu/prometheus: 401: who are you?" in list(asked.text())
    assert Report(known, Diagnosis((hint,), ()), Target(), NOW).exit_code == 0


def test_a_named_source_that_answers_in_part_is_no_all_clear() -> None:
    partly = Reading("gpu/dcgm", SourceState.LIVE, NOW, error="http://b:9400/metrics: connection refused")
    asked = Report(situation_with(partly), Diagnosis(), Target(), NOW, asked=("gpu/dcgm",))
    assert asked.exit_code == 3
