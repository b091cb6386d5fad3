"""An API server near its limits, and what is none of it."""

from typing import Final

import pytest

from diagnosis.rules import api_load, api_server
from situation.api_server import ApiServerPage, Seats
from situation.findings import Finding, Severity
from situation.kinds import WATCHED
from situation.readings import Reading, SourceState
from situation.situation import Situation
from tests.build import NOW, situation
from tests.diagnosis.api_pages import grown, scraped, took
from tests.diagnosis.objects import causes_of

RULES = api_load.RULES
FULL = {"seats": {"workload-low": Seats(245, 245), "exempt": Seats(9, 2)}}
ROOM = {"seats": {"workload-low": Seats(100, 245), "exempt": Seats(9, 2)}}
READS = {"in_flight": {"readOnly": 390.0, "mutating": 20.0}}
FEW = {"in_flight": {"readOnly": 12.0, "mutating": 2.0}}


def found(*pages: ApiServerPage, known: Situation | None = None) -> dict[str, Finding]:
    return causes_of(RULES, scraped(known or situation(), *pages))


@pytest.mark.parametrize(
    ("pages", "title"),
    [
        (grown(FULL, FULL), "API server has no free seat in priority level workload-low"),
        (grown(READS, READS), "API server is near its limit of readOnly requests in flight"),
        (grown(FULL, ROOM), ""),
        (grown(FEW, READS), ""),
        (grown(READS, READS)[:1], ""),
        (grown({"terminated": 9000.0, "durations": {"GET": took(1, 10)}},
               {"terminated": 9100.0, "durations": {"GET": took(1, 110)}}),
         "API server gives up requests to protect itself"),
        (grown({"terminated": 9000.0, "durations": {"GET": took(1, 10)}},
               {"terminated": 9015.0, "durations": {"GET": took(1, 900)}}), ""),
    ],
    ids=["seats", "in flight", "seats free again", "a moment", "one scrape", "gives up", "gives up few"],
)  # fmt: skip
def test_saturation(pages: tuple[ApiServerPage, ...], title: str) -> None:
    causes = found(*pages)
    assert [finding.title for finding in causes.values()] == ([title] if title else [])
    assert set(causes) <= {"api-saturated"}


def test_a_limit_that_the_server_does_not_tell_is_called_the_default() -> None:
    finding = found(*grown(READS, READS))["api-saturated"]
    assert finding.evidence[0].text == "readOnly requests in flight: 390 (default limit 400)"


@pytest.mark.parametrize(
    ("before", "after", "severity"),
    [
        ({"global-default": 5000.0}, {"global-default": 5040.0}, Severity.WARNING),
        ({}, {"node-high": 30.0}, Severity.CRITICAL),
        ({}, {"node-high": 3.0}, Severity.WARNING),
        ({"global-default": 5000.0}, {"global-default": 5000.0}, None),
    ],
    ids=["rejects now", "of kubelets, all of them", "of kubelets, the first ones", "long ago"],
)
def test_rejects_count_over_the_window_only(
    before: dict[str, float], after: dict[str, float], severity: Severity | None
) -> None:
    causes = found(*grown({"rejected": before}, {"rejected": after}))
    assert [finding.severity for finding in causes.values()] == ([] if severity is None else [severity])


BUSY: Final = took(0.01, 50_000)
MORE: Final = took(0.01, 50_000, BUSY)


def rejecting(*counts: float, level: str = "leader-election") -> list[ApiServerPage]:
    """Return pages of a server that answers very many requests, with these rejects of a level; 0 is not on a page."""
    return [
        ApiServerPage(started_at=1.0, durations={"GET": MORE if number else BUSY},
                      rejected={level: count} if count else {})
        for number, count in enumerate(counts)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("pages", "severity"),
    [
        (rejecting(0, 1), Severity.INFO),
        (rejecting(0, 1, level="workload-low"), Severity.INFO),
        (rejecting(0, 40), Severity.WARNING),
        (rejecting(0, 40, 40), Severity.WARNING),
        (rejecting(0, 40, 80), Severity.CRITICAL),
        (rejecting(0, 1, 2), Severity.INFO),
        (rejecting(0, 9000), Severity.CRITICAL),
        (rejecting(0, 40, 80, level="workload-low"), Severity.WARNING),
    ],
    ids=["one of leaders", "one of others", "a rush", "it is over", "it goes on", "one now and then", "many of all",
         "of others"],
)  # fmt: skip
def test_rejects_are_as_grave_as_they_are_many_or_go_on(pages: list[ApiServerPage], severity: Severity) -> None:
    assert [finding.severity for finding in found(*pages).values()] == [severity]


def test_a_page_that_was_cut_off_proves_no_first_reject() -> None:
    before = ApiServerPage(started_at=1.0, is_cut=True)
    assert not found(before, ApiServerPage(started_at=1.0, rejected={"global-default": 5000.0}))


def test_rejects_follow_from_saturation_and_both_from_what_we_feel_ourselves() -> None:
    pages = grown({**FULL, "rejected": {"workload-low": 1.0}}, {**FULL, "rejected": {"workload-low": 80.0}})
    causes = found(*pages)
    assert [item.rule for item in causes["api-saturated"].consequences] == ["api-requests-rejected"]
    known = situation()
    for kind in WATCHED[:3]:
        known.apply(Reading(kind.source, SourceState.LIVE, NOW, error="429 Too many requests, please try again later."))
    causes = causes_of((*api_server.RULES, *RULES), scraped(known, *pages))
    assert list(causes) == ["api-overloaded"]
    assert {item.rule for item in causes["api-overloaded"].consequences} == {"api-saturated", "api-requests-rejected"}


@pytest.mark.parametrize(
    ("open_files", "severity"),
    [(16_500, Severity.WARNING), (19_500, Severity.CRITICAL), (15_000, None), (None, None)],
)
def test_file_descriptors(open_files: int | None, severity: Severity | None) -> None:
    causes = found(ApiServerPage(open_files=open_files, max_files=20_000, watches=14_200))
    assert [finding.severity for finding in causes.values()] == ([] if severity is None else [severity])
    if severity:
        assert causes["api-files-exhausted"].evidence[1].text == "14,200 watches are open, each costs one"
