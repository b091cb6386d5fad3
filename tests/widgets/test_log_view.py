"""The lines of a log: broken to the width of the screen, nothing lost."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult

from situation.text import harmless
from tui.themes import load_themes, variable_defaults
from widgets.log_view import LogRow, LogView, _broken


@given(st.text(max_size=300), st.integers(2, 100))
def test_pieces_fit_and_together_are_the_line(text: str, width: int) -> None:
    line = harmless(text)
    pieces = _broken(line, width)
    assert pieces
    assert all(cell_len(piece) <= width for piece in pieces)
    assert "".join(pieces) == line


def test_a_line_is_broken_at_a_blank_near_its_end_else_anywhere() -> None:
    assert _broken("one two three four", 10) == ["one two ", "three four"]
    assert _broken("x" * 25, 10) == ["x" * 10, "x" * 10, "x" * 5]
    assert _broken("", 10) == [""]


class Shown(App[None]):
    def __init__(self) -> None:
        super().__init__()
        for item in load_themes().themes:
            self.register_theme(item)
        self.theme = "midwatch-dark"

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults(self.current_theme.dark)

    def compose(self) -> ComposeResult:
        yield LogView()


async def test_rows_are_text_times_give_way_and_marks_stand_in_the_margin() -> None:
    app = Shown()
    async with app.run_test(size=(70, 10)) as pilot:
        view = app.query_one(LogView)
        view.show([LogRow("run", part="title"), LogRow("[red]x[/nope]", "02:31:11", mark="mark"), LogRow("y" * 80)])
        await pilot.pause()

        def lines() -> list[str]:
            return ["".join(segment.text for segment in view.render_line(y)).rstrip() for y in range(4)]

        assert lines() == ["  run", "▸ 02:31:11 [red]x[/nope]", "  " + " " * 9 + "y" * 58, "  " + " " * 9 + "y" * 22]
        view.search("YY")
        assert lines()[2].startswith("/ ")
        assert view.hits == 1
        view.search("")
        assert view.hits == 0
        await pilot.resize_terminal(50, 10)
        await pilot.pause()
        assert lines()[1] == "▸ [red]x[/nope]"
        assert not LogView().go_on(1)
