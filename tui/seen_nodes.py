"""Which nodes somebody has before the eyes: the rows of the GPU pane's heat map, and of the table of nodes."""

from textual.screen import Screen

from widgets.gpu_fleet import GpuFleet
from widgets.table import RowTable


def seen_nodes(cockpit: Screen[None]) -> tuple[str, ...]:
    """Return their names, the heat map's first; none before the cockpit is drawn, or under another screen."""
    if not cockpit.is_mounted or not cockpit.is_active:
        return ()
    # Queries, as panes may not have composed yet.
    tables = (*cockpit.query(GpuFleet), *cockpit.query("NodesPane RowTable").results(RowTable))
    return tuple(dict.fromkeys(str(key) for table in tables for key in table.visible_keys))
