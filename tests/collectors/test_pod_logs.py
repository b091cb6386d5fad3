"""Logs read through the API, from a real server on loopback: both runs, each refusal on its own."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.kubernetes import pod_logs
from collectors.kubernetes.pod_logs import LIMIT_BYTES, LINE_CHARS, LINES, parse_log, read_pod_log
from simulator.faults import Answer
from simulator.server import Simulator
from situation.clock import utc_now
from situation.logs import LogTarget, PodLog
from situation.readings import SourceState
from situation.text import harmless
from tests.build import ago, pod
from tests.collectors.harness import client_of

LOG = "/api/v1/namespaces/shop/pods/web-1/log"
WEB = LogTarget("shop", "web-1", "app")
ENDED: dict[str, Any] = {"terminated": {"exitCode": 1, "reason": "Error", "startedAt": ago(60), "finishedAt": ago(50)}}
RESTARTED: dict[str, Any] = {"state": {"running": {"startedAt": ago(30)}}, "lastState": ENDED, "restartCount": 1}


async def read(simulator: Simulator, folder: Path, target: LogTarget = WEB) -> PodLog:
    async with client_of(simulator, folder) as client:
        return await read_pod_log(client, target, utc_now)


def texts(log: PodLog) -> tuple[list[str], list[str]]:
    return [line.text for line in log.previous.lines], [line.text for line in log.current.lines]


async def test_both_runs_are_read_at_once_bounded_and_with_times(simulator: Simulator, tmp_path: Path) -> None:
    simulator.cluster.put("pods", pod(container_status=RESTARTED))
    simulator.cluster.logs["shop/web-1"] = "".join(f"line {number}\n" for number in range(300))
    log = await read(simulator, tmp_path)
    assert log.target == WEB
    assert texts(log) == ([f"line {number}" for number in range(100, 300)],) * 2
    assert log.previous.lines[0].at == datetime(2026, 11, 23, 2, 40, 7, tzinfo=UTC)
    assert log.current.lines[0].at == datetime(2026, 11, 23, 2, 40, 37, tzinfo=UTC)
    asked = [dict(request.query) for request in simulator.requests if request.path == LOG]
    common = {"container": "app", "tailLines": "200", "limitBytes": str(LIMIT_BYTES), "timestamps": "true"}
    assert sorted(asked, key=len) == [common, {**common, "previous": "true"}]
    assert {request.method for request in simulator.requests} == {"GET"}


async def test_no_previous_run_and_a_container_that_waits_are_no_errors(simulator: Simulator, tmp_path: Path) -> None:
    simulator.cluster.put("pods", pod())
    simulator.cluster.logs["shop/web-1"] = "one\n"
    log = await read(simulator, tmp_path)
    assert (log.previous.state, log.previous.said) == (SourceState.ABSENT, "there is no previous run")
    assert texts(log) == ([], ["one"])
    simulator.cluster.put("pods", pod(container_status={"state": {"waiting": {"reason": "PodInitializing"}}}))
    log = await read(simulator, tmp_path)
    assert (log.current.state, log.current.said) == (SourceState.ABSENT, "it has not started: PodInitializing")


@pytest.mark.parametrize(
    ("answer", "state", "said"),
    [
        (
            Answer(LOG, 403, {"kind": "Status", "message": 'pods "web-1" is forbidden'}, times=None),
            SourceState.FORBIDDEN,
            "cannot get pods/log in namespace shop (RBAC: verb get, resource pods/log)",
        ),
        (
            Answer(LOG, 404, {"kind": "Status", "message": 'pods "web-1" not found'}, times=None),
            SourceState.ABSENT,
            "pod web-1 is gone",
        ),
        (
            Answer(LOG, 400, {"kind": "Status", "message": "container app is not valid for pod web-1"}, times=None),
            SourceState.ABSENT,
            "pod web-1 has no container app",
        ),
        (
            Answer(LOG, 502, {"kind": "Status", "message": "Get https://10.0.0.7:10250/log: refused"}, times=None),
            SourceState.UNREACHABLE,
            "answered 502 Bad Gateway: Get https://10.0.0.7:10250/log: refused",
        ),
        (Answer(LOG, 401, "", times=None), SourceState.UNAUTHORIZED, "credentials"),
        (Answer(LOG, 429, "", {"Retry-After": "1"}, times=None), SourceState.UNREACHABLE, "asks to wait 1 s"),
    ],
    ids=lambda item: str(item.status) if isinstance(item, Answer) else "",
)
async def test_each_refusal_is_of_our_kinds(
    simulator: Simulator, tmp_path: Path, answer: Answer, state: SourceState, said: str
) -> None:
    simulator.faults.answers.append(answer)
    log = await read(simulator, tmp_path)
    for run in (log.previous, log.current):
        assert (run.state, run.lines) == (state, ())
        assert said in run.said


async def test_one_run_may_fail_and_the_other_not(simulator: Simulator, tmp_path: Path) -> None:
    simulator.cluster.put("pods", pod(container_status=RESTARTED))
    simulator.cluster.logs["shop/web-1"] = "one\n"
    simulator.faults.answers.append(Answer(LOG, 500, "", query={"previous": "*"}, times=None))
    log = await read(simulator, tmp_path)
    assert (log.previous.state, log.current.state) == (SourceState.UNREACHABLE, SourceState.LIVE)
    assert texts(log) == ([], ["one"])


async def test_a_server_that_is_gone_and_one_that_is_silent(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pod_logs, "DEADLINE_S", 0.2)
    simulator.faults.hang.append(LOG)
    log = await read(simulator, tmp_path)
    assert log.current.state is SourceState.UNREACHABLE
    assert "did not answer within 0.2 s" in log.current.said
    async with client_of(simulator, tmp_path) as client:
        await simulator.down()
        log = await read_pod_log(client, WEB, utc_now)
    assert "connection refused" in log.current.said


async def test_more_than_the_limit_is_cut_and_said(simulator: Simulator, tmp_path: Path) -> None:
    simulator.faults.answers.append(Answer(LOG, 200, b"x\n" * LIMIT_BYTES, {"Content-Type": "text/plain"}, times=None))
    log = await read(simulator, tmp_path)
    assert len(log.current.lines) == LINES
    assert log.current.cut == "after 512 KiB"


async def test_giving_up_ends_the_requests(simulator: Simulator, tmp_path: Path) -> None:
    simulator.faults.hang.append(LOG)
    async with client_of(simulator, tmp_path) as client:
        task = asyncio.create_task(read_pod_log(client, WEB, utc_now))
        for _ in range(400):
            if sum(request.path == LOG for request in simulator.requests) == 2:
                break
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_a_name_cannot_leave_its_place_in_the_path(simulator: Simulator, tmp_path: Path) -> None:
    log = await read(simulator, tmp_path, LogTarget("shop", "../../../version?x=", "app"))
    assert log.current.state is SourceState.ABSENT
    assert all("/pods/" in request.path for request in simulator.requests)


def test_lines_are_harmless_without_colours_and_bounded() -> None:
    body = (
        b"2026-11-23T02:31:11.123456789Z \x1b[31mred\x1b[0m \x1b]52;c;aGk=\x07\r\n"
        b"2026-13-45T99:99:99Z no time\n"
        b"\xff\xfe broken\n" + b"x" * 5000 + b"\n\n"
    )
    first, second, third, fourth, fifth = parse_log(body)
    assert (first.text, first.at) == (
        "red ␛]52;c;aGk=␇",
        datetime(2026, 11, 23, 2, 31, 11, 123456, tzinfo=UTC),
    )
    assert (second.text, second.at) == ("2026-13-45T99:99:99Z no time", None)
    assert third.text == "�� broken"
    assert len(fourth.text) == LINE_CHARS + 1
    assert fifth.text == ""
    assert parse_log(b"") == ()


@given(st.binary(max_size=2000))
def test_any_bytes_become_harmless_lines(body: bytes) -> None:
    for line in parse_log(body):
        assert harmless(line.text) == line.text
