"""The styles of a table's lines: looked up in the style sheet once, then kept."""

from typing import Final

from rich.style import Style
from textual.widget import Widget

COLORS: Final = ("critical", "warning", "info", "fine", "waiting", "special", "dim", "focus")
ROLES: Final = (*COLORS, "strong")
"""All roles that a cell may have; each is a component class `rowtable--ROLE`."""


class RowStyles:
    """Gives the style of a role in a line of this sort: `header`, `empty`, `focus` and `blur` (cursor), or ""."""

    def __init__(self, widget: Widget) -> None:
        self._widget = widget
        self._known: dict[tuple[str, str], Style] = {}

    def __call__(self, sort: str, role: str) -> Style:
        style = self._known.get((sort, role))
        if style is None:
            style = self._known[sort, role] = self._make(sort, role)
        return style

    def forget(self) -> None:
        """Look everything up again: the theme changed."""
        self._known.clear()

    def _make(self, sort: str, role: str) -> Style:
        widget = self._widget
        if sort in ("header", "empty"):
            return widget.get_component_rich_style(f"rowtable--{sort}")
        base = widget.get_component_rich_style("rowtable--cursor") if sort else widget.rich_style
        # On the bar of the focused cursor the colours of states would be unreadable in some theme or other.
        if sort == "focus" or role not in ROLES:
            return base
        return base + widget.get_component_rich_style(f"rowtable--{role}", partial=True)
