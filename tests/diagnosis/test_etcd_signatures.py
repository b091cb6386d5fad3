"""What etcd's log and its clients' logs tell, in the wordings of 3.5 and 3.4."""

import pytest

from diagnosis.log_catalogue import BY_ID
from diagnosis.log_catalogue.signature import Weight
from diagnosis.log_signatures import find_signatures, trigger


def line(level: str, message: str, **fields: str) -> str:
    """Return a line as etcd 3.5 writes it."""
    rest = "".join(f',"{name}":"{value}"' for name, value in fields.items())
    return (
        f'{{"level":"{level}","ts":"2026-11-23T02:40:11.123Z","caller":"etcdserver/x.go:1","msg":"{message}"{rest}}}\n'
    )


PROBED = line("warn", "rejected connection on client endpoint", error="EOF")
QUIET = PROBED + line("info", "finished scheduled compaction", took="61ms") + line("info", "purged file")


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        (line("warn", "slow fdatasync", took="1.2s"), "etcd-log-fdatasync-slow"),
        ("etcdserver: sync duration of 1.2s, expected less than 1s\n", "etcd-log-fdatasync-slow"),
        (
            line("warn", "leader failed to send out heartbeat on time; took too long, leader is overloaded likely from "
                 "slow disk"),
            "etcd-log-heartbeat-late",
        ),
        (line("warn", "apply request took too long", took="140ms"), "etcd-log-apply-slow"),
        ('etcdserver: read-only range request "key:x" took too long (140ms) to execute\n', "etcd-log-apply-slow"),
        (line("warn", "waiting for ReadIndex response took too long, retrying"), "etcd-log-read-index-slow"),
        (line("warn", "serving /health false; no leader"), "etcd-log-no-leader"),
        (line("warn", "serving /health false due to an alarm", alarm="NOSPACE"), "etcd-log-alarm"),
        (line("warn", "found different hash values from remote peer"), "etcd-log-data-differ"),
        (line("warn", "quota exceeds the maximum value"), "etcd-log-quota-large"),
        (
            line("warn", "rejected connection", remote="10.0.0.2:4", error="remote error: tls: bad certificate"),
            "etcd-log-certificate-refused",
        ),
        (
            line("warn", "rejected connection on peer endpoint", error="remote error: tls: expired certificate"),
            "etcd-log-certificate-refused",
        ),
        (
            'rejected connection from "10.0.0.2:4" (error "remote error: tls: bad certificate", ServerName "")\n',
            "etcd-log-certificate-refused",
        ),
        (
            line("warn", "rejected connection on client endpoint",
                 error="tls: failed to verify client certificate: x509: certificate has expired"),
            "etcd-log-client-refused",
        ),
        (
            line("warn", "rejected connection", error="tls: client didn't provide a certificate"),
            "etcd-log-client-refused",
        ),
        ("E1123 status.go:71] etcdserver: mvcc: database space exceeded\n", "etcd-client-no-space"),
        ("etcdserver: request timed out, possibly due to previous leader failure\n", "etcd-client-leader-lost"),
        ("rpc error: code = Unavailable desc = etcdserver: no leader\n", "etcd-client-no-leader"),
        ("etcdserver: request timed out\n", "etcd-client-timed-out"),
        ("etcdserver: request is too large\n", "etcd-client-too-large"),
        ("etcdserver: mvcc: required revision has been compacted\n", "etcd-client-compacted"),
    ],
)  # fmt: skip
def test_a_line_tells_just_one_thing(log: str, expected: str) -> None:
    assert [match.signature.id for match in find_signatures(QUIET + log + QUIET)] == [expected]


def test_a_quiet_log_tells_nothing() -> None:
    assert not find_signatures(QUIET)


def test_slow_applies_are_explained_by_the_slow_disk() -> None:
    log = line("warn", "apply request took too long") * 3 + line("warn", "slow fdatasync")
    found = trigger(find_signatures(log))
    assert found is not None and found.signature.id == "etcd-log-fdatasync-slow"


def test_a_compacted_revision_is_no_fault() -> None:
    assert BY_ID["etcd-client-compacted"].weight is Weight.NOTE
