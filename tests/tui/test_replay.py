"""Tapes from recording to replay: finding by finding what was seen live, and a player that gets everywhere."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path

import pytest
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input

from playbooks.commands import Target
from simulator.cluster import Cluster as SimulatedCluster
from simulator.scenarios import open_scenario
from simulator.server import Simulator
from situation.findings import Diagnosis
from situation.readings import Reading, ServerVersion, SourceState
from situation.situation import Situation
from tape.playhead import Playhead
from tape.reader import Tape
from tests.build import NOW
from tests.tui.cockpits import screen_text, until
from tests.tui.commands import midwatch, write_kubeconfig
from tui.demo import simulated_cluster
from tui.feed import Feed
from tui.recorded import RecordedSources
from tui.replay import Mark, Replay, look_through, second_of
from tui.replay_app import PlaceScreen, ReplayCockpit
from tui.tape_keeper import TapeKeeper
from tui.themes import load_themes

TARGET = Target("prod-h100")


def told(diagnosis: Diagnosis) -> list[tuple[str, str, list[str], list[str]]]:
    """Return what a diagnosis says, without the times at which it was said."""
    return [
        (
            cause.key,
            cause.title,
            [line.text for line in cause.evidence],
            [item.title for item in cause.consequences],
        )
        for cause in diagnosis.causes
    ]


def seen(path: Path, recorder_dir: Path | None = None) -> tuple[dict[int, list[object]], datetime, Path | None]:
    """Play a tape to a feed, second by second, as a live cockpit would get it; record it if a folder is given."""
    clock = datetime.now().astimezone()
    feed = Feed(lambda: clock)
    if recorder_dir is not None:
        recorder = TapeKeeper(lambda: clock, lambda: feed.situation, recorder_dir)
        feed = Feed(lambda: clock, recorder.hear)
    head = Playhead(path, RecordedSources)
    found: dict[int, list[object]] = {}
    # A live cockpit is never asked at the very microsecond in which a rule's patience ends.
    second = head.start_s + (0.37 if recorder_dir is not None else 0.0)
    while not head.is_at_end:
        clock = head.time_at(second)
        second += 1
        for reading in head.until((clock - head.started_at).total_seconds()):
            feed.publish(reading)
        found[int(clock.timestamp())] = [*told(feed.turn().diagnosis)]
    saved = None
    if recorder_dir is not None:
        said = recorder.save(TARGET, ServerVersion("v1.36.2"))
        assert said.is_saved, said.text
        saved = Path(said.text.partition("\n")[0])
    return found, clock, saved


@pytest.mark.parametrize("scenario", ["faults_a", "gpu_lost"])
def test_a_recording_gives_finding_by_finding_what_live_gave(scenario: str, tmp_path: Path) -> None:
    live, _, saved = seen(open_scenario(scenario).path, tmp_path)
    assert saved is not None
    again, _, _ = seen(saved)
    assert any(live.values())
    assert again.keys() <= live.keys()
    assert {second: again[second] for second in again} == {second: live[second] for second in again}


def test_a_folder_that_cannot_be_made_is_named_when_a_tape_is_saved(tmp_path: Path) -> None:
    (tmp_path / "tapes").touch()
    keeper = TapeKeeper(lambda: NOW, Situation, tmp_path)
    keeper.hear([Reading("kubernetes/pods", SourceState.FORBIDDEN, NOW, error="no")], NOW)
    said = keeper.save(TARGET, None)
    assert (said.text, said.is_saved) == (f"{tmp_path / 'tapes'}: cannot write: File exists", False)


def test_the_changes_of_the_causes_are_found_and_end_with_the_tape() -> None:
    path = open_scenario("gpu_lost").path
    heard: list[tuple[tuple[Mark, ...], float]] = []
    look_through(path, lambda marks, second: heard.append((marks, second)), lambda: True)
    marks, end = heard[-1]
    assert any("gpu" in title for mark in marks for title in mark.appeared)
    assert [mark.second for mark in marks] == sorted(mark.second for mark in marks)
    assert end >= marks[-1].second


@pytest.mark.parametrize(
    ("text", "second"),
    [("90", 90.0), ("1:30", 90.0), ("+0:01:30", 90.0), ("02:41:30", 30.0), ("2026-11-24T02:41:30Z", 30.0)],
)
def test_places_on_a_tape(text: str, second: float, tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    path.write_text('{"midwatch_tape":1,"name":"a","title":"b","started_at":"2026-11-24T02:41:00Z"}\n')
    assert second_of(text, Replay(path)) == second


@pytest.mark.parametrize("text", ["", "soon", "1:2:3:4", "-5", "nan", "2026-13-01T00:00:00Z"])
def test_what_is_no_place_on_a_tape(text: str, tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    path.write_text('{"midwatch_tape":1,"name":"a","title":"b","started_at":"2026-11-24T02:41:00Z"}\n')
    with pytest.raises(ValueError):
        second_of(text, Replay(path))


@asynccontextmanager
async def playing(
    folder: Path, scenario: str = "gpu_lost", keymap: dict[str, str] | None = None
) -> AsyncIterator[tuple[Pilot[int], ReplayCockpit]]:
    replay = Replay(open_scenario(scenario).path)
    replay.is_playing = False
    app = ReplayCockpit(
        replay,
        themes=load_themes(None),
        theme="midwatch-dark",
        ansi_color=None,
        hz=10,
        state_dir=folder,
        environ={"PATH": ""},
        keymap=keymap or {},
    )
    async with app.run_test(size=(140, 40)) as pilot:
        async with asyncio.timeout(30):
            while not replay.end_s or app.feed.diagnosis.judged_at is None:
                await pilot.pause(0.05)
        yield pilot, app


def titles(app: ReplayCockpit) -> set[str]:
    return {cause.title for cause in app.feed.diagnosis.causes}


async def test_one_goes_to_changes_of_the_causes_and_back_to_the_same_picture(tmp_path: Path) -> None:
    async with playing(tmp_path, "gpu_fabric_manager") as (pilot, app):
        replay = app.replay
        replay.seek(0.0)
        places: list[tuple[float, set[str]]] = []
        while True:
            before = replay.second
            await pilot.press("right_square_bracket")
            if replay.second == before:
                break
            places.append((replay.second, titles(app)))
        assert [second for second, _ in places] == [
            mark.second for mark in replay.marks if mark.second > replay.start_s + 0.5
        ]
        assert len({frozenset(found) for _, found in places}) > 1
        for second, found in reversed(places[:-1]):
            await pilot.press("left_square_bracket")
            assert (replay.second, titles(app)) == (second, found)


async def test_pause_speed_steps_and_places(tmp_path: Path) -> None:
    async with playing(tmp_path) as (pilot, app):
        replay = app.replay
        await pilot.press("p")
        assert replay.is_playing
        await pilot.press("p", "greater_than_sign")
        assert (replay.is_playing, replay.speed) == (False, 2.0)
        replay.seek(5.0)
        await pilot.press("comma")
        assert replay.second == 4.0
        await pilot.press("full_stop")
        assert replay.second >= 5.0
        await pilot.press("colon")
        assert isinstance(app.screen, PlaceScreen)
        app.screen.query_one(Input).value = "0:07"
        await pilot.press("enter")
        assert replay.second == replay.start_s + 7.0
        await pilot.press("S")
        await pilot.pause()
        assert not (tmp_path / "tapes").exists()


@pytest.mark.parametrize("together", [True, False])
async def test_a_place_that_is_typed_at_once_is_gone_to(together: bool, tmp_path: Path) -> None:
    async with playing(tmp_path) as (pilot, app):
        app.replay.seek(1.0)
        for character in ":0:07\r" if together else ":":
            name = {":": "colon", "\r": "enter"}.get(character, character)
            app.post_message(Key(name, character))
        if not together:
            await pilot.pause()
            await pilot.press("0", "colon", "0", "7", "enter")
        async with asyncio.timeout(10):
            while app.replay.second != app.replay.start_s + 7.0:
                await pilot.pause(0.05)
        assert app.screen is app.cockpit
        assert app.cockpit.attention.focus.is_cluster, "no digit was taken for a layer"


async def test_the_line_of_the_tape_names_its_keys_as_they_are_mapped(tmp_path: Path) -> None:
    async with playing(tmp_path, keymap={"tape.pause": "P", "tape.faster": "plus"}) as (pilot, _):
        await until(pilot, lambda: "P pause · , . step · < + speed · [ ] change · : go to" in screen_text(pilot))


async def test_a_key_of_the_player_before_a_place_counts(tmp_path: Path) -> None:
    async with playing(tmp_path) as (pilot, app):
        app.replay.seek(1.0)
        for character in "p>p:0:07\r]":
            name = {":": "colon", "\r": "enter", ">": "greater_than_sign", "]": "right_square_bracket"}
            app.post_message(Key(name.get(character, character), character))
        change = next(mark.second for mark in app.replay.marks if mark.second > app.replay.start_s + 7.5)
        async with asyncio.timeout(10):
            while app.replay.second != change:
                await pilot.pause(0.05)
        assert (app.replay.is_playing, app.replay.speed) == (False, 2.0)


async def test_what_is_copied_is_said_to_be_from_a_recording(tmp_path: Path) -> None:
    async with playing(tmp_path) as (pilot, app):
        app.replay.seek(app.replay.marks[-1].second)
        app.feed.turn()
        app.cockpit.paint(None)
        await pilot.press("c")
        async with asyncio.timeout(10):
            while not app._notifications:
                await pilot.pause(0.05)
        assert any("from a recording" in notice.message for notice in app._notifications)


async def test_text_selected_by_mouse_is_said_to_be_from_a_recording_too(tmp_path: Path) -> None:
    async with playing(tmp_path) as (pilot, app):
        app.screen.text_select_all()
        app.screen.action_copy_text()
        await pilot.pause()
        assert app.clipboard
        assert any("from a recording" in notice.message for notice in app._notifications)


async def test_a_damaged_tape_plays_up_to_the_damage_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    path.write_text(
        '{"midwatch_tape":1,"name":"a","title":"b","started_at":"2026-11-24T02:41:00Z"}\n'
        '{"t":1,"source":"kubernetes/pods","list":{"items":[]}}\n'
        '{"t":2,"source":"kubernetes/livez","reading":{"type":"Surprise","value":{}}}\n'
    )
    replay = Replay(path)
    replay.feed = Feed(replay.now)
    replay.seek(1.5)
    app = ReplayCockpit(
        replay,
        themes=load_themes(None),
        theme="midwatch-dark",
        ansi_color=None,
        hz=10,
        state_dir=tmp_path,
        environ={},
        keymap={},
    )
    async with app.run_test(size=(100, 30)) as pilot, asyncio.timeout(10):
        while not replay.problem:
            await pilot.pause(0.05)
    assert "Surprise" in replay.problem


def replayed(path: Path) -> Replay:
    """Return a tape to whose words nobody but a feed listens."""
    replay = Replay(path)
    replay.is_playing = False
    replay.feed = Feed(replay.now)
    return replay


async def test_steps_do_not_depend_on_how_far_the_tape_was_looked_through(tmp_path: Path) -> None:
    replay = replayed(open_scenario("gpu_lost").path)
    assert replay.feed is not None
    async with replay.connection(replay.feed.publish):
        before = replay.second
        replay.step(1)
        assert replay.second > before
        heard: list[float] = []
        look_through(replay.path, lambda marks, end: heard.append(end), lambda: True)
    assert set(heard[:-1]) == {0.0}, "the end is told when it was reached"
    assert heard[-1] > 0


async def test_a_tape_that_was_taken_away_says_so_instead_of_winding_back(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl.gz"
    path.write_bytes(open_scenario("gpu_lost").path.read_bytes())
    replay = replayed(path)
    assert replay.feed is not None
    async with replay.connection(replay.feed.publish):
        replay.step(1)
        path.unlink()
        replay.seek(replay.start_s)
    assert str(path) in replay.problem
    assert not replay.is_playing


def test_a_long_silence_is_looked_through_in_few_steps(tmp_path: Path) -> None:
    path = tmp_path / "tape.jsonl"
    path.write_text(
        '{"midwatch_tape":1,"name":"a","title":"b","started_at":"2026-11-24T02:41:00Z"}\n'
        '{"t":2600000,"source":"kubernetes/pods","list":{"items":[]}}\n'
    )
    judged = count()
    look_through(path, lambda marks, end: None, lambda: next(judged) < 10_000)
    assert next(judged) < 1_000


async def test_record_and_check_a_second_of_it(tmp_path: Path) -> None:
    """The commands themselves, against the simulated cluster."""
    tape, kubeconfig = tmp_path / "tape.jsonl.gz", tmp_path / "kubeconfig"
    with simulated_cluster(["faults_a"], kubeconfig):
        done = await midwatch(tmp_path, "record", str(tape), "--for", "6s", "--kubeconfig", str(kubeconfig))
    assert done.code == 0, done.err
    assert "plays it" in done.out
    done = await midwatch(tmp_path, "replay", str(tape), "--check", "+0:05")
    assert done.code == 2, done.err
    assert "▲" in done.out
    last = [json.loads(line) for line in gzip.decompress(tape.read_bytes()).splitlines()]
    end = datetime.fromisoformat(last[0]["started_at"]) + timedelta(seconds=last[-1]["t"])
    replayed = await midwatch(tmp_path, "replay", str(tape), "--check", end.isoformat())
    dumped = await midwatch(tmp_path, "check", "--dump", str(tape), "--context", last[0]["context"])
    assert (replayed.code, replayed.out) == (dumped.code, dumped.out)
    done = await midwatch(tmp_path, "replay", str(tape), "--check", "+59:00")
    assert (done.code, done.out) == (64, "")
    assert "does not reach" in done.complaint


@pytest.mark.parametrize(
    ("server", "user", "said"),
    [("http://127.0.0.1:1", {}, "API server unreachable: "), ("", {"token": "wrong"}, "credentials refused: ")],
)
async def test_who_records_is_told_that_nothing_is_heard(
    tmp_path: Path, server: str, user: dict[str, str], said: str
) -> None:
    tape = tmp_path / "tape.jsonl.gz"
    async with Simulator(SimulatedCluster()) as simulator:
        kubeconfig = write_kubeconfig(tmp_path / "kubeconfig", server or simulator.url, user=user)
        done = await midwatch(tmp_path, "record", str(tape), "--for", "4s", "--kubeconfig", str(kubeconfig))
    assert done.code == 3
    assert said in done.err
    assert done.err.splitlines()[-1] == "midwatch: nothing was heard: no source of the cluster has answered"


async def test_a_mistyped_namespace_is_not_recorded(tmp_path: Path) -> None:
    tape, kubeconfig = tmp_path / "tape.jsonl.gz", tmp_path / "kubeconfig"
    with simulated_cluster(["faults_a"], kubeconfig):
        options = ("--for", "20s", "--kubeconfig", str(kubeconfig), "-n", "shpo")
        done = await midwatch(tmp_path, "record", str(tape), *options)
    assert (done.code, done.out) == (64, "")
    assert done.err.endswith("midwatch: --namespace: this cluster has no namespace shpo; did you mean shop?\n")
    assert not tape.exists()


@pytest.mark.parametrize("command", [("replay", "{}", "--check", "+0:10"), ("check", "--dump", "{}", "--at", "{at}")])
async def test_that_a_tape_is_cut_off_stands_at_the_top(command: tuple[str, ...], tmp_path: Path) -> None:
    """Also where the moment that is asked for lies before the cut."""
    whole = Tape(open_scenario("gpu_lost").path)
    packed, path = whole.path.read_bytes(), tmp_path / "tape.jsonl.gz"
    path.write_bytes(packed[: len(packed) * 9 // 10])
    at = (whole.header.started_at + timedelta(seconds=whole.header.start_at + 10)).isoformat()
    arguments = [part.format(path, at=at) for part in command]
    text = (await midwatch(tmp_path, *arguments)).out.splitlines()
    assert text[2].startswith(f"note: {path}: the tape is cut off at line ")
    notes = json.loads((await midwatch(tmp_path, *arguments, "-o", "json")).out)["notes"]
    assert [f"note: {note}" for note in notes] == text[2:3]


async def test_a_time_after_the_cut_is_not_told_of(tmp_path: Path) -> None:
    packed, path = open_scenario("gpu_lost").path.read_bytes(), tmp_path / "tape.jsonl.gz"
    path.write_bytes(packed[: len(packed) * 9 // 10])
    done = await midwatch(tmp_path, "replay", str(path), "--check", "+50:00")
    assert (done.code, done.out) == (64, "")
    assert "does not reach there: it is cut off at 20" in done.complaint


def test_times_of_tapes_are_those_of_their_header(tmp_path: Path) -> None:
    path = open_scenario("faults_a").path
    replay = Replay(path)
    assert replay.time_at(10.0) - replay.time_at(0.0) == timedelta(seconds=10)
