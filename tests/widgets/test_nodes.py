from typing import Any, cast

import pytest

from situation.cluster import Node
from tests.build import NOW, ago, made, node
from widgets.columns import Cell
from widgets.nodes import NodeRow, node_cells


def cells(pods: int | None = 3, unsettled: int = 0, **over: Any) -> tuple[Cell, ...]:
    return node_cells(NodeRow(cast(Node, made(node("n1", **over))), pods, unsettled), NOW)


@pytest.mark.parametrize(
    ("over", "status"),
    [
        ({}, ("Ready", "fine")),
        ({"ready": "False"}, ("NotReady", "critical")),
        ({"ready": "Unknown"}, ("NotReady", "critical")),
        ({"conditions": []}, ("Unknown", "critical")),
        ({"spec": {"unschedulable": True}}, ("Ready,SchedulingDisabled", "warning")),
    ],
)
def test_the_status_is_kubectls(over: dict[str, Any], status: tuple[str, str]) -> None:
    assert cells(**over)[1] == status


def test_troubles_and_broken_pods_stand_out() -> None:
    conditions = [
        {"type": "Ready", "status": "True", "lastTransitionTime": ago(60)},
        {"type": "DiskPressure", "status": "True"},
        {"type": "MemoryPressure", "status": "False"},
    ]
    assert cells(conditions=conditions)[2] == ("DiskPressure", "warning")
    assert cells()[2] == ("–", "dim")
    assert cells(pods=7, unsettled=2)[4] == ("2!/7", "warning")
    assert cells(pods=7)[4] == ("7", "dim")
    assert cells(pods=None)[4] == ("?", "dim")
    assert cells(pods=None, unsettled=2)[4] == ("2!/?", "warning")


@pytest.mark.parametrize(
    ("there", "offered", "label", "cell"),
    [
        ("8", "8", "", ("8", "fine")),
        ("8", "7", "", ("7/8", "warning")),
        ("8", "0", "", ("0/8", "warning")),
        (None, None, "true", ("none", "warning")),
        (None, None, "", ("–", "dim")),
    ],
)
def test_gpus(there: str | None, offered: str | None, label: str, cell: tuple[str, str]) -> None:
    status = {
        "capacity": {"nvidia.com/gpu": there} if there else {},
        "allocatable": {"nvidia.com/gpu": offered} if offered else {},
    }
    assert cells(status=status, labels={"nvidia.com/gpu.present": label} if label else {})[5] == cell


@pytest.mark.parametrize(
    ("capacity", "allocatable", "cell"),
    [
        ({"nvidia.com/gpu": "0", "nvidia.com/mig-1g.10gb": "7"}, {"nvidia.com/mig-1g.10gb": "7"}, ("7", "fine")),
        ({"nvidia.com/gpu": "0"}, {"nvidia.com/gpu": "0"}, ("0", "warning")),
        ({"nvidia.com/gpu.shared": "16"}, {"nvidia.com/gpu.shared": "12"}, ("12/16", "warning")),
        ({"amd.com/gpu": "8"}, {"amd.com/gpu": "8"}, ("8", "fine")),
        ({"nvidia.com/hostdev": "8"}, {"nvidia.com/hostdev": "8"}, ("–", "dim")),
        ({"nvidia.com/gpu": "eight"}, {}, ("?", "warning")),
    ],
)
def test_gpus_are_counted_under_all_their_names(
    capacity: dict[str, str], allocatable: dict[str, str], cell: tuple[str, str]
) -> None:
    assert cells(status={"capacity": capacity, "allocatable": allocatable})[5] == cell


def test_a_node_whose_gpus_come_by_claims_is_not_told_to_lack_them() -> None:
    labels = {"nvidia.com/gpu.present": "true", "nvidia.com/gpu.deploy.dra-driver": "true"}
    assert cells(labels=labels)[5] == ("–", "dim")


def test_gpus_that_are_not_offered_at_all_are_zero_not_nothing() -> None:
    status = {"capacity": {"nvidia.com/gpu": "8"}, "allocatable": {}}
    assert cells(status=status)[5] == ("0/8", "warning")


def test_a_node_whose_gpus_are_given_out_by_claims_lacks_none() -> None:
    manifest = node("n1", labels={"nvidia.com/gpu.present": "true"}, status={"capacity": {}, "allocatable": {}})
    assert node_cells(NodeRow(cast(Node, made(manifest)), 3, 0, gpus_by_claim=True), NOW)[5] == ("–", "dim")
