"""Which run of a container a log belongs to, what it told, and for how long that is remembered."""

from typing import Any

import pytest

from diagnosis.log_reads import log_read, said_in_message
from situation.log_reads import KEPT, LogRead, LogReads, RunRead
from situation.logs import LogLine, LogRun, LogTarget, PodLog
from situation.pods import Pod, Terminated
from situation.readings import SourceState
from tests.build import NOW, Manifest, made, pod
from tests.diagnosis.pod_faults import ended, looping, running, status
from tests.diagnosis.vllm_logs import FAILED, OOM

GONE = LogRun(state=SourceState.ABSENT, said="there is no previous run")
TARGET = LogTarget("shop", "web-1", "app", previous=True)


def run(text: str) -> LogRun:
    return LogRun(tuple(LogLine(line) for line in text.splitlines()))


def of(container_status: Manifest, uid: str = "uid-web-1") -> Pod:
    manifest = pod(container_status=container_status)
    manifest["metadata"]["uid"] = uid
    found = made(manifest)
    assert isinstance(found, Pod)
    return found


@pytest.mark.parametrize(
    ("container_status", "previous", "current", "runs"),
    [
        (looping(restarts=4), OOM, OOM, {4: ["vllm-log-gpu-oom"]}),
        (status(running(9), ended(), restarts=5), OOM, "starting", {4: ["vllm-log-gpu-oom"], 5: []}),
        (status(ended(), ended(ended_s=90), restarts=4), "of run 3", OOM, {4: ["vllm-log-gpu-oom"]}),
        (status(running(9)), None, OOM, {0: ["vllm-log-gpu-oom"]}),
        (status(ended()), None, OOM, {0: ["vllm-log-gpu-oom"]}),
        (looping(restarts=4), OOM, None, {4: ["vllm-log-gpu-oom"]}),
        (looping(restarts=4), None, None, {}),
    ],
    ids=["waits", "runs again", "just ended", "first run", "first end", "present one refused", "neither"],
)
def test_each_run_is_told_by_its_number(
    container_status: Manifest, previous: str | None, current: str | None, runs: dict[int, list[str]]
) -> None:
    before, present = (run(text) if text is not None else GONE for text in (previous, current))
    now = of(container_status)
    found = log_read(PodLog(TARGET, before, present, NOW), now, now)
    assert found is not None
    assert {item.number: [said.id for said in item.said] for item in found.runs} == runs
    assert (found.container, found.uid, found.read_at) == ("app", "uid-web-1", NOW)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (of(looping(restarts=4)), of(status(running(1), ended(), restarts=5))),
        (of(status(running(1), restarts=4)), of(status(ended(), restarts=4))),
        (of(looping()), of(looping(), uid="another")),
        (of(looping()), None),
        (None, of(looping())),
    ],
    ids=["restarted", "ended", "another pod", "gone", "came"],
)
def test_what_changes_while_it_is_read_is_of_nobody_knows_which_run(before: Pod | None, after: Pod | None) -> None:
    assert log_read(PodLog(TARGET, run(OOM), run(OOM), NOW), before, after) is None


def test_lines_are_counted_in_their_run_and_the_cause_explains_the_end() -> None:
    now = of(looping())
    found = log_read(PodLog(TARGET, GONE, run("starting\n" + OOM + FAILED), NOW), now, now)
    assert found is not None
    (told,) = found.runs
    assert told.fault is not None and (told.fault.id, told.fault.line) == ("vllm-log-gpu-oom", 2)
    assert [item.explained_by for item in told.said[1:]] == ["vllm-log-gpu-oom"]


def test_a_termination_message_tells_too() -> None:
    told = said_in_message(Terminated(exit_code=1, message=f"x␊{OOM.strip()}␊bye"), 3)
    assert told is not None and told.fault is not None
    assert (told.number, told.fault.id, told.fault.line) == (3, "vllm-log-gpu-oom", 2)
    assert said_in_message(Terminated(exit_code=1, message="bye"), 3) is None
    assert said_in_message(None, 3) is None


def test_what_is_remembered_is_bounded_and_ends_with_the_run() -> None:
    reads = LogReads()
    for number in range(KEPT + 3):
        reads.take(LogRead("shop", "web-1", f"uid-{number}", "app", (RunRead(4),), NOW))
    assert len(reads) == KEPT

    def known(uid: str, **state: Any) -> bool:
        found = of(looping(**state), uid)
        return reads.of_last_end(found, found.status.container_statuses[0]) is not None

    assert known(f"uid-{KEPT}")
    assert not known("uid-0"), "the oldest is forgotten"
    assert not known(f"uid-{KEPT}", restarts=5), "it has ended again since"
    reads.take(LogRead("shop", "web-1", f"uid-{KEPT}", "app", (RunRead(5),), NOW))
    assert len(reads) == KEPT
    assert known(f"uid-{KEPT}", restarts=5)
