"""GPUs as the pages of DCGM exporters on a tape tell of them. Source `gpu/dcgm`, as if they were asked now."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from collectors.errors import BadAnswerError
from collectors.gpu_devices.dcgm import parse_dcgm
from collectors.gpu_devices.exporters import FRESH_S
from collectors.gpu_devices.wishes import DeviceWishes, Exporter
from collectors.pod_page import PodPage
from situation.gpu.devices import GpuReading, NodeDevices
from situation.readings import Reading, SourceState
from situation.situation import Situation
from situation.text import harmless

SOURCE: Final = "gpu/dcgm"
_PATH: Final = "/metrics"


def devices_on_pages(pages: Iterable[PodPage], situation: Situation, now: datetime) -> Reading | None:
    """Return what the exporters among the pods of `pages` tell of their nodes; None if none of these is an exporter."""
    wishes = DeviceWishes("", "")
    wishes.tell(situation)
    found = tuple(_all(pages, {(item.namespace, item.pod, item.port): item for item in wishes.exporters.values()}, now))
    if not found:
        return None
    state = SourceState.LIVE if any(item.observed_at for item in found) else SourceState.UNREACHABLE
    error = next((item.error for item in found if item.observed_at is None), "")
    return Reading(SOURCE, state, now, GpuReading(found), error, FRESH_S)


def _all(
    pages: Iterable[PodPage], exporters: dict[tuple[str, str, int], Exporter], now: datetime
) -> Iterator[NodeDevices]:
    for page in pages:
        exporter = exporters.get((page.namespace, page.pod, page.port))
        if exporter is not None and page.path == _PATH:
            yield from _read(page, exporter.node, now)


def _read(page: PodPage, node: str, now: datetime) -> tuple[NodeDevices, ...]:
    what = f"exporter {page.namespace}/{page.pod}"
    error = page.error or (f"{what} answered {page.status}" if page.status != 200 else "")
    if not error:
        try:
            return parse_dcgm(page.body, node, "dcgm", now, what)
        except BadAnswerError as refused:
            error = str(refused)
    return (NodeDevices(node, origin="dcgm", error=harmless(error)),)
