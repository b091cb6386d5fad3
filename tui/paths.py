"""Where Midwatch keeps its own files: configuration and themes of the user, and the command that was copied last."""

import errno
import os
import stat
from pathlib import Path
from typing import Final

import platformdirs

_NAME: Final = "midwatch"
_PRIVATE: Final = 0o700
LAST_COMMAND: Final = "last-command"
"""File in the state directory."""


def config_dir() -> Path:
    """Return the user's configuration directory: `$XDG_CONFIG_HOME/midwatch`. It need not exist."""
    return platformdirs.user_config_path(_NAME, appauthor=False)


def config_file() -> Path:
    """Return the configuration file that is read when none is named."""
    return config_dir() / "config.toml"


def themes_dir(config: Path | None = None) -> Path:
    """Return the directory of the user's own themes: beside the configuration file that is read, `config` if one is
    named. It need not exist."""
    return (config or config_file()).expanduser().absolute().parent / "themes"


def playbooks_dir() -> Path:
    """Return the directory of the user's own playbooks. It need not exist."""
    return config_dir() / "playbooks"


def state_dir() -> Path:
    """Return the directory for what outlives a session: `$XDG_STATE_HOME/midwatch`. It need not exist."""
    return platformdirs.user_state_path(_NAME, appauthor=False)


def ensure_private(directory: Path) -> Path:
    """Create `directory` if need be, readable by its owner only, and return it.

    Raises OSError when that cannot be done, also when there is no home directory to put it in.
    """
    if not directory.is_absolute():
        raise OSError(errno.ENOENT, "no home directory; set HOME or XDG_STATE_HOME", str(directory))
    directory.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
    if stat.S_IMODE(directory.stat().st_mode) != _PRIVATE:
        os.chmod(directory, _PRIVATE)
    return directory
