"""The table of models and servers, the detail of one, and how they share the pane."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from situation.findings import Severity
from situation.meta import Ref
from situation.serving.view import Spread
from widgets.blocks import NOT_MEASURED, tall_curve
from widgets.columns import lay_out
from widgets.vllm import next_model, table_lines
from widgets.vllm_detail import Plot, ServerDetail, Words, detail_lines
from widgets.vllm_states import LOOK, RowState
from widgets.vllm_table import RowKey, RowKind, ServingRow, serving_cells, serving_columns

MODEL = RowKey(RowKind.MODEL, "llama-8b", Ref("Deployment", "inference", "llama-8b"))
TITLES = [column.title for column in serving_columns(10)]
HOSTILE = ["[/nope]", "[@click=app.quit]x[/]", "a\nb\x1b[2J", "m" * 300, "模型" * 40, "\u202eevil"]


def texts(row: ServingRow) -> list[str]:
    return [cell if isinstance(cell, str) else cell[0] for cell in serving_cells(row, b"")]


def test_what_was_not_measured_is_never_0_and_the_state_says_why() -> None:
    shown = texts(ServingRow(MODEL, "llama-8b", RowState.NOT_MEASURED, ready=1, wanted=1))
    assert shown[1] == "? no stats"
    assert shown[2] == "1/1"
    figures = [text for text, title in zip(shown[3:], TITLES[3:], strict=True) if title not in ("", "software", "on")]
    assert set(figures) == {"–"}


def test_numbers_carry_the_glyph_of_how_bad_they_are() -> None:
    row = ServingRow(
        MODEL,
        "llama-8b",
        RowState.HEALTHY,
        ready=0,
        wanted=2,
        ready_severity=Severity.CRITICAL,
        running=256.0,
        running_severity=Severity.WARNING,
        waiting=52.0,
        waiting_severity=Severity.CRITICAL,
        kv_usage_ratio=0.97,
        kv_severity=Severity.CRITICAL,
        preemptions_per_min=0.0,
        ttft=Spread(0.08, 4.1),
        generation_tokens_per_s=2140.0,
        prefix_hit_ratio=0.43,
    )
    shown = texts(row)
    assert shown[1:5] == ["✓ answers", "▲ 0/2", "● 256", "▲ 52"]
    assert shown[6:11] == ["▲ 97%", "████▉", "0", "4.1s", "80ms"]
    assert shown[13:15] == ["2.1k", "43%"]


@pytest.mark.parametrize(
    ("row", "state"),
    [
        (ServingRow(MODEL, "m", RowState.STALE, since_s=40.0), "? stale 40s"),
        (ServingRow(MODEL, "m", RowState.DOWN, count=2), "▲ 2 down"),
        (ServingRow(MODEL, "m", RowState.ASKING), "◌ asking"),
        (ServingRow(MODEL, "m", RowState.FORBIDDEN), "? forbidden"),
        (ServingRow(MODEL._replace(kind=RowKind.ENGINE), "rank 1", RowState.STALLED, depth=1), ""),
    ],
)
def test_each_state_has_its_glyph_and_word(row: ServingRow, state: str) -> None:
    assert texts(row)[1] == state


def test_no_two_states_look_the_same() -> None:
    assert len({(look.glyph, look.word) for look in LOOK.values()}) == len(RowState) == len(LOOK)


@pytest.mark.parametrize(
    ("width", "kept", "gone"),
    [
        (78, {"model", "state", "ready", "run", "wait", "KV", "pre/m", "TTFT p99"}, {"ITL p99", "tok/s", "software"}),
        (120, {"ITL p99", "tok/s", "hits"}, {"on"}),
        (220, set(TITLES), set()),
        (40, {"model", "state", "wait", "KV"}, {"pre/m"}),
    ],
)
def test_columns_go_by_what_matters_least(width: int, kept: set[str], gone: set[str]) -> None:
    shown = {TITLES[index] for index, _ in lay_out(serving_columns(10), width, airy=True).shown}
    assert kept <= shown
    assert not gone & shown


def drawn(detail: ServerDetail, width: int = 79, height: int = 12) -> list[str]:
    return [line.plain for line in detail_lines(detail, width, height)]


def detail(title: str = "llama-8b-0xvka", text: str = "52") -> ServerDetail:
    plots = tuple(Plot(name, bytes((0, 50, NOT_MEASURED, 100)), text) for name in ("waiting", "KV cache", "running"))
    return ServerDetail(
        title,
        RowState.STALLED,
        f"nothing moved: {title}",
        (f"on {title}", "vLLM 0.33.0"),
        (Words(f"▲ queue grows by 12/min {title}", "critical"),),
        plots,
        (("arguments", Words(f"max-num-seqs 256 · {title} " * 3)),),
    )


def test_the_detail_says_state_reason_and_remarks_before_the_plots() -> None:
    lines = drawn(detail())
    assert lines[0] == "llama-8b-0xvka · ▲ stalled · on llama-8b-0xvka · vLLM 0.33.0"
    assert lines[1] == "nothing moved: llama-8b-0xvka"
    assert lines[2].startswith("▲ queue grows by 12/min")
    assert any("▁▅·█ 52" in line.replace("  ", "") or "█ 52" in line for line in lines)
    assert any(line.startswith("arguments") for line in lines)


def test_plots_get_taller_where_there_is_room() -> None:
    assert len(drawn(detail(), 120, 30)) == len(drawn(detail(), 120, 0)) + 2
    assert len(drawn(detail(), 120, 3)) == len(drawn(detail(), 120, 0))


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("width", [30, 79, 160])
def test_hostile_names_are_text_and_never_too_wide(name: str, width: int) -> None:
    for line in drawn(detail(name, name[:12]), width):
        assert cell_len(line) <= width
        assert line.isprintable()


def test_tall_curves_stand_on_their_foot() -> None:
    assert tall_curve((0, 50, NOT_MEASURED, 100), 6, 2) == ["     █", "  ▁█·█"]
    assert tall_curve((0, 100), 2, 1) == ["▁█"]


@given(room=st.integers(0, 60), rows=st.integers(0, 300), lines=st.integers(0, 20))
def test_table_and_detail_share_the_lines(room: int, rows: int, lines: int) -> None:
    table = table_lines(room, rows, lines)
    assert 0 <= table <= min(room, rows + 1)
    assert table >= min(room, rows + 1, 3)
    if rows + 1 + lines <= room:
        assert table == rows + 1


def test_the_next_model_is_found_past_the_servers_and_round_the_end() -> None:
    server, other = MODEL._replace(kind=RowKind.SERVER, server="a"), MODEL._replace(model="bge")
    keys = (MODEL, server, other)
    assert next_model(keys, 0) == other
    assert next_model(keys, 2) == MODEL
    assert next_model((server,), 0) is None
