"""The scheduler's work as a Prometheus tells it: attempts now and an hour before, queues, and whose they are."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from collectors.control_plane.scheduler import ATTEMPTS, CLUSTERS, EARLIER, PENDING, SchedulerPoll
from collectors.errors import AbsentError, BadAnswerError, ConfigurationError
from collectors.http import HttpReader
from situation.histograms import Histogram
from situation.readings import Reading, SourceState
from situation.scheduler import SchedulerLoad
from situation.situation import Situation
from tests.build import NOW
from tests.collectors.loopback import Asked, Loopback, http
from tests.collectors.test_gpu_prometheus import vector

INF = float("inf")
SCRAPED = NOW - timedelta(seconds=20)


def buckets(*counts: tuple[str, float | str]) -> bytes:
    return vector(*(({"le": bound}, count) for bound, count in counts))


class Prometheus(Loopback):
    """Answers each query as a test says, and with nothing what it does not speak of."""

    def __init__(self, told: dict[str, bytes], scraped: datetime = SCRAPED) -> None:
        super().__init__()
        self.scraped = scraped
        self.told = {CLUSTERS: vector(({}, 4)), **told}

    def answer(self, asked: Asked) -> bytes:
        query = asked.query.get("query", "")
        if "timestamp(" in query:
            return vector(({}, self.scraped.timestamp()))
        return self.told.get(query, vector())


async def read(told: dict[str, bytes]) -> Reading:
    async with Prometheus(told) as server, HttpReader() as reader:
        (reading,) = [item async for item in SchedulerPoll(server.url, reader, lambda: NOW).collect()]
    return reading


async def test_attempts_of_now_and_of_an_hour_before_and_who_waits() -> None:
    reading = await read(
        {
            ATTEMPTS: buckets(("0.512", 90), ("+Inf", 100), ("1.024", 99)),
            EARLIER: buckets(("0.512", 100), ("1.024", 100), ("+Inf", 100)),
            PENDING: vector(({"queue": "active"}, 240), ({"queue": "unschedulable"}, 3)),
        }
    )
    assert (reading.source, reading.state, reading.observed_at) == (
        "control-plane/scheduler",
        SourceState.LIVE,
        SCRAPED,
    )
    load = reading.value
    assert isinstance(load, SchedulerLoad)
    assert load.attempts == Histogram((0.512, 1.024, INF), (90.0, 99.0, 100.0))
    assert load.earlier.total == 100
    assert load.pending == {"active": 240, "unschedulable": 3}
    known = Situation()
    known.apply(reading)
    assert known.scheduler == load


@pytest.mark.parametrize(
    "answer",
    [vector(), buckets(("0.512", "NaN"), ("+Inf", "NaN")), buckets(("0.512", 90), ("1.024", 99)),
     buckets(("half", 9), ("", 1))],
    ids=["none", "no number", "breaks off", "no bounds"],
)  # fmt: skip
async def test_what_is_no_histogram_is_no_attempt(answer: bytes) -> None:
    load = (await read({ATTEMPTS: answer, PENDING: vector(({"queue": "active"}, "NaN"), ({}, 3))})).value
    assert isinstance(load, SchedulerLoad)
    assert load.attempts.quantile(0.99) is None


async def test_a_prometheus_that_does_not_scrape_the_scheduler() -> None:
    with pytest.raises(AbsentError, match="does it scrape the scheduler"):
        await read({CLUSTERS: vector()})


async def test_schedulers_of_several_clusters_are_not_added_up() -> None:
    told = vector(({"cluster": "west"}, 4), ({"cluster": "east"}, 4))
    with pytest.raises(BadAnswerError, match=r"2 clusters \(east, west\): which is this one's is not known"):
        await read({CLUSTERS: told})


async def test_a_web_page_and_a_url_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(BadAnswerError, match="web page"):
        await read({CLUSTERS: http(b"<html>log in</html>")})
    async with HttpReader() as reader:
        with pytest.raises(ConfigurationError, match="--prometheus 'http://\\[half': not a URL"):
            SchedulerPoll("http://[half", reader, lambda: NOW)
