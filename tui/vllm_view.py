"""Which model server is shown in full and why, which relate to the focus, and why there is none."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from situation.findings import Diagnosis
from situation.focus import Focus, Relation
from situation.readings import SourceState
from situation.serving.view import ServerView, Serving
from situation.situation import Situation
from tui.view import Filter
from tui.vllm_groups import Group
from widgets.vllm_table import RowKey, RowKind


class Shown(NamedTuple):
    """The server that is shown in full, the line it belongs to, and why that one."""

    server: ServerView | None
    key: RowKey | None
    why: str = ""


def related_servers(serving: Serving, relation: Relation) -> frozenset[str]:
    """Return the keys of the servers that a focus is about; none if it is all of them."""
    related = relation.servers or frozenset()
    return frozenset(server.key for server in serving.servers if server.ref in related)


def passes(group: Group, wanted: Filter) -> bool:
    """Tell whether a filter leaves a model: by its name, or by a server's pod or node."""
    if wanted.is_empty:
        return True
    return any(
        wanted.passes(server.ref.namespace, group.model.name, server.ref.name, server.node, server.software.value)
        for server in group.servers
    )


def shown_server(
    groups: Sequence[Group],
    serving: Serving,
    looked_at: RowKey | None,
    focus: Focus,
    related: frozenset[str],
    diagnosis: Diagnosis,
) -> Shown:
    """Choose the server: under the cursor, focused, of what is focused, else the worst of all."""
    if not groups:
        return Shown(None, None)
    if looked_at is not None and (found := _at(looked_at, groups)) is not None:
        return found
    by_key = {server.key: (group, server) for group in reversed(groups) for server in group.servers}
    if focus.ref is not None and (server := serving.of(focus.ref)) is not None and server.key in by_key:
        return Shown(server, _key(*by_key[server.key]), "focused")
    finding = diagnosis.find(focus.cause) if focus.cause else None
    if finding is not None and (server := serving.of(finding.subject)) is not None and server.key in by_key:
        return Shown(server, _key(*by_key[server.key]), "of the cause")
    near = next((server for server in serving.servers if server.key in related and server.key in by_key), None)
    if near is not None:
        return Shown(near, _key(*by_key[near.key]), "relates to the focus")
    first = groups[0]
    return Shown(first.servers[0], _key(first, first.servers[0]), "the worst" if len(serving.servers) > 1 else "")


def _at(key: RowKey, groups: Sequence[Group]) -> Shown | None:
    """Return the server of a line; of a model the worst, of the rest of its servers none that is listed."""
    for group in groups:
        if (group.model.name, group.model.workload) == (key.model, key.workload):
            server = next((item for item in group.servers if item.key == key.server), group.servers[0])
            is_of_several = not group.is_one and key.kind in (RowKind.MODEL, RowKind.REST)
            return Shown(server, key, f"the worst of {len(group.servers)}" if is_of_several else "under the cursor")
    return None


def _key(group: Group, server: ServerView) -> RowKey:
    if group.is_one:
        return group.key
    return RowKey(RowKind.SERVER, group.model.name, group.model.workload, server.key)


def why_no_servers(situation: Situation, now: datetime) -> str:
    """Say why there is no pane of model servers: none known, or pods that are not known."""
    source = situation.source("pods")
    if source.has_value:
        state = source.state_at(now)
        then = "" if state is SourceState.LIVE else f" when the pods were last read; now {state.value}"
        return f"No pod of this cluster is known as a model server by its image or command{then}"
    if source.state is SourceState.STARTING:
        return "Pods are being read: not known yet whether any serves a model"
    return f"Not known whether any pod serves a model: pods {source.state.value}" + (
        f": {source.error}" if source.error else ""
    )
