"""The layout, wide and narrow, with and without a control plane.

After a wanted change: `pytest tests/tui/test_snapshots.py --snapshot-update`, and look at the pictures.
"""

from pathlib import Path
from typing import Protocol

import pytest
from textual.pilot import Pilot

from situation.readings import Reading
from tests.build import NOW
from tests.control_plane import Told, certificate, live_api_server, live_etcd, tell_certificates
from tests.tui.cockpits import TARGET, Cluster, cluster_readings, until
from tests.tui.test_cockpit import incident
from tui.app import Cockpit
from tui.themes import load_themes


class Compare(Protocol):
    def __call__(self, app: Cockpit, *, terminal_size: tuple[int, int], run_before: object) -> bool: ...


async def complete(pilot: Pilot[int]) -> None:
    """Wait for the first complete picture."""
    app = pilot.app
    assert isinstance(app, Cockpit)
    await until(pilot, lambda: app.feed.situation.knows("pods") and app.feed.diagnosis.judged_at is not None)


@pytest.mark.parametrize("size", [(160, 50), (80, 24)], ids=["160x50", "80x24"])
def test_layout(snap_compare: Compare, tmp_path: Path, size: tuple[int, int]) -> None:
    assert snap_compare(_cockpit(tmp_path), terminal_size=size, run_before=complete)


def test_layout_with_a_silent_member_of_etcd(snap_compare: Compare, tmp_path: Path) -> None:
    told = Told()
    live_etcd(told, silent={3: 120}, slow=2)
    live_api_server(told)
    tell_certificates(told, certificate("apiserver", 211.5), certificate("admin.conf", 12.5))
    assert snap_compare(_cockpit(tmp_path, *told.readings), terminal_size=(160, 50), run_before=complete)


def _cockpit(tmp_path: Path, *more: Reading) -> Cockpit:
    app = Cockpit(
        Cluster([*cluster_readings(*incident()), *more]),
        TARGET,
        load_themes(None),
        theme="midwatch-dark",
        hz=5,
        mode="read-only",
        state_dir=tmp_path,
        environ={"TERM": "xterm-256color"},
        clock=lambda: NOW,
    )
    app.animation_level = "none"
    return app
