"""Where a fault of our own stops: one rule, pane or reading that fails must neither end the program nor go unsaid."""

import logging
from collections.abc import Callable
from typing import TypeVar

import msgspec

from situation.steps import Steps
from situation.text import harmless

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Fault(msgspec.Struct, frozen=True):
    """A call that raised what nobody expected."""

    what: str
    """What failed: `rule crash-loop`, `pane Pods`."""
    text: str
    """`internal error in rule crash-loop: KeyError: 'x'`."""


class Boundary:
    """Calls functions of our own; what they raise becomes a Fault. Each kind is logged once, with its trace."""

    def __init__(self) -> None:
        self._logged: set[str] = set()

    def attempt(self, what: str, call: Callable[..., T], *arguments: object) -> T | Fault:
        """Return `call(*arguments)`, or the Fault that it ended in. `what` names it for people."""
        try:
            return call(*arguments)
        except Exception as error:  # noqa: BLE001  the boundary of calls, as the runner is that of tasks
            return self.fault(what, error)

    def attempt_steps(self, what: str, steps: Steps[T]) -> Steps[T | Fault]:
        """Do the same for work in steps."""
        try:
            return (yield from steps)
        except Exception as error:  # noqa: BLE001  as above
            return self.fault(what, error)

    def fault(self, what: str, error: Exception) -> Fault:
        """Return the Fault for what a call raised, from within the `except` that caught it."""
        kind = f"{what} {type(error).__name__}"
        if kind not in self._logged:
            self._logged.add(kind)
            _log.error("internal error in %s", what, exc_info=error)
        return Fault(what, harmless(f"internal error in {what}: {type(error).__name__}: {error}"))
