"""Which node is shown and why, the order of the fleet, and how far devices can be believed."""

from datetime import timedelta

import msgspec
import pytest

from diagnosis.engine import diagnose
from diagnosis.xids import XID_FRESH
from simulator.scenarios import open_scenario
from simulator.scenarios.make_gpu import INCIDENTS
from situation.findings import Diagnosis, Finding, Layer, Severity
from situation.focus import EVERYTHING, Focus, Relation, related
from situation.gpu.devices import GpuReading, Lack, NodeDevices, SeenXid
from situation.gpu.fleet import Fleet
from situation.gpu.links import Component, Link, LinkState, NodeChain
from situation.meta import Ref
from situation.readings import CONFIGURED, Configured, Reading, SourceState
from situation.situation import Situation
from tape.player import play
from tests.build import NOW, node, pod, situation
from tests.gpu_chains import crashing, device, fine
from tests.gpu_resources import user
from tui.attention import Attention
from tui.device_history import KEPT, DeviceHistory
from tui.gpu_painter import sharers_of
from tui.gpu_view import (
    FleetOrder,
    Shown,
    device_order,
    device_row,
    devices_state,
    fleet_note,
    fleet_rows,
    link_in_focus,
    shown_node,
    undiscovered_nodes,
    why_no_gpus,
)
from tui.view import Filter
from widgets.blocks import NOT_MEASURED

DRIVER_SET = Ref("DaemonSet", "gpu-operator", "nvidia-driver-daemonset")


def single(node: str, component: Component, state: LinkState) -> NodeChain:
    return NodeChain(node, (Link(Component.NFD, LinkState.READY), Link(component, state)))


def finding(subject: Ref, *members: Ref, node: str = "", rule: str = "r") -> Finding:
    return Finding(rule, "L5-01", Layer.NODE, Severity.CRITICAL, subject, "it fails", (), (), members, node)


def chains(*made: NodeChain) -> dict[str, NodeChain]:
    return {chain.node: chain for chain in made}


def test_how_many_share_a_node_is_told_only_where_all_pods_are_read() -> None:
    known = situation(node("gpu-1"), user("train-1"), user("train-2", namespace="ml"))
    assert sharers_of(known.nodes["", "gpu-1"], known) == 2
    known.apply(Reading(CONFIGURED, SourceState.LIVE, NOW, Configured(only_namespace="shop")))
    assert sharers_of(known.nodes["", "gpu-1"], known) is None


def test_the_worst_comes_first() -> None:
    known = chains(
        fine("a"),
        single("b", Component.PLUGIN, LinkState.FAILING),
        single("c", Component.DRIVER, LinkState.ABSENT),
        single("d", Component.DRIVER, LinkState.STARTING),
        single("e", Component.DRIVER, LinkState.PAUSED),
        single("f", Component.DRIVER, LinkState.UNKNOWN),
        single("g", Component.DRIVER, LinkState.WAITING),
        single("h", Component.DRIVER, LinkState.PREINSTALLED),
        single("i", Component.PLUGIN, LinkState.FAILING),
    )
    order = FleetOrder()
    assert order.order(known) == ["c", "b", "i", "f", "g", "d", "e", "a", "h"]
    assert order.broken() == 3
    known["b"] = fine("b")
    del known["c"]
    assert order.order(known) == ["i", "f", "g", "d", "e", "a", "b", "h"]
    assert order.broken() == 1
    assert Component.DCGM not in order.wanted


@pytest.mark.parametrize(
    ("focus", "looked_at", "shown"),
    [
        (EVERYTHING, "", Shown("gpu-2", "the worst")),
        (EVERYTHING, "gpu-1", Shown("gpu-1", "under the cursor")),
        (Focus(ref=Ref("Node", "", "gpu-1")), "gone", Shown("gpu-1", "focused")),
        (Focus(ref=Ref("Node", "", "gpu-1")), "gpu-1", Shown("gpu-1", "focused")),
        (Focus(ref=Ref("Pod", "shop", "web-1")), "", Shown("gpu-1", "of pod web-1")),
        (Focus(ref=Ref("Node", "", "cpu-1")), "", Shown("gpu-2", "the worst")),
        (Focus(cause="r:Node/gpu-1"), "", Shown("gpu-1", "of the cause")),
        (Focus(cause=f"r:{DRIVER_SET}"), "", Shown("gpu-3", "of the cause")),
        (Focus(cause="r:StatefulSet/shop/web"), "", Shown("gpu-1", "the worst that relates to the focus")),
        (Focus(layer=Layer.NODE), "", Shown("gpu-3", "the worst that relates to the focus")),
    ],
)
def test_the_node_that_is_shown_and_why(focus: Focus, looked_at: str, shown: Shown) -> None:
    known = situation(
        *(node(name) for name in ("gpu-1", "gpu-2", "gpu-3", "cpu-1")),
        pod("web-1", node="gpu-1", owner="StatefulSet/web"),
    )
    fleet = chains(fine("gpu-1"), crashing("gpu-2"), crashing("gpu-3"))
    diagnosis = Diagnosis((
        finding(Ref("Node", "", "gpu-1")),
        finding(DRIVER_SET, node="gpu-3"),
        msgspec.structs.replace(finding(Ref("StatefulSet", "shop", "web")), layer=Layer.APPLICATION),
    ))  # fmt: skip
    if focus.layer:
        diagnosis = Diagnosis((finding(Ref("Node", "", "gpu-3")), finding(Ref("Node", "", "gpu-1"))))
    relation = related(focus, known, diagnosis)
    order = FleetOrder().order(fleet)
    assert shown_node(focus, looked_at, order, fleet, relation, known, diagnosis) == shown


def test_where_all_is_fine_the_first_is_shown_and_said_so() -> None:
    fleet = chains(fine("b"), fine("a"))
    nothing = (Relation(), Situation(), Diagnosis())
    assert shown_node(EVERYTHING, "", ["a", "b"], fleet, *nothing) == Shown("a", "the first: all are fine")
    assert shown_node(EVERYTHING, "", [], {}, *nothing) == Shown("", "")
    assert shown_node(EVERYTHING, "", ["a"], chains(crashing("a")), *nothing) == Shown("a", "")


def test_the_fleet_is_filtered_by_words_and_dimmed_by_the_focus() -> None:
    fleet = chains(fine("gpu-1"), fine("gpu-2"), fine("x"))
    rows = fleet_rows(list(fleet), fleet, Relation(nodes=frozenset({"gpu-2"})), Filter(("gpu",), "shop"))
    assert [(row.chain.node, row.dimmed) for row in rows] == [("gpu-1", True), ("gpu-2", False)]
    assert not any(row.dimmed for row in fleet_rows(list(fleet), fleet, Relation(nodes=frozenset()), Filter()))


def cluster_with_driver() -> Situation:
    return situation(
        node("gpu-1"),
        node("gpu-2"),
        pod("nvidia-driver-gpu-1", namespace="gpu-operator", node="gpu-1", owner="DaemonSet/nvidia-driver-daemonset"),
        pod("nvidia-driver-gpu-2", namespace="gpu-operator", node="gpu-2", owner="DaemonSet/nvidia-driver-daemonset"),
        pod("train", namespace="ml", node="gpu-1"),
    )


def test_a_link_relates_to_its_pod_its_owner_and_the_causes_about_them() -> None:
    known = cluster_with_driver()
    link = Link(Component.DRIVER, LinkState.FAILING, pod=Ref("Pod", "gpu-operator", "nvidia-driver-gpu-1"),
                owner=DRIVER_SET)  # fmt: skip
    focus = Focus(ref=Ref("Node", "", "gpu-1"), component=Component.DRIVER)
    here = finding(DRIVER_SET, node="gpu-1", rule="here")
    pods = finding(Ref("Pod", "gpu-operator", "nvidia-driver-gpu-1"), rule="pod")
    there = finding(DRIVER_SET, node="gpu-2", rule="there")
    other = finding(Ref("Pod", "ml", "train"), node="gpu-1", rule="other")
    relation = related(focus, known, Diagnosis((here, pods, there, other)), link)
    assert relation.pods == frozenset({("gpu-operator", "nvidia-driver-gpu-1")})
    assert relation.nodes == frozenset({"gpu-1"})
    assert relation.causes == frozenset({here.key, pods.key})
    assert relation.objects is not None
    assert {DRIVER_SET, Ref("Node", "", "gpu-1")} <= relation.objects


def test_a_link_without_a_pod_relates_to_all_on_the_node() -> None:
    known = cluster_with_driver()
    focus = Focus(ref=Ref("Node", "", "gpu-1"), component=Component.CAPACITY)
    about = finding(Ref("Node", "", "gpu-1"))
    relation = related(focus, known, Diagnosis((about,)), Link(Component.CAPACITY, LinkState.ABSENT))
    assert relation.pods == frozenset({("gpu-operator", "nvidia-driver-gpu-1"), ("ml", "train")})
    assert relation.causes == frozenset({about.key})
    assert related(focus, known, Diagnosis()) == related(Focus(ref=focus.ref), known, Diagnosis())


def test_a_daemonset_without_a_pod_on_the_node_relates_to_none_of_the_others() -> None:
    focus = Focus(ref=Ref("Node", "", "gpu-9"), component=Component.DRIVER)
    relation = related(focus, cluster_with_driver(), Diagnosis(), Link(Component.DRIVER, LinkState.ABSENT,
                                                                      owner=DRIVER_SET))  # fmt: skip
    assert relation.pods == frozenset()
    assert relation.nodes == frozenset({"gpu-9"})


def test_the_evidence_of_a_link_is_the_finding_about_its_pod_else_the_pod() -> None:
    attention = Attention()
    link = crashing("gpu-1").links[2]
    assert link.pod is not None
    attention.focus_on_link("gpu-1", link, Diagnosis())
    assert attention.selection == link.pod
    assert attention.text == "driver on gpu-1"
    there, here = finding(DRIVER_SET, node="gpu-2", rule="a"), finding(DRIVER_SET, link.pod, rule="b")
    attention.focus_on_link("gpu-1", link, Diagnosis((there, here)))
    assert attention.finding(Diagnosis((there, here))) == here
    assert link_in_focus(attention.focus, chains(crashing("gpu-1"))) == link
    assert link_in_focus(attention.focus, {}) is None
    assert link_in_focus(EVERYTHING, {}) is None


def test_how_far_devices_can_be_believed() -> None:
    known = Situation()
    assert devices_state(None, known, NOW).text == "starting: no source has told of devices yet"
    known.apply(Reading("gpu/nvml", SourceState.ABSENT, NOW, error="no driver here"))
    assert devices_state(None, known, NOW).text == "nvml absent: no driver here"
    known.apply(Reading("gpu/dcgm", SourceState.FORBIDDEN, NOW, error="may not proxy"))
    assert devices_state(None, known, NOW).text == "dcgm forbidden: may not proxy"
    read = NodeDevices("a", (device(),), "dcgm", observed_at=NOW)
    known.apply(Reading("gpu/dcgm", SourceState.LIVE, NOW, GpuReading((read,)), fresh_for_s=30))
    assert devices_state(None, known, NOW).text == "dcgm absent: says nothing of this node"
    assert devices_state(read, known, NOW + timedelta(seconds=7)).text == "dcgm live 5s"
    assert devices_state(read, known, NOW + timedelta(seconds=45)).text == "dcgm stale 45s"
    failed = msgspec.structs.replace(read, error="timed out")
    assert devices_state(failed, known, NOW + timedelta(seconds=20)).text == "dcgm stale 20s: timed out"
    never = NodeDevices("b", origin="dcgm", error="connection refused")
    assert devices_state(never, known, NOW).text == "dcgm unreachable: connection refused"
    waits = msgspec.structs.replace(never, error="not asked until its exporter is Ready", lack=Lack.WAITS)
    assert devices_state(waits, known, NOW).text == "dcgm starting: not asked until its exporter is Ready"


def test_devices_with_trouble_come_first() -> None:
    fresh, now = NOW + XID_FRESH, NOW + XID_FRESH + timedelta(seconds=1)
    of = (
        device(0, last_xid=31, xid_changed_at=fresh),
        device(1, last_xid=48, xid_changed_at=NOW),
        device(2, ecc_uncorrected=1),
        device(3, last_xid=79, xid_changed_at=fresh),
        device(4, last_xid=45, xid_changed_at=fresh, earlier_xids=(SeenXid(48, fresh),)),
        device(5, answers=False),
    )
    made = [device_row(item, b"", None, now) for item in of]
    assert [(row.xid, row.xid_severity) for row in made] == [
        (31, Severity.INFO), (None, None), (None, None), (79, Severity.CRITICAL), (48, Severity.CRITICAL), (None, None),
    ]  # fmt: skip
    assert [row.device.index for row in sorted(made, key=device_order)] == [2, 3, 4, 5, 0, 1]


@pytest.mark.parametrize(
    ("nodes", "broken", "undiscovered", "said"),
    [
        (1, 0, 0, "the only GPU node"),
        (1, 0, 1, "1 node · 1 not discovered"),
        (3, 1, 0, "1 of 3 nodes broken"),
        (3, 1, 2, "1 of 3 nodes broken · 2 not discovered"),
    ],
)
def test_nodes_that_were_not_discovered_are_counted_apart(
    nodes: int, broken: int, undiscovered: int, said: str
) -> None:
    assert fleet_note(nodes, broken, undiscovered) == said


def test_a_node_that_feature_discovery_did_not_label_is_counted_in_the_demo() -> None:
    path = open_scenario("gpu_nfd_down").path
    played, known = play(path, INCIDENTS["gpu_nfd_down"].hold_at), Situation()
    for reading in played.readings:
        known.apply(reading)
    fleet = Fleet()
    fleet.update(known, (), played.now)
    assert sorted(fleet.chains) == ["gpu-1", "gpu-2"]
    found = diagnose(known, played.now)
    assert undiscovered_nodes(found, fleet.chains) == 1
    assert "1 node seems to have some" in why_no_gpus(known, found, played.now)


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (None, "No node of this cluster has GPUs"),
        (SourceState.FORBIDDEN, "Not known whether any node has GPUs: nodes forbidden: cannot list nodes"),
        (SourceState.UNREACHABLE, "Not known whether any node has GPUs: nodes unreachable: cannot list nodes"),
    ],
)
def test_why_there_is_no_pane(missing: SourceState | None, said: str) -> None:
    assert why_no_gpus(situation(missing={"nodes": missing} if missing else None), Diagnosis(), NOW) == said
    assert "being read" in why_no_gpus(Situation(), Diagnosis(), NOW)
    later = why_no_gpus(situation(), Diagnosis(), NOW + timedelta(hours=1))
    assert later == "No node of this cluster has GPUs when the nodes were last read; now stale"


def test_the_history_is_bounded_and_forgets_what_went() -> None:
    history = DeviceHistory()
    for number in range(KEPT + 5):
        ratio = None if number == KEPT else number / 100
        at = NOW + timedelta(seconds=number)
        history.take([NodeDevices("a", (device(0, utilization_ratio=ratio),), observed_at=at)], {"a": 0})
    kept = history.of("a", device(0))
    assert len(kept) == KEPT
    assert list(kept[-5:]) == [NOT_MEASURED, 31, 32, 33, 34]
    history.take([NodeDevices("a", (device(0),), observed_at=at)], {"a": 0})  # the same reading once more
    assert history.of("a", device(0)) == kept
    history.take([NodeDevices("a", (device(1),), observed_at=at + timedelta(seconds=1))], {"a": 0})
    assert history.of("a", device(0)) == b""
    history.take([NodeDevices("b", (device(0),), observed_at=NOW)], {"b": 0})
    assert history.of("a", device(1)) == b""
    history.take([NodeDevices("b", error="refused")], {"b": 0})
    assert len(history.of("b", device(0))) == 1
