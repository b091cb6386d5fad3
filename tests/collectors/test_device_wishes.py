"""Where exporters are, which node this host is, and what host names in labels stand for."""

import pytest

from collectors.gpu_devices.wishes import DeviceWishes, Exporter
from situation.readings import SourceState
from tests.build import Manifest, node, pod, situation


def exporter(name: str = "nvidia-dcgm-exporter-x", on: str = "gpu-07", app: str = "nvidia-dcgm-exporter",
             **over: object) -> Manifest:  # fmt: skip
    return pod(name, namespace="gpu-operator", node=on, labels={"app": app}, **over)  # type: ignore[arg-type]


def test_exporters_are_found_by_their_label() -> None:
    ports = {"ports": [{"containerPort": 9500, "name": "metrics"}]}
    leaving = exporter("c", "gpu-03")
    leaving["metadata"]["deletionTimestamp"] = "2026-11-23T02:00:00Z"
    wishes = DeviceWishes("h", "")
    wishes.tell(
        situation(
            exporter("a", "gpu-01"),
            exporter("b", "gpu-02", "nvidia-dcgm-exporter-dra", container=ports),
            pod("g", namespace="monitoring", node="gpu-04", labels={"app.kubernetes.io/name": "dcgm-exporter"}),
            leaving,
            exporter("d", ""),
            exporter("e", "gpu-05", phase="Failed"),
            pod("f", node="gpu-06"),
        )
    )
    assert wishes.exporters == {
        "gpu-01": Exporter("gpu-01", "gpu-operator", "a", 9400),
        "gpu-02": Exporter("gpu-02", "gpu-operator", "b", 9500),
        "gpu-04": Exporter("gpu-04", "monitoring", "g", 9400),
    }
    assert wishes.exporters["gpu-02"].path == "/api/v1/namespaces/gpu-operator/pods/b:9500/proxy/metrics"


def test_of_two_exporters_on_a_node_one_that_is_ready_is_asked_then_the_operators() -> None:
    def chart(on: str, **over: object) -> Manifest:
        labels = {"app.kubernetes.io/name": "dcgm-exporter"}
        return pod(f"chart-{on}", namespace="a-monitoring", node=on, labels=labels, **over)  # type: ignore[arg-type]

    wishes = DeviceWishes("h", "")
    wishes.tell(situation(
        exporter("a", "gpu-01"), chart("gpu-01"),
        exporter("b", "gpu-02"), chart("gpu-02", ready=False),
        exporter("c", "gpu-03", ready=False), chart("gpu-03"),
    ))  # fmt: skip
    assert {on: found.pod for on, found in wishes.exporters.items()} == {
        "gpu-01": "a", "gpu-02": "b", "gpu-03": "chart-gpu-03"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("host", "environment", "expected"),
    [
        ("gpu-07", "", "gpu-07"),
        ("gpu-07.example.org", "", "gpu-07"),
        ("ip-10-0-0-7", "", "long.name"),
        ("bastion", "", ""),
        ("cockpit-pod-1", "gpu-08", "gpu-08"),
    ],
)
def test_this_node(host: str, environment: str, expected: str) -> None:
    wishes = DeviceWishes(host, environment)
    wishes.tell(
        situation(node("gpu-07"), node("gpu-08"), node("long.name", labels={"kubernetes.io/hostname": "ip-10-0-0-7"}))
    )
    assert wishes.this_node == expected


def test_a_host_whose_cluster_is_silent_is_believed_to_be_a_node() -> None:
    wishes = DeviceWishes("gpu-07", "")
    wishes.tell(situation(missing={"nodes": SourceState.UNREACHABLE, "pods": SourceState.UNREACHABLE}))
    assert wishes.this_node == "gpu-07"


async def test_nothing_is_told_before_pods_and_nodes_have_spoken() -> None:
    wishes = DeviceWishes("gpu-07", "")
    wishes.tell(situation(missing={"nodes": SourceState.STARTING}))
    assert wishes.this_node == ""


def test_names_of_hosts_in_labels() -> None:
    wishes = DeviceWishes("h", "")
    wishes.tell(situation(node("gpu-07.example.org"), exporter("nvidia-dcgm-exporter-x", "gpu-07.example.org")))
    for name in ("gpu-07.example.org", "gpu-07", "nvidia-dcgm-exporter-x"):
        assert wishes.node_of(name) == "gpu-07.example.org"
    assert wishes.node_of("elsewhere") == "elsewhere"
