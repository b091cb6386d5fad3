from pathlib import Path

import pytest

from situation.findings import Layer
from tests.build import node, pod
from tests.tui.cockpits import Cluster, cluster_readings, open_cockpit
from tui.app import Cockpit

NAMESPACES = [
    {"kind": "Namespace", "metadata": {"name": name}, "status": {"phase": "Active"}} for name in ("shop", "[b]not")
]


@pytest.mark.parametrize(("typed", "layer", "namespace"), [("layer 4", 4, ""), ("namespace shop", None, "shop")])
async def test_the_palette_does_what_is_typed(typed: str, layer: int | None, namespace: str, tmp_path: Path) -> None:
    readings = cluster_readings(pod("a"), node("n1"), *NAMESPACES)
    async with open_cockpit(Cluster(readings), tmp_path) as pilot:
        app = pilot.app
        assert isinstance(app, Cockpit)
        await pilot.press("ctrl+p")
        await pilot.press(*(key.replace(" ", "space") for key in typed))
        await pilot.pause(0.5)  # it searches beside the typing
        await pilot.press("down", "enter")
        await pilot.pause()
        attention = app.cockpit.attention
        assert attention.focus.layer == (Layer(layer) if layer else None)
        assert attention.wanted.namespace == namespace


async def test_the_palette_offers_no_name_that_could_be_taken_for_markup(tmp_path: Path) -> None:
    async with open_cockpit(Cluster(cluster_readings(node("n1"), *NAMESPACES)), tmp_path) as pilot:
        titles = [command.title for command in pilot.app.get_system_commands(pilot.app.screen)]
        assert "Namespace shop" in titles
        assert not any("[" in title for title in titles)
        assert {f"Layer {layer.value}: {layer.title}" for layer in Layer} <= set(titles)
