"""Servers that tell their health and version elsewhere than vLLM does: Triton at another port, NIM at other paths."""

from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from msgspec.structs import replace

from collectors.vllm import reader
from collectors.vllm.options import VllmOptions
from situation.readings import Reading
from situation.serving import readings
from situation.serving.readings import Health, ModelServer, Software
from situation.serving.serving import serving_of
from situation.serving.view import ServerState, ServerView
from situation.situation import Situation
from tests.build import NOW, Manifest, ago, pod, situation
from tests.collectors.loopback import HANG, Loopback, http
from tests.collectors.test_vllm_rounds import (
    MODELS,
    REFUSED,
    asked,
    collecting,
    proxy,
    round_of,
    servers_in,
    wishes_for,
)
from tests.collectors.vllm_pages import NIM_PAGE, TRITON_PAGE, vllm_page

TRITON_IMAGE: Final = "nvcr.io/nvidia/tritonserver:25.08-py3"
NIM_IMAGE: Final = "nvcr.io/nim/meta/llama-3.1-8b-instruct:1.8.4"
NOT_SERVING: Final = http("", "400 Bad Request")
LOADING: Final = http("", "503 Service Unavailable")
METRICS: Final = f"{proxy('t', 8002)}/metrics"
HEALTH: Final = f"{proxy('t', 8000)}/v2/health/ready"
NIM: Final = {
    "/v1/metrics": http(NIM_PAGE),
    "/v1/health/ready": http('{"message":"Service is ready."}'),
    "/v1/version": http('{"release":"1.8.4","api":"1.8.4"}'),
    "/v1/models": MODELS,
}


def server(name: str, image: str, *, age_s: float = 60, ready: bool = False) -> Manifest:
    running = {"name": "app", "state": {"running": {"startedAt": ago(age_s)}}, "ready": ready}
    container = {"name": "app", "image": image}
    return pod(name, namespace="serving", container=container, ready=ready,
               status={"podIP": "10.0.0.7", "containerStatuses": [running]})  # fmt: skip


async def told(
    manifest: Manifest, answers: dict[str, bytes], folder: Path
) -> tuple[ModelServer, ServerView, list[str]]:
    """Return what one round brought of the only server, how that is shown, and what was asked."""
    async with Loopback(answers) as api, collecting(api, folder, wishes_for(manifest)) as one:
        readings = await round_of(one)
        paths = asked(api)
    (found,) = servers_in(readings).values()
    known = situation(manifest)
    for reading in readings:
        known.apply(_now(reading))
    return found, _only(known), paths


def _now(reading: Reading) -> Reading:
    value = reading.value
    return replace(reading, observed_at=NOW, value=replace(value, read_at=NOW) if value is not None else None)


def _only(known: Situation) -> ServerView:
    (view,) = serving_of(known, NOW).servers
    return view


@pytest.mark.parametrize(
    ("ready", "health", "state", "why"),
    [
        (http(""), Health.OK, ServerState.HEALTHY, "/v2/health/ready says 200"),
        (NOT_SERVING, Health.NOT_READY, ServerState.STARTING, "/v2/health/ready says that it is not ready yet, 60s"),
        (REFUSED, None, ServerState.HEALTHY, "its metrics answer"),
        (HANG, Health.NO_ANSWER, ServerState.UNKNOWN, "its metrics answer and"),
    ],
    ids=["ready", "a model loads", "no HTTP port", "hangs"],
)
async def test_triton_tells_its_health_at_its_http_port(
    ready: bytes, health: Health | None, state: ServerState, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "AFTER_PAGE_S", 0.3)
    answers = {METRICS: http(TRITON_PAGE), HEALTH: ready, "/version": http("{}")}
    found, view, paths = await told(server("t", TRITON_IMAGE), answers, tmp_path)
    assert (found.software, found.health) == (Software.TRITON, health)
    assert (view.state, why in view.why) == (state, True), view.why
    assert sorted(path for path in paths if path != "/version") == sorted([METRICS, HEALTH])


@pytest.mark.parametrize(
    ("ready", "health"),
    [
        (http(""), Health.OK),
        (NOT_SERVING, Health.NOT_READY),
        (http("plain HTTP was sent to an HTTPS port", "400 Bad Request"), None),
        (http("not found", "404 Not Found"), None),
        (REFUSED, None),
    ],
    ids=["ready", "a model loads", "a gateway", "another server", "an API server's word"],
)
async def test_a_triton_at_the_url_of_its_metrics_tells_its_health_at_its_http_port(
    ready: bytes, health: Health | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"/v2/health/ready": ready, "/health": http("another server's")}
    async with Loopback({"/metrics": http(TRITON_PAGE)}) as metrics, Loopback(answers) as serving:
        monkeypatch.setattr(readings, "TRITON_METRICS_PORT", urlsplit(metrics.url).port)
        monkeypatch.setattr(readings, "TRITON_HTTP_PORT", urlsplit(serving.url).port)
        options = VllmOptions(urls=(metrics.url.replace("://", "://me:secret@"),))
        async with collecting(None, tmp_path, wishes_for(), options) as one:
            (found,) = servers_in(await round_of(one)).values()
    assert (found.software, found.health) == (Software.TRITON, health)
    assert [one.path for one in serving.asked] == ["/v2/health/ready"]
    assert "authorization" in metrics.asked[0].headers
    assert "authorization" not in serving.asked[0].headers


async def test_another_server_at_tritons_port_is_asked_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {"/metrics": http(vllm_page()), "/health": http("", "503 Service Unavailable")}
    async with Loopback(answers) as model:
        monkeypatch.setattr(readings, "TRITON_METRICS_PORT", urlsplit(model.url).port)
        async with collecting(None, tmp_path, wishes_for(), VllmOptions(urls=(model.url,))) as one:
            (found,) = servers_in(await round_of(one)).values()
    assert (found.software, found.health) == (Software.VLLM, Health.ENGINE_DEAD)


@pytest.mark.parametrize(
    ("url", "port", "elsewhere"),
    [
        ("http://gpu-7:8002", None, "http://gpu-7:8000"),
        ("https://me:secret@[fd00::7]:8002/", None, "https://[fd00::7]:8000"),
        ("http://10.0.0.7:9102", 9100, "http://10.0.0.7:9100"),
        ("http://gpu-7:9102", None, ""),
        ("http://gateway:8002/models/a", None, ""),
        ("http://gpu-7", None, ""),
    ],
)
def test_where_a_triton_at_a_url_tells_its_health(url: str, port: int | None, elsewhere: str) -> None:
    assert readings.triton_http_url(url, port) == elsewhere


async def test_a_triton_without_metrics_is_not_gone(tmp_path: Path) -> None:
    found, view, _ = await told(server("t", TRITON_IMAGE), {METRICS: REFUSED, HEALTH: http("")}, tmp_path)
    assert (found.health, found.answers, found.page) == (Health.OK, True, None)
    assert (view.state, "connection refused" in view.why) == (ServerState.UNKNOWN, True), view.why


async def test_a_triton_that_is_gone_refuses_at_both(tmp_path: Path) -> None:
    found, view, _ = await told(server("t", TRITON_IMAGE), {METRICS: REFUSED, HEALTH: REFUSED}, tmp_path)
    assert (found.health, view.state) == (Health.REFUSED, ServerState.STARTING)


async def test_everything_of_a_nim(tmp_path: Path) -> None:
    base = proxy("n")
    answers = {f"{base}{path}": answer for path, answer in NIM.items()}
    found, view, paths = await told(server("n", NIM_IMAGE), answers, tmp_path)
    assert found.page is not None and found.page.engines[0].running == 4
    assert (found.software, found.health, found.version, found.version_error) == (Software.NIM, Health.OK, "1.8.4", "")
    assert (view.state, view.name, view.software) == (
        ServerState.HEALTHY, "meta/llama-3.1-8b-instruct", Software.NIM,
    )  # fmt: skip
    assert sorted(paths) == sorted(answers)


@pytest.mark.parametrize(
    ("age_s", "state", "why"),
    [
        (300, ServerState.STARTING, "/v1/health/ready says that it is not ready yet, 5m"),
        (7200, ServerState.UNKNOWN, "/v1/health/ready says that it is not ready"),
    ],
)
async def test_a_nim_that_loads_its_model_says_so(age_s: float, state: ServerState, why: str, tmp_path: Path) -> None:
    answers = {f"{proxy('n')}{path}": LOADING for path in NIM}
    found, view, _ = await told(server("n", NIM_IMAGE, age_s=age_s), answers, tmp_path)
    assert (found.health, view.state) == (Health.NOT_READY, state)
    assert view.why.startswith(why)


async def test_a_nim_that_passes_on_the_metrics_of_its_engine_is_still_asked_as_a_nim(tmp_path: Path) -> None:
    answers = {f"{proxy('n')}{path}": answer for path, answer in NIM.items()}
    answers[f"{proxy('n')}/v1/metrics"] = http(vllm_page())
    found, view, paths = await told(server("n", NIM_IMAGE), answers, tmp_path)
    assert (found.software, view.software, found.health) == (Software.NIM, Software.NIM, Health.OK)
    assert sorted(paths) == sorted(answers)


@pytest.mark.parametrize("given", ["/v1/metrics", "/v1/metrics/"])
async def test_a_nim_at_a_url(given: str, tmp_path: Path) -> None:
    async with Loopback(NIM) as model:
        options = VllmOptions(urls=(f"{model.url}{given}",))
        async with collecting(None, tmp_path, wishes_for(), options) as one:
            found = servers_in(await round_of(one))[model.url]
        paths = asked(model)
    assert (found.software, found.health, found.version) == (Software.NIM, Health.OK, "1.8.4")
    assert found.page is not None and found.models and not found.models_error
    assert sorted(paths) == sorted(NIM)


async def test_a_url_that_is_a_nims_pod(tmp_path: Path) -> None:
    async with Loopback(NIM) as model:
        port = urlsplit(model.url).port
        container = {"image": NIM_IMAGE, "ports": [{"containerPort": port}]}
        manifest = pod("n", namespace="serving", container=container, status={"podIP": "127.0.0.1"})
        async with collecting(None, tmp_path, wishes_for(manifest), VllmOptions(urls=(model.url,))) as one:
            (found,) = servers_in(await round_of(one)).values()
    assert (found.key, found.software, found.health) == (f"serving/n:{port}", Software.NIM, Health.OK)
