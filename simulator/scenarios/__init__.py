"""The shipped incidents: one tape each."""

from pathlib import Path
from typing import Final

from tape.reader import Tape

_FOLDER: Final = Path(__file__).parent
_ENDING: Final = ".jsonl.gz"


def _titles() -> dict[str, str]:
    tapes = (Tape(path) for path in sorted(_FOLDER.glob(f"*{_ENDING}")))
    return {tape.path.name.removesuffix(_ENDING): tape.header.title for tape in tapes}


SCENARIOS: Final[dict[str, str]] = _titles()
"""Name to title."""


def open_scenario(name: str) -> Tape:
    """Return the tape of a shipped incident. Raises KeyError for an unknown name."""
    if name not in SCENARIOS:
        raise KeyError(f"no incident {name!r}; there are: {', '.join(SCENARIOS)}")
    return Tape(_FOLDER / f"{name}{_ENDING}")
