"""What the environment tells about the terminal in front of us."""

import codecs
from collections.abc import Mapping
from typing import Final

_SSH: Final = ("SSH_CONNECTION", "SSH_TTY", "SSH_CLIENT")
_LOCALE: Final = ("LC_ALL", "LC_CTYPE", "LANG")
"""In the order in which they count."""
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


def why_not_drawn(environ: Mapping[str, str], encoding: str) -> str:
    """Return why the cockpit cannot be drawn on this terminal and what to do about it, empty if it can.

    `encoding` is that of the stream to which the cockpit is written.
    """
    if environ.get("TERM") == "dumb":
        return "TERM=dumb: nothing can be drawn on such a terminal; use `midwatch check`"
    if codecs.lookup(encoding).name == "utf-8":
        return ""
    name, cure = _set_by(environ)
    which = f"{name}={environ[name]}" if name else "the locale"
    return (
        f"{which}: its encoding {encoding} lacks most of what the cockpit is drawn with; "
        f"if your terminal shows UTF-8, as nearly all do, run `{cure} midwatch`, else `midwatch check`"
    )


def _set_by(environ: Mapping[str, str]) -> tuple[str, str]:
    """Return which variable sets the encoding of our output, and what to set instead."""
    if environ.get("PYTHONIOENCODING", "").partition(":")[0]:
        return "PYTHONIOENCODING", "PYTHONIOENCODING=utf-8"
    return next((name for name in _LOCALE if environ.get(name)), ""), "LC_ALL=C.UTF-8"
