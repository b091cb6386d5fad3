"""A DCGM exporter that is Ready and tells of no GPU, and what looks like it."""

from datetime import datetime

import pytest

from collectors.gpu_devices.dcgm import parse_dcgm
from diagnosis.catalogue import ALL
from diagnosis.engine import Engine
from diagnosis.rules import gpu_devices, gpu_exporters, gpus
from diagnosis.rules.gpu_exporters import FIRST_SAMPLES_S
from playbooks.commands import Target, render
from situation.findings import Finding, Severity
from situation.gpu.devices import GpuReading, Lack, NodeDevices
from situation.readings import Reading, SourceState
from situation.situation import Situation
from tests import gpu_objects
from tests.build import NOW, Manifest, pod, situation
from tests.collectors.dcgm_pages import dcgm_page
from tests.diagnosis.gpus import NODE, devices, gpu_node
from tests.diagnosis.gpus import known as readings


def exporter(age_s: float = 3600, app: str = "nvidia-dcgm-exporter") -> Manifest:
    return pod(
        f"{app}-x", namespace="gpu-operator", node=NODE, labels={"app": app}, age_s=age_s, owner=f"DaemonSet/{app}"
    )


def found(read: NodeDevices, *pods: Manifest) -> tuple[Finding, ...]:
    known = situation(gpu_node(), *pods)
    known.apply(Reading("gpu/dcgm", SourceState.LIVE, NOW, GpuReading((read,))))
    return Engine(gpu_exporters.RULES).judge(known, (), NOW).causes


def page(body: bytes) -> NodeDevices:
    (read,) = parse_dcgm(body, NODE, "dcgm", NOW, "exporter")
    return read


def test_ready_and_no_samples_is_told() -> None:
    (cause,) = found(page(b"# HELP nothing\n"), exporter(), exporter(app="nvidia-dcgm"))
    assert (cause.rule, cause.severity, cause.node) == ("gpu-exporter-silent", Severity.WARNING, NODE)
    assert cause.title == f"{NODE} has a DCGM exporter that answers without samples of GPUs"
    assert [render(command, Target()) for command in cause.next] == [
        "kubectl -n gpu-operator logs nvidia-dcgm-x --tail=200",
        "kubectl -n gpu-operator logs nvidia-dcgm-exporter-x --tail=200",
        "kubectl -n gpu-operator delete pod nvidia-dcgm-x",
        "kubectl -n gpu-operator delete pod nvidia-dcgm-exporter-x",
    ]


@pytest.mark.parametrize(
    ("read", "age_s"),
    [
        (page(dcgm_page(8)), 3600),
        (page(b"# HELP nothing\n"), FIRST_SAMPLES_S - 1),
        (NodeDevices(NODE, origin="dcgm", error="connection refused"), 3600),
        (NodeDevices(NODE, origin="dcgm", error="not asked until it is Ready", lack=Lack.WAITS), 3600),
    ],
    ids=["samples", "just Ready", "not reached", "not Ready"],
)
def test_look_alikes(read: NodeDevices, age_s: float) -> None:
    assert found(read, exporter(age_s)) == ()


def test_samples_that_come_back_clear_it() -> None:
    known = situation(gpu_node(), exporter())
    engine = Engine(gpu_exporters.RULES)
    for body, count in ((dcgm_page(8), 0), (b"# HELP nothing\n", 1), (dcgm_page(8), 0)):
        changes = known.apply(Reading("gpu/dcgm", SourceState.LIVE, NOW, GpuReading((page(body),))))
        assert len(engine.judge(known, changes, NOW).causes) == count


def test_it_is_among_all_rules() -> None:
    assert {rule.id for rule in gpu_exporters.RULES} <= {rule.id for rule in ALL}


def folded(known: Situation, now: datetime) -> dict[str, list[str]]:
    """Return the causes with the rules of what follows from each."""
    rules = (*gpus.RULES, *gpu_devices.RULES, *gpu_exporters.RULES)
    return {
        cause.rule: [item.rule for item in cause.consequences] for cause in Engine(rules).judge(known, (), now).causes
    }


@pytest.mark.parametrize(
    ("allocatable", "found"),
    [(0, {"node-gpus-lost": ["gpu-exporter-silent"]}), (8, {"gpu-exporter-silent": []})],
)
def test_it_follows_from_a_node_that_offers_no_gpu(allocatable: int, found: dict[str, list[str]]) -> None:
    known = situation(gpu_node(8, allocatable=allocatable), exporter(), gpu_objects.operand_set(gpu_objects.PLUGIN))
    known.apply(Reading("gpu/dcgm", SourceState.LIVE, NOW, GpuReading((page(b"# HELP nothing\n"),))))
    assert folded(known, NOW) == found


def test_it_follows_from_a_gpu_that_fell_off_the_bus_before() -> None:
    known, now = readings(devices(), devices(last_xid=79))
    known.apply(Reading("gpu/dcgm", SourceState.LIVE, now, GpuReading((page(b"# HELP nothing\n"),))))
    assert "gpu-exporter-silent" in folded(known, now)["gpu-off-bus"]
