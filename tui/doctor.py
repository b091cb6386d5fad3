"""`midwatch doctor`: what works from here, one line each, and what to do about what does not."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import typer

from situation.kinds import KINDS, ObjectKind
from tui.config import ConfigError, load_config
from tui.connection import path_text
from tui.exits import EXIT_UNKNOWN
from tui.keymap import check_keymap
from tui.paths import ensure_private, state_dir, themes_dir
from tui.start import cockpit_bindings
from tui.terminal import has_no_clipboard, inside_screen, inside_tmux, over_ssh


class Checkup(NamedTuple):
    """One line of the doctor."""

    works: bool | None
    """None: works, but not as well as it could."""
    what: str
    says: str

    @property
    def line(self) -> str:
        glyph = "✓" if self.works else "●" if self.works is None else "✗"
        return f"{glyph} {self.what:<34} {self.says}"


def run_doctor(kubeconfig: Path | None, context: str | None, namespace: str | None, config: Path | None) -> int:
    """Print all checkups and return 0 if everything needed works, else 3."""
    broken = False
    for checkup in (*_own_files(config), *_terminal()):
        typer.echo(checkup.line)
        broken |= checkup.works is False
    for checkup in asyncio.run(_cluster(path_text(kubeconfig), context, namespace)):
        typer.echo(checkup.line)
        broken |= checkup.works is False
    return EXIT_UNKNOWN if broken else 0


def _own_files(config: Path | None) -> Iterator[Checkup]:
    try:
        settings = load_config(config)
        problems = check_keymap(cockpit_bindings(), dict(settings.keys))
        yield Checkup(not problems, "configuration", "; ".join(problems) or "can be used")
    except ConfigError as error:
        yield Checkup(False, "configuration", str(error))
    from tui.themes import load_themes

    themes = load_themes(themes_dir())
    wrong = "; ".join(themes.problems)
    yield Checkup(None if wrong else True, "themes", wrong or f"{len(themes.themes)} usable")
    try:
        yield Checkup(True, "state directory", str(ensure_private(state_dir())))
    except OSError as error:
        yield Checkup(None, "state directory", f"{state_dir()}: {error.strerror}; `midwatch last` will not work")


def _terminal() -> Iterator[Checkup]:
    environ = dict(os.environ)
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


async def _cluster(kubeconfig: str | None, context: str | None, namespace: str | None) -> list[Checkup]:
    from collectors.errors import SourceError
    from collectors.kubernetes.client import Client, connect

    try:
        client = await connect(kubeconfig, context)
    except SourceError as error:
        return [Checkup(False, "kubeconfig", str(error))]
    found = [Checkup(True, "kubeconfig", f"context {client.context or '(in-cluster)'}, server {client.server}")]

    async def probe(what: str, path: str, needed: bool, client: Client) -> Checkup:
        try:
            status, _ = await client.get(path, {"limit": "1", "resourceVersion": "0"}, accepted=(500,))
        except SourceError as error:
            return Checkup(False if needed else None, what, str(error))
        return Checkup(True if status == 200 else None, what, "answers" if status == 200 else f"answers {status}")

    async with client:
        found.append(await probe("API server (/version)", "/version", True, client))
        if found[-1].works:
            found.append(await probe("readiness (/readyz)", "/readyz", False, client))
            probes = (probe(f"may list {kind.name}", kind.path(namespace), _needed(kind), client) for kind in KINDS)
            found += await asyncio.gather(*probes)
    return found


def _needed(kind: ObjectKind) -> bool:
    """Without pods there is no picture at all; everything else only makes it smaller."""
    return kind.name == "pods"
