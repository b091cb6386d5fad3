"""How to reach etcd, as command line and configuration say it: checked, with errors that name option or key."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from tui.exits import UsageProblem

if TYPE_CHECKING:
    from collectors.etcd.options import EtcdOptions
    from tui.config import Config

_PEM: Final = b"-----BEGIN "


class EtcdArguments(NamedTuple):
    """What the command line says of etcd; the configuration says what is missing here."""

    endpoints: tuple[str, ...] = ()
    cacert: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    metrics: tuple[str, ...] = ()


class EtcdChoice(NamedTuple):
    """The way to etcd, and what people should know of how it was understood."""

    options: "EtcdOptions | None"
    """None: nobody says anything of it."""
    notes: tuple[str, ...] = ()


class _Given(NamedTuple):
    """A value with the name of the option or key that it came from, for messages."""

    name: str
    value: str


def etcd_choice(arguments: EtcdArguments, config: "Config", file: str) -> EtcdChoice:
    """Return how to reach etcd. Raises UsageProblem for URLs and files that cannot be used.

    It names the option, or the configuration `file` and its key.

    Certificate and key are taken from the same place: one from the command line and one from the configuration would
    not belong together.
    """
    if arguments == EtcdArguments() and not config.speaks_of_etcd:
        return EtcdChoice(None)  # before the first paint nothing is imported that is not needed
    from collectors.etcd.options import EtcdOptions

    keys = f"{file}: etcd_"
    cacert = _given("cacert", arguments.cacert) if arguments.cacert else _Given(f"{keys}cacert", config.etcd_cacert)
    if arguments.cert or arguments.key:
        cert, key = _given("cert", arguments.cert), _given("key", arguments.key)
    else:
        cert, key = _Given(f"{keys}cert", config.etcd_cert), _Given(f"{keys}key", config.etcd_key)
    if bool(cert.value) is not bool(key.value):
        given, lacking = (cert, key) if cert.value else (key, cert)
        raise UsageProblem(f"{given.name} {given.value} needs {lacking.name} too: certificate and key are a pair")
    for pem in (cacert, cert, key):
        _check_file(pem)
    bare = ("https", "a certificate is given") if cacert.value or cert.value else ("http", "no certificate is given")
    endpoints = _checked(_urls("endpoints", arguments.endpoints, config.etcd_endpoints, keys), *bare)
    plain = ("http", "metrics are served apart to be read without a certificate")
    metrics = _checked(_urls("metrics", arguments.metrics, config.etcd_metrics, keys), *plain)
    options = EtcdOptions(
        tuple(item.value for item in endpoints),
        cacert.value,
        cert.value,
        key.value,
        tuple(item.value for item in metrics),
        Path(config.kubernetes_dir),
        "--etcd-endpoints" if arguments.endpoints else f"{keys}endpoints",
    )
    return EtcdChoice(options, tuple(item.note for item in (*endpoints, *metrics) if item.note))


def _urls(what: str, given: tuple[str, ...], configured: tuple[str, ...], keys: str) -> list[_Given]:
    """Return the URLs one by one; like etcdctl, several may stand in one value with commas between them."""
    name = f"--etcd-{what}" if given else f"{keys}{what}"
    values = given or configured
    found = [_Given(name, part) for value in values for part in (item.strip() for item in value.split(",")) if part]
    if values and not found:
        raise UsageProblem(f"{name}: no URL given")
    return found


class _Url(NamedTuple):
    value: str
    note: str = ""
    """How it was understood, where that is not plain."""


def _checked(urls: Iterable[_Given], scheme: str, why: str) -> list[_Url]:
    """Check URLs; `scheme` is for those without one, as etcdctl takes them, and `why` is the reason for it."""
    return [_whole(given, scheme, why) for given in urls]


def _whole(given: _Given, scheme: str, why: str) -> _Url:
    from collectors.errors import ConfigurationError
    from collectors.http import check_url
    from collectors.urls import without_password

    name, url = given
    whole = (url if "://" in url else f"{scheme}://{url}").rstrip("/")
    try:
        parts = urlsplit(check_url(whole, name))
    except ConfigurationError as error:
        raise UsageProblem(str(error)) from error
    if parts.username or parts.path or parts.query or parts.fragment:
        raise UsageProblem(f"{name} {without_password(url)!r}: write it as {parts.scheme}://HOST:PORT, nothing else")
    return _Url(whole, "" if "://" in url else f"{name} {url}: taken as {whole}, as {why}")


def _given(what: str, path: Path | None) -> _Given:
    return _Given(f"--etcd-{what}", str(path.expanduser().absolute()) if path is not None else "")


def _check_file(file: _Given) -> None:
    if not file.value:
        return
    try:
        with Path(file.value).open("rb") as opened:
            text = opened.read(2**20)
    except PermissionError as error:
        raise UsageProblem(
            f"{file.name} {file.value}: permission denied; run as root, or give a copy that you may read"
        ) from error
    except OSError as error:
        raise UsageProblem(f"{file.name} {file.value}: cannot be read: {error.strerror}") from error
    if _PEM not in text:
        raise UsageProblem(f"{file.name} {file.value}: not a PEM file")
