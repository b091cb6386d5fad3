"""`--local`: the cockpit on a control-plane node, with whatever credentials there are, or none."""

from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from situation.kinds import KINDS
from situation.readings import Reading, SourceState

if TYPE_CHECKING:
    from collectors.kubernetes.client import Client
    from collectors.kubernetes.cluster_clock import ClusterClock

NOT_READ: Final = "not read: no kubeconfig (midwatch --local)"
"""Error of every source of the Kubernetes API when there are no credentials for it."""
_MANIFESTS: Final = ("etcd.yaml", "kube-apiserver.yaml", "kube-controller-manager.yaml", "kube-scheduler.yaml")
"""Static pods of a control-plane node (kubeadm documentation, "Implementation details"); an etcd node has the first."""
_CREDENTIALS: Final = ("admin.conf", "super-admin.conf")
"""Kubeconfigs that kubeadm writes; the second only on the first node, since 1.29."""


class Access(NamedTuple):
    """The way to the API server, None for none; the kubeconfig that commands have to name; what to say about both."""

    client: "Client | None"
    kubeconfig: str = ""
    notes: tuple[str, ...] = ()


def check_control_plane_node(kubernetes_dir: Path) -> None:
    """Raise ConfigurationError unless this host runs a part of the control plane as kubeadm sets it up."""
    from collectors.errors import ConfigurationError

    folder = kubernetes_dir / "manifests"
    try:
        there = {entry.name for entry in folder.iterdir()}
    except PermissionError as error:
        raise ConfigurationError(f"--local: {folder}: permission denied; run as root") from error
    except OSError as error:
        raise ConfigurationError(
            f"--local: this host is no control-plane node that kubeadm has set up: {folder}: {error.strerror}"
        ) from error
    if there.isdisjoint(_MANIFESTS):
        raise ConfigurationError(
            f"--local: this host is no control-plane node: {folder} holds none of {', '.join(_MANIFESTS)}"
        )


async def local_access(
    kubeconfig: str | None,
    context: str | None,
    kubernetes_dir: Path,
    plugin_deadline_s: float,
    clock: "ClusterClock",
    *,
    oidc_renew: bool = True,
) -> Access:
    """Take the kubeconfig that is named or in its usual place, else kubeadm's own if it can be read, else none.

    Raises ConfigurationError where this host is no control-plane node, and for a kubeconfig that was named, or is in
    its usual place, and cannot be used.
    """
    from collectors.errors import ConfigurationError, NoKubeconfigError
    from collectors.kubernetes.client import connect

    check_control_plane_node(kubernetes_dir)
    connected = partial(connect, clock=clock, plugin_deadline_s=plugin_deadline_s, oidc_renew=oidc_renew)
    try:
        client = await connected(kubeconfig, context)
        return Access(client, kubeconfig or "", (f"credentials: {client.kubeconfig}",))
    except NoKubeconfigError:
        problems: list[str] = []
    for path in (kubernetes_dir / name for name in _CREDENTIALS):
        if not path.exists():
            problems.append(f"{path} does not exist")
        else:
            try:
                client = await connected(str(path), context)
                return Access(client, str(path), (f"credentials: {path}",))
            except ConfigurationError as error:
                hint = "; run as root to use it" if isinstance(error.__cause__, PermissionError) else ""
                problems.append(f"{error}{hint}")
    return Access(None, notes=(f"no credentials, so the API server is not asked: {'; '.join(problems)}",))


def not_read(now: datetime) -> Iterator[Reading]:
    """Yield what all sources of the Kubernetes API say when nobody asks it."""
    for name in (*(kind.source for kind in KINDS), "kubernetes/version", "kubernetes/readyz"):
        yield Reading(name, SourceState.ABSENT, now, error=NOT_READ)
