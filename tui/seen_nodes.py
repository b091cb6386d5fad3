"""Which nodes somebody has before the eyes: the rows of the GPU pane's heat map, and of the table of nodes."""

from textual.screen import Screen

from widgets.gpu import GpuPane
from widgets.nodes import NodesPane


def seen_nodes(cockpit: Screen[None]) -> tuple[str, ...]:
    """Return their names, the heat map's first; none before the cockpit is drawn or while another screen covers it."""
    if not cockpit.is_mounted or not cockpit.is_active:
        return ()
    tables = (cockpit.query_one(GpuPane).fleet, cockpit.query_one(NodesPane).table)
    return tuple(dict.fromkeys(str(key) for table in tables for key in table.visible_keys))
