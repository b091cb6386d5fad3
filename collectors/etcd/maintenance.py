"""etcd's gRPC calls to one member, with aetcd's generated stubs.

aetcd's own client is not used: its `status()` lists the members as well, which hangs without quorum. The stubs cost
0.13 s and 25 MB, so they are imported with the first call.
"""

import asyncio
import os
from collections.abc import Callable
from functools import cache
from time import monotonic
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from collectors.errors import BadAnswerError, ForbiddenError, SourceError, UnauthorizedError, UnreachableError
from collectors.etcd.credentials import Credentials
from collectors.http_failures import is_refusal
from situation.etcd.members import Alarm, ListedMember, MemberStatus
from situation.text import harmless

_SHOWN: Final = 200
_QUOTA_FIELD: Final = 12
"""`dbSizeQuota`, which aetcd's stubs do not know."""
_CHANNEL: Final = (
    # One that failed is closed and the next call opens another: nothing is shared, no back-off delays a recovery.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", 4 * 2**20),
)


class Grpc(NamedTuple):
    """What is imported late."""

    api: Any
    messages: Any
    stubs: Any


@cache
def load_grpc() -> Grpc:
    """Import gRPC and the stubs; slow the first time."""
    # Its library would write each failed handshake over the terminal; forked children (plugins) do not use it.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    import grpc
    import grpc.aio
    from aetcd.rpc import rpc_pb2, rpc_pb2_grpc

    return Grpc(grpc, rpc_pb2, rpc_pb2_grpc)


class Maintenance:
    """Asks one member. The connection is kept between calls that succeed, until `aclose`."""

    def __init__(self, endpoint: str, credentials: Credentials) -> None:
        self.endpoint = endpoint
        self._credentials = credentials
        self._channel: Any = None
        self._grpc: Grpc | None = None

    async def status(self, deadline_s: float) -> tuple[MemberStatus, float]:
        """Return the status and how many seconds it took; answers without quorum. Raises SourceError."""
        grpc = await self._loaded()
        began = monotonic()
        stub, request = grpc.stubs.MaintenanceStub, grpc.messages.StatusRequest()
        answer = await self._call(grpc, stub, "Status", request, deadline_s)
        return member_status(answer), monotonic() - began

    async def members(self, deadline_s: float) -> tuple[ListedMember, ...]:
        """Return the member list as this member knows it, without asking the others. Raises SourceError."""
        grpc = await self._loaded()
        request = grpc.messages.MemberListRequest(linearizable=False)
        answer = await self._call(grpc, grpc.stubs.ClusterStub, "MemberList", request, deadline_s)
        return listed_members(answer)

    async def alarms(self, deadline_s: float) -> tuple[Alarm, ...]:
        """Return the alarms; goes through raft, so it does not answer without quorum. Raises SourceError."""
        grpc = await self._loaded()
        request = grpc.messages.AlarmRequest(action=grpc.messages.AlarmRequest.GET)
        answer = await self._call(grpc, grpc.stubs.MaintenanceStub, "Alarm", request, deadline_s)
        names = grpc.messages.AlarmType
        return tuple(Alarm(item.memberID, _alarm_name(names, item.alarm)) for item in answer.alarms)

    async def aclose(self) -> None:
        """Close the connection; the next call opens another."""
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    async def _loaded(self) -> Grpc:
        if self._grpc is None:
            self._grpc = await asyncio.to_thread(load_grpc)
        return self._grpc

    async def _call(self, grpc: Grpc, stub: Callable[[Any], Any], name: str, request: Any, deadline_s: float) -> Any:
        if self._channel is None:
            self._channel = self._open(grpc.api)
        try:
            return await getattr(stub(self._channel), name)(request, timeout=deadline_s)
        except grpc.api.aio.AioRpcError as error:
            await self.aclose()
            code, details = error.code().name, error.details() or ""
            raise translated(code, details, self.endpoint, deadline_s, self._credentials) from error

    def _open(self, api: Any) -> Any:
        parts = urlsplit(self.endpoint)
        if parts.scheme == "http":
            return api.aio.insecure_channel(parts.netloc, options=_CHANNEL)
        ca, cert, key = self._credentials.contents
        return api.aio.secure_channel(parts.netloc, api.ssl_channel_credentials(ca, key, cert), options=_CHANNEL)


def member_status(answer: Any) -> MemberStatus:
    """Turn the answer of Maintenance.Status, of any version, into our type.

    A field that a version does not have looks like 0: no database has 0 bytes in use, and 0 is no quota.
    """
    return MemberStatus(
        member_id=answer.header.member_id,
        cluster_id=answer.header.cluster_id,
        version=harmless(answer.version),
        db_size_bytes=answer.dbSize,
        db_in_use_bytes=answer.dbSizeInUse or None,
        quota_bytes=_quota(answer),
        leader=answer.leader,
        raft_term=answer.raftTerm,
        raft_index=answer.raftIndex,
        applied_index=answer.raftAppliedIndex,
        revision=answer.header.revision,
        is_learner=answer.isLearner,
        errors=tuple(harmless(said.strip()) for said in answer.errors),
    )


def listed_members(answer: Any) -> tuple[ListedMember, ...]:
    """Turn the answer of Cluster.MemberList into our type. One that was added and never started has no name yet."""
    return tuple(
        ListedMember(
            item.ID,
            harmless(item.name),
            tuple(map(harmless, item.peerURLs)),
            tuple(map(harmless, item.clientURLs)),
            item.isLearner,
        )
        for item in answer.members
    )


def _quota(answer: Any) -> int | None:
    from google.protobuf.unknown_fields import UnknownFieldSet

    found = [field.data for field in UnknownFieldSet(answer) if field.field_number == _QUOTA_FIELD]
    if not found or not isinstance(found[-1], int):
        return None
    quota = found[-1] - 2**64 if found[-1] >= 2**63 else found[-1]  # an int64 that is negative comes as its complement
    return quota or None


def _alarm_name(names: Any, number: int) -> str:
    try:
        return str(names.Name(number))
    except ValueError:
        return f"alarm {number}"


def translated(code: str, details: str, endpoint: str, deadline_s: float, credentials: Credentials) -> SourceError:
    """Turn a gRPC status code and what its library says into our error, with what to do."""
    said = harmless(details)[:_SHOWN]
    match code:
        case "DEADLINE_EXCEEDED":
            return UnreachableError(f"{endpoint} did not answer within {deadline_s:g} s")
        case "UNAUTHENTICATED":
            return UnauthorizedError(
                f"{endpoint} wants a login ({said}): with etcd's authentication on, give a client certificate whose "
                "common name is a user"
            )
        case "PERMISSION_DENIED":
            return ForbiddenError(
                f"{endpoint} does not allow it to this user ({said}): status and alarms need the role root in "
                "some versions; give the client certificate of such a user"
            )
        case "UNAVAILABLE":
            return _no_connection(details, endpoint, credentials)
    return UnreachableError(f"{endpoint} answered {code}: {said}")


def _no_connection(details: str, endpoint: str, credentials: Credentials) -> SourceError:
    """Tell apart why there is no connection: gRPC has one code for all of it, and its library's words."""
    if "CERTIFICATE_VERIFY_FAILED" in details:
        why = details.partition("CERTIFICATE_VERIFY_FAILED:")[2].partition(":")[0].strip()
        return credentials.not_trusted(endpoint, why)
    if "Hostname Verification" in details or "not in peer certificate" in details:
        return credentials.not_trusted(endpoint, "it is for another name")
    if is_refusal(details) or "Unwrap failed" in details:  # in TLS 1.3 the refusal comes after the handshake
        return credentials.refused(endpoint)
    if "WRONG_VERSION_NUMBER" in details:
        return BadAnswerError(f"TLS with {endpoint} failed: it does not speak TLS; should its URL begin with http://?")
    if "http1.x server" in details:
        return BadAnswerError(f"{endpoint} speaks no gRPC: is it the port for metrics? That is for --etcd-metrics")
    if "Connection refused" in details:
        return UnreachableError(f"cannot connect to {endpoint}: connection refused")
    if "errors resolving" in details or "name resolution" in details.lower():
        return UnreachableError(f"cannot connect to {endpoint}: its name cannot be resolved")
    if endpoint.startswith("http://") and ("Socket closed" in details or "reset" in details):
        return BadAnswerError(f"{endpoint} closes the connection: does it speak TLS? Then its URL begins with https://")
    return UnreachableError(f"cannot connect to {endpoint}: {harmless(details.rpartition('last error: ')[2])[:_SHOWN]}")
