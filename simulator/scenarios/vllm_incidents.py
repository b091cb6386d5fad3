"""Incidents of model servers: a queue, preemptions, an engine that hangs or dies, and servers that never come up.

All on two GPU nodes in order. Another model beside is served well; it is not on the tape: the simulator makes it up.
"""

from collections.abc import Sequence
from math import inf
from typing import Any, Final

from simulator.scenarios import vllm_logs as logs
from simulator.scenarios.gpu_objects import crashes, gpu_node
from simulator.scenarios.gpu_story import GpuStory, gpu_cluster
from simulator.scenarios.story import STARTED_AT, WEEK_S, Manifest
from simulator.scenarios.vllm_objects import (
    LLAMA_8B,
    LLAMA_70B,
    MISTRAL_7B,
    PORT,
    Model,
    model_servers,
    pods_of,
    put_changed,
    refuses,
    says,
    serves,
    shared_storage,
)
from simulator.scenarios.vllm_pages import read_pages, told
from simulator.vllm import Traffic, metrics_page

BAD: Final = "gpu-1"
GOOD: Final = "gpu-2"
FAULT_AT: Final = 20.0
ROUNDS: Final = 3
PAGE_EVERY_S: Final = 5.0
LOADS_S: Final = 80.0
"""How long an 8B model takes from a warm cache (60 to 120 s are usual)."""
PRINTS_AFTER_S: Final = 0.5
"""So soon a container that was started again has said something."""
DIES_AGAIN_AT: Final = 130.0
ENDS_WITH: Final = 0
"""Exit code of a server whose engine died (vLLM 0.32.0): it sees that, and shuts down in order."""
QUEUE_ROUND_S: Final = 173.0
"""`vllm_pages.round_s` of what was recorded; as below."""
PREEMPTION_ROUND_S: Final = 192.5
QUEUE_UNTIL: Final = 2 * QUEUE_ROUND_S + 46
"""In the third round, while 44 wait: whoever looks at the end is to see the fault."""
PREEMPTION_UNTIL: Final = 2 * PREEMPTION_ROUND_S + 92
"""In the third round, at the most preemptions a minute."""
STALLED_UNTIL: Final = 140.0
DEAD_UNTIL: Final = 150.0
OUT_OF_MEMORY_UNTIL: Final = 215.0
KILLED_UNTIL: Final = 320.0
STARTUP_FAILURES: Final = 6
WINDOW_S: Final = STARTUP_FAILURES * 10.0
GRACE_S: Final = 30.0
"""As process 1 of its container it does not end when it is asked to while it loads: it is killed after this."""
SMALL_CACHE: Final = ("--max-num-seqs=8", "--block-size=128", "--num-gpu-blocks-override=64")
"""What the recorded server was started with; for the preemptions, with fewer blocks."""


def _cluster() -> GpuStory:
    story = GpuStory()
    gpu_cluster(story, gpu_node(story, BAD), gpu_node(story, GOOD))
    story.put(0, *shared_storage(story))
    others = model_servers(story, MISTRAL_7B, (GOOD, {}), (GOOD, {}))
    story.put(0, *others)
    for pod in pods_of(others):
        story.log(0, pod, logs.SERVES)
    return story


def _unix(t: float) -> float:
    return STARTED_AT.timestamp() + t


def queue() -> GpuStory:
    """Sixty requests come at once to a server that takes eight: 52 wait, and the queue drains; and so again."""
    return _recorded("queue", LLAMA_8B._replace(max_model_len=1024, flags=SMALL_CACHE))


def preemption() -> GpuStory:
    """Too little KV cache for what is admitted: requests are thrown out and computed again, and so again."""
    few = tuple(flag.replace("=64", "=20") for flag in SMALL_CACHE)
    return _recorded("preemption", LLAMA_8B._replace(max_model_len=1024, flags=few))


def _serving(model: Model) -> tuple[GpuStory, Manifest]:
    """A story that begins with one server of `model` in order on the node to break; and its pod."""
    story = _cluster()
    made = model_servers(story, model, (BAD, {}))
    story.put(0, *made)
    story.begin()
    (pod,) = pods_of(made)
    story.log(0, pod, logs.SERVES)
    serves(story, 0, pod, model)
    return story, pod


def _recorded(name: str, model: Model) -> GpuStory:
    story, pod = _serving(model)
    for page in told(read_pages()[name], ROUNDS, model.name, _unix(-WEEK_S)):
        says(story, page.t, pod, "/metrics", page.text)
    return story


def stalled() -> GpuStory:
    """One rank of four hangs: the engine waits for it for ever, and `/health` goes on to say 200."""
    story, pod = _serving(LLAMA_70B)
    _traffic(story, pod, LLAMA_70B, 0, STALLED_UNTIL, -WEEK_S, FAULT_AT)
    story.gpus(FAULT_AT, BAD, {number: {"utilization_ratio": 1.0} for number in range(LLAMA_70B.gpus)})
    story.log(FAULT_AT + 62, pod, logs.HANGS)
    return story


def _traffic(
    story: GpuStory, pod: Manifest, model: Model, since: float, until: float, began: float, stands_at: float = inf
) -> None:
    """Pages of a server that has run since `began` and is in order until `stands_at`: then they stay the same."""
    traffic = Traffic(1.1, running=8, kv_usage_ratio=0.44)
    for step in range(int((until - since) / PAGE_EVERY_S) + 1):
        t = since + step * PAGE_EVERY_S
        served_s = max(0.0, min(t, stands_at) - began - LOADS_S)
        says(story, t, pod, "/metrics", metrics_page(model.name, traffic, _unix(began), served_s))


def engine_dead() -> GpuStory:
    """The engine dies, the server ends 2 s later; it loads again, serves for a while, and dies again."""
    story, pod = _serving(LLAMA_8B)
    _traffic(story, pod, LLAMA_8B, 0, FAULT_AT, -WEEK_S)
    first_end, second_start = FAULT_AT + 2, FAULT_AT + 3
    ready_at = second_start + LOADS_S
    for died in (FAULT_AT, DIES_AGAIN_AT):
        says(story, died, pod, "/health", status=503)
        story.log(died, pod, logs.ENGINE_DIED)
        refuses(story, died + 2, pod)
    runs_s = DIES_AGAIN_AT + 2 - second_start
    changes = [*crashes("vllm", _full(pod), -WEEK_S, runs_s, DEAD_UNTIL, first_end, code=ENDS_WITH)]
    last = changes[1][1]["last"]
    changes.append((ready_at, {"state": None, "since": second_start, "restarts": 1, "last": last}))
    for t, now in sorted(changes, key=lambda change: change[0]):
        turned = max(moment for moment in (first_end, ready_at, DIES_AGAIN_AT + 2) if moment <= t)
        _change(story, t, LLAMA_8B, {**now, "turned": turned})
        if "running" in (now["state"] or {}):
            story.log(t + PRINTS_AFTER_S, pod, logs.STARTS)
    story.log(ready_at, pod, logs.SERVES)
    serves(story, ready_at, pod, LLAMA_8B)
    _traffic(story, pod, LLAMA_8B, ready_at, DIES_AGAIN_AT, second_start)
    _probe_failed(story, (FAULT_AT + 1,), pod, "Readiness", "HTTP probe failed with statuscode: 503")
    _probe_failed(story, [second_start + 10 * n for n in range(1, 8)], pod, "Startup", _refusal(pod))
    return story


def device_oom() -> GpuStory:
    """A 70B model is rolled out on a single GPU of 80 GB: its weights alone take 140 GB."""
    model = LLAMA_70B._replace(gpus=1)
    story = _cluster()
    story.begin()
    made = model_servers(story, model, (BAD, _starting(story, FAULT_AT + 1)))
    story.put(FAULT_AT, *made)
    (pod,) = pods_of(made)
    refuses(story, FAULT_AT, pod)
    story.log(FAULT_AT + 1, pod, logs.STARTS)
    for t, now in crashes("vllm", _full(pod), FAULT_AT + 1, 38, OUT_OF_MEMORY_UNTIL):
        _change(story, t, model, {**now, "born": FAULT_AT, "turned": FAULT_AT})
        runs = "running" in now["state"]
        story.log(t + PRINTS_AFTER_S * runs, pod, logs.STARTS if runs else logs.GPU_MEMORY_RAN_OUT)
    _probe_failed(story, [FAULT_AT + 11 + 10 * n for n in range(3)], pod, "Startup", _refusal(pod))
    return story


def killed_before_ready() -> GpuStory:
    """A 70B model needs many minutes to load, and its startup probe gives it one."""
    model = LLAMA_70B._replace(startup_failures=STARTUP_FAILURES)
    story = _cluster()
    story.begin()
    starts = FAULT_AT + 1
    made = model_servers(story, model, (BAD, _starting(story, starts)))
    story.put(FAULT_AT, *made)
    (pod,) = pods_of(made)
    refuses(story, FAULT_AT, pod)
    story.log(starts, pod, logs.LOADING)
    runs, failures, kills = [starts], [], []
    for t, now in crashes("vllm", _full(pod), starts, WINDOW_S + GRACE_S, KILLED_UNTIL, code=137):
        _change(story, t, model, {**now, "born": FAULT_AT, "turned": FAULT_AT})
        if "running" in now["state"]:
            runs.append(t)
    for began in runs:
        failures += [began + 10 * n for n in range(1, STARTUP_FAILURES + 1)]
        kills.append(began + WINDOW_S)
    _probe_failed(story, [t for t in failures if t <= KILLED_UNTIL], pod, "Startup", _refusal(pod))
    kills = [t for t in kills if t <= KILLED_UNTIL]
    text = "Container vllm failed startup probe, will be restarted"
    for number, t in enumerate(kills, 1):
        story.event(t, pod, "Killing", text, type="Normal", count=number, first=kills[0])
    return story


def _starting(story: GpuStory, t: float) -> dict[str, Any]:
    """A new pod whose container runs since `t` and loads the model."""
    return {"born": FAULT_AT, "since": FAULT_AT, "state": {"running": {"startedAt": story.at(t)}}}


def _change(story: GpuStory, t: float, model: Model, now: dict[str, Any]) -> None:
    """The only pod of a model as it is from `t` on, and all that follows from it."""
    made = model_servers(story, model, (BAD, {"since": t, **now}))
    put_changed(story, t, made)
    (pod,) = pods_of(made)
    if "waiting" in (now["state"] or {}):
        text = f"Back-off restarting failed container vllm in pod {_full(pod)}"
        story.event(t, pod, "BackOff", text, count=now["restarts"], first=t)


def _probe_failed(story: GpuStory, times: Sequence[float], pod: Manifest, probe: str, why: str) -> None:
    """The kubelet's event of a probe that failed at each of these times."""
    for number, t in enumerate(times, 1):
        story.event(
            t, pod, "Unhealthy", f"{probe} probe failed: {why}", count=number, first=times[0], name=probe.lower()
        )


def _refusal(pod: Manifest) -> str:
    address = f"{pod['status']['podIP']}:{PORT}"
    return f'Get "http://{address}/health": dial tcp {address}: connect: connection refused'


def _full(pod: Manifest) -> str:
    """The pod as the kubelet's messages name it."""
    return f"{pod['metadata']['name']}_serving({pod['metadata']['uid']})"
