"""Writes the screenshot of README: the program itself on the tape of an incident, without a network."""

import asyncio
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from playbooks.commands import Target
from situation.readings import OwnLoad, Reading, SourceState
from tape.player import play
from tui.app import Cockpit
from tui.connection import Connected
from tui.themes import load_themes

_TAPE = Path(__file__).parent.parent / "simulator" / "scenarios" / "gpu_driver_nouveau.jsonl.gz"
_TARGET = Target("prod-h100")
_FONT_FACES = re.compile(r"\s*@font-face \{[^}]*\}")
"""References to fonts on the network; without them the reader's own monospaced font is used."""


async def save(path: Path, tape: Path = _TAPE, size: tuple[int, int] = (160, 44)) -> None:
    """Play `tape` to its end and save what the cockpit then shows as SVG."""
    played = play(tape)

    @asynccontextmanager
    async def connection(publish: Callable[[Reading], None]) -> AsyncIterator[Connected]:
        for reading in played.readings:
            publish(reading)
        publish(Reading("midwatch/load", SourceState.LIVE, played.now, OwnLoad(31, 0.2, 18)))
        yield Connected(_TARGET, lambda names: None)

    with tempfile.TemporaryDirectory() as folder:
        app = Cockpit(
            connection,
            _TARGET,
            load_themes(None),
            theme="midwatch-dark",
            hz=10,
            mode="read-only",
            state_dir=Path(folder),
            environ={},
            clock=lambda: played.now,
        )
        async with app.run_test(size=size) as pilot:
            while app.feed.diagnosis.judged_at is None:
                await pilot.pause(0.1)
            await pilot.pause(0.5)
            svg = _FONT_FACES.sub("", app.export_screenshot(title="midwatch"))
            path.write_text(svg, encoding="utf-8")  # noqa: ASYNC240 - a script


if __name__ == "__main__":
    asyncio.run(save(Path(sys.argv[1])))
