"""`midwatch doctor`: what works from here, one line each, and what to do about what does not."""

import asyncio
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from situation.kinds import BY_NAME, KINDS, ObjectKind
from situation.namespaces import absent_text
from situation.text import harmless
from tui.config import ETCD_KEYS, Config, ConfigError, load_config
from tui.connection import ConnectionFailed, check_namespace_name
from tui.doctor_control_plane import clock_line, control_plane_lines, metrics_line, scheduler_lines
from tui.doctor_devices import device_lines
from tui.doctor_serving import serving_lines
from tui.etcd_options import EtcdArguments, etcd_choice
from tui.exits import EXIT_UNKNOWN, UsageProblem
from tui.keymap import check_keymap
from tui.local import Access
from tui.output import write_lines
from tui.paths import ensure_private, playbooks_dir, state_dir, themes_dir
from tui.reach import Reach
from tui.start import cockpit_bindings
from tui.terminal import has_no_clipboard, inside_screen, inside_tmux, over_ssh, why_not_drawn

if TYPE_CHECKING:
    from collectors.kubernetes.client import Client
    from tui.connection import KubernetesConnection

_MAY_READ: Final = "may read "
_WIDTH: Final = len(_MAY_READ) + max(len(kind.name) for kind in KINDS)
_FIRST_BYTE_S: Final = 10.0


class Checkup(NamedTuple):
    """One line of the doctor."""

    works: bool | None
    """None: works, but not as well as it could."""
    what: str
    says: str

    @property
    def line(self) -> str:
        glyph = "✓" if self.works else "●" if self.works is None else "✗"
        return f"{glyph} {self.what:<{_WIDTH}} {harmless(self.says)}"


def run_doctor(reach: Reach) -> int:
    """Print all checkups and return 0 if everything needed works, else 3. What is not given, the configuration says.

    Raises UsageProblem for options of etcd that cannot be used.
    """
    settings, problems = _settings(reach)
    checkups = [*_own_files(problems, themes_dir(reach.config)), *_terminal()]
    write_lines(checkup.line for checkup in checkups)
    cluster = asyncio.run(_cluster(reach.connection(settings)))
    write_lines(checkup.line for checkup in cluster)
    return EXIT_UNKNOWN if any(checkup.works is False for checkup in (*checkups, *cluster)) else 0


def _settings(reach: Reach) -> tuple[Config, list[str]]:
    """Return what of the configuration can be used, with which the cluster is looked at, and what is wrong with it."""
    from tui.themes import load_themes, theme_for

    file = str(reach.config_file)
    try:
        settings = load_config(reach.config_file if reach.config else None)
    except ConfigError as error:
        return Config(), [str(error)]
    problems = [f"{file}: [keys]: {problem}" for problem in check_keymap(cockpit_bindings(), dict(settings.keys))]
    _, wrong = theme_for({}, settings.theme, [theme.name for theme in load_themes(themes_dir(reach.config)).themes])
    if wrong:
        problems.append(f"{file}: {wrong}")
    try:
        etcd_choice(EtcdArguments(), settings, file)
    except UsageProblem as problem:
        return settings.without(ETCD_KEYS), [*problems, str(problem)]
    return settings, problems


def _own_files(problems: Sequence[str], own_themes: Path) -> Iterator[Checkup]:
    yield from _told("configuration", problems, "" if problems else "can be used", works=False)
    from tui.themes import load_themes

    themes = load_themes(own_themes)
    yield from _told("themes", themes.problems, _usable(len(themes.themes), themes.replaced))
    yield from _playbooks()
    try:
        yield Checkup(True, "state directory", str(ensure_private(state_dir())))
    except OSError as error:
        yield Checkup(None, "state directory", f"{state_dir()}: {error.strerror}; `midwatch last` will not work")


def _playbooks() -> Iterator[Checkup]:
    from playbooks.loading import load_playbooks

    library = load_playbooks(playbooks_dir())
    yield from _told("playbooks", library.problems, _usable(len(library.playbooks), library.replaced))


def _usable(count: int, replaced: Sequence[str]) -> str:
    own = f"; your own replace {', '.join(replaced)}" if replaced else ""
    return f"{count} usable{own}"


def _told(what: str, problems: Iterable[str], usable: str, *, works: bool | None = None) -> Iterator[Checkup]:
    """Yield a line for each problem, which `works` grades, and one for what is usable all the same."""
    for problem in problems:
        yield Checkup(works, what, problem)
    if usable:
        yield Checkup(True, what, usable)


def _terminal() -> Iterator[Checkup]:
    environ = dict(os.environ)
    if problem := why_not_drawn(environ, sys.stderr.encoding):
        yield Checkup(None, "terminal", problem)
    else:
        yield Checkup(True, "terminal", f"TERM={environ.get('TERM', '')} COLORTERM={environ.get('COLORTERM', '')}")
    if inside_tmux(environ):
        way = "tmux: `tmux load-buffer -w`"
    elif inside_screen(environ):
        way = "GNU screen: OSC 52, wrapped"
    elif has_no_clipboard(environ):
        yield Checkup(None, "clipboard", "this terminal has none: `midwatch last` prints what was copied")
        return
    else:
        way = "OSC 52" + (" over SSH: your terminal must allow it" if over_ssh(environ) else "")
    yield Checkup(True, "clipboard", way)


async def _cluster(connection: "KubernetesConnection") -> list[Checkup]:
    from collectors.errors import SourceError

    try:
        check_namespace_name(connection.namespace)
        access = await connection.access()
    except (ConnectionFailed, SourceError) as error:
        found, access = [Checkup(False, "kubeconfig", str(error))], Access(None)
    else:
        found = [_credentials(access)]
    found += [Checkup(None, "options", note) for note in connection.notes]
    async with access.client or nullcontext():
        answers = False
        if access.client is not None:
            found.append(await _version(access.client))
            answers = bool(found[-1].works)
        if access.client is not None and answers:
            found += await _api(access.client, connection)
        # etcd, model servers at URLs and this host's own files tell something also when the API server does not.
        client = access.client if answers else None
        found += [Checkup(*line) for line in await serving_lines(client, connection.namespace, connection.serving)]
        if (devices := connection.devices) is not None:
            lines = scheduler_lines(devices.prometheus, devices.token_file)
            found += [Checkup(*line) async for line in lines]
        lines = control_plane_lines(client, connection.etcd)
        found += [Checkup(*line) async for line in lines]
    return found


def _credentials(access: Access) -> Checkup:
    client = access.client
    if client is None:
        return Checkup(None, "kubeconfig", "; ".join(access.notes))
    says = f"context {client.context or '(in-cluster)'}, server {client.server}"
    return Checkup(True, "kubeconfig", "; ".join((says, *access.notes)))


async def _api(client: "Client", connection: "KubernetesConnection") -> list[Checkup]:
    """Return what may be read of an API server that answers."""
    from collectors.gpu_devices.options import DeviceOptions

    namespace = connection.namespace
    found = [await _readiness(client)]
    if namespace:
        found.append(await _exists(client, namespace, connection.namespace_from))
    found += await asyncio.gather(*(_may_read(client, kind, namespace) for kind in KINDS))
    found.append(await _may_read_logs(client, namespace))
    found.append(Checkup(*await metrics_line(client)))
    found.append(Checkup(*clock_line(client.meter.clock)))
    devices = connection.devices or DeviceOptions()
    return found + [Checkup(*line) for line in await device_lines(client, namespace, devices)]


async def _version(client: "Client") -> Checkup:
    """Ask for the version: without an answer that is one there is no API server."""
    from collectors.errors import SourceError
    from collectors.kubernetes.polls import parse_version

    what = "API server (/version)"
    try:
        _, body = await client.get("/version")
        parse_version(body, client.server)
    except SourceError as error:
        return Checkup(False, what, str(error))
    return Checkup(True, what, "answers")


async def _readiness(client: "Client") -> Checkup:
    from collectors.errors import SourceError
    from collectors.kubernetes.polls import parse_readiness

    what = "readiness (/readyz)"
    try:
        status, body = await client.get("/readyz", accepted=(500,))
        parse_readiness(status, body, f"{client.server}/readyz")
    except SourceError as error:
        return Checkup(None, what, str(error))
    return Checkup(
        True if status == 200 else None, what, "answers" if status == 200 else f"answers {status}: not ready"
    )


async def _exists(client: "Client", namespace: str, named: str) -> Checkup:
    """Say whether the one namespace that is to be read is there; RBAC may keep that from us."""
    from collectors.errors import AbsentError, SourceError
    from collectors.kubernetes.lists import list_cached

    what = f"namespace {namespace}"
    try:
        listed = await list_cached(client, BY_NAME["namespaces"], None)
        if not listed.objects:
            raise AbsentError("the list of namespaces is empty")
    except SourceError as error:
        return Checkup(None, what, f"not known whether it exists: {error}")
    absent = absent_text(namespace, [item.name for item in listed.objects])
    return Checkup(False, what, f"{named}: {absent}") if absent else Checkup(True, what, "exists")


async def _may_read(client: "Client", kind: ObjectKind, namespace: str | None) -> Checkup:
    """Ask for one object, and for a watch if the kind is one that is watched."""
    from collectors.errors import AbsentError, ForbiddenError, SourceError, WatchForbiddenError
    from collectors.kubernetes.lists import list_one, refusals_named
    from collectors.kubernetes.watchless import POLL_S

    what = f"{_MAY_READ}{kind.name}"
    bad = False if _needed(kind) else None
    try:
        listed = await list_one(client, kind, namespace)
        if not kind.on_demand and listed.resource_version:
            query = {"watch": "1", "timeoutSeconds": "1", "resourceVersion": listed.resource_version}
            with refusals_named(kind, namespace, "watch"):
                async with client.stream(kind.path(namespace), query, first_byte_s=_FIRST_BYTE_S):
                    pass
        return Checkup(True, what, "yes")
    except WatchForbiddenError as error:
        return Checkup(None, what, f"list only, so it is polled every {POLL_S:.0f} s or slower: {error}")
    except ForbiddenError:
        where = f" in namespace {namespace}" if namespace and kind.namespaced else ""
        return Checkup(
            bad, what, f"no: RBAC needs get, list and watch on {kind.resource}{where} (group {_group(kind)})"
        )
    except AbsentError:
        return Checkup(bad, what, f"this server has none ({kind.group_version})")
    except SourceError as error:
        return Checkup(bad, what, str(error))


async def _may_read_logs(client: "Client", namespace: str | None) -> Checkup:
    """Ask for the log of a pod that does not exist: rights are checked before, and nobody's log is read."""
    from collectors.errors import AbsentError, ForbiddenError, SourceError
    from collectors.kubernetes.pod_logs import log_path

    what = f"{_MAY_READ}pods/log"
    where = namespace or client.namespace or "default"
    try:
        await client.get(log_path(where, "midwatch-doctor-asks-for-no-pod"), {"limitBytes": "1"})
    except AbsentError:
        return Checkup(True, what, f"yes, in namespace {where}")
    except ForbiddenError:
        return Checkup(
            None, what, f"no, so L shows no logs: RBAC needs get on pods/log in namespace {where} (an optional right)"
        )
    except SourceError as error:
        return Checkup(None, what, str(error))
    return Checkup(True, what, f"yes, in namespace {where}")


def _group(kind: ObjectKind) -> str:
    return kind.group_version.rpartition("/")[0] or '""'


def _needed(kind: ObjectKind) -> bool:
    """Without pods there is no picture at all; everything else only makes it smaller."""
    return kind.name == "pods"
