"""The parts of the pane of the control plane, as text."""

from hypothesis import given
from hypothesis import strategies as st

from situation.findings import Severity
from situation.meta import Ref
from situation.readings import SourceState
from widgets.blocks import NOT_MEASURED, stacked_bar
from widgets.columns import Cell
from widgets.control_plane_facts import ControlPlaneFact, fact_lines
from widgets.etcd import member_lines
from widgets.etcd_members import LOOK, MemberRow, MemberState, member_cells
from widgets.pane import PaneState

GIB = 2**30
ETCD_1 = Ref("EtcdMember", "", "etcd-1")


def text(cell: Cell) -> str:
    return cell if isinstance(cell, str) else cell[0]


def cells(row: MemberRow) -> list[str]:
    return [text(cell) for cell in member_cells(row)]


def test_every_state_has_its_own_word_and_a_glyph() -> None:
    assert set(LOOK) == set(MemberState)
    assert len({state.value for state in MemberState}) == len(MemberState)


def test_a_leader() -> None:
    row = MemberRow(
        "https://10.0.0.1:2379", ETCD_1, MemberState.LEADER, term=7, in_use_bytes=GIB, size_bytes=3 * GIB // 2,
        quota_bytes=2 * GIB, fsync_p99_s=0.0031, fsync_curve=bytes((0, 50, NOT_MEASURED, 100)), commit_p99_s=0.012,
        version="3.5.21",
    )  # fmt: skip
    assert cells(row) == [
        "etcd-1", "◆ leader", "75%", "████▒▒░░", "3.1ms", "      ▁▅·█", "12ms", "", "1.0Gi/1.5Gi/2.0Gi", "7", "3.5.21",
    ]  # fmt: skip


def test_what_is_not_known_is_a_dash_never_0() -> None:
    shown = cells(MemberRow("x", ETCD_1, MemberState.NOT_ASKED))
    assert shown == ["etcd-1", "? not asked", "–", "········", "–", "          ", "–", "–", "–", "–", "–"]
    assert cells(MemberRow("x", ETCD_1, MemberState.FOLLOWER, lag=0))[7] == "0"


def test_trouble_has_a_glyph_beside_its_number() -> None:
    row = MemberRow(
        "x", ETCD_1, MemberState.FOLLOWER, size_bytes=GIB, quota_bytes=GIB, space_severity=Severity.CRITICAL,
        fsync_p99_s=0.6, fsync_severity=Severity.CRITICAL, commit_p99_s=0.03, commit_severity=Severity.WARNING,
        lag=9000, lag_severity=Severity.WARNING,
    )  # fmt: skip
    shown = cells(row)
    assert (shown[2], shown[4], shown[6], shown[7]) == ("▲ 100%", "▲ 600ms", "● 30ms", "● 9000")


def test_a_silent_member_says_since_when_and_its_numbers_are_dimmed() -> None:
    row = MemberRow("x", ETCD_1, MemberState.SILENT, since_s=125, size_bytes=GIB, quota_bytes=2 * GIB, term=7)
    made = member_cells(row)
    assert made[1] == ("▲ silent 2m5s", "critical")
    assert made[2] == ("50%", "dim")
    assert made[9] == ("7", "dim")


def test_the_focused_member_is_marked_by_more_than_colour() -> None:
    assert cells(MemberRow("x", ETCD_1, MemberState.FOLLOWER, related=True))[0] == "▸etcd-1"


@given(st.floats(0, 2) | st.none(), st.floats(0, 2) | st.none(), st.integers(1, 30))
def test_a_stacked_bar_always_has_its_width(inner: float | None, outer: float | None, width: int) -> None:
    bar = stacked_bar(inner, outer, width)
    assert len(bar) == width
    if outer is None:
        assert set(bar) == {"·"}
    elif outer == 0:
        assert set(bar) == {"░"}


def test_facts_are_wrapped_not_cut_and_a_part_is_named_once() -> None:
    live = PaneState(SourceState.LIVE, 0.0)
    facts = (
        ControlPlaneFact("quorum", "✓", "3 of 3 answer", "fine", live),
        ControlPlaneFact("members", "▲", "etcd-2 silent since 02:39:17 UTC", "critical"),
        ControlPlaneFact("members", "?", "etcd-3 not asked", "warning"),
    )
    lines = fact_lines(facts, 20)
    assert [(line.part, line.text) for line in lines] == [
        ("quorum", "✓ 3 of 3 answer"),
        ("members", "▲ etcd-2 silent"),
        ("", "  since 02:39:17 UTC"),
        ("", "? etcd-3 not asked"),
    ]
    assert [line.state for line in lines] == [live, None, None, None]
    assert [line.number for line in lines] == [0, 1, 2, 3]


@given(st.integers(0, 60), st.integers(0, 12), st.integers(0, 30))
def test_the_lines_are_shared_and_never_more_than_there_are(room: int, members: int, facts: int) -> None:
    lines = member_lines(room, members, facts)
    assert 0 <= lines <= max(0, room)
    if members and room >= 3:
        assert lines >= min(members + 1, 3)
    if room >= members + 1 + facts:
        assert lines == (members + 1 if members else 0)
