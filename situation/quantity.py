"""Kubernetes quantities as plain numbers."""

from functools import lru_cache
from typing import Final

_SUFFIXES: Final = {
    "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50, "Ei": 2**60,
    "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
}  # fmt: skip


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


def human_bytes(count: float) -> str:
    """Return a size in binary units as people write it, for example `1.4 GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"
