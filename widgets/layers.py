"""The strip of five layers: where is it broken?"""

from typing import Final, NamedTuple

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.widget import Widget

from situation.findings import Layer, LayerState, LayerStatus
from widgets.glyphs import PARTLY_WORD, color, is_partly_judged, layer_glyph


class _Setting(NamedTuple):
    """One way to set the line: the roomiest that fits is taken."""

    names: tuple[str, str, str, str, str]
    pad: str
    between: str


_SETTINGS: Final = (
    _Setting(("Application", "Scheduling", "Network", "Control plane", "Node/GPU"), " ", " │ "),
    _Setting(("App", "Sched", "Network", "Control", "Node"), " ", " │ "),
    _Setting(("App", "Sched", "Network", "Control", "Node"), "", " │ "),
    _Setting(("App", "Sched", "Net", "Ctrl", "Node"), "", "│"),
)


NOTHING_READ: Final = tuple(LayerStatus(layer, LayerState.UNKNOWN, "not read yet") for layer in Layer)
"""Until the first judgement: what is not known is said to be, not left out."""


class LayerStrip(Widget):
    """One line with the state of each layer; a click picks one."""

    DEFAULT_CSS = """
    LayerStrip { height: 1; width: 1fr; background: $surface; }
    """

    statuses: reactive[tuple[LayerStatus, ...]] = reactive(NOTHING_READ)
    picked: reactive[Layer | None] = reactive(None)

    class LayerPicked(Message):
        """A layer was clicked."""

        def __init__(self, layer: Layer) -> None:
            self.layer = layer
            super().__init__()

    def render(self) -> Content:
        parts: list[tuple[str, str]] = []
        segments, between = layer_segments(self.statuses, self.picked, self.size.width)
        for number, segment in enumerate(segments):
            if number:
                parts.append((between, color("dim")))
            parts.append(segment)
        return Content.assemble(*parts)

    def on_click(self, event: events.Click) -> None:
        start = 0
        segments, between = layer_segments(self.statuses, self.picked, self.size.width)
        for status, (text, _) in zip(self.statuses, segments, strict=True):
            if start <= event.x < start + cell_len(text):
                self.post_message(self.LayerPicked(status.layer))
                return
            start += cell_len(text) + len(between)


def layer_segments(
    layers: tuple[LayerStatus, ...], picked: Layer | None, width: int
) -> tuple[list[tuple[str, str]], str]:
    """Return (text, style) for each layer, and what stands between them; names and blanks give way first."""
    for setting in _SETTINGS:
        texts = [_text(status, setting) for status in layers]
        if sum(map(cell_len, texts)) + len(setting.between) * (len(texts) - 1) <= width:
            break
    styles = (_style(status, picked=status.layer is picked) for status in layers)
    return list(zip(texts, styles, strict=True)), setting.between


def _text(status: LayerStatus, setting: _Setting) -> str:
    glyph, _ = layer_glyph(status)
    count = f" {status.causes}" if status.causes else ""
    partly = f" {PARTLY_WORD}" if is_partly_judged(status) else ""
    return f"{setting.pad}{glyph} {status.layer.value} {setting.names[status.layer - 1]}{count}{partly}{setting.pad}"


def _style(status: LayerStatus, *, picked: bool) -> str:
    _, role = layer_glyph(status)
    if picked:
        return f"bold $background on $midwatch-{role}"
    return color(role, "bold") if status.causes else color(role)
