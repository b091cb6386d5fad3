"""The style sheet of a table, and the styles of its lines: looked up in it once, then kept."""

from typing import Final

from rich.style import Style
from textual.widget import Widget

COLORS: Final = ("critical", "warning", "info", "fine", "waiting", "special", "dim", "focus")
ROLES: Final = (*COLORS, "strong")
"""All roles that a cell may have; each is a component class `rowtable--ROLE`."""

CLASSES: Final = {"rowtable--header", "rowtable--empty", "rowtable--cursor", *(f"rowtable--{role}" for role in ROLES)}
"""The component classes of a `RowTable`."""

CSS: Final = """
RowTable {
    height: 1fr;
    width: 1fr;
    background: $background;
    color: $foreground;
    overflow-x: hidden;
    overflow-y: auto;
    scrollbar-size-vertical: 1;
    & > .rowtable--header { color: $midwatch-dim; }
    & > .rowtable--empty { color: $midwatch-waiting; }
    & > .rowtable--cursor {
        color: $block-cursor-blurred-foreground;
        background: $block-cursor-blurred-background;
        text-style: $block-cursor-blurred-text-style;
    }
    &:focus > .rowtable--cursor {
        color: $block-cursor-foreground;
        background: $block-cursor-background;
        text-style: $block-cursor-text-style;
    }
    & > .rowtable--strong { text-style: bold; }
}
""" + "".join(f"RowTable > .rowtable--{role} {{ color: $midwatch-{role}; }}\n" for role in COLORS)
"""The default CSS of a `RowTable`."""


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
