"""Layer 4: the API server is silent, refuses us, or is overloaded (L4-04, L4-05, L4-11)."""

import re
from datetime import datetime, timedelta
from typing import Final

from diagnosis.commands import counted, kubectl, on_node, shorten
from diagnosis.explaining import CERTIFICATES_OUT, ETCD_FAULTS, ETCD_LAME, ETCD_NO_LEADER
from diagnosis.node_services import journal, kubelet_unit
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule
from situation.clock import age_text, moment_text
from situation.cluster import Node
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.kinds import ON_DEMAND
from situation.meta import CLUSTER
from situation.readings import Source, SourceState
from situation.selectors import is_control_plane
from situation.situation import Situation

CERTIFICATE: Final = re.compile(r"x509|certificate|CERTIFICATE_VERIFY_FAILED", re.IGNORECASE)
OVERLOAD: Final = re.compile(
    r"\b429\b|too many requests|was unable to return a response in the time allotted|\b504\b", re.IGNORECASE
)
"""Texts of priority and fairness (429) and of the time-out filter (504)."""
_ANSWERED: Final = re.compile(r" answered (5\d\d .*)")
"""Our own words for a status of the server, or of what stands before it."""
_PLUGIN: Final = re.compile(r"exec plugin [^:;(]*[^:;( ]")
"""Our own words for a plugin of the kubeconfig that gives nothing: the server has not been asked then."""
_FOLLOWED_SELDOM: Final = frozenset(kind.source for kind in ON_DEMAND)
_NOT_TRIED: Final = frozenset({SourceState.STARTING, SourceState.FORBIDDEN, SourceState.ABSENT})
_JUST_NOW: Final = timedelta(seconds=2)
"""Who answered so lately answers somebody: it begins to fail, comes back, or only some of several servers are gone."""
MIN_SOURCES: Final = 2
"""One source that fails alone says something about that source, not about the API server."""


def _tried(situation: Situation) -> list[Source]:
    """Sources that ask the API server all the time and were not refused for want of rights."""
    return [
        source
        for source in situation.sources.values()
        if source.name.startswith("kubernetes/")
        and source.name not in _FOLLOWED_SELDOM
        and source.state not in _NOT_TRIED
        and not source.error.startswith("internal error")
    ]


def _mostly(situation: Situation, state: SourceState) -> tuple[Source, ...]:
    """Return the sources in `state` if they are most of those tried, else none."""
    tried = _tried(situation)
    found = tuple(source for source in tried if source.state is state)
    return found if len(found) >= MIN_SOURCES and 2 * len(found) > len(tried) else ()


def _last_answer(situation: Situation) -> datetime | None:
    return max((source.observed_at for source in _tried(situation) if source.observed_at), default=None)


def _evidence(failing: tuple[Source, ...], situation: Situation, now: datetime) -> tuple[Evidence, ...]:
    source = next((item for item in failing if item.error), failing[0])
    heard = _last_answer(situation)
    return (
        Evidence(shorten(source.error or source.state.value, 300), source.name),
        Evidence(f"{len(failing)} of {counted(len(_tried(situation)), 'source')} fail the same way", source.name),
        Evidence(f"last answer at {moment_text(heard, now)}", source.name, heard)
        if heard
        else Evidence("it has not answered since Midwatch started", source.name),
    )


def ready_command() -> Command:
    """Return the command that asks the API server for its own checks."""
    return kubectl("get", "--raw", "/readyz?verbose", purpose="does the API server answer, and which check fails?")


def on_control_plane(situation: Situation, *argv: str, purpose: str) -> tuple[Command, ...]:
    """Return a command for the first control plane node's own shell, none where no such node is shown (managed)."""
    node = _control_plane_node(situation)
    return (on_node(node.name, *argv, purpose=purpose),) if node is not None else ()


def _control_plane_node(situation: Situation) -> Node | None:
    return next(filter(is_control_plane, situation.nodes.values()), None)


def control_plane_commands(situation: Situation, component: str) -> tuple[Command, ...]:
    """Return commands that tell on a control plane node whether `component` runs, and why not."""
    node = _control_plane_node(situation)
    if node is None:
        return ()
    return (
        on_node(node.name, "crictl", "ps", "-a", "--name", component, purpose=f"does {component} run?"),
        journal(node, kubelet_unit(node), "why does the kubelet not keep it running?"),
    )


@rule(
    "api-certificate",
    signature="L4-11",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.CRITICAL,
    kind="Cluster",
    looks_at="the errors of our own sources: x509 and certificate texts.",
    look_alikes={
        "api-unreachable": "there no TLS answer comes at all",
        "credentials-refused": "there the server answers 401",
    },
)
def api_certificate(_: None, situation: Situation, now: datetime) -> Verdict:
    """The API server's certificate, or ours, is not accepted: expired, not yet valid, or of another authority."""
    failing = tuple(
        source for source in _mostly(situation, SourceState.UNREACHABLE) if CERTIFICATE.search(source.error)
    )
    if not failing:
        return CLEAR
    expired = any("expired" in source.error for source in failing)
    return Fired(
        CLUSTER,
        "certificate has expired" if expired else "certificate is not accepted",
        _evidence(failing, situation, now),
        (
            ready_command(),
            *on_control_plane(situation, "kubeadm", "certs", "check-expiration", purpose="which certificate expired?"),
            kubectl("config", "view", "--minify", purpose="which server and authority does this context use?"),
        ),
        follows=(CLUSTER,),
        follows_only=CERTIFICATES_OUT,
        who=("API server:",),
    )


@rule(
    "api-unreachable",
    signature="L4-04",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.CRITICAL,
    kind="Cluster",
    looks_at="the states of all our own sources at the API server, and their errors.",
    look_alikes={
        "a wrong kubeconfig, VPN or proxy": "the server's address in the error is not the one you expect",
        "credentials-refused": "there the server answers 401",
        "api-overloaded": "there it answers 429 or 504",
    },
)
def api_unreachable(_: None, situation: Situation, now: datetime) -> Verdict:
    """The API server does not answer: everything else on the screen is as of its last answer."""
    failing = _mostly(situation, SourceState.UNREACHABLE)
    if not failing or any(CERTIFICATE.search(source.error) for source in failing):
        return CLEAR
    if sum(bool(OVERLOAD.search(source.error)) for source in failing) * 2 > len(failing):
        return CLEAR
    heard = _last_answer(situation)
    error = next((source.error for source in failing if source.error), "")
    answered = _ANSWERED.search(error)
    reason = answered[1] if answered else error.rpartition(": ")[2]
    nothing = "answers nothing of use" if answered else "does not answer"
    title = f"has not answered for {age_text(heard, now)}" if heard else nothing
    if heard is not None and now - heard < _JUST_NOW:
        title = f"gives {len(failing)} of {counted(len(_tried(situation)), 'source')} no answer"
    return Fired(
        CLUSTER,
        title + (f": {shorten(reason, 60)}" if reason else ""),
        _evidence(failing, situation, now),
        (
            ready_command(),
            kubectl("config", "view", "--minify", purpose="which server does this context name?"),
            *control_plane_commands(situation, "kube-apiserver"),
        ),
        follows=(CLUSTER,),
        follows_only=ETCD_NO_LEADER,  # /livez fails with it, so the kubelet restarts the API server; reads need none
        who=("API server",),
    )


@rule(
    "credentials-refused",
    signature="L4-11",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.CRITICAL,
    kind="Cluster",
    looks_at="answers 401 to most of our own sources, or an exec plugin that gives us no credentials to ask with.",
    look_alikes={
        "missing rights (403)": "never a fault: the pane says forbidden",
        "api-unreachable": "no answer at all",
    },
)
def credentials_refused(_: None, situation: Situation, now: datetime) -> Verdict:
    """The API server does not accept our credentials (any more), or we have none: nothing new can be seen."""
    failing = _mostly(situation, SourceState.UNAUTHORIZED)
    if not failing:
        return CLEAR
    plugin = next(filter(None, (_PLUGIN.match(source.error) for source in failing)), None)
    return Fired(
        CLUSTER,
        f"are not to be had: {shorten(plugin[0], 60)}" if plugin else "are refused by the API server (401)",
        _evidence(failing, situation, now),
        (
            kubectl("auth", "whoami", purpose="who does the server take you for?"),
            kubectl("config", "view", "--minify", purpose="which user and exec plugin does this context use?"),
            *on_control_plane(situation, "kubeadm", "certs", "check-expiration", purpose="did certificates expire?"),
        ),
        who=("credentials",),
    )


@rule(
    "api-overloaded",
    signature="L4-05",
    layer=Layer.CONTROL_PLANE,
    severity=Severity.WARNING,
    kind="Cluster",
    looks_at="429 and 504 texts in the errors of our own sources.",
    look_alikes={
        "a PodDisruptionBudget's 429": "it names the disruption budget and comes on eviction only",
        "etcd-unavailable": "there readyz says that etcd fails",
    },
)
def api_overloaded(_: None, situation: Situation, now: datetime) -> Verdict:
    """The API server turns requests away because it is overloaded."""
    turned_away = tuple(source for source in _tried(situation) if OVERLOAD.search(source.error))
    if len(turned_away) < MIN_SOURCES:
        return CLEAR
    grave = len(turned_away) * 2 > len(_tried(situation))
    own = f"Midwatch itself asks {situation.own_load.requests_per_s:.1f} times a second"
    return Fired(
        CLUSTER,
        "is overloaded and turns requests away",
        (*_evidence(turned_away, situation, now), Evidence(own, "midwatch/load", mark=Mark.EXCLUDES)),
        (
            kubectl("get", "--raw", "/debug/api_priority_and_fairness/dump_priority_levels",
                    purpose="which priority levels are full?"),
            kubectl("get", "--raw", "/metrics", purpose="whom does apiserver_flowcontrol_rejected name?"),
        ),
        severity=Severity.CRITICAL if grave else Severity.WARNING,
        follows=(CLUSTER,),
        follows_only=(*ETCD_FAULTS, *ETCD_LAME),
        who=("API server",),
    )  # fmt: skip


RULES: Final[tuple[Rule, ...]] = (
    api_certificate,
    api_unreachable,
    credentials_refused,
    api_overloaded,
)
