"""Which way to each server: what worked is remembered, what is forbidden is not asked for again at once."""

import asyncio
import ssl
from collections.abc import Iterable
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

from collectors.errors import FORBIDDEN_RETRY_S, ConfigurationError, ForbiddenError, SourceError, ThrottledError
from collectors.http import HttpReader, Tls
from collectors.kubernetes.client import Client
from collectors.urls import without_password
from collectors.vllm.doors import Api, Door, ProxyDoor, UrlDoor
from collectors.vllm.wishes import Place
from situation.text import harmless

NETWORK_RETRY_S: Final = 60.0
_PROBES: Final = 3
"""So many pods that cannot be reached by their IPs, and none that can: this host is not in their network."""
_THROTTLED_S: Final = 15.0
_TLS_HINT: Final = "this machine's CAs are asked, vllm_cacert in the configuration names another"


class Ways:
    """Doors to servers. `client` is None where there are no credentials for the API server."""

    def __init__(self, http: HttpReader, client: Client | None, urls: Iterable[str], cacert: str = "") -> None:
        self.urls = tuple({without_password(url): url for url in urls}.values())
        """Base URLs as given; of one that is given several times the last, with its password."""
        self.throttled: ThrottledError | None = None
        """The API server asked to be left alone for a while."""
        self.refused: dict[str, tuple[float, ForbiddenError]] = {}
        """Namespace -> until when nothing is asked through the API server there, and why."""
        self._http = http
        self._api = Api(client) if client is not None else None
        self._cacert = cacert
        self._tls = _tls(None)
        self._by_ip: set[str] = set()
        """Keys of servers that were reached by their pod's IP."""
        self._try_ip: set[str] = set()
        """Keys of servers that the API server could not reach."""
        self._network_fails = 0
        self._network_due = 0.0
        self._quiet_until = 0.0

    async def prepare(self) -> None:
        """Load the CA that was named; in a thread, once. Raises ConfigurationError."""
        if self._cacert and self._tls.context is None:
            self._tls = _tls(await asyncio.to_thread(self._load))

    async def aclose(self) -> None:
        """Close the connections that were opened with certificates of our own choice."""
        await self._http.forget(self._tls)

    def begin(self, known: Iterable[str]) -> None:
        """Begin a round in which the servers `known` exist."""
        now = monotonic()
        self.refused = {name: item for name, item in self.refused.items() if now < item[0]}
        if now >= self._quiet_until:
            self.throttled = None
        if self._network_fails and now >= self._network_due:
            self._network_fails = 0
        kept = set(known)
        self._by_ip &= kept
        self._try_ip &= kept

    def url_door(self, base: str) -> Door:
        """Return the door at a URL that was given."""
        return UrlDoor(base, self._http, self._tls if self._cacert else None)

    def is_direct(self, place: Place) -> bool:
        """Tell whether a pod is asked by its IP at once."""
        return place.key in self._by_ip or (
            (place.key in self._try_ip or place.namespace in self.refused or self._api is None) and self.network_is_open
        )

    def door(self, place: Place, *, direct: bool) -> Door:
        """Return the door to a pod. Raises SourceError where that way is closed for now."""
        if direct:
            host = f"[{place.ip}]" if ":" in place.ip else place.ip
            return UrlDoor(f"{place.scheme}://{host}:{place.port}", self._http, self._tls, "pod-ip")
        if place.namespace in self.refused:
            raise self.refused[place.namespace][1]
        if self.throttled is not None:
            raise self.throttled
        if self._api is None:
            raise ConfigurationError("there are no credentials for the API server")
        return ProxyDoor(self._api, place)

    @property
    def network_is_open(self) -> bool:
        """Pods may be reachable by their IPs from here."""
        return self._network_fails < _PROBES

    def is_proven(self, place: Place) -> bool:
        """Tell whether a server was reached by its pod's IP."""
        return place.key in self._by_ip

    def note_reached(self, place: Place, *, direct: bool) -> None:
        """Remember the way that led to a server."""
        if direct:
            self._by_ip.add(place.key)
            self._network_fails = 0
        else:
            self._by_ip.discard(place.key)
        self._try_ip.discard(place.key)

    def note_failed(self, place: Place, *, direct: bool) -> None:
        """Remember that nothing came on this way: next time the other one is tried."""
        if not direct:
            self._try_ip.add(place.key)
            return
        if place.key not in self._by_ip:
            self._network_fails += 1
            self._network_due = monotonic() + NETWORK_RETRY_S
        self._by_ip.discard(place.key)
        self._try_ip.discard(place.key)

    def note_error(self, place: Place, error: SourceError) -> None:
        """Remember what the API server refused."""
        if isinstance(error, ForbiddenError):
            self.refused.setdefault(place.namespace, (monotonic() + FORBIDDEN_RETRY_S, error))
        elif isinstance(error, ThrottledError):
            self.throttled = error
            self._quiet_until = monotonic() + (error.retry_after_s or _THROTTLED_S)

    def _load(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self._cacert)
        except (OSError, ssl.SSLError) as error:
            why = getattr(error, "strerror", "") or str(error)
            raise ConfigurationError(
                f"vllm_cacert {harmless(self._cacert)}: cannot be read: {harmless(why)}"
            ) from error


def _tls(context: ssl.SSLContext | None) -> Tls:
    return Tls(context, _TLS_HINT, "it wants a client certificate, which Midwatch has none for")


def address_of(url: str) -> tuple[str, int]:
    """Return host and port of a URL."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
