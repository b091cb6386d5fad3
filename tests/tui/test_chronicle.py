"""The timeline of a replay: what happened on the tape up to where it stands."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from incidents.causes import CauseFollower
from incidents.entries import Entry, Kind
from incidents.log import Log
from incidents.sources import SourceFollower
from tape.playhead import Playhead
from tests.tui.test_replay import playing
from tui.feed import Feed
from tui.recorded import RecordedSources
from widgets.timeline import TimelinePane


def lines(entries: Iterable[Entry]) -> list[tuple[datetime, Kind, str, int, tuple[str, ...]]]:
    return [(entry.at, entry.kind, entry.text, entry.times, entry.follows) for entry in entries]


def kept_live(path: Path, until: float) -> tuple[Entry, ...]:
    """What a log keeps of a tape that is played to it second by second up to one of them."""
    clock = datetime.now(UTC)
    feed = Feed(lambda: clock)
    head = Playhead(path, RecordedSources)
    log, causes, sources = Log(path.parent / "none", "", entry_limit=1000), CauseFollower(), SourceFollower()
    second = head.start_s - 1
    while (second := second + 1) <= until:
        clock = head.time_at(second)
        for reading in head.until(second):
            if reading.source != "midwatch/load":
                feed.publish(reading)
        diagnosis = feed.turn().diagnosis
        for entry, again in (
            *causes.take(diagnosis, clock),
            *sources.take(tuple(feed.situation.sources.values()), clock),
        ):
            log.add(msgspec.structs.replace(entry, severity=None), again=again)  # so that no file is begun
    return log.entries


async def test_the_timeline_is_the_same_however_one_got_to_a_second(tmp_path: Path) -> None:
    """Played on to, gone back to, or written down live: the follower's debouncing does not run backwards."""
    async with playing(tmp_path, "faults_a") as (pilot, app):
        replay = app.replay
        places = [replay.start_s + second for second in (3, 8, 20, 35, 50)]
        forwards, backwards = [], []
        for place in places:
            replay.seek(place)
            app._moved()
            forwards.append(lines(app.recorder.entries))
        for place in reversed(places):
            replay.seek(place)
            app._moved()
            backwards.append(lines(app.recorder.entries))
        assert forwards == backwards[::-1]
        assert not forwards[0] and len({len(told) for told in forwards}) > 2
        for place, told in zip(places, forwards, strict=True):
            live = lines(kept_live(replay.path, place))
            assert [line[1:] for line in told] == [line[1:] for line in live]
            # Where nothing is said for a while the tape is looked through in larger steps.
            assert all(abs(line[0] - other[0]) < timedelta(seconds=3) for line, other in zip(told, live, strict=True))
        replay.seek(places[-1])
        app._moved()
        await pilot.press("t")
        pane = app.cockpit.query_one(TimelinePane)
        assert pane.table.row_count == len(forwards[-1])
        await pilot.press("colon", *"0:03", "enter")
        assert replay.second == places[0]
        assert pane.table.row_count == 0
        assert not (tmp_path / "incidents").exists()
