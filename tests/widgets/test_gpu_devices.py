import pytest

from situation.findings import Severity
from situation.gpu.devices import GpuDevice, NodeDevices
from situation.gpu.sharing import GpuSharing, gpu_sharing
from situation.readings import SourceState
from tests.build import NOW
from tests.gpu_chains import device
from widgets.blocks import NOT_MEASURED, bar, curve
from widgets.columns import Cell
from widgets.gpu_devices import DeviceRow, DevicesState, device_cells, devices_line, xid_cell

NAMES = ("index", "product", "memory", "bar", "busy", "curve", "temp", "power", "clock", "throttled", "ecc", "remapped",
         "nvlink", "xid", "mig", "holders")  # fmt: skip


def cells(history: bytes = b"", **more: object) -> dict[str, Cell]:
    return dict(zip(NAMES, device_cells(DeviceRow(device(**more), history)), strict=True))  # type: ignore[arg-type]


def test_a_healthy_device() -> None:
    shown = cells(bytes([10, 50, 93]))
    assert shown["product"] == ("H100 80GB HBM3", "")
    assert (shown["memory"], shown["bar"]) == ("61.0/80.0", "██████▏░")
    assert (shown["busy"], shown["curve"]) == ("93%", "       ▁▅█")
    assert (shown["temp"], shown["power"], shown["clock"]) == (("64 °C", ""), ("612/700 W", ""), ("1980 MHz", ""))
    assert shown["ecc"] == ("0/0", "dim")
    assert shown["xid"] == ("none", "dim")
    assert shown["holders"] == ("inference/llama-0", "")


def test_not_measured_is_not_zero() -> None:
    none = cells(memory_used_bytes=None, memory_total_bytes=None, utilization_ratio=None, temperature_c=None,
                 power_w=None, power_limit_w=None, sm_clock_mhz=None, ecc_corrected=None, ecc_uncorrected=None,
                 last_xid=None, holders=())  # fmt: skip
    for name in ("memory", "busy", "temp", "power", "clock", "throttled", "ecc", "remapped", "nvlink", "xid"):
        assert none[name] == ("–", "dim"), name
    assert none["holders"] == ("nobody known", "dim")
    zero = cells(memory_used_bytes=0, utilization_ratio=0.0, temperature_c=0.0, power_w=0.0, remapped_correctable=0,
                 nvlink_errors=0)  # fmt: skip
    assert (zero["memory"], zero["bar"]) == ("0.0/80.0", "░░░░░░░░")
    assert zero["busy"] == "0%"
    assert zero["remapped"] == ("0/–", "dim")
    assert zero["nvlink"] == ("0", "dim")
    assert cells(memory_used_bytes=None)["bar"] == "········"


def test_trouble_stands_out_in_glyph_and_colour() -> None:
    shown = cells(throttle_reasons=("hw_thermal_slowdown", "sw_power_cap"), ecc_uncorrected=2, row_remap_failed=True,
                  temperature_c=91.0, memory_temperature_c=97.0)  # fmt: skip
    assert shown["throttled"] == ("● hw_thermal_slowdown, sw_power_cap", "warning")
    assert (
        cells(throttle_reasons=("gpu_idle",))["throttled"] == cells(throttle_reasons=())["throttled"] == ("no", "dim")
    )
    assert shown["ecc"] == ("▲ 0/2", "critical")
    assert shown["remapped"] == ("▲ failed", "critical")
    assert shown["temp"] == ("91/97 °C", "")


def test_an_xid_is_as_grave_as_its_class_and_history_unless_it_came_while_we_watched() -> None:
    def shown(code: int, gravest: int | None, severity: Severity | None) -> Cell:
        return xid_cell(device(last_xid=code, xid_changed_at=NOW), gravest, severity)

    assert xid_cell(device(last_xid=48), None, None) == ("48 history", "dim")
    assert shown(79, 79, Severity.CRITICAL) == ("▲ 79 02:41:07", "critical")
    assert shown(94, 94, Severity.WARNING) == ("● 94 02:41:07", "warning")
    assert shown(31, 31, Severity.INFO) == ("○ 31 02:41:07", "info")
    assert shown(79, None, None) == ("79 11-23 02:41", "dim"), "minutes later it is history"
    assert shown(45, 48, Severity.CRITICAL) == ("▲ 48, then 45", "critical"), "what follows does not hide its cause"
    assert len(shown(154, 145, Severity.WARNING)[0]) <= 15, "the column is no wider"


def test_a_gpu_that_answers_no_more_is_not_counted_and_shows_its_xid() -> None:
    gone = GpuDevice(3, "GPU-3", last_xid=79, xid_changed_at=NOW, answers=False)
    known = NodeDevices("gpu-07", (device(), gone), "nvml", "580", NOW, "GPU 3: GPU is lost")
    line = devices_line(known, 2, DevicesState(SourceState.LIVE, "nvml", 5.0, known.error), GpuSharing())
    assert line.plain.startswith("1 device, 1 silent · nvml live 5s: GPU 3: GPU is lost")
    cells = dict(zip(NAMES, device_cells(DeviceRow(gone, xid=79, xid_severity=Severity.CRITICAL)), strict=True))
    assert (cells["xid"], cells["temp"], cells["throttled"]) == (
        ("▲ 79 02:41:07", "critical"), ("–", "dim"), ("–", "dim"),
    )  # fmt: skip


def test_a_shared_gpu_is_not_said_to_be_of_the_one_pod_that_its_exporter_names() -> None:
    def held(sharers: int | None, **more: object) -> Cell:
        return device_cells(DeviceRow(device(**more), sharers=sharers))[-1]  # type: ignore[arg-type]

    assert held(8) == ("shared, 8 on node · inference/llama-0", "")
    assert held(8, holders=(("a", "x"), ("a", "y"))) == ("shared, 8 on node · a/x and 1 more", "")
    assert held(1) == held(None) == ("inference/llama-0", "")
    assert held(8, holders=()) == ("shared, 8 on node", "dim")
    assert held(0, holders=()) == ("nobody known", "dim")


def test_a_mig_device_and_who_shares_it() -> None:
    shown = cells(index=1, mig_id="7", mig_profile="1g.10gb", holders=(("a", "x"), ("a", "y"), ("a", "z")))
    assert shown["index"] == ("1/7", "strong")
    assert shown["mig"] == ("1g.10gb", "")
    assert shown["holders"] == ("a/x and 2 more", "")


@pytest.mark.parametrize(
    ("labels", "sharing"),
    [
        ({}, GpuSharing()),
        ({"nvidia.com/gpu.sharing-strategy": "none", "nvidia.com/gpu.replicas": "1"}, GpuSharing("none", 1)),
        ({"nvidia.com/mig.strategy": "single", "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}, GpuSharing()),
        (
            {"nvidia.com/mig.strategy": "single", "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb"},
            GpuSharing(mig_strategy="single"),
        ),
        (
            {"nvidia.com/gpu.sharing-strategy": "time-slicing", "nvidia.com/gpu.replicas": "4"},
            GpuSharing("time-slicing", 4),
        ),
        (
            {"nvidia.com/mig.strategy": "mixed", "nvidia.com/mig-1g.10gb.sharing-strategy": "mps",
             "nvidia.com/mig-1g.10gb.replicas": "2", "nvidia.com/gpu.replicas": "0"},
            GpuSharing("mps", 2, "mixed"),
        ),
        ({"nvidia.com/gpu.sharing-strategy": "", "nvidia.com/gpu.replicas": "many"}, GpuSharing()),
    ],
)  # fmt: skip
def test_sharing_is_read_from_the_labels(labels: dict[str, str], sharing: GpuSharing) -> None:
    assert gpu_sharing(labels) == sharing


def test_the_line_tells_age_source_and_what_sharing_does_not_isolate() -> None:
    known = NodeDevices("gpu-07", (device(),), "dcgm", "570.86.15", NOW)
    live = DevicesState(SourceState.LIVE, "dcgm", 7.0)
    line = devices_line(known, 1, live, GpuSharing("mps", 3)).plain
    assert line == (
        "1 device · dcgm live 5s · mps ×3: no isolation of memory, faults, speed; one client's fatal error "
        "ends all · driver 570.86.15"
    )
    assert devices_line(known, 8, live, GpuSharing(), 1).plain.startswith("8 devices, 1 in view · dcgm live 5s")
    alone = devices_line(known, 1, live, GpuSharing("none", 1)).plain
    assert "whole GPUs, not shared" in alone
    mig = devices_line(known, 1, live, GpuSharing("none", 1, "mixed")).plain
    assert "MIG mixed: memory, faults and speed are isolated" in mig


def test_never_read_is_not_none_there() -> None:
    unread = devices_line(None, 0, DevicesState(SourceState.FORBIDDEN, "dcgm", None, "cannot"), GpuSharing())
    assert unread.plain == "devices not read · dcgm forbidden: cannot"
    empty = devices_line(NodeDevices("n", observed_at=NOW), 0, DevicesState(SourceState.LIVE, "nvml", 0.0),
                         GpuSharing())  # fmt: skip
    assert empty.plain == "0 devices · nvml live 0s"


def test_bars_and_curves() -> None:
    assert [bar(ratio, 4) for ratio in (0.0, 0.001, 0.5, 1.0, 1.7, None)] == ["░░░░", "▏░░░", "██░░", "████", "████",
                                                                             "····"]  # fmt: skip
    assert curve([0, NOT_MEASURED, 100, 50], 6) == "  ▁·█▅"
    assert curve([0, 100, 100], 2) == "██"
    assert curve([], 0) == ""
