"""When what servers show in their handshakes is worth reading at once: a process came back, or TLS fails with it."""

from datetime import datetime
from typing import Final

from situation.etcd.cluster import etcd_of
from situation.etcd.standing import REFUSAL
from situation.etcd.view import Standing
from situation.situation import Situation

API_SERVER: Final = "kubernetes/readyz"
_UP: Final = frozenset({Standing.ANSWERS, Standing.REFUSES})


class CertificateHints:
    """Told once a second what is known; `turn` changes whenever certificates may be others than those read last."""

    def __init__(self) -> None:
        self.turn = 0
        self._told: frozenset[str] = frozenset()
        """Endpoints of members that were known the last time; who is new is read anyway."""
        self._up: dict[str, float | None] = {}
        """Endpoints of members that run, with the start of their process as far as it is known."""
        self._refused: frozenset[str] = frozenset()
        """Sources whose connections fail for TLS or a certificate."""

    def tell(self, situation: Situation, now: datetime) -> None:
        """Take in what is known now. A process holds its certificate from its start on, so a restart is a hint too."""
        members = [view for view in etcd_of(situation, now).members if view.endpoint]
        up = {view.endpoint: self._started(view.endpoint, situation) for view in members if view.standing in _UP}
        refused = {view.source for view in members if view.standing is Standing.REFUSES}
        if REFUSAL.search(situation.source(API_SERVER).error):
            refused.add(API_SERVER)
        is_news = refused - self._refused or any(self._came(endpoint, started) for endpoint, started in up.items())
        self._refused = frozenset(refused)
        self._up = up
        self._told = frozenset(view.endpoint for view in members)
        self.turn += bool(is_news)

    def _started(self, endpoint: str, situation: Situation) -> float | None:
        page = situation.etcd.known[endpoint].page
        return page.started_at if page is not None and page.started_at is not None else self._up.get(endpoint)

    def _came(self, endpoint: str, started: float | None) -> bool:
        if endpoint not in self._up:
            return endpoint in self._told
        before = self._up[endpoint]
        return before is not None and started != before
