"""What an etcd member says now."""

from typing import Any

import msgspec

from simulator.pages import Page
from tape.etcd import PAGES, EtcdName, EtcdServer
from tape.format import Frame

UNANSWERED = "UNAVAILABLE: etcdserver: not started"
"""What a call gets that the tape says nothing of."""


class Said(msgspec.Struct, frozen=True):
    """The answer to a call: a body in the shape of etcd's JSON gateway, or an error as on the tape."""

    body: dict[str, Any] | None = None
    error: str = UNANSWERED


class EtcdState:
    """One member: how it can be reached, and its answer to each question."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.server = EtcdServer()
        self.calls: dict[str, Said] = {}
        """By part: `status`, `members`, `alarms`."""
        self.pages: dict[str, Page] = {}
        """By part: `metrics`, `health`, `readyz`."""

    def take(self, name: EtcdName, frame: Frame) -> None:
        """Fold a frame in. Raises msgspec.ValidationError for a body that tells nothing of a server."""
        if name.part == "server":
            self.server = msgspec.convert(frame.body, type=EtcdServer)
        elif name.part in PAGES:
            self.pages[name.part] = Page(frame.status or 200, frame.text or "", frame.error or "")
        else:
            self.calls[name.part] = Said(frame.body, frame.error or "")
