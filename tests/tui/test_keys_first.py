"""A turn that takes long does not keep a key waiting, and keys do not keep a turn from its end."""

from pathlib import Path
from time import monotonic, sleep

import pytest
from textual import events

from situation.steps import Steps, finish
from tests.build import node, pod
from tests.tui.cockpits import Cluster, cluster_readings, open_cockpit
from tui.app import Cockpit
from tui.dialogs import HelpScreen
from tui.feed import Feed, Turn
from tui.keys_first import KeysFirst

STEP_S = 0.01


def steps(count: int) -> Steps[str]:
    for _ in range(count):
        sleep(STEP_S)
        yield
    return "made"


async def test_a_key_is_answered_in_the_middle_of_a_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turning, begun, ended = Feed.turning, list[float](), list[float]()

    def long_turn(feed: Feed) -> Steps[Turn]:
        begun.append(monotonic())
        yield from steps(200)
        turn = yield from turning(feed)
        ended.append(monotonic())
        return turn

    async with open_cockpit(Cluster(cluster_readings(pod("a"), node("n1"))), tmp_path) as pilot:
        app = pilot.app
        assert isinstance(app, Cockpit)
        monkeypatch.setattr(Feed, "turning", long_turn)
        deadline = monotonic() + 10
        while len(begun) == len(ended):  # until one is under way
            assert monotonic() < deadline
            await pilot.pause(0.01)
        turns = len(ended)
        app.post_message(events.Key("question_mark", "?"))
        while not isinstance(app.screen, HelpScreen):
            assert len(ended) == turns
            await pilot.pause(0.01)
        monkeypatch.undo()


async def test_what_the_steps_made_comes_back() -> None:
    keys = KeysFirst()
    keys.begin_turn()
    assert await keys.finish(steps(3)) == "made" == finish(steps(3))


async def test_keys_that_never_end_hold_a_turn_up_for_a_moment_only() -> None:
    keys = KeysFirst()

    def pressed() -> Steps[None]:
        for _ in range(20):
            keys.note(events.Key("j", "j"))
            sleep(STEP_S)
            yield

    keys.begin_turn()
    began = monotonic()
    await keys.finish(pressed())
    assert 0.05 < monotonic() - began - 20 * STEP_S < 0.6  # it waits, all in all for 0.1 s


async def test_a_key_that_came_just_before_a_turn_is_answered_before_it_begins() -> None:
    keys, begun = KeysFirst(), list[float]()

    def turn() -> Steps[None]:
        begun.append(monotonic())
        yield

    pressed_at = monotonic()
    keys.note(events.Key("j", "j"))
    keys.begin_turn()
    await keys.finish(turn())
    assert begun[0] - pressed_at > 0.04


async def test_a_mouse_that_only_moves_holds_nothing_up() -> None:
    keys = KeysFirst()
    keys.note(events.MouseMove(None, 1, 1, 0, 0, 0, False, False, False))
    keys.begin_turn()
    began = monotonic()
    await keys.finish(steps(2))
    assert monotonic() - began < 2 * STEP_S + 0.04
