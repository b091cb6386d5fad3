"""What is kept of earlier GPU readings, which of several ways is believed, and what a reading changes."""

from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from situation.gpu.devices import GpuDevice, GpuReading, NodeDevices, SeenXid
from situation.gpu.memory import (
    COUNTS_KEPT,
    DEVICES_FRESH,
    SEEN_TO_CHANGE,
    WINDOW,
    XIDS_KEPT,
    believed,
    remembering,
    with_xid,
)
from situation.meta import Ref
from situation.readings import Reading, SourceState
from situation.situation import Situation
from tests.build import NOW, node, situation

GPU = GpuDevice(0, "GPU-a")


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def reading(*devices: GpuDevice, seconds: float = 0, origin: str = "dcgm", error: str = "") -> NodeDevices:
    return NodeDevices("gpu-07", devices, origin, "580", at(seconds), error)


def after(*readings: NodeDevices) -> GpuDevice:
    known: NodeDevices | None = None
    for item in readings:
        known = remembering(known, item)
    assert known is not None
    return known.devices[0]


@pytest.mark.parametrize(
    ("xids", "changed_at"),
    [
        ((79,), None),
        ((79, 79), None),
        ((0, 79), 15),
        ((0, 79, 79), 15),
        ((31, 79), 15),
        ((None, 79), None),
        ((0, None, 79), None),
    ],
)
def test_an_xid_counts_as_new_only_if_it_was_seen_to_change(
    xids: tuple[int | None, ...], changed_at: float | None
) -> None:
    found = after(*(reading(replace(GPU, last_xid=xid), seconds=15 * n) for n, xid in enumerate(xids)))
    assert found.xid_changed_at == (None if changed_at is None else at(changed_at))


@pytest.mark.parametrize(
    ("xids", "earlier"),
    [
        ((79,), ()),
        ((79, 45), ((79, None),)),
        ((0, 79, 45), ((79, 15),)),
        ((0, 79, 45, 45, 154), ((79, 15), (45, 30))),
        ((0, 31, 13, 31), ((13, 30),)),
        ((31, 79, 0), ()),
        ((31, 79, 0, 45), ()),
    ],
)
def test_a_gauge_of_the_last_xid_leaves_those_that_were_seen_before(
    xids: tuple[int, ...], earlier: tuple[tuple[int, float | None], ...]
) -> None:
    found = after(*(reading(replace(GPU, last_xid=xid), seconds=15 * n) for n, xid in enumerate(xids)))
    assert [(xid.code, xid.at) for xid in found.earlier_xids] == [
        (code, None if seconds is None else at(seconds)) for code, seconds in earlier
    ]


def test_few_xids_are_kept_however_many_come() -> None:
    found = after(*(reading(replace(GPU, last_xid=1 + n), seconds=15 * n) for n in range(50)))
    assert [xid.code for xid in found.earlier_xids] == list(range(50 - XIDS_KEPT, 50))
    seen: tuple[SeenXid, ...] = ()
    for number in range(100):
        seen = with_xid(seen, SeenXid(13 if number % 2 else number, at(number)))
    assert (len(seen), seen[-1]) == (XIDS_KEPT, SeenXid(13, at(99)))


def test_what_the_driver_itself_says_of_an_xid_is_kept_as_it_is() -> None:
    """Its events have their time; the reading before has nothing to add."""
    told = replace(GPU, last_xid=45, xid_changed_at=at(7), earlier_xids=(SeenXid(48, at(6)),))
    for before in (GPU, replace(GPU, last_xid=0), replace(GPU, last_xid=31), told):
        found = after(reading(before, origin="nvml"), reading(told, seconds=15, origin="nvml"))
        assert (found.last_xid, found.xid_changed_at, found.earlier_xids) == (45, at(7), (SeenXid(48, at(6)),))


@pytest.mark.parametrize(
    ("driver", "gauge", "believed_xid"),
    [
        ((None, None), (79, None), (79, None)),
        ((None, None), (0, None), (0, None)),
        ((79, 10), (0, None), (79, 10)),
        ((79, 10), (31, None), (79, 10)),
        ((79, 10), (79, 20), (79, 10)),
        ((79, 10), (31, 5), (79, 10)),
        ((79, 10), (31, 20), (31, 20)),
        ((45, 10), (48, 20), (45, 10)),
        ((45, 10), (48, 140), (48, 140)),
    ],
)
def test_of_two_ways_the_one_that_knows_the_later_xid_is_believed(
    driver: tuple[int | None, float | None],
    gauge: tuple[int | None, float | None],
    believed_xid: tuple[int | None, float | None],
) -> None:
    """The driver saw 48 before its last one: a gauge that shows 48 some seconds later is only late."""

    def gpu(code: int | None, seconds: float | None) -> GpuDevice:
        return replace(GPU, last_xid=code, xid_changed_at=None if seconds is None else at(seconds))

    nvml = gpu(*driver)
    if driver[0]:
        nvml = replace(nvml, earlier_xids=(SeenXid(48, at(9)),))
    ways = {"nvml": reading(nvml, origin="nvml"), "dcgm": reading(gpu(*gauge), origin="dcgm")}
    for ordered in (ways, {**ways, "nvml": replace(ways["nvml"], error="GPU 1 is lost")}):
        found = believed(ordered).devices[0]
        code, seconds = believed_xid
        assert (found.last_xid, found.xid_changed_at) == (code, None if seconds is None else at(seconds))


def test_what_one_way_missed_another_may_have_seen() -> None:
    driver = reading(replace(GPU, last_xid=31, xid_changed_at=at(90)), origin="nvml")
    gauge = replace(GPU, last_xid=31, xid_changed_at=at(100), earlier_xids=(SeenXid(79), SeenXid(48, at(50))))
    found = believed({"nvml": driver, "dcgm": reading(gauge)}).devices[0]
    assert found.xids == (SeenXid(79), SeenXid(48, at(50)), SeenXid(31, at(90)))


def test_what_changed_while_nobody_looked_is_history() -> None:
    late = SEEN_TO_CHANGE.total_seconds() + 1
    found = after(reading(replace(GPU, last_xid=0)), reading(replace(GPU, last_xid=79), seconds=late))
    assert (found.last_xid, found.xid_changed_at) == (79, None)


def test_counts_are_kept_for_some_minutes_and_no_longer() -> None:
    known: NodeDevices | None = None
    for number in range(400):
        known = remembering(known, reading(replace(GPU, ecc_corrected=number), seconds=15 * number))
    assert known is not None
    kept = known.devices[0].earlier
    assert len(kept) <= COUNTS_KEPT
    assert kept[0].at >= at(15 * 399) - WINDOW
    assert [item.ecc_corrected for item in kept] == sorted(item.ecc_corrected or 0 for item in kept)


def test_growth_shows_with_the_second_reading() -> None:
    found = after(reading(replace(GPU, ecc_corrected=5)), reading(replace(GPU, ecc_corrected=9), seconds=15))
    assert [item.ecc_corrected for item in found.earlier] == [5]


def test_a_counter_that_falls_begins_anew() -> None:
    found = after(
        reading(replace(GPU, nvlink_errors=5)),
        reading(replace(GPU, nvlink_errors=9), seconds=15),
        reading(replace(GPU, nvlink_errors=1), seconds=30),
    )
    assert found.earlier == ()


def test_counters_of_limits_become_reasons_while_they_grow() -> None:
    found = after(
        reading(replace(GPU, thermal_violation=10.0, power_violation=5.0)),
        reading(replace(GPU, thermal_violation=11.0, power_violation=5.0), seconds=15),
    )
    assert found.throttle_reasons == ("thermal_violation",)


def test_limits_that_did_not_grow_are_no_word_on_other_reasons() -> None:
    still = (
        reading(replace(GPU, thermal_violation=10.0, power_violation=5.0)),
        reading(replace(GPU, thermal_violation=10.0, power_violation=5.0), seconds=15),
    )
    assert after(*still).throttle_reasons is None


@pytest.mark.parametrize(
    ("driver", "believed_reasons"),
    [(None, ("sw_power_cap",)), ((), ()), (("hw_slowdown",), ("hw_slowdown",))],
)
def test_reasons_are_taken_from_another_way_only_where_the_first_tells_none(
    driver: tuple[str, ...] | None, believed_reasons: tuple[str, ...]
) -> None:
    nvml = reading(replace(GPU, throttle_reasons=driver), origin="nvml")
    dcgm = reading(replace(GPU, throttle_reasons=("sw_power_cap",)), origin="dcgm")
    assert believed({"dcgm": dcgm, "nvml": nvml}).devices[0].throttle_reasons == believed_reasons


def test_a_node_that_fails_keeps_what_was_known() -> None:
    before = reading(replace(GPU, last_xid=31))
    found = remembering(before, NodeDevices("gpu-07", origin="dcgm", error="connection refused"))
    assert (found.devices, found.observed_at, found.error) == (before.devices, NOW, "connection refused")
    assert remembering(found, reading(GPU, seconds=15)).error == ""


def test_the_most_trusted_fresh_way_is_believed_and_its_gaps_filled() -> None:
    driver = reading(replace(GPU, temperature_c=40), origin="nvml")
    exporter = reading(replace(GPU, temperature_c=50, last_xid=31, holders=(("n", "p"),)), origin="dcgm")
    found = believed({"dcgm": exporter, "nvml": driver})
    assert found.origin == "nvml"
    assert (found.devices[0].temperature_c, found.devices[0].last_xid) == (40, 31)
    assert found.devices[0].holders == (("n", "p"),)
    late = DEVICES_FRESH.total_seconds() + 1
    assert believed({"dcgm": replace(exporter, observed_at=at(late)), "nvml": driver}).origin == "dcgm"
    assert believed({"dcgm": exporter, "nvml": replace(driver, error="GPU 1 is lost")}).origin == "dcgm"
    assert believed({"nvml": NodeDevices("x", origin="nvml", error="no")}).error == "no"


def test_a_mig_device_is_the_same_whoever_names_it() -> None:
    driver = reading(GpuDevice(0, "MIG-1", mig_id="7", memory_used_bytes=1), origin="nvml")
    exporter = reading(GpuDevice(0, "GPU-a", mig_id="7", utilization_ratio=0.5), origin="prometheus")
    (found,) = believed({"nvml": driver, "prometheus": exporter}).devices
    assert (found.uuid, found.memory_used_bytes, found.utilization_ratio) == ("MIG-1", 1, 0.5)


def publish(known: Situation, *nodes: NodeDevices) -> list[Ref]:
    changes = known.apply(Reading("gpu/dcgm", SourceState.LIVE, NOW, GpuReading(nodes)))
    assert all(change.old is change.new for change in changes), "the Node object itself is the same"
    return [change.ref for change in changes]


def test_a_reading_changes_the_node_it_is_about() -> None:
    known = situation(node("gpu-07"))
    stranger = replace(reading(GPU), node="elsewhere")
    assert publish(known, reading(GPU), stranger) == [Ref("Node", "", "gpu-07")]
    assert known.devices.keys() == {"gpu-07", "elsewhere"}


def test_nodes_that_are_gone_are_not_kept_for_ever() -> None:
    known = situation(node("gpu-07"))
    for number in range(500):
        publish(known, replace(reading(GPU), node=f"old-{number}"))
    publish(known, reading(GPU))
    assert "gpu-07" in known.devices
    assert len(known.devices) < 100
