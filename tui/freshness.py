"""How fresh a pane is whose content the API server tells."""

from datetime import datetime

from situation.etcd.cluster import etcd_of
from situation.readings import Source
from situation.situation import Situation
from widgets.pane import PaneState, pane_state


def api_pane_state(situation: Situation, now: datetime, *sources: Source) -> PaneState:
    """Return the state of the worst of several sources; while etcd takes no writes they are as of the last one."""
    frozen = etcd_of(situation, now).frozen
    return pane_state(*sources, now=now, frozen_since=frozen.since if frozen else None)
