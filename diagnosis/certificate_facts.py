"""Certificates as they are judged: how near their end, which process uses them, which of them is still the old one."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Final
from urllib.parse import urlsplit

from diagnosis.commands import counted, on_node, shorten
from situation.certificates import Certificate
from situation.clock import duration_text
from situation.cluster import Lease
from situation.distribution import is_by_kubeadm
from situation.findings import Command, Effect, Evidence, Mark
from situation.selectors import is_control_plane
from situation.server_clock import SOURCE as CLOCK
from situation.server_clock import measured, offset_text
from situation.situation import Situation
from situation.topology import static_pods

SOON: Final = timedelta(days=30)
"""People need a month to plan a renewal: warn from here (the kubernetes mixin: below 7 days, critical below 1)."""
URGENT: Final = timedelta(days=7)
"""Critical from here, where the kubernetes mixin warns: all of them were made in the same minute and end together."""
SHORT_LIVED: Final = 10
"""A certificate that lives for less than 300 days is made anew by a machine: it is late in its last tenth."""
ROTATING: Final = frozenset({"kubelet-client"})
"""The kubelet renews its client certificate at 70 to 90 % of its life: less than a tenth left means that it cannot."""
FOR_PEOPLE: Final = frozenset({"admin.conf", "super-admin.conf", "etcd-healthcheck-client", "kubelet-server"})
"""No part of the control plane stops with these: kubeconfigs of people, a client for probes and etcdctl, and the
kubelet's serving certificate, which the API server does not check by default."""
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_TAKEN_OFF: Final = ", which is taken off"
CLOCKS_AGREE: Final = timedelta(seconds=60)
_RESTART: Final = {
    "apiserver": "kube-apiserver",
    "apiserver-kubelet-client": "kube-apiserver",
    "apiserver-etcd-client": "kube-apiserver",
    "front-proxy-client": "kube-apiserver",
    "etcd-server": "etcd",
    "etcd-peer": "etcd",
    "controller-manager.conf": "kube-controller-manager",
    "scheduler.conf": "kube-scheduler",
}
"""Certificate -> the static pod that holds it in memory (kubeadm)."""
MANIFESTS: Final = "/etc/kubernetes/manifests"
AWAY_S: Final = 20
"""So long a manifest stays away until the kubelet has stopped its pod (kubeadm's own instructions)."""


class Band(IntEnum):
    """How near a certificate is to its end."""

    EXPIRED = 0
    NOT_YET = 1
    """Its validity has not begun by our clock."""
    URGENT = 2
    SOON = 3
    FINE = 4


def band(item: Certificate, now: datetime) -> Band | None:
    """Return how near the end of a certificate is; None if it could not be read."""
    if item.not_after is None:
        return None
    left = item.not_after - now
    if left <= timedelta(0):
        return Band.EXPIRED
    if item.not_before is not None and item.not_before > now:
        return Band.NOT_YET
    soon, urgent = SOON, URGENT
    if item.not_before is not None:
        life = item.not_after - item.not_before
        soon, urgent = min(SOON, life / SHORT_LIVED), min(URGENT, life / (SHORT_LIVED * 4))
    return Band.URGENT if left < urgent else Band.SOON if left < soon else Band.FINE


def replaced(situation: Situation) -> tuple[tuple[Certificate, Certificate], ...]:
    """Return what is served together with the newer file of the same certificate on the same host."""
    files = [item for item in situation.certificates if not item.is_served and not item.is_authority]
    return tuple(
        (served, file)
        for served in situation.certificates
        if served.is_served
        for file in files
        if file.name == served.name and _same_host(served, file, situation) and _is_newer(file, served)
    )


def _same_host(served: Certificate, file: Certificate, situation: Situation) -> bool:
    """Tell whether a handshake was surely with the node that the file is on.

    A load balancer may lead to another node, whose certificate is another one: then nothing is compared.
    """
    if served.node:
        return served.node == file.node
    host = urlsplit(served.place).hostname
    if host in _LOOPBACK:
        return True
    pods = (*static_pods(situation, "kube-apiserver"), *static_pods(situation, "etcd"))
    nodes = {pod.spec.node_name for pod in pods}
    if len(nodes) == 1:
        return file.node in ("", *nodes)
    return any(pod.status.pod_ip == host and pod.spec.node_name == file.node for pod in pods)


def _is_newer(file: Certificate, served: Certificate) -> bool:
    if file.not_before is not None and served.not_before is not None:
        return file.not_before > served.not_before
    return file.not_after is not None and served.not_after is not None and file.not_after > served.not_after


def describe(item: Certificate, situation: Situation, now: datetime) -> Evidence:
    """Return a certificate as evidence: name, place, and until when it is valid."""
    where = f"{item.place} on {item.node}" if item.node else item.place
    source = situation.certificate_source(item)
    if item.not_after is None:
        text = f"{item.name} ({where}) could not be read: {item.error or 'no reason known'}"
        return Evidence(text, source, mark=Mark.OPEN)
    seen = "in use" if item.is_served else "file"
    left = (item.not_after - now).total_seconds()
    when = f"{duration_text(left)} left" if left > 0 else f"expired {duration_text(-left)} ago"
    if item.not_before is not None and item.not_before > now:
        when = f"not valid before {item.not_before:%Y-%m-%d %H:%M} UTC"
    return Evidence(f"{item.name}: {when}, until {item.not_after:%Y-%m-%d %H:%M} UTC ({seen}: {where})", source)


def unread(situation: Situation) -> Iterator[Evidence]:
    """Yield what could not be told because files could not be read; three at most."""
    failed = [item for item in situation.certificates if item.not_after is None]
    for item in failed[:3]:
        text = f"cannot be told: {item.name} ({item.place}): {item.error or 'not read'}"
        yield Evidence(text, situation.certificate_source(item), mark=Mark.OPEN)
    if failed[3:]:
        text = f"cannot be told: {len(failed) - 3} more"
        yield Evidence(text, situation.certificate_source(failed[3]), mark=Mark.OPEN)


def certificate_doubts(situation: Situation) -> list[str]:
    """Return in a few words which certificates layer 4 could not judge; empty if none."""
    failed = [item for item in situation.certificates if item.not_after is None]
    if not failed:
        return []
    why = shorten(failed[0].error, 60) or "no reason known"
    return [f"{counted(len(failed), 'certificate')} not readable, {failed[0].name} for one: {why}"]


def clocks(situation: Situation, now: datetime) -> Evidence:
    """Return whether our clock agrees with the cluster's, as a wrong clock makes good certificates look expired."""
    if (clock := measured(situation, now)) is not None:
        left_s = abs(clock.ahead_s - clock.taken_off_s)
        agrees = left_s <= max(clock.within_s, CLOCKS_AGREE.total_seconds())
        text = f"our clock {offset_text(clock)}, by the Date of its answers{_TAKEN_OFF if clock.taken_off_s else ''}"
        return Evidence(text, CLOCK, situation.source(CLOCK).observed_at, Mark.EXCLUDES if agrees else Mark.OPEN)
    renewed = [
        item.spec.renew_time
        for item in situation.table("leases").values()
        if isinstance(item, Lease) and item.spec.renew_time is not None
    ]
    if not renewed:
        return Evidence("by our clock; there is no lease to compare it with", "kubernetes/leases", mark=Mark.OPEN)
    off_s = (now - max(renewed)).total_seconds()
    if abs(off_s) <= CLOCKS_AGREE.total_seconds():
        return Evidence("our clock and the cluster's agree: the newest lease is "
                        f"{duration_text(abs(off_s))} off", "kubernetes/leases", mark=Mark.EXCLUDES)  # fmt: skip
    side = "ahead of" if off_s > 0 else "behind"
    return Evidence(f"our clock may be {duration_text(abs(off_s))} {side} the cluster's (newest lease), or its leases "
                    "are frozen", "kubernetes/leases", mark=Mark.OPEN)  # fmt: skip


def places(item: Certificate, situation: Situation) -> tuple[str, ...]:
    """Return the control plane nodes that commands are for: the certificate's own, else all; none where none shows."""
    nodes = sorted(node.name for node in situation.nodes.values() if is_control_plane(node))
    return (item.node,) if item.node else tuple(nodes)


def check_command(item: Certificate, situation: Situation) -> Command:
    """Return a reading command that shows until when certificates are valid."""
    argv: tuple[str, ...] = ("kubeadm", "certs", "check-expiration")
    purpose = "which certificates end when, and who signs them (EXTERNALLY MANAGED)?"
    if item.name in ROTATING or item.name == "kubelet-server":
        argv, purpose = (
            ("openssl", "x509", "-noout", "-dates", "-subject", "-in", item.place),
            "until when is it valid?",
        )
    nodes = places(item, situation)
    if nodes and (is_by_kubeadm(situation) or argv[0] != "kubeadm"):
        return on_node(nodes[0], *argv, purpose=purpose)
    if item.is_served:
        return Command(("curl", "-kvI", item.place), "until when is what it serves valid (expire date)?")
    return Command(argv, purpose)


def renew_commands(item: Certificate, situation: Situation) -> tuple[Command, ...]:
    """Return how to renew what kubeadm made, on each control plane node (three at most); nothing where it made none."""
    if not is_by_kubeadm(situation):
        return ()
    purpose = "renew all but the CAs; needed on every control plane node, not with an external CA"
    argv = ("kubeadm", "certs", "renew", "all")
    return tuple(
        Command(argv, purpose, effect=Effect.MUTATING, where=f"node {node}")
        for node in (places(item, situation) or ("",))[:3]
        if node
    ) or (Command(argv, purpose, effect=Effect.MUTATING),)


def restart_commands(names: list[str], item: Certificate, situation: Situation) -> tuple[Command, ...]:
    """Return how to restart the static pods that hold these certificates, etcd last; nothing where none does."""
    if not is_by_kubeadm(situation):
        return ()
    found = dict.fromkeys(_RESTART[name] for name in names if name in _RESTART)
    nodes = places(item, situation)
    where = f"node {nodes[0]}" if nodes else "here"
    return tuple(
        Command(
            ("sh", "-c", f"mv {MANIFESTS}/{pod}.yaml /etc/kubernetes/ && sleep {AWAY_S} && "
             f"mv /etc/kubernetes/{pod}.yaml {MANIFESTS}/"),
            f"restart {pod}, which holds the old certificate in memory; one node after the other",
            effect=Effect.DISRUPTIVE, where=where,
        )
        for pod in sorted(found, key=lambda pod: (pod == "etcd", pod))
    )  # fmt: skip
