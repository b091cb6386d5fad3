"""Models, servers and engines as lines of the pane of model servers."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final, TypedDict

from situation.findings import Severity
from situation.serving.view import EngineFigures, ServerView
from situation.situation import Situation
from tui.vllm_groups import Group, engines_of, rest_key, short_name, software_text
from tui.vllm_judging import (
    Judged,
    kv_severity,
    preemptions_severity,
    queue_severity,
    replicas_severity,
    row_state,
    saturation_severity,
    worst,
)
from widgets.vllm_states import RowState
from widgets.vllm_table import RowKey, RowKind, ServingRow

LISTED: Final = 4
"""Servers of a model that are listed; of more, only those that are not healthy, and one line for all others."""
_AGE_STEP_S: Final = 5.0
_EMPTY: Final = EngineFigures("")


class Rows:
    """Makes the lines of one moment."""

    def __init__(
        self, situation: Situation, now: datetime, related: frozenset[str], unfolded: Collection[RowKey]
    ) -> None:
        self._situation = situation
        self._now = now
        self._related = related
        """Keys of the servers that the focus is about; empty: of all or of none."""
        self._unfolded = unfolded

    def of(self, group: Group) -> Iterator[ServingRow]:
        """Yield the lines of a model: itself, servers, engines."""
        yield self._model(group)
        if group.is_one:
            yield from self._engines(group, group.servers[0], depth=1)
            return
        listed, rest = self._listed(group)
        for number, server in enumerate(listed):
            is_last = not rest and number == len(listed) - 1
            yield self._server(group, server, is_last=is_last)
            yield from self._engines(group, server, depth=2)
        if rest:
            yield self._rest(group, rest)

    def _listed(self, group: Group) -> tuple[Sequence[ServerView], Sequence[ServerView]]:
        servers = group.servers
        if rest_key(group) in self._unfolded:
            return servers, ()
        if not any(server.engines or server.key in self._related for server in servers) and not self._state(servers)[1]:
            return (), ()  # none has figures, and all are in one state: the line of the model says all of it
        if len(servers) <= LISTED:
            return servers, ()
        wanted = [server for server in servers if server.key in self._related or not self._is_fine(server)]
        listed = wanted[: LISTED - 1] or servers[:1]
        names = {server.key for server in listed}
        return listed, tuple(server for server in servers if server.key not in names)

    def _is_fine(self, server: ServerView) -> bool:
        return row_state(server, self._situation, self._now) is RowState.HEALTHY and not any(
            figures_severities([(engine, server) for engine in server.engines], self._now).values()
        )

    def _model(self, group: Group) -> ServingRow:
        model, first = group.model, group.servers[0]
        state, count = self._state(group.servers)
        judged = [(engine, server) for server in group.servers if server.is_fresh
                  for engine in engines_of(server, model.name)]  # fmt: skip
        place = f"{model.workload.kind} {model.workload.name}" if model.workload is not None else first.ref.name
        return ServingRow(
            key=group.key,
            label=group.label,
            state=state,
            count=count,
            since_s=self._since_s(first) if state is RowState.STALE and not count else None,
            ready=model.replicas_ready,
            wanted=model.replicas_wanted,
            ready_severity=replicas_severity(model.replicas_ready, model.replicas_wanted),
            running=model.running,
            waiting=model.waiting,
            kv_usage_ratio=model.kv_usage_ratio,
            preemptions_per_min=model.preemptions_per_min,
            ttft=model.ttft,
            itl=model.itl,
            generation_tokens_per_s=model.generation_tokens_per_s,
            prefix_hit_ratio=model.prefix_hit_ratio,
            software=" ".join(dict.fromkeys(map(software_text, group.servers))),
            place=first.node if group.is_one and first.node else place,
            related=self._is_related(group.servers),
            dimmed=self._is_dimmed(group.servers),
            **figures_severities(judged, self._now),
        )

    def _server(self, group: Group, server: ServerView, *, is_last: bool) -> ServingRow:
        engines = engines_of(server, group.model.name)
        key = RowKey(RowKind.SERVER, group.model.name, group.model.workload, server.key)
        row = self._figures(key, server, engines, short_name(server), server.node or server.key, is_last=is_last)
        return row

    def _engines(self, group: Group, server: ServerView, depth: int) -> Iterator[ServingRow]:
        """Yield the ranks of a server that has several."""
        engines = engines_of(server, group.model.name)
        for number, engine in enumerate(engines if len(engines) > 1 else ()):
            key = RowKey(RowKind.ENGINE, group.model.name, group.model.workload, server.key, engine.engine)
            label, is_last = f"rank {engine.engine}", number == len(engines) - 1
            yield self._figures(key, server, (engine,), label, "", depth=depth, is_last=is_last)

    def _figures(
        self,
        key: RowKey,
        server: ServerView,
        engines: tuple[EngineFigures, ...],
        label: str,
        place: str,
        *,
        is_last: bool,
        depth: int = 1,
    ) -> ServingRow:
        judged = [(engine, server) for engine in engines if server.is_fresh]
        state = row_state(server, self._situation, self._now)
        one = engines[0] if len(engines) == 1 else None
        return ServingRow(
            key=key,
            label=label,
            state=state,
            depth=depth,
            is_last=is_last,
            since_s=self._since_s(server) if state is RowState.STALE else None,
            running=total(engines, lambda engine: engine.running),
            waiting=total(engines, lambda engine: engine.waiting),
            kv_usage_ratio=highest(engines, lambda engine: engine.kv_usage_ratio),
            preemptions_per_min=total(engines, lambda engine: engine.preemptions_per_min),
            ttft=one.ttft if one else _EMPTY.ttft,
            itl=one.itl if one else _EMPTY.itl,
            generation_tokens_per_s=total(engines, lambda engine: engine.generation_tokens_per_s),
            prefix_hit_ratio=one.prefix_hit_ratio if one else None,
            software=software_text(server) if key.kind is RowKind.SERVER else "",
            place=place,
            is_past=not server.is_fresh,
            related=key.kind is RowKind.SERVER and self._is_related((server,)),
            dimmed=self._is_dimmed((server,)),
            **figures_severities(judged, self._now),
        )

    def _rest(self, group: Group, rest: Sequence[ServerView]) -> ServingRow:
        state, count = self._state(rest)
        return ServingRow(
            key=rest_key(group),
            label=f"{len(rest)} more",
            state=state,
            count=count,
            depth=1,
            is_last=True,
            place="enter lists them",
            dimmed=self._is_dimmed(rest),
        )

    def _state(self, servers: Sequence[ServerView]) -> tuple[RowState, int]:
        """Return the state of the worst, and how many share it; 0 if all do."""
        states = [row_state(server, self._situation, self._now) for server in servers]
        alike = states.count(states[0])
        return states[0], 0 if alike == len(states) else alike

    def _since_s(self, server: ServerView) -> float | None:
        if server.read_at is None:
            return None
        age_s = max(0.0, (self._now - server.read_at).total_seconds())
        step_s = _AGE_STEP_S if age_s < 120 else 60.0
        return age_s // step_s * step_s

    def _is_related(self, servers: Iterable[ServerView]) -> bool:
        return bool(self._related) and any(server.key in self._related for server in servers)

    def _is_dimmed(self, servers: Iterable[ServerView]) -> bool:
        return bool(self._related) and not self._is_related(servers)


class Severities(TypedDict):
    """How bad the figures of a line are, by its fields."""

    running_severity: Severity | None
    waiting_severity: Severity | None
    kv_severity: Severity | None
    preemptions_severity: Severity | None


def figures_severities(judged: Sequence[Judged], now: datetime) -> Severities:
    """Return how bad the figures of some engines are; a line shows the worst of them."""
    return {
        "running_severity": worst(saturation_severity, judged),
        "waiting_severity": worst(lambda engine, view: queue_severity(engine, view, now), judged),
        "kv_severity": worst(kv_severity, judged),
        "preemptions_severity": worst(preemptions_severity, judged),
    }


def total(engines: Iterable[EngineFigures], of: Callable[[EngineFigures], float | None]) -> float | None:
    """Return the sum of a figure over those engines that measure it; None if none does."""
    found = [value for engine in engines if (value := of(engine)) is not None]
    return sum(found) if found else None


def highest(engines: Iterable[EngineFigures], of: Callable[[EngineFigures], float | None]) -> float | None:
    """Return the highest of a figure over those engines that measure it; None if none does."""
    return max((value for engine in engines if (value := of(engine)) is not None), default=None)
