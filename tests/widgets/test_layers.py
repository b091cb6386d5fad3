import pytest
from rich.cells import cell_len
from textual.app import App, ComposeResult

from situation.findings import Layer, LayerState, LayerStatus, Severity
from tui.themes import variable_defaults
from widgets.layers import LayerStrip, layer_segments
from widgets.tabs import PaneTabs

STATUSES = (
    LayerStatus(Layer.APPLICATION, LayerState.FINDINGS, severity=Severity.CRITICAL, causes=12),
    LayerStatus(Layer.SCHEDULING, LayerState.FINDINGS, severity=Severity.WARNING, causes=1),
    LayerStatus(Layer.NETWORK, LayerState.OK),
    LayerStatus(Layer.CONTROL_PLANE, LayerState.UNKNOWN, "forbidden"),
    LayerStatus(Layer.NODE, LayerState.FINDINGS, severity=Severity.INFO, causes=2),
)


class Strips(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.picked: list[int] = []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults(True)

    def compose(self) -> ComposeResult:
        yield LayerStrip()
        yield PaneTabs()

    def on_mount(self) -> None:
        self.query_one(LayerStrip).statuses = STATUSES
        self.query_one(PaneTabs).names = ("Causes", "Pods", "界")

    def on_layer_strip_layer_picked(self, event: LayerStrip.LayerPicked) -> None:
        self.picked.append(event.layer.value)

    def on_pane_tabs_tab_picked(self, event: PaneTabs.TabPicked) -> None:
        self.picked.append(event.number)


def test_every_state_has_a_glyph_and_a_number_of_causes() -> None:
    assert [text.strip() for text, _ in layer_segments(STATUSES, None, 160)[0]] == [
        "▲ 1 Application 12",
        "● 2 Scheduling 1",
        "✓ 3 Network",
        "? 4 Control plane",
        "○ 5 Node/GPU 2",
    ]
    assert [text.strip() for text, _ in layer_segments(STATUSES, None, 80)[0]][3] == "? 4 Control"


def test_the_picked_layer_looks_different() -> None:
    plain, picked = layer_segments(STATUSES, None, 160)[0], layer_segments(STATUSES, Layer.NETWORK, 160)[0]
    assert [a == b for a, b in zip(plain, picked, strict=True)] == [True, True, False, True, True]


PARTLY = tuple(LayerStatus(layer, LayerState.OK, "quotas: forbidden") for layer in Layer)
LONGEST = (*PARTLY[:4], LayerStatus(Layer.NODE, LayerState.OK, "leases: forbidden", Severity.INFO, 2))


def test_a_layer_that_is_judged_in_part_differs_from_a_fine_one_by_glyph_and_word() -> None:
    statuses = (*STATUSES[:2], PARTLY[2], STATUSES[3], LONGEST[4])
    texts = [text.strip() for text, _ in layer_segments(statuses, None, 160)[0]]
    assert texts[2:] == ["◐ 3 Network partly", "? 4 Control plane", "○ 5 Node/GPU 2 partly"]
    assert "✓" not in "".join(texts)


def test_a_broken_layer_that_is_judged_in_part_stays_broken() -> None:
    broken = LayerStatus(Layer.NETWORK, LayerState.FINDINGS, "leases: forbidden", Severity.CRITICAL, 1)
    assert layer_segments((broken,), None, 80)[0][0][0].strip() == "▲ 3 Network 1"


@pytest.mark.parametrize("statuses", [STATUSES, PARTLY, LONGEST], ids=["mixed", "all in part", "longest"])
def test_the_strip_fits_into_the_narrowest_terminal(statuses: tuple[LayerStatus, ...]) -> None:
    segments, between = layer_segments(statuses, None, 80)
    assert sum(cell_len(text) for text, _ in segments) + len(between) * 4 <= 80


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("statuses", [STATUSES, PARTLY], ids=["mixed", "all in part"])
async def test_a_click_picks_the_layer_under_it_and_nothing_between_or_behind(
    statuses: tuple[LayerStatus, ...], width: int
) -> None:
    app = Strips()
    async with app.run_test(size=(width, 5)) as pilot:
        app.query_one(LayerStrip).statuses = statuses
        start = 0
        segments, between = layer_segments(statuses, None, width)
        for text, _ in segments:
            await pilot.click(LayerStrip, offset=(start, 0))
            await pilot.click(LayerStrip, offset=(start + len(text) - 1, 0))
            await pilot.click(LayerStrip, offset=(min(start + len(text) + len(between) // 2, width - 1), 0))
            start += len(text) + len(between)
        assert app.picked == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
