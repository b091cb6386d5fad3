"""Certificates of the control plane and until when they are valid."""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

import msgspec


class Certificate(msgspec.Struct, frozen=True):
    """One certificate, read from a file or shown in a TLS handshake."""

    name: str
    """As `kubeadm certs check-expiration` calls it: `apiserver`, `etcd-server`, `ca`, `admin.conf`; besides those
    `kubelet-client` and `kubelet-server`, which it does not list."""
    place: str
    """`/etc/kubernetes/pki/apiserver.crt`, or `https://10.0.0.1:6443` for a handshake."""
    not_after: datetime | None = None
    """None: it could not be read; `error` says why."""
    not_before: datetime | None = None
    is_authority: bool = False
    is_served: bool = False
    """Seen in a handshake: what the running process uses, whatever its file says."""
    error: str = ""
    node: str = ""
    """The control plane node that the file is on, if known."""


class Renewed(NamedTuple):
    """A certificate that was renewed in its file while the running process still shows the old one."""

    served: Certificate
    file: Certificate


def renewed_but_not_served(certificates: Iterable[Certificate]) -> tuple[Renewed, ...]:
    """Return where a process has to be restarted: on one node, the file of a name is valid longer than what is served.

    Only handshakes on the node itself are compared: another address may lead to another node's process.
    """
    found = list(certificates)
    files = {(item.name, item.node): item for item in found if item.node and not item.is_served and item.not_after}
    pairs = ((item, files.get((item.name, item.node))) for item in found if item.is_served and item.not_after)
    return tuple(
        Renewed(served, file)
        for served, file in pairs
        if file is not None and served.not_after and file.not_after and file.not_after > served.not_after
    )


class Certificates(msgspec.Struct, frozen=True):
    """All that one source knows: replaces what it told before."""

    certificates: tuple[Certificate, ...]
