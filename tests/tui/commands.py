"""Runs `midwatch` as a child process, away from the home folder and the clusters of whoever runs the tests."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
DEADLINE_S = 30.0
PROGRAM = (sys.executable, "-c", "from tui.cli import main; main()")


class Finished(NamedTuple):
    """What a child left."""

    code: int | None
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on standard error; fails for a traceback or for several lines."""
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("midwatch: "), self.err
        return lines[0].removeprefix("midwatch: ")


def environment(home: Path, changes: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment for a child whose home is `home`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("XDG_", "KUBE", "MIDWATCH"))}
    return {**kept, "HOME": str(home), "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", **(changes or {})}


async def midwatch(
    home: Path, *arguments: str, changes: Mapping[str, str] | None = None, given: bytes | None = None
) -> Finished:
    """Run `midwatch` with `arguments` in `home`; `given` is its standard input."""
    child = await asyncio.create_subprocess_exec(
        *PROGRAM,
        *arguments,
        cwd=home,
        env=environment(home, changes),
        stdin=DEVNULL if given is None else PIPE,
        stdout=PIPE,
        stderr=PIPE,
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            out, err = await child.communicate(given)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return Finished(child.returncode, out.decode(), err.decode())


def write_kubeconfig(
    path: Path, server: str, *, user: Mapping[str, Any] | None = None, cluster: Mapping[str, Any] | None = None
) -> Path:
    """Write a kubeconfig with one context `prod` and return its path."""
    tree = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "prod",
        "contexts": [{"name": "prod", "context": {"cluster": "one", "user": "me"}}],
        "clusters": [{"name": "one", "cluster": {"server": server, **(cluster or {})}}],
        "users": [{"name": "me", "user": dict(user or {})}],
    }
    path.write_text(json.dumps(tree))
    return path
