from situation.gpu.links import Component
from tests.gpu_chains import crashing, fine
from widgets.columns import lay_out
from widgets.gpu_fleet import FleetRow, fleet_cells, fleet_columns

SHOWN = (Component.NFD, Component.DRIVER, Component.TOOLKIT, Component.MPS)


def test_a_node_is_a_line_of_glyphs_and_the_break_in_words() -> None:
    assert fleet_cells(FleetRow(crashing("gpu-07")), SHOWN) == (
        ("gpu-07", "strong"),
        (" ✓", "fine"),
        (" ▲", "critical"),
        (" ◌", "waiting"),
        "",
        ("driver: crashes, exit 1 ×4", "dim"),
    )
    assert fleet_cells(FleetRow(fine("gpu-01")), SHOWN)[-1] == ""


def test_what_does_not_relate_is_dimmed_but_keeps_its_glyphs() -> None:
    cells = fleet_cells(FleetRow(crashing("gpu-07"), dimmed=True), SHOWN)
    assert [cell[0] for cell in cells[1:4]] == [" ✓", " ▲", " ◌"]
    assert {cell[1] for cell in cells if cell} == {"dim"}


def test_where_it_is_narrow_the_seldom_components_go_first() -> None:
    columns = fleet_columns(tuple(Component))
    shown = [columns[index].title for index, _ in lay_out(columns, 50).shown]
    assert shown[0] == "node"
    assert "drv" in shown
    assert "DRA" not in shown
    assert "first that is broken" not in shown
