"""The folder of all incidents: which there are, which was left open, how one is found by its name."""

import difflib
from pathlib import Path
from typing import NamedTuple

from incidents.entries import Incident
from incidents.store import SUFFIX, StoreError, is_id, read


class Kept(NamedTuple):
    """A file of the folder."""

    path: Path
    incident: Incident | None
    problem: str = ""
    """Why it cannot be read."""


def kept(folder: Path) -> tuple[Kept, ...]:
    """Return all incidents, the newest first; those that cannot be read with the reason."""
    found = []
    for path in sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else ():
        try:
            found.append(Kept(path, read(path)))
        except StoreError as error:
            found.append(Kept(path, None, str(error)))
    return tuple(sorted(found, key=_newest_first, reverse=True))


def _newest_first(item: Kept) -> tuple[str, str]:
    began = item.incident.began.isoformat() if item.incident else item.path.stem
    return began, item.path.stem


def path_of(folder: Path, name: str) -> Path:
    """Return the file of an incident. Raises StoreError, with what else may be meant, when there is none."""
    path = folder / f"{name}{SUFFIX}"
    if is_id(name) and path.is_file():
        return path
    names = sorted(item.stem for item in folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []
    close = difflib.get_close_matches(name, names, n=1) or [item for item in names if name in item][-1:]
    hint = f"; did you mean {close[0]}?" if close else "; `midwatch incidents` lists them" if names else ""
    raise StoreError(f"no incident {name!r} in {folder}{hint}")


def left_open(folder: Path, context: str, origin: str = "") -> Kept | None:
    """Return the newest incident of this cluster that was not closed and that nobody writes now; None without one.

    `context` and `origin` are those of `Incident`.
    """
    for item in kept(folder):
        incident = item.incident
        if incident is not None and incident.is_of(context, origin) and incident.ended is None and not incident.live:
            return item
    return None
