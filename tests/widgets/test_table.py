from collections.abc import Sequence
from typing import NamedTuple

import pytest
from textual import events
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.strip import Strip

from tests.tui.colors import contrast
from tui.themes import PLAIN_THEME, load_themes, variable_defaults
from widgets import displacement
from widgets.table import Cell, Column, RowTable

COLUMNS = (Column("name", 0), Column("state", 10, priority=1), Column("n", 4, priority=2, align="right"))


class Item(NamedTuple):
    name: str
    state: str = "Running"
    role: str = ""
    number: int = 0


def cells(item: Item) -> tuple[Cell, ...]:
    return (item.name, (item.state, item.role), str(item.number))


class CountingTable(RowTable[Item]):
    """Counts which lines are drawn again."""

    def __init__(self, *, header: bool = True) -> None:
        super().__init__(COLUMNS, key_of=lambda item: item.name, cells_of=self._counted, header=header)
        self.drawn: list[int] = []
        self.asked: list[str] = []

    def _counted(self, item: Item) -> tuple[Cell, ...]:
        self.asked.append(item.name)
        return cells(item)

    def render_line(self, y: int) -> Strip:
        self.drawn.append(y)
        return super().render_line(y)


class TableApp(App[None]):
    ENABLE_COMMAND_PALETTE = False

    def __init__(self, *, header: bool = True, theme: str = "midwatch-dark") -> None:
        super().__init__()
        for item in load_themes().themes:
            self.register_theme(item)
        self.theme = theme
        self.table = CountingTable(header=header)
        self.told: list[tuple[str, str]] = []
        self.layouts = 0

    def compose(self) -> ComposeResult:
        yield self.table

    def on_mount(self) -> None:
        self.screen.screen_layout_refresh_signal.subscribe(self, lambda _: self._laid_out())
        self.table.focus()

    def _laid_out(self) -> None:
        self.layouts += 1

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults(self.current_theme.dark)

    def on_row_table_row_highlighted(self, event: RowTable.RowHighlighted) -> None:
        self.told.append(("moved" if event.moved else "highlighted", event.key))

    def on_row_table_row_selected(self, event: RowTable.RowSelected) -> None:
        self.told.append(("selected", event.key))

    def lines(self) -> list[str]:
        """Return what stands on the screen, line by line, without the scroll bar."""
        return [
            "".join(segment.text for segment in strip)[: self.table.size.width].rstrip()
            for strip in self.screen._compositor.render_strips()
        ]


def items(count: int, start: int = 0) -> list[Item]:
    return [Item(f"pod-{number:05}", number=number % 100) for number in range(start, start + count)]


async def shown(app: TableApp, pilot: Pilot[None], rows: Sequence[Item]) -> CountingTable:
    app.table.show(rows)
    await settled(app, pilot)
    app.told.clear()
    app.table.drawn.clear()
    app.layouts = 0
    return app.table


async def settled(app: TableApp, pilot: Pilot[None]) -> None:
    """Wait until nothing is laid out any more: a scroll bar that comes changes the width, which lays out once more."""
    before = -1
    while app.layouts != before:
        before = app.layouts
        await pilot.pause(0.05)


async def test_header_rows_and_blank_rest() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 6)) as pilot:
        await shown(app, pilot, [Item("api", "Failed", "critical", 7), Item("web")])
        assert app.lines() == [
            "name                    state          n",
            "api                     Failed         7",
            "web                     Running        0",
            "",
            "",
            "",
        ]


async def test_other_columns_are_laid_out_for_the_width_that_is_there() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 3)) as pilot:
        table = await shown(app, pilot, [Item("api", "Failed")])
        table.show_columns((Column("pod", 0), Column("phase", 8)))
        await settled(app, pilot)
        assert app.lines()[:2] == [f"{'pod':32}phase", f"{'api':32}Failed"]


async def test_which_rows_can_be_seen() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 4)) as pilot:
        table = await shown(app, pilot, items(9))
        assert table.visible_keys == ("pod-00000", "pod-00001", "pod-00002")
        table.action_last()
        assert table.visible_keys == ("pod-00006", "pod-00007", "pod-00008")
        table.display = False
        await pilot.pause()
        assert not table.visible_keys


async def test_without_a_header_the_rows_begin_at_the_top() -> None:
    app = TableApp(header=False)
    async with app.run_test(size=(40, 6)) as pilot:
        table = await shown(app, pilot, [Item("api"), Item("web")])
        assert [line.split() for line in app.lines()[:3]] == [["api", "Running", "0"], ["web", "Running", "0"], []]
        await pilot.click(table, offset=(2, 1))
        assert table.cursor_key == "web"


async def test_an_empty_table_says_why_and_wraps_it() -> None:
    app = TableApp()
    async with app.run_test(size=(30, 6)) as pilot:
        app.table.empty_text = "reading pods ..."
        await pilot.pause()
        assert app.lines()[1] == " reading pods ..."
        app.table.empty_text = "forbidden: cannot list pods in the whole cluster"
        await pilot.pause()
        assert [line.strip() for line in app.lines()[1:3]] == ["forbidden: cannot list pods", "in the whole cluster"]
        await shown(app, pilot, [Item("api")])
        assert app.lines()[1].startswith("api")
        await shown(app, pilot, [])
        assert app.lines()[1] == " forbidden: cannot list pods"
        assert app.table.cursor_key is None
        await pilot.press("j", "enter", "end", "pageup")
        assert app.told == []


async def test_text_is_never_markup_and_never_an_escape_sequence() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 5)) as pilot:
        await shown(
            app,
            pilot,
            [Item("[red]x[/nope]"), Item("\033]52;c;eA==\a"), Item("日本語のとても長い名前のポッドです、もっと長く")],
        )
        lines = app.lines()
        assert lines[1].startswith("[red]x[/nope]")
        assert lines[2].startswith("␛]52;c;eA==␇")
        assert "…" in lines[3]
        assert "Running" in lines[3]


async def test_keys_move_the_cursor_and_the_view_follows() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 11)) as pilot:
        table = await shown(app, pilot, items(100))
        await pilot.press("j", "j", "down", "k")
        assert (table.cursor_row, table.cursor_key) == (2, "pod-00002")
        assert app.told[-1] == ("moved", "pod-00002")
        await pilot.press("pagedown")
        assert table.cursor_row == 12
        assert app.lines()[-1].startswith("pod-00012")
        await pilot.press("end")
        assert table.cursor_row == 99
        assert app.lines()[1].startswith("pod-00090")
        assert app.lines()[10].startswith("pod-00099")
        await pilot.press("j")
        assert table.cursor_row == 99
        await pilot.press("pageup")
        assert table.cursor_row == 89
        assert app.lines()[1].startswith("pod-00089")
        await pilot.press("home", "up")
        assert table.cursor_row == 0
        assert app.lines()[0].startswith("name")
        assert app.lines()[1].startswith("pod-00000")
        app.told.clear()
        await pilot.press("enter")
        assert app.told == [("selected", "pod-00000")]


async def test_bindings_can_be_remapped() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 11)) as pilot:
        table = await shown(app, pilot, items(10))
        app.set_keymap({"table.down": "n"})
        await pilot.press("n")
        assert table.cursor_row == 1
        await pilot.press("j")
        assert table.cursor_row == 1


async def test_a_click_selects_and_the_header_does_not() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 11)) as pilot:
        table = await shown(app, pilot, items(100))
        table.move_to("pod-00050")
        await pilot.pause()
        app.told.clear()
        await pilot.click(table, offset=(3, 0))
        assert app.told == []
        await pilot.click(table, offset=(3, 2))
        assert app.told == [("moved", "pod-00042"), ("selected", "pod-00042")]
        await shown(app, pilot, items(2))
        app.told.clear()
        await pilot.click(table, offset=(3, 7))
        assert app.told == []


async def test_the_wheel_scrolls_and_leaves_the_cursor() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 11)) as pilot:
        table = await shown(app, pilot, items(100))
        x, y = 3, 4
        table.post_message(
            events.MouseScrollDown(
                table, x, y, delta_x=0, delta_y=1, button=0, shift=False, meta=False, ctrl=False, screen_x=x, screen_y=y
            )
        )
        await pilot.pause()
        assert table.scroll_offset.y > 0
        assert table.cursor_row == 0


async def test_enter_is_not_meant_for_the_row_that_just_took_the_place_of_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = [100.0]
    monkeypatch.setattr(displacement, "monotonic", lambda: at[0])
    app = TableApp()
    async with app.run_test(size=(40, 11), notifications=True) as pilot:
        table = await shown(app, pilot, [Item("a"), Item("b"), Item("c")])
        await pilot.press("j")
        table.show([Item("a"), Item("c")])
        await pilot.press("enter")
        assert ("selected", "c") not in app.told
        assert any("took this place" in notice.message for notice in app._notifications)
        await pilot.press("enter")
        assert app.told.pop() == ("selected", "c")
        table.show([Item("a")])
        await pilot.press("j", "enter")
        assert app.told.pop() == ("selected", "a"), "somebody moved, and saw where"
        table.show([Item("d")])
        at[0] += displacement.MEANT_S
        await pilot.press("enter")
        assert app.told.pop() == ("selected", "d"), "there was time to see it"
        table.show([Item("d"), Item("e")])
        table.move_to("e", asked=False)
        await pilot.press("enter")
        assert ("selected", "e") not in app.told
        table.move_to("d", asked=False)
        table.move_to("e")
        await pilot.click(table, offset=(2, 2))
        assert app.told.pop() == ("selected", "e")


async def test_rows_that_change_while_the_keyboard_is_elsewhere_hold_nothing_up() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 11)) as pilot:
        table = await shown(app, pilot, [Item("a"), Item("b")])
        app.screen.set_focus(None)
        await pilot.pause()
        table.show([Item("b")])
        table.focus()
        await pilot.pause()
        await pilot.press("enter")
        assert app.told.pop() == ("selected", "b")


async def test_the_cursor_stays_on_its_key_and_the_view_where_it_is() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 11)) as pilot:
        table = await shown(app, pilot, items(100))
        table.move_to("pod-00050")
        await pilot.pause()
        first = table.scroll_offset.y
        await shown(app, pilot, [Item("new-a"), Item("new-b"), *items(100)])
        assert (table.cursor_key, table.cursor_row) == ("pod-00050", 52)
        assert table.scroll_offset.y == first
        assert app.told == []


async def test_a_row_that_goes_hands_the_cursor_to_the_next() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 11)) as pilot:
        table = await shown(app, pilot, items(5))
        table.move_to("pod-00002")
        await pilot.pause()
        app.told.clear()
        table.show([item for item in items(5) if item.name != "pod-00002"])
        await pilot.pause()
        assert (table.cursor_row, table.cursor_key) == (2, "pod-00003")
        assert app.told == [("highlighted", "pod-00003")]
        table.show(items(1))
        await pilot.pause()
        assert app.told[-1] == ("highlighted", "pod-00000")


async def test_the_first_rows_highlight_the_first_one() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 11)) as pilot:
        app.table.show(items(3))
        await pilot.pause()
        assert app.told == [("highlighted", "pod-00000")]


async def test_the_view_ends_with_the_last_row_when_rows_go() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 11)) as pilot:
        table = await shown(app, pilot, items(100))
        await pilot.press("end")
        await shown(app, pilot, items(50))
        assert app.lines()[10].startswith("pod-00049")
        assert table.cursor_row == 49
        await shown(app, pilot, items(3))
        assert [line[:9] for line in app.lines()[:5]] == ["name     ", "pod-00000", "pod-00001", "pod-00002", ""]
        assert table.scroll_offset.y == 0


async def test_move_to_an_unknown_key() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 11)) as pilot:
        table = await shown(app, pilot, items(10))
        assert not table.move_to("nobody")
        assert table.move_to("pod-00007")
        await pilot.pause()
        assert app.told == [("highlighted", "pod-00007")]


async def test_two_rows_with_one_key_are_refused() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 11)) as pilot:
        await shown(app, pilot, items(3))
        with pytest.raises(ValueError, match="two rows have one key"):
            app.table.show([Item("a"), Item("a")])
        assert app.table.row_count == 3


# What is drawn


async def test_only_lines_that_differ_are_drawn_again() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 11)) as pilot:
        rows = items(1000)
        table = await shown(app, pilot, rows)
        table.show(list(rows))
        await pilot.pause()
        assert table.drawn == []
        rows[4] = rows[4]._replace(state="Failed")
        rows[500] = rows[500]._replace(state="Failed")
        table.show(list(rows))
        await pilot.pause()
        assert table.drawn == [5]
        assert "Failed" in app.lines()[5]


async def test_named_changes_draw_only_what_is_visible_and_really_different() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 11)) as pilot:
        rows = items(1000)
        table = await shown(app, pilot, rows)
        rows[2] = rows[2]._replace(state="Failed")
        rows[700] = rows[700]._replace(state="Failed")
        table.asked.clear()
        table.show(list(rows), {"pod-00002", "pod-00003", "pod-00700", "gone"})
        await pilot.pause()
        assert table.drawn == [3]
        assert set(table.asked) == {"pod-00002", "pod-00003"}
        table.move_to("pod-00700")
        await pilot.pause()
        assert "Failed" in app.lines()[10]


async def test_changes_with_another_number_of_rows_are_taken_as_a_whole() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 11)) as pilot:
        table = await shown(app, pilot, items(10))
        table.show(items(9, start=1), {"pod-00003"})
        await pilot.pause()
        assert app.lines()[1].startswith("pod-00001")
        assert table.row_count == 9


async def test_cells_are_asked_for_visible_rows_only() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 11)) as pilot:
        table = await shown(app, pilot, items(50_000))
        assert len(set(table.asked)) <= 11


async def test_moving_the_cursor_draws_two_lines() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 11)) as pilot:
        table = await shown(app, pilot, items(100))
        await pilot.press("j")
        await pilot.pause()
        assert sorted(table.drawn) == [1, 2]


async def test_the_screen_is_laid_out_again_only_when_the_scroll_bar_comes_or_goes() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 11)) as pilot:
        table = await shown(app, pilot, items(100))
        for count in (101, 250, 99):
            await _show(table, pilot, items(count))
            assert table.vertical_scrollbar.window_virtual_size == count + 1
        assert app.layouts == 0
        await _show(table, pilot, items(5))
        assert app.layouts > 0
        assert not table.show_vertical_scrollbar
        await settled(app, pilot)
        app.layouts = 0
        await _show(table, pilot, items(6))
        assert app.layouts == 0
        await _show(table, pilot, items(11))
        assert table.show_vertical_scrollbar


async def _show(table: CountingTable, pilot: Pilot[None], rows: list[Item]) -> None:
    table.show(rows)
    await pilot.pause()


async def test_a_new_width_draws_all_anew() -> None:
    app = TableApp()
    async with app.run_test(size=(60, 11)) as pilot:
        await shown(app, pilot, items(100))
        await pilot.resize_terminal(30, 8)  # a cell short of the state
        await pilot.pause()
        assert app.lines()[0].split() == ["name"]
        assert app.lines()[7].startswith("pod-00006")


@pytest.mark.parametrize("theme", [item.name for item in load_themes().themes])
async def test_the_cursor_is_seen_and_readable_in_every_theme(theme: str) -> None:
    app = TableApp(theme=theme)
    async with app.run_test(size=(40, 6)) as pilot:
        table = await shown(app, pilot, [Item("a", "Failed", "critical"), Item("b", "Failed", "critical")])
        for focused in (True, False):
            if not focused:
                app.set_focus(None)
                await pilot.pause()
            cursor, other = (table.render_line(y) for y in (1, 2))
            for of_cursor, of_other in zip(cursor, other, strict=False):
                assert of_cursor.style is not None
                assert of_other.style is not None
                if theme == PLAIN_THEME:
                    assert of_cursor.style.reverse
                    assert not of_other.style.reverse
                else:
                    assert of_cursor.style.bgcolor != of_other.style.bgcolor
                    assert of_cursor.style.color is not None
                    assert of_cursor.style.bgcolor is not None
                    front, back = of_cursor.style.color.get_truecolor(), of_cursor.style.bgcolor.get_truecolor()
                    assert contrast(front.hex, back.hex) >= 4.5


async def test_another_theme_is_taken_up_at_once() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 6)) as pilot:
        table = await shown(app, pilot, [Item("a"), Item("b", "Failed", "critical")])
        app.theme = "midwatch-light"
        await pilot.pause()
        style = next(segment.style for segment in table.render_line(2) if "Failed" in segment.text)
        assert style is not None
        assert style.color is not None
        assert style.color.name == app.current_theme.variables["midwatch-critical"]


async def test_a_role_that_does_not_exist_is_drawn_plain() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 6)) as pilot:
        table = await shown(app, pilot, [Item("a"), Item("b", "Odd", "nonsense")])
        assert len({segment.style for segment in table.render_line(2)}) == 1


async def test_rows_that_came_while_the_table_was_hidden_are_there_when_it_is_shown() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 11)) as pilot:
        table = await shown(app, pilot, items(100))
        table.display = False
        await pilot.pause()
        table.show(items(3, start=40))
        await pilot.pause()
        table.display = True
        await pilot.pause()
        assert [line[:9] for line in app.lines()[:5]] == ["name     ", "pod-00040", "pod-00041", "pod-00042", ""]


async def test_the_scroll_bar_covers_no_cell() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 6)) as pilot:
        table = await shown(app, pilot, items(3))
        assert app.lines()[1].rstrip().endswith("0")
        table.show(items(100))
        await pilot.pause()
        assert table.show_vertical_scrollbar
        assert {table.render_line(y).cell_length for y in range(6)} == {39}
        table.show(items(3))
        await pilot.pause()
        assert {table.render_line(y).cell_length for y in range(6)} == {40}


async def test_repaint_sends_only_lines_that_read_different() -> None:
    app = TableApp()
    async with app.run_test(size=(40, 6)) as pilot:
        table = await shown(app, pilot, items(3))
        table.drawn.clear()
        table.repaint()
        await pilot.pause()
        assert table.drawn == []


async def test_rows_that_go_after_the_size_changed_leave_no_line_behind() -> None:
    """The lines were drawn before the table heard of its new size, and it forgets then what it drew."""
    app = TableApp()
    async with app.run_test(size=(40, 12)) as pilot:
        app.table.show([Item(name) for name in "abcde"])
        await pilot.pause()
        app.table.on_resize()
        app.table.show([Item(name) for name in "ab"])
        await pilot.pause()
        assert [line[:1] for line in app.lines()] == ["n", "a", "b", *[""] * 9]
