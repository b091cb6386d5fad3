"""Which model servers to ask, and how. Read before the first paint, so it imports none of the ways."""

from typing import Final

import msgspec

DEFAULT_SERVERS: Final = 16
"""Asked through the API server in one round, at most: some three small requests a second."""


class VllmOptions(msgspec.Struct, frozen=True):
    """Which servers to ask besides those that are found, and how."""

    urls: tuple[str, ...] = ()
    """Servers that are asked directly."""
    prometheus: str = ""
    """URL of a Prometheus that scrapes them, or of what answers like one; empty for none."""
    token_file: str = ""
    """Holds a bearer token for the Prometheus."""
    servers: int = DEFAULT_SERVERS
    """Servers asked through the API server in one round, at most; 0 for none."""
    pods: tuple[str, ...] = ()
    """Patterns `namespace/pod`: these pods are model servers although nothing shows it."""
    skipped: tuple[str, ...] = ()
    """Patterns `namespace/pod`: these pods are not asked."""
    cacert: str = ""
    """File with the CA that signed the certificates of servers that are asked directly."""
