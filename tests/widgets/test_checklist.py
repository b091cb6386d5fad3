from dataclasses import dataclass

from rich.cells import cell_len

from situation.findings import Effect
from widgets.checklist import ChecklistView, StepView, Way
from widgets.checklist_text import drawn, keys_line

KUBECTL = "kubectl get pods -A -o wide"
STEPS = (
    StepView("a", "Are all pods well?", "broken", "3 of 4 pods are not plainly fine", command=KUBECTL),
    StepView("b", "Crashing?", "fine", "nothing found", mark="ticked", by="ana 02:41", note="seen before"),
    StepView("c", "Slow?", "unknown", "not judged yet", mark="not applicable", by="bo 02:42"),
    StepView(
        "d", "Drain it", template="kubectl drain <node>", missing=("node",), effect=Effect.DISRUPTIVE,
        where="node <node>", look_for="It `empties`.",
        ways=(Way("yes", "Go on.", "step 1", True), Way("no", "Stop.", "DNS")),
    ),
)  # fmt: skip


@dataclass
class Drawn:
    lines: list[str]
    current: list[str]


def draw(current: int, width: int = 60) -> Drawn:
    rows, first, last = drawn(ChecklistView("T", "What it is for.", "Pod web-1", STEPS, current, 2), width, "asdf")
    lines = [row.plain for row in rows]
    return Drawn(lines, lines[first:last])


def test_answers_are_glyph_and_word_ticks_are_boxes_and_only_the_current_step_has_its_command() -> None:
    text = "\n".join(draw(0).lines)
    assert "▸□ ✗ 1 Are all pods well?" in text
    assert "broken: 3 of 4 pods" in text
    assert " ■ ✓ 2 Crashing?" in text
    assert "ticked by ana 02:41" in text
    assert "note: seen before" in text
    assert " – ? 3 Slow?" in text
    assert "does not apply: bo 02:42" in text
    assert "for Pod web-1" in text
    assert KUBECTL in text
    assert KUBECTL not in "\n".join(draw(1).lines)
    assert "<node>" not in text


def test_the_current_step_says_what_it_does_what_it_lacks_and_where_it_leads() -> None:
    text = "\n".join(draw(3).current)
    assert "INTERRUPTS SERVICE" in text
    assert "kubectl drain <node>" in text
    assert "not known: <node> · enter chooses" in text
    assert "It empties." in text
    assert " a ▸yes → step 1: Go on." in text
    assert " s  no → DNS: Stop." in text
    assert "□ ▲ 4 Drain it" in text


def test_nothing_is_wider_than_the_panel() -> None:
    long = StepView("x", "word " * 20, "broken", "evidence " * 30, command="kubectl " + "--flag " * 20,
                    look_for="see " * 30,
                    notes="note " * 30, ways=(Way("yes", "say " * 20, "there"),))  # fmt: skip
    for width in (30, 46, 76):
        rows, _, _ = drawn(ChecklistView("T", "sum " * 20, "", (long, *STEPS), 0), width, "asdf")
        assert all(cell_len(row.plain) <= width for row in rows)


def test_the_keys_fit_on_two_lines_and_begin_with_progress() -> None:
    view = ChecklistView("T", "", "", STEPS, 3, 2, can_return=True)
    lines = keys_line(view, 50, {}).plain.split("\n")
    assert lines[0].startswith("2 of 4 done · enter fill in")
    assert len(lines) == 2
    assert all(cell_len(line) <= 50 for line in lines)
    assert "c copy" not in "\n".join(lines)
