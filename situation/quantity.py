"""Kubernetes quantities as plain numbers, and sizes and latencies as people read them: spelled out, or for columns."""

from functools import lru_cache
from typing import Final

_SUFFIXES: Final = {
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60,
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
}  # fmt: skip
_UNITS: Final = ("B", "Ki", "Mi", "Gi")
_THOUSANDS: Final = ("", "k", "M", "G")


@lru_cache(maxsize=4096)
def parse_quantity(text: str | int | float) -> float | None:
    """Return the number that a quantity means (`"250m"` is 0.25, `"32Mi"` is 33554432), or None when it is not one.

    Grammar and suffixes: Kubernetes API conventions, resource.Quantity.
    """
    if isinstance(text, int | float):
        return float(text)
    body = text.strip()
    factor = 1.0
    for suffix, value in _SUFFIXES.items():
        if body.endswith(suffix):
            body, factor = body[: -len(suffix)], float(value)
            break
    try:
        return float(body) * factor
    except ValueError:
        return None


def counted(count: int, noun: str) -> str:
    """Return `1 pod`, `2 pods`; for nouns whose plural ends in `s` alone."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def human_bytes(count: float) -> str:
    """Return a size in binary units as people write it, for example `1.4 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def latency_text(seconds: float) -> str:
    """Return a latency in about three digits: `0.9 ms`, `18 ms`, `1.2 s`, `60 s`."""
    if seconds < 0.00995:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"


def short_latency(seconds: float) -> str:
    """Return a latency in at most five cells: `0.9ms`, `18ms`, `1.2s`, `60s`."""
    return latency_text(seconds).replace(" ", "")


def short_bytes(count: float) -> str:
    """Return a size in at most six cells: `940Mi`, `1.4Gi`."""
    value, unit = float(count), 0
    while value >= 1000 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    digits = 1 if value < 9.95 and unit else 0
    return f"{value:.{digits}f}{_UNITS[unit]}"


def short_count(number: float) -> str:
    """Return a number in at most five cells: `0`, `0.3`, `52`, `940`, `2.1k`, `12k`, `1.5M`; what is not 0 never is."""
    value, unit = abs(float(number)), 0
    while value >= 999.5 and unit < len(_THOUSANDS) - 1:
        value, unit = value / 1000, unit + 1
    if 0 < value < 0.05 and not unit:
        return "<0.1"
    text = f"{value:.0f}" if value >= 9.95 or (not unit and value == round(value)) else f"{value:.1f}"
    return ("-" if number < 0 else "") + text + _THOUSANDS[unit]
