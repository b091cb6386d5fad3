"""Tells whether the terminal still swallows what it was sent.

Textual writes through a thread with a queue of 30 places; when it is full, `write` holds up the event loop, for ever if
the terminal stopped reading. So a redraw waits until the queue is empty. The queue is private: it is touched here only.
"""

from queue import Queue
from typing import Any

from textual.app import App


class TerminalPressure:
    """Looks at the writer of one application."""

    def __init__(self, app: App[Any]) -> None:
        self._app = app

    def is_backed_up(self) -> bool:
        """Tell whether output still waits for the terminal; False without such a queue (tests, other drivers)."""
        queue = self._queue()
        return queue is not None and not queue.empty()

    def _queue(self) -> "Queue[str | None] | None":
        driver = self._app._driver
        thread = getattr(driver, "_writer_thread", None)
        queue = getattr(thread, "_queue", None)
        return queue if isinstance(queue, Queue) else None
