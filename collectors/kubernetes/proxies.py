"""Which proxy leads to a URL, by the environment variables that kubectl reads.

aiohttp could read them too, but then also takes passwords from ~/.netrc and does not know address ranges in NO_PROXY.
"""

import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from collectors.errors import ConfigurationError
from collectors.urls import without_password

_SCHEMES: Final = ("http", "https")
"""aiohttp's; kubectl knows socks5 too."""


def proxy_for(url: str, environ: Mapping[str, str]) -> str | None:
    """Return the proxy's URL, or None for a direct connection.

    Rules of Go's `golang.org/x/net/http/httpproxy`: HTTPS_PROXY or HTTP_PROXY by scheme, in either case; NO_PROXY lists
    `*`, host names (their subdomains included), `.domain`, addresses, address ranges, each with an optional port;
    loopback is never proxied.
    """
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    port = parts.port or (443 if parts.scheme == "https" else 80)
    proxy = _variable(environ, f"{parts.scheme}_proxy")
    if not proxy or is_loopback(host):
        return None
    if any(_excludes(entry.strip().lower(), host, port) for entry in _variable(environ, "no_proxy").split(",")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def check_proxy(proxy: str, origin: str) -> None:
    """Raise ConfigurationError, naming `origin`, for a proxy that cannot be used."""
    try:
        parts = urlsplit(proxy)
        usable = parts.scheme in _SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        shown = without_password(proxy)
        raise ConfigurationError(f"{origin}: no usable proxy: {shown!r}; it must begin with http:// or https://")


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name.upper()) or environ.get(name) or ""


def is_loopback(host: str) -> bool:
    """Tell whether a host name or an address is this machine."""
    address = _address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _excludes(entry: str, host: str, port: int) -> bool:
    if not entry:
        return False
    if entry == "*":
        return True
    address = _address(host)
    if "/" in entry:
        try:
            return address is not None and address in ipaddress.ip_network(entry, strict=False)
        except ValueError:
            return False
    name, colon, wanted_port = entry.rpartition(":")
    if colon and wanted_port.isdigit() and _address(entry) is None:
        if int(wanted_port) != port:
            return False
        entry = name
    if address is not None:
        return _address(entry.strip("[]")) == address
    if entry.startswith(("*.", ".")):
        return host.endswith(entry.removeprefix("*"))
    return host == entry or host.endswith(f".{entry}")
