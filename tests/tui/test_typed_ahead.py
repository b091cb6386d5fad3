"""Keys that come at once, as a slow terminal sends them: what follows the key that opens a line is text."""

from pathlib import Path

import pytest
from textual import events
from textual.pilot import Pilot

from incidents.entries import Kind
from playbooks.commands import render
from tests.tui.cockpits import TARGET, Cluster, cluster_readings, open_cockpit, screen_text, until
from tests.tui.test_cockpit import incident
from tests.tui.test_log_screen import Logs, open_log, run
from tests.tui.test_log_screen import cockpit as cockpit_with_logs
from tui.app import Cockpit
from tui.filter_line import FilterLine
from tui.note_line import NoteLine
from widgets.causes import CausesPane
from widgets.checklist import ChecklistPane, NoteInput
from widgets.evidence import EvidencePane
from widgets.timeline import TimelinePane

TEXT = "clogt/m"
"""Each letter is a key of the cockpit."""


def type_at_once(pilot: Pilot[int], keys: str) -> None:
    """Send all keys before the first of them is looked at."""
    for key in keys:
        name = {"/": "slash", "\r": "enter", "?": "question_mark", "\x1b": "escape"}.get(key, key)
        pilot.app.post_message(events.Key(name, key))


def at(app: Cockpit) -> tuple[str, int]:
    """Return playbook and number of the step that the checklist is at."""
    playbook, step = app.cockpit.checklist.playbook, app.cockpit.query_one(ChecklistPane).step
    if playbook is None or step is None:
        return "", 0
    return playbook.id, [item.id for item in playbook.steps].index(step.id)


@pytest.fixture
def cluster() -> Cluster:
    return Cluster(cluster_readings(*incident()))


@pytest.mark.parametrize(
    ("key", "text", "line"),
    [("/", TEXT, FilterLine), ("m", TEXT, NoteLine), ("m", "metrics mm", NoteLine), ("/", "/metrics", FilterLine)],
)
async def test_what_follows_the_key_is_text(
    cluster: Cluster, tmp_path: Path, key: str, text: str, line: type[FilterLine] | type[NoteLine]
) -> None:
    async with open_cockpit(cluster, tmp_path) as pilot:
        app = pilot.app
        assert isinstance(app, Cockpit)
        type_at_once(pilot, key + text)
        await until(pilot, lambda: app.cockpit.query_one(line).value == text)
        assert not app.cockpit.query_one(ChecklistPane).display
        assert not app.cockpit.query_one(TimelinePane).display
        assert not (tmp_path / "last-command").exists()


@pytest.mark.parametrize("keys", ["jc", "jkjc", "j\rc"])
async def test_what_is_copied_is_what_the_cursor_was_moved_to(cluster: Cluster, tmp_path: Path, keys: str) -> None:
    async with open_cockpit(cluster, tmp_path) as pilot:
        app = pilot.app
        assert isinstance(app, Cockpit)
        commands = [cause.next[0] for cause in app.feed.diagnosis.causes[:2]]
        assert commands[0] != commands[1]
        type_at_once(pilot, keys)
        copied = tmp_path / "last-command"
        await until(pilot, copied.exists)
        assert copied.read_text().strip() == render(commands[1], TARGET)
        assert app.cockpit.attention.selection == app.feed.diagnosis.causes[1].key


async def test_what_is_copied_is_what_enter_focused(cluster: Cluster, tmp_path: Path) -> None:
    async with open_cockpit(cluster, tmp_path) as pilot:
        app = pilot.app
        assert isinstance(app, Cockpit)
        card = app.cockpit.query_one(EvidencePane).card.commands[0]
        app.cockpit.query_one("#nodes-table").focus()
        await pilot.pause()
        type_at_once(pilot, "\rc")
        copied = tmp_path / "last-command"
        await until(pilot, copied.exists)
        assert not app.cockpit.attention.focus.is_cluster
        focused = app.cockpit.query_one(EvidencePane).card.commands[0]
        assert focused != card
        assert copied.read_text().strip() == focused.line


@pytest.mark.parametrize("size", [(160, 50), (80, 24)])
async def test_what_follows_enter_is_a_key_again(cluster: Cluster, tmp_path: Path, size: tuple[int, int]) -> None:
    async with open_cockpit(cluster, tmp_path, size=size) as pilot:
        app = pilot.app
        assert isinstance(app, Cockpit)
        type_at_once(pilot, "/needs\rl")
        await until(pilot, lambda: app.cockpit.query_one(ChecklistPane).display)
        await until(pilot, lambda: app.cockpit.attention.wanted.words == ("needs",))
        assert not app.cockpit.query_one(FilterLine).display


async def test_a_search_in_a_log_is_text_too(tmp_path: Path) -> None:
    async with cockpit_with_logs(tmp_path, Logs(run("hay\nneedle\n"))) as (pilot, _):
        await open_log(pilot)
        type_at_once(pilot, "/needle")
        await until(pilot, lambda: "“needle” in 1 line" in screen_text(pilot))


async def test_the_checklist_keeps_its_own_key(cluster: Cluster, tmp_path: Path) -> None:
    async with open_cockpit(cluster, tmp_path) as pilot:
        await pilot.press("l")
        await pilot.press("m")
        await until(pilot, lambda: "note on this step" in screen_text(pilot))
        assert isinstance(pilot.app, Cockpit)
        assert not pilot.app.cockpit.query_one(NoteLine).display


async def test_a_key_before_the_one_that_opens_a_line_still_moves_the_cursor(cluster: Cluster, tmp_path: Path) -> None:
    async with open_cockpit(cluster, tmp_path) as pilot:
        app = pilot.app
        assert isinstance(app, Cockpit)
        table = app.cockpit.query_one(CausesPane).table
        assert table.cursor_row == 0
        type_at_once(pilot, "j/")
        await until(pilot, lambda: bool(app.cockpit.query_one(FilterLine).display))
        assert table.cursor_row == 1


async def test_letters_after_the_key_that_opens_a_list_narrow_it(cluster: Cluster, tmp_path: Path) -> None:
    async with open_cockpit(cluster, tmp_path) as pilot:
        app = pilot.app
        assert isinstance(app, Cockpit)
        type_at_once(pilot, "lpcertificate\rn")
        await until(pilot, lambda: at(app) == ("certificates", 1))


async def test_what_follows_a_note_is_a_key_again(cluster: Cluster, tmp_path: Path) -> None:
    async with open_cockpit(cluster, tmp_path) as pilot:
        app = pilot.app
        assert isinstance(app, Cockpit)
        type_at_once(pilot, "mto be told\rtmanother\rl")
        await until(pilot, lambda: app.cockpit.query_one(ChecklistPane).display)
        noted = [entry.text for entry in app.recorder.entries if entry.kind is Kind.NOTE]
        assert noted == ["to be told", "another"]


async def test_what_follows_a_note_on_a_step_is_a_key_again(cluster: Cluster, tmp_path: Path) -> None:
    async with open_cockpit(cluster, tmp_path) as pilot:
        app = pilot.app
        assert isinstance(app, Cockpit)
        await pilot.press("l")
        began = at(app)
        type_at_once(pilot, "mxnl\rxn")
        await until(pilot, lambda: at(app) == (began[0], began[1] + 1))
        done = [(entry.kind, entry.step.note) for entry in app.recorder.entries if entry.step is not None]
        assert done == [(Kind.NOTE, "xnl"), (Kind.NOT_APPLICABLE, "")]


async def test_keys_after_the_one_that_closes_a_screen_are_those_of_the_screen_below(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.keys_in_order._MOST_S", 60.0)  # no key waits for one that nobody answers any more
    async with open_cockpit(cluster, tmp_path) as pilot:
        app = pilot.app
        assert isinstance(app, Cockpit)
        type_at_once(pilot, "?\x1b?ql?\x1bm" + TEXT)
        await until(pilot, lambda: app.cockpit.query_one(NoteInput).value == TEXT)
        assert app.screen is app.cockpit


async def test_a_paste_waits_for_the_key_before_it(cluster: Cluster, tmp_path: Path) -> None:
    async with open_cockpit(cluster, tmp_path) as pilot:
        app = pilot.app
        assert isinstance(app, Cockpit)
        type_at_once(pilot, "m")
        app.post_message(events.Paste(TEXT))
        type_at_once(pilot, "l")
        await until(pilot, lambda: app.cockpit.query_one(NoteLine).value == TEXT + "l")
