"""Pages of DCGM exporters of all ages, read into devices."""

from collections.abc import Mapping

import pytest

from collectors.errors import BadAnswerError
from collectors.gpu_devices.dcgm import NO_SAMPLES, devices_by_host, parse_dcgm
from collectors.prometheus_text import Sample
from situation.gpu.devices import GpuDevice, NodeDevices
from tests.build import NOW
from tests.collectors.dcgm_pages import GPU, dcgm_page, labels_of, line

MIB = 2**20


def parsed(body: bytes, node: str = "gpu-07") -> NodeDevices:
    (found,) = parse_dcgm(body, node, "dcgm", NOW, "exporter x")
    return found


def first(values: Mapping[str, float | str], **labels: str) -> GpuDevice:
    return parsed(dcgm_page(1, {0: values}, **labels)).devices[0]


def test_a_page_of_today() -> None:
    found = parsed(dcgm_page(8, {3: {"DCGM_FI_DEV_XID_ERRORS": 79, "DCGM_FI_DEV_ROW_REMAP_FAILURE": 1}}))
    assert (found.node, found.origin, found.driver_version, found.error) == ("gpu-07", "dcgm", "580.95.05", "")
    assert found.observed_at == NOW
    assert [device.index for device in found.devices] == list(range(8))
    assert found.devices[0] == GpuDevice(
        0,
        uuid=GPU.format(0),
        product="NVIDIA H100 80GB HBM3",
        memory_used_bytes=60_000 * MIB,
        memory_total_bytes=81_559 * MIB,
        utilization_ratio=0.63,
        temperature_c=41,
        memory_temperature_c=47,
        power_w=117.35,
        sm_clock_mhz=1980,
        memory_clock_mhz=2619,
        remapped_correctable=0,
        remapped_uncorrectable=0,
        row_remap_failed=False,
        last_xid=0,
        holders=(("serving", "llama-70b-0"),),
    )
    assert (found.devices[3].last_xid, found.devices[3].row_remap_failed) == (79, True)
    assert found.devices[3].xid_changed_at is None, "the gauge alone does not tell when"


@pytest.mark.parametrize(
    ("values", "field", "expected"),
    [
        ({"DCGM_FI_DEV_FB_RESERVED": "NaN"}, "memory_total_bytes", 80_000 * MIB),
        ({"DCGM_FI_DEV_FB_TOTAL": 81_920}, "memory_total_bytes", 81_920 * MIB),
        ({"DCGM_FI_DEV_FB_FREE": "NaN"}, "memory_total_bytes", None),
        ({"DCGM_FI_DEV_FB_USED": "NaN"}, "memory_used_bytes", None),
        ({"DCGM_FI_DEV_GPU_UTIL": 100}, "utilization_ratio", 1.0),
        ({"DCGM_FI_DEV_GPU_UTIL": "NaN"}, "utilization_ratio", 0.634512),
        ({"DCGM_FI_DEV_GPU_TEMP": 2_147_483_632}, "temperature_c", None),
        ({"DCGM_FI_DEV_GPU_TEMP": 9_223_372_036_854_775_794}, "temperature_c", None),
        ({"DCGM_FI_DEV_POWER_USAGE": 140_737_488_355_328}, "power_w", None),
        ({"DCGM_FI_DEV_POWER_USAGE": "+Inf"}, "power_w", None),
        ({"DCGM_FI_DEV_ECC_SBE_VOL_TOTAL": 7}, "ecc_corrected", 7),
        ({"DCGM_FI_DEV_ECC_DBE_VOL_TOTAL": 1}, "ecc_uncorrected", 1),
        ({}, "ecc_uncorrected", None),
        ({"DCGM_FI_DEV_ROW_REMAP_PENDING": 1}, "row_remap_pending", True),
        ({"DCGM_FI_DEV_THERMAL_VIOLATION": 3_000_000_000}, "thermal_violation", 3e9),
        ({"DCGM_FI_DEV_POWER_VIOLATION": 5}, "power_violation", 5.0),
        ({"DCGM_FI_DEV_CLOCK_THROTTLE_REASONS": 0x48}, "throttle_reasons", ("hw_slowdown", "hw_thermal_slowdown")),
        ({"DCGM_FI_DEV_CLOCKS_EVENT_REASONS": 0x4}, "throttle_reasons", ("sw_power_cap",)),
        ({"DCGM_FI_DEV_POWER_MGMT_LIMIT": 700}, "power_limit_w", 700.0),
    ],
)
def test_values(values: Mapping[str, float | str], field: str, expected: object) -> None:
    assert getattr(first(values), field) == expected


@pytest.mark.parametrize(
    ("labels", "holders"),
    [
        ({"pod": "", "namespace": "", "container": ""}, ()),
        ({"pod": "", "namespace": "", "pod_name": "p", "pod_namespace": "n"}, (("n", "p"),)),
        ({"exported_pod": "p", "exported_namespace": "n", "pod": "nvidia-dcgm-exporter-x"}, (("n", "p"),)),
        ({"pod": "nvidia-dcgm-exporter-x", "namespace": "gpu-operator"}, ()),
        ({"pod": "nvidia-dcgm-exporter-x", "namespace": "gpu-operator", "pod_name": "p", "pod_namespace": "n"},
         (("n", "p"),)),
    ],
)  # fmt: skip
def test_who_holds_it(labels: dict[str, str], holders: object) -> None:
    assert first({}, **labels).holders == holders


def test_names_of_the_host_old_and_new() -> None:
    for label in ("Hostname", "hostname"):
        labels = {**labels_of(0, Hostname=""), label: "gpu-09"}
        body = line("DCGM_FI_DEV_GPU_TEMP", labels, 40).encode()
        assert parsed(body, "").node == "gpu-09"
    assert parsed(dcgm_page(1), "gpu-01").node == "gpu-01", "where the pod runs is known better than its label"


def test_the_old_label_of_the_uuid_and_a_page_of_two_hosts() -> None:
    old = line("DCGM_FI_DEV_GPU_TEMP", {"gpu": "0", "uuid": "GPU-a", "Hostname": "one"}, 40)
    new = line("DCGM_FI_DEV_GPU_TEMP", {"gpu": "0", "UUID": "GPU-b", "hostname": "two"}, 50)
    found = parse_dcgm((old + new).encode(), "", "dcgm", NOW, "x")
    assert [(item.node, item.devices[0].uuid) for item in found] == [("one", "GPU-a"), ("two", "GPU-b")]


def test_several_pods_on_one_shared_gpu() -> None:
    lines = [line("DCGM_FI_DEV_GPU_UTIL", {**labels_of(0), "pod": f"p-{n}", "namespace": "n"}, 90) for n in (1, 2)]
    assert parsed("".join(lines).encode()).devices[0].holders == (("n", "p-1"), ("n", "p-2"))


def test_mig_devices() -> None:
    mig = [{"GPU_I_PROFILE": "1g.10gb", "GPU_I_ID": str(number)} for number in (7, 8)]
    body = "".join(
        line(name, {**labels_of(0), **labels}, value)
        for labels in mig
        for name, value in (("DCGM_FI_DEV_FB_USED", 100), ("DCGM_FI_DEV_FB_FREE", 9_000),
                            ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 0.5), ("DCGM_FI_DEV_GPU_TEMP", 40))
    )  # fmt: skip
    found = parsed(body.encode()).devices
    assert [(item.index, item.mig_profile, item.mig_id) for item in found] == [(0, "1g.10gb", "7"), (0, "1g.10gb", "8")]
    assert found[0].utilization_ratio == 0.5
    assert found[0].memory_total_bytes == 9_100 * MIB


def test_nvlink_lines_have_their_own_spelling() -> None:
    own = {"gpu_uuid": GPU.format(0), "model_name": "NVIDIA H100", "Hostname": "gpu-07"}
    extra = "".join(
        line(f"DCGM_FI_DEV_NVLINK_{kind}_ERROR_COUNT_TOTAL", {**own, "nvlink": str(link)}, count)
        for link, kind, count in ((0, "CRC_FLIT", 3), (1, "REPLAY", 4))
    )
    extra += line("DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL", {"nvswitch": "nvswitch0", "gpu": "0"}, 1_000)
    extra += line("DCGM_FI_DEV_NVLINK_RECOVERY_ERROR_COUNT_TOTAL", {"gpu": "1"}, 2)
    found = parsed(dcgm_page(2, extra=extra)).devices
    assert [item.nvlink_errors for item in found] == [7, 2]
    assert len(found) == 2, "a link is no device"


@pytest.mark.parametrize(
    ("one", "other"),
    [({"pod": "p-1", "vgpu": "0"}, {"pod": "p-2", "vgpu": "1"}),
     ({"pod": "nvidia-dcgm-exporter-a"}, {"pod": "dcgm-exporter-b"})],
    ids=["shared by two pods", "scraped from two exporters"],
)  # fmt: skip
def test_a_link_is_counted_once_however_often_it_is_told(one: dict[str, str], other: dict[str, str]) -> None:
    """Else a pod that comes to a shared GPU, or a second exporter, would look like a burst of errors."""
    name = "DCGM_FI_DEV_NVLINK_CRC_FLIT_ERROR_COUNT_TOTAL"
    lines = [line(name, {**labels_of(0), **labels, "nvlink": link}, 5) for labels in (one, other) for link in "01"]
    once = line("DCGM_FI_DEV_NVLINK_REPLAY_ERROR_COUNT_TOTAL", labels_of(0), 1)
    assert parsed(dcgm_page(1, extra="".join(lines) + once)).devices[0].nvlink_errors == 11


def test_an_xid_is_not_taken_back_by_a_second_exporter_that_began_anew() -> None:
    lines = [line("DCGM_FI_DEV_XID_ERRORS", {**labels_of(0), "err_code": str(code)}, code) for code in (79, 0)]
    assert parsed("".join(lines).encode()).devices[0].last_xid == 79


@pytest.mark.parametrize(
    "body",
    [b"", b"# HELP x y\n", b"go_goroutines 12\n", line("DCGM_FI_DEV_GPU_TEMP", {"gpu": "0"}, "x").encode()],
)
def test_an_answer_without_samples_proves_nothing(body: bytes) -> None:
    found = parsed(body)
    assert (found.error, found.devices, found.observed_at) == (NO_SAMPLES, (), None)


def test_an_answer_that_breaks_off_keeps_what_came_and_says_so() -> None:
    found = parsed(dcgm_page(8)[:-700])
    assert found.devices
    assert "breaks off" in found.error
    assert found.observed_at == NOW


def test_what_is_no_page() -> None:
    with pytest.raises(BadAnswerError, match="exporter x is a web page"):
        parsed(b"<html>")


@pytest.mark.parametrize("number", ["", "x", "-1", "１"])
def test_lines_without_a_number_of_a_gpu(number: str) -> None:
    assert devices_by_host([Sample("DCGM_FI_DEV_GPU_TEMP", {"gpu": number, "UUID": "x"}, 1.0)]) == {}
