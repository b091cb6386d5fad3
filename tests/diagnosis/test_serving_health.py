"""Model servers that are dead, hang, tell nothing, fail or are slow; and what layer 1 says where none is read."""

from typing import Any

import pytest

from diagnosis import serving_commands
from diagnosis.catalogue import ALL, BY_ID
from diagnosis.engine import diagnose
from diagnosis.layers import layer_statuses
from diagnosis.rules import serving_errors, serving_health, serving_latency
from diagnosis.serving_doubts import serving_doubts
from playbooks.commands import Target, render
from situation.findings import Layer, LayerState, Mark, Severity
from situation.gpu.devices import GpuDevice, GpuReading, NodeDevices
from situation.meta import ObjectKey, Ref
from situation.readings import Reading, SourceState
from situation.serving.readings import Health, Software
from situation.serving.serving import SOURCE
from situation.serving.view import ServerState, ServerView, server_ref
from situation.situation import Situation
from tests.build import NOW, Manifest, ago, node, situation
from tests.diagnosis.objects import causes_of, texts
from tests.serving_objects import URL, deployment, engine, page, seconds, server_pod, tell

HEALTH, ERRORS, LATENCY = serving_health.RULES, serving_errors.RULES, serving_latency.RULES
REFUSED: dict[str, Any] = {"health": Health.REFUSED, "page_error": "connection refused"}


def at_work(*manifests: Manifest, **fields: Any) -> Situation:
    """Return a server of a pod that has answered for a minute."""
    known = situation(*(manifests or (server_pod(1),)), *deployment(1))
    for ago_s in range(60, 0, -5):
        tell(known, 1, engine(generation_tokens=60.0 - ago_s), ago_s=ago_s, **fields)
    return known


def test_an_engine_that_health_calls_dead() -> None:
    known = at_work()
    assert not causes_of(HEALTH, known)
    tell(known, 1, health=Health.ENGINE_DEAD, page_error="503")
    finding = causes_of(HEALTH, known)["vllm-engine-dead"]
    assert (finding.severity, finding.subject) == (Severity.CRITICAL, Ref("Deployment", "ai", "llama"))
    assert finding.title == "llama has a dead engine"
    assert "/health says that the engine is dead" in texts(finding)
    lines = [render(command, Target()) for command in finding.next]
    assert lines == [
        "kubectl -n ai logs llama-1-1 --tail=100",
        "kubectl get --raw /api/v1/namespaces/ai/pods/llama-1-1:8000/proxy/health",
        "kubectl -n ai describe pod llama-1-1",
    ]


def test_a_server_that_was_up_and_is_gone_until_it_works_again() -> None:
    known = at_work()
    tell(known, 1, **REFUSED)
    assert "it answered until 02:41:02" in texts(causes_of(HEALTH, known)["vllm-engine-dead"])
    tell(known, 1, engine())
    assert not causes_of(HEALTH, known)


def restarted(reason: str = "Error", code: int = 1) -> Manifest:
    """Return the pod of a server whose container ended 20 s ago and runs again."""
    end = {"exitCode": code, "reason": reason, "startedAt": ago(3600), "finishedAt": ago(20)}
    status = {
        "ready": False,
        "restartCount": 1,
        "state": {"running": {"startedAt": ago(15)}},
        "lastState": {"terminated": end},
    }
    return server_pod(1, ready=False, container_status=status)


@pytest.mark.parametrize(
    ("reason", "code", "text"), [("Error", 1, "exit 1"), ("OOMKilled", 137, "host's memory limit")]
)
def test_a_death_is_told_while_the_container_starts_again(reason: str, code: int, text: str) -> None:
    known = situation(restarted(reason, code), *deployment(1, ready=0))
    for ago_s in (60, 55, 30):
        tell(known, 1, engine(), ago_s=ago_s)
    tell(known, 1, ago_s=20, **REFUSED)
    tell(known, 1, **REFUSED)
    finding = causes_of(HEALTH, known)["vllm-engine-dead"]
    assert finding.title == "llama has a dead engine and starts again, 1 restart"
    assert text in texts(finding)
    tell(known, 1, engine())
    assert not causes_of(HEALTH, known)


def test_a_server_that_loads_its_model_is_not_dead() -> None:
    known = situation(server_pod(1, age_s=300, ready=False))
    tell(known, 1, **REFUSED)
    assert not causes_of(HEALTH, known)


def test_a_pod_that_is_deleted_dies_on_purpose() -> None:
    leaving = server_pod(1)
    leaving["metadata"]["deletionTimestamp"] = ago(5)
    known = at_work(leaving)
    tell(known, 1, **REFUSED)
    assert not causes_of(HEALTH, known)


def test_an_evicted_pod_has_no_engine_that_died() -> None:
    known = at_work(server_pod(1, ready=False, phase="Failed", status={"reason": "Evicted", "phase": "Failed"}))
    tell(known, 1, **REFUSED)
    assert not causes_of(HEALTH, known)


def test_a_dead_engine_explains_a_pod_that_is_not_ready() -> None:
    sick = server_pod(1, ready=False, status={"conditions": [
        {"type": "Ready", "status": "False", "lastTransitionTime": ago(100)}]})  # fmt: skip
    known = situation(sick, *deployment(1, ready=0))
    tell(known, 1, engine(), ago_s=120)
    tell(known, 1, health=Health.ENGINE_DEAD, page_error="503")
    (cause,) = [item for item in diagnose(known, NOW).causes if item.severity is Severity.CRITICAL]
    assert cause.rule == "vllm-engine-dead"
    assert "not-ready" in [item.rule for item in cause.consequences]


def test_one_dead_engine_does_not_explain_that_another_pod_is_not_ready() -> None:
    unready: dict[str, Any] = {"ready": False, "status": {"conditions": [
        {"type": "Ready", "status": "False", "lastTransitionTime": ago(100)}]}}  # fmt: skip
    known = situation(server_pod(1, **unready), server_pod(2, **unready), *deployment(2, ready=0))
    tell(known, 1, engine(), ago_s=120)
    tell(known, 1, health=Health.ENGINE_DEAD, page_error="503")
    rules = {item.rule for item in diagnose(known, NOW).causes if item.severity is Severity.CRITICAL}
    assert {"not-ready", "vllm-engine-dead"} <= rules


@pytest.mark.parametrize(("health", "follows"), [("Unhealthy", True), ("Healthy", False)])
def test_a_dead_engine_follows_from_a_lost_gpu_only_if_its_pod_held_that_one(health: str, follows: bool) -> None:
    held = {"name": "nvidia.com/gpu", "resources": [{"resourceID": "GPU-1", "health": health}]}
    sick = server_pod(1, ready=False, node="gpu-1", container_status={"allocatedResourcesStatus": [held]})
    numbers = {"cpu": "96", "memory": "1Ti", "pods": "110"}
    status = {"capacity": {**numbers, "nvidia.com/gpu": "8"}, "allocatable": {**numbers, "nvidia.com/gpu": "7"}}
    known = situation(sick, node("gpu-1", status=status), *deployment(1, ready=0))
    tell(known, 1, engine(), ago_s=40)
    tell(known, 1, health=Health.ENGINE_DEAD, page_error="503")
    causes = {cause.rule: [item.rule for item in cause.consequences] for cause in diagnose(known, NOW).causes}
    assert ("vllm-engine-dead" in causes["gpu-unhealthy"]) is follows
    assert ("vllm-engine-dead" in causes) is not follows


def test_a_dead_engine_follows_from_the_hosts_memory() -> None:
    end = {"exitCode": 137, "reason": "OOMKilled", "startedAt": ago(70), "finishedAt": ago(20)}
    waits = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}
    killed = {"ready": False, "restartCount": 4, "state": waits, "lastState": {"terminated": end}}
    known = situation(server_pod(1, ready=False, container_status=killed), *deployment(1, ready=0))
    tell(known, 1, engine(), ago_s=40)
    tell(known, 1, ago_s=20, **REFUSED)
    (cause,) = [item for item in diagnose(known, NOW).causes if item.severity is Severity.CRITICAL]
    assert cause.rule == "vllm-host-oom"
    assert "vllm-engine-dead" in [item.rule for item in cause.consequences]


def test_a_dead_engine_explains_that_its_container_crashes() -> None:
    end = {"exitCode": 1, "reason": "Error", "startedAt": ago(70), "finishedAt": ago(20)}
    waits = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}}
    crashed = {"ready": False, "restartCount": 4, "state": waits, "lastState": {"terminated": end}}
    known = situation(server_pod(1, ready=False, container_status=crashed), *deployment(1, ready=0))
    tell(known, 1, engine(), ago_s=40)
    tell(known, 1, ago_s=20, **REFUSED)
    (cause,) = [item for item in diagnose(known, NOW).causes if item.severity is Severity.CRITICAL]
    assert cause.rule == "vllm-engine-dead"
    assert "vllm-crash" in [item.rule for item in cause.consequences]


def hanging(**fields: Any) -> Situation:
    known = situation(server_pod(1), node("node-1"), *deployment(1))
    for ago_s in range(50, -1, -5):
        tell(known, 1, engine(running=4.0, generation_tokens=500.0, **fields), ago_s=ago_s)
    return known


def test_a_server_that_hangs() -> None:
    finding = causes_of(HEALTH, hanging())["vllm-stalled"]
    assert finding.severity is Severity.CRITICAL
    assert finding.title == "llama hangs: 4 requests and no token since 02:40:17"
    (excluded,) = [line.text for line in finding.evidence if line.mark is Mark.EXCLUDES]
    assert "/health says 200" in excluded
    assert not causes_of(ERRORS + LATENCY, hanging())


def test_of_several_ranks_the_one_that_hangs_is_named() -> None:
    known = situation(server_pod(1), node("node-1"), *deployment(1))
    for ago_s in range(50, -1, -5):
        moves = engine(running=4.0, generation_tokens=5000.0 - ago_s)
        tell(known, 1, moves, engine(engine="1", running=3.0, generation_tokens=500.0), ago_s=ago_s)
    finding = causes_of(HEALTH, known)["vllm-stalled"]
    assert finding.title.startswith("llama hangs: 3 requests and no token since ")
    assert "of rank 1 only (3 run there), beside 1 rank in motion" in finding.evidence[1].text


def test_a_hang_explains_the_queue_of_the_others_only() -> None:
    assert list({cause.rule for cause in diagnose(hanging(waiting=20.0), NOW).causes}) == ["vllm-stalled"]


def test_a_server_without_statistics_is_a_hint_and_not_idle() -> None:
    known = situation(server_pod(1, args=("--disable-log-stats",)), *deployment(1))
    tell(known, 1, page=page())
    finding = causes_of(HEALTH, known)["vllm-not-measured"]
    assert (finding.severity, finding.title) == (
        Severity.INFO,
        "llama is not measured: its page has no series of its engine",
    )
    assert "its command line has --disable-log-stats" in texts(finding)
    assert not causes_of(ALL, at_work())


def counted(pages: int = 13, **per_page: float) -> Situation:
    """Return a server of which these counters grow by so much on each page, five seconds apart."""
    known = situation(server_pod(1), *deployment(1))
    for turn in range(pages):
        answers = {name: per_page.get(name, 0.0) * turn for name in ("rejections", "http_errors", "http_requests")}
        finished = {name: per_page.get(name, 0.0) * turn for name in ("error", "abort", "stop")}
        told = page(engine(finished=finished, generation_tokens=turn * 10.0), **answers)
        tell(known, 1, page=told, ago_s=(pages - 1 - turn) * 5)
    return known


@pytest.mark.parametrize(
    ("known", "title", "severity"),
    [
        (counted(), "", None),
        (counted(http_requests=50), "", None),
        (counted(rejections=2, http_errors=2, http_requests=50), "turns requests away: 24 a minute get 503", "warning"),
        (counted(http_errors=2, http_requests=50), "fails 24 requests a minute (4% of its answers)", "warning"),
        (counted(http_errors=10, http_requests=50), "fails 120 requests a minute (20% of its answers)", "critical"),
        (counted(error=1, stop=9), "fails 12 requests a minute", "warning"),
        (
            counted(error=2, http_errors=2, http_requests=99),
            "fails 24 requests a minute (2% of its answers)",
            "warning",
        ),
        (counted(abort=5), "", None),
        (counted(pages=1, http_errors=9), "", None),
    ],
)
def test_requests_that_fail_or_are_turned_away(known: Situation, title: str, severity: str | None) -> None:
    causes = list(causes_of(ERRORS, known).values())
    assert [(cause.title, cause.severity) for cause in causes] == ([(f"llama {title}", severity)] if title else [])


@pytest.mark.parametrize(
    ("fields", "fires"),
    [
        ({"waiting_loras": ("b",), "running_loras": ("a",)}, True),
        ({"waiting_loras": ("a",), "running_loras": ("a",)}, False),
        ({"waiting_loras": (), "running_loras": ("a",)}, False),
        ({"waiting_loras": ("b",), "running_loras": ()}, False),
    ],
)
@pytest.mark.parametrize(("deferred", "hides"), [(None, False), (3.0, False), (0.0, True)])
def test_adapters_that_wait_for_their_turn(
    fields: dict[str, Any], fires: bool, deferred: float | None, hides: bool
) -> None:
    known = situation(server_pod(1), *deployment(1))
    tell(known, 1, page=page(engine(waiting=3.0, deferred=deferred), **fields))
    causes = causes_of(ERRORS, known)
    assert list(causes) == (["vllm-lora-waiting"] if fires and not hides else [])
    if causes:
        assert causes["vllm-lora-waiting"].severity is Severity.INFO


def paced(
    *, ttft_now: str = "at_0_1", itl: str = "at_0_05", grows: float = 0, preempts: float = 0, many: float = 20
) -> Situation:
    """Return five minutes of a server of which in the last minute first tokens were observed in another bucket."""
    known = situation(server_pod(1), node("node-1"), *deployment(1))
    for turn in range(31):
        late = max(0, turn - 24)
        told = engine(
            running=4.0,
            waiting=2.0 + grows * late,
            preemptions=preempts * late,
            generation_tokens=turn * 100.0,
            itl=seconds(**{itl: turn * many * 10}),
            ttft=_sum_of(seconds(at_0_1=(turn - late) * many), seconds(**{ttft_now: late * many})),
        )
        tell(known, 1, told, ago_s=(30 - turn) * 10)
    return known


def _sum_of(a: Any, b: Any) -> Any:
    return type(a)(a.bounds, tuple(x + y for x, y in zip(a.counts, b.counts, strict=True)))


@pytest.mark.parametrize(
    ("known", "rules"),
    [
        (paced(), []),
        (paced(ttft_now="at_5_0"), ["vllm-prefill-behind-decode"]),
        (paced(ttft_now="at_0_5"), []),
        (paced(ttft_now="at_5_0", grows=3), []),
        (paced(ttft_now="at_5_0", preempts=1), []),
        (paced(ttft_now="at_5_0", many=1), []),
        (paced(itl="at_0_5"), ["vllm-itl-high"]),
        (paced(itl="at_0_1"), []),
        (paced(itl="at_0_5", many=0.1), []),
    ],
)
def test_slow_without_a_queue(known: Situation, rules: list[str]) -> None:
    assert list(causes_of(LATENCY, known)) == rules


def test_tokens_that_come_slowly_follow_from_a_gpu_that_is_held_down() -> None:
    known = paced(itl="at_0_5")
    hot = GpuDevice(0, temperature_c=90.0, utilization_ratio=0.99, throttle_reasons=("hw_thermal_slowdown",))
    told = GpuReading((NodeDevices("node-1", (hot,), "dcgm", observed_at=NOW),))
    known.apply(Reading("gpu/dcgm", SourceState.LIVE, NOW, told))
    (cause,) = [item for item in diagnose(known, NOW).causes if item.layer is Layer.NODE]
    assert "vllm-itl-high" in [item.rule for item in cause.consequences]


def test_how_late_first_tokens_are() -> None:
    finding = causes_of(LATENCY, paced(ttft_now="at_5_0"))["vllm-prefill-behind-decode"]
    assert finding.title == "llama is slow to the first token: p99 5.0 s, and no more requests wait than before"
    assert "TTFT p99 5.0 s over the last 60s, 100 ms before" in texts(finding)


def test_only_rules_that_exist_are_named_as_causes() -> None:
    named = {*serving_health.OUT_OF_MEMORY, *serving_health.GPU_FAULTS, *serving_latency.SLOW_GPU}
    assert named <= BY_ID.keys()


def test_at_a_url_commands_go_where_it_was_asked() -> None:
    known = Situation()
    tell(known, None, engine(), ago_s=5)
    tell(known, None, health=Health.ENGINE_DEAD, page_error="503")
    finding = causes_of(HEALTH, known)["vllm-engine-dead"]
    assert finding.subject == Ref("ModelServer", "", URL)
    assert [render(command, Target("prod")) for command in finding.next] == [f"curl -sSi --max-time=5 {URL}/health"]


@pytest.mark.parametrize(
    ("pod", "key", "url", "line"),
    [
        (None, "10.0.0.1:8000", "", "curl -sSi --max-time=5 10.0.0.1:8000/metrics"),
        (None, "ai/a:8000", "http://prom", "kubectl get --raw /api/v1/namespaces/ai/pods/a:8000/proxy/metrics"),
        (("ai", "a"), "ai/a:8000", "https://10.0.0.1:8000",
         "kubectl get --raw /api/v1/namespaces/ai/pods/https:a:8000/proxy/metrics"),
        (("ai", "a"), "ai/a:8000", "", "kubectl get --raw /api/v1/namespaces/ai/pods/a:8000/proxy/metrics"),
    ],
    ids=["an instance of a Prometheus", "a pod that only it knows", "TLS", "not asked yet"],
)  # fmt: skip
def test_a_page_is_asked_for_where_it_is(pod: ObjectKey | None, key: str, url: str, line: str) -> None:
    view = ServerView(server_ref(pod, key), key, Software.VLLM, ServerState.HEALTHY, "", pod, url=url)
    assert " ".join(serving_commands.metrics(view, "?").argv) == line


def doubts(known: Situation) -> tuple[LayerState, str]:
    status = layer_statuses(ALL, (), known, NOW, serving=serving_doubts(known, NOW))[Layer.APPLICATION - 1]
    return status.status, status.reason


def unread(known: Situation, number: int) -> None:
    error = "pods/proxy is forbidden"
    tell(known, number, state=SourceState.FORBIDDEN, health=None, page_error=error)


def test_layer_one_says_when_no_server_can_be_read() -> None:
    known = situation(server_pod(1), server_pod(2), *deployment(2))
    assert doubts(known) == (LayerState.OK, ""), "a dump asks nobody"
    unread(known, 1)
    assert doubts(known) == (LayerState.OK, "model servers: none of 2 is read (pods/proxy is forbidden)")
    tell(known, 1, engine(), ago_s=5)
    tell(known, 2, engine(), ago_s=5)
    assert doubts(known) == (LayerState.OK, "load of model servers: measured once, a rate needs two")
    tell(known, 1, engine())
    assert doubts(known) == (LayerState.OK, "")
    unread(known, 2)
    assert doubts(known) == (LayerState.OK, "model servers: 1 of 2 not read (pods/proxy is forbidden)")


def test_nothing_is_missed_where_there_are_no_servers_or_none_that_is_up() -> None:
    known = situation()
    known.apply(Reading(SOURCE, SourceState.ABSENT, NOW, error="no model server runs"))
    assert doubts(known) == (LayerState.OK, "")
    starts = situation(server_pod(1, ready=False, phase="Pending", node=""))
    starts.apply(Reading(SOURCE, SourceState.UNREACHABLE, NOW, error="nobody answers"))
    assert doubts(starts) == (LayerState.OK, "")
