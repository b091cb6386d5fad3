"""Exit codes, and the error that ends the program with a message."""

from typing import Final

import click

EXIT_UNKNOWN: Final = 3
"""Could not tell."""
EXIT_USAGE: Final = 64
"""The command line, a configuration file or a given file is wrong (sysexits.h, EX_USAGE)."""


class UsageProblem(click.ClickException):
    """Something the caller can put right: printed as one line, exit code 64."""

    exit_code = EXIT_USAGE
