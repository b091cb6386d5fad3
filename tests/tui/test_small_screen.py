"""What 80x24 has no room to waste for: notices, the help, an empty table."""

from pathlib import Path

import pytest
from rich.cells import cell_len
from textual.widgets._toast import Toast

from tests.tui.cockpits import Cluster, cluster_readings, open_cockpit, screen_text, until
from tests.tui.test_cockpit import incident
from tui.dialogs import help_content
from tui.start import cockpit_bindings

SMALL = (80, 24)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(cluster_readings(*incident()))


async def test_the_answer_to_a_key_takes_the_place_of_the_one_before(cluster: Cluster, tmp_path: Path) -> None:
    async with open_cockpit(cluster, tmp_path, size=SMALL) as pilot:
        app = pilot.app
        app.notify("stays", title="Theme", timeout=15)
        await pilot.press("c")
        await until(pilot, lambda: "Copied" in screen_text(pilot))
        await pilot.press("v", "c", "v")
        await until(pilot, lambda: len(app.screen.query(Toast)) == 2)
        await until(pilot, lambda: "model server" in screen_text(pilot))
        assert "Copied" not in screen_text(pilot)
        assert "stays" in screen_text(pilot)


async def test_each_key_of_the_help_has_one_line(cluster: Cluster, tmp_path: Path) -> None:
    async with open_cockpit(cluster, tmp_path, size=SMALL) as pilot:
        await pilot.press("question_mark")
        await until(pilot, lambda: "Keys (right: the id" in screen_text(pilot))
        lines = screen_text(pilot).splitlines()
        assert any("A screenful down" in line and " table.page_down " in line for line in lines)
        assert any("Previous pane" in line and " previous-pane " in line for line in lines)


def test_no_line_of_the_help_is_cut_or_wider_than_its_box() -> None:
    rows = [("shift+tab", item.tooltip or item.description, item.id) for item in cockpit_bindings() if item.id]
    for row in rows:
        line = help_content([row]).plain.splitlines()[1]
        assert line.split(row[1])[1].strip() == row[2], "cut, or without a gap"
        assert line.split(row[1])[1].startswith(" ")
        assert cell_len(line) <= 80 - len("│  ││")


async def test_what_is_filtered_for_is_what_is_copied(cluster: Cluster, tmp_path: Path) -> None:
    async with open_cockpit(cluster, tmp_path, size=SMALL) as pilot:
        assert "▲ search cannot pull" in evidence(screen_text(pilot))
        await pilot.press("slash", *"needs")
        await until(pilot, lambda: "▲ needs refers" in evidence(screen_text(pilot)))
        await pilot.press("enter", "c")
        await until(pilot, (tmp_path / "last-command").exists)
        assert "-n pay" in (tmp_path / "last-command").read_text()


async def test_a_filter_leaves_the_evidence_of_a_focus(cluster: Cluster, tmp_path: Path) -> None:
    async with open_cockpit(cluster, tmp_path, size=SMALL) as pilot:
        await pilot.press("enter", "slash", *"needs")
        await until(pilot, lambda: "search cannot pull" not in screen_text(pilot).split("Evidence")[0])
        assert "▲ search cannot pull" in evidence(screen_text(pilot))


def evidence(text: str) -> str:
    return text.split("Evidence and next command")[1]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("ns:sho", "no pods match “ns:sho”: there is no namespace “sho”, but shop"),
        ("ns:zz", "no pods match “ns:zz”: there is no namespace “zz”"),
        ("ns:shop zz", "no pods match “ns:shop zz”"),
    ],
)
async def test_a_namespace_that_does_not_exist_is_said(cluster: Cluster, tmp_path: Path, typed: str, said: str) -> None:
    async with open_cockpit(cluster, tmp_path, size=SMALL) as pilot:
        await pilot.press("tab", "slash", *("colon" if key == ":" else "space" if key == " " else key for key in typed))
        await pilot.press("enter")
        await until(pilot, lambda: "no pods match" in screen_text(pilot))
        assert said in [line.strip() for line in screen_text(pilot).splitlines()]
