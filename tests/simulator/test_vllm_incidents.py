"""The shipped incidents of model servers: what their tapes hold, that it fits together, and what is found."""

import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Final

import msgspec
import pytest

from collectors.vllm.page import parse_server_page
from diagnosis.engine import diagnose
from simulator.pages import Page
from simulator.repeats import Repeats
from simulator.scenarios import open_scenario
from simulator.scenarios.make_vllm import INCIDENTS, main
from simulator.scenarios.vllm_incidents import (
    DEAD_UNTIL,
    DIES_AGAIN_AT,
    FAULT_AT,
    LOADS_S,
    PREEMPTION_ROUND_S,
    QUEUE_ROUND_S,
)
from simulator.scenarios.vllm_pages import SLOWER, read_pages, round_s
from simulator.server import Simulator
from simulator.show import Show
from situation.findings import Finding, Severity
from situation.meta import Ref
from situation.pods import Pod
from situation.selectors import is_ready
from situation.serving.recognise import recognise
from situation.situation import Situation
from tape.format import Frame, page_name
from tape.player import play
from tape.serving import slim_serving_page
from tests.simulator.client import get
from tui.recorded import RecordedSources

ALL: Final = sorted(INCIDENTS)
LARGEST_BYTES: Final = 80_000
SECOND: Final = timedelta(seconds=1)
OTHER: Final = "mistral-7b"
READY_AGAIN_AT: Final = FAULT_AT + 3 + LOADS_S
STATES: Final[dict[str, list[tuple[float, bool, int]]]] = {
    "vllm_queue": [(100, True, 0)],
    "vllm_preemption": [(100, True, 0)],
    "vllm_stalled": [(100, True, 0)],
    "vllm_engine_dead": [
        (FAULT_AT - 1, True, 0),
        (FAULT_AT + 4, False, 1),
        (READY_AGAIN_AT + 1, True, 1),
        (DIES_AGAIN_AT + 3, False, 1),
        (DEAD_UNTIL, False, 2),
    ],
    "vllm_device_oom": [(FAULT_AT + 2, False, 0), (215, False, 3)],
    "vllm_killed_before_ready": [(85, False, 0), (320, False, 2)],
}
"""At some seconds: whether the server is ready, and how often it has restarted."""
AT_THE_END: Final = inf
FOUND: Final = {
    "vllm_queue": {20.0: "vllm-saturated", 165.0: "", AT_THE_END: "vllm-saturated"},
    "vllm_preemption": {100.0: "vllm-preemption", AT_THE_END: "vllm-preemption"},
    "vllm_stalled": {FAULT_AT: "", AT_THE_END: "vllm-stalled"},
    "vllm_engine_dead": {FAULT_AT + 2: "vllm-engine-dead", READY_AGAIN_AT + 5: "", AT_THE_END: "vllm-engine-dead"},
    "vllm_device_oom": {AT_THE_END: "vllm-crash"},
    "vllm_killed_before_ready": {85.0: "vllm-killed-before-ready", AT_THE_END: "vllm-killed-before-ready"},
}
"""What is found at some seconds, by what was heard until then; nothing where it is empty.

At the end each shows its fault: that is what `check --dump` says of the tape, and where a demo stays.
"""
MESSAGES: Final = {
    "BackOff": r"Back-off restarting failed container vllm in pod (\S+)_serving\(\S+\)",
    "Killing": r"Container vllm failed startup probe, will be restarted",
    "Unhealthy": r"(?:Startup|Readiness) probe failed: (?:HTTP probe failed with statuscode: 503"
    r'|Get "http://([\d.]+:8000)/health": dial tcp \1: connect: connection refused)',
}


def path_of(name: str) -> Path:
    return open_scenario(name).path


def situation_at(name: str, t: float) -> Situation:
    """What is known at a second of a tape, with what the servers have said in the last minutes."""
    readings, _, notes = play(path_of(name), t, RecordedSources)
    assert notes == ()
    known = Situation()
    for reading in readings:
        known.apply(reading)
    return known


def the_server(known: Situation) -> Pod:
    (found,) = (pod for pod in known.pods.values() if pod.namespace == "serving" and not pod.name.startswith(OTHER))
    return found


@cache
def pages_of(name: str) -> list[tuple[float, str]]:
    found = []
    for frame in open_scenario(name).frames():
        page = page_name(frame.source)
        if page is not None and page.path == "/metrics" and frame.text:
            found.append((frame.t, frame.text))
    return found


@pytest.mark.parametrize("name", ALL)
def test_the_tape_is_what_its_script_makes_and_small(name: str) -> None:
    tape = open_scenario(name)
    incident, header = INCIDENTS[name], tape.header
    told = [msgspec.json.encode(frame) for frame in incident.frames()]
    assert [msgspec.json.encode(frame) for frame in tape.frames()] == told
    assert (header.start_at, header.hold_at) == (incident.opens_at, incident.hold_at)
    assert header.again_from == incident.again_from
    assert tape.path.stat().st_size < LARGEST_BYTES
    assert all(slim_serving_page(text) == text for _, text in pages_of(name))


@pytest.mark.parametrize("name", ALL)
def test_it_begins_healthy(name: str) -> None:
    known = situation_at(name, 4)
    assert all(map(is_ready, (pod for pod in known.pods.values() if pod.namespace == "serving")))
    assert grave(known, open_scenario(name).header.started_at + 4 * SECOND) == []


def grave(known: Situation, now: datetime) -> list[Finding]:
    """What is found but hints."""
    return [cause for cause in diagnose(known, now).causes if cause.severity is not Severity.INFO]


def rows() -> Iterator[tuple[str, float, bool, int]]:
    for name, states in STATES.items():
        yield from ((name, *state) for state in states)


@pytest.mark.parametrize(("name", "t", "ready", "restarts"), rows())
def test_its_objects_agree(name: str, t: float, ready: bool, restarts: int) -> None:
    known = situation_at(name, t)
    pod = the_server(known)
    (status,) = pod.status.container_statuses
    assert (status.ready, is_ready(pod), status.restart_count) == (ready, ready, restarts)
    assert bool(status.last_state.terminated) == bool(restarts), "a container that restarted has ended before"
    spec = recognise(pod)
    assert spec is not None
    assert (spec.port, str(spec.arguments.gpus)) == (8000, spec.container.resources.limits["nvidia.com/gpu"])
    app = pod.metadata.labels["app"]
    (slice_,) = known.slices_by_service.get(Ref("Service", "serving", app)).values()
    (endpoint,) = slice_.endpoints
    assert endpoint.addresses == (pod.status.pod_ip,)
    assert endpoint.is_ready is ready, "a pod that is not ready gets no traffic"
    deployment = known.deployments["serving", app]
    assert (deployment.spec.replicas, deployment.status.ready_replicas) == (1, int(ready))
    assert deployment.spec.template.spec.containers == pod.spec.containers
    claims = {
        volume.persistent_volume_claim.claim_name for volume in pod.spec.volumes if volume.persistent_volume_claim
    }
    assert {claim.name for claim in known.claims.values()} == claims


@pytest.mark.parametrize("name", ALL)
def test_events_are_worded_as_the_kubelet_does(name: str) -> None:
    known = situation_at(name, INCIDENTS[name].hold_at)
    pod = the_server(known)
    for event in known.events.values():
        match = re.fullmatch(MESSAGES[event.reason], event.message)
        assert match and event.involved_object.name == pod.name, event.message
        assert event.reason != "BackOff" or match[1] == pod.name
    reasons = {event.reason for event in known.events.values()}
    assert ("Killing" in reasons) is (name == "vllm_killed_before_ready")


@pytest.mark.parametrize("name", ALL)
def test_the_right_thing_is_found_and_withdrawn(name: str) -> None:
    started_at = open_scenario(name).header.started_at
    assert AT_THE_END in FOUND[name]
    for moment, rule in FOUND[name].items():
        t = min(moment, INCIDENTS[name].hold_at)
        causes = grave(situation_at(name, t), started_at + t * SECOND)
        assert [cause.rule for cause in causes] == ([rule] if rule else []), t
        assert not [cause for cause in causes if cause.subject.name.startswith(OTHER)]


@pytest.mark.parametrize(
    ("name", "recorded", "length"),
    [("vllm_queue", "queue", QUEUE_ROUND_S), ("vllm_preemption", "preemption", PREEMPTION_ROUND_S)],
)
def test_a_demo_goes_on_with_whole_rounds(name: str, recorded: str, length: float) -> None:
    """What comes after the tape's end is what would have come: each counter where the next recorded page has it."""
    incident, begun = INCIDENTS[name], round_s(read_pages()[recorded])
    assert incident.again_from == incident.hold_at - length == pytest.approx(incident.hold_at - begun, abs=0.05)
    longer = incident._replace(hold_at=incident.hold_at + length / 2).frames()
    pages = [(frame, page_of(frame)) for frame in longer if frame.source.endswith("/metrics")]
    repeats = Repeats(incident.again_from, incident.hold_at)
    for frame, page in pages:
        if frame.t <= incident.hold_at:
            repeats.note(frame, page)
    told = [(incident.hold_at + after_s, page) for after_s, _, page in repeats.round(1)]
    expected = [(frame.t, page) for frame, page in pages if frame.t > incident.hold_at]
    assert len(expected) > 10
    for (t, page), (due, wanted) in zip(told, expected, strict=False):
        assert t == pytest.approx(due, abs=0.15)
        assert parse_server_page(page.text.encode(), name) == parse_server_page(wanted.text.encode(), name)


def page_of(frame: Frame) -> Page:
    return Page(frame.status or 200, frame.text or "", frame.error or "")


@pytest.mark.parametrize(("name", "recorded"), [("vllm_queue", "queue"), ("vllm_preemption", "preemption")])
def test_recorded_pages_are_told_slower_and_go_on(name: str, recorded: str) -> None:
    first = read_pages()[recorded]
    told = [(t, parse_server_page(text.encode(), name).engines[0]) for t, text in pages_of(name)]
    was = [parse_server_page(page.text.encode(), name).engines[0] for page in first]
    assert [t for t, _ in told[: len(first)]] == [round(SLOWER * page.t, 1) for page in first]
    gauges = [(now.running, now.waiting, now.kv_usage_ratio) for _, now in told[: len(first)]]
    assert [tuple(round(value or 0, 6) for value in row) for row in gauges] == [
        (now.running, now.waiting, round(now.kv_usage_ratio or 0, 6)) for now in was
    ]
    for (_, before), (_, after) in pairwise(told):
        for field in ("generation_tokens", "preemptions", "prompt_tokens"):
            assert getattr(after, field) >= getattr(before, field)
        assert after.ttft and before.ttft
        assert all(now >= then for now, then in zip(after.ttft.counts, before.ttft.counts, strict=True))
    slow, fast = told[len(first) - 1][1].ttft, was[-1].ttft
    assert slow and fast
    assert slow.since(told[0][1].ttft).quantile(0.5) == pytest.approx(SLOWER * (fast.quantile(0.5) or 0), rel=0.5)


async def test_the_other_model_is_served_meanwhile() -> None:
    show = Show(open_scenario("vllm_queue"))
    other = next(pod for pod in situation_at("vllm_queue", 4).pods if pod[1].startswith(OTHER))
    async with Simulator(show.cluster) as simulator:
        status, text = await get(simulator, f"/api/v1/namespaces/serving/pods/{other[1]}:8000/proxy/metrics")
    assert status == 200
    assert parse_server_page(text.encode(), "other").engines[0].model == OTHER


def test_the_command_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--recordings", str(tmp_path)]) == 1
    assert "queue_saturation" in capsys.readouterr().err
