from time import process_time

import msgspec
import pytest
from rich.cells import cell_len

from situation.readings import OwnLoad
from tests.build import NOW
from widgets.header import HeaderFacts, header_line

FACTS = HeaderFacts("prod-h100", "read-only", "v1.36.2", 1000, 10000, OwnLoad(20, 0.25, 17), "", NOW)


@pytest.mark.parametrize("width", range(40, 251))
@pytest.mark.parametrize("problem", ["", "API server unreachable"])
def test_the_line_fills_the_width_and_always_has_cluster_clock_and_problem(width: int, problem: str) -> None:
    line = header_line(msgspec.structs.replace(FACTS, problem=problem), width).plain
    assert cell_len(line) == width
    assert line.startswith(" prod-h100")
    assert line.endswith(" 02:41:07 UTC ")
    assert not problem or width < 50 or "▲ API server unreachable" in line


def test_the_mode_goes_first_then_own_load_then_counts() -> None:
    for width, shown in ((120, 4), (88, 3), (60, 2), (40, 1)):
        line = header_line(FACTS, width).plain
        assert [part in line for part in ("prod-h100", "1 000 nodes 10 000 pods", "17 watches", "read-only")] == [
            number < shown for number in range(4)
        ], width


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        (HeaderFacts(), "connecting … · ? nodes ? pods"),
        (HeaderFacts(""), "no context · ? nodes ? pods"),
        (msgspec.structs.replace(FACTS, nodes=1, pods=1), "1 node 1 pod "),
        (msgspec.structs.replace(FACTS, nodes=0, pods=0), "0 nodes 0 pods"),
        (msgspec.structs.replace(FACTS, nodes=None), "? nodes 10 000 pods"),
        (msgspec.structs.replace(FACTS, load=OwnLoad(throttled=3)), "3 throttled"),
        (FACTS, "0.2 req/s"),
        (msgspec.structs.replace(FACTS, mode="demo · read-only"), "demo · read-only"),
    ],
)
def test_what_is_not_known_is_a_question_mark_not_a_zero(facts: HeaderFacts, said: str) -> None:
    assert said in header_line(facts, 160).plain


def test_a_context_with_markup_is_text() -> None:
    assert "[red]x[/]" in header_line(HeaderFacts("[red]x[/]"), 100).plain


@pytest.mark.parametrize("width", [160, 80, 50])
@pytest.mark.parametrize("log", ["log 12", "log in memory only"])
def test_what_becomes_of_the_log_stays_on_a_narrow_terminal(width: int, log: str) -> None:
    line = header_line(HeaderFacts("prod", nodes=1, pods=2, now=NOW, log=log), width).plain
    assert f" {log} · 02:41:07 UTC" in line
    assert len(line) == width


ARN = "arn:aws:eks:us-east-1:123456789012:cluster/prod-h100-inference-blue"


@pytest.mark.parametrize("width", [80, 100, 160])
@pytest.mark.parametrize("problem", ["", "API server unreachable"])
def test_a_long_name_pushes_out_neither_clock_nor_problem_and_keeps_its_end(width: int, problem: str) -> None:
    clock = "" if problem and width < 100 else "our clock 11m behind"
    line = header_line(
        msgspec.structs.replace(FACTS, context=ARN, problem=problem, log="log 12", clock=clock), width
    ).plain
    assert cell_len(line) == width
    assert line.endswith(f" log 12 ·{f' {clock} ·' if clock else ''} 02:41:07 UTC ")
    assert problem in line
    assert "-blue " in line


def test_a_name_with_room_is_whole() -> None:
    assert ARN in header_line(msgspec.structs.replace(FACTS, context=ARN), 160).plain


def test_of_wide_characters_no_half_is_shown() -> None:
    for width in range(40, 60):
        assert cell_len(header_line(msgspec.structs.replace(FACTS, context="中" * 40), width).plain) == width


@pytest.mark.parametrize("width", [5, 20, 30, 80])
def test_no_name_and_no_width_takes_long(width: int) -> None:
    began = process_time()
    header_line(msgspec.structs.replace(FACTS, context="x" * 75_000, problem="API server unreachable"), width)
    assert process_time() - began < 1
