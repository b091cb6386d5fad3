"""How model servers are: by their pods, by what they said, and by how old that is."""

from datetime import timedelta
from typing import Any

import pytest

from situation.meta import Ref
from situation.readings import Changed, Reading, SourceState
from situation.serving.readings import Health, RoutedServer, ServedModel, ServerPage, Software
from situation.serving.serving import SOURCE, serving_of
from situation.serving.view import ServerState, ServerView
from situation.situation import Situation
from tests.build import NOW, Manifest, ago, made, situation
from tests.serving_objects import MODEL, STARTED, deployment, engine, page, seconds, server_pod, tell, view_of

PROBED: dict[str, Any] = {
    "container": {"startupProbe": {"httpGet": {"path": "/health", "port": 8000}, "failureThreshold": 60}}
}
WAITS = {"state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s"}}, "restartCount": 3}


def young(seconds_old: float = 60, **more: Any) -> Manifest:
    """Return a pod that started lately and is not ready."""
    return server_pod(1, age_s=seconds_old, ready=False, **more)


def refused(known: Situation, number: int | None = 1, *, ago_s: float = 0) -> None:
    tell(known, number, ago_s=ago_s, health=Health.REFUSED, page_error="connection refused")


def asked(manifest: Manifest, **fields: Any) -> ServerView:
    known = situation(manifest)
    tell(known, 1, **fields)
    return view_of(known, 1)


@pytest.mark.parametrize(
    ("manifest", "state", "why"),
    [
        (young(phase="Pending", node=""), ServerState.DOWN, "its pod is Pending"),
        (young(container_status=WAITS), ServerState.DOWN, "its pod is CrashLoopBackOff"),
        (young(container_status={"started": False}, **PROBED), ServerState.STARTING, "startup probe has not passed"),
        (server_pod(1), ServerState.UNKNOWN, "not asked yet"),
    ],
)
def test_a_pod_that_nobody_has_asked(manifest: Manifest, state: ServerState, why: str) -> None:
    view = view_of(situation(manifest), 1)
    assert (view.state, view.is_fresh, view.engines, view.read_at) == (state, False, (), None)
    assert why in view.why
    assert (view.name, view.recognised_by) == (MODEL, "image vllm/vllm-openai:v0.11.0")
    assert view.workload == Ref("ReplicaSet", "ai", "llama-1")


def test_a_source_that_is_forbidden_says_why_nothing_is_known() -> None:
    known = situation(server_pod(1))
    known.apply(Reading(SOURCE, SourceState.FORBIDDEN, NOW, error="pods/proxy: forbidden"))
    view = view_of(known, 1)
    assert (view.state, view.why, view.error) == (
        ServerState.UNKNOWN,
        "not read: pods/proxy: forbidden",
        "pods/proxy: forbidden",
    )


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"page": page(engine())}, ServerState.HEALTHY),
        ({"page": page(engine()), "health": None}, ServerState.HEALTHY),
        ({"page": page()}, ServerState.NOT_MEASURED),
        ({"page": page(engine(is_sleeping=True, sleep_level=1))}, ServerState.SLEEPING),
        ({"page": page(engine()), "health": Health.ENGINE_DEAD}, ServerState.DEAD),
        ({"page": page(engine()), "health": Health.NO_ANSWER}, ServerState.UNKNOWN),
        ({"health": Health.ENGINE_DEAD, "page_error": "500"}, ServerState.DEAD),
        ({"health": Health.NO_ANSWER, "page_error": "no answer within 3 s"}, ServerState.UNKNOWN),
        ({"page_error": "/metrics answered 404"}, ServerState.UNKNOWN),
        ({"health": None, "page_error": "pods/proxy: forbidden"}, ServerState.UNKNOWN),
        ({"health": Health.REFUSED, "page_error": "connection refused"}, ServerState.UNKNOWN),
    ],
)
def test_what_one_round_says(fields: dict[str, Any], state: ServerState) -> None:
    view = asked(server_pod(1), **fields)
    assert view.state is state
    if "page_error" in fields:
        assert view.error == fields["page_error"]
        assert not view.is_fresh


def test_a_router_without_engines_is_no_server_without_statistics() -> None:
    told = ServerPage(Software.ROUTER, routed=(RoutedServer("http://10.0.0.1:8000", True, 3.0),))
    view = asked(server_pod(1), page=told)
    assert (view.state, view.software, len(view.routed)) == (ServerState.HEALTHY, Software.ROUTER, 1)
    assert serving_of(situation(server_pod(1)), NOW).models[0].name == MODEL


@pytest.mark.parametrize(
    ("age_s", "state"), [(60, ServerState.STARTING), (1700, ServerState.STARTING), (1900, ServerState.UNKNOWN)]
)
def test_nobody_listens_while_the_model_is_loaded(age_s: float, state: ServerState) -> None:
    known = situation(young(age_s))
    refused(known)
    assert view_of(known, 1).state is state


def test_a_startup_probe_that_allows_more_time_gives_it() -> None:
    known = situation(young(3500, container_status={"started": False}, **PROBED))
    refused(known)
    assert view_of(known, 1).state is ServerState.STARTING


def test_a_ready_pod_where_nobody_listens_is_asked_at_another_port() -> None:
    known = situation(server_pod(1))
    refused(known)
    assert "though its pod is Ready" in view_of(known, 1).why


def test_nobody_listens_any_more() -> None:
    known = situation(server_pod(1))
    tell(known, 1, engine(running=3.0), ago_s=10)
    refused(known, ago_s=5)
    refused(known)
    view = view_of(known, 1)
    assert (view.state, view.is_fresh, view.died_at) == (ServerState.DEAD, False, NOW - timedelta(seconds=5))
    assert view.engines[0].running == 3.0, "its last figures stay, not as fresh"


def test_a_new_run_of_the_container_starts_and_is_not_dead() -> None:
    known = situation(young(30))
    tell(known, 1, engine(), ago_s=60)
    refused(known)
    view = view_of(known, 1)
    assert (view.state, view.died_at) == (ServerState.STARTING, NOW)
    tell(known, 1, engine())
    assert (view_of(known, 1).state, view_of(known, 1).died_at) == (ServerState.HEALTHY, None)


def test_at_a_url_a_server_that_never_answered_is_unknown_and_one_that_did_is_dead() -> None:
    known = Situation()
    refused(known, None, ago_s=5)
    assert view_of(known).state is ServerState.UNKNOWN
    tell(known, None, engine(), ago_s=4)
    refused(known, None)
    assert view_of(known).state is ServerState.DEAD


@pytest.mark.parametrize(("ago_s", "state"), [(29, ServerState.HEALTHY), (31, ServerState.UNKNOWN)])
def test_nobody_is_believed_for_long(ago_s: float, state: ServerState) -> None:
    known = situation(server_pod(1))
    for more in (5, 0):
        tell(known, 1, engine(running=2.0), ago_s=ago_s + more)
    view = view_of(known, 1)
    assert (view.state, view.is_fresh) == (state, state is ServerState.HEALTHY)
    assert view.engines[0].running == 2.0
    assert ("not heard of since" in view.why) is not view.is_fresh


def test_one_of_many_that_are_asked_in_turn_is_believed_until_its_turn() -> None:
    known = situation(server_pod(1))
    for ago_s in (100, 50):
        tell(known, 1, engine(), ago_s=ago_s)
    assert view_of(known, 1).state is ServerState.HEALTHY


def test_health_is_not_asked_for_in_each_round() -> None:
    known = situation(server_pod(1))
    tell(known, 1, engine(), ago_s=15)
    for ago_s in (10, 5, 0):
        tell(known, 1, engine(), ago_s=ago_s, health=None)
    assert view_of(known, 1).why == "/health says 200"


def still(*, pages: int, every_s: float = 5, started_s: float = 3600, **fields: Any) -> Situation:
    """Return a server that said the same on its last pages."""
    known = situation(server_pod(1))
    for number in range(pages):
        told = page(
            engine(**{"running": 4.0, "generation_tokens": 500.0, **fields}), started_at=STARTED + 3600 - started_s
        )
        tell(known, 1, page=told, ago_s=(pages - 1 - number) * every_s)
    return known


@pytest.mark.parametrize(
    ("known", "state"),
    [
        (still(pages=8), ServerState.STALLED),
        (still(pages=8, running=0.0, waiting=3.0), ServerState.STALLED),
        (still(pages=6), ServerState.HEALTHY),
        (still(pages=3, every_s=20), ServerState.HEALTHY),
        (still(pages=8, started_s=170), ServerState.HEALTHY),
        (still(pages=8, running=0.0), ServerState.HEALTHY),
        (still(pages=8, is_sleeping=True), ServerState.SLEEPING),
    ],
)
def test_a_server_hangs_where_nothing_moves_though_it_has_work(known: Situation, state: ServerState) -> None:
    assert view_of(known, 1).state is state


@pytest.mark.parametrize(
    "moves", [{"kv_usage_ratio": 0.4}, {"prompt_tokens": 9.0}, {"ttft": seconds(at_0_5=1)}, {"running": 5.0}]
)
def test_a_long_prefill_moves_something(moves: dict[str, Any]) -> None:
    known = still(pages=8)
    tell(known, 1, engine(**{"running": 4.0, "generation_tokens": 500.0, **moves}))
    assert view_of(known, 1).state is ServerState.HEALTHY
    assert view_of(known, 1).engines[0].still_since is None


def test_a_page_that_somebody_else_scraped_says_that_it_is_up_again() -> None:
    known = situation(server_pod(1))
    tell(known, 1, engine(), ago_s=10)
    refused(known, ago_s=5)
    tell(known, 1, engine(), health=None, origin="prometheus")
    assert (view_of(known, 1).state, view_of(known, 1).died_at) == (ServerState.HEALTHY, None)


def test_a_hang_needs_health_to_say_200() -> None:
    known = still(pages=8)
    tell(known, 1, engine(running=4.0, generation_tokens=500.0), health=Health.ENGINE_DEAD)
    assert view_of(known, 1).state is ServerState.DEAD


def test_the_worst_comes_first() -> None:
    known = situation(*(server_pod(number) for number in range(1, 6)))
    tell(known, 1, engine(waiting=1.0))
    tell(known, 2, engine(waiting=9.0))
    tell(known, 3, engine(), health=Health.ENGINE_DEAD)
    tell(known, 4, page=page())
    names = [item.ref.name[-1] for item in serving_of(known, NOW).servers]
    assert names == ["3", "5", "4", "2", "1"]


def test_replicas_of_a_model_are_put_together() -> None:
    known = situation(server_pod(1), server_pod(2), server_pod(3, phase="Pending", node=""), *deployment(3, ready=2))
    for number in (1, 2):
        tell(known, number, engine(), ago_s=30)
        tell(
            known,
            number,
            engine(
                running=3.0, waiting=None if number == 1 else 4.0, ttft=seconds(at_0_1=90 * (2 - number), at_5_0=10)
            ),
            models=(ServedModel(MODEL),),
        )
    (model,) = serving_of(known, NOW).models
    assert (model.name, model.workload, len(model.servers)) == (MODEL, Ref("Deployment", "ai", "llama"), 3)
    assert (model.replicas_ready, model.replicas_wanted) == (2, 3)
    assert (model.running, model.waiting, model.kv_usage_ratio) == (6.0, 4.0, 0.0)
    assert model.ttft.count == 110
    assert (model.ttft.p50 or 1) <= 0.1 < (model.ttft.p99 or 0)


def test_figures_that_are_old_are_in_no_sum() -> None:
    known = situation(server_pod(1), server_pod(2))
    tell(known, 1, engine(running=3.0), ago_s=400)
    tell(known, 2, engine(running=5.0))
    assert serving_of(known, NOW).models[0].running == 5.0


def test_a_view_is_made_anew_only_where_something_changed() -> None:
    known = situation(server_pod(1), server_pod(2))
    tell(known, 1, engine())
    tell(known, 2, engine())
    before = view_of(known, 1), view_of(known, 2)
    tell(known, 2, engine(running=1.0))
    assert view_of(known, 1) is before[0]
    assert view_of(known, 2) is not before[1]
    later = NOW + timedelta(seconds=60)
    assert view_of(known, 1, later).state is ServerState.UNKNOWN


def test_a_server_whose_pods_nobody_may_list_is_shown_all_the_same() -> None:
    known = situation(missing={"pods": SourceState.FORBIDDEN})
    tell(known, 1, engine(running=2.0))
    view = view_of(known, 1)
    assert (view.state, view.workload, view.total("running")) == (ServerState.HEALTHY, None, 2.0)
    assert not serving_of(situation(), NOW).servers


def test_of_a_pod_that_is_gone_nothing_is_shown() -> None:
    known = situation()
    tell(known, 1, engine())
    assert not serving_of(known, NOW).servers


def test_a_terminating_pod_is_down() -> None:
    manifest = server_pod(1)
    manifest["metadata"]["deletionTimestamp"] = ago(5)
    assert asked(manifest, page=page(engine())).state is ServerState.DOWN


def test_what_time_alone_changes_is_seen_also_where_nothing_else_changed() -> None:
    """A view is kept while it holds: each of these was looked at before."""
    known = situation(server_pod(1), server_pod(2, age_s=60, ready=False))
    tell(known, 1, page=page(engine()))
    tell(known, 2, health=Health.REFUSED, page_error="connection refused")
    first, second = (view_of(known, number) for number in (1, 2))
    assert (first.state, second.state) == (ServerState.HEALTHY, ServerState.STARTING)
    later = NOW + timedelta(seconds=20)
    assert serving_of(known, later).of(first.ref) is first
    refused_later = serving_of(known, later).of(second.ref)
    assert refused_later is not None and refused_later.why != second.why  # it tells an age
    tell(known, 2, ago_s=-20, health=Health.NOT_READY, page_error="503")
    not_ready = serving_of(known, later).of(second.ref)
    still_not = serving_of(known, later + timedelta(seconds=5)).of(second.ref)
    assert not_ready is not None and still_not is not None and "not ready yet" in not_ready.why != still_not.why
    too_late = serving_of(known, NOW + timedelta(seconds=31)).of(first.ref)
    assert too_late is not None and too_late.state is ServerState.UNKNOWN


def test_an_owner_that_is_read_later_becomes_the_workload() -> None:
    known = situation(server_pod(1))
    assert view_of(known, 1).workload == Ref("ReplicaSet", "ai", "llama-1")
    for manifest in deployment():
        name = "deployments" if manifest["kind"] == "Deployment" else "replicasets"
        known.apply(Reading(f"kubernetes/{name}", SourceState.LIVE, NOW, Changed(name, (made(manifest),))))
    assert view_of(known, 1).workload == Ref("Deployment", "ai", "llama")


def test_all_that_ask_get_the_same_until_something_of_it_changes() -> None:
    known = situation(server_pod(1), server_pod(2), *deployment(2))
    for number in (1, 2):
        tell(known, number, engine(running=1.0))
    first = serving_of(known, NOW)
    known.apply(Reading("kubernetes/events", SourceState.LIVE, NOW))
    assert serving_of(known, NOW + timedelta(seconds=5)) is first
    tell(known, 2, engine(running=2.0), ago_s=-5)
    second = serving_of(known, NOW + timedelta(seconds=5))
    assert [view.total("running") for view in second.servers] == [1.0, 2.0]
    known.apply(
        Reading("kubernetes/deployments", SourceState.LIVE, NOW, Changed("deployments", (made(deployment(3)[0]),)))
    )
    third = serving_of(known, NOW + timedelta(seconds=5))
    assert [model.replicas_wanted for model in third.models] == [3]
    late = serving_of(known, NOW + timedelta(seconds=32))
    assert [view.state for view in late.servers] == [ServerState.UNKNOWN, ServerState.HEALTHY], "time alone"
    assert serving_of(known, NOW + timedelta(seconds=5)).by_ref == third.by_ref, "a clock that went back"
