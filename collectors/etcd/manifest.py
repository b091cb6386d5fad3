"""kubeadm's static pod of etcd, as its manifest on a control plane node has it: where the member listens."""

from typing import Any, Final, NamedTuple

from collectors.errors import ConfigurationError
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


def parse_manifest(content: bytes, what: str) -> EtcdFlags:
    """Read the manifest of etcd's static pod. Raises ConfigurationError naming `what` if it is none."""
    import yaml

    try:
        document = yaml.safe_load(content)
        containers = document["spec"]["containers"]
        container = next((item for item in containers if item.get("name") == "etcd"), containers[0])
        words = [str(word) for word in (*container.get("command", ()), *container.get("args", ()))]
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, KeyError, IndexError, TypeError) as error:
        raise ConfigurationError(f"{harmless(what)}: not the manifest of a static pod of etcd") from error
    flags = _flags(words)
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


def _flags(words: list[Any]) -> dict[str, str]:
    """Read `--name=value` and `--name value`; of a flag that comes twice the last one counts."""
    flags: dict[str, str] = {}
    for word, following in zip(words, [*words[1:], ""], strict=True):
        name, separator, value = word.partition("=")
        if name.startswith("--"):
            flags[name[2:]] = value if separator else "" if following.startswith("-") else following
    return flags


def _urls(text: str) -> tuple[str, ...]:
    """Split a flag's URLs; what listens on every address is asked on loopback."""
    urls = []
    for url in filter(None, (part.strip() for part in text.split(","))):
        for everywhere, loopback in zip(_ANY, ("//127.0.0.1:", "//[::1]:"), strict=True):
            url = url.replace(everywhere, loopback)
        urls.append(url.rstrip("/"))
    return tuple(urls)
