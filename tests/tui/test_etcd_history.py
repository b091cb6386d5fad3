"""The small curves of WAL fsync: bounded, in steps, with gaps where nothing was measured."""

from datetime import timedelta

import pytest

from situation.etcd.memory import KnownMember
from situation.situation import Situation
from tests.build import NOW
from tests.control_plane import live_etcd
from tests.etcd_objects import disk, endpoint, page, tell
from tui.etcd_history import FsyncCurves, height
from widgets.blocks import NOT_MEASURED
from widgets.etcd_members import CURVE


def member(situation: Situation, number: int = 1) -> KnownMember:
    return situation.etcd.known[endpoint(number)]


@pytest.mark.parametrize(
    ("seconds", "wanted"), [(None, NOT_MEASURED), (0.0, 0), (0.001, 0), (0.032, 50), (1.1, 100), (8.0, 100)]
)
def test_each_doubling_rises_by_as_much(seconds: float | None, wanted: int) -> None:
    assert height(seconds) == wanted


def test_a_slow_disk_stands_higher() -> None:
    situation = Situation()
    live_etcd(situation, slow=3)
    fine, slow = (FsyncCurves().of(member(situation, number), NOW) for number in (1, 3))
    assert CURVE - 2 <= len(fine) == len(slow) <= CURVE
    assert set(fine) == {0}
    assert min(slow) > 40


def test_silence_is_a_gap_that_grows_with_time_alone() -> None:
    situation = Situation()
    live_etcd(situation, silent={3: 100})
    curves = FsyncCurves()
    gaps = [
        curves.of(member(situation, 3), NOW + timedelta(seconds=30 * step)).count(NOT_MEASURED) for step in (0, 1, 9)
    ]
    assert 2 <= gaps[0] < gaps[1] < gaps[2] == CURVE


def test_one_page_is_no_curve_and_a_new_page_gives_a_new_one() -> None:
    situation = Situation()
    tell(situation, 1, ago_s=60, page=page(fsync=disk(fast=10)))
    curves = FsyncCurves()
    assert curves.of(member(situation), NOW) == b""
    tell(situation, 1, ago_s=20, page=page(fsync=disk(fast=20)))
    before = curves.of(member(situation), NOW)
    assert curves.of(member(situation), NOW) is before
    tell(situation, 1, page=page(fsync=disk(fast=20, slow=100, slow_s=0.128)))
    assert max(value for value in curves.of(member(situation), NOW) if value != NOT_MEASURED) > max(
        value for value in before if value != NOT_MEASURED
    )
    curves.keep(())
    assert curves.of(member(situation), NOW) is not before
