"""etcd's members as a tape tells of them: asked now and then while it was recorded, as the collector would have."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final, Literal, NamedTuple

import msgspec

from collectors.errors import BadAnswerError
from collectors.etcd.health import parse_health, parse_readyz
from collectors.etcd.metrics import parse_member_page
from collectors.etcd.rounds import FRESH_S
from situation.etcd.members import (
    Alarm,
    EtcdAccess,
    EtcdAlarms,
    EtcdMember,
    EtcdMembership,
    EtcdReading,
    ListedMember,
    MemberHealth,
    MemberPage,
    MemberStatus,
)
from situation.etcd.standing import source_name
from situation.readings import Reading, SourceState
from situation.text import harmless

_TLS_PARTS: Final = frozenset({"status", "members", "alarms"})
"""What is asked at the client port; pages are served without TLS too (`--listen-metrics-urls`)."""
_SILENT: Final = {"hangs": "did not answer", "refuses": "connection refused"}


class RecordedAnswer(NamedTuple):
    """What a member answered from some time on, or how it can be reached since then (`server`)."""

    at: datetime
    member: str
    part: str
    """`server`, `status`, `members`, `alarms`, `metrics`, `health`, `readyz`."""
    body: Mapping[str, Any] | None = None
    text: str = ""
    error: str = ""


class _Gateway(msgspec.Struct, frozen=True):
    """etcd's JSON gateway writes 64-bit numbers as strings, and leaves out what is 0."""


class _Header(_Gateway, frozen=True):
    cluster_id: int = 0
    member_id: int = 0
    revision: int = 0


class _Status(_Gateway, frozen=True, rename="camel"):
    header: _Header = _Header()
    version: str = ""
    db_size: int = 0
    db_size_in_use: int = 0
    db_size_quota: int = 0
    leader: int = 0
    raft_index: int = 0
    raft_term: int = 0
    raft_applied_index: int = 0
    is_learner: bool = False
    errors: tuple[str, ...] = ()


class _Row(_Gateway, frozen=True):
    ID: int = 0
    name: str = ""
    peer_urls: tuple[str, ...] = msgspec.field(default=(), name="peerURLs")
    client_urls: tuple[str, ...] = msgspec.field(default=(), name="clientURLs")
    is_learner: bool = msgspec.field(default=False, name="isLearner")


class _Members(_Gateway, frozen=True):
    members: tuple[_Row, ...] = ()


class _Raised(_Gateway, frozen=True):
    member_id: int = msgspec.field(default=0, name="memberID")
    alarm: str = ""


class _Alarms(_Gateway, frozen=True):
    alarms: tuple[_Raised, ...] = ()


class _Server(_Gateway, frozen=True):
    state: Literal["serves", "hangs", "refuses"] = "serves"
    certificate: str = "server"
    trusts: str = "ca"


class RecordedMembers:
    """All members of a tape. An answer holds until the member says something else."""

    def __init__(self) -> None:
        self._told: dict[str, _Told] = {}
        self._endpoints: dict[str, str] = {}
        """By name, as the member list has them: one member has one endpoint."""

    def take(self, answer: RecordedAnswer) -> None:
        """Fold an answer in. Raises BadAnswerError for a body that is not etcd's."""
        told = self._told.setdefault(answer.member, _Told(answer.member))
        told.take(answer)
        if answer.part == "members":
            self._endpoints |= {row.name: row.client_urls[0] for row in told.listed if row.client_urls}

    @property
    def have_endpoints(self) -> bool:
        """Whether a member list was heard: before that members have made-up endpoints."""
        return bool(self._endpoints)

    def round(self, at: datetime) -> Iterator[Reading]:
        """Yield what the collector would tell of a round at `at`; nothing before any member was heard."""
        reached = {name: item for name, item in self._told.items() if item.was_reached}
        if not reached:
            return
        yield Reading("etcd/access", SourceState.LIVE, at, EtcdAccess(found_by="the recording", asked=len(self._told)))
        for name, item in reached.items():
            yield item.reading(self._endpoints.get(name, f"https://{name}:2379"), at)
        answering = [item for item in self._told.values() if not item.fails("members")]
        if listed := next((item.listed for item in answering if item.listed), ()):
            yield Reading("etcd/members", SourceState.LIVE, at, EtcdMembership(listed))
        alarms = next((item.alarms for item in answering if item.alarms is not None), None)
        if alarms is not None:
            yield Reading("etcd/alarms", SourceState.LIVE, at, EtcdAlarms(alarms))


class _Told:
    """What one member said last of each part."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._server = _Server()
        self._errors: dict[str, str] = {}
        self._status: MemberStatus | None = None
        self._page: MemberPage | None = None
        self._health: tuple[bool, str] | None = None
        self._failed_checks: tuple[str, ...] = ()
        self.listed: tuple[ListedMember, ...] = ()
        self.alarms: tuple[Alarm, ...] | None = None
        self.was_reached = False

    def take(self, answer: RecordedAnswer) -> None:
        """Fold an answer in."""
        self.was_reached = True
        self._errors[answer.part] = harmless(answer.error)
        if answer.error:
            return
        body, what = answer.text.encode(), f"{answer.part} of {self._name}"
        try:
            match answer.part:
                case "server":
                    self._server = msgspec.convert(answer.body, _Server)
                case "status":
                    self._status = _status(msgspec.convert(answer.body, _Status, strict=False))
                case "members":
                    self.listed = tuple(map(_listed, msgspec.convert(answer.body, _Members, strict=False).members))
                case "alarms":
                    raised = msgspec.convert(answer.body, _Alarms, strict=False).alarms
                    self.alarms = tuple(Alarm(item.member_id, harmless(item.alarm)) for item in raised)
                case "metrics":
                    self._page = parse_member_page(body, what)
                case "health":
                    self._health = parse_health(body, what)
                case "readyz":
                    self._failed_checks = parse_readyz(body)
        except msgspec.ValidationError as error:
            raise BadAnswerError(f"{what} on the tape is not what etcd answers: {error}") from error

    def fails(self, part: str) -> str:
        """Return why a part gets no answer now, empty if it does."""
        if self._server.state != "serves":
            return _SILENT[self._server.state]
        if part in _TLS_PARTS and self._server.certificate not in ("", "server"):
            return f"its certificate ({self._server.certificate}) is not accepted"
        if part in _TLS_PARTS and self._server.trusts not in ("", "ca"):
            return "it does not accept our certificate"
        return self._errors.get(part, "")

    def reading(self, endpoint: str, at: datetime) -> Reading:
        """Return the round at a time."""
        errors = {part: self.fails(part) for part in ("status", "metrics", "health")}
        checks = () if self.fails("readyz") else self._failed_checks
        health = MemberHealth(*self._health, failed_checks=checks) if self._health is not None else None
        member = EtcdMember(
            endpoint,
            name=self._name,
            node=self._name,
            status=None if errors["status"] else self._status,
            status_error=errors["status"],
            page=None if errors["metrics"] else self._page,
            page_error=errors["metrics"],
            health=None if errors["health"] else health,
            health_error=errors["health"],
        )
        error = next(filter(None, errors.values()), "")
        state = SourceState.LIVE if member.answers or not error else SourceState.UNREACHABLE
        return Reading(source_name(endpoint), state, at, EtcdReading(member, at), error, FRESH_S)


def _status(said: _Status) -> MemberStatus:
    return MemberStatus(
        said.header.member_id, said.header.cluster_id, harmless(said.version), said.db_size,
        said.db_size_in_use or None, said.db_size_quota or None, said.leader, said.raft_term, said.raft_index,
        said.raft_applied_index, said.header.revision, said.is_learner,
        tuple(harmless(error.strip()) for error in said.errors),
    )  # fmt: skip


def _listed(row: _Row) -> ListedMember:
    peers, clients = (tuple(map(harmless, urls)) for urls in (row.peer_urls, row.client_urls))
    return ListedMember(row.ID, harmless(row.name), peers, clients, row.is_learner)
