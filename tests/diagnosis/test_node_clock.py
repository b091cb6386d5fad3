"""Nodes whose clocks are not the API server's, and what only looks like it."""

from typing import Any

import pytest

from diagnosis.engine import Engine
from diagnosis.rules import node_clock
from situation.meta import Ref
from situation.readings import Reading, ServerClock, SourceState
from situation.server_clock import SOURCE
from situation.situation import Situation
from tests.build import NOW, Manifest, ago, node, situation
from tests.diagnosis.objects import causes_of, first_command, lease, ready_condition

MANAGER: Manifest = lease("kube-controller-manager", age_s=2)
MANAGER["spec"]["acquireTime"] = ago(7200)
AGREES = ServerClock(0.0, 0.6)


def dated(name: str = "node-1", *, heartbeat_s: float, status: str = "True") -> Manifest:
    """Return a node that dates its status `heartbeat_s` before NOW."""
    return node(name, conditions=ready_condition(status, age_s=86400, heartbeat_s=heartbeat_s))


def renewed(name: str = "node-1", *, age_s: float) -> Manifest:
    return lease(name, age_s=age_s, namespace="kube-node-lease")


def live(*manifests: Manifest, clock: ServerClock = AGREES) -> Situation:
    known = situation(*manifests)
    known.apply(Reading(SOURCE, SourceState.LIVE, NOW, clock))
    return known


def found(*manifests: Manifest, clock: ServerClock = AGREES) -> dict[str, Any]:
    return causes_of(node_clock.RULES, live(*manifests, clock=clock))


def elected(age_s: float) -> Manifest:
    return MANAGER | {"spec": MANAGER["spec"] | {"acquireTime": ago(age_s)}}


@pytest.mark.parametrize(
    ("objects", "title"),
    [
        ([dated(heartbeat_s=-300)], "node-1 has a clock at least 5m ahead of the API server's"),
        ([dated(heartbeat_s=-300, status="False")], "node-1 has a clock at least 5m ahead of the API server's"),
        ([dated(heartbeat_s=-200), renewed(age_s=-295)], "node-1 has a clock 4m55s ahead of the API server's"),
        ([dated(heartbeat_s=60), renewed(age_s=-295)], "node-1 has a clock 4m55s ahead of the API server's"),
        ([dated(heartbeat_s=18300), renewed(age_s=18005), MANAGER], "node-1 has a clock 5h behind the API server's"),
        ([dated(heartbeat_s=400), renewed(age_s=245), MANAGER], "node-1 has a clock 4m5s behind the API server's"),
    ],
)
def test_a_clock_that_is_off(objects: list[Manifest], title: str) -> None:
    cause = found(*objects, node("node-2"))["node-clock-off"]
    assert cause.title == title
    assert cause.subject == Ref("Node", "", "node-1")
    assert "-n kube-node-lease get leases -o custom-columns=" in first_command(cause)
    assert [command.where for command in cause.next[1:]] == ["node node-1"] * 2


@pytest.mark.parametrize(
    "objects",
    [
        [dated(heartbeat_s=-59)],
        [dated(heartbeat_s=900)],
        [dated(heartbeat_s=18300, status="Unknown")],
        [dated(heartbeat_s=-300), renewed(age_s=5)],  # its clock was put right since it wrote its status
        [dated(heartbeat_s=1500), renewed(age_s=8), MANAGER],  # it writes its status seldom
        [dated(heartbeat_s=400), renewed(age_s=95), MANAGER],  # it may have missed some renewals
        [dated(heartbeat_s=400, status="False"), renewed(age_s=245), MANAGER],
        [dated(heartbeat_s=400), renewed(age_s=245)],  # nobody would say that it stands still
        [dated(heartbeat_s=400), renewed(age_s=245), lease("kube-controller-manager", age_s=245)],
        [dated(heartbeat_s=400), renewed(age_s=245), elected(30)],
        [node(conditions=[])],
    ],
)
def test_what_is_no_wrong_clock(objects: list[Manifest]) -> None:
    assert found(*objects, node("node-2")) == {}


def test_without_the_servers_clock_nothing_is_told() -> None:
    objects = dated(heartbeat_s=-300), renewed(age_s=-295)
    assert causes_of(node_clock.RULES, situation(*objects)) == {}


@pytest.mark.parametrize(("taken_off_s", "count"), [(0.0, 0), (-660.0, 1)])
def test_our_own_clock_is_not_taken_for_the_nodes(taken_off_s: float, count: int) -> None:
    """Eleven minutes late, as we are, a status from five minutes ahead of us is six minutes old."""
    clock = ServerClock(-660.0, 0.6, taken_off_s)
    assert len(found(dated(heartbeat_s=-300), renewed(age_s=-295), node("node-2"), clock=clock)) == count


def test_a_status_from_long_ago_has_the_leases_read() -> None:
    known = live(dated(heartbeat_s=1500), node("node-2"))
    judged = Engine(node_clock.RULES).judge(known, (), NOW)
    assert not judged.causes
    assert judged.wanted == {"nodeleases"}
    fresh = Engine(node_clock.RULES).judge(live(dated(heartbeat_s=300)), (), NOW)
    assert not fresh.wanted


def test_where_most_nodes_are_off_it_is_the_api_server() -> None:
    nodes = [dated(f"node-{number}", heartbeat_s=-300) for number in range(3)]
    cause = found(*nodes, node("other"))["node-clock-off"]
    assert (cause.subject, cause.title) == (node_clock.CLOCKS, "the API server has a clock behind those of most nodes")
    assert len(cause.members) == 3
    assert any(item.text == "3 of 4 nodes are ahead of the API server's clock" for item in cause.evidence)
