"""An incident told again: what adds up from its entries, as Markdown and as JSON."""

import json
from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from incidents.as_json import as_json
from incidents.entries import Entry, Incident, Kind
from incidents.markdown import markdown
from incidents.stories import layer_spells, stories
from situation.findings import Effect, Evidence, Layer, Mark, Severity
from tests.build import NOW
from tests.incidents.build import at, begun, entry

CET = timezone(timedelta(hours=1), "CET")
EVIDENCE = (
    Evidence("exit 1 | <script>", "kubernetes/pods", at(-9)),
    Evidence("not OOMKilled", "kubernetes/pods", mark=Mark.EXCLUDES),
)


def cleared(seconds: float, key: str = "k", **over: object) -> Entry:
    return msgspec.structs.replace(begun(seconds, key), kind=Kind.CLEARED, **over)


def changed(seconds: float, severity: Severity, key: str = "k") -> Entry:
    return msgspec.structs.replace(begun(seconds, key, severity), kind=Kind.CHANGED, way="graver")


def incident(*entries: Entry, **over: object) -> Incident:
    return msgspec.structs.replace(Incident("2026-11-23-0241-prod", "prod", NOW, at(600), entries), **over)


WHOLE = incident(
    entry(Kind.OPENED, "the cockpit was opened", -5, who="anna"),
    begun(evidence=EVIDENCE, follows=("layer 2: cart waits",), times=2),
    entry(Kind.COPIED, "kubectl logs web-1 | grep x", 60, who="ben", way="why? · tmux", effect=Effect.MUTATING),
    entry(Kind.NOTE, "we *think* it is the new image", 70, who="anna"),
    entry(Kind.TICKED, "What state are the pods in?", 80, who="ben", way="3 of 4 are not fine"),
    changed(120, Severity.WARNING),
    cleared(300),
    entry(Kind.CLOSED, "the cockpit was closed", 600, who="anna"),
)


def draft(told: Incident) -> str:
    return "\n".join(markdown(told, at(900), CET, "1.2.3"))


def test_the_draft_tells_everything_in_its_place() -> None:
    text = draft(WHOLE)
    for part in (
        "# Incident 2026-11-23-0241-prod",
        "Draft made by Midwatch 1.2.3 on 2026-11-23 02:56 UTC",
        "| **Began** | 2026-11-23 02:41:07 UTC (03:41:07 CET) |",
        "| **Lasted** | 10m |",
        "| **Causes** | 1, of which 0 still stood at the end of the log |",
        "| **People** | anna, ben |",
        "The only cause, *web-1 crashes* on layer 1 (application), appeared at 02:41:07.",
        "1 other finding followed from it.",
        "It had cleared by 02:46:07, 5m after it began.",
        "| 1 application | critical | 02:41:07 | 02:43:07 | 2m | web-1 crashes |",
        "| 1 application | warning | 02:43:07 | 02:46:07 | 3m | web-1 crashes |",
        "- **What:** critical, layer 1 (application), Pod/shop/web-1, rule `crash-loop`",
        "- **When:** from 02:41:07 to 02:46:07 (5m); went away and came back 2 times",
        r"  - exit 1 \| \<script\> _(kubernetes/pods, 02:40:58)_",
        "  - speaks against something else: not OOMKilled _(kubernetes/pods)_",
        "  - layer 2: cart waits",
        "| UTC | CET | Who | What | Which |",
        r"| 02:42:07 | 03:42:07 | ben | copied | `kubectl logs web-1 \| grep x` _(changes the cluster; why? · tmux)_ |",
        "# 02:42:07 ben: changes the cluster; why? · tmux\nkubectl logs web-1 | grep x\n",
        "- 02:42:27 ben: ticked: What state are the pods in? _(3 of 4 are not fine)_",
        r"- 02:42:17 anna: we \*think\* it is the new image",
    ):
        assert part in text, part


def test_tables_have_as_many_cells_in_each_line() -> None:
    rows = [line for line in draft(WHOLE).splitlines() if line.startswith("| 02:")]
    assert len(rows) == len(WHOLE.entries)
    assert {row.replace(r"\|", "").count("|") for row in rows} == {6}


def test_a_log_that_was_not_closed_claims_no_end() -> None:
    text = draft(incident(begun(), entry(seconds=30, who="anna"), ended=None))
    assert "ended without being closed" in text
    assert "It still stood when the log ended." in text
    assert "| 1 application | critical | 02:41:07 | still then | over 30s |" in text
    assert "- **When:** from 02:41:07 and not cleared" in text


def test_a_cause_found_at_start_is_not_said_to_have_begun_then() -> None:
    found = msgspec.structs.replace(begun(), kind=Kind.FOUND)
    text = draft(incident(found))
    assert "was found as watching began (it may be older), at 02:41:07" in text
    assert "- **When:** found as watching began, at 02:41:07" in text
    assert "| found as watching began (critical) |" in text
    assert "at start" not in text


def _section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}")[2].partition("\n## ")[0]


def test_what_was_only_noticed_is_no_cause_and_no_impact() -> None:
    weak = begun(5, "w", Severity.INFO, text="web has no readiness probe", layer=Layer.SCHEDULING, evidence=EVIDENCE)
    text = draft(incident(begun(), cleared(300), weak))
    assert "| **Causes** | 1, of which 0 still stood at the end of the log; 1 weak point noticed besides |" in text
    for section in ("Impact", "Causes", "Summary"):
        assert "web-1 crashes" in _section(text, section)
        assert "web has no readiness probe" not in _section(text, section)
    noticed = _section(text, "Also noticed")
    assert "### web has no readiness probe" in noticed
    assert "not OOMKilled" in noticed
    assert "web-1 crashes" not in noticed


def test_with_nothing_but_weak_points_no_layer_was_affected() -> None:
    text = draft(incident(begun(severity=Severity.INFO)))
    for part in ("no cause was found", "| **Causes** | none; 1 weak point noticed besides |", "No layer was affected."):
        assert part in text, part


def test_a_weak_point_that_grew_to_a_warning_is_a_cause() -> None:
    text = draft(incident(begun(severity=Severity.INFO), changed(60, Severity.WARNING)))
    assert "Also noticed" not in text
    assert "The only cause, *web-1 crashes*" in text


def test_the_impact_names_what_followed_from_each_cause() -> None:
    many = tuple(f"layer 2: pod {number} waits" for number in "abcdefgh")
    impact = _section(
        draft(incident(begun(follows=("layer 3: Service web has no endpoints",)), begun(9, "j", follows=many))),
        "Impact",
    )
    assert "- *web-1 crashes*: layer 3: Service web has no endpoints\n" in impact
    assert "layer 2: pod f waits; and 2 more, told with the cause" in impact
    assert "pod g" not in impact
    assert "What followed" not in _section(draft(incident(begun())), "Impact")


def test_an_incident_without_anything_is_told_too() -> None:
    text = draft(incident())
    for part in ("no cause was found", "No layer was affected.", "No command was copied.", "No note was written."):
        assert part in text


def test_times_have_dates_where_the_incident_passed_midnight() -> None:
    assert "| 2026-11-24 02:41:07 |" in draft(incident(begun(), entry(seconds=86400)))


def test_local_times_are_left_out_where_they_are_the_same() -> None:
    text = "\n".join(markdown(WHOLE, at(900), UTC))
    assert "| UTC | Who | What | Which |" in text


def test_a_cause_that_comes_back_after_its_end_is_another_story() -> None:
    told = stories((begun(), cleared(60), begun(120), changed(150, Severity.WARNING)))
    assert [(story.begun.at, story.ended, story.gravest) for story in told] == [
        (at(0), at(60), Severity.CRITICAL),
        (at(120), None, Severity.CRITICAL),
    ]


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([begun(), cleared(60)], [(0, 60, "critical")]),
        ([begun()], [(0, None, "critical")]),
        (
            [begun(severity=Severity.WARNING), begun(30, "j"), cleared(60, "j"), cleared(90)],
            [(0, 30, "warning"), (30, 60, "critical"), (60, 90, "warning")],
        ),
        ([begun(), cleared(60), begun(120, "j"), cleared(180, "j")], [(0, 60, "critical"), (120, 180, "critical")]),
        ([begun(), begun(30, "j"), cleared(60), cleared(90, "j")], [(0, 90, "critical")]),
        ([begun(), changed(30, Severity.CRITICAL), cleared(60)], [(0, 60, "critical")]),
        (
            [begun(), changed(10, Severity.WARNING), changed(20, Severity.CRITICAL), cleared(60)],
            [(0, 10, "critical"), (10, 20, "warning"), (20, 60, "critical")],
        ),
    ],
)
def test_layers_over_time(entries: list[Entry], expected: list[tuple[float, float | None, str]]) -> None:
    spells = layer_spells(stories(entries))
    assert {spell.layer for spell in spells} == {Layer.APPLICATION}
    assert [(_second(spell.began), _second(spell.ended), spell.severity.value) for spell in spells] == expected


def _second(moment: datetime | None) -> float | None:
    return None if moment is None else (moment - NOW).total_seconds()


def test_json_keeps_apart_what_was_only_noticed() -> None:
    weak = begun(5, "w", Severity.INFO, text="web has no readiness probe", layer=Layer.SCHEDULING)
    data = as_json(incident(begun(), weak))
    assert [item["title"] for item in data["causes"]] == ["web-1 crashes"]
    assert [item["title"] for item in data["noticed"]] == ["web has no readiness probe"]
    assert data["noticed"][0].keys() == data["causes"][0].keys()
    assert [item["name"] for item in data["layers"]] == ["application"]


def test_json_has_its_version_and_is_plain() -> None:
    data = json.loads(json.dumps(as_json(WHOLE)))
    assert data["version"] == 1
    assert data["began"] == "2026-11-23T02:41:07.000Z"
    (cause,) = data["causes"]
    assert cause["subject"] == {"kind": "Pod", "namespace": "shop", "name": "web-1"}
    assert [spell["severity"] for spell in cause["severities"]] == ["critical", "warning"]
    assert cause["evidence"][0] == {
        "text": "exit 1 | <script>",
        "source": "kubernetes/pods",
        "observed_at": "2026-11-23T02:40:58.000Z",
        "mark": "supports",
    }
    assert [item["kind"] for item in data["timeline"]] == [
        "opened", "appeared", "copied", "note", "ticked", "changed", "cleared", "closed"
    ]  # fmt: skip
    assert data["timeline"][2]["effect"] == "mutating"
