"""What the API tells while something happens to etcd: the cluster of `api_outage`, with etcd as kubeadm sets it up.

Each control-plane node has a member as a static pod, and an API server that talks to that member only. What the API
tells follows from what etcd said: while writes fail, no lease is renewed and no status changes; what happened meanwhile
is written once they succeed again.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from simulator.scenarios.api_pages import ApiPages, Load
from simulator.scenarios.make_api_outage import CONTROL_PLANE, NODES, cluster_before, control_plane_pod
from simulator.scenarios.story import WEEK_S, Manifest, Story, at, event_of, lease_of
from tape.etcd import ETCD_SOURCE, METRICS_SOURCE, EtcdServer, etcd_name
from tape.format import READYZ_SOURCE, VERSION_SOURCE, Frame

RENEW_EVERY_S: Final = 5.0
PAGE_EVERY_S: Final = 15.0
NOTICED_S: Final = 3.0
"""So long after a member is gone its kubelet has written that its container ended."""
PROBED_S: Final = 30.0
"""So long after a member hangs its readiness probe has failed often enough (kubeadm: 3 times, every 10 s)."""
STORAGE: Final = 'apiserver_storage_size_bytes{storage_cluster_id="etcd-0"}'
_IN_FLIGHT: Final = 'apiserver_current_inflight_requests{request_kind="%s"}'
_MOST_IN_FLIGHT: Final = {"readOnly": 400.0, "mutating": 200.0}
"""The limits of an API server that nobody set (kube-apiserver's documentation)."""
_CHECKS: Final = (
    "ping",
    "log",
    "etcd",
    "etcd-readiness",
    "informer-sync",
    "poststarthook/rbac/bootstrap-roles",
    "shutdown",
)
READY: Final = "".join(f"[+]{check} ok\n" for check in _CHECKS) + "readyz check passed\n"


class Span(NamedTuple):
    """From one second to another."""

    start: float
    end: float

    def holds(self, t: float) -> bool:
        """Tell whether `t` lies in it."""
        return self.start <= t < self.end


class Facts:
    """What recorded frames of etcd say that the API follows from."""

    def __init__(self, frames: Sequence[Frame], end: float) -> None:
        self.frozen = _spans(frames, end, lambda frame: frame.down if frame.source == ETCD_SOURCE else None)
        """While these last the API server gets no answers from etcd."""
        full = _spans(frames, end, lambda frame: _has_alarm(frame, CONTROL_PLANE[0]))
        self.no_writes = sorted((*self.frozen, *full))
        """While these last nothing is written."""
        self.gone = {node: _spans(frames, end, partial(_is, node, "refuses")) for node in CONTROL_PLANE}
        """When each member's process was not there."""
        self.starts_anew = any(_is_other_tls(frame) for frame in frames)
        """Members were restarted by somebody who changed their certificates: their pods are made anew."""
        self.hung = {node: _spans(frames, end, partial(_is, node, "hangs")) for node in CONTROL_PLANE}
        self.sizes = [(frame.t, int(frame.body["dbSize"])) for frame in frames if frame.body and "dbSize" in frame.body]

    def written_at(self, t: float) -> float:
        """When something is written that is to be written at `t`."""
        return next((span.end + 0.5 for span in self.no_writes if span.holds(t)), t)

    def size_at(self, t: float) -> int:
        """How large the database was, as the last member said that was asked by `t`."""
        return max((item for item in self.sizes if item[0] <= t), default=(0.0, 0))[1]


def tell(
    recorded: Sequence[Frame], end: float, pages: ApiPages, load: Callable[[float], Load] | None = None
) -> list[Frame]:
    """Return all frames of an incident: what etcd said, and what the API tells. `load` is that of the API server."""
    story, facts = Story(), Facts(recorded, end)
    story.say(Frame(0.0, VERSION_SOURCE, body={"major": "1", "minor": "36", "gitVersion": "v1.36.2"}))
    story.say(Frame(0.0, READYZ_SOURCE, status=200, text=READY))
    story.start([_placed(item) for item in (*cluster_before(story), *_leases(story, 0.0))])
    for frame in recorded:
        story.say(frame)
    for step in range(1, int(end / RENEW_EVERY_S) + 1):
        t = step * RENEW_EVERY_S
        if not any(span.holds(t) for span in facts.no_writes):
            for lease in _leases(story, t):
                story.change(t, lease)
    for node in CONTROL_PLANE:
        _tell_member(story, facts, node, end)
    for step in range(int(end / PAGE_EVERY_S) + 1):
        t = step * PAGE_EVERY_S
        text = pages.at(load(t) if load else _usual_load(facts, t))
        story.say(Frame(t, METRICS_SOURCE, status=200, text=text))
    return [frame for frame in story.frames() if frame.t <= end]


def _tell_member(story: Story, facts: Facts, node: str, end: float) -> None:
    """The pods of a node whose member ends or hangs, and of the API server beside it."""
    if facts.starts_anew:
        _make_anew(story, facts, node, end)
    else:
        _restart(story, facts, node, end)
    for span in facts.hung[node]:
        hung = control_plane_pod(story, "etcd", node, ready=False, since=span.start + PROBED_S)
        _put(story, facts, span.start + PROBED_S, span.end, hung)
        message = 'Readiness probe failed: Get "http://127.0.0.1:2381/readyz": context deadline exceeded'
        event = event_of(story, hung, "Unhealthy", message, span.start + 20, count=2, first=span.start + 10)
        story.change(facts.written_at(span.start + 20), event, "ADDED")
        _put(story, facts, span.end + NOTICED_S, end, control_plane_pod(story, "etcd", node, since=span.end))
    for span in (*facts.gone[node], *facts.hung[node]):
        # Its probe asks /readyz, where the check of etcd fails.
        blind = control_plane_pod(story, "kube-apiserver", node, ready=False, since=span.start + PROBED_S)
        _put(story, facts, span.start + PROBED_S, span.end, blind)
        _put(
            story,
            facts,
            span.end + 2 * NOTICED_S,
            end,
            control_plane_pod(story, "kube-apiserver", node, since=span.end),
        )


def _restart(story: Story, facts: Facts, node: str, end: float) -> None:
    """The kubelet starts the member's container again."""
    began = -WEEK_S
    for restarts, span in enumerate(facts.gone[node], 1):
        ended = {"exitCode": 137, "reason": "Error", "startedAt": at(began), "finishedAt": at(span.start)}
        began = span.end
        waiting = {
            "reason": "CrashLoopBackOff",
            "message": f"back-off 20s restarting failed container=etcd pod=etcd-{node}",
        }
        gone: dict[str, Any] = {"state": {"waiting": waiting}, "last": {"terminated": ended}, "since": span.start}
        back: dict[str, Any] = {"last": {"terminated": ended}, "restarts": restarts, "since": span.end}
        away = control_plane_pod(story, "etcd", node, restarts=restarts, **gone)
        _put(story, facts, span.start + NOTICED_S, span.end, away)
        _put(story, facts, span.end + NOTICED_S, end, control_plane_pod(story, "etcd", node, **back))


def _make_anew(story: Story, facts: Facts, node: str, end: float) -> None:
    """The manifest of the member is taken away and put back, which is how static pods are restarted."""
    old = control_plane_pod(story, "etcd", node)
    for number, span in enumerate(facts.gone[node], 1):
        new = control_plane_pod(story, "etcd", node, born=span.end, since=span.end)
        new["metadata"]["uid"] += f"-{number}"
        later = [other.start for other in facts.gone[node] if other.start > span.end]
        if (written := facts.written_at(span.end + NOTICED_S)) <= min(later, default=end):
            story.change(written, _placed(old), "DELETED")
            story.change(written, _placed(new), "ADDED")
            old = new


def _put(story: Story, facts: Facts, t: float, until: float, manifest: Manifest) -> None:
    """A change at `t`, unless it could be written only after `until`, when it is not true any more."""
    if (written := facts.written_at(t)) <= until:
        story.change(written, _placed(manifest))


def _placed(manifest: Manifest) -> Manifest:
    """A pod of the control plane has its node's address."""
    node = manifest.get("spec", {}).get("nodeName", "")
    if manifest["kind"] == "Pod" and manifest["spec"].get("hostNetwork") and node in CONTROL_PLANE:
        return {**manifest, "status": {**manifest["status"], "podIP": f"10.0.0.1{node[-1]}"}}
    return manifest


def _leases(story: Story, t: float) -> Iterator[Manifest]:
    leaders = {"kube-controller-manager": "cp-1", "kube-scheduler": "cp-2"}
    for name, leader in leaders.items():
        yield lease_of(story, name, "kube-system", f"{leader}_{name}", t)
    for node in CONTROL_PLANE:
        yield lease_of(story, f"apiserver-{node}", "kube-system", f"apiserver-{node}", t)
    for node in NODES:
        yield lease_of(story, node, "kube-node-lease", node, t)


def _usual_load(facts: Facts, t: float) -> Load:
    """Requests stand still while etcd does not answer, and pile up."""
    waited = sum(min(t, span.end) - span.start for span in facts.frozen if span.start < t)
    waiting = next((t - span.start for span in facts.frozen if span.holds(t)), 0.0)
    in_flight = {_IN_FLIGHT % kind: min(most, 1 + 4 * waiting) for kind, most in _MOST_IN_FLIGHT.items()}
    return Load(t - waited, {STORAGE: float(facts.size_at(t)), **in_flight})


def _spans(frames: Sequence[Frame], end: float, holds: Callable[[Frame], bool | None]) -> list[Span]:
    """Where something held, by what frames say of it; None from those that say nothing."""
    found, since = [], None
    for frame in frames:
        now = holds(frame)
        if now and since is None:
            since = frame.t
        elif now is False and since is not None:
            found.append(Span(since, frame.t))
            since = None
    return found if since is None else [*found, Span(since, end)]


def _is(node: str, state: str, frame: Frame) -> bool | None:
    name = etcd_name(frame.source)
    if name is None or name != (node, "server") or frame.body is None:
        return None
    return bool(frame.body["state"] == state)


def _is_other_tls(frame: Frame) -> bool:
    name, usual = etcd_name(frame.source), EtcdServer()
    if name is None or name.part != "server" or frame.body is None:
        return False
    return (frame.body["certificate"], frame.body["trusts"]) != (usual.certificate, usual.trusts)


def _has_alarm(frame: Frame, node: str) -> bool | None:
    name = etcd_name(frame.source)
    if name is None or name != (node, "alarms"):
        return None
    return bool(frame.body and frame.body.get("alarms"))
