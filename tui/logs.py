"""Where the program's own log goes: a bounded file, never the terminal that Textual draws on."""

import logging
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final

from tui.paths import ensure_private

_FILE: Final = "midwatch.log"
_LIMIT_BYTES: Final = 1_000_000


def log_to_file(directory: Path) -> Path | None:
    """Log to `midwatch.log` in `directory`, two files of 1 MB at most; without a writable directory, nowhere.

    Returns the file, None for nowhere.
    """
    file: Path | None = directory / _FILE
    logging.raiseExceptions = False  # a full disk is told where something is lost by it, not with each line of the log
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    for before in root.handlers[:]:
        root.removeHandler(before)
        if isinstance(before, RotatingFileHandler):
            before.close()
    try:
        handler: logging.Handler = RotatingFileHandler(
            ensure_private(directory) / _FILE, maxBytes=_LIMIT_BYTES, backupCount=1, encoding="utf-8"
        )
    except OSError:
        handler, file = logging.NullHandler(), None
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    return file
