"""GPUs from the pages of exporters that a tape holds."""

import pytest

from collectors.gpu_devices.recorded import devices_on_pages
from collectors.pod_page import PodPage
from situation.gpu.devices import GpuReading
from situation.readings import SourceState
from tests.build import NOW, node, pod, situation
from tests.collectors.dcgm_pages import dcgm_page
from tests.collectors.test_device_wishes import exporter

CLUSTER = situation(node("gpu-07"), node("gpu-08"), exporter("a", "gpu-07"), exporter("b", "gpu-08"),
                    pod("vllm-0", namespace="gpu-operator"))  # fmt: skip


def page(name: str = "a", body: bytes = b"", *, status: int = 200, error: str = "", path: str = "/metrics",
         port: int = 9400) -> PodPage:  # fmt: skip
    return PodPage("gpu-operator", name, port, path, status, body, error)


def test_the_pages_of_exporters_tell_of_the_nodes_they_run_on() -> None:
    found = devices_on_pages([page("a", dcgm_page(8)), page("b", error="connection refused")], CLUSTER, NOW)
    assert found is not None and isinstance(found.value, GpuReading)
    assert (found.source, found.state, found.observed_at) == ("gpu/dcgm", SourceState.LIVE, NOW)
    assert [(item.node, len(item.devices), item.error) for item in found.value.nodes] == [
        ("gpu-07", 8, ""),
        ("gpu-08", 0, "connection refused"),
    ]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (page(status=502, body=b"bad gateway"), "exporter gpu-operator/a answered 502"),
        (page(body=b"<html>log in</html>"), "exporter gpu-operator/a"),
        (page(body=b"# HELP nothing\n"), "without samples of GPUs"),
    ],
)
def test_a_page_that_tells_nothing_says_why(broken: PodPage, said: str) -> None:
    found = devices_on_pages([broken], CLUSTER, NOW)
    assert found is not None and isinstance(found.value, GpuReading)
    assert found.state is SourceState.UNREACHABLE
    assert said in found.value.nodes[0].error and found.value.nodes[0].devices == ()


@pytest.mark.parametrize("other", [page("vllm-0"), page(path="/health"), page(port=8000), page("gone")])
def test_other_pages_are_none_of_gpus(other: PodPage) -> None:
    assert devices_on_pages([other], CLUSTER, NOW) is None
