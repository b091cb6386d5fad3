"""The line of keys stays as it is while the same keys are to be shown."""

from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widget import Widget
from textual.widgets._footer import FooterKey

from widgets.key_hints import KeyHints


class _Part(Widget, can_focus=True):
    """Something to focus."""


class _Part2(_Part):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("x", "app.bell", "More", id="more")]


class _Keys(App[None]):
    BINDINGS: ClassVar[list[BindingType]] = [Binding("c", "bell", "Copy", id="copy")]

    def compose(self) -> ComposeResult:
        yield _Part(id="first")
        yield _Part(id="second")
        yield _Part2(id="other")
        yield KeyHints()

    @property
    def hints(self) -> list[FooterKey]:
        return list(self.query(FooterKey))

    @property
    def said(self) -> list[str]:
        return [f"{hint.key_display} {hint.description}" for hint in self.hints]


async def test_a_focus_that_moves_between_like_parts_leaves_the_line_alone() -> None:
    app = _Keys()
    async with app.run_test() as pilot:
        app.query_one("#first").focus()
        await pilot.pause()
        before = app.hints
        app.query_one("#second").focus()
        await pilot.pause()
        assert app.said == ["c Copy"]
        assert app.hints == before, "the same widgets"


async def test_other_keys_are_shown_and_taken_away() -> None:
    app = _Keys()
    async with app.run_test() as pilot:
        app.query_one("#other").focus()
        await pilot.pause()
        assert app.said == ["x More", "c Copy"]
        app.query_one("#first").focus()
        await pilot.pause()
        assert app.said == ["c Copy"]


async def test_a_remapped_key_is_shown_at_once() -> None:
    app = _Keys()
    async with app.run_test() as pilot:
        await pilot.pause()
        app.update_keymap({"copy": "y"})
        app.screen.refresh_bindings()
        await pilot.pause()
        assert app.said == ["y Copy"]
