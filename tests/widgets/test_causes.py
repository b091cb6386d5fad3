from situation.findings import Finding, Layer, Severity
from situation.meta import Ref
from widgets.causes import CauseRow, cause_cells, cause_rows
from widgets.families import FamilyKey


def finding(
    name: str,
    *consequences: Finding,
    members: int = 1,
    severity: Severity = Severity.CRITICAL,
    rule: str = "crash-loop",
) -> Finding:
    refs = tuple(Ref("Pod", "shop", f"{name}-{n}") for n in range(members))
    ref = Ref("Deployment", "shop", name)
    return Finding(rule, "L1-01", Layer.APPLICATION, severity, ref, f"{name} is broken", (), (), refs, "", consequences)


def lines(*causes: Finding) -> list[list[str]]:
    cells = (cause_cells(row) for row in cause_rows(causes, None))
    return [[cell if isinstance(cell, str) else cell[0] for cell in row] for row in cells]


def test_consequences_stand_below_their_cause_the_last_one_marked() -> None:
    assert lines(finding("a", finding("b"), finding("c", members=3)), finding("d", members=2)) == [
        ["▲", "1", "a is broken", "4 follow"],
        ["", "", "├ b is broken", ""],
        ["", "", "└ c is broken", "×3"],
        ["▲", "1", "d is broken", "×2"],
    ]


def test_many_consequences_are_a_number() -> None:
    many = [finding(f"f{n}", members=2) for n in range(5)]
    drawn = lines(finding("a", *many))
    assert len(drawn) == 5
    assert drawn[-1] == ["", "", "└ and 2 more that follow", "×4"]


def test_keys_are_unique_and_unrelated_causes_are_dimmed() -> None:
    causes = (finding("a", *(finding(f"f{n}") for n in range(5))), finding("b", severity=Severity.WARNING))
    rows = cause_rows(causes, frozenset({causes[1].key}))
    assert len({row.key for row in rows}) == len(rows)
    assert [row.dimmed for row in rows] == [True] * 5 + [False]
    assert cause_cells(rows[0])[2] == ("a is broken", "dim")
    assert cause_cells(rows[-1])[0] == ("●", "warning")


CRASHES = tuple(finding(f"app-{n:02}") for n in range(60))
DEAD_NODE = finding("gpu-07", rule="node-not-ready")
KEY = FamilyKey("crash-loop", Severity.CRITICAL)


def titles(rows: list[CauseRow]) -> list[str]:
    return [cell if isinstance(cell, str) else cell[0] for row in rows for cell in cause_cells(row)[2:3]]


def test_a_dead_node_is_not_pushed_down_by_sixty_crashes() -> None:
    shown = titles(cause_rows((*CRASHES, DEAD_NODE), None))
    names = ", ".join(f"app-{n:02}" for n in range(3, 11))
    assert shown == [
        "app-00 is broken",
        "app-01 is broken",
        "app-02 is broken",
        "gpu-07 is broken",
        f"+ 57 more crash-loop: {names}, …",
    ]


def test_an_open_family_lists_its_causes_below_its_line_and_the_rest_stays_where_it_was() -> None:
    rows = cause_rows((*CRASHES, DEAD_NODE), None, opened=frozenset({KEY}))
    shown = titles(rows)
    assert shown[3] == "gpu-07 is broken"
    assert shown[4].startswith("− 57 more crash-loop")
    assert shown[5:] == [f"app-{n:02} is broken" for n in range(3, 60)]
    assert len({row.key for row in rows}) == len(rows)


def test_what_is_selected_in_a_folded_family_is_listed_in_its_rank() -> None:
    shown = titles(cause_rows((*CRASHES, DEAD_NODE), None, frozenset({CRASHES[41].key})))
    assert shown[3:5] == ["app-41 is broken", "gpu-07 is broken"]
    assert shown[5].startswith("+ 56 more crash-loop")


def test_a_family_line_counts_objects_and_what_follows_and_is_dimmed_with_all_of_its_causes() -> None:
    many = [finding(f"app-{n}", members=2) for n in range(6)]
    assert cause_cells(cause_rows(many, None)[-1])[3] == ("×6", "dim")
    many[4] = finding("app-4", finding("b", members=3, rule="no-endpoints"))
    assert cause_cells(cause_rows(many, None)[-1])[3] == ("3 follow", "dim")
    assert [row.dimmed for row in cause_rows(many, frozenset({many[5].key}))] == [True, True, True, False]
    assert [row.dimmed for row in cause_rows(many, frozenset({many[0].key}))] == [False, True, True, True]


def test_a_selected_consequence_is_listed_though_it_is_beyond_the_third() -> None:
    many = [finding(f"f{n}", members=2) for n in range(6)]
    shown = titles(cause_rows((finding("a", *many),), None, frozenset({many[4].key})))
    assert shown[-2:] == ["├ f4 is broken", "└ and 2 more that follow"]
    shown = titles(cause_rows((finding("a", *many[:4]),), None, frozenset({many[3].key})))
    assert shown[-1] == "└ f3 is broken"


def test_what_was_withdrawn_says_so_without_a_glyph_of_something_wrong() -> None:
    gone = finding("a")
    (row,) = cause_rows((gone,), None, withdrawn=gone.key)
    assert cause_cells(row) == (("·", "dim"), ("1", "dim"), ("withdrawn: a is broken", "dim"), "")
