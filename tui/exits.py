"""Exit codes, and the error that ends the program with a message."""

from typing import Final

EXIT_UNKNOWN: Final = 3
"""Could not tell."""
EXIT_USAGE: Final = 64
"""The command line, a configuration file or a given file is wrong (sysexits.h, EX_USAGE)."""
EXIT_INTERRUPTED: Final = 130
"""Ended by Ctrl-C: 128 and the number of SIGINT, as shells report it."""
EXIT_TERMINATED: Final = 143
"""The same for SIGTERM, after the terminal was given back."""


class UsageProblem(Exception):  # noqa: N818 - not a fault of ours: it ends the program with its message
    """Something the caller can put right: printed as one line, exit code 64."""


class NoSuchNamespace(UsageProblem):
    """The one namespace that is to be read does not exist."""
