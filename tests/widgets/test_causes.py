from situation.findings import Finding, Layer, Severity
from situation.meta import Ref
from widgets.causes import cause_cells, cause_rows


def finding(name: str, *consequences: Finding, members: int = 1, severity: Severity = Severity.CRITICAL) -> Finding:
    refs = tuple(Ref("Pod", "shop", f"{name}-{n}") for n in range(members))
    ref = Ref("Deployment", "shop", name)
    return Finding(
        "rule", "L1-01", Layer.APPLICATION, severity, ref, f"{name} is broken", (), (), refs, "", consequences
    )


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
