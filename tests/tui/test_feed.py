from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from situation.findings import LayerState
from situation.gpu.devices import GpuDevice, GpuReading, NodeDevices
from situation.readings import Changed, Listed, Reading, SourceState
from tests.build import NOW, ago, made, node, pod
from tests.tui.cockpits import cluster_readings
from tui.feed import RESORT, Feed

PULL = {"waiting": {"reason": "ImagePullBackOff", "message": "manifest unknown: not found"}}


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Iterator[Clock]:
    yield Clock()


def broken(name: str) -> Reading:
    manifest = pod(name, phase="Pending", ready=False, container_status={"state": PULL})
    return Reading("kubernetes/pods", SourceState.LIVE, NOW, Changed("pods", (made(manifest),)))


def well(name: str) -> Reading:
    return Reading("kubernetes/pods", SourceState.LIVE, NOW, Changed("pods", (made(pod(name)),)))


def fed(clock: Clock, *readings: Reading) -> Feed:
    feed = Feed(clock)
    for reading in readings:
        feed.publish(reading)
    return feed


def test_nothing_takes_effect_before_the_turn(clock: Clock) -> None:
    feed = fed(clock, *cluster_readings(pod("a")))
    assert not feed.situation.knows("pods")
    feed.turn()
    assert feed.situation.knows("pods")
    assert feed.diagnosis.judged_at == NOW


def test_a_reading_that_cannot_be_folded_in_costs_only_its_source(clock: Clock) -> None:
    feed = fed(clock, *cluster_readings(pod("a"), node("n1")))
    feed.turn()
    feed.publish(Reading("kubernetes/nodes", SourceState.LIVE, NOW, Changed("no-such-kind", (made(node("n2")),))))
    feed.publish(broken("a"))
    turn = feed.turn()
    assert [cause.subject.name for cause in turn.diagnosis.causes] == ["a"]
    source = feed.situation.source("nodes")
    assert source.state is SourceState.UNREACHABLE
    assert "internal error in kubernetes/nodes: KeyError" in source.error


def test_when_judging_fails_no_layer_is_called_fine_and_the_next_turn_tries_again(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = fed(clock, *cluster_readings(pod("a")), broken("b"))
    with monkeypatch.context() as patch:
        patch.setattr("diagnosis.engine.fold", None)
        turn = feed.turn()
        assert {layer.status for layer in turn.diagnosis.layers} == {LayerState.UNKNOWN}
        assert "internal error in diagnosis" in turn.diagnosis.layers[0].reason
    assert [cause.subject.name for cause in feed.turn().diagnosis.causes] == ["b"]


def test_all_readings_since_the_last_turn_are_one_change(clock: Clock) -> None:
    feed = fed(clock, *cluster_readings(pod("a"), pod("b")))
    feed.turn()
    for reading in (broken("a"), broken("b"), well("a")):
        feed.publish(reading)
    turn = feed.turn()
    assert turn.kinds == {"Pod"}
    assert turn.pods == {("shop", "a"), ("shop", "b")}
    assert turn.reordered
    assert [cause.subject.name for cause in turn.diagnosis.causes] == ["b"]
    assert feed.diagnosis is turn.diagnosis


def test_the_later_reading_wins(clock: Clock) -> None:
    feed = fed(clock, *cluster_readings(pod("a")), broken("a"), well("a"))
    assert feed.turn().diagnosis.causes == ()
    feed = fed(clock, *cluster_readings(pod("a")), well("a"), broken("a"))
    assert len(feed.turn().diagnosis.causes) == 1


def test_a_turn_without_readings_changes_nothing(clock: Clock) -> None:
    feed = fed(clock, *cluster_readings(pod("a")))
    first = feed.turn()
    second = feed.turn()
    assert (second.kinds, second.pods, second.reordered) == (frozenset(), frozenset(), False)
    assert second.diagnosis.causes == first.diagnosis.causes


def test_a_change_that_keeps_the_order_says_so(clock: Clock) -> None:
    feed = fed(clock, *cluster_readings(pod("a"), pod("b")))
    feed.turn()
    feed.publish(Reading("kubernetes/pods", SourceState.LIVE, NOW, Changed("pods", (made(pod("a", node="n9")),))))
    turn = feed.turn()
    assert turn.pods == {("shop", "a")}
    assert not turn.reordered


def test_what_needs_a_look_comes_first_and_what_went_is_gone(clock: Clock) -> None:
    feed = fed(clock, *cluster_readings(pod("a"), pod("b"), pod("c")), broken("c"))
    feed.turn()
    assert list(feed.order) == [("shop", "c"), ("shop", "a"), ("shop", "b")]
    feed.publish(Reading("kubernetes/pods", SourceState.LIVE, NOW, Changed("pods", (), (("shop", "c"),))))
    turn = feed.turn()
    assert turn.reordered
    assert list(feed.order) == [("shop", "a"), ("shop", "b")]
    feed.publish(Reading("kubernetes/pods", SourceState.LIVE, NOW, Listed("pods", (made(pod("b")),))))
    feed.turn()
    assert list(feed.order) == [("shop", "b")]


def test_a_pod_settles_by_time_alone(clock: Clock) -> None:
    status = {"restartCount": 1, "state": {"running": {"startedAt": ago(590)}}}
    feed = fed(clock, *cluster_readings(pod("z", container_status=status), pod("a")))
    feed.turn()
    assert next(iter(feed.order)) == ("shop", "z")
    clock.now = NOW + RESORT - timedelta(seconds=1)
    assert not feed.turn().reordered
    clock.now = NOW + timedelta(seconds=15)
    turn = feed.turn()
    assert turn.reordered
    assert turn.pods == frozenset()
    assert list(feed.order) == [("shop", "a"), ("shop", "z")]


GPU_LABEL = {"nvidia.com/gpu.present": "true"}


def test_the_gpu_nodes_chains_follow_each_turn(clock: Clock) -> None:
    feed = fed(clock, *cluster_readings(node("gpu-1", labels=GPU_LABEL), node("cpu-1")))
    feed.turn()
    assert set(feed.fleet.chains) == {"gpu-1"}
    more = made(node("gpu-2", labels=GPU_LABEL))
    feed.publish(Reading("kubernetes/nodes", SourceState.LIVE, NOW, Changed("nodes", (more,), (("", "gpu-1"),))))
    feed.turn()
    assert set(feed.fleet.chains) == {"gpu-2"}


def test_chains_that_cannot_be_judged_cost_only_themselves_and_come_back(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken_of_ours(*_: object) -> None:
        raise ZeroDivisionError("of ours")

    feed = fed(clock, *cluster_readings(pod("a"), node("gpu-1", labels=GPU_LABEL)))
    with monkeypatch.context() as patch:
        patch.setattr("tui.feed.Fleet.update", broken_of_ours)
        assert feed.turn().diagnosis.judged_at == NOW
        assert not feed.fleet.chains
    feed.turn()
    assert set(feed.fleet.chains) == {"gpu-1"}


def test_the_devices_history_is_kept(clock: Clock) -> None:
    feed = fed(clock, *cluster_readings(node("gpu-1", labels=GPU_LABEL)))
    for second in range(3):
        at = NOW + timedelta(seconds=second)
        read = NodeDevices("gpu-1", (GpuDevice(0, utilization_ratio=second / 10),), "nvml", observed_at=at)
        feed.publish(Reading("gpu/nvml", SourceState.LIVE, at, GpuReading((read,))))
    feed.turn()
    assert list(feed.devices.of("gpu-1", GpuDevice(0))) == [0, 10, 20]


def test_devices_read_before_a_clock_was_set_back_do_not_hide_what_is_read_after(clock: Clock) -> None:
    def told(at: datetime, xid: int) -> Reading:
        devices = NodeDevices("gpu-1", (GpuDevice(0, "GPU-a", last_xid=xid),), "nvml", "", at)
        return Reading("gpu/nvml", SourceState.LIVE, at, GpuReading((devices,)))

    feed = fed(clock, *cluster_readings(node("gpu-1")), told(NOW, 0))
    feed.turn()
    clock.now = NOW - timedelta(minutes=10)
    feed.turn()
    feed.publish(told(clock.now, 79))
    feed.turn()
    assert [device.last_xid for device in feed.situation.devices["gpu-1"].devices] == [79]


def test_a_clock_that_is_set_back_does_not_put_off_what_is_to_be_looked_at_again(clock: Clock) -> None:
    young = pod("a", phase="Pending", ready=False, node="", age_s=-3590, status={"containerStatuses": []})
    clock.now = NOW + timedelta(hours=1)
    feed = fed(clock, *cluster_readings(young))
    feed.turn()
    clock.now = NOW - timedelta(hours=1)
    feed.turn()
    source = feed.situation.source("pods")
    assert source.observed_at is not None and source.observed_at <= clock.now
    assert source.state_at(clock.now + timedelta(seconds=source.fresh_for_s + 1)) is SourceState.STALE
    assert feed.diagnosis.judged_at == clock.now
    assert list(feed.order) == [("shop", "a")]
    feed.publish(broken("a"))
    feed.turn()
    assert [cause.subject.name for cause in feed.diagnosis.causes] == ["a"]
    clock.now += timedelta(seconds=60)
    feed.publish(well("a"))
    assert feed.turn().diagnosis.causes == ()


def test_what_waits_for_its_time_is_judged_again_after_a_clock_was_set_back(clock: Clock) -> None:
    crashed = {
        "restartCount": 1,
        "state": {"running": {"startedAt": ago(5)}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "startedAt": ago(8), "finishedAt": ago(6)}},
    }
    feed = fed(clock, *cluster_readings(pod("a", ready=False, container_status=crashed)))
    clock.now = NOW + timedelta(hours=1)
    feed.turn()
    before = [cause.rule for cause in feed.diagnosis.causes]
    clock.now = NOW
    feed.turn()
    clock.now = NOW + timedelta(minutes=10)
    feed.turn()
    assert before and [cause.rule for cause in feed.diagnosis.causes] == before
