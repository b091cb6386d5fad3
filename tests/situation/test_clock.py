from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from situation.clock import age_text, duration_text, moment_text
from situation.quantity import human_bytes, latency_text, parse_quantity, short_bytes, short_latency
from tests.build import NOW


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (250, "4m10s"), (600, "10m"), (10_799, "179m"), (10_800, "3h"),
     (11_100, "3h5m"), (8 * 3600, "8h"), (47 * 3600, "47h"), (48 * 3600, "2d"), (50 * 3600, "2d2h"),
     (9 * 86400, "9d"), (-5, "0s")],
)  # fmt: skip
def test_durations_read_as_kubectl_prints_them(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


def test_an_unknown_time_has_no_age_and_the_future_is_now() -> None:
    assert age_text(None, NOW) == "?"
    assert age_text(NOW + timedelta(hours=1), NOW) == "0s"


def test_a_time_of_another_day_has_its_date() -> None:
    assert moment_text(NOW - timedelta(hours=1), NOW) == "01:41:07"
    assert moment_text(NOW - timedelta(hours=50), NOW) == "2026-11-21 00:41:07"


@pytest.mark.parametrize(
    ("text", "value"),
    [("32Mi", 2**25), ("250m", 0.25), ("1", 1.0), ("2k", 2000.0), ("1e3", 1000.0), ("1.5Gi", 1.5 * 2**30), (8, 8.0),
     ("", None), ("many", None), ("Mi", None)],
)  # fmt: skip
def test_quantities(text: str | int, value: float | None) -> None:
    assert parse_quantity(text) == value


def test_sizes_for_people() -> None:
    assert [human_bytes(size) for size in (0, 1023, 1024, 33554432, 1.4 * 2**30)] == [
        "0 B", "1023 B", "1.0 KiB", "32.0 MiB", "1.4 GiB",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "wanted"), [(0.0009, "0.9 ms"), (0.0182, "18 ms"), (0.9996, "1.0 s"), (1.24, "1.2 s"), (60.0, "60 s")]
)
def test_latencies_are_short(seconds: float, wanted: str) -> None:
    assert latency_text(seconds) == wanted
    assert short_latency(seconds) == wanted.replace(" ", "")


@given(st.integers(0, 2**50))
def test_sizes_fit_their_column(count: int) -> None:
    assert len(short_bytes(count)) <= 9
