"""A Prometheus, or a server that answers as one does, asked with instant queries.

Instead of a scrape of each target some queries, each for a few metrics: all at once would be a hundred megabytes.
"""

import asyncio
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from collectors.errors import BadAnswerError, RefusedError, SourceError, UnauthorizedError
from collectors.http import HttpReader, with_path
from collectors.prometheus_text import Sample
from collectors.urls import without_password
from situation.text import harmless

DEADLINE_S: Final = 10.0
"""For one query."""
ANSWER_LIMIT_BYTES: Final = 64 * 2**20
NAMES_AT_ONCE: Final = 6
_TIMES_END_S: Final = 2**33
"""Seconds since 1970; what is later is no time stamp."""


class _Data(msgspec.Struct, frozen=True):
    result: tuple["_Series", ...] = ()


class _Series(msgspec.Struct, frozen=True):
    metric: dict[str, str]
    value: tuple[float, str]


class _Answer(msgspec.Struct, frozen=True):
    status: str
    data: _Data = _Data()
    error: str = ""


def parse_answer(body: bytes, what: str) -> list[Sample]:
    """Parse the answer to an instant query; values that are no numbers are left out. Raises SourceError."""
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        if body.lstrip()[:1] == b"<":
            raise BadAnswerError(f"{what} answered with a web page: is a login page in between?") from error
        raise BadAnswerError(f"{what} does not answer as Prometheus does: {error}") from error
    if answer.status != "success":
        raise RefusedError(f"{what} refuses the query: {harmless(answer.error)[:200]}")
    return [sample for series in answer.data.result if (sample := _sample(series)) is not None]


def _sample(series: _Series) -> Sample | None:
    try:
        value = float(series.value[1])
    except ValueError:
        return None
    labels = {name: harmless(text) for name, text in series.metric.items()}
    return Sample(labels.get("__name__", ""), labels, value)


def queries_for(names: Collection[str], labels: Iterable[str]) -> list[str]:
    """Return instant queries that tell all metrics of these names, with their names and only these labels."""
    wanted = sorted(names)
    groups = [wanted[start : start + NAMES_AT_ONCE] for start in range(0, len(wanted), NAMES_AT_ONCE)]
    kept = ",".join(("__name__", *labels))
    return [f'max by ({kept}) ({{__name__=~"{"|".join(group)}"}})' for group in groups]


class PrometheusApi:
    """Asks one Prometheus; `token_file` holds a bearer token for it."""

    def __init__(self, url: str, http: HttpReader, token_file: Path | None = None) -> None:
        self.shown = without_password(url)
        """For messages."""
        self._url = with_path(url, "/api/v1/query")
        self._http = http
        self._token_file = token_file

    async def ask(self, query: str) -> list[Sample]:
        """Return what an instant query tells. Raises SourceError."""
        try:
            body = await self._http.get(
                self._url,
                {"query": query},
                deadline_s=DEADLINE_S,
                token_file=self._token_file,
                limit_bytes=ANSWER_LIMIT_BYTES,
            )
        except UnauthorizedError as error:
            hint = "put USER:PASSWORD@ into the URL, or name a file with a token: prometheus_token_file"
            raise UnauthorizedError(f"{error}; {hint}") from error
        return await asyncio.to_thread(parse_answer, body, self.shown)

    async def scraped_at(self, labels: Iterable[str], names: str) -> list[tuple[Sample, datetime]]:
        """Return when each target was scraped last, a target for each combination of `labels`.

        `names` is a regular expression of metrics of which each target has one. Asked because an instant query answers
        with values that may be minutes old; empty where the server does not know it.
        """
        try:
            samples = await self.ask(f'max by ({",".join(labels)}) (timestamp({{__name__=~"{names}"}}))')
        except SourceError:
            return []  # some that answer like Prometheus do not know it
        known = (sample for sample in samples if 0 < sample.value < _TIMES_END_S)
        return [(sample, datetime.fromtimestamp(sample.value, UTC)) for sample in known]
