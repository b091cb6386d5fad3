"""The certificates in the files of a control plane node, as kubeadm lays them out, and those of its kubelet."""

import socket
from collections.abc import AsyncGenerator, Callable
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from collectors.errors import AbsentError, ConfigurationError, ForbiddenError
from collectors.kubernetes.certificates import validity
from collectors.kubernetes.failures import client_certificate
from collectors.kubernetes.kubeconfig import read_kubeconfig
from collectors.local_files import LocalFiles
from situation.certificates import Certificate, Certificates
from situation.clock import utc_now
from situation.readings import Reading, SourceState
from situation.text import harmless

FILE_LIMIT_BYTES: Final = 2**20
ROOT_NEEDED: Final = "root is needed, or a copy of the certificate"


class _File(NamedTuple):
    name: str
    path: str
    is_authority: bool = False
    is_expected: bool = True
    """It belongs to every control plane node that kubeadm made. Others are missing where etcd is external, or before
    some version, or where they were put away on purpose."""


FILES: Final = (
    _File("apiserver", "pki/apiserver.crt"),
    _File("apiserver-kubelet-client", "pki/apiserver-kubelet-client.crt"),
    _File("apiserver-etcd-client", "pki/apiserver-etcd-client.crt", is_expected=False),
    _File("front-proxy-client", "pki/front-proxy-client.crt"),
    _File("etcd-server", "pki/etcd/server.crt", is_expected=False),
    _File("etcd-peer", "pki/etcd/peer.crt", is_expected=False),
    _File("etcd-healthcheck-client", "pki/etcd/healthcheck-client.crt", is_expected=False),
    _File("admin.conf", "admin.conf", is_expected=False),
    _File("super-admin.conf", "super-admin.conf", is_expected=False),
    _File("controller-manager.conf", "controller-manager.conf"),
    _File("scheduler.conf", "scheduler.conf"),
    _File("ca", "pki/ca.crt", is_authority=True),
    _File("etcd-ca", "pki/etcd/ca.crt", is_authority=True, is_expected=False),
    _File("front-proxy-ca", "pki/front-proxy-ca.crt", is_authority=True),
)
"""What `kubeadm certs check-expiration` lists (Kubernetes documentation, "PKI certificates and requirements")."""
KUBELET_FILES: Final = (
    ("kubelet-client", ("kubelet-client-current.pem",)),
    ("kubelet-server", ("kubelet-server-current.pem", "kubelet.crt")),
)
"""The first that is there counts: kubelet rotates `-current.pem`, and makes `kubelet.crt` itself without bootstrap."""


class FoundFiles(NamedTuple):
    """What is there, and what may not even be looked for."""

    certificates: tuple[Certificate, ...]
    hidden: tuple[Path, ...] = ()
    """Folders that are there but may not be searched: what is in them is not known."""


def is_control_plane_node(kubernetes_dir: Path) -> bool:
    """Tell whether this host runs an API server as kubeadm sets it up: its manifest, or its certificate, is there."""
    try:
        return any((kubernetes_dir / name).exists() for name in ("manifests/kube-apiserver.yaml", "pki/apiserver.crt"))
    except OSError:
        return False


def read_certificate_files(kubernetes_dir: Path, kubelet_pki_dir: Path, node: str = "") -> FoundFiles:
    """Read the certificates of this host; empty where there are none. Private keys in the files are not kept.

    A file that cannot be read, or has no certificate, becomes a Certificate with an error that names it.
    """
    all_expected = is_control_plane_node(kubernetes_dir)
    folders = dict.fromkeys([*((kubernetes_dir / file.path).parent for file in FILES), kubelet_pki_dir])
    hidden = tuple(folder for folder in folders if _is_hidden(folder))
    found = []
    for file in FILES:
        path = kubernetes_dir / file.path
        if path.parent in hidden:
            continue
        item = _read(file.name, path, node, is_authority=file.is_authority)
        if item is None and file.is_expected and all_expected:
            item = Certificate(
                file.name, str(path), is_authority=file.is_authority, error=f"{path}: no such file", node=node
            )
        found.append(item)
    for name, candidates in KUBELET_FILES if kubelet_pki_dir not in hidden else ():
        items = (_read(name, kubelet_pki_dir / candidate, node) for candidate in candidates)
        found.append(next((item for item in items if item is not None), None))
    return FoundFiles(tuple(item for item in found if item is not None), hidden)


def _is_hidden(folder: Path) -> bool:
    try:
        (folder / "any").stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return False


def _read(name: str, path: Path, node: str, *, is_authority: bool = False) -> Certificate | None:
    """Return the first certificate of a file, None if there is no such file."""
    try:
        with path.open("rb") as file:
            content = file.read(FILE_LIMIT_BYTES)
        if path.suffix == ".conf":
            content = _embedded(path)
        found = validity(content)
        error = "" if found else f"{path}: no certificate in PEM that can be read"
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError:
        found, error = None, f"{path}: permission denied: {ROOT_NEEDED}"
    except OSError as failure:
        found, error = None, f"{path}: cannot be read: {harmless(failure.strerror or str(failure)).lower()}"
    except ConfigurationError as failure:
        found, error = None, harmless(str(failure))
    if found is None:
        return Certificate(name, str(path), is_authority=is_authority, error=error, node=node)
    return Certificate(name, str(path), found.not_after, found.not_before, is_authority, node=node)


def _embedded(path: Path) -> bytes:
    """Return the client certificate of a kubeconfig's current user. Raises ConfigurationError."""
    user = read_kubeconfig([path], None, must_exist=True).user
    content = client_certificate(user)
    if not content:
        raise ConfigurationError(f"{path}: its user has no client certificate that can be read")
    return content


class CertificateFiles:
    """Source `control-plane/certificate-files`; absent on a host without such files, which is normal."""

    name = "control-plane/certificate-files"
    pause_s = 300.0
    deadline_s = 30.0

    def __init__(
        self,
        kubernetes_dir: Path,
        kubelet_pki_dir: Path,
        clock: Callable[[], datetime] = utc_now,
        node: str | None = None,
    ) -> None:
        self._kubernetes_dir = kubernetes_dir
        self._kubelet_pki_dir = kubelet_pki_dir
        self._clock = clock
        self._files = LocalFiles(f"certificates in {kubernetes_dir} and {kubelet_pki_dir}")
        self._node = socket.gethostname() if node is None else node

    async def collect(self) -> AsyncGenerator[Reading, None]:
        found, hidden = await self._files.read(
            read_certificate_files, self._kubernetes_dir, self._kubelet_pki_dir, self._node
        )
        if not found and not hidden:
            raise AbsentError(
                f"no certificates in {self._kubernetes_dir} and {self._kubelet_pki_dir}: this host is no control plane "
                "node, and runs no kubelet"
            )
        problems = [f"{folder}: permission denied: {ROOT_NEEDED}" for folder in hidden]
        problems += [item.error for item in found if item.error]
        if not found:
            raise ForbiddenError("; ".join(problems))
        error = f"{problems[0]} (and {len(problems) - 1} more)" if len(problems) > 1 else "".join(problems)
        is_denied = not any(item.not_after for item in found) and any(ROOT_NEEDED in problem for problem in problems)
        state = SourceState.FORBIDDEN if is_denied else SourceState.LIVE
        yield Reading(self.name, state, self._clock(), Certificates(found), error, fresh_for_s=2.5 * self.pause_s)
