"""The height that a widget is given in code, as shares of a pane or of the screen change."""

from textual.widget import Widget


def set_height(widget: Widget, lines: int | None) -> None:
    """Give a widget so many lines, None for what its style sheet says; the same again costs no layout."""
    before = widget.styles.inline.height
    if (before.value if before else None) != lines:
        widget.styles.height = lines
