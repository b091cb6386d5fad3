"""Model servers with more to do than they can take: one cause each, with the numbers, and its look-alikes silent."""

import math
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from diagnosis.engine import Engine, diagnose
from diagnosis.rules import serving_load
from diagnosis.serving_facts import p99_text
from playbooks.commands import Target, render
from situation.findings import Effect, Finding, Mark, Severity
from situation.meta import Ref
from situation.readings import Listed, Reading, SourceState
from situation.serving.readings import EnginePage, Health, ServerReading, Software
from situation.serving.serving import SOURCE
from situation.serving.view import Spread
from situation.situation import Situation
from tests.build import NOW, made, meta, situation
from tests.diagnosis.objects import causes_of, texts
from tests.serving_objects import deployment, engine, page, recorded, seconds, server, server_pod, tell

RULES = serving_load.RULES
SEQS = ("--max-num-seqs", "8")
Over = Callable[[float], EnginePage]


def watched(*servers: Over, args: tuple[str, ...] = SEQS, pages: int = 13, every_s: float = 5) -> Situation:
    """Return replicas of one Deployment; each function says what an engine told at a time in seconds."""
    count = len(servers)
    known = situation(*(server_pod(number, args=args) for number in range(1, count + 1)), *deployment(count))
    for turn in range(pages):
        for number, of in enumerate(servers, 1):
            tell(known, number, of(turn * every_s), ago_s=(pages - 1 - turn) * every_s)
    return known


def busy(**fields: Any) -> Over:
    """Return an engine with the same gauges all the time, that makes tokens."""
    return lambda at_s: engine(**{"running": 8.0, "kv_usage_ratio": 0.3, "generation_tokens": 100 * at_s, **fields})


def growing(per_page: float, **fields: Any) -> Over:
    return lambda at_s: busy(waiting=4 + per_page * at_s / 5, **fields)(at_s)


def preempting(per_page: float, **fields: Any) -> Over:
    return lambda at_s: busy(preemptions=per_page * at_s / 5, kv_usage_ratio=0.98, **fields)(at_s)


@pytest.mark.parametrize(
    ("known", "rules"),
    [
        (watched(busy()), []),
        (watched(busy(waiting=0.0, kv_usage_ratio=1.0)), []),
        (watched(busy(waiting=5.0)), ["vllm-saturated"]),
        (watched(busy(waiting=5.0, deferred=5.0)), []),
        (watched(busy(waiting=5.0, running=4.0)), []),
        (watched(busy(waiting=5.0), args=()), ["vllm-saturated"]),
        (watched(busy(waiting=5.0, running=4.0, kv_usage_ratio=0.92)), ["vllm-kv-pressure"]),
        (watched(busy(waiting=5.0, kv_usage_ratio=0.92)), ["vllm-saturated"]),
        (watched(busy(waiting=5.0, running=4.0, kv_usage_ratio=0.92), args=()), ["vllm-kv-pressure"]),
        (watched(busy(preemptions=900.0)), []),
        (watched(preempting(1.0)), ["vllm-preemption"]),
        (watched(growing(2.0, running=4.0)), ["vllm-queue-growing"]),
        (watched(busy(running=None, waiting=None, kv_usage_ratio=None, preemptions=None)), []),
    ],
)
def test_each_fault_and_its_look_alikes(known: Situation, rules: list[str]) -> None:
    assert list(causes_of(RULES, known)) == rules


def test_one_scrape_is_no_fault() -> None:
    def peak(at_s: float) -> EnginePage:
        last = at_s == 60
        return busy(waiting=3.0 if last else 0.0, running=4.0, kv_usage_ratio=1.0 if last else 0.2)(at_s)

    assert not causes_of(RULES, watched(peak))


def test_a_burst_that_drains_is_no_growth() -> None:
    def drains(at_s: float) -> EnginePage:
        return busy(waiting=max(0.0, 52 - at_s / 2) if at_s else 0.0)(at_s)

    assert list(causes_of(RULES, watched(drains))) == ["vllm-saturated"]


@pytest.mark.parametrize(("pages", "severity"), [(50, Severity.WARNING), (72, Severity.CRITICAL)])
def test_a_queue_that_grows_for_five_minutes_is_critical(pages: int, severity: Severity) -> None:
    finding = causes_of(RULES, watched(growing(1.0, running=4.0), pages=pages))["vllm-queue-growing"]
    assert finding.severity is severity
    waiting = 4 + pages - 1
    assert finding.title == f"llama gets more than it finishes: {waiting} wait, +12 a minute"
    assert "at this rate it doubles in" in texts(finding)


@pytest.mark.parametrize(("usage", "severity"), [(0.92, Severity.WARNING), (0.97, Severity.CRITICAL)])
def test_a_fuller_cache_is_graver(usage: float, severity: Severity) -> None:
    known = watched(busy(waiting=5.0, running=4.0, kv_usage_ratio=usage))
    assert causes_of(RULES, known)["vllm-kv-pressure"].severity is severity


@pytest.mark.parametrize(("last", "severity"), [(1.0, Severity.WARNING), (2.0, Severity.CRITICAL)])
def test_more_than_one_preemption_a_minute_is_critical(last: float, severity: Severity) -> None:
    finding = causes_of(RULES, watched(lambda at_s: busy(preemptions=last if at_s > 20 else 0.0)(at_s)))
    assert finding["vllm-preemption"].severity is severity
    plural = "" if last == 1 else "s"
    assert f"{last:.0f} preemption{plural} in 60s ({last:.0f} a minute)" in finding["vllm-preemption"].title


def test_preemption_tells_what_it_does_to_the_first_token() -> None:
    def of(at_s: float) -> EnginePage:
        late = max(0.0, at_s - 120)
        return preempting(1.0 if late else 0.0, ttft=seconds(at_0_1=at_s - late, at_20_0=late))(at_s)

    text = texts(causes_of(RULES, watched(of, pages=37))["vllm-preemption"])
    assert "TTFT p99 20 s over the last 60s, 100 ms before" in text


def test_all_that_one_server_shows_is_one_cause() -> None:
    def all_of_it(at_s: float) -> EnginePage:
        return growing(3.0, preemptions=at_s, kv_usage_ratio=0.99)(at_s)

    (cause,) = causes_of(RULES, watched(all_of_it)).values()
    assert cause.rule == "vllm-preemption"
    assert {item.rule for item in cause.consequences} == {"vllm-kv-pressure", "vllm-saturated", "vllm-queue-growing"}


def test_what_one_of_three_shows_does_not_explain_what_all_show() -> None:
    hot = growing(0.0, preemptions=0.0)
    one = [lambda at_s: growing(0.0, preemptions=at_s)(at_s), hot, hot]
    assert set(causes_of(RULES, watched(*one))) == {"vllm-preemption", "vllm-saturated"}
    assert set(causes_of(RULES, watched(*one[:2]))) == {"vllm-preemption"}


def test_replicas_are_one_finding_with_all_their_numbers() -> None:
    finding = causes_of(RULES, watched(busy(waiting=5.0), busy(waiting=9.0), busy()))["vllm-saturated"]
    assert (finding.subject, finding.count) == (Ref("Deployment", "ai", "llama"), 2)
    assert finding.members == (Ref("ModelServer", "ai", "llama-1-1"), Ref("ModelServer", "ai", "llama-1-2"))
    assert finding.title == "llama is saturated: 16 run, 14 wait"
    assert finding.evidence[0].text == "llama-1-2: 8 run, 9 wait, KV cache 30%"
    (idle,) = [line.text for line in finding.evidence if line.mark is Mark.OPEN]
    assert idle == "nobody waits at llama-1-3: is the load spread evenly?"


def advice(finding: Finding) -> list[str]:
    return [line.text for line in finding.evidence if line.text.startswith("to change: ")]


@pytest.mark.parametrize(
    ("usage", "args", "text"),
    [
        (0.3, SEQS, "--max-num-seqs 8 -> 16: only 30% of its KV cache is in use"),
        (0.51, SEQS, "--max-num-seqs 8 -> 13: only 51% of its KV cache is in use"),
        (0.8, SEQS, "more replicas: 80% of its KV cache is in use"),
        (None, SEQS, "more replicas; --max-num-seqs 8 may go up"),
        (0.3, (), "more replicas; or a higher --max-num-seqs, which its command line does not set"),
    ],
)
def test_what_to_change_of_a_saturated_server(usage: float | None, args: tuple[str, ...], text: str) -> None:
    (line,) = advice(causes_of(RULES, watched(busy(waiting=5.0, kv_usage_ratio=usage), args=args))["vllm-saturated"])
    assert text in line


def test_what_to_change_of_a_server_short_of_memory() -> None:
    args = (*SEQS, "--gpu-memory-utilization=0.8")
    lines = advice(causes_of(RULES, watched(preempting(1.0, running=5.0), args=args))["vllm-preemption"])
    assert lines == [
        "to change: --max-num-seqs 8 -> 5: no more fit at once over the last minute",
        "to change: --gpu-memory-utilization 0.8 -> 0.90: what it gets beyond the weights is KV cache",
        "to change: --max-model-len is not set: one long request may take the whole KV cache",
        "to change: --kv-cache-dtype auto -> fp8: twice as many tokens fit, where the GPU can",
    ]


@pytest.mark.parametrize(
    ("software", "image", "text"),
    [
        (Software.SGLANG, "lmsysorg/sglang:v0.5.3", "a higher --max-running-requests, which"),
        (Software.TGI, "ghcr.io/huggingface/text-generation-inference:3", "to change: more replicas"),
        (Software.TRITON, "nvcr.io/nvidia/tritonserver:25.01", "to change: more replicas"),
    ],
)
def test_each_engine_is_told_of_its_own_flags(software: Software, image: str, text: str) -> None:
    known = situation(server_pod(1, container={"image": image, "args": ["--port", "8000"]}), *deployment(1))
    for ago_s in (15, 10, 5, 0):
        told = busy(waiting=5.0, kv_usage_ratio=None)(100.0 - ago_s)
        tell(known, 1, ago_s=ago_s, page=page(told, software=software), software=software)
    (line,) = advice(causes_of(RULES, known)["vllm-saturated"])
    assert text in line
    assert "--max-num-seqs" not in line


def test_what_a_command_line_sets_is_not_said_of_a_server_at_a_url() -> None:
    known = situation()
    for ago_s in (15, 10, 5, 0):
        tell(known, None, busy(waiting=5.0)(100.0 - ago_s), ago_s=ago_s)
    (line,) = advice(causes_of(RULES, known)["vllm-saturated"])
    assert line == "to change: more replicas; or a higher --max-num-seqs; its command line is not known here"
    for ago_s in (15, 10, 5, 0):
        tell(known, None, preempting(1.0, running=5.0)(100.0 - ago_s), ago_s=ago_s)
    lines = advice(causes_of(RULES, known)["vllm-preemption"])
    assert lines == ["to change: --max-num-seqs -> 5: no more fit at once over the last minute"]


@pytest.mark.parametrize(("limit", "fires"), [(8.0, True), (64.0, False)])
def test_a_nim_says_itself_how_many_it_may_run(limit: float, fires: bool) -> None:
    known = situation(server_pod(1, container={"image": "nvcr.io/nim/meta/llama:1.8", "args": []}), *deployment(1))
    for ago_s in (15, 10, 5, 0):
        told = busy(waiting=5.0, max_running=limit)(100.0 - ago_s)
        tell(known, 1, ago_s=ago_s, page=page(told, software=Software.NIM), software=Software.NIM)
    found = causes_of(RULES, known)
    assert ("vllm-saturated" in found) is fires
    if fires:
        assert "the limit: what it may run at once, 8" in [line.text for line in found["vllm-saturated"].evidence]


def test_an_autoscaler_is_named_by_who_offers_to_scale() -> None:
    scaler = {"kind": "HorizontalPodAutoscaler", "metadata": meta("llama-hpa", "ai"), "spec": {
        "scaleTargetRef": {"kind": "Deployment", "name": "llama"}, "minReplicas": 1, "maxReplicas": 4}}  # fmt: skip
    known = watched(busy(waiting=5.0))
    listed = Listed("horizontalpodautoscalers", (made(scaler),))
    known.apply(Reading("kubernetes/horizontalpodautoscalers", SourceState.LIVE, NOW, listed))
    command = causes_of(RULES, known)["vllm-saturated"].next[-1]
    assert "scale" in command.argv
    assert "autoscaler llama-hpa (1 to 4) sets it back" in command.purpose


def test_the_next_commands_read_first_and_scale_last() -> None:
    finding = causes_of(RULES, watched(busy(waiting=5.0)))["vllm-saturated"]
    lines = [render(command, Target("prod")) for command in finding.next]
    assert lines == [
        "kubectl --context prod get --raw /api/v1/namespaces/ai/pods/llama-1-1:8000/proxy/metrics",
        "kubectl --context prod -n ai logs llama-1-1 --tail=100",
        "kubectl --context prod -n ai describe pod llama-1-1",
        "kubectl --context prod -n ai scale deployment/llama --replicas=2",
    ]
    assert [command.effect for command in finding.next] == [Effect.READ] * 3 + [Effect.MUTATING]


@pytest.mark.parametrize("of", [busy(waiting=5.0), growing(2.0), preempting(1.0)])
def test_old_figures_fire_nothing(of: Over) -> None:
    known = watched(of)
    later = NOW + timedelta(seconds=60)
    assert causes_of(RULES, known)
    assert not causes_of(RULES, known, now=later)


def test_a_queue_follows_from_what_brought_the_other_replicas_down() -> None:
    crashing = {
        "ready": False,
        "restartCount": 7,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}},
    }
    known = situation(
        server_pod(1, args=SEQS),
        server_pod(2, args=SEQS, ready=False, container_status=crashing),
        *deployment(2, ready=1),
    )
    for ago_s in range(60, -1, -5):
        tell(known, 1, growing(2.0)(60 - ago_s), ago_s=ago_s)
    causes = {cause.rule: cause for cause in diagnose(known, NOW).causes}
    assert "vllm-saturated" not in causes and "vllm-queue-growing" not in causes
    folded = {item.rule for item in causes["vllm-crash"].consequences}
    assert {"vllm-saturated", "vllm-queue-growing"} <= folded


def test_a_queue_follows_from_a_replica_that_is_dead() -> None:
    known = situation(server_pod(1, args=SEQS), server_pod(2, args=SEQS), *deployment(2))
    for ago_s in range(60, -1, -5):
        tell(known, 1, growing(2.0)(60 - ago_s), ago_s=ago_s)
        tell(known, 2, engine(), ago_s=ago_s, health=Health.OK if ago_s else Health.ENGINE_DEAD)
    (cause,) = [item for item in diagnose(known, NOW).causes if item.severity is not Severity.INFO]
    assert cause.rule == "vllm-engine-dead"
    assert {item.rule for item in cause.consequences} == {"vllm-saturated", "vllm-queue-growing"}


def test_a_queue_does_not_follow_from_a_replica_that_works() -> None:
    causes = causes_of(RULES, watched(growing(2.0), busy()))
    assert list(causes) == ["vllm-saturated"]


def played(name: str, every: int = 1) -> list[tuple[float, dict[str, Finding]]]:
    """Return what was found at each page of a recording that is told page by page."""
    known, judge, found = Situation(), Engine(), []
    for number, (at_s, told) in enumerate(recorded(name)):
        if number % every == 0:
            at = NOW + timedelta(seconds=at_s)
            known.apply(Reading(SOURCE, SourceState.LIVE, at, ServerReading(server(page=told), at), fresh_for_s=30))
            found.append((at_s, {cause.rule: cause for cause in judge.judge(known, (), at).causes}))
    return found


def test_the_recorded_saturation_names_its_queue_and_clears_when_it_has_drained() -> None:
    rounds = played("queue_saturation")
    assert not any(causes for at_s, causes in rounds if at_s < 1.5)
    titles = [causes["vllm-saturated"].title for at_s, causes in rounds if 2.5 < at_s < 27.5]
    assert titles[0].endswith("is saturated: 8 run, 52 wait")
    assert [title for title in titles if title.endswith("4 wait")]
    assert not any(causes for at_s, causes in rounds if at_s > 27.9)
    assert all(list(causes) in ([], ["vllm-saturated"]) for _, causes in rounds)


def test_the_recorded_saturation_read_every_five_seconds() -> None:
    rounds = played("queue_saturation", every=5)
    assert [bool(causes) for _, causes in rounds] == [False, True, True, True, True, True, False]
    assert rounds[1][1]["vllm-saturated"].title.endswith("8 run, 52 wait")


def test_the_recorded_preemption_has_its_rate_and_is_one_cause() -> None:
    rounds = played("preemption")
    causes = next(causes for at_s, causes in rounds if at_s > 33)
    (cause,) = causes.values()
    assert cause.rule == "vllm-preemption" and cause.severity is Severity.CRITICAL
    assert "98 preemptions in 33s (176 a minute)" in cause.title
    later = [causes for at_s, causes in rounds if at_s > 12]
    assert all(list(causes) == ["vllm-preemption"] for causes in later), "full cache and queue follow from it"
    assert any("vllm-kv-pressure" in [item.rule for item in causes["vllm-preemption"].consequences] for causes in later)


def test_pages_of_several_engines_are_one_server() -> None:
    known = situation(server_pod(1, args=SEQS), *deployment(1))
    for ago_s in (10, 5, 0):
        ranks = [engine(engine=str(rank), running=8.0, waiting=3.0 * rank) for rank in range(2)]
        tell(known, 1, page=page(*ranks), ago_s=ago_s)
    finding = causes_of(RULES, known)["vllm-saturated"]
    assert finding.title == "llama is saturated: 8 run, 3 wait"
    assert finding.evidence[0].text == "llama-1-1: 16 run, 3 wait, KV cache 0%"


@pytest.mark.parametrize(
    ("bucket", "text"),
    [
        (None, "12 s"),
        ((10.0, 20.0), "12 s"),
        ((160.0, 640.0), "between 160 s and 640 s"),
        ((2560.0, math.inf), "above 2560 s"),
        ((0.0, 0.001), "12 s"),
    ],
)
def test_a_quantile_of_a_wide_bucket_is_told_as_its_bounds(bucket: tuple[float, float] | None, text: str) -> None:
    assert p99_text(Spread(3.0, 12.0, 50.0, bucket)) == text


def test_nothing_seen_is_no_quantile() -> None:
    assert p99_text(Spread()) == ""
