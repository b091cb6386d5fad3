"""Model servers that answer, keep up and are quick again; what stands before them; their set-up, mended."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from situation.histograms import Histogram
from situation.serving.readings import EnginePage, Health
from situation.situation import Situation
from tests.build import meta, situation
from tests.diagnosis.model_servers import deployment as reviewed
from tests.diagnosis.recovery.harness import Case, check, gone
from tests.diagnosis.test_istio_kserve import inference
from tests.diagnosis.test_serving_health import REFUSED, at_work, counted, hanging, paced
from tests.diagnosis.test_serving_load import busy, growing, preempting, watched
from tests.diagnosis.test_vllm_review import BUDGET, POINTS, SHARED, VOLUMES, good, whole
from tests.serving_objects import deployment, engine, page, seconds, server_pod, tell

Over = Callable[[float], EnginePage]
HINT: Final = frozenset({"vllm-review"})
"""These servers are set up as plainly as can be, which stays a hint."""


def serves(of: Over, for_s: int, **fields: Any) -> Callable[[Situation], None]:
    """Return the step in which the server tells of this engine every five seconds for so long."""

    def told(known: Situation) -> None:
        for at_s in range(5, for_s + 1, 5):
            tell(known, 1, page=page(of(at_s), **fields), ago_s=-at_s)

    return told


def answers(known: Situation) -> None:
    tell(known, 1, engine(generation_tokens=200.0), ago_s=-1)


def dead() -> Situation:
    known = at_work()
    tell(known, 1, health=Health.ENGINE_DEAD, page_error="503")
    return known


def refusing() -> Situation:
    known = at_work()
    tell(known, 1, **REFUSED)
    return known


def unmeasured() -> Situation:
    known = situation(server_pod(1, args=("--disable-log-stats",)), *deployment(1))
    tell(known, 1, page=page())
    return known


def adapters_wait() -> Situation:
    known = situation(server_pod(1), *deployment(1))
    tell(known, 1, page=page(engine(waiting=3.0), waiting_loras=("b",), running_loras=("a",)))
    return known


def moving(at_s: float) -> EnginePage:
    return engine(running=4.0, generation_tokens=500.0 + at_s * 20)


def calm(at_s: float) -> EnginePage:
    """Nobody waits, and the cache has room."""
    return engine(running=2.0, generation_tokens=100 * (60 + at_s))


def preempted_before(at_s: float) -> EnginePage:
    return engine(running=2.0, generation_tokens=100 * (60 + at_s), preemptions=12.0)


def quick(*, ttft: str = "at_0_1", itl: str = "at_0_05") -> Over:
    """Return an engine that goes on where `paced` ended, with fast tokens on top of what was slow there."""
    begun = _plus(seconds(at_0_1=480), seconds(**{ttft: 120}))
    tokens = seconds(**{itl: 6000})
    return lambda at_s: engine(
        running=4.0,
        generation_tokens=3000 + at_s * 10,
        ttft=_plus(begun, seconds(at_0_1=at_s * 2)),
        itl=_plus(tokens, seconds(at_0_05=at_s * 40)),
    )


def _plus(a: Histogram, b: Histogram) -> Histogram:
    return Histogram(a.bounds, tuple(x + y for x, y in zip(a.counts, b.counts, strict=True)))


def after(**per_page: float) -> Over:
    """Return an engine whose counters stand where `counted` left them."""
    finished = {name: per_page.get(name, 0.0) * 12 for name in ("error", "abort", "stop")}
    return lambda at_s: engine(finished=finished, generation_tokens=120.0 + at_s * 2)


def review(name: str) -> Case:
    manifests, _, _ = POINTS[name]
    mended = whole()
    return Case("vllm-review", manifests, mended, name=name)


PLAIN_NAMESPACE: Final = {"kind": "Namespace", "metadata": meta("shop", "")}
MINUTE_S: Final = 66.0
FAILING: Final = {"http_errors": 24.0, "http_requests": 600.0}
WITHOUT_BUDGET: Final = [reviewed(good(), spec={"volumes": VOLUMES}), SHARED]
CASES: Final = (
    Case("vllm-engine-dead", dead, [answers], left=HINT, name="/health"),
    Case("vllm-engine-dead", refusing, [answers], left=HINT, name="it answers"),
    Case("vllm-engine-dead", refusing, [gone("Pod", "llama-1-1", "ai"), server_pod(2)], left=HINT, name="another pod"),
    Case("vllm-stalled", hanging, [serves(moving, 10)], after_s=11, left=HINT),
    Case("vllm-not-measured", unmeasured, [answers], left=HINT),
    Case("vllm-preemption", lambda: watched(preempting(1.0)), [serves(preempted_before, 65)], after_s=MINUTE_S,
         left=HINT),
    Case("vllm-kv-pressure", lambda: watched(busy(waiting=5.0, running=4.0, kv_usage_ratio=0.92)), [serves(calm, 10)],
         after_s=11, left=HINT),
    Case("vllm-saturated", lambda: watched(busy(waiting=5.0)), [serves(calm, 10)], after_s=11, left=HINT),
    Case("vllm-queue-growing", lambda: watched(growing(2.0, running=4.0)), [serves(calm, 10)], after_s=11, left=HINT),
    Case("vllm-prefill-behind-decode", lambda: paced(ttft_now="at_5_0"), [serves(quick(ttft="at_5_0"), 65)],
         after_s=MINUTE_S, left=HINT),
    Case("vllm-itl-high", lambda: paced(itl="at_0_5"), [serves(quick(itl="at_0_5"), 65)], after_s=MINUTE_S, left=HINT),
    Case("vllm-rejecting", lambda: counted(rejections=2, http_errors=2, http_requests=50),
         [serves(after(), 65, rejections=24.0, **FAILING)], after_s=MINUTE_S, left=HINT),
    Case("vllm-errors", lambda: counted(http_errors=2, http_requests=50),
         [serves(after(), 65, **FAILING)], after_s=MINUTE_S, left=HINT, name="HTTP"),
    Case("vllm-errors", lambda: counted(error=1, stop=9), [serves(after(error=1, stop=9), 65)], after_s=MINUTE_S,
         left=HINT, name="of the engine"),
    Case("vllm-lora-waiting", adapters_wait, [serves(calm, 5)], after_s=6, left=HINT),
    Case("inference-service-not-ready", [inference("False")], [inference("True", age_s=-1)]),
    *(review(name) for name in POINTS if name not in ("no budget", "sidecar by namespace")
      and "autoscaler" not in name and "at night" not in name and "window" not in name),
    Case("vllm-review", POINTS["a claim of one node"][0], [SHARED], name="another claim of that name"),
    Case("vllm-review", WITHOUT_BUDGET, [BUDGET], name="a budget was made"),
    Case("vllm-review", POINTS["autoscaler on CPU"][0], [gone("HorizontalPodAutoscaler", "llm")],
         name="the autoscaler was removed"),
    Case("vllm-review", POINTS["sidecar by namespace"][0], [PLAIN_NAMESPACE], name="the namespace's label"),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_recovery(case: Case) -> None:
    check(case)
