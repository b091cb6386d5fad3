"""How one model server is, by its pod and by what it said: one state, and what that rests on."""

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from situation.clock import duration_text, moment_text
from situation.pods import Pod
from situation.readings import Source, SourceState
from situation.selectors import is_finished, is_ready, pod_status_text
from situation.serving.figures import figures
from situation.serving.memory import KnownServer
from situation.serving.pods import running_since, runs, server_status
from situation.serving.readings import HEALTH_PATH, LEFT_OUT, Health, Software
from situation.serving.recognise import ServerSpec
from situation.serving.view import ServerState

FRESH_S: Final = 30.0
"""A server that nobody heard of for longer may have changed meanwhile: several rounds failed."""
MISSED: Final = 2.5
"""Of many servers each is asked in turn: it is heard of for as many of its rounds ..."""
STALE_S: Final = 180.0
"""... and no longer than this."""
STARTING: Final = timedelta(minutes=30)
"""A model of 70B is loaded from a cold cache in 15 to 30 minutes (playbook F); a startup probe that allows more gives
more."""
STILL_LEAST: Final = timedelta(seconds=30)
STILL_SCRAPES: Final = 3
"""Nothing moved over so many scrapes and so long (metrics.md 1.4): a long prefill takes a while."""
WARM_UP: Final = timedelta(minutes=3)
"""The first requests compile kernels and capture graphs: a process this young may stand still."""

_ALWAYS: Final = datetime.max.replace(tzinfo=UTC)


class Told(NamedTuple):
    """A state with its reason."""

    state: ServerState
    why: str


class Subject(NamedTuple):
    """What is known of a server: its pod, or what it said, or both."""

    pod: Pod | None
    spec: ServerSpec | None
    known: KnownServer | None
    source: Source
    port: int | None = None
    """Of a server that its pod has besides the first one."""

    @property
    def run_since(self) -> datetime | None:
        return running_since(self.pod, self.spec) if self.pod is not None and self.spec is not None else None


def is_heard(subject: Subject, at: datetime | None, now: datetime) -> bool:
    """Tell whether what was heard at a time is still of the present: its rounds may be far apart, but not skipped."""
    return at is not None and now - at <= _patience(subject)


def _patience(subject: Subject) -> timedelta:
    """Return for how long what was heard is of the present."""
    pace_s = subject.known.pace.total_seconds() if subject.known is not None else 0.0
    return timedelta(seconds=max(FRESH_S, min(MISSED * pace_s, STALE_S)))


def holds_until(subject: Subject, now: datetime) -> datetime:
    """Return until when time alone changes neither `state_of` nor what `is_heard` says of this subject."""
    known = subject.known
    if known is None:
        return _ALWAYS
    if known.health in (Health.REFUSED, Health.NOT_READY):
        return now  # its state goes by the age of its container
    patience = _patience(subject)
    heard = (known.read_at, known.health_at, known.page_at)
    return min((at + patience for at in heard if at is not None and now - at <= patience), default=_ALWAYS)


def state_of(subject: Subject, now: datetime) -> Told:
    """Return how a server is now."""
    if (down := _down(subject)) is not None:
        return down
    known = subject.known
    if known is None:
        return _unasked(subject)
    if known.server.origin == LEFT_OUT:
        return Told(ServerState.LEFT_OUT, "not asked: left out by the configuration (vllm_skipped_pods)")
    if not is_heard(subject, known.read_at, now):
        return Told(ServerState.UNKNOWN, f"not heard of since {moment_text(known.read_at, now)}")
    health = known.health if is_heard(subject, known.health_at, now) else None
    if health is Health.ENGINE_DEAD:
        return Told(ServerState.DEAD, "/health says that the engine is dead")
    if health is Health.REFUSED:
        return _refused(subject, known, now)
    if _is_probed(subject):
        return Told(ServerState.STARTING, "its startup probe has not passed yet")
    if health is Health.NOT_READY:
        return _not_ready(subject, known, now)
    if known.server.page is None:
        return _without_page(known)
    return _by_page(subject, known, health)


def _down(subject: Subject) -> Told | None:
    """Return DOWN with what kubectl prints, if its pod does not run it; the pod's own finding says why."""
    pod, spec = subject.pod, subject.spec
    if pod is None or spec is None:
        return None
    if pod.metadata.deletion_timestamp is not None or is_finished(pod) or not runs(pod, spec):
        return Told(ServerState.DOWN, f"its pod is {pod_status_text(pod)}")
    return None


def _is_probed(subject: Subject) -> bool:
    """Tell whether a startup probe still runs: nothing is sent to the server before it has passed."""
    if subject.pod is None or subject.spec is None or subject.spec.container.startup_probe is None:
        return False
    status = server_status(subject.pod, subject.spec)
    return status is not None and status.started is False and not is_ready(subject.pod)


def _unasked(subject: Subject) -> Told:
    if _is_probed(subject):
        return Told(ServerState.STARTING, "its startup probe has not passed yet")
    source = subject.source
    if source.state not in (SourceState.LIVE, SourceState.STARTING) and source.error:
        return Told(ServerState.UNKNOWN, f"not read: {source.error}")
    return Told(ServerState.UNKNOWN, "not asked yet")


def _refused(subject: Subject, known: KnownServer, now: datetime) -> Told:
    """Nobody listens: it loads its model, or it is gone. A new run of its container begins anew."""
    since = subject.run_since
    if _was_up(known, since):
        return Told(ServerState.DEAD, f"nobody listens any more; it answered until {known.up_at:%H:%M:%S}")
    if _is_probed(subject):
        return Told(ServerState.STARTING, "nobody listens yet, and its startup probe has not passed")
    if since is None:
        return Told(ServerState.UNKNOWN, "nobody listens there, and it was never heard of")
    age = duration_text((now - since).total_seconds())
    if now - since <= STARTING and not (subject.pod is not None and is_ready(subject.pod)):
        return Told(ServerState.STARTING, f"nobody listens yet, {age} after its container started")
    if subject.pod is not None and is_ready(subject.pod):
        if now - since <= WARM_UP:
            return Told(ServerState.STARTING, f"nobody listens yet, {age} after its container started")
        return Told(ServerState.UNKNOWN, "nobody listens where it was asked, though its pod is Ready: another port?")
    return Told(ServerState.UNKNOWN, f"nobody listens, {age} after its container started")


def _was_up(known: KnownServer, since: datetime | None) -> bool:
    """Tell whether it answered in the present run of its container, which began at `since` as far as that is told."""
    return known.up_at is not None and (since is None or known.up_at > since)


def _not_ready(subject: Subject, known: KnownServer, now: datetime) -> Told:
    """It says itself that it does not serve: while it loads, and after that nobody knows why."""
    path = HEALTH_PATH[known.server.software]
    since = subject.run_since
    if _was_up(known, since):
        return Told(ServerState.UNKNOWN, f"{path} says that it is not ready; it was until {known.up_at:%H:%M:%S}")
    if since is not None and now - since <= STARTING:
        age = duration_text((now - since).total_seconds())
        return Told(ServerState.STARTING, f"{path} says that it is not ready yet, {age} after its container started")
    return Told(ServerState.UNKNOWN, f"{path} says that it is not ready")


def _without_page(known: KnownServer) -> Told:
    server = known.server
    why = server.page_error or server.health_error
    if server.health is Health.NO_ANSWER:
        return Told(ServerState.UNKNOWN, f"it does not answer in time{f': {why}' if why else ''}")
    return Told(ServerState.UNKNOWN, why or "its metrics were not read")


def _by_page(subject: Subject, known: KnownServer, health: Health | None) -> Told:
    page = known.server.page
    if page is None or (not page.engines and not page.routed):
        told = page.software if page is not None else Software.UNKNOWN
        if told is Software.ROUTER:
            return Told(ServerState.HEALTHY, "it answers; it tells of no back end")
        return Told(ServerState.NOT_MEASURED, "it answers without a single series of its engine")
    if any(engine.is_sleeping for engine in page.engines):
        return Told(ServerState.SLEEPING, "its engine sleeps (vllm:engine_sleep_state)")
    if health is Health.OK and (stalled := _stalled(subject, known)) is not None:
        return stalled
    if health is Health.NO_ANSWER:
        path = HEALTH_PATH[known.server.software]
        return Told(ServerState.UNKNOWN, f"its metrics answer and {path} does not")
    path = HEALTH_PATH[known.server.software]
    return Told(ServerState.HEALTHY, f"{path} says 200" if health is Health.OK else "its metrics answer")


def _stalled(subject: Subject, known: KnownServer) -> Told | None:
    begin = max((at for at in (known.started_at, subject.run_since) if at is not None), default=known.first_at)
    if known.read_at - begin < WARM_UP:
        return None
    for engine in figures(known):
        track = known.engines[engine.key]
        since = engine.still_since
        if since is not None and track.still_pages >= STILL_SCRAPES and known.read_at - since >= STILL_LEAST:
            work = f"{engine.running or 0:.0f} run and {engine.waiting or 0:.0f} wait"
            path = HEALTH_PATH[known.server.software]
            return Told(ServerState.STALLED, f"{work}, and nothing has moved since {since:%H:%M:%S}; {path} says 200")
    return None
