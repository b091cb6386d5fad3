"""Windows in which a list or a text gets no room at all, as where somebody drags a border of tmux. Textual (8.2) ends
the program there: it pages in a list that was never laid out, and breaks text into lines of no cell. Both are private:
they are touched here only, and left alone where they are no more."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from textual.content import Content
from textual.widgets import OptionList

_PAGES: Final = "_move_page"
_WRAPS: Final = "_wrap_and_format"


def survive_without_room() -> None:
    """Let a list without room stay where it is, and text that breaks for want of a cell have one; a second call does
    nothing."""
    _replace(OptionList, _PAGES, _paging)
    _replace(Content, _WRAPS, _wrapping)


def _replace(owner: type, name: str, around: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    method = getattr(owner, name, None)
    if method is not None and not hasattr(method, "__wrapped__"):
        setattr(owner, name, around(method))


def _paging(move_page: Callable[..., None]) -> Callable[..., None]:
    @wraps(move_page)
    def with_room(self: OptionList, *arguments: Any) -> None:
        if self.scrollable_content_region:
            move_page(self, *arguments)

    return with_room


def _wrapping(wrap: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(wrap)
    def in_a_cell(self: Content, width: int, *arguments: Any, **options: Any) -> Any:
        try:
            return wrap(self, width, *arguments, **options)
        except ValueError:
            if width > 0:
                raise
            return wrap(self, 1, *arguments, **options)

    return in_a_cell
