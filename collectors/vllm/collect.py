"""The collector of model servers, with all ways that the options open."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit

from collectors.errors import ConfigurationError
from collectors.http import HttpReader, check_url
from collectors.kubernetes.client import Client
from collectors.runner import Collector
from collectors.urls import without_password
from collectors.vllm.options import VllmOptions
from collectors.vllm.prometheus import PrometheusServers
from collectors.vllm.rounds import VllmCollector
from collectors.vllm.ways import Ways
from collectors.vllm.wishes import VllmWishes
from situation.clock import utc_now

URL_OPTION = "--vllm"


def vllm_collectors(
    client: Client | None,
    http: HttpReader,
    wishes: VllmWishes,
    options: VllmOptions = VllmOptions(),  # noqa: B008 - frozen
    *,
    clock: Callable[[], datetime] = utc_now,
) -> list[Collector]:
    """Return the collector of model servers. Raises ConfigurationError for a URL that cannot be asked.

    Without a client no server is asked through the API server.
    """
    urls = [base_url(url) for url in options.urls]
    if client is None and not urls and not options.prometheus:
        return []
    prometheus = None
    if options.prometheus:
        token_file = Path(options.token_file) if options.token_file else None
        prometheus = PrometheusServers(check_url(options.prometheus, "--prometheus"), http, clock, token_file)
    ways = Ways(http, client, urls, options.cacert)
    return [VllmCollector(wishes, ways, clock, servers=options.servers, prometheus=prometheus)]


def base_url(url: str, option: str = URL_OPTION) -> str:
    """Return the URL of a server without `/metrics`: other things are asked there too.

    Raises ConfigurationError naming `option`.

    `.../v1` is how clients of the OpenAI API name a server; `/v1` stays where it was said that metrics are below it.
    """
    parts = urlsplit(check_url(url, option))
    if parts.query or parts.fragment:
        raise ConfigurationError(
            f"{option} {without_password(url)!r}: write it as {parts.scheme}://HOST:PORT, without ? and #"
        )
    plain = url.rstrip("/")
    base = plain.removesuffix("/metrics").rstrip("/")
    return base if base != plain else base.removesuffix("/v1").rstrip("/")
