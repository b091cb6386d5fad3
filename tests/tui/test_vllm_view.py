"""Which model server is shown and why, how its figures are judged, and its last minutes as curves."""

from datetime import timedelta

import pytest
from msgspec.structs import replace

from diagnosis.rules.serving_load import GROWS_CRITICAL, KV_FULL, KV_NEAR
from playbooks.commands import Target
from situation.findings import Diagnosis, Severity
from situation.focus import EVERYTHING, Focus, Relation
from situation.meta import Ref
from situation.readings import Reading, SourceState
from situation.serving.arguments import EngineArguments
from situation.serving.memory import Curve
from situation.serving.readings import CacheConfig, Software
from situation.serving.serving import serving_of
from situation.serving.view import EngineFigures, ServerState, ServerView
from situation.situation import Situation
from tests.build import NOW, pod, situation
from tests.model_servers import SOURCE, deployment, engine, overloaded, quiet, rounds, said, stalled, vllm_pod
from tui.view import Filter, parse_filter
from tui.vllm_card import server_card
from tui.vllm_facts import latency_text, remarks, server_detail
from tui.vllm_groups import groups_of, short_name
from tui.vllm_history import ServingCurves, added, heights, stepped, topmost
from tui.vllm_judging import kv_severity, preemptions_severity, queue_severity, row_state, saturation_severity
from tui.vllm_rows import LISTED, Rows
from tui.vllm_view import passes, related_servers, shown_server, why_no_servers
from widgets.blocks import NOT_MEASURED
from widgets.vllm_states import RowState
from widgets.vllm_table import RowKind, ServingRow

BUSY, CALM = "llama-8b-7d9f8b6c5-0xvka", "llama-8b-7d9f8b6c5-p2m4b"


def told(*readings: Reading, manifests: tuple[dict[str, object], ...] = ()) -> Situation:
    known = situation(
        *deployment("llama-8b", 2, 2),
        vllm_pod(BUSY, "llama-8b", node="gpu-1"),
        vllm_pod(CALM, "llama-8b", node="gpu-2"),
        pod("web-1"),
        *manifests,
    )
    for reading in sorted(readings, key=lambda item: item.observed_at):
        known.apply(reading)
    return known


def rows_of(known: Situation, related: frozenset[str] = frozenset()) -> list[ServingRow]:
    make = Rows(known, NOW, related, ())
    return [row for group in groups_of(serving_of(known, NOW)) for row in make.of(group)]


def test_a_model_sums_its_servers_and_each_stands_below_with_the_worst_first() -> None:
    model, busy, calm = rows_of(told(*overloaded(BUSY), *quiet(CALM)))
    assert (model.label, model.ready, model.wanted, model.running, model.waiting) == ("llama-8b", 2, 2, 272.0, 96.0)
    assert (model.waiting_severity, model.kv_severity) == (Severity.CRITICAL, Severity.CRITICAL)
    assert model.running_severity is Severity.WARNING
    assert (busy.label, busy.place, busy.is_last, calm.label, calm.is_last) == (
        "…0xvka",
        "gpu-1",
        False,
        "…p2m4b",
        True,
    )
    assert calm.waiting_severity is None


def test_a_model_with_one_server_is_one_line_and_its_ranks_stand_below() -> None:
    alone = vllm_pod("bge-0", model="BAAI/bge-large")
    readings = [said("bge-0", engine(n, "BAAI/bge-large"), engine(n, "BAAI/bge-large", engine="1"), at=at)
                for n, at in rounds()]  # fmt: skip
    rows = [row for row in rows_of(told(*readings, manifests=(alone,))) if "bge" in row.key.model]
    assert [(row.key.kind, row.label) for row in rows] == [
        (RowKind.MODEL, "bge-large"),
        (RowKind.ENGINE, "rank 0"),
        (RowKind.ENGINE, "rank 1"),
    ]


def test_of_many_servers_only_those_that_need_a_look_are_listed() -> None:
    names = [f"qwen-7d9f8b6c5-{n:05}" for n in range(40)]
    known = told(
        *(reading for name in names[1:] for reading in quiet(name, "qwen", minutes=1)),
        *stalled(names[0], "qwen"),
        manifests=(*deployment("qwen", 40, 40), *(vllm_pod(name, "qwen", model="qwen") for name in names)),
    )
    rows = [row for row in rows_of(known) if row.key.model == "qwen"]
    assert [row.label for row in rows] == ["qwen", "…00000", "39 more"]
    assert (rows[0].state, rows[0].count) == (RowState.STALLED, 1)
    assert rows[2].state is RowState.HEALTHY
    unfolded = Rows(known, NOW, frozenset(), {rows[2].key})
    group = next(group for group in groups_of(serving_of(known, NOW)) if group.model.name == "qwen")
    assert len(list(unfolded.of(group))) == 41 > LISTED


def test_servers_that_tell_nothing_and_are_alike_are_one_line_until_the_focus_is_on_them() -> None:
    known = told()
    (model,) = rows_of(known)
    assert (model.state, model.count, model.running) == (RowState.ASKING, 0, None)
    key = serving_of(known, NOW).servers[0].key
    assert len(rows_of(known, frozenset({key}))) == 3


def test_two_models_of_one_name_are_told_apart_by_their_workload() -> None:
    other = (*deployment("canary", 1, 1), vllm_pod("canary-7d9f8b6c5-aaaaa", "canary"))
    labels = {row.label for row in rows_of(told(manifests=other))}
    assert labels == {"llama-8b (llama-8b)", "llama-8b (canary)"}


@pytest.mark.parametrize(
    ("workload", "name", "short"),
    [
        (Ref("Deployment", "x", "llama"), "llama-7d9f8b6c5-abcde", "…abcde"),
        (Ref("StatefulSet", "x", "llama"), "llama-0", "…-0"),
        (Ref("Pod", "x", "llama"), "llama", "llama"),
        (None, "http://10.0.0.1:8000", "http://10.0.0.1:8000"),
    ],
)
def test_pods_are_named_by_what_tells_them_apart(workload: Ref | None, name: str, short: str) -> None:
    ref = Ref("ModelServer", "x", name)
    assert short_name(ServerView(ref, "k", Software.VLLM, ServerState.HEALTHY, "", workload=workload)) == short


def test_each_source_state_of_an_unknown_server_is_told_apart() -> None:
    known = told()
    assert {row.state for row in rows_of(known)} == {RowState.ASKING}
    for state, shown in (
        (SourceState.FORBIDDEN, RowState.FORBIDDEN),
        (SourceState.UNREACHABLE, RowState.UNREACHABLE),
    ):
        known.apply(Reading(SOURCE, state, NOW, error="pods/proxy: no"))
        assert {row.state for row in rows_of(known)} == {shown}
    known = told(*quiet(BUSY), *quiet(CALM))
    later = NOW + timedelta(minutes=2)
    assert {row_state(server, known, later) for server in serving_of(known, later).servers} == {RowState.STALE}


def test_figures_are_judged_as_the_rules_do() -> None:
    view = ServerView(Ref("ModelServer", "x", "llama"), "k", Software.VLLM, ServerState.HEALTHY, "",
                      arguments=EngineArguments(max_num_seqs=256))  # fmt: skip
    waits = EngineFigures("m", running=200.0, waiting=500.0, window=timedelta(minutes=1))
    grows = replace(waits, growing_since=NOW - GROWS_CRITICAL)
    assert queue_severity(grows, view, NOW) is Severity.CRITICAL
    assert queue_severity(grows, view, NOW - timedelta(seconds=1)) is Severity.WARNING
    assert queue_severity(waits, view, NOW) is None
    assert queue_severity(replace(grows, waiting=1.0), view, NOW) is None, "one that waits for the next step"
    held = [replace(waits, kv_held_ratio=ratio) for ratio in (None, KV_NEAR, KV_NEAR + 0.01, KV_FULL + 0.01)]
    assert [kv_severity(item, view) for item in held] == [None, None, Severity.WARNING, Severity.CRITICAL]
    assert kv_severity(replace(held[-1], waiting=0.0), view) is None, "a full cache that nobody waits for is well used"
    preempted = [replace(waits, preempted=count) for count in (None, 0.0, 1.0, 2.0)]
    assert [preemptions_severity(item, view) for item in preempted] == [
        None, None, Severity.WARNING, Severity.CRITICAL,
    ]  # fmt: skip
    full = replace(waits, running=256.0)
    assert saturation_severity(full, view) is Severity.WARNING
    assert saturation_severity(replace(full, waiting=0.0), view) is None, "it runs as many as it may, and nobody waits"


def test_the_remarks_say_how_the_queue_moves() -> None:
    known = told(*overloaded(BUSY), *quiet(CALM))
    busy = serving_of(known, NOW).of(Ref("ModelServer", "inference", BUSY))
    assert busy is not None
    queue, *others = (words.text for words in remarks(busy, busy.engines, NOW))
    assert queue.startswith("▲ queue grows by 12/min, doubles in 8m, for ")
    assert any("max-num-seqs" in text for text in others)
    drains = EngineFigures("m", waiting=30.0, queue_slope_per_min=-10.0)
    assert next(iter(remarks(busy, (drains,), NOW))).text == "queue drains by 10/min, empty in 3m"
    assert not [words for words in remarks(busy, (EngineFigures("m", waiting=0.0),), NOW) if "queue" in words.text]
    hangs = replace(busy, state=ServerState.STALLED)
    assert not list(remarks(hangs, hangs.engines, NOW)), "what no rule judges of a server that hangs"
    assert not list(remarks(hangs, (drains,), NOW))


def test_the_detail_tells_figures_arguments_and_what_is_not_measured() -> None:
    known = told(*overloaded(BUSY), *quiet(CALM, kv_usage_ratio=None, ttft=None))
    calm = serving_of(known, NOW).of(Ref("ModelServer", "inference", CALM))
    assert calm is not None
    shown = server_detail(calm, "llama-8b", ServingCurves(), known, NOW, "focused")
    plots = {plot.name: plot.text for plot in shown.plots}
    assert plots["running"] == "16 of 256"
    assert plots["KV cache"] == "not measured"
    assert plots["TTFT p99"] == "none seen"
    assert (
        dict(shown.facts)["arguments"].text
        == "max-num-seqs 256 · KV cache of 410k tokens · 12.5 requests of full length"
    )
    assert shown.about == ("focused", "on gpu-2", "vLLM 0.33.0", "through the API server, 0s ago")


@pytest.mark.parametrize(
    ("known", "said"), [(False, "prefix cache off"), (True, "prefix cache not measured"), (None, "not measured")]
)
def test_a_prefix_cache_that_is_off_is_not_one_that_is_not_measured(known: bool | None, said: str) -> None:
    assert latency_text([EngineFigures("llama", cache=CacheConfig(prefix_caching=known))]).endswith(said)
    assert latency_text([EngineFigures("llama")]).endswith("prefix cache not measured")


def test_the_server_that_is_shown_follows_cursor_focus_and_trouble() -> None:
    known = told(*overloaded(BUSY), *quiet(CALM))
    serving = serving_of(known, NOW)
    groups = groups_of(serving)
    busy, calm = (Ref("ModelServer", "inference", name) for name in (BUSY, CALM))

    def shown(
        focus: Focus = EVERYTHING, related: frozenset[str] = frozenset(), at: int | None = None
    ) -> tuple[str, str]:
        key = rows_of(known)[at].key if at is not None else None
        found = shown_server(groups, serving, key, focus, related, Diagnosis())
        assert found.server is not None
        return found.server.ref.name, found.why

    assert shown() == (BUSY, "the worst")
    assert shown(Focus(ref=calm)) == (CALM, "focused")
    assert shown(Focus(ref=calm), at=1) == (BUSY, "under the cursor")
    assert shown(at=0) == (BUSY, "the worst of 2")
    near = related_servers(serving, Relation(servers=frozenset({calm})))
    assert shown(Focus(ref=Ref("Node", "", "gpu-2")), near) == (CALM, "relates to the focus")
    assert not related_servers(serving, Relation())
    assert serving.of(busy) is not None


def test_a_filter_finds_models_by_name_pod_and_node() -> None:
    (group,) = groups_of(serving_of(told(*quiet(BUSY), *quiet(CALM)), NOW))
    for text in ("llama", "0xvka", "gpu-2", "ns:inference", ""):
        assert passes(group, parse_filter(text) if text else Filter())
    for text in ("mixtral", "ns:shop"):
        assert not passes(group, parse_filter(text))


def test_curves_have_gaps_where_nothing_was_measured_and_end_now() -> None:
    at = NOW.replace(second=0)
    points = tuple((at + timedelta(seconds=s), value) for s, value in ((-125, 4.0), (-121, 6.0), (-40, 2.0), (0, 1.0)))
    assert stepped(points, at, 10) == [6.0, None, None, 2.0, None, 1.0]
    assert stepped((), at, 10) == []
    assert stepped(points[:3], at + timedelta(seconds=1), 2) == [2.0, None, None]
    assert added(([1.0, 2.0], [5.0])) == [1.0, 7.0]
    assert topmost(([1.0, None, None], [0.5, 3.0, None])) == [1.0, 3.0]
    assert heights((0.0, None, 5.0, 20.0), 10.0) == bytes((0, NOT_MEASURED, 50, 100))


def test_the_queue_of_a_model_is_that_of_all_its_servers() -> None:
    known = told(*overloaded(BUSY), *quiet(CALM, waiting=4.0))
    engines = [(server.key, item) for server in serving_of(known, NOW).servers for item in server.engines]
    values = ServingCurves().values(engines, Curve.WAITING, known.serving, NOW, 5)
    assert values[-1] == 100.0
    kept = [value for value in values if value is not None]
    assert len(kept) == len(values)
    assert kept == sorted(kept)


def test_the_card_tells_the_server_and_how_to_read_more_of_it() -> None:
    known = told(*overloaded(BUSY), *quiet(CALM))
    card = server_card(Ref("ModelServer", "inference", BUSY), known, Target("prod"), NOW)
    assert card.title == f"model server {BUSY}: answers"
    assert "Deployment/inference/llama-8b · on node gpu-1" in card.about
    assert [command.line.removeprefix("kubectl --context prod ") for command in card.commands] == [
        f"-n inference logs {BUSY} --tail=100",
        f"-n inference describe pod {BUSY}",
        f"get --raw /api/v1/namespaces/inference/pods/{BUSY}:8000/proxy/metrics",
        f"get --raw /api/v1/namespaces/inference/pods/{BUSY}:8000/proxy/health",
    ]
    gone = server_card(Ref("ModelServer", "inference", "gone"), known, Target("prod"), NOW)
    assert "not among the model servers" in gone.lines[0].text


def test_why_there_is_no_pane() -> None:
    assert "being read" in why_no_servers(Situation(), NOW)
    assert "No pod of this cluster" in why_no_servers(situation(), NOW)
    forbidden = situation(missing={"pods": SourceState.FORBIDDEN})
    assert "pods forbidden: cannot list pods" in why_no_servers(forbidden, NOW)
