from rich.cells import cell_len

from widgets.checklist import Step, checklist_content

STEPS = (
    Step("What state are the pods in?", "broken", "3 of 4 pods are not plainly fine", "kubectl get pods -A -o wide"),
    Step("Crashing?", "fine", "nothing found", ticked=True),
    Step("Slow?", "unknown", "not judged yet"),
)


def test_answers_are_glyphs_ticks_are_boxes_and_only_the_current_step_has_its_command() -> None:
    text = checklist_content(STEPS, 0, 60).plain
    assert "▸□ ✗ 1 What state are the pods in?" in text
    assert "    kubectl get pods -A -o wide" in text.replace("      kubectl", "    kubectl")
    assert " ■ ✓ 2 Crashing?" in text
    assert " □ ? 3 Slow?" in text
    assert "1 of 3 ticked" in text
    assert "kubectl" not in checklist_content(STEPS, 1, 60).plain


def test_a_step_without_a_command_says_what_it_needs() -> None:
    assert "no command yet" in checklist_content(STEPS, 2, 60).plain


def test_long_lines_hang_below_their_text_and_stay_inside() -> None:
    long = Step("word " * 20, "fine", "evidence " * 20, "kubectl " + "--flag " * 20)
    lines = checklist_content((long,), 0, 40).plain.splitlines()[:-1]
    assert all(cell_len(line) <= 42 for line in lines)
    assert all(line.startswith("    ") for line in lines[1:] if line)
