from typing import cast

from situation.cluster import Event
from situation.decode import decode_object
from situation.kinds import BY_NAME
from tests.build import event, made
from widgets.columns import lay_out
from widgets.events import COLUMNS, event_cells


def test_a_warning_stands_out_and_what_is_normal_does_not() -> None:
    warning = cast(Event, made(event("Pod/web", "BackOff", "again", count=3)))
    assert event_cells(warning) == (
        ("02:41:02", "dim"),
        ("BackOff", "warning"),
        ("web", ""),
        ("×3", "dim"),
        ("again", ""),
    )
    normal = cast(Event, made(event("Pod/web", "Pulled", "done", type="Normal")))
    assert [cell[1] for cell in event_cells(normal)] == ["dim", "dim", "", "dim", "dim"]
    assert event_cells(normal)[3] == ("", "dim")


def test_an_event_without_any_time_says_so() -> None:
    raw = b'{"metadata": {"name": "x"}, "type": "Normal", "reason": "A", "message": "b"}'
    assert event_cells(cast(Event, decode_object(raw, BY_NAME["events"])))[0] == ("?", "dim")


def test_when_it_happened_is_told_beside_the_pods_of_160_columns() -> None:
    shown = [COLUMNS[index].title for index, _ in lay_out(COLUMNS, 61).shown]
    assert shown == ["time", "reason", "object", "message"]
