"""Models with their servers as they are listed: in the order of the worst, under short names."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from situation.meta import Ref
from situation.serving.readings import Software
from situation.serving.view import EngineFigures, ModelView, ServerView, Serving
from widgets.vllm_table import RowKey, RowKind


class Group(NamedTuple):
    """A model with its servers, as it is listed."""

    model: ModelView
    label: str
    servers: tuple[ServerView, ...]
    """Worst first."""

    @property
    def key(self) -> RowKey:
        return RowKey(RowKind.MODEL, self.model.name, self.model.workload, self.servers[0].key if self.is_one else "")

    @property
    def is_one(self) -> bool:
        """The model has one server, and one line says all of both."""
        return len(self.servers) == 1


def groups_of(serving: Serving) -> tuple[Group, ...]:
    """Return the models in the order of their worst servers; a router is listed beside them."""
    place = {server.key: number for number, server in enumerate(serving.servers)}
    models = list(serving.models)
    covered = {server.key for model in models for server in model.servers}
    models += [_alone(server) for server in serving.servers if server.key not in covered]
    models = [model for model in models if model.servers]
    labels = _labels(models)
    groups = [
        Group(
            model, labels[model.name, model.workload], tuple(sorted(model.servers, key=lambda s: place.get(s.key, 0)))
        )
        for model in models
    ]
    return tuple(sorted(groups, key=lambda group: place.get(group.servers[0].key, 0)))


def _alone(server: ServerView) -> ModelView:
    name = server.name or (server.software.value if server.software is not Software.UNKNOWN else server.ref.name)
    return ModelView(name, server.workload, (server,), running=server.total("running"), waiting=server.total("waiting"))


def _labels(models: Iterable[ModelView]) -> dict[tuple[str, Ref | None], str]:
    """Return short names: without the organisation of a path, with the workload where two would be the same."""
    short = {(model.name, model.workload): model.name.rstrip("/").rpartition("/")[2] or "?" for model in models}
    times = Counter(short.values())
    return {
        (name, workload): f"{label} ({workload.name})" if times[label] > 1 and workload is not None else label
        for (name, workload), label in short.items()
    }


def engines_of(server: ServerView, model: str) -> tuple[EngineFigures, ...]:
    """Return those engines of a server that serve a model."""
    return tuple(engine for engine in server.engines if engine.model in (model, ""))


def rest_key(group: Group) -> RowKey:
    """Return the key of the line that stands for the servers that are not listed."""
    return RowKey(RowKind.REST, group.model.name, group.model.workload)


def software_text(server: ServerView) -> str:
    """Return what serves, with its version where it told."""
    return f"{server.software.value} {server.version}".rstrip()


def short_name(server: ServerView) -> str:
    """Return a pod's name without what the pods of its workload share."""
    name, workload = server.ref.name, server.workload.name if server.workload is not None else ""
    if not workload or not name.startswith(f"{workload}-"):
        return name
    rest = name.removeprefix(f"{workload}-")
    return f"…{rest.rpartition('-')[2]}" if server.workload and server.workload.kind == "Deployment" else f"…-{rest}"
