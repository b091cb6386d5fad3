"""Keeps the last half hour of what was heard, and saves it as a tape."""

from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from playbooks.commands import Target
from situation.readings import Reading, ServerVersion
from situation.situation import Situation
from tui.paths import ensure_private

if TYPE_CHECKING:
    from tape.ring import Ring

FOLDER: Final = "tapes"
"""Below the state directory."""
_NAME_CHARS: Final = 40


class Saved(NamedTuple):
    """What became of saving."""

    text: str
    title: str
    is_saved: bool


class TapeKeeper:
    """Stands between the feed and the ring. What it needs is imported with the first reading, after the first paint."""

    def __init__(self, clock: Callable[[], datetime], situation: Callable[[], Situation], state_dir: Path) -> None:
        self._clock = clock
        self._situation = situation
        self._state_dir = state_dir
        self._ring: Ring | None = None

    def hear(self, readings: Sequence[Reading], at: datetime) -> None:
        """Take in what was folded into the Situation."""
        if self._ring is None:
            from tape.ring import Ring

            self._ring = Ring(at, lambda: self._situation().listed())
        for reading in readings:
            self._ring.add(reading, at)

    def begin_segment(self) -> None:
        """Begin a new part of the tape if it is time. On the event loop."""
        if self._ring is not None:
            self._ring.begin_segment(self._clock())

    def pack(self) -> None:
        """Compress what has come. In a thread."""
        if self._ring is not None:
            self._ring.pack()

    @property
    def size_bytes(self) -> int:
        return self._ring.size_bytes if self._ring is not None else 0

    def save(self, target: Target, version: ServerVersion | None) -> Saved:
        """Save what is held under the state directory, readable by its owner only. In a thread."""
        from tape.format import TapeError

        ring, now = self._ring, self._clock()
        if ring is None:
            return Saved("nothing was heard yet", "No tape", False)
        name = "".join(character if character.isalnum() else "-" for character in target.context)[:_NAME_CHARS]
        path = self._state_dir / FOLDER / f"{now:%Y-%m-%d-%H%M%S}-{name or 'cluster'}.jsonl.gz"
        title = f"{target.context or 'a cluster'}, {now:%Y-%m-%d %H:%M} UTC"
        try:
            ensure_private(self._state_dir)
            ensure_private(path.parent)
            server = version.git_version if version else ""
            ring.save(path, title=title, context=target.context, server=server, only_namespace=target.limited_to)
        except TapeError as error:
            return Saved(str(error), "Not saved", False)
        except OSError as error:
            return Saved(f"{error.filename}: cannot write: {error.strerror}", "Not saved", False)
        minutes = max(1, round(ring.held.total_seconds() / 60))
        return Saved(f"{path}\nthe last {minutes} min; `midwatch replay` plays it", "Tape saved", True)
