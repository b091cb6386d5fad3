"""All ways to the GPUs of one cluster, in the order in which they are trusted."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path

from collectors.errors import ForbiddenError, UnauthorizedError, UnreachableError
from collectors.gpu_devices.exporters import DEADLINE_S, DcgmCollector
from collectors.gpu_devices.nvml import NvmlCollector
from collectors.gpu_devices.options import DeviceOptions
from collectors.gpu_devices.prometheus import PrometheusCollector
from collectors.gpu_devices.wishes import DeviceWishes
from collectors.http import HttpReader, check_url, with_path
from collectors.kubernetes.client import Client
from collectors.runner import Collector
from situation.clock import utc_now

PAGE_LIMIT_BYTES = 8 * 2**20
"""A page of 16 GPUs with every counter on is a few hundred kilobytes."""


def gpu_collectors(
    client: Client | None,
    http: HttpReader,
    wishes: DeviceWishes,
    options: DeviceOptions = DeviceOptions(),  # noqa: B008 - frozen
    *,
    clock: Callable[[], datetime] = utc_now,
) -> list[Collector]:
    """Return the collectors of the GPUs. Raises ConfigurationError for a URL that cannot be asked.

    Without a client no exporter is asked through the API server.
    """
    urls = tuple(metrics_url(check_url(url, "--dcgm")) for url in options.urls)
    found: list[Collector] = [NvmlCollector(wishes, clock)]
    if client is not None or urls:
        exporters = DcgmCollector(
            wishes,
            clock,
            through_api=_no_api if client is None else partial(through_proxy, client),
            from_url=lambda url: http.get(url, deadline_s=DEADLINE_S, limit_bytes=PAGE_LIMIT_BYTES),
            urls=urls,
            nodes=options.nodes if client is not None else 0,
        )
        found.append(exporters)
    if options.prometheus:
        url = check_url(options.prometheus, "--prometheus")
        token_file = Path(options.token_file) if options.token_file else None
        found.append(PrometheusCollector(url, http, wishes, clock, token_file))
    return found


def metrics_url(url: str) -> str:
    """Return the URL of an exporter's page; `/metrics` unless another path is given."""
    return url if url.partition("://")[2].partition("/")[2] else with_path(url, "/metrics")


async def _no_api(path: str) -> bytes:
    raise UnauthorizedError(f"there are no credentials for the API server, so {path} cannot be asked for")


async def through_proxy(client: Client, path: str) -> bytes:
    """Fetch an exporter's page through the API server. Raises SourceError."""
    namespace, pod = path.split("/")[4], path.split("/")[6].partition(":")[0]
    try:
        _, body = await client.get(path, deadline_s=DEADLINE_S, limit_bytes=PAGE_LIMIT_BYTES, renews=False)
    except ForbiddenError as error:
        raise ForbiddenError(
            f"cannot reach the GPU exporters in namespace {namespace} (RBAC: verb get, resource pods/proxy): {error}"
        ) from error
    except UnauthorizedError as error:
        raise UnreachableError(
            f"exporter {namespace}/{pod} was not reached: it wants credentials of its own, or the API server does not "
            "take yours (401)"
        ) from error
    return body
