"""What a pod answered over HTTP, as a tape holds it."""

from typing import NamedTuple


class PodPage(NamedTuple):
    """One answer."""

    namespace: str
    pod: str
    port: int
    path: str
    status: int
    body: bytes
    error: str
    """Why nobody answered; empty if somebody did."""
