"""Certificates of the control plane and until when they are valid."""

from datetime import datetime

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


class Certificates(msgspec.Struct, frozen=True):
    """All that one source knows: replaces what it told before."""

    certificates: tuple[Certificate, ...]
