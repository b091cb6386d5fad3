"""What the environment tells about the terminal in front of us."""

from collections.abc import Mapping
from typing import Final

_SSH: Final = ("SSH_CONNECTION", "SSH_TTY", "SSH_CLIENT")
_NO_ESCAPES: Final = frozenset({"", "dumb", "linux", "vt100", "vt102", "vt220"})


def over_ssh(environ: Mapping[str, str]) -> bool:
    """Tell whether the person sits at another machine."""
    return any(environ.get(name) for name in _SSH)


def inside_tmux(environ: Mapping[str, str]) -> bool:
    """Tell whether a tmux server of this machine draws the terminal."""
    return bool(environ.get("TMUX"))


def inside_screen(environ: Mapping[str, str]) -> bool:
    """Tell whether GNU screen of this machine draws the terminal."""
    return bool(environ.get("STY")) and not inside_tmux(environ)


def may_be_screen(environ: Mapping[str, str]) -> bool:
    """Tell whether the terminal calls itself `screen`: GNU screen, or a tmux, at the other end of SSH."""
    return environ.get("TERM", "").startswith("screen") and not inside_tmux(environ) and not inside_screen(environ)


def has_no_clipboard(environ: Mapping[str, str]) -> bool:
    """Tell whether the terminal is a text console, which has no clipboard to reach."""
    return environ.get("TERM", "") in _NO_ESCAPES
