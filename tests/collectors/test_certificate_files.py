"""Certificates on a control plane node's disk: which files, what is normal to be missing, what cannot be read."""

import asyncio
import os
import shutil
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from collectors.control_plane.certificate_files import FILES, CertificateFiles, read_certificate_files
from collectors.errors import AbsentError, ForbiddenError
from collectors.kubernetes.certificates import validity
from situation.certificates import Certificate
from situation.readings import SourceState
from tests.collectors.harness import running
from tests.collectors.kubeconfigs import Certificates as Authority
from tests.collectors.kubeconfigs import Clock, encoded, needs_openssl

pytestmark = needs_openssl


class Node:
    """The files of a control plane node in a folder, all with one certificate."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.pem, self.key = self.authority.issue("leaf", days="30")
        self.kubernetes = folder / "kubernetes"
        self.kubelet = folder / "kubelet"
        for file in FILES:
            self.put(file.path)
        (self.kubernetes / "manifests").mkdir()
        (self.kubernetes / "manifests" / "kube-apiserver.yaml").touch()
        self.kubelet.mkdir()
        (self.kubelet / "kubelet.crt").write_bytes(Path(self.pem).read_bytes())
        both = Path(self.pem).read_bytes() + Path(self.key).read_bytes()
        (self.kubelet / "kubelet-client-current.pem").write_bytes(both)

    def put(self, name: str) -> None:
        path = self.kubernetes / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".conf":
            user = {"client-certificate-data": encoded(self.pem), "client-key-data": encoded(self.key)}
            path.write_text(conf(user))
        else:
            shutil.copy(self.pem, path)

    def read(self) -> dict[str, Certificate]:
        found = read_certificate_files(self.kubernetes, self.kubelet, "cp-1")
        assert found.hidden == ()
        return {item.name: item for item in found.certificates}


def conf(user: dict[str, str]) -> str:
    return yaml.safe_dump(
        {
            "clusters": [{"name": "c", "cluster": {"server": "https://10.0.0.1:6443"}}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "x",
        }
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Node:
    folder = tmp_path_factory.mktemp("made")
    return Node(folder)


@pytest.fixture
def node(made: Node, tmp_path: Path) -> Iterator[Node]:
    """A copy of the node's files for each test."""
    copies = made.kubernetes, made.kubelet
    made.kubernetes, made.kubelet = tmp_path / "kubernetes", tmp_path / "kubelet"
    for before, after in zip(copies, (made.kubernetes, made.kubelet), strict=True):
        shutil.copytree(before, after)
    for path in tmp_path.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    yield made
    made.kubernetes, made.kubelet = copies


def test_every_file_that_kubeadm_lists_and_kubelets_two(node: Node) -> None:
    found = node.read()
    assert set(found) == {
        "admin.conf", "super-admin.conf", "controller-manager.conf", "scheduler.conf",
        "apiserver", "apiserver-etcd-client", "apiserver-kubelet-client", "front-proxy-client",
        "etcd-server", "etcd-peer", "etcd-healthcheck-client",
        "ca", "etcd-ca", "front-proxy-ca", "kubelet-client", "kubelet-server",
    }  # fmt: skip
    now = datetime.now(UTC)
    for item in found.values():
        assert item.error == ""
        assert item.not_after is not None
        assert item.not_before is not None
        assert now + timedelta(days=29) < item.not_after < now + timedelta(days=31)
        assert now - timedelta(hours=1) < item.not_before <= now
        assert item.node == "cp-1"
        assert not item.is_served
        assert item.is_authority == (item.name in ("ca", "etcd-ca", "front-proxy-ca"))
    assert found["etcd-server"].place == str(node.kubernetes / "pki/etcd/server.crt")


def test_no_private_key_is_kept(node: Node) -> None:
    secrets = [line for line in Path(node.key).read_text().splitlines() if "PRIVATE" not in line]
    told = repr(node.read())
    assert secrets
    assert not any(line in told for line in secrets)


def test_external_etcd_and_older_kubeadm_are_normal(node: Node) -> None:
    shutil.rmtree(node.kubernetes / "pki" / "etcd")
    for name in ("super-admin.conf", "admin.conf", "pki/apiserver-etcd-client.crt"):
        (node.kubernetes / name).unlink()
    found = node.read()
    assert not any(name.startswith("etcd") or name.endswith("admin.conf") for name in found)
    assert all(item.error == "" for item in found.values())


def test_a_file_that_must_be_there_is_missed(node: Node) -> None:
    missing = node.kubernetes / "pki" / "apiserver.crt"
    missing.unlink()
    item = node.read()["apiserver"]
    assert (item.not_after, item.error) == (None, f"{missing}: no such file")


def test_a_worker_has_the_authority_and_kubelet_only(node: Node) -> None:
    shutil.rmtree(node.kubernetes)
    node.put("pki/ca.crt")
    assert set(node.read()) == {"ca", "kubelet-client", "kubelet-server"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no certificate in PEM that can be read"),
        (b"\x00\xff\xfe not PEM", "no certificate in PEM that can be read"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "no certificate in PEM that can be read"),
        (b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "no certificate in PEM that can be read"),
    ],
)
def test_what_is_no_certificate(node: Node, content: bytes, said: str) -> None:
    path = node.kubernetes / "pki" / "apiserver.crt"
    path.write_bytes(content)
    found = node.read()
    assert (found["apiserver"].not_after, found["apiserver"].error) == (None, f"{path}: {said}")
    assert found["ca"].error == "", "one broken file costs only itself"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "broken YAML"),
        (b"\xff", "not a text file"),
        (b"[]", "not a kubeconfig"),
        (conf({"token": "secret"}).encode(), "no client certificate"),
        (conf({"client-certificate-data": "AAAA"}).encode(), "client-certificate-data: no certificate or key in PEM"),
        (conf({"client-certificate-data": "!"}).encode(), "client-certificate-data: not base64"),
    ],
)
def test_a_kubeconfig_without_a_certificate(node: Node, content: bytes, said: str) -> None:
    path = node.kubernetes / "scheduler.conf"
    path.write_bytes(content)
    error = node.read()["scheduler.conf"].error
    assert str(path) in error
    assert said in error
    assert "secret" not in error


def test_a_kubeconfig_that_names_a_file(node: Node) -> None:
    (node.kubernetes / "scheduler.conf").write_text(conf({"client-certificate": "pki/apiserver.crt"}))
    assert node.read()["scheduler.conf"].not_after == node.read()["apiserver"].not_after


def test_of_several_certificates_the_first_is_the_leaf(node: Node) -> None:
    long_lived, _ = node.authority.issue("long", days="300")
    chain = Path(node.pem).read_bytes() + Path(long_lived).read_bytes()
    (node.kubernetes / "pki" / "apiserver.crt").write_bytes(b"subject=0\n" + chain)
    assert node.read()["apiserver"].not_after == node.read()["ca"].not_after


def test_kubelets_rotated_server_certificate_is_preferred(node: Node) -> None:
    rotated, _ = node.authority.issue("rotated", days="300")
    shutil.copy(rotated, node.kubelet / "kubelet-server-current.pem")
    item = node.read()["kubelet-server"]
    assert item.place.endswith("kubelet-server-current.pem")
    assert item.not_after is not None
    assert item.not_after > datetime.now(UTC) + timedelta(days=200)


def test_a_folder_in_place_of_a_file(node: Node) -> None:
    path = node.kubernetes / "pki" / "ca.crt"
    path.unlink()
    path.mkdir()
    assert node.read()["ca"].error == f"{path}: cannot be read: is a directory"


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Root may read everything: for these tests it is somebody else. `folder` and those above it can be searched."""
    if os.geteuid() != 0:
        yield
        return
    for parent in (folder, *folder.parents):
        if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o010:
            parent.chmod(parent.stat().st_mode | 0o055)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_may_not_be_read(node: Node, tmp_path: Path) -> None:
    path = node.kubernetes / "scheduler.conf"
    path.chmod(0)
    with as_nobody(tmp_path):
        found = read_certificate_files(node.kubernetes, node.kubelet)
    errors = {item.name: item.error for item in found.certificates if item.error}
    assert errors["scheduler.conf"] == (f"{path}: permission denied: root is needed, or a copy of the certificate")
    assert "apiserver" not in errors
    path.chmod(0o600)


async def test_folders_that_may_not_be_searched(node: Node, tmp_path: Path) -> None:
    node.kubernetes.chmod(0)
    node.kubelet.chmod(0)
    await asyncio.to_thread(int)  # what threads need is imported while it can be
    with as_nobody(tmp_path):
        found = read_certificate_files(node.kubernetes, node.kubelet)
        with pytest.raises(ForbiddenError, match="root is needed"):
            [reading async for reading in CertificateFiles(node.kubernetes, node.kubelet, Clock()).collect()]
    assert found.certificates == ()
    assert set(found.hidden) >= {node.kubernetes / "pki", node.kubelet}
    node.kubernetes.chmod(0o700)
    node.kubelet.chmod(0o700)


async def test_the_source_tells_them_to_the_situation(node: Node) -> None:
    (node.kubernetes / "pki" / "ca.crt").write_bytes(b"")
    clock = Clock()
    async with running(CertificateFiles(node.kubernetes, node.kubelet, clock, "cp-1")) as heard:
        source = await heard.until_state(SourceState.LIVE, "control-plane/certificate-files")
    assert len(heard.situation.certificates) == len(FILES) + 2
    assert source.error.endswith("ca.crt: no certificate in PEM that can be read")


async def test_a_host_without_such_files_is_absent(tmp_path: Path) -> None:
    with pytest.raises(AbsentError, match="no control plane node"):
        [reading async for reading in CertificateFiles(tmp_path / "a", tmp_path / "b", Clock()).collect()]


def test_der_and_pem_say_the_same(node: Node) -> None:
    pem = Path(node.pem).read_text()
    found = validity(pem.encode())
    assert found is not None
    assert found == validity(ssl.PEM_cert_to_DER_cert(pem))
    assert found.not_before < found.not_after
    assert validity(ssl.PEM_cert_to_DER_cert(pem)[:100]) is None
