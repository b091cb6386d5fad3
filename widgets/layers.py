"""The strip of five layers: where is it broken?"""

from typing import Final

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from situation.findings import Layer, LayerStatus
from widgets.glyphs import color, layer_glyph

_NAMES: Final = ("Application", "Scheduling", "Network", "Control plane", "Node/GPU")
_SHORT_NAMES: Final = ("App", "Sched", "Network", "Control", "Node")
_WIDE: Final = 100
"""Cells from which the long names fit."""


class LayerStrip(Widget):
    """One line with the state of each layer; a click picks one."""

    DEFAULT_CSS = """
    LayerStrip { height: 1; width: 1fr; background: $surface; }
    """

    statuses: reactive[tuple[LayerStatus, ...]] = reactive(())
    picked: reactive[Layer | None] = reactive(None)

    class LayerPicked(Message):
        """A layer was clicked."""

        def __init__(self, layer: Layer) -> None:
            self.layer = layer
            super().__init__()

    def render(self) -> Content:
        parts: list[tuple[str, str]] = []
        for number, segment in enumerate(layer_segments(self.statuses, self.picked, self.size.width)):
            if number:
                parts.append((" │ ", color("dim")))
            parts.append(segment)
        return Content.assemble(*parts)

    def on_click(self, event: events.Click) -> None:
        start = 0
        for status, (text, _) in zip(
            self.statuses, layer_segments(self.statuses, self.picked, self.size.width), strict=False
        ):
            if start <= event.x < start + cell_len(text):
                self.post_message(self.LayerPicked(status.layer))
                return
            start += cell_len(text) + 3


def layer_segments(layers: tuple[LayerStatus, ...], picked: Layer | None, width: int) -> list[tuple[str, str]]:
    """Return (text, style) for each layer."""
    names = _NAMES if width >= _WIDE else _SHORT_NAMES
    segments = []
    for status in layers:
        glyph, role = layer_glyph(status)
        count = f" {status.causes}" if status.causes else ""
        text = f" {glyph} {status.layer.value} {names[status.layer - 1]}{count} "
        if status.layer is picked:
            style = f"bold $background on $midwatch-{role}"
        else:
            style = color(role, "bold") if status.causes else color(role)
        segments.append((text, style))
    return segments
