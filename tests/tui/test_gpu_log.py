"""The last log line of a GPU chain's link: shown once somebody read the log, and never asked for by itself."""

from pathlib import Path

import pytest

from situation.logs import LogTarget
from situation.readings import Changed, Reading, SourceState
from tests.build import NOW, made
from tests.gpu_objects import DRIVER, crashing, gpu_node, operand_pod, operand_sets, operator, waiting_pods
from tests.tui.cockpits import screen_text, until
from tests.tui.test_log_screen import Logs, app_of, cockpit, open_log, run

BROKEN = [gpu_node(None), operand_pod(DRIVER, broken=crashing(4)), *waiting_pods(), *operand_sets(), operator()]
TEXT = "the driver gives up"


@pytest.mark.parametrize("size", [(160, 50), (80, 24)])
async def test_the_pane_shows_the_last_line_of_a_log_that_was_read(tmp_path: Path, size: tuple[int, int]) -> None:
    logs = Logs(current=run(f"starting\n{TEXT}\n"))
    async with cockpit(tmp_path, logs, *BROKEN, size=size) as (pilot, cluster):
        await pilot.press("g")
        await until(pilot, lambda: "▲ driver fails" in screen_text(pilot))
        assert TEXT not in screen_text(pilot)
        await open_log(pilot)
        await pilot.press("escape")
        told = f"log read now, last line 60s ago: {TEXT}"
        await until(pilot, lambda: told in screen_text(pilot))
        await pilot.press("right")
        await until(pilot, lambda: told not in screen_text(pilot))
        await pilot.press("left")
        await until(pilot, lambda: told in screen_text(pilot))
        assert logs.asked == [LogTarget("gpu-operator", f"{DRIVER}-gpu-1", "nvidia-driver-ctr", previous=True)]

        anew = made(operand_pod(DRIVER, broken=crashing(5)))
        cluster.publish(Reading("kubernetes/pods", SourceState.LIVE, NOW, Changed("pods", (anew,))))
        chains = app_of(pilot).feed.fleet.chains
        await until(pilot, lambda: any(link.restarts == 5 for link in chains["gpu-1"].links))
        app_of(pilot).cockpit.paint(None)
        await until(pilot, lambda: told not in screen_text(pilot))
