"""What the GPUs did before: utilisation per device, a bounded number of readings of it."""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final

from situation.gpu.devices import GpuDevice, NodeDevices
from widgets.blocks import NOT_MEASURED

KEPT: Final = 30
"""Readings kept of a device."""

_Key = tuple[int, str, str]


class DeviceHistory:
    """One byte per device and reading, so that 8,000 GPUs take about a megabyte, however long it runs."""

    def __init__(self) -> None:
        self._kept: dict[str, dict[_Key, bytes]] = {}
        self._seen: dict[str, datetime] = {}

    def of(self, node: str, device: GpuDevice) -> bytes:
        """Return the utilisation of a device in percent, oldest first."""
        return self._kept.get(node, {}).get(_key(device), b"")

    def take(self, nodes: Iterable[NodeDevices], known: Collection[str]) -> None:
        """Note a round of readings; nodes not among `known` are forgotten."""
        for item in nodes:
            if item.observed_at is None or self._seen.get(item.node) == item.observed_at:
                continue
            self._seen[item.node] = item.observed_at
            before = self._kept.get(item.node, {})
            self._kept[item.node] = {
                (key := _key(device)): before.get(key, b"")[1 - KEPT :] + _percent(device) for device in item.devices
            }
        for node in [node for node in self._kept if node not in known]:
            del self._kept[node]
            self._seen.pop(node, None)


_PERCENTS: Final = tuple(bytes((number,)) for number in range(101))
_NOT_MEASURED: Final = bytes((NOT_MEASURED,))


def _percent(device: GpuDevice) -> bytes:
    ratio = device.utilization_ratio
    return _NOT_MEASURED if ratio is None else _PERCENTS[round(100 * max(0.0, min(ratio, 1.0)))]


def _key(device: GpuDevice) -> _Key:
    return (device.index, device.uuid, device.mig_id)
