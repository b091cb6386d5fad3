"""CA, client certificate and key: files of every wrong kind, and what is said of each."""

import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collectors.errors import ConfigurationError, ForbiddenError, SourceError
from collectors.etcd.collect import EtcdOptions, etcd_collectors
from collectors.etcd.credentials import CredentialsKeeper, Files, load
from collectors.etcd.wishes import EtcdWishes
from collectors.http import HttpReader
from tests.collectors.kubeconfigs import Certificates, needs_openssl

pytestmark = needs_openssl


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ca.pem, client.pem, client.key, other.key and files that hold something else."""
    folder = tmp_path_factory.mktemp("pki")
    made = Certificates(folder)
    made.issue("client")
    made.issue("other")
    made.issue("old", days="-1")
    (folder / "text.pem").write_text("-----BEGIN CERTIFICATE-----\nnot base64\n-----END CERTIFICATE-----\n")
    (folder / "bytes.pem").write_bytes(b"\xff\xfe\x00")
    (folder / "locked.key").write_text(
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMII=\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    (folder / "broken.key").write_text("-----BEGIN PRIVATE KEY-----\nMII=\n-----END PRIVATE KEY-----\n")
    (folder / "folder.pem").mkdir()
    return folder


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("none.pem", "client.pem", "client.key"), r"--etcd-cacert: cannot read .*none.pem: No such file"),
        (("ca.pem", "none.pem", "client.key"), r"--etcd-cert: cannot read .*none.pem: No such file"),
        (("ca.pem", "client.pem", "folder.pem"), r"--etcd-key: cannot read .*folder.pem: Is a directory"),
        (("text.pem", "client.pem", "client.key"), r".*text.pem: holds no certificate in PEM"),
        (("bytes.pem", "client.pem", "client.key"), r".*bytes.pem: holds no certificate in PEM"),
        (("client.key", "client.pem", "client.key"), r".*client.key: holds no certificate in PEM"),
        (("ca.pem", "text.pem", "client.key"), r".*text.pem: holds no certificate in PEM"),
        (("ca.pem", "client.pem", "client.pem"), r".*client.pem: holds no private key in PEM"),
        (("ca.pem", "client.pem", "other.key"), r".*other.key: is not the key of .*client.pem"),
        (("ca.pem", "client.pem", "locked.key"), r".*locked.key: the key is encrypted"),
        (("ca.pem", "client.pem", "broken.key"), r".*client.pem, .*broken.key: not usable"),
        (("ca.pem", "client.pem", ""), r"--etcd-cert is given without --etcd-key"),
        (("ca.pem", "", "client.key"), r"--etcd-key is given without --etcd-cert"),
    ],
)
async def test_files_that_cannot_be_used_are_named_at_once(names: tuple[str, ...], said: str, folder: Path) -> None:
    cacert, cert, key = (str(folder / name) if name else "" for name in names)
    options = EtcdOptions(("https://127.0.0.1:2379",), cacert, cert, key)
    async with HttpReader() as http:
        with pytest.raises(ConfigurationError, match=f"^{said}"):
            etcd_collectors(http, EtcdWishes(), options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (EtcdOptions(("10.0.0.1:2379",)), "--etcd-endpoints '10.0.0.1:2379': not a URL"),
        (EtcdOptions(("https://me:secret@x",)), "--etcd-endpoints 'https://x': only https://HOST:PORT"),
        (EtcdOptions(("https://x:2379/v3",)), "only https://HOST:PORT of a member is wanted"),
        (EtcdOptions(("https://x", "https://y"), metrics_urls=("x:2381",)), "--etcd-metrics 'x:2381': not a URL"),
        (EtcdOptions(("https://x", "https://y"), metrics_urls=("http://z:1",)), "--etcd-metrics: give as many URLs"),
    ],
)
async def test_endpoints_that_cannot_be_used_are_named_at_once(options: EtcdOptions, said: str) -> None:
    async with HttpReader() as http:
        with pytest.raises(ConfigurationError, match=said) as raised:
            etcd_collectors(http, EtcdWishes(), options)
    assert "secret" not in str(raised.value)


def test_endpoints_and_where_their_metrics_are() -> None:
    both = ("https://a:2379", "https://[::1]")
    assert EtcdOptions(both).with_metrics() == {"https://a:2379": "", "https://[::1]:2379": ""}
    in_order = EtcdOptions(both, metrics_urls=("http://c:2381/metrics", "http://d:2381/"))
    assert in_order.with_metrics() == {"https://a:2379": "http://c:2381", "https://[::1]:2379": "http://d:2381"}
    by_host = EtcdOptions(both, metrics_urls=("http://[::1]:2381",))
    assert by_host.with_metrics() == {"https://a:2379": "", "https://[::1]:2379": "http://[::1]:2381"}


def files(folder: Path, name: str = "client") -> Files:
    return Files(str(folder / "ca.pem"), str(folder / f"{name}.pem"), str(folder / f"{name}.key"))


def test_what_may_not_be_read_is_named_with_what_to_do(folder: Path) -> None:
    def read(path: Path) -> bytes:
        if path.suffix == ".key":
            raise PermissionError(13, "Permission denied")
        return path.read_bytes()

    with pytest.raises(
        ForbiddenError, match=r"client.key \(--etcd-key\): permission denied; run Midwatch as root"
    ) as it:
        load(files(folder), datetime.now(UTC), read)
    assert isinstance(it.value, SourceError)


def test_files_are_read_again_when_they_change_or_expire(folder: Path, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    keeper = CredentialsKeeper(lambda: now)
    good = files(folder)
    first = keeper.current(good)
    assert keeper.current(good) is first
    assert "must be signed by etcd's CA" in first.tls.refused
    assert first.not_after is not None
    now = first.not_after
    assert "expired on" in keeper.current(good).tls.refused, "the words change with time alone"
    assert keeper.current(Files(good.cacert)).contents[1:] == (None, None)
    moved = Files(good.cacert, str(tmp_path / "c.pem"), str(tmp_path / "c.key"))
    for name in ("client", "other"):
        for ending in ("pem", "key"):
            (tmp_path / f"c.{ending}").write_bytes((folder / f"{name}.{ending}").read_bytes())
        assert keeper.current(moved).contents[1] == (folder / f"{name}.pem").read_bytes()


def test_without_a_ca_this_machines_are_asked() -> None:
    loaded = load(Files(), datetime.now(UTC))
    assert "this machine's CAs are asked, --etcd-cacert names etcd's own" in loaded.tls.hint
    assert loaded.tls.context is not None
    assert loaded.tls.context.verify_mode is ssl.CERT_REQUIRED and loaded.tls.context.check_hostname
