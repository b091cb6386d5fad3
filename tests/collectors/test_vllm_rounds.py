"""Model servers over real sockets: each way to them, each bad answer, and that none delays another."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from collectors.errors import AbsentError, ConfigurationError, ThrottledError
from collectors.http import HttpReader
from collectors.kubernetes.client import Client, connect
from collectors.runner import Collector
from collectors.vllm import reader, ways
from collectors.vllm.collect import base_url, vllm_collectors
from collectors.vllm.options import VllmOptions
from collectors.vllm.rounds import AT_ONCE, VllmCollector
from collectors.vllm.wishes import VllmWishes
from diagnosis.serving_doubts import serving_doubts
from situation.readings import Reading, SourceState
from situation.serving.readings import LEFT_OUT, Health, ModelServer, ServedModel, ServerReading, Software
from situation.serving.serving import serving_of
from situation.serving.view import ServerState
from tests.build import Manifest, pod, situation
from tests.collectors.kubeconfigs import Certificates, needs_openssl, server_context
from tests.collectors.loopback import HANG, Loopback, http
from tests.collectors.vllm_pages import ROUTER_PAGE, SGLANG_PAGE, recorded_page, vllm_page
from tests.tui.commands import write_kubeconfig

PAGE = vllm_page()
STATUS = '{"kind":"Status","message":"%s"}'
UNREACHED = STATUS % "error trying to reach service: dial tcp 10.0.0.7:8000: %s"
REFUSED = http(UNREACHED % "connect: connection refused", "503 Service Unavailable")
FORBIDDEN = http(STATUS % "pods is forbidden: User cannot get resource pods/proxy", "403 Forbidden")
GONE = http(STATUS % "pods x not found", "404 Not Found")
VERSION = http('{"version":"0.32.0"}')
MODELS = http(json.dumps({"data": [
    {"id": "llama-8b", "root": "meta/llama", "parent": None, "max_model_len": 8192},
    {"id": "sql", "root": "/a", "parent": "llama-8b"},
]}))  # fmt: skip


def engine(name: str, *, ip: str = "10.0.0.7", node: str = "gpu-1", port: int = 8000, **over: object) -> Manifest:
    container = {"image": "vllm/vllm-openai:v0.11.0", "args": ["--port", str(port)]}
    return pod(name, namespace="serving", node=node, container=container, status={"podIP": ip}, **over)  # type: ignore[arg-type]


def wishes_for(*pods: Manifest, first: tuple[str, ...] = (), **patterns: tuple[str, ...]) -> VllmWishes:
    wishes = VllmWishes(**patterns)
    wishes.tell(situation(*pods), first)
    return wishes


def proxy(name: str, port: int = 8000, scheme: str = "") -> str:
    return f"/api/v1/namespaces/serving/pods/{scheme}{name}:{port}/proxy"


def served(base: str, page: bytes = PAGE, **others: bytes) -> dict[str, bytes]:
    """All answers of one healthy server; `others` replace some of them."""
    answers = {"metrics": http(page), "health": http(""), "version": VERSION, "v1_models": MODELS, **others}
    return {f"{base}/{name.replace('_', '/')}": answer for name, answer in answers.items()}


@asynccontextmanager
async def collecting(
    server: Loopback | None, folder: Path, wishes: VllmWishes, options: VllmOptions | None = None
) -> AsyncIterator[Collector]:
    client: Client | None = None
    if server is not None:
        client = await connect(str(write_kubeconfig(folder / "kubeconfig", server.url)), environ={})
    async with HttpReader() as reader_:
        (one,) = vllm_collectors(client, reader_, wishes, options or VllmOptions())
        assert isinstance(one, VllmCollector)
        try:
            yield one
        finally:
            await one.aclose()
            if client is not None:
                await client.close()


async def round_of(one: Collector) -> list[Reading]:
    return [reading async for reading in one.collect()]


def servers_in(readings: list[Reading]) -> dict[str, ModelServer]:
    return {r.value.server.key: r.value.server for r in readings if isinstance(r.value, ServerReading)}


def asked(server: Loopback, since: int = 0) -> list[str]:
    return [item.path for item in server.asked[since:]]


async def test_everything_of_a_server_through_the_api_server(tmp_path: Path) -> None:
    async with Loopback(served(proxy("a"))) as api, collecting(api, tmp_path, wishes_for(engine("a"))) as one:
        first, second = await round_of(one), await round_of(one)
    found = servers_in(first)["serving/a:8000"]
    assert (found.software, found.pod, found.origin, found.url) == (
        Software.VLLM, ("serving", "a"), "proxy", proxy("a"),
    )  # fmt: skip
    assert found.page is not None and found.page.engines[0].running == 3
    assert (found.health, found.version, found.page_error, found.version_error) == (Health.OK, "0.32.0", "", "")
    assert found.models == (ServedModel("llama-8b", "meta/llama", "", 8192), ServedModel("sql", "/a", "llama-8b"))
    assert [reading.state for reading in first] == [SourceState.STARTING, SourceState.LIVE]
    again = servers_in(second)["serving/a:8000"]
    assert (again.version, again.models, again.health) == ("0.32.0", found.models, None), "not asked again, and kept"
    assert asked(api).count(f"{proxy('a')}/metrics") == 2
    assert asked(api).count(f"{proxy('a')}/version") == asked(api).count(f"{proxy('a')}/v1/models") == 1


@pytest.mark.parametrize(("ranks", "due"), [((0, 1), False), ((0,), True), ((), True)])
async def test_health_is_not_asked_for_while_all_ranks_make_progress(
    ranks: tuple[int, ...], due: bool, tmp_path: Path
) -> None:
    def page(number: int) -> bytes:
        text = vllm_page(engines=("0", "1")).decode()
        for rank in ranks:
            labels = f'{{model_name="llama-8b",engine="{rank}"}}'
            text = text.replace(f"tokens_total{labels} 2000", f"tokens_total{labels} {2000 + number}")
        return text.encode()

    async with Loopback(served(proxy("a"))) as api, collecting(api, tmp_path, wishes_for(engine("a"))) as one:
        for number in range(4):
            api.answers[f"{proxy('a')}/metrics"] = http(page(number))
            last = servers_in(await round_of(one))["serving/a:8000"]
    assert asked(api).count(f"{proxy('a')}/health") == 1 + due
    assert last.health is (Health.OK if due else None)


async def test_what_the_configuration_leaves_out_is_told_and_not_asked(tmp_path: Path) -> None:
    wishes = wishes_for(engine("a"), engine("b"), skipped=("serving/b",))
    async with Loopback(served(proxy("a"))) as api, collecting(api, tmp_path, wishes) as one:
        readings = await round_of(one)
        assert not [path for path in asked(api) if "/b:" in path]
    assert servers_in(readings)["serving/b:8000"].origin == LEFT_OUT
    assert readings[-1].state is SourceState.LIVE and not readings[-1].error
    known = situation(engine("a"), engine("b"))
    for reading in readings:
        known.apply(reading)
    views = {view.key: view for view in serving_of(known, readings[-1].observed_at).servers}
    assert views["serving/b:8000"].state is ServerState.LEFT_OUT
    assert "left out by the configuration" in views["serving/b:8000"].why
    assert serving_doubts(known, readings[-1].observed_at) == ["load of model servers: measured once, a rate needs two"]


async def test_who_leaves_all_out_is_told_so(tmp_path: Path) -> None:
    async with Loopback() as api, collecting(api, tmp_path, wishes_for(engine("a"), skipped=("*/*",))) as one:
        with pytest.raises(AbsentError, match="left out by the configuration"):
            await round_of(one)


BAD = {
    "web": (http("<html>", Content_Type="text/html"), "web page"),
    "login": (http("<html>login"), "web page"),
    "json": (http('{"detail":"Not Found"}'), "no page of metrics"),
    "gone": (GONE, "pods x not found"),
    "nothing": (http("nope", "404 Not Found"), "answered 404: nope"),
    "key": (http('{"error":"Unauthorized"}', "401 Unauthorized"), "answered 401"),
    "tls": (http(UNREACHED % "tls: first record does not look like a TLS handshake", "503 X"), "TLS handshake"),
    "huge": (http(b"# x\n" * 2_300_000), "more than 8 MiB"),
    "cut": (http(PAGE, length=10**6), "closed the connection in the middle"),
    "silent": (HANG, "did not answer within 0.5 s"),
    "endless": (http(PAGE, length=10**6) + HANG, "did not answer within 0.5 s"),
}  # fmt: skip


async def test_every_bad_answer_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "DEADLINE_S", 0.5)
    monkeypatch.setattr(reader, "AFTER_PAGE_S", 0.5)
    monkeypatch.setattr(ways, "_PROBES", 0)
    answers = served(proxy("good")) | {f"{proxy(name)}/metrics": answer for name, (answer, _) in BAD.items()}
    answers["/version"] = http("{}")
    wishes = wishes_for(*(engine(name) for name in ("good", *BAD)))
    order: list[str] = []
    async with Loopback(answers) as api, collecting(api, tmp_path, wishes) as one:
        readings = await round_of(one)
        order = list(servers_in(readings))
    found = servers_in(readings)
    assert found["serving/good:8000"].page is not None
    for name, (_, said) in BAD.items():
        assert said in found[f"serving/{name}:8000"].page_error, name
        assert found[f"serving/{name}:8000"].page is None
    assert set(order[-2:]) == {"serving/silent:8000", "serving/endless:8000"}, "who hangs comes last"
    assert readings[-1].state is SourceState.LIVE
    assert readings[-1].error.startswith("11 model servers cannot be read; the first: ")


@pytest.mark.parametrize(
    ("health", "expected", "said"),
    [
        (http(""), Health.OK, ""),
        (http("", "503 Service Unavailable"), Health.ENGINE_DEAD, "answered 503"),
        (http("oh", "500 Internal Server Error"), Health.ENGINE_DEAD, "answered 500: oh"),
        (http("no healthy upstream", "503 Service Unavailable"), None, "answered 503: no healthy upstream"),
        (http("", "404 Not Found"), None, "answered 404"),
        (HANG, Health.NO_ANSWER, "did not answer within"),
        (REFUSED, Health.REFUSED, "connection refused"),
    ],
)
async def test_health(
    health: bytes, expected: Health | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "AFTER_PAGE_S", 0.3)
    answers = served(proxy("a"), health=health) | {"/version": http("{}")}
    async with Loopback(answers) as api, collecting(api, tmp_path, wishes_for(engine("a"))) as one:
        rounds = [servers_in(await round_of(one))["serving/a:8000"] for _ in range(2)]
    assert (rounds[0].health, said in rounds[0].health_error) == (expected, True)
    assert rounds[1].health == (None if expected is Health.OK else expected), "bad news is looked after in each round"


async def test_other_servers_that_say_503_may_just_be_starting(tmp_path: Path) -> None:
    answers = served(proxy("a"), SGLANG_PAGE, health=http("", "503 Service Unavailable"))
    async with Loopback(answers) as api, collecting(api, tmp_path, wishes_for(engine("a"))) as one:
        found = servers_in(await round_of(one))["serving/a:8000"]
    assert (found.software, found.health) == (Software.SGLANG, None)
    assert "answered 503" in found.health_error


async def test_nobody_listens(tmp_path: Path) -> None:
    async with Loopback({f"{proxy('a')}/metrics": REFUSED}) as api:
        async with collecting(api, tmp_path, wishes_for(engine("a"))) as one:
            readings = await round_of(one)
    found = servers_in(readings)["serving/a:8000"]
    assert (found.health, found.page_error) == (Health.REFUSED, "serving/a:8000: connection refused")
    assert asked(api) == [f"{proxy('a')}/metrics"], "what is refused is not asked three times"
    assert readings[-1].state is SourceState.LIVE, "the way is open, and what it tells is known"


async def test_a_silent_api_server_is_no_silent_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "DEADLINE_S", 0.2)
    monkeypatch.setattr(reader, "AFTER_PAGE_S", 0.2)
    monkeypatch.setattr("collectors.vllm.doors._PROBE_S", 0.1)
    monkeypatch.setattr(ways, "_PROBES", 0)
    silence = (f"{proxy('a')}/metrics", f"{proxy('a')}/health", "/version")
    async with Loopback(dict.fromkeys(silence, HANG)) as api:
        async with collecting(api, tmp_path, wishes_for(engine("a"))) as one:
            readings = await round_of(one)
            silent = servers_in(readings)["serving/a:8000"]
            api.answers["/version"] = http("{}")
            monkeypatch.setattr("collectors.vllm.doors._PROBE_S", 5.0)  # on a machine that is busy it takes a while
            other = servers_in(await round_of(one))["serving/a:8000"]
    assert (silent.health, silent.page_error) == (
        None,
        "serving/a:8000 was not reached: the API server itself is silent",
    )
    assert readings[-1].state is SourceState.UNREACHABLE
    assert other.health is Health.NO_ANSWER


async def test_a_key_is_wanted_for_the_models_alone(tmp_path: Path) -> None:
    denied = http('{"error":"Unauthorized"}', "401 Unauthorized")
    async with Loopback(served(proxy("a"), v1_models=denied)) as api:
        async with collecting(api, tmp_path, wishes_for(engine("a"))) as one:
            readings = await round_of(one)
            await round_of(one)
    found = servers_in(readings)["serving/a:8000"]
    assert found.page is not None and found.version == "0.32.0" and found.models == ()
    assert "wants an API key (401), which is normal" in found.models_error
    assert asked(api).count(f"{proxy('a')}/v1/models") == 1, "not again before a minute is over"
    assert readings[-1].error == ""


async def test_a_restarted_server_is_asked_anew(tmp_path: Path) -> None:
    async with Loopback(served(proxy("a"))) as api, collecting(api, tmp_path, wishes_for(engine("a"))) as one:
        await round_of(one)
        api.answers |= served(proxy("a"), vllm_page(started_at=1.8e9, running=0), version=http('{"version":"0.33.0"}'))
        found = servers_in(await round_of(one))["serving/a:8000"]
    assert found.version == "0.33.0"
    assert found.page is not None and found.page.engines[0].running == 0


async def test_rights_are_named_and_pod_ips_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Loopback(served("")) as model:
        port = int(model.url.rpartition(":")[2])
        answers = {f"{proxy(name, port)}/metrics": FORBIDDEN for name in "ab"}
        wishes = wishes_for(engine("a", ip="127.0.0.1", port=port), engine("b", ip="127.0.0.1", port=port))
        async with Loopback(answers) as api, collecting(api, tmp_path, wishes) as one:
            first = servers_in(await round_of(one))
            before = len(api.asked)
            second = servers_in(await round_of(one))
            assert len(api.asked) == before, "what worked is remembered"
        monkeypatch.setattr(ways, "_PROBES", 0)
        async with Loopback(answers) as api, collecting(api, tmp_path, wishes) as one:
            readings = await round_of(one)
    for found in (first, second):
        assert [item.origin for item in found.values()] == ["pod-ip", "pod-ip"]
        assert all(item.page is not None for item in found.values())
    assert readings[-1].state is SourceState.FORBIDDEN
    assert "namespace serving (RBAC: verb get, resource pods/proxy)" in readings[-1].error
    assert all("pods/proxy" in item.page_error for item in servers_in(readings).values())


async def test_silence_at_an_ip_says_nothing_of_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "DEADLINE_S", 0.2)
    monkeypatch.setattr(reader, "AFTER_PAGE_S", 0.2)
    async with Loopback({"/metrics": HANG, "/health": HANG}) as model:
        port = int(model.url.rpartition(":")[2])
        silent = [engine(f"s{number}", ip="127.0.0.1", port=port) for number in range(4)]
        wishes = wishes_for(*silent, engine("r", ip="127.0.0.1", port=1))
        answers = {f"{proxy(name, port)}/metrics": FORBIDDEN for name in ("s0", "s1", "s2", "s3")}
        answers[f"{proxy('r', 1)}/metrics"] = FORBIDDEN
        async with Loopback(answers) as api, collecting(api, tmp_path, wishes) as one:
            found = servers_in(await round_of(one))
            tried = len(model.asked)
            await round_of(one)
            assert len(model.asked) == tried, "this host is not in the pods' network: left alone for a minute"
    assert {item.health for item in found.values()} == {None}
    assert all("pods/proxy" in item.page_error for item in found.values())


async def test_a_busy_api_server_is_left_alone(tmp_path: Path) -> None:
    names = [f"e{number:02d}" for number in range(40)]
    busy = http("", "429 Too Many Requests", Retry_After="7")
    answers = {f"{proxy(name)}/metrics": busy for name in names}
    async with Loopback(answers) as api, Loopback(served("")) as model:
        async with collecting(api, tmp_path, wishes_for(*map(engine, names))) as one:
            with pytest.raises(ThrottledError) as raised:
                await round_of(one)
        count = len(api.asked)
        options = VllmOptions(urls=(model.url,))
        async with collecting(api, tmp_path, wishes_for(*map(engine, names)), options) as one:
            for _ in range(2):
                readings = await round_of(one)
        assert len(api.asked) <= count + 16, "not asked again within these seconds"
    assert raised.value.retry_after_s == 7.0
    assert readings[-1].state is SourceState.LIVE, "who is asked directly goes on"


async def test_so_many_a_round_and_all_in_turn(tmp_path: Path) -> None:
    names = [f"e{number:02d}" for number in range(40)]
    pods = [engine(name, node=f"n{name}") for name in names]
    wishes = wishes_for(*pods, first=("ne30", "gone", "ne05"))
    answers = {path: body for name in names for path, body in served(proxy(name)).items()}
    async with Loopback(answers) as api, collecting(api, tmp_path, wishes) as one:
        rounds = [set(servers_in(await round_of(one))) for _ in range(3)]
    assert all(len(found) == 16 for found in rounds)
    assert set().union(*rounds) == {f"serving/{name}:8000" for name in names}
    assert all({"serving/e30:8000", "serving/e05:8000"} <= found for found in rounds)


async def test_a_url_that_is_a_pods_is_that_pods_server(tmp_path: Path) -> None:
    async with Loopback(served("") | served("/other")) as model, Loopback() as api:
        port = int(model.url.rpartition(":")[2])
        wishes = wishes_for(engine("a", ip="127.0.0.1", port=port))
        options = VllmOptions(urls=(f"{model.url}/metrics", "http://127.0.0.1:1"))
        async with collecting(api, tmp_path, wishes, options) as one:
            readings = await round_of(one)
    found = servers_in(readings)
    assert api.asked == [], "who has a URL is not asked twice"
    assert set(found) == {f"serving/a:{port}", "http://127.0.0.1:1"}
    assert (found[f"serving/a:{port}"].pod, found[f"serving/a:{port}"].origin) == (("serving", "a"), "url")
    assert "connection refused" in found["http://127.0.0.1:1"].page_error
    assert readings[-1].state is SourceState.LIVE


async def test_a_url_where_nobody_listens_is_a_source_that_fails(tmp_path: Path) -> None:
    options = VllmOptions(urls=("http://user:secret@127.0.0.1:1",))
    async with collecting(None, tmp_path, wishes_for(), options) as one:
        readings = await round_of(one)
    found = servers_in(readings)["http://127.0.0.1:1"]
    assert (found.health, found.pod, found.software) == (Health.REFUSED, None, Software.UNKNOWN)
    assert (readings[-1].state, "secret" in str(readings)) == (SourceState.UNREACHABLE, False)


@pytest.mark.parametrize(
    "kind",
    ["text/plain; version=0.0.4; charset=utf-8", "text/plain; version=1.0.0; charset=utf-8; escaping=underscores",
     "application/openmetrics-text; version=1.0.0; charset=utf-8", "application/octet-stream", ""],
)  # fmt: skip
async def test_a_page_is_known_by_what_is_in_it_not_by_its_content_type(kind: str, tmp_path: Path) -> None:
    async with Loopback(served("", metrics=http(PAGE, Content_Type=kind))) as model:
        async with collecting(None, tmp_path, wishes_for(), VllmOptions(urls=(model.url,))) as one:
            found = servers_in(await round_of(one))[model.url]
    assert found.page is not None and found.page.engines[0].running == 3


async def test_redirects_are_not_followed(tmp_path: Path) -> None:
    moved = http("", "307 Temporary Redirect", Location="http://127.0.0.1:1/login")
    async with Loopback(served("", metrics=moved)) as model:
        async with collecting(None, tmp_path, wishes_for(), VllmOptions(urls=(model.url,))) as one:
            found = servers_in(await round_of(one))[model.url]
    assert found.page_error.startswith(f"{model.url}/metrics sends elsewhere (307 to http://127.0.0.1:1/login)")


async def test_many_that_hang_do_not_keep_one_from_answering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "DEADLINE_S", 60.0)
    async with Loopback({"/metrics": HANG}) as silent, Loopback(served("")) as model:
        urls = [f"{silent.url}/{number}" for number in range(AT_ONCE - 1)]
        silent.answers |= {f"/{number}/metrics": HANG for number in range(AT_ONCE - 1)}
        async with collecting(None, tmp_path, wishes_for(), VllmOptions(urls=(*urls, model.url))) as one:
            async with asyncio.timeout(20):
                readings = one.collect()
                first = await anext(readings)
            await readings.aclose()
    assert isinstance(first.value, ServerReading) and first.value.server.key == model.url


@needs_openssl
async def test_certificates(tmp_path: Path) -> None:
    authority = Certificates(tmp_path)
    tls = server_context(authority)
    async with Loopback(served(""), tls=tls) as model:
        for cacert in ("", str(tmp_path / "ca.pem")):
            options = VllmOptions(urls=(model.url,), cacert=cacert)
            async with collecting(None, tmp_path, wishes_for(), options) as one:
                found = servers_in(await round_of(one))[model.url]
            if cacert:
                assert found.page is not None
            else:
                assert "certificate" in found.page_error and found.page is None
        options = VllmOptions(urls=(model.url,), cacert=str(tmp_path / "nothing"))
        async with collecting(None, tmp_path, wishes_for(), options) as one:
            with pytest.raises(ConfigurationError, match="vllm_cacert"):
                await round_of(one)


async def test_tls_of_a_pod_is_the_api_servers_matter(tmp_path: Path) -> None:
    container = {"image": "vllm/vllm-openai:v0.11.0", "args": ["--ssl-keyfile", "/k"]}
    wishes = wishes_for(pod("a", namespace="serving", container=container, status={"podIP": "10.0.0.7"}))
    base = proxy("a", scheme="https:")
    async with Loopback(served(base)) as api, collecting(api, tmp_path, wishes) as one:
        found = servers_in(await round_of(one))["serving/a:8000"]
    assert found.page is not None and found.url == base


async def test_a_router_and_a_recorded_page(tmp_path: Path) -> None:
    answers = served("/r", ROUTER_PAGE) | served("/v", recorded_page())
    async with Loopback(answers) as model:
        options = VllmOptions(urls=(f"{model.url}/r", f"{model.url}/v/"))
        async with collecting(None, tmp_path, wishes_for(), options) as one:
            found = servers_in(await round_of(one))
    assert found[f"{model.url}/r"].software is Software.ROUTER
    page = found[f"{model.url}/v"].page
    assert page is not None and page.engines[0].model == "tiny"


async def test_nothing_to_ask(tmp_path: Path) -> None:
    async with Loopback() as api, collecting(api, tmp_path, wishes_for(pod("web"))) as one:
        with pytest.raises(AbsentError, match="no model server runs in this cluster"):
            await round_of(one)
    async with HttpReader() as http_reader:
        assert vllm_collectors(None, http_reader, VllmWishes()) == []


def test_urls_of_servers() -> None:
    assert base_url("http://x:8000/") == "http://x:8000"
    assert base_url("http://x:8000/llm/metrics") == "http://x:8000/llm"
    assert base_url("http://x:8000/v1/") == "http://x:8000", "as clients of the OpenAI API name it"
    assert base_url("http://x:8000/v1/metrics") == "http://x:8000/v1", "a NIM's"
    for wrong in ("x:8000", "http://x:8000/?a=1", "http://"):
        with pytest.raises(ConfigurationError, match="--vllm"):
            base_url(wrong)


# Which pods are asked


def keys_of(*pods: Manifest, **patterns: tuple[str, ...]) -> set[str]:
    return set(wishes_for(*pods, **patterns).places)


def test_only_pods_that_run_are_asked() -> None:
    leaving = engine("l")
    leaving["metadata"]["deletionTimestamp"] = "2026-11-23T02:00:00Z"
    pods = (engine("a"), engine("p", ip=""), engine("f", phase="Failed"), leaving, pod("web"))
    assert keys_of(*pods) == {"serving/a:8000"}


def test_the_configuration_adds_and_takes_away() -> None:
    other = pod("tgi-1", namespace="x", status={"podIP": "10.0.0.9"}, container={"ports": [{"containerPort": 3000}]})
    assert keys_of(engine("a"), other, pods=("x/tgi-*",)) == {"serving/a:8000", "x/tgi-1:3000"}
    assert keys_of(engine("a"), other, skipped=("serving/*",)) == set()
    assert keys_of(engine("a"), other, pods=("*/*",), skipped=("x/*",)) == {"serving/a:8000"}


def test_a_pod_that_changed_is_looked_at_again() -> None:
    wishes = wishes_for(engine("a"))
    wishes.tell(situation(engine("a", port=9000)))
    assert set(wishes.places) == {"serving/a:9000"}


async def test_nothing_is_asked_before_the_pods_are_known() -> None:
    wishes = VllmWishes()
    wishes.tell(situation(missing={"pods": SourceState.STARTING}))
    waiting = asyncio.create_task(wishes.until_told())
    await asyncio.sleep(0)
    assert not waiting.done()
    wishes.tell(situation(engine("a")))
    await waiting


async def test_a_url_given_twice_is_one_server_and_asked_with_its_password() -> None:
    urls = ("http://a:8000", "http://u:secret@a:8000", "http://b:8000", "http://b:8000")
    assert ways.Ways(HttpReader(), None, urls).urls == ("http://u:secret@a:8000", "http://b:8000")


async def test_each_port_of_a_pod_is_asked(tmp_path: Path) -> None:
    args = ["--data-parallel-size=2", "--data-parallel-multi-port-external-lb"]
    ranks = pod("a", namespace="serving", container={"image": "vllm/vllm-openai:v0.33.0", "args": args},
                status={"podIP": "10.0.0.7"})  # fmt: skip
    answers = served(proxy("a")) | served(proxy("a", 8001), vllm_page(engines=("1",)))
    async with Loopback(answers) as api, collecting(api, tmp_path, wishes_for(ranks)) as one:
        found = servers_in(await round_of(one))
    told = {key: server.page.engines[0].engine for key, server in found.items() if server.page is not None}
    assert told == {"serving/a:8000": "0", "serving/a:8001": "1"}
