"""What vLLM's log tells: the root cause above the generic last line, in old and new wordings, look-alikes apart."""

import pytest

from diagnosis.log_catalogue import vllm, vllm_start
from diagnosis.log_catalogue.signature import Weight
from diagnosis.log_signatures import find_signatures, trigger
from tests.diagnosis.vllm_logs import FAILED, FREE, LOADED, LOGS, OOM, QUIET, RETRY, START, UNREACHED


@pytest.mark.parametrize(("cause", "log"), LOGS)
def test_the_root_cause_is_told_and_explains_what_follows(cause: str, log: str) -> None:
    matches = find_signatures("INFO starting\n" + log + "INFO bye\n")
    own = [match.signature.id for match in matches if not match.explained_by and match.signature.weight is Weight.FAULT]
    assert own == [cause]
    first = trigger(matches)
    assert first is not None and first.signature.id == cause


def test_every_signature_has_a_log() -> None:
    mild = {
        "vllm-log-broadcast-wait",
        "vllm-log-preempted",
        "vllm-log-started",
        "vllm-log-shutdown",
        "vllm-log-hub-retry",
    }
    explained = {"vllm-log-hub-refused"}
    known = {signature.id for signature in vllm.SIGNATURES + vllm_start.SIGNATURES}
    assert known == {cause for cause, _ in LOGS} | mild | explained


@pytest.mark.parametrize("log", [log for _, log in QUIET], ids=[name for name, _ in QUIET])
def test_look_alikes_are_silent(log: str) -> None:
    assert find_signatures(log) == ()


@pytest.mark.parametrize(
    ("log", "weight"),
    [
        (LOADED, Weight.NOTE),
        ("INFO [shm_broadcast.py:466] No available shared memory broadcast block found in 60 seconds.\n", Weight.WAITS),
        ("Sequence group 7 is preempted by PreemptionMode.RECOMPUTE mode because there is not enough KV cache space to "
         "provide the end-to-end performance. total_num_cumulative_preemption=1\n", Weight.NOTE),
        ("INFO [shutdown] API server: shutdown triggered\n", Weight.NOTE),
        (RETRY, Weight.NOTE),
        (UNREACHED + LOADED, Weight.NOTE),
    ],
)  # fmt: skip
def test_what_is_normal_is_no_fault(log: str, weight: Weight) -> None:
    first = trigger(find_signatures(START + FREE + log))
    assert first is not None and first.signature.weight is weight


def test_a_wait_for_a_broadcast_block_is_not_the_cause_beside_a_fault() -> None:
    wait = "No available shared memory broadcast block found in 60 seconds.\n"
    first = trigger(find_signatures(wait + OOM))
    assert first is not None and first.signature.id == "vllm-log-gpu-oom"


@pytest.mark.parametrize(
    ("log", "by"),
    [
        (UNREACHED + OOM + FAILED, "vllm-log-gpu-oom"),
        (UNREACHED + LOADED, "vllm-log-started"),
        (LOADED + UNREACHED, ""),
        (UNREACHED + FAILED, ""),
        (RETRY + UNREACHED, ""),
    ],
    ids=["another fault", "a good start after it", "a good start before it", "its own effect", "a try before it"],
)
def test_the_hub_was_reached_if_what_needs_the_model_came_after_it(log: str, by: str) -> None:
    found = next(match for match in find_signatures(log) if match.signature.id == "vllm-log-hub-unreachable")
    assert found.explained_by == by
