"""Going to another place on a tape from a moment that was kept: the same picture as when it is played to there."""

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from simulator.scenarios import open_scenario
from situation.findings import Diagnosis
from situation.readings import Changed, Listed, Reading, SourceState
from situation.situation import Situation
from tape.format import TapeError
from tape.scribe import Scribe
from tests.build import NOW, made, pod
from tui.feed import Feed
from tui.moments import Moments
from tui.replay import Replay, look_through

SECONDS = 120
CRASHES = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 9}


def recorded(path: Path) -> Path:
    """A tape of forty pods that come, restart and go, and a kind that is lost and back."""
    chance = random.Random(path.name)  # noqa: S311  the same in each run
    with Scribe(path, NOW, title="t", context="c") as scribe:
        scribe.write([Reading("kubernetes/nodes", SourceState.LIVE, NOW, Listed("nodes", ()))], NOW)
        scribe.write([Reading("kubernetes/pods", SourceState.LIVE, NOW, Listed("pods", ()))], NOW)
        for second in range(1, SECONDS):
            at = NOW + timedelta(seconds=second)
            said: list[Reading] = []
            for _ in range(chance.randrange(6)):
                name = f"web-{chance.randrange(40)}"
                crashes = chance.random() < 0.3
                item = made(pod(name, container_status=CRASHES if crashes else None, ready=not crashes))
                change = Changed("pods", (item,)) if chance.random() < 0.8 else Changed("pods", removed=(item.key,))
                said.append(Reading("kubernetes/pods", SourceState.LIVE, at, change))
            if second % 17 == 0:
                state = SourceState.UNREACHABLE if second % 34 else SourceState.LIVE
                said.append(Reading("kubernetes/nodes", state, at, error="" if state is SourceState.LIVE else "gone"))
            scribe.write(said, at)
    return path


def plain(value: Any) -> Any:
    """Everything that an object holds, also what it holds for itself, to be compared."""
    if isinstance(value, msgspec.Struct | str | bytes | int | float | frozenset | timedelta) or value is None:
        return value
    if isinstance(value, dict):
        return [(key, plain(item)) for key, item in value.items()]
    if hasattr(value, "__dict__"):
        named = {name: item for name, item in vars(value).items() if name not in ("derived", "_lasting", "_keys_of")}
        return (type(value).__name__, plain(named))
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def told(diagnosis: Diagnosis) -> list[tuple[object, ...]]:
    return [
        (cause.key, cause.title, cause.severity, cause.evidence, [item.title for item in cause.consequences])
        for cause in diagnosis.causes
    ]


class Player:
    """A tape and a feed that hears it."""

    def __init__(self, path: Path, moments: Moments | None = None) -> None:
        self.replay = Replay(path)
        self.replay.is_playing = False
        self.replay.feed = self.feed = Feed(self.replay.now)
        self.replay.moments = moments or Moments()

    async def at(self, second: float) -> tuple[Situation, list[tuple[object, ...]]]:
        async with self.replay.connection(self.feed.publish):
            self.replay.seek(second)
            diagnosis = self.feed.turn().diagnosis
        return self.feed.situation, told(diagnosis)


def looked_through(path: Path, every: int, held: int = 10**6) -> Moments:
    moments = Moments(every, held)
    look_through(path, lambda marks, end: None, lambda: True, moments)
    return moments


@pytest.mark.parametrize("seed", range(3))
async def test_going_anywhere_in_any_order_leads_to_what_is_played_to_there(seed: int, tmp_path: Path) -> None:
    path = recorded(tmp_path / f"{seed}.jsonl.gz")
    moments = looked_through(path, every=20)
    assert len(moments.kept) > 5
    before = [plain(moment._situation) for moment in moments.kept]
    player, chance = Player(path, moments), random.Random(seed)  # noqa: S311  the same in each run
    for _ in range(25):
        second = chance.uniform(0, SECONDS)
        situation, causes = await player.at(second)
        fresh = Player(path)
        played, expected = await fresh.at(second)
        assert plain(situation) == plain(played)
        assert causes == expected
        assert list(player.feed.order) == list(fresh.feed.order)
    assert [plain(moment._situation) for moment in moments.kept] == before, "what is kept does not change"


@pytest.mark.parametrize("scenario", ["vllm_queue", "etcd_fragmented", "gpu_lost"])
async def test_windows_curves_and_devices_are_there_again(scenario: str, tmp_path: Path) -> None:
    """Tapes with sources' own words, which are polled at other moments by who plays from the beginning."""
    path = open_scenario(scenario).path
    moments = looked_through(path, every=1)
    assert moments.kept
    player = Player(path, moments)
    last = moments.kept[-1].second
    await player.at(last + 1.0)
    for second in (last, last / 2, last + 0.5):
        situation, causes = await player.at(second)
        played, expected = await Player(path).at(second)
        assert [cause[:3] for cause in causes] == [cause[:3] for cause in expected]
        assert situation.serving.known.keys() == played.serving.known.keys()
        assert situation.devices.keys() == played.devices.keys()
        assert len(situation.etcd.known) == len(played.etcd.known)


def test_what_is_kept_stays_within_its_bounds(tmp_path: Path) -> None:
    moments = looked_through(recorded(tmp_path / "tape.jsonl.gz"), every=5, held=90)
    assert 1 <= sum(moment.held for moment in moments.kept) <= 90
    assert [moment.second for moment in moments.kept] == sorted({moment.second for moment in moments.kept})


async def test_another_tape_in_the_place_of_this_one_is_not_played_on(tmp_path: Path) -> None:
    path = recorded(tmp_path / "tape.jsonl.gz")
    player = Player(path, looked_through(path, every=20))
    await player.at(100.0)
    path.unlink()
    with Scribe(path, NOW + timedelta(days=1), title="t", context="c"):
        pass
    await player.at(50.0)
    assert "another tape" in player.replay.problem
    with pytest.raises(TapeError):
        player.replay._head.at(player.replay.moments.kept[0]._place)
