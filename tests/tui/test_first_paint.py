"""What stands on the screen before the cluster has said anything."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from playbooks.commands import Target
from situation.readings import Reading
from tests.tui.cockpits import TARGET, screen_text, until
from tui.app import Cockpit
from tui.connection import Connected
from tui.themes import load_themes


@asynccontextmanager
async def hanging(publish: Callable[[Reading], None]) -> AsyncIterator[Connected]:
    """A server, a plugin or a file that does not answer."""
    await asyncio.Event().wait()
    yield Connected(TARGET, lambda names: None)


async def test_nothing_is_shown_as_healthy_empty_or_known(tmp_path: Path) -> None:
    app = Cockpit(hanging, Target(""), load_themes(None), theme="midwatch-dark", hz=20, mode="read-only",
                  state_dir=tmp_path, environ={})  # fmt: skip
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "reading the cluster" in screen_text(pilot))
        header, strip, *_ = screen_text(pilot).splitlines()
        assert header.startswith(" connecting … · ? nodes ? pods")
        assert strip.split("│")[0].strip() == "? 1 Application" and strip.count("?") == 5
        assert "✓" not in screen_text(pilot) and "no context" not in screen_text(pilot)
