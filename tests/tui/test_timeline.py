"""The log in the cockpit: recorded while things happen, shown as a timeline, gone on with after an end."""

import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from incidents.entries import Entry, Kind
from incidents.shelf import kept
from incidents.store import Store, StoreError, read
from simulator.cluster import Cluster as SimulatedCluster
from simulator.server import Simulator
from situation.findings import Layer, Severity
from situation.focus import Focus
from situation.meta import Ref
from situation.readings import Changed, Reading, SourceState
from situation.steps import finish
from tests.build import NOW, made, node, pod
from tests.incidents.build import begun, entry
from tests.tui.cockpits import TARGET, Cluster, Left, cluster_readings, screen_text, until
from tests.tui.test_cockpit import incident, screen
from tui.app import Cockpit
from tui.clipboard import copy
from tui.connection import KubernetesConnection
from tui.recorder import Recorder
from tui.themes import load_themes
from tui.timeline_rows import TimelineRows, timeline_row
from tui.view import Filter
from widgets.checklist import ChecklistPane
from widgets.timeline import TimelinePane


class Clock:
    """Time that goes on when a test says so."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@asynccontextmanager
async def cockpit(
    state_dir: Path, clock: Clock, cluster: Cluster | None = None, size: tuple[int, int] = (110, 34), **more: Any
) -> AsyncIterator[Pilot[int]]:
    connection = Left(cluster or Cluster(cluster_readings(*incident())))
    app = Cockpit(
        connection, TARGET, load_themes(None), theme="midwatch-dark", hz=5, mode="read-only", state_dir=state_dir,
        environ={"TERM": "xterm-256color"}, clock=clock, **{"who": "anna", **more},
    )  # fmt: skip
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: bool(app.recorder.entries) and bool(app.feed.diagnosis.causes))
        yield pilot
    await connection.wait()


def passes(pilot: Pilot[int], clock: Clock, seconds: int) -> None:
    """Let time go on, the log looking on."""
    app = pilot.app
    assert isinstance(app, Cockpit)
    for _ in range(seconds):
        clock.now += timedelta(seconds=1)
        finish(app.recorder.take(app.feed))


def entries(pilot: Pilot[int]) -> tuple[Entry, ...]:
    app = pilot.app
    assert isinstance(app, Cockpit)
    return app.recorder.entries


def logs(state_dir: Path) -> Iterator[tuple[Entry, ...]]:
    for item in kept(state_dir / "incidents"):
        assert item.incident is not None, item.problem
        yield item.incident.entries


async def test_what_happens_and_what_people_do_is_on_disk_in_order(tmp_path: Path) -> None:
    clock = Clock()
    async with cockpit(tmp_path, clock) as pilot:
        assert "log" not in screen_text(pilot).splitlines()[0]
        passes(pilot, clock, 7)
        await until(pilot, lambda: " log 3 · " in screen_text(pilot).splitlines()[0])
        await pilot.press("c")
        await until(pilot, lambda: len(entries(pilot)) == 4)
        await pilot.press("m", *"image", "enter")
        await pilot.press("l", "space", "space", "escape")
        await until(pilot, lambda: len(entries(pilot)) == 7)
    (log,) = logs(tmp_path)
    assert [(item.kind, item.who) for item in log] == [
        (Kind.OPENED, "anna"),
        (Kind.FOUND, ""),
        (Kind.FOUND, ""),
        (Kind.COPIED, "anna"),
        (Kind.NOTE, "anna"),
        (Kind.TICKED, "anna"),
        (Kind.UNTICKED, "anna"),
        (Kind.CLOSED, "anna"),
    ]
    assert log[3].text == (tmp_path / "last-command").read_text().strip()
    assert log[3].way.endswith("by way of terminal")
    assert (log[3].rule, log[3].subject) == (log[1].rule, log[1].subject)
    assert log[4].text == "image"
    assert log[1].at == NOW


async def test_the_panel_covers_a_small_terminal_and_goes_again(tmp_path: Path) -> None:
    clock = Clock()
    async with cockpit(tmp_path, clock, size=(80, 24)) as pilot:
        passes(pilot, clock, 7)
        before = pilot.app.focused
        await pilot.press("m", "x", "escape")
        assert pilot.app.focused is before
        assert len(entries(pilot)) == 3
        await pilot.press("m", *"[b]", "enter", "l", "t")
        await until(pilot, lambda: "on disk" in screen_text(pilot) and "¶ note" in screen_text(pilot))
        shown = screen_text(pilot)
        rows = [line for line in shown.splitlines() if "02:41:" in line and "UTC" not in line]
        assert "opened" in rows[0] and "anna" in rows[0]
        assert "▲ found" in rows[1]
        assert "[b]" in rows[3]
        assert "2026-11-23 02:41:14 UTC" in shown
        assert "Causes ·" not in shown and not pilot.app.screen.query_one(ChecklistPane).display
        await pilot.press("l")
        assert pilot.app.screen.query_one(ChecklistPane).display and "Timeline" not in screen_text(pilot)
        await pilot.press("t", "escape")
        await until(pilot, lambda: "Causes ·" in screen_text(pilot))


async def test_a_notice_does_not_cover_what_happened_last(tmp_path: Path) -> None:
    clock = Clock()
    async with cockpit(tmp_path, clock, size=(80, 24)) as pilot:
        passes(pilot, clock, 7)
        await pilot.press("t")
        await pilot.press("m", *"a_note_of_mine", "enter")
        await until(pilot, lambda: screen_text(pilot).count("a_note_of_mine") == 2)  # its line, and the whole of it
        assert "Noted" not in screen_text(pilot)
        pilot.app.notify("the disk is full, " * 8, title="Log", severity="warning")
        await until(pilot, lambda: "the disk is full" in screen_text(pilot))
        assert "a_note_of_mine" in screen_text(pilot).splitlines()[-4]
        await pilot.press("t")
        await until(pilot, lambda: "the disk is full" in "".join(screen_text(pilot).splitlines()[-8:]))


async def test_enter_focuses_the_cause_and_after_its_end_the_object(tmp_path: Path) -> None:
    clock = Clock()
    cluster = Cluster(cluster_readings(*incident()))
    async with cockpit(tmp_path, clock, cluster) as pilot:
        passes(pilot, clock, 7)
        await pilot.press("t", "end")
        number = next(n for n, item in enumerate(entries(pilot)) if item.subject == Ref("Pod", "pay", "needs"))
        pane = screen(pilot).query_one(TimelinePane)
        pane.table.move_to(number)
        await pilot.press("enter")
        attention = screen(pilot).attention
        await until(pilot, lambda: attention.focus.cause == entries(pilot)[number].key)
        assert pane.display and pane.has_focus_within
        healthy = made(pod("needs", namespace="pay", node="n2"))
        cluster.publish(Reading("kubernetes/pods", SourceState.LIVE, clock.now, Changed("pods", (healthy,))))
        await until(pilot, lambda: len(screen(pilot)._feed.diagnosis.causes) == 1)
        went_at = clock.now
        passes(pilot, clock, 18)
        assert (entries(pilot)[-1].kind, entries(pilot)[-1].subject) == (Kind.CLEARED, Ref("Pod", "pay", "needs"))
        assert abs((entries(pilot)[-1].at - went_at).total_seconds()) <= 1
        pane.table.move_to(number)
        await pilot.press("enter")
        await until(pilot, lambda: attention.focus.ref == Ref("Pod", "pay", "needs"))
        pane.table.move_to(0)
        await pilot.press("enter")
        await until(pilot, lambda: "about nothing" in screen_text(pilot))


async def test_a_disk_that_takes_nothing_is_said_on_screen(tmp_path: Path) -> None:
    (tmp_path / "incidents").write_text("in the way")
    clock = Clock()
    async with cockpit(tmp_path, clock) as pilot:
        passes(pilot, clock, 7)
        await until(pilot, lambda: "log in memory only" in screen_text(pilot).splitlines()[0])
        await until(pilot, lambda: "The log is in memory only" in screen_text(pilot))
        await pilot.press("t")
        await until(pilot, lambda: "in memory only" in screen_text(pilot).split("Timeline")[1])
    assert (tmp_path / "incidents").read_text() == "in the way"


def left_open(state_dir: Path, context: str = TARGET.context) -> Path:
    """The log of a cockpit that was killed while a pod was broken that is not there any more."""
    store = Store.create(state_dir / "incidents", context, NOW - timedelta(minutes=9))
    store.put(0, Entry(NOW - timedelta(minutes=9), Kind.OPENED, "the cockpit was opened", "ben"))
    store.put(
        1,
        Entry(
            NOW - timedelta(minutes=9), Kind.APPEARED, "old crashes", "", Layer.APPLICATION, "crash-loop",
            Ref("Pod", "shop", "old"), Severity.CRITICAL, "crash-loop:Pod/shop/old",
        ),
    )  # fmt: skip
    store.close()
    return store.path


async def test_a_log_that_was_left_open_goes_on(tmp_path: Path) -> None:
    path, clock = left_open(tmp_path), Clock()
    async with cockpit(tmp_path, clock, resume="") as pilot:
        passes(pilot, clock, 40)
    told = read(path)
    assert [item.kind for item in told.entries[:3]] == [Kind.OPENED, Kind.APPEARED, Kind.RESUMED]
    (cleared,) = (item for item in told.entries if item.kind is Kind.CLEARED)
    assert "nobody watched since 02:32:07 UTC" in cleared.way
    assert told.people == ("ben", "anna")
    assert told.ended is not None


async def test_a_resumed_log_brings_the_checklist_back_as_it_was_left(tmp_path: Path) -> None:
    clock = Clock()
    async with cockpit(tmp_path, clock, who="ben") as pilot:
        passes(pilot, clock, 7)
        await pilot.press("l", "space", "m", *"no tag", "enter", "n", "x", "n", "space", "space")
        subject = screen(pilot).checklist.subject
        assert subject is not None
        await until(pilot, lambda: entries(pilot)[-1].kind is Kind.UNTICKED)
        assert {item.subject for item in entries(pilot) if item.step is not None} == {subject}
    (item,) = kept(tmp_path / "incidents")
    async with cockpit(tmp_path, clock, resume=item.path.stem) as pilot:
        await until(pilot, lambda: entries(pilot)[-1].kind is Kind.RESUMED)
        before = len(entries(pilot))
        await pilot.press("l")
        await until(pilot, lambda: "2 of " in screen_text(pilot) and "ticked by ben" in screen_text(pilot))
        assert "note: no tag" in screen_text(pilot)
        await pilot.press("n")
        await until(pilot, lambda: "does not apply: ben" in screen_text(pilot))
        assert len(entries(pilot)) == before


async def test_a_command_of_a_playbook_is_told_of_what_that_is_worked_through_for(tmp_path: Path) -> None:
    clock = Clock()
    async with cockpit(tmp_path, clock) as pilot:
        passes(pilot, clock, 7)
        attention, diagnosis = screen(pilot).attention, screen(pilot)._feed.diagnosis
        await pilot.press("l")
        first = screen(pilot).checklist.subject
        other = next(cause for cause in diagnosis.causes if cause.subject != first)
        attention.focus_on(Focus(cause=other.key), other.key)
        assert attention.finding(diagnosis) == other
        await pilot.press("c")
        await until(pilot, lambda: entries(pilot)[-1].kind is Kind.COPIED)
        assert entries(pilot)[-1].subject == first
        assert "Five layers, from the container down" in entries(pilot)[-1].way


async def test_a_quiet_cluster_leaves_nothing_and_what_is_not_there_is_not_resumed(tmp_path: Path) -> None:
    connection = Left(Cluster(cluster_readings(node("n1"), pod("web-1", node="n1"))))
    app = Cockpit(
        connection, TARGET, load_themes(None), theme="midwatch-dark", hz=5, mode="read-only", state_dir=tmp_path,
        environ={}, resume="",
    )  # fmt: skip
    async with app.run_test(notifications=True) as pilot:
        await until(pilot, lambda: "no log of this context" in screen_text(pilot))
        await pilot.press("t")
        await until(pilot, lambda: "no incident yet" in screen_text(pilot))
    await connection.wait()
    assert not (tmp_path / "incidents").exists()


async def test_a_damaged_one_is_left_and_that_is_said(tmp_path: Path) -> None:
    path = left_open(tmp_path)
    path.write_bytes(b"broken" * 500)
    recorder = Recorder(tmp_path, "anna", lambda: NOW, path.stem)
    (said,) = await recorder.connect(TARGET.context)
    assert said.endswith("it is left as it is, a new log begins")
    recorder.close()
    assert path.read_bytes() == b"broken" * 500


def test_words_of_the_filter_pick_rows_and_a_row_is_built_once() -> None:
    made = [entry(text=text, seconds=9 - number) for number, text in enumerate(("one thing", "two things"))]
    rows = TimelineRows()
    first = rows.of(made, Filter())
    assert [row.text for row in first] == ["two things", "one thing"]
    assert [row.text for row in rows.of(made, Filter(("TWO", "note")))] == ["two things"]
    made[0] = begun(9, times=2)
    again = rows.of(made, Filter())
    assert again[0] is first[0]
    assert "went away and came back 2 times" in again[1].detail


def test_a_command_is_shown_without_the_options_that_all_of_them_have() -> None:
    line = "kubectl --kubeconfig '/a b' --context prod -n shop logs web-1"
    row = timeline_row(0, entry(Kind.COPIED, line))
    assert (row.short, row.text) == ("kubectl -n shop logs web-1", line)


async def test_the_log_of_another_context_is_refused(tmp_path: Path) -> None:
    path = left_open(tmp_path, "another")
    connection = Left(Cluster(cluster_readings(*incident())))
    app = Cockpit(
        connection, TARGET, load_themes(None), theme="midwatch-dark", hz=5, mode="read-only", state_dir=tmp_path,
        environ={}, resume=path.stem,
    )  # fmt: skip
    async with app.run_test() as pilot:
        await until(pilot, lambda: app.return_code is not None)
    await connection.wait()
    assert app.return_code == 64
    assert len(read(path).entries) == 2


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ("https://other:6443", "is the log of https://other:6443, this is https://here:6443: give --kubeconfig"),
        ("midwatch demo faults_a", "is the log of a simulated incident (midwatch demo faults_a)"),
    ],
)
async def test_nobody_goes_on_with_the_log_of_another_server_or_of_a_demo(
    tmp_path: Path, origin: str, said: str
) -> None:
    store = Store.create(tmp_path / "incidents", TARGET.context, NOW, origin)
    store.close()
    named = Recorder(tmp_path, "anna", lambda: NOW, store.id)
    with pytest.raises(StoreError, match=re.escape(f"{store.id} {said}")):
        await named.connect(TARGET.context, "https://here:6443")
    last = Recorder(tmp_path, "anna", lambda: NOW, "")
    (note,) = await last.connect(TARGET.context, "https://here:6443")
    assert note == "no log of this context was left open: a new one begins"
    last.close()
    assert read(store.path).entries == ()


@pytest.mark.parametrize("simulated", ["", "midwatch demo faults_a"])
async def test_a_log_says_where_it_comes_from(tmp_path: Path, simulated: str) -> None:
    async with Simulator(SimulatedCluster()) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        way = KubernetesConnection(str(tmp_path / "kubeconfig"))
        connection = Left(way)
        app = Cockpit(
            connection, TARGET, load_themes(None), theme="midwatch-dark", hz=5, mode="read-only", environ={},
            state_dir=tmp_path, clock=way.clock, simulated=simulated,
        )  # fmt: skip
        async with app.run_test() as pilot:
            await until(pilot, lambda: bool(app.recorder.entries))
            await pilot.press("m", *"hello", "enter")
            await until(pilot, lambda: bool(app.recorder.id))
        await connection.wait()
    (item,) = kept(tmp_path / "incidents")
    assert item.incident is not None
    assert item.incident.origin == (simulated or simulator.url)


def test_what_came_nowhere_was_not_copied(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    notice = copy("x", environ={"TERM": "linux"}, write=print, state_dir=tmp_path / "file", platform="linux")
    assert not notice.is_copied
    assert copy("x", environ={"TERM": "linux"}, write=print, state_dir=tmp_path, platform="linux").is_copied


async def test_the_notice_of_a_copy_leaves_the_timeline_that_is_opened_and_others_stay(tmp_path: Path) -> None:
    async with cockpit(tmp_path, Clock(), size=(80, 24)) as pilot:
        await pilot.press("enter")
        await until(pilot, lambda: "kubectl" in screen_text(pilot))
        pilot.app.notify("the watch is back", title="Connection", timeout=60)
        await pilot.press("c")
        await until(pilot, lambda: bool(pilot.app.screen.query("Toast")) and len(pilot.app._notifications) == 2)
        await pilot.press("t")
        await until(pilot, lambda: [told.title for told in pilot.app._notifications] == ["Connection"])
        await until(pilot, lambda: len(pilot.app.screen.query("Toast")) == 1)
        assert entries(pilot)[-1].kind is Kind.COPIED
