import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.style import Style

from situation.text import harmless
from widgets.columns import LEAST_FLEXIBLE, Cell, Column, Layout, fit, fit_name, lay_out, line

COLUMNS = (
    Column("namespace", 14, priority=3),
    Column("pod", 0),
    Column("ready", 5, priority=1, align="right"),
    Column("status", 20),
    Column("node", 16, priority=5),
)


def shown(width: int) -> list[str]:
    return [COLUMNS[index].title for index, _ in lay_out(COLUMNS, width).shown]


def total(layout: Layout) -> int:
    return sum(width for _, width in layout.shown) + layout.gap * max(0, len(layout.shown) - 1)


def test_the_flexible_column_takes_what_is_left() -> None:
    layout = lay_out(COLUMNS, 100)
    assert [width for _, width in layout.shown] == [14, 100 - 55 - 4, 5, 20, 16]
    assert total(layout) == 100


def test_columns_stand_two_apart_where_there_is_room_for_all() -> None:
    least = 55 + LEAST_FLEXIBLE
    assert lay_out(COLUMNS, least + 8, airy=True).gap == 2
    assert lay_out(COLUMNS, least + 7, airy=True).gap == 1
    assert lay_out(COLUMNS, 200).gap == 1


def test_the_least_important_columns_go_first() -> None:
    assert shown(79) == ["namespace", "pod", "ready", "status", "node"]
    assert shown(78) == ["namespace", "pod", "ready", "status"]
    assert shown(61) == ["pod", "ready", "status"]
    assert shown(46) == ["pod", "status"]
    assert shown(40) == ["pod"]
    assert shown(1) == ["pod"]


def test_a_column_shrinks_before_another_goes_and_grows_back_before_the_flexible_one() -> None:
    columns = (Column("reason", 18, least=16), Column("object", 26, priority=2, least=22), Column("message", 0))
    least = 16 + 22 + LEAST_FLEXIBLE + 2
    assert [index for index, _ in lay_out(columns, least - 1).shown] == [0, 2]
    assert [width for _, width in lay_out(columns, least).shown] == [16, 22, LEAST_FLEXIBLE]
    assert [width for _, width in lay_out(columns, least + 3).shown] == [18, 23, LEAST_FLEXIBLE]
    assert [width for _, width in lay_out(columns, least + 16).shown] == [18, 26, LEAST_FLEXIBLE + 10]


def test_of_two_equals_the_right_one_goes() -> None:
    assert lay_out((Column("a", 10), Column("b", 10)), 15).shown == ((0, 10),)


def test_without_a_flexible_column_the_rest_stays_blank() -> None:
    assert lay_out((Column("a", 10), Column("b", 10)), 50) == Layout(((0, 10), (1, 10)), 1)


def test_nothing_fits_in_nothing() -> None:
    assert lay_out(COLUMNS, 0).shown == ()
    assert lay_out((), 10).shown == ()


@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(0, 5)), max_size=8),
    st.booleans(),
    st.integers(0, 200),
    st.booleans(),
)
def test_columns_never_need_more_than_there_is(
    made: list[tuple[int, int]], flexible: bool, width: int, airy: bool
) -> None:
    columns = [Column("x", cells, priority) for cells, priority in made] + [Column("f", 0)] * flexible
    layout = lay_out(columns, width, airy=airy)
    assert total(layout) <= width
    assert all(cells > 0 for _, cells in layout.shown)
    if columns and width:
        assert layout.shown
    if flexible and any(columns[index].width == 0 for index, _ in layout.shown):
        assert total(layout) == width


@pytest.mark.parametrize(
    ("text", "width", "fitted"),
    [
        ("abc", 5, "abc  "),
        ("abc", 3, "abc"),
        ("abcd", 3, "ab…"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
        ("", 2, "  "),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日 …"),
        ("日本語", 7, "日本語 "),
        ("é", 2, "é "),
        ("[red]x[/]", 9, "[red]x[/]"),
        ("a\nb", 3, "a␊b"),
        ("\033[31m", 5, "␛[31m"),
    ],
)
def test_text_is_fitted_to_cells(text: str, width: int, fitted: str) -> None:
    assert fit(text, width) == fitted


LONG = "llama-3-70b-instruct-predictor-00002-deployment-7d9f8b6c5-8kw6w"


@pytest.mark.parametrize(
    ("name", "width", "fitted"),
    [
        ("web-1", 20, "web-1               "),
        (LONG, 32, "llama-3-70b-ins…-7d9f8b6c5-8kw6w"),
        (LONG, 15, "llama-3-70b-in…"),
        ("日本-" * 12, 20, "日本-日本-日本-日本…"),
        ("internal error in table: it failed", 24, "internal error in table…"),
    ],
)
def test_a_long_name_keeps_both_its_ends(name: str, width: int, fitted: str) -> None:
    assert fit_name(name, width) == fitted


@given(st.text(max_size=60), st.integers(0, 40))
def test_a_fitted_name_has_exactly_the_width(name: str, width: int) -> None:
    assert cell_len(fit_name(name, width)) == width


def test_only_columns_of_names_keep_the_end() -> None:
    columns = (Column("name", 20, keeps_end=True), Column("node", 20))
    ((text, _),) = drawn((LONG, LONG), 41, columns)
    assert text == "llama-3-7…b6c5-8kw6w llama-3-70b-instruc…"


def test_numbers_stand_at_the_right() -> None:
    assert fit("7", 3, "right") == "  7"
    assert fit("12345", 3, "right") == "12…"


@given(st.text(max_size=60), st.integers(0, 40), st.sampled_from(["left", "right"]))
def test_fitted_text_has_exactly_the_width_and_nothing_harmful(text: str, width: int, align: str) -> None:
    fitted = fit(text, width, "left" if align == "left" else "right")
    assert cell_len(fitted) == width
    assert harmless(fitted) == fitted


STYLES = {"": Style(), "critical": Style(color="red"), "dim": Style(color="blue")}


def drawn(cells: tuple[Cell, ...], width: int, columns: tuple[Column, ...]) -> list[tuple[str, Style | None]]:
    layout = lay_out(columns, width)
    return [(text, style) for text, style, _ in line(cells, columns, layout, width, STYLES.__getitem__)]


def test_a_line_has_the_styles_of_its_roles_and_the_full_width() -> None:
    columns = (Column("a", 3), Column("b", 3), Column("c", 3))
    assert drawn((("x", "critical"), "y", ("z", "dim")), 20, columns) == [
        ("x  ", STYLES["critical"]),
        (" y  ", STYLES[""]),
        (" z           ", STYLES["dim"]),
    ]


def test_neighbours_of_one_style_are_sent_together_and_blank_cells_with_their_neighbour() -> None:
    columns = (Column("a", 3), Column("b", 3), Column("c", 3))
    assert drawn((("x", "dim"), ("", "critical"), ("z", "dim")), 11, columns) == [("x       z  ", STYLES["dim"])]


def test_a_table_without_columns_is_blank() -> None:
    assert drawn((), 4, ()) == [("    ", STYLES[""])]
