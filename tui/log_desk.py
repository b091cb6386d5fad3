"""Opens logs for the cockpit: finds out whose is meant, or says why there is none to be had."""

from collections.abc import Callable
from datetime import datetime

from tui.cockpit_screen import CockpitScreen
from tui.connection import Connected
from tui.feed import Feed
from tui.log_choice import cursor_log, selected_log, why_no_log
from tui.log_screen import LogScreen
from widgets.pods import PodsPane

_KIOSK = "A kiosk shows no logs: they can hold what not everybody who passes by may read."
_NOT_CONNECTED = "There is no connection to a cluster yet: a log can be read as soon as there is."
_RECORDED = "There are no logs here: what is shown is a recording, not a cluster that could be asked."


def log_screen(
    cockpit: CockpitScreen, feed: Feed, connected: Connected | None, clock: Callable[[], datetime], *, kiosk: bool
) -> LogScreen | str:
    """Return the screen with the log of what is attended to, or why there is none."""
    if kiosk:
        return _KIOSK
    if connected is None:
        return _NOT_CONNECTED
    if connected.read_log is None:
        return _RECORDED
    attention, situation = cockpit.attention, feed.situation
    pods = cockpit.query_one(PodsPane)
    if pods.has_focus_within and pods.table.cursor_key is not None:
        target = cursor_log(pods.table.cursor_key, situation)
        if target is None:
            return "No container of this pod has run yet: there is no log."
    else:
        target = selected_log(attention, feed.diagnosis, situation)
        if target is None:
            return why_no_log(attention)
    painter = cockpit.painter
    return LogScreen(
        target,
        connected.read_log,
        situation,
        painter.logs,
        painter.target,
        clock,
        feed.publish,
        explains=painter.explains,
    )
