"""etcd's own log, and what its clients, the API server first, repeat of its errors.

Wordings of etcd 3.5 and later (JSON lines) and of 3.4 (plain text).
"""

from functools import partial
from typing import Final

from diagnosis.log_catalogue.signature import Signature, Step, Weight, advice, look_on_node
from situation.findings import Effect

_signature = partial(Signature, row="", family="etcd")
_ETCD: Final = "etcd"
_CLIENTS: Final = "the API server and other clients of etcd"
_PKI: Final = "/etc/kubernetes/pki/etcd"


def _etcdctl(text: str, *argv: str) -> Step:
    """etcdctl on the control plane node, with the files that kubeadm puts there."""
    files = ("--cacert", f"{_PKI}/ca.crt", "--cert", f"{_PKI}/healthcheck-client.crt",
             "--key", f"{_PKI}/healthcheck-client.key")  # fmt: skip
    return look_on_node(text, "etcdctl", "--endpoints", "https://127.0.0.1:2379", *files, *argv)


_STATUS: Final = _etcdctl(
    "leader, term, size and alarms of each member?", "endpoint", "status", "--cluster", "-w", "table"
)
_ALARMS: Final = _etcdctl("which alarms are raised?", "alarm", "list")
_HASHES: Final = _etcdctl("whose hash differs at the same revision?", "endpoint", "hashkv", "--cluster", "-w", "table")
_ENDS: Final = look_on_node("which certificates end when?", "kubeadm", "certs", "check-expiration")
_SERVED: Final = look_on_node(
    "until when is the member's own certificate valid, and for which names?",
    "openssl", "x509", "-noout", "-dates", "-subject", "-issuer", "-ext", "subjectAltName",
    "-in", f"{_PKI}/server.crt",
)  # fmt: skip
_DISK: Final = look_on_node("is the disk busy (%util), how long do writes wait?", "iostat", "-x", "1", "5")

SIGNATURES: Final[tuple[Signature, ...]] = (
    _signature(
        id="etcd-log-fdatasync-slow",
        found_in=_ETCD,
        texts=("slow fdatasync", "sync duration of…expected less than"),
        meaning="the disk took more than a second to make one write durable",
        cause="Another writer on the disk, a slow or shared volume, or a disk that fails.",
        next=(_DISK, _STATUS),
        over=("etcd-log-apply-slow",),
    ),
    _signature(
        id="etcd-log-heartbeat-late",
        found_in=_ETCD,
        texts=("failed to send out heartbeat on time",),
        meaning="the leader could not send its heartbeat in time: followers may start an election",
        cause="The leader is overloaded, mostly by a slow disk, or starved of CPU.",
        next=(_DISK, _STATUS),
        over=("etcd-log-apply-slow",),
        look_alikes={"a slow network": "there the round trips between the members are long"},
    ),
    _signature(
        id="etcd-log-apply-slow",
        found_in=_ETCD,
        texts=("apply request took too long", "took too long (…) to execute"),
        meaning="one request took more than 100 ms to apply",
        cause="A slow disk, a large range read, or too little CPU; one now and then is no fault.",
        next=(_STATUS, _DISK),
        weight=Weight.NOTE,
    ),
    _signature(
        id="etcd-log-read-index-slow",
        found_in=_ETCD,
        texts=("waiting for ReadIndex response took too long, retrying",),
        meaning="a consistent read waits for the leader",
        cause="No leader at the moment, a slow network to it, or an overloaded leader.",
        next=(_STATUS,),
    ),
    _signature(
        id="etcd-log-no-leader",
        found_in=_ETCD,
        texts=("serving /health false; no leader",),
        meaning="the member sees no leader: nothing can be written",
        cause="Quorum is lost, or an election goes on.",
        next=(_STATUS,),
        over=("etcd-client-no-leader", "etcd-client-timed-out"),
    ),
    _signature(
        id="etcd-log-alarm",
        found_in=_ETCD,
        texts=("serving /health false due to an alarm",),
        meaning="an alarm is raised: NOSPACE stops writes, CORRUPT all requests",
        cause="The database reached its quota, or members hold different data.",
        next=(_ALARMS, _STATUS),
    ),
    _signature(
        id="etcd-log-data-differ",
        found_in=_ETCD,
        texts=(
            "found different hash values from remote peer",
            "Detected compaction hash mismatch",
            "etcdserver: corrupt cluster",
        ),
        meaning="members hold different data",
        cause="A crash of a version before 3.5.3, a disk that lost writes, or a member restored from another snapshot.",
        next=(_HASHES, _ALARMS,
              advice("replace the member whose data differ; do not defragment before", Effect.DISRUPTIVE)),
        over=("etcd-log-alarm",),
    ),
    _signature(
        id="etcd-log-certificate-refused",
        found_in=_ETCD,
        texts=("rejected connection…remote error: tls:",),
        meaning="whoever connected does not accept the certificate that this member shows",
        cause="It has expired, is of another authority, or does not name the address that was asked.",
        next=(_SERVED, _ENDS),
        look_alikes={
            "etcd-log-client-refused": "there it is the member that does not accept the other's certificate",
            "a connection that ends with EOF": "a probe that only looks whether the port is open: no fault",
        },
    ),
    _signature(
        id="etcd-log-client-refused",
        found_in=_ETCD,
        texts=(
            "rejected connection…failed to verify",
            "rejected connection…didn't provide a certificate",
            "rejected connection…x509:",
        ),
        meaning="this member does not accept the certificate of whoever connected",
        cause="A client or peer certificate has expired, is of another authority or is missing: of the API server, of "
        "another member, or of a tool of people.",
        next=(_ENDS, _SERVED),
        look_alikes={"etcd-log-certificate-refused": "there it is the other side that does not accept the member's"},
    ),
    _signature(
        id="etcd-log-quota-large",
        found_in=_ETCD,
        texts=("quota exceeds the maximum value",),
        meaning="the quota is set above the suggested 8 GiB",
        cause="--quota-backend-bytes: larger is accepted, but start and defragmentation take long.",
        next=(_STATUS,),
        weight=Weight.NOTE,
    ),
    _signature(
        id="etcd-client-no-space",
        found_in=_CLIENTS,
        texts=("mvcc: database space exceeded",),
        meaning="etcd takes no writes: its database has reached the quota",
        cause="Too many or too large objects, or free space that only a defragmentation gives back.",
        next=(_STATUS, _ALARMS,
              advice("compact, defragment one member at a time with the leader last, then disarm the alarm",
                     Effect.DISRUPTIVE)),
    ),
    _signature(
        id="etcd-client-leader-lost",
        found_in=_CLIENTS,
        texts=(
            "possibly due to previous leader failure",
            "possibly due to connection lost",
            "etcdserver: leader changed",
        ),
        meaning="a request was lost because etcd changed its leader",
        cause="An election: a member or its node failed, or its disk or network is too slow.",
        next=(_STATUS, _DISK),
        over=("etcd-client-timed-out",),
    ),
    _signature(
        id="etcd-client-no-leader",
        found_in=_CLIENTS,
        texts=("etcdserver: no leader",),
        meaning="etcd has no leader: nothing can be written",
        cause="Quorum is lost, or an election goes on.",
        next=(_STATUS,),
        over=("etcd-client-timed-out",),
    ),
    _signature(
        id="etcd-client-timed-out",
        found_in=_CLIENTS,
        texts=("etcdserver: request timed out",),
        meaning="etcd did not commit a request in time",
        cause="No quorum, a slow disk, or more requests than it can take.",
        next=(_STATUS, _DISK),
    ),
    _signature(
        id="etcd-client-too-large",
        found_in=_CLIENTS,
        texts=("etcdserver: request is too large",),
        meaning="an object is larger than etcd takes (1.5 MiB)",
        cause="A large ConfigMap, Secret or custom resource, or one that a controller lets grow.",
        next=(_STATUS, advice("find who writes it: the line names the object or its controller")),
    ),
    _signature(
        id="etcd-client-compacted",
        found_in=_CLIENTS,
        texts=("mvcc: required revision has been compacted",),
        meaning="a watch asked for a revision that is gone; the client lists anew",
        cause="Normal for a client that was away for more than five minutes: the API server compacts that often.",
        next=(_STATUS,),
        weight=Weight.NOTE,
    ),
)  # fmt: skip
