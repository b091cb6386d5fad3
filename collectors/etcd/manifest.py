"""Static pods as their manifests on a control plane node have them: where etcd's member listens, or where etcd is."""

from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from collectors.errors import ConfigurationError
from collectors.etcd.credentials import Files
from collectors.http import check_url
from situation.text import harmless

CLIENT_PORT: Final = 2379
_ANY: Final = ("//0.0.0.0:", "//[::]:")


class EtcdFlags(NamedTuple):
    """The flags that tell how to reach the member."""

    name: str = ""
    client_urls: tuple[str, ...] = ()
    """Advertised ones first, then those it listens on."""
    metrics_urls: tuple[str, ...] = ()
    trusted_ca: str = ""
    """File of the CA that signs client certificates; kubeadm's signs the servers' too."""


class ApiServerFlags(NamedTuple):
    """What the API server's flags say of an etcd that runs elsewhere."""

    servers: tuple[str, ...]
    files: Files


def parse_manifest(content: bytes, what: str) -> EtcdFlags:
    """Read the manifest of etcd's static pod. Raises ConfigurationError naming `what` if it is none."""
    flags = _flags(_command(content, what, "etcd"))
    advertised = _urls(flags.get("advertise-client-urls", ""))
    listening = _urls(flags.get("listen-client-urls", ""))
    if not advertised and not listening:
        raise ConfigurationError(f"{harmless(what)}: says neither --advertise-client-urls nor --listen-client-urls")
    return EtcdFlags(
        harmless(flags.get("name", "")),
        tuple(dict.fromkeys((*advertised, *listening))),
        _urls(flags.get("listen-metrics-urls", "")),
        flags.get("trusted-ca-file", ""),
    )


def parse_api_server(content: bytes, what: str) -> ApiServerFlags:
    """Read the manifest of the API server's static pod. Raises ConfigurationError naming `what` if it is none.

    Servers on loopback are left out: that is the etcd of the same host, whose own manifest tells more.
    """
    flags = _flags(_command(content, what, "kube-apiserver"))
    servers = (url for url in _urls(flags.get("etcd-servers", "")) if not _is_loopback(url))
    files = Files(*(flags.get(name, "") for name in ("etcd-cafile", "etcd-certfile", "etcd-keyfile")))
    return ApiServerFlags(tuple(dict.fromkeys(servers)), files)


def _command(content: bytes, what: str, name: str) -> list[str]:
    import yaml

    try:
        containers = yaml.safe_load(content)["spec"]["containers"]
        container = next((item for item in containers if item.get("name") == name), containers[0])
        return [str(word) for word in (*container.get("command", ()), *container.get("args", ()))]
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, KeyError, IndexError, TypeError) as error:
        raise ConfigurationError(f"{harmless(what)}: not the manifest of a static pod of {name}") from error


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _can_be_asked(url: str) -> bool:
    try:
        return bool(check_url(url, ""))
    except ConfigurationError:
        return False


def _flags(words: Sequence[str]) -> dict[str, str]:
    """Read `--name=value` and `--name value`; of a flag that comes twice the last one counts."""
    flags: dict[str, str] = {}
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, separator, value = word.partition("=")
        if name.startswith("--"):
            flags[name[2:]] = value if separator else "" if following.startswith("-") else following
    return flags


def _urls(text: str) -> tuple[str, ...]:
    """Split a flag's URLs; what listens on every address is asked on loopback, sockets and what is no URL never."""
    urls = []
    for url in filter(_can_be_asked, (part.strip() for part in text.split(","))):
        for everywhere, loopback in zip(_ANY, ("//127.0.0.1:", "//[::1]:"), strict=True):
            url = url.replace(everywhere, loopback)
        urls.append(url.rstrip("/"))
    return tuple(urls)
