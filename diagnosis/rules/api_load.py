"""Layer 4: an API server near its limits: requests in flight, priority levels, file descriptors (L4-05)."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from diagnosis import api_facts as facts
from diagnosis.commands import counted, kubectl
from diagnosis.explaining import API_BUSY
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, rule
from diagnosis.rules.api_server import control_plane_commands
from situation import api_load
from situation.api_server import METRICS, ApiServerPage
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.meta import CLUSTER
from situation.situation import Situation

IN_FLIGHT: Final = {"readOnly": 400, "mutating": 200}
"""Defaults of --max-requests-inflight and --max-mutating-requests-inflight; what the flags really say is not told."""
NEARLY: Final = 0.8
FULL: Final = 1.0
"""Share of its seats that a priority level uses when no further request starts."""
FILES_SOON: Final = 0.8
FILES_OUT: Final = 0.95
"""Shares of file descriptors in use; each watch and each connection costs one."""
VITAL: Final = frozenset({"system", "node-high", "leader-election"})
"""Priority levels of kubelets and of leader election: when they are turned away, nodes and controllers drop out."""
GIVEN_UP: Final = 0.2
"""Share of requests that the server gives up (kubernetes mixin, KubeAPITerminatedRequests)."""
GIVEN_UP_LEAST: Final = 10


def _level_commands() -> tuple[Command, ...]:
    return (
        kubectl("get", "--raw", "/debug/api_priority_and_fairness/dump_priority_levels",
                purpose="which priority levels are full?"),
        kubectl("get", "--raw", "/debug/api_priority_and_fairness/dump_requests",
                purpose="who asks now, and for what?"),
    )  # fmt: skip


def _near_in_flight(page: ApiServerPage) -> set[str]:
    return {kind for kind, limit in IN_FLIGHT.items() if page.in_flight.get(kind, 0) >= NEARLY * limit}


def full_levels(page: ApiServerPage) -> set[str]:
    """Return the priority levels without a free seat."""
    return {level for level, used in (api_load.saturation(page) or {}).items() if used >= FULL}


def _served(situation: Situation) -> int:
    """Return how many requests the server answered over the window."""
    return sum(item.requests for item in (api_load.latency_by_verb(situation.api_server) or {}).values())


def rejects_evidence(situation: Situation) -> Iterator[Evidence]:
    """Yield how many requests each priority level turned away over the window, three levels at most."""
    window = facts.window_text(situation)
    for level, count in list((api_load.rejects(situation.api_server) or {}).items())[:3]:
        yield Evidence(f"priority level {level} turned {counted(count, 'request')} away {window} (429)", METRICS)


@rule(
    "api-saturated",
    signature="L4-05",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="requests in flight against the defaults of 400 and 200, seats in use of each priority level, requests "
    "given up to protect the server, in the last two scrapes.",
    look_alikes={
        "a moment's rush": "both of the last two scrapes must show it",
        "other limits than the defaults": "the server does not tell its flags: look them up in its manifest",
        "api-slow-requests": "slow etcd or webhooks keep requests in flight for longer: then this is the effect",
    },
)
def api_saturated(_: None, situation: Situation, now: datetime) -> Verdict:
    """The API server works on as many requests at once as it may."""
    if reason := facts.no_window(situation, now):
        return Unknown(reason)
    before, page = (page for _, page in situation.api_server.pages()[-2:])
    kinds = sorted(_near_in_flight(before) & _near_in_flight(page))
    levels = sorted(full_levels(before) & full_levels(page))
    gone, served = api_load.given_up(situation.api_server) or 0, _served(situation)
    gives_up = gone >= GIVEN_UP_LEAST and gone > GIVEN_UP * (gone + served)
    if not kinds and not levels and not gives_up:
        return CLEAR
    lines = [
        Evidence(f"{kind} requests in flight: {page.in_flight[kind]:.0f} (default limit {IN_FLIGHT[kind]})", METRICS)
        for kind in kinds
    ]
    for level in levels[:3]:
        seats = page.seats[level]
        lines.append(Evidence(f"priority level {level}: {seats.executing:.0f} of {seats.limit:.0f} seats", METRICS))
    if waiting := sum(page.in_queue.values()):
        lines.append(Evidence(f"{counted(round(waiting), 'request')} waiting in queues", METRICS))
    if gone:
        text = f"gave up {counted(gone, 'request')} to protect itself, answered {served} {facts.window_text(situation)}"
        lines.append(Evidence(text, METRICS))
    return Fired(
        CLUSTER,
        _saturated_title(levels, kinds),
        (*lines, *rejects_evidence(situation), _own_share(situation)),
        _level_commands(),
        follows=(CLUSTER,),
        follows_only=("api-overloaded",),
        who=("API server",),
    )


def _saturated_title(levels: list[str], kinds: list[str]) -> str:
    if levels:
        return f"has no free seat in priority level {levels[0]}" + (
            f" and {len(levels) - 1} more" if levels[1:] else ""
        )
    if kinds:
        return f"is near its limit of {' and '.join(kinds)} requests in flight"
    return "gives up requests to protect itself"


def _own_share(situation: Situation) -> Evidence:
    own = situation.own_load
    text = f"Midwatch itself asks {own.requests_per_s:.1f} times a second and holds {own.open_watches} watches open"
    return Evidence(text, "midwatch/load", mark=Mark.EXCLUDES)


@rule(
    "api-requests-rejected",
    signature="L4-05",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="apiserver_flowcontrol_rejected_requests_total by priority level over the last minutes, not since start.",
    look_alikes={
        "a PodDisruptionBudget's 429": "it is no reject of priority and fairness, and not counted here",
        "api-overloaded": "there our own requests are turned away too",
        "a moment's rush": "up to 4 that are no more than 1 % of what was answered are a hint; critical are 5 and more "
        "of kubelets or leaders that go on over two scrapes, or are above 14.4 %",
    },
)
def api_requests_rejected(_: None, situation: Situation, now: datetime) -> Verdict:
    """The API server turns requests away (429), whoever sent them."""
    if reason := facts.no_window(situation, now):
        return Unknown(reason)
    found = api_load.rejects(situation.api_server)
    if found is None:
        return Unknown(facts.IN_PART)
    if not found:
        return CLEAR
    vital = [level for level in found if level in VITAL]
    severity = _rejecting(found, vital, situation)
    lines = list(rejects_evidence(situation))
    if vital:
        lines.append(Evidence(f"{vital[0]} is for kubelets and leaders: nodes and controllers may drop out", METRICS))
    others = situation.own_load.throttled
    own = f"of Midwatch's own requests {others} since its start" if others else "none of Midwatch's own since its start"
    level = (vital or list(found))[0]
    return Fired(
        CLUSTER,
        f"turned {counted(sum(found.values()), 'request')} away, most at priority level {next(iter(found))}"
        if level == next(iter(found)) else f"turned requests away, also at priority level {level}",
        (*lines, Evidence(own, "midwatch/load", mark=Mark.SUPPORTS if others else Mark.OPEN)),
        _level_commands(),
        severity=severity,
        follows=(CLUSTER,),
        follows_only=API_BUSY,
        who=("API server",),
    )  # fmt: skip


def _rejecting(found: Mapping[str, int], vital: Sequence[str], situation: Situation) -> Severity:
    """Return how grave it is: clients ask again after a second, so a few rejects cost nothing.

    Vital ones are grave when they go on from page to page, for 30 s each, or are many of all requests: a leader gives
    up after 10 s without an answer, a node is lost after 40 s.
    """
    lost, served = sum(found[level] for level in vital), _served(situation)
    if lost >= facts.HANDFUL:
        if api_load.rejecting_still(situation.api_server).intersection(vital):
            return Severity.CRITICAL
        if lost > facts.GRAVE * (lost + served):
            return Severity.CRITICAL
    count = sum(found.values())
    return Severity.INFO if count < facts.HANDFUL and count <= facts.TOLERATED * served else Severity.WARNING


@rule(
    "api-files-exhausted",
    signature="L4-05",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="process_open_fds against process_max_fds of the API server, and how many watches are open.",
    look_alikes={"api-saturated": "there requests are in flight; an idle watch costs a file descriptor all the same"},
)
def api_files_exhausted(_: None, situation: Situation, now: datetime) -> Verdict:
    """The API server runs out of file descriptors: new connections and watches will fail."""
    page = situation.api_server.page
    if (reason := facts.not_live(situation, now)) or page is None:
        return Unknown(reason or "the API server's metrics were not read")
    share = api_load.open_files_ratio(page)
    if share is None:
        return Unknown("the API server does not tell its file descriptors")
    if share <= FILES_SOON:
        return CLEAR
    lines = [Evidence(f"{page.open_files:,} of {page.max_files:,} file descriptors are open", METRICS)]
    if page.watches is not None:
        lines.append(Evidence(f"{page.watches:,.0f} watches are open, each costs one", METRICS))
    return Fired(
        CLUSTER,
        f"uses {share * 100:.0f} % of its file descriptors",
        (*lines, _own_share(situation)),
        (
            kubectl("get", "--raw", "/debug/api_priority_and_fairness/dump_requests", purpose="who asks now?"),
            *control_plane_commands(situation, "kube-apiserver"),
        ),
        severity=Severity.CRITICAL if share > FILES_OUT else Severity.WARNING,
        who=("API server",),
    )


RULES: Final[tuple[Rule, ...]] = (api_saturated, api_requests_rejected, api_files_exhausted)
