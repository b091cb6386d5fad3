"""The API server in the pane of the control plane."""

import pytest

from situation.api_server import ApiServerReading, Liveness, Seats
from situation.local_health import LocalCheck, LocalHealth
from situation.readings import OwnLoad, Readiness, Reading, SourceState
from situation.scheduler import SCHEDULER, SchedulerLoad
from situation.situation import Situation
from tests.build import NOW
from tests.control_plane import histogram, live_api_server
from tui.api_server_view import api_server_facts


def said(situation: Situation) -> dict[str, str]:
    return {fact.part: f"{fact.glyph} {fact.text}" for fact in api_server_facts(situation, NOW)}


def test_all_is_well() -> None:
    situation = Situation()
    live_api_server(situation)
    told = said(situation)
    assert told["API server"] == "✓ ready"
    assert told["API p99"].startswith("· GET 10ms  LIST 199ms  PUT 40ms")
    assert told["API load"] == "· in flight 3 changing, 12 reading · seats: global-default 2/20 · 1204 watches"
    assert told["rejected"] == "· none in 5m"
    assert told["LIST p99"] == "· pods (cluster) 199ms ×300, configmaps (cluster) 10ms ×300 in 5m"
    assert told["objects"] == "· events 14330 (+3600/h), pods 10000, leases.coordination.k8s.io 1100"


def test_what_the_components_on_this_host_answer_is_told() -> None:
    situation = Situation()
    checks = (
        LocalCheck("kube-apiserver", "https://127.0.0.1:6443/livez?exclude=etcd", False, "connection refused"),
        LocalCheck("kube-scheduler", "https://127.0.0.1:10259/healthz", True),
        LocalCheck("kubelet", "http://127.0.0.1:10248/healthz", None),
    )
    situation.apply(Reading("control-plane/local", SourceState.LIVE, NOW, LocalHealth("cp-1", checks)))
    assert said(situation)["this host"] == (
        "▲ cp-1: ▲ kube-apiserver livez connection refused, ✓ kube-scheduler healthz, ? kubelet healthz does not say"
    )


def test_open_files_and_how_long_we_wait_ourselves_are_told_where_they_are_known() -> None:
    situation = Situation()
    live_api_server(situation, open_files=640, max_files=1000)
    situation.apply(Reading("midwatch/load", SourceState.LIVE, NOW, OwnLoad(latency_s=0.012)))
    assert said(situation)["API load"].endswith(" · 64% of 1000 files open · our own requests 12ms")


def test_the_scheduler_is_told_of_where_a_prometheus_was_asked() -> None:
    situation = Situation()
    assert "scheduler" not in said(situation)
    situation.apply(Reading(SCHEDULER, SourceState.ABSENT, NOW, error="it does not scrape it"))
    assert said(situation)["scheduler"] == "? its work is not known: it does not scrape it"
    for seconds, glyph, words in ((0.064, "·", "64ms"), (4.096, "●", "4.1s")):
        load = SchedulerLoad(histogram(400, seconds), pending={"active": 31, "gated": 0})
        situation.apply(Reading(SCHEDULER, SourceState.LIVE, NOW, load))
        assert said(situation)["scheduler"] == f"{glyph} p99 {words} of 400 attempts in 5m; waiting: 31 active"
    situation.apply(Reading(SCHEDULER, SourceState.LIVE, NOW, SchedulerLoad()))
    assert said(situation)["scheduler"] == "· no attempt in 5m"


def test_trouble_is_marked() -> None:
    situation = Situation()
    live_api_server(situation, seats={"global-default": Seats(20, 20), "system": Seats(1, 40)})
    situation.apply(Reading("kubernetes/readyz", SourceState.LIVE, NOW, Readiness(False, ("etcd",))))
    told = said(situation)
    assert told["API server"] == "▲ not ready: etcd; alive apart from etcd"
    assert "no seat free: global-default 20/20" in told["API load"]
    assert told["API load"].startswith("● ")
    situation.apply(Reading("control-plane/livez", SourceState.LIVE, NOW, Liveness(False, ("log",))))
    assert said(situation)["API server"].endswith("not alive even without etcd: log")


@pytest.mark.parametrize("state", [SourceState.FORBIDDEN, SourceState.UNREACHABLE])
def test_metrics_that_cannot_be_read_are_not_known(state: SourceState) -> None:
    situation = Situation()
    situation.apply(Reading("control-plane/metrics", state, NOW, error="GET /metrics: give the role system:monitoring"))
    checks, metrics = api_server_facts(situation, NOW)
    assert (checks.glyph, checks.text) == ("?", "not known: not read yet")
    assert metrics.glyph == "?"
    assert "GET /metrics: give the role system:monitoring" in metrics.text
    assert metrics.state is not None and metrics.state.state is state


def test_one_page_is_not_enough_for_quantiles_and_says_so() -> None:
    situation = Situation()
    live_api_server(situation)
    once = Situation()
    once.apply(Reading("control-plane/metrics", SourceState.LIVE, NOW, _last(situation)))
    told = said(once)
    assert told["API p99"] == "? needs a second reading"
    assert told["rejected"] == "? needs a second reading"


def _last(situation: Situation) -> ApiServerReading:
    page = situation.api_server.page
    assert page is not None
    return ApiServerReading(page, NOW)


def test_checks_of_an_api_server_that_fell_silent_are_history() -> None:
    situation = Situation()
    live_api_server(situation)
    for name in ("kubernetes/readyz", "control-plane/livez"):
        situation.apply(Reading(name, SourceState.UNREACHABLE, NOW, error="refused"))
    assert said(situation)["API server"] == "? when it was last heard: ready"
