"""In a window that is too small nothing can be read, but the program goes on, and shows all once there is room."""

from pathlib import Path

import pytest

from tests.tui.cockpits import Cluster, cluster_readings, open_cockpit, screen_text, until
from tests.tui.test_cockpit import incident, screen

SIZES = [(40, 4), (200, 2), (5, 24)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("opened", ["ctrl+p", "C", "l p", "question_mark"])
async def test_paging_in_what_has_no_room_ends_nothing(tmp_path: Path, size: tuple[int, int], opened: str) -> None:
    async with open_cockpit(Cluster(cluster_readings(*incident())), tmp_path, size=(80, 24)) as pilot:
        await pilot.press(*opened.split())
        await pilot.resize_terminal(*size)
        for key in ("down", "pageup", "pagedown", "pageup", "end", "home"):
            await pilot.press(key)
        await pilot.resize_terminal(80, 24)
        assert pilot.app.is_running
        for _ in range(3):
            await pilot.press("escape")
            await pilot.pause()
        assert pilot.app.screen is screen(pilot)
        await until(pilot, lambda: "search cannot pull" in screen_text(pilot))


@pytest.mark.parametrize("size", SIZES)
async def test_the_palette_opens_where_it_has_no_room(tmp_path: Path, size: tuple[int, int]) -> None:
    async with open_cockpit(Cluster(cluster_readings(*incident())), tmp_path, size=size) as pilot:
        await pilot.press("ctrl+p", "pageup", "pagedown", "pageup")
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: "Copy the next command" in screen_text(pilot))
        assert pilot.app.is_running
