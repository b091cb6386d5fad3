"""Which ways to the GPUs to take. Read before the first paint, so it imports none of them."""

from typing import Final

import msgspec

DEFAULT_NODES: Final = 16
"""Asked through the API server in one round, at most: about one small request a second."""


class DeviceOptions(msgspec.Struct, frozen=True):
    """Which ways to the GPUs to take besides NVML."""

    urls: tuple[str, ...] = ()
    """DCGM exporters that are asked directly."""
    prometheus: str = ""
    """URL of a Prometheus, or of what answers like one; empty for none."""
    token_file: str = ""
    """Holds a bearer token for the Prometheus."""
    nodes: int = DEFAULT_NODES
    """Exporters asked through the API server in one round, at most; 0 for none."""
