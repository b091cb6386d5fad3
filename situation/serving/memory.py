"""What is kept of each model server: its last answer, and earlier pages for windows. Bounded in time and number."""

from situation.derived import Derived
from situation.serving.readings import ServerReading


class ServingMemory:
    """All model servers that were asked, by key."""

    def __init__(self) -> None:
        self.known: dict[str, ServerReading] = {}
        self.derived = Derived()
        """What was worked out from the pages; empty after each new one."""

    def take(self, reading: ServerReading) -> None:
        """Fold one server's round in."""
        self.derived.clear()
        self.known[reading.server.key] = reading
