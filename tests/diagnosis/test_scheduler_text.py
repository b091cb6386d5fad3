"""Messages of the scheduler: real ones of several releases, and the grammar turned round."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnosis import scheduler_text as text
from diagnosis.scheduler_text import NodeReason, parse_scheduler_message

PREEMPTION = "preemption: 0/4 nodes are available: 4 Preemption is not helpful for scheduling."


@pytest.mark.parametrize(
    ("message", "total", "reasons", "rejected", "afterwards"),
    [
        (
            "0/1 nodes are available: 1 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: 0/1 "
            "nodes are available: 1 Preemption is not helpful for scheduling.",
            1,
            [(1, "Insufficient nvidia.com/gpu")],
            "",
            "no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for "
            "scheduling.",
        ),
        (
            "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found",
            1,
            [],
            "pod has unbound immediate PersistentVolumeClaims",
            "not found",
        ),
        (
            "0/4 nodes are available: 1 node(s) had untolerated taint {node.kubernetes.io/not-ready: }, 1 node(s) were "
            f"unschedulable, 2 Insufficient nvidia.com/mig-1g.10gb. {PREEMPTION}",
            4,
            [
                (1, "node(s) had untolerated taint {node.kubernetes.io/not-ready: }"),
                (1, "node(s) were unschedulable"),
                (2, "Insufficient nvidia.com/mig-1g.10gb"),
            ],
            "",
            PREEMPTION,
        ),
        (
            "0/2 nodes are available: 2 node(s) had taint {dedicated: gpu}, that the pod didn't tolerate.",
            2,
            [(2, "node(s) had taint {dedicated: gpu}, that the pod didn't tolerate")],
            "",
            "",
        ),
        (
            "(combined from similar events): 0/2 nodes are available: 2 Too many pods.",
            2,
            [(2, "Too many pods")],
            "",
            "",
        ),
        ('persistentvolumeclaim "data" not found', None, [], 'persistentvolumeclaim "data" not found', ""),
        ("no nodes available to schedule pods", None, [], "no nodes available to schedule pods", ""),
        ("0/3 nodes are available.", 3, [], "", ""),
        ("", None, [], "", ""),
    ],
)
def test_real_messages(
    message: str, total: int | None, reasons: Sequence[tuple[int, str]], rejected: str, afterwards: str
) -> None:
    said = parse_scheduler_message(message)
    assert said.total == total
    assert said.reasons == tuple(NodeReason(*reason) for reason in reasons)
    assert said.rejected == rejected
    assert said.afterwards == afterwards


@pytest.mark.parametrize(
    ("fragment", "pattern"),
    [
        ("node(s) didn't match Pod's node affinity/selector", text.SELECTOR),
        ("node(s) didn't match node selector", text.SELECTOR),
        ("node(s) didn't match the requested node name", text.NODE_NAME),
        ("node(s) had untolerated taint(s)", text.TAINT),
        ("node(s) had untolerated taint {a: b}", text.TAINT),
        ("node(s) were unschedulable", text.CORDON),
        ("node(s) didn't match pod anti-affinity rules", text.ANTI_AFFINITY),
        ("node(s) didn't satisfy existing pods anti-affinity rules", text.ANTI_AFFINITY),
        ("node(s) didn't match pod affinity rules", text.AFFINITY),
        ("node(s) didn't match pod topology spread constraints (missing required label)", text.SPREAD),
        ("node(s) didn't have free ports for the requested pod ports", text.HOST_PORT),
        ("Too many pods", text.POD_COUNT),
        ("node(s) didn't match PersistentVolume's node affinity", text.VOLUME_PLACE),
        ("node(s) had volume node affinity conflict", text.VOLUME_PLACE),
        ("node(s) had no available volume zone", text.VOLUME_PLACE),
        ("node(s) didn't find available persistent volumes to bind", text.NO_VOLUME),
        ("node(s) did not have enough free storage", text.NO_STORAGE),
        (
            "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use by "
            "another pod",
            text.ONE_POD_VOLUME,
        ),
        ("node(s) exceed max volume count", text.VOLUME_COUNT),
        ("cannot allocate all claims", text.RESOURCE_CLAIM),
        ("request gpus: device class big.example does not exist", text.RESOURCE_CLAIM),
        ("resourceclaim in use", text.RESOURCE_CLAIM),
    ],
)
def test_a_fragment_matches_its_own_pattern_only(fragment: str, pattern: re.Pattern[str]) -> None:
    said = parse_scheduler_message(f"0/3 nodes are available: 3 {fragment}.")
    assert said.count(pattern) == 3
    named = [value for name, value in vars(text).items() if isinstance(value, re.Pattern) and name[0] != "_"]
    assert [other for other in named if said.mentions(other)] == [pattern]


def test_insufficient_and_taint_keys_are_read_off() -> None:
    said = parse_scheduler_message(
        "0/6 nodes are available: 2 Insufficient cpu, 3 Insufficient nvidia.com/gpu, 1 node(s) had untolerated "
        "taint {a/b: c}."
    )
    assert said.insufficient == {"cpu": 2, "nvidia.com/gpu": 3}
    assert said.taint_keys == ("a/b",)
    assert said.text.startswith("2 Insufficient cpu, 3 Insufficient")


WORDS = st.text(alphabet="abcdefghij()/'-{}:", min_size=1, max_size=12)
REASONS = st.lists(WORDS, min_size=1, max_size=4).map(" ".join).filter(lambda reason: reason.strip() == reason)


@given(
    st.integers(0, 5000),
    st.lists(st.tuples(st.integers(1, 5000), REASONS), min_size=1, max_size=5),
    st.one_of(st.just(""), REASONS),
)
def test_what_the_grammar_writes_is_read_back(total: int, reasons: list[tuple[int, str]], afterwards: str) -> None:
    listed = ", ".join(f"{count} {reason}" for count, reason in reasons)
    said = parse_scheduler_message(f"0/{total} nodes are available: {listed}. {afterwards}".rstrip())
    assert said.total == total
    assert said.reasons == tuple(NodeReason(*reason) for reason in reasons)
    assert said.afterwards == afterwards


@given(st.text(max_size=200))
def test_any_text_is_taken(message: str) -> None:
    said = parse_scheduler_message(message)
    assert said.rejected == message.strip() or said.total is not None
