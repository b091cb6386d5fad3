"""Rules on what GPUs say of themselves: the faults, their look-alikes, and what is not known."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from diagnosis.catalogue import ALL
from diagnosis.engine import Engine
from diagnosis.gpu_readings import readable
from diagnosis.rule import Unknown
from diagnosis.rules import gpu_devices, gpu_load
from diagnosis.xids import XID_FRESH, XIDS, XidClass, severity_of, xid_of
from situation.findings import Effect, Mark, Severity
from situation.gpu.devices import GpuDevice, GpuReading, NodeDevices
from situation.gpu.memory import DEVICES_FRESH
from situation.readings import Reading, SourceState
from tests.build import NOW
from tests.diagnosis.gpus import NODE, RULES, devices, found_in, gpu_node, known

CRITICAL, WARNING, INFO = Severity.CRITICAL, Severity.WARNING, Severity.INFO
SHARED = {"nvidia.com/gpu.replicas": "4", "nvidia.com/gpu.sharing-strategy": "time-slicing"}


@pytest.mark.parametrize(
    ("before", "now", "rule", "severity", "title"),
    [
        ({}, {"row_remap_failed": True}, "gpu-memory-errors", CRITICAL, "GPU 3: row remapping failed"),
        ({}, {"row_remap_pending": True}, "gpu-memory-errors", WARNING, "GPU 3: row remapping waits for a reset"),
        ({"ecc_uncorrected": 1}, {"ecc_uncorrected": 1}, "gpu-memory-errors", WARNING,
         "GPU 3: 1 double-bit error since the driver was loaded"),
        ({}, {"ecc_uncorrected": 2}, "gpu-memory-errors", CRITICAL, "GPU 3: 2 new double-bit errors"),
        ({}, {"ecc_corrected": 30}, "gpu-memory-errors", WARNING, "GPU 3: 28 new single-bit errors since 02:41 UTC"),
        ({}, {"last_xid": 79}, "gpu-xid", CRITICAL, "GPU 3: Xid 79, GPU has fallen off the bus"),
        ({}, {"last_xid": 79}, "gpu-off-bus", CRITICAL, "lost GPU 3: fallen off the bus"),
        ({}, {"last_xid": 119}, "gpu-xid", CRITICAL, "GPU 3: Xid 119, GSP firmware does not answer"),
        ({}, {"last_xid": 95}, "gpu-xid", CRITICAL, "GPU 3: Xid 95, uncorrectable memory error, not contained"),
        ({}, {"last_xid": 94}, "gpu-xid", WARNING, "GPU 3: Xid 94, uncorrectable memory error, contained"),
        ({}, {"last_xid": 137}, "gpu-xid", INFO, "GPU 3: Xid 137, NVLink privilege error"),
        ({}, {"last_xid": 74}, "gpu-xid", WARNING, "GPU 3: Xid 74, NVLink error"),
        ({}, {"last_xid": 31}, "gpu-xid", INFO, "GPU 3: Xid 31, page fault in GPU memory"),
        ({}, {"last_xid": 4711}, "gpu-xid", WARNING, "GPU 3: Xid 4711, not in the catalogue"),
        ({"last_xid": 95}, {"last_xid": 95}, "gpu-xid", INFO, "not contained (in the past)"),
        ({}, {"nvlink_errors": 10}, "gpu-nvlink-errors", WARNING, "GPU 3: NVLink errors grow"),
        ({}, {"temperature_c": 83.0}, "gpu-hot", WARNING, "GPU 3: 83 C"),
        ({}, {"throttle_reasons": ("hw_thermal_slowdown",)}, "gpu-throttled", WARNING, "GPU 3: slowed down by heat"),
        ({}, {"throttle_reasons": ("hw_power_brake_slowdown",)}, "gpu-throttled", WARNING, "by the power supply"),
        ({}, {"throttle_reasons": ("sw_power_cap",)}, "gpu-throttled", INFO, "GPU 3: runs at its power limit"),
        ({"holders": (("a", "b"), ("a", "c"))}, {"holders": (("a", "b"), ("a", "c")), "memory_used_bytes": 79 * 2**30},
         "gpu-memory-full", WARNING, "GPU 3: shared, and its memory is 99% full"),
    ],
)  # fmt: skip
def test_faults(before: Mapping[str, Any], now: Mapping[str, Any], rule: str, severity: Severity, title: str) -> None:
    finding = found_in(known(devices(**before), devices(**now)))[rule]
    assert title in finding.title
    assert finding.severity is severity
    assert finding.node == NODE
    assert finding.evidence[0].source == "gpu/dcgm"
    effects = [command.effect for command in finding.next]
    assert effects == sorted(effects, key=(Effect.READ, Effect.MUTATING, Effect.DISRUPTIVE).index)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({}, {}),
        ({}, {"ecc_corrected": 9}),
        ({"ecc_corrected": 5_000}, {"ecc_corrected": 5_000}),
        ({"nvlink_errors": 900}, {"nvlink_errors": 900}),
        ({"last_xid": 31}, {"last_xid": 31}),
        ({"last_xid": 79}, {"last_xid": 0}),
        ({}, {"remapped_uncorrectable": 2, "remapped_correctable": 9}),
        ({}, {"temperature_c": 82.9}),
        ({}, {"memory_temperature_c": 95.0}),
        ({}, {"throttle_reasons": ("hw_thermal_slowdown",), "utilization_ratio": 0.0}),
        ({}, {"throttle_reasons": ("gpu_idle",)}),
        ({}, {"memory_used_bytes": 79 * 2**30}),
        ({}, dict.fromkeys(("ecc_corrected", "ecc_uncorrected", "row_remap_failed", "row_remap_pending", "last_xid",
                            "nvlink_errors", "temperature_c", "utilization_ratio", "memory_used_bytes"))),
    ],
)  # fmt: skip
def test_look_alikes_say_nothing(before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    assert found_in(known(devices(**before), devices(**now))) == {}


@pytest.mark.parametrize(
    ("codes", "hides"),
    [
        ((79, 154), True),
        ((0, 154), True),
        ((0, 79), False),
        ((0, 79, 154), False),
        ((0, 45), True),
        ((0, 48, 45), False),
        ((0, 154, 45), True),
        ((0, 48, 154, 45), False),
        ((0, *[48] * 12, 45), True),
        ((0, 171), True),
        ((0, 172), True),
        ((0, 31, 172), True),
        ((0, 48, 172), False),
    ],
)
def test_an_xid_may_hide_the_one_that_it_follows_unless_that_was_seen(codes: tuple[int, ...], hides: bool) -> None:
    finding = found_in(known(*(devices(last_xid=code) for code in codes)))["gpu-xid"]
    told = [line for line in finding.evidence if "one before it, which led to it, may be hidden" in line.text]
    assert [line.mark for line in told] == ([Mark.OPEN] if hides else [])
    assert all(line.text.startswith(f"Xid {codes[-1]} ") for line in told)
    assert "dmesg" in finding.next[0].argv


def test_an_xid_that_follows_does_not_take_the_place_of_its_cause() -> None:
    state, now = known(*(devices(last_xid=code) for code in (31, 79, 45)))
    found = found_in((state, now))
    assert (found["gpu-xid"].title, found["gpu-xid"].severity) == (
        "gpu-07 GPU 3: Xid 79, GPU has fallen off the bus",
        CRITICAL,
    )
    assert [(line.text, line.observed_at) for line in found["gpu-xid"].evidence[:3]] == [
        ("GPU 3: Xid 79, GPU has fallen off the bus", now - timedelta(minutes=1)),
        ("GPU 3: Xid 31, page fault in GPU memory (also, in the past)", now),
        ("GPU 3: Xid 45, clean-up of a program that was ended (also)", now),
    ]
    assert "gpu-off-bus" in found, "the clean-up after it does not withdraw it"
    later = found_in(known(*(devices(last_xid=code) for code in (31, 79, *[45] * 11))))
    assert (later["gpu-xid"].title, later["gpu-xid"].severity) == (
        "gpu-07 GPU 3: Xid 45, clean-up of a program that was ended", INFO,
    )  # fmt: skip
    long_after = found_in(known(*(devices(last_xid=code) for code in (31, 79, *[45] * 13))))
    assert long_after["gpu-xid"].title == "gpu-07 GPU 3: Xid 79, GPU has fallen off the bus (in the past)"


@pytest.mark.parametrize("code", [171, 172])
def test_a_detail_of_a_double_bit_error_is_as_grave_as_that_error(code: int) -> None:
    finding = found_in(known(devices(), devices(last_xid=code)))["gpu-xid"]
    assert (finding.severity, severity_of(code)) == (CRITICAL, severity_of(48))
    assert f"GPU 3: Xid {code}, double-bit memory error" in finding.title
    both = found_in(known(devices(), devices(last_xid=48), devices(last_xid=code)))["gpu-xid"]
    assert both.title == "gpu-07 GPU 3: Xid 48, double-bit memory error"


def test_an_xid_that_changed_is_history_after_some_minutes() -> None:
    rounds = [devices()] + [devices(last_xid=79)] * (int(XID_FRESH.total_seconds() / 60) + 2)
    found = found_in(known(*rounds))
    assert found.keys() == {"gpu-xid"}
    assert found["gpu-xid"].severity is INFO


@pytest.mark.parametrize(
    ("answering", "offered", "labels", "error", "fires"),
    [
        (7, 8, {}, "", True),
        (7, 32, SHARED, "", True),
        (8, 8, {}, "", False),
        (8, 32, SHARED, "", False),
        (8, 0, {}, "", False),
        (7, 8, {}, "its answer breaks off", False),
        (7, 8, {"nvidia.com/mig.config.state": "pending"}, "", False),
        (2, 14, {"nvidia.com/mig.strategy": "single", "nvidia.com/gpu.product": "H100-MIG-1g.10gb"}, "", False),
    ],
)
def test_off_the_bus(answering: int, offered: int, labels: dict[str, str], error: str, fires: bool) -> None:
    found = found_in(known(devices(answering), of=gpu_node(offered, labels), error=error))
    assert ("gpu-off-bus" in found) is fires


def test_a_gpu_that_the_driver_lost() -> None:
    state = known(devices(7), error="GPU 7: GPU is lost", origin="nvml")
    finding = found_in(state)["gpu-off-bus"]
    assert finding.title == "gpu-07 has GPUs missing: only 7 of 8 GPUs answer"
    assert [line.text for line in finding.evidence] == ["7 of 8 GPUs answer", "GPU 7: GPU is lost"]


def test_a_lost_gpu_of_which_only_its_xid_is_known_is_missing_all_the_same() -> None:
    gone = GpuDevice(3, "GPU-3", last_xid=79, xid_changed_at=NOW, answers=False)
    rest = tuple(item for item in devices() if item.index != 3)
    found = found_in(known((*rest, gone), error="GPU 3: GPU is lost", origin="nvml"))
    assert found["gpu-off-bus"].title == "gpu-07 lost GPU 3: fallen off the bus"
    assert [line.text for line in found["gpu-off-bus"].evidence] == [
        "7 of 8 GPUs answer", "GPU 3: GPU is lost", "GPU 3: Xid 79, GPU has fallen off the bus",
    ]  # fmt: skip
    assert found["gpu-xid"].severity is CRITICAL


def test_one_cause_for_what_one_broken_gpu_shows() -> None:
    state, now = known(devices(), devices(last_xid=64, row_remap_failed=True), of=gpu_node(8, allocatable=7))
    (cause,) = Engine(RULES).judge(state, (), now).causes
    assert cause.rule == "gpu-memory-errors"
    assert {item.rule for item in cause.consequences} == {"gpu-xid", "gpu-unhealthy"}
    state, now = known(devices(), devices(temperature_c=90.0, throttle_reasons=("sw_thermal_slowdown",)))
    (cause,) = Engine(RULES).judge(state, (), now).causes
    assert (cause.rule, [item.rule for item in cause.consequences]) == ("gpu-hot", ["gpu-throttled"])


@pytest.mark.parametrize(
    ("labels", "held"),
    [
        ({}, "GPU 3: 90 C (slows down from 83 C), held by ml/train-0"),
        (SHARED, "GPU 3: 90 C (slows down from 83 C), shared by pods, ml/train-0 among them"),
    ],
)
def test_the_pod_that_an_exporter_names_is_one_of_those_that_share(labels: dict[str, str], held: str) -> None:
    hot = devices(temperature_c=90.0, holders=(("ml", "train-0"),))
    finding = found_in(known(hot, of=gpu_node(32 if labels else 8, labels)))["gpu-hot"]
    assert held in [line.text for line in finding.evidence]


def test_an_old_xid_stands_with_the_gpu_that_is_out_of_service_and_explains_nothing() -> None:
    of = gpu_node(8, allocatable=7)
    state, now = known(devices(last_xid=79), of=of)
    (cause,) = Engine(RULES).judge(state, (), now).causes
    assert (cause.rule, cause.severity, [item.rule for item in cause.consequences]) == (
        "gpu-unhealthy", WARNING, ["gpu-xid"],
    )  # fmt: skip


@pytest.mark.parametrize("load", [0.99, 0.05])
def test_sharing_against_load(load: float) -> None:
    rounds = [tuple(item for item in devices(8, utilization_ratio=load) if item.index == 3)] * 8
    of = gpu_node(4, SHARED)
    assert "gpu-sharing-load" not in found_in(known(*rounds[:3], of=of)), "a moment says nothing"
    finding = found_in(known(*rounds, of=of))["gpu-sharing-load"]
    assert finding.severity is INFO
    assert ("oversubscribed" if load > 0.5 else "has room") in finding.title
    assert "gpu-sharing-load" not in found_in(known(*rounds, of=gpu_node(1))), "a whole GPU may be full"


def test_shared_memory_by_the_labels_of_the_node() -> None:
    full = tuple(devices(4, memory_used_bytes=79 * 2**30)[3:])
    assert "gpu-memory-full" in found_in(known(full, of=gpu_node(4, SHARED)))
    assert "gpu-memory-full" not in found_in(known(full, of=gpu_node(1)))


def test_stale_or_failing_is_unknown_and_never_health() -> None:
    sick = devices(row_remap_failed=True)
    state, now = known(sick)
    node = state.node(NODE)
    assert node is not None
    old = now + DEVICES_FRESH + timedelta(seconds=1)
    for rule in (*gpu_devices.RULES, *gpu_load.RULES):
        assert isinstance(rule.judge(node, state, old), Unknown), rule.id
    state, now = known(devices(), error="its answer breaks off")
    for rule in (*gpu_devices.RULES, *gpu_load.RULES):
        assert isinstance(rule.judge(node, state, now), Unknown), rule.id
    failed = NodeDevices("gpu-07", origin="dcgm", error="connection refused")
    state, now = known(sick)
    state.apply(Reading("gpu/dcgm", SourceState.LIVE, now, GpuReading((failed,))))
    assert "gpu-memory-errors" in found_in((state, now)), "one scrape that fails does not withdraw what was just seen"
    never = known(of=gpu_node())[0]
    never.apply(Reading("gpu/dcgm", SourceState.LIVE, NOW, GpuReading((failed,))))
    assert readable(node, never, NOW) == Unknown("connection refused")


def test_new_readings_have_the_node_judged_again_at_once() -> None:
    state, now = known(devices())
    engine = Engine(RULES)
    assert engine.judge(state, (), now).causes == ()
    later = now + timedelta(seconds=1)
    sick = NodeDevices(NODE, devices(row_remap_failed=True), "dcgm", "580", later)
    changes = state.apply(Reading("gpu/dcgm", SourceState.LIVE, later, GpuReading((sick,))))
    assert [cause.rule for cause in engine.judge(state, changes, later).causes] == ["gpu-memory-errors"]
    well = NodeDevices(NODE, devices(), "dcgm", "580", later + timedelta(seconds=1))
    changes = state.apply(Reading("gpu/dcgm", SourceState.LIVE, later, GpuReading((well,))))
    assert engine.judge(state, changes, later + timedelta(seconds=1)).causes == ()


CLASSES = {
    XidClass.APPLICATION: {8, 11, 13, 31, 32, 43, 68, 69, 80},
    XidClass.CONSEQUENCE: {45, 137},
    XidClass.WATCH: {38, 44, 92, 93, 121},
    XidClass.HEALED: {63},
    XidClass.SOFTWARE: {78},
    XidClass.CONTAINED: {94},
    XidClass.LINK: {74, *range(144, 151)},
    XidClass.RESET: {46, 48, 62, 95, 109, 110, 119, 120, 140, 155, 156, 158, 171, 172},
    XidClass.HARDWARE: {54, 64, 136, 143},
    XidClass.NODE: {79},
    XidClass.REPORT: {61, 154, 157, 160, 161, *range(162, 171)},
}
"""NVIDIA's Xid catalogue: its immediate action decides; "ignore" and "restart app" never ask for a reset. 171 and 172
have none of their own: they are additional to 48."""


@pytest.mark.parametrize("kind", XidClass)
def test_every_xid_has_the_class_of_its_immediate_action(kind: XidClass) -> None:
    assert {code for code, xid in XIDS.items() if xid.kind is kind} == CLASSES[kind]


def test_xids_say_what_is_done() -> None:
    assert all(xid.meaning and xid.action for xid in XIDS.values())
    assert all("reset the GPU" in xid_of(code).action for code in CLASSES[XidClass.RESET])
    assert "if it stands alone, restart Fabric Manager" in xid_of(45).action
    assert xid_of(94).meaning == "uncorrectable memory error, contained", "not a corrected one, as is often said"
    assert xid_of(9999).kind is XidClass.REPORT


def test_they_are_among_all_rules() -> None:
    assert {rule.id for rule in (*gpu_devices.RULES, *gpu_load.RULES)} <= {rule.id for rule in ALL}
