"""Pods with several model servers: each is found, asked, shown and judged on its own."""

from typing import Any, Final

import pytest

from diagnosis.engine import diagnose
from situation.focus import Focus, related
from situation.meta import Ref
from situation.pods import Pod
from situation.readings import Reading, SourceState
from situation.serving.readings import Health, ModelServer, ServerReading, Software
from situation.serving.recognise import SERVERS_LIMIT, servers_of
from situation.serving.serving import SOURCE, serving_of
from situation.serving.view import ServerState, ServerView, pod_of_server
from situation.situation import Situation
from tests.build import NOW, Manifest, ago, event, made, pod, situation
from tests.diagnosis.pod_faults import ended, looping
from tests.serving_objects import engine, page

IMAGE: Final = "vllm/vllm-openai:v0.33.0"
RANKS: Final = ("vllm", "serve", "m", "--port=8000", "--data-parallel-size=4", "--data-parallel-multi-port-external-lb")


def containers(*of: dict[str, Any]) -> Pod:
    listed = [{"name": f"c{number}", "image": IMAGE, **item} for number, item in enumerate(of)]
    found = made(pod("m-0", spec={"containers": listed}))
    assert isinstance(found, Pod)
    return found


def sh(line: str) -> dict[str, Any]:
    return {"command": ["bash", "-c"], "args": [line]}


@pytest.mark.parametrize(
    ("of", "servers"),
    [
        (({"args": ["--model=a"]}, {"args": ["--model=b", "--port=8001"]}), [("c0", 8000, "a"), ("c1", 8001, "b")]),
        (({"args": ["--model=a"]}, {"args": ["--model=b"]}), [("c0", 8000, "a")]),
        (({"command": RANKS},), [("c0", port, "m") for port in (8000, 8001, 8002, 8003)]),
        (({"command": [*RANKS, "-dpl", "2"]},), [("c0", 8000, "m"), ("c0", 8001, "m")]),
        (({"command": RANKS[:-1]},), [("c0", 8000, "m")]),
        ((sh("vllm serve a --port 1 >a.log 2>&1 & vllm serve b --port 2 & wait"),), [("c0", 1, "a"), ("c0", 2, "b")]),
        ((sh("vllm serve a --port 1 & curl vllm/health; echo done"),), [("c0", 1, "a")]),
        ((sh("vllm serve a --headless & vllm serve b --port 2"),), [("c0", 2, "b")]),
        (({"command": ["vllm", "serve", "m", "--port=65535", "-dp", "8", "-dpm"]},), [("c0", 65535, "m")]),
    ],
    ids=["two containers", "one port for both", "a port for each rank", "ranks of this pod", "ranks behind one port",
         "two in a shell", "one in a shell", "a worker beside", "no more ports"],
)  # fmt: skip
def test_each_port_that_serves_is_a_server(of: tuple[dict[str, Any], ...], servers: list[tuple[str, int, str]]) -> None:
    assert [(spec.container.name, spec.port, spec.name) for spec in servers_of(containers(*of))] == servers


def test_a_number_of_ranks_that_no_pod_has_is_not_believed() -> None:
    assert len(servers_of(containers({"command": ["vllm", "serve", "m", "-dp", "9999", "-dpm"]}))) == SERVERS_LIMIT


# As shown and judged

FIRST: Final = Ref("ModelServer", "ai", "pair")
SECOND: Final = Ref("ModelServer", "ai", "pair:8001")


def pair() -> Manifest:
    beside = {"name": "b", "image": IMAGE, "args": ["--model=b", "--port=8001"]}
    listed = [{"name": "a", "image": IMAGE, "args": ["--model=a"]}, beside]
    running = {"running": {"startedAt": "2026-06-01T00:00:00Z"}}
    statuses = [{"name": name, "state": running, "ready": True} for name in "ab"]
    return pod("pair", namespace="ai", node="gpu-1", age_s=3600, spec={"containers": listed, "nodeName": "gpu-1"},
               status={"podIP": "10.0.0.7", "containerStatuses": statuses})  # fmt: skip


def tell(known: Situation, port: int, model: str, health: Health = Health.OK, **fields: Any) -> None:
    server = ModelServer(
        f"ai/pair:{port}", Software.VLLM, ("ai", "pair"), "proxy", page=page(engine(model=model, **fields)),
        health=health,
    )  # fmt: skip
    known.apply(Reading(SOURCE, SourceState.LIVE, NOW, ServerReading(server, NOW), fresh_for_s=30.0))


def views(known: Situation) -> dict[Ref, ServerView]:
    return {view.ref: view for view in serving_of(known, NOW).servers}


def test_each_has_a_view_with_its_own_container_and_figures() -> None:
    known = situation(pair())
    before = views(known)
    assert {ref: (view.key, view.container, view.name) for ref, view in before.items()} == {
        FIRST: ("ai/pair:8000", "a", "a"),
        SECOND: ("ai/pair:8001", "b", "b"),
    }
    assert {view.why for view in before.values()} == {"not asked yet"}
    tell(known, 8000, "a", running=3.0)
    tell(known, 8001, "b", running=5.0)
    known.derived.clear()
    after = views(known)
    assert [(after[ref].total("running"), after[ref].state) for ref in (FIRST, SECOND)] == [
        (3.0, ServerState.HEALTHY),
        (5.0, ServerState.HEALTHY),
    ]
    assert [model.name for model in serving_of(known, NOW).models] == ["a", "b"]


def test_the_one_that_is_dead_is_named() -> None:
    known = situation(pair())
    tell(known, 8000, "a")
    tell(known, 8001, "b", Health.ENGINE_DEAD)
    (cause,) = [cause for cause in diagnose(known, NOW).causes if cause.rule == "vllm-engine-dead"]
    assert cause.members == (SECOND,)
    assert "pair:8001: /health says that the engine is dead" in [line.text for line in cause.evidence]


@pytest.mark.parametrize(
    ("unready", "follows"), [("b", True), ("a", False), ("ab", False)], ids=["its own", "the other's", "both"]
)
def test_the_second_that_is_dead_explains_an_unready_pod_if_its_container_is_what_is_not_ready(
    unready: str, follows: bool
) -> None:
    sick = pair()
    sick["status"]["conditions"] = [{"type": "Ready", "status": "False", "lastTransitionTime": ago(100)}]
    for status in sick["status"]["containerStatuses"]:
        status["ready"] = status["name"] not in unready
    known = situation(sick)
    tell(known, 8000, "a")
    tell(known, 8001, "b", Health.ENGINE_DEAD)
    causes = {cause.rule: [item.rule for item in cause.consequences] for cause in diagnose(known, NOW).causes}
    assert ("not-ready" in causes["vllm-engine-dead"]) is follows
    assert ("not-ready" in causes) is not follows


def test_both_relate_to_their_pod_and_its_node() -> None:
    known = situation(pair())
    assert pod_of_server(SECOND) == Ref("Pod", "ai", "pair")
    of_pod = related(Focus(ref=Ref("Pod", "ai", "pair")), known, diagnose(known, NOW))
    assert of_pod.servers == frozenset({FIRST, SECOND})
    of_second = related(Focus(ref=SECOND), known, diagnose(known, NOW))
    assert (of_second.pods, of_second.nodes) == (frozenset({("ai", "pair")}), frozenset({"gpu-1"}))


def second_is(status: Manifest, **of_second: Any) -> Manifest:
    """Return the pod whose second container has this status."""
    found = pair()
    found["spec"]["containers"][1] |= {"resources": {"limits": {"memory": "12Gi"}}, **of_second}
    found["status"]["containerStatuses"][1] = {"name": "b", **status}
    return found


def test_the_second_container_runs_out_of_memory_as_the_first_would() -> None:
    known = situation(second_is(looping(ended(137, reason="OOMKilled", ran_s=90))))
    (cause,) = [cause for cause in diagnose(known, NOW).causes if cause.rule == "vllm-host-oom"]
    assert cause.title == "pair exceeds its host memory limit 12Gi (container b)"


def test_the_second_container_is_killed_before_it_is_ready() -> None:
    probe = {"httpGet": {"path": "/health", "port": 8001}, "failureThreshold": 6}
    killed = event("Pod/pair", "Killing", "Container b failed startup probe, will be restarted", namespace="ai",
                   type="Normal", age_s=11)  # fmt: skip
    known = situation(second_is(looping(ended(137, ran_s=62)), startupProbe=probe), killed)
    (cause,) = [cause for cause in diagnose(known, NOW).causes if cause.rule == "vllm-killed-before-ready"]
    assert "container b" in cause.title
