"""`midwatch check`: dumps as people make them, clusters as they fail, and the exit codes."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from simulator.cluster import Cluster
from simulator.faults import Answer
from simulator.generator import generate
from simulator.server import Simulator
from situation.kinds import BY_NAME
from tests.build import ago, event, meta, node, pod
from tests.tui.commands import Finished, midwatch, write_kubeconfig

CRASHING = {
    "name": "app",
    "ready": False,
    "restartCount": 7,
    "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 5m0s"}},
    "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "startedAt": ago(31), "finishedAt": ago(30)}},
}
HOSTILE = "\x1b]52;c;ZXZpbA==\x07\x1b[31m\u202eabc\u200b\x9b[bold]x[/]"


def crashing(name: str = "checkout-1", **fields: Any) -> dict[str, Any]:
    return pod(name, ready=False, container_status={**CRASHING, **fields})


def listed(*items: Any) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": list(items)})


def write(path: Path, text: str | bytes) -> Path:
    if isinstance(text, bytes):
        path.write_bytes(text)
    else:
        path.write_text(text)
    return path


# Dumps


async def test_a_dump_names_the_cause_and_exits_with_2(tmp_path: Path) -> None:
    write(tmp_path / "dump.json", listed(crashing(), node("node-1")))
    finished = await midwatch(tmp_path, "check", "--dump", "dump.json")
    assert finished.code == 2
    assert "▲ L1 checkout-1 crashes: exit 1, 7 restarts" in finished.out
    assert "kubectl -n shop logs checkout-1 --previous" in finished.out
    assert finished.err == ""


async def test_a_dump_comes_through_a_pipe(tmp_path: Path) -> None:
    text = listed(crashing()).encode()
    for place in ("-", "/dev/stdin"):
        finished = await midwatch(tmp_path, "check", "--dump", place, given=text)
        assert finished.code == 2, finished
        assert "checkout-1 crashes" in finished.out


async def test_yaml_is_read_like_json(tmp_path: Path) -> None:
    import yaml

    write(tmp_path / "dump.yaml", yaml.safe_dump(json.loads(listed(crashing()))))
    finished = await midwatch(tmp_path, "check", "--dump", "dump.yaml")
    assert finished.code == 2
    assert "checkout-1 crashes" in finished.out


async def test_a_time_of_ones_own_counts_as_now(tmp_path: Path) -> None:
    write(tmp_path / "dump.json", listed(crashing()))
    finished = await midwatch(tmp_path, "check", "--dump", "dump.json", "--at", "2026-11-24T00:00:00Z")
    assert "2026-11-24 00:00:00 UTC" in finished.out
    for at in ("9999-12-31T23:59:59Z", "soon"):
        finished = await midwatch(tmp_path, "check", "--dump", "dump.json", "--at", at)
        assert (finished.code, finished.out) == (64, "")
        assert at in finished.complaint


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        (listed(crashing())[:200], "line 1: broken or cut off JSON"),
        (bytes(range(256)), "a binary file"),
        ("<html>login</html>", "not a dump"),
        ("NAME READY\nweb 0/1\n", "not a dump"),
        ("kind: Pod\n  x: [\n", "line 2: neither JSON nor valid YAML"),
        ('{"kind":"Status","apiVersion":"v1","message":"Unauthorized"}', "Status ×1"),
        ('{"kind":"WidgetList","apiVersion":"acme/v1","items":[]}', "no Kubernetes objects that Midwatch reads"),
        ("[" * 100_000, "broken or cut off JSON"),
    ],
)
async def test_what_is_no_dump_is_named_with_its_file(tmp_path: Path, text: str | bytes, said: str) -> None:
    write(tmp_path / "dump", text)
    finished = await midwatch(tmp_path, "check", "--dump", "dump")
    assert finished.code == 64
    assert finished.complaint.startswith("dump")
    assert said in finished.complaint


async def test_a_folder_without_anything_and_a_missing_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for place, said in (("folder", "no .json or .yaml files"), ("nowhere", "No such file or directory")):
        finished = await midwatch(tmp_path, "check", "--dump", place)
        assert finished.code == 64
        assert said in finished.complaint


async def test_one_bad_file_in_a_folder_costs_only_itself(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    write(folder / "a.json", listed(crashing()))
    write(folder / "b.json", listed(crashing())[:100])
    write(folder / "notes.txt", "by hand")
    finished = await midwatch(tmp_path, "check", "--dump", "folder")
    assert finished.code == 2
    assert "checkout-1 crashes" in finished.out
    assert "note: skipped folder/b.json, line 1: broken or cut off JSON" in finished.out
    assert "1 other file (not .json or .yaml) was not read" in finished.out


async def test_bad_objects_are_skipped_counted_and_said(tmp_path: Path) -> None:
    bad = {**pod("bad"), "spec": {"containers": "none"}}
    nulls = {**pod("nulls"), "spec": {"containers": None, "volumes": None}, "status": {"conditions": [None]}}
    widget = {"apiVersion": "acme/v1", "kind": "Widget", "metadata": {"name": "w"}}
    write(tmp_path / "dump.json", listed(crashing(), bad, nulls, widget, 7, None))
    finished = await midwatch(tmp_path, "check", "--dump", "dump.json")
    assert finished.code == 2
    assert "skipped 1 broken Pod object\n" in finished.out
    assert "skipped 2 broken objects\n" in finished.out
    assert "not read: Widget ×1" in finished.out
    assert "pods: 1 broken object left out" in finished.out


async def test_a_time_without_a_zone_is_utc(tmp_path: Path) -> None:
    stamped = {"lastTimestamp": ago(30).removesuffix("Z"), "firstTimestamp": ago(90)}
    told = {**event("Pod/checkout-1", "BackOff", "Back-off restarting failed container"), **stamped}
    write(tmp_path / "dump.json", listed(crashing(), told, node("node-1")))
    finished = await midwatch(tmp_path, "check", "--dump", "dump.json", "--at", ago(0).removesuffix("Z"))
    assert (finished.code, finished.err) == (2, "")
    assert "checkout-1 crashes" in finished.out
    assert "skipped" not in finished.out
    assert "internal error" not in finished.out


@pytest.mark.parametrize("shape", ["text", "json"])
async def test_hostile_text_is_shown_as_marks(tmp_path: Path, shape: str) -> None:
    state = {"waiting": {"reason": "CrashLoopBackOff", "message": HOSTILE}}
    write(tmp_path / "dump.json", listed(crashing(f"evil{HOSTILE}", state=state)))
    finished = await midwatch(tmp_path, "check", "--dump", "dump.json", "-o", shape)
    assert finished.code == 2
    assert "evil␛]52" in finished.out
    assert not set("\x1b\x07\u202e\u200b\x9b") & set(finished.out)
    if shape == "json":
        assert [line["command"] for line in json.loads(finished.out)["causes"][0]["next"]] == []


# Clusters


def cluster_of(*manifests: dict[str, Any]) -> Cluster:
    cluster = Cluster()
    for manifest in manifests:
        cluster.put("namespaces" if manifest["kind"] == "Namespace" else "pods", manifest)
    return cluster


async def checked(tmp_path: Path, simulator: Simulator, *arguments: str) -> Finished:
    path = tmp_path / "kubeconfig"
    simulator.write_kubeconfig(path)
    return await midwatch(tmp_path, "check", "--kubeconfig", str(path), *arguments)


async def test_a_live_cluster_is_judged_without_a_word_on_standard_error(tmp_path: Path) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": meta("shop", "")}
    async with Simulator(cluster_of(namespace, crashing())) as simulator:
        finished = await checked(tmp_path, simulator)
        assert (finished.code, finished.err) == (2, "")
        assert "checkout-1 crashes" in finished.out
        assert f"--kubeconfig {tmp_path / 'kubeconfig'}" in finished.out
        limited = await checked(tmp_path, simulator, "-n", "shop")
        assert limited.code == 2
        assert "  only namespace shop is read" in limited.out.splitlines()
        missing = await checked(tmp_path, simulator, "-n", "shopp")
        assert missing.code == 64
        assert missing.complaint == "--namespace: this cluster has no namespace shopp; did you mean shop?"


async def test_a_namespace_that_cannot_be_decoded_is_not_called_missing(tmp_path: Path) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": meta("shop", ""), "status": {"phase": 5}}
    async with Simulator(cluster_of(namespace, crashing())) as simulator:
        finished = await checked(tmp_path, simulator, "-n", "shop")
    assert finished.code == 2
    assert "checkout-1 crashes" in finished.out


async def test_a_status_in_a_200_answer_is_no_healthy_cluster(tmp_path: Path) -> None:
    status = {"kind": "Status", "metadata": {}, "status": "Failure", "message": "token expired", "code": 401}
    async with Simulator(cluster_of(pod())) as simulator:
        simulator.faults.answers.append(Answer("/api/v1/pods", 200, status, times=None))
        finished = await checked(tmp_path, simulator)
    assert finished.code == 3
    assert "/api/v1/pods: not a " in finished.out  # list, or watch: whichever was tried last
    assert " but Status: 401, token expired" in finished.out


async def test_a_forbidden_kind_does_not_hold_the_check_up(tmp_path: Path) -> None:
    async with Simulator(cluster_of(crashing())) as simulator:
        simulator.faults.forbid |= {"events", "nodes"}
        began = time.monotonic()
        finished = await checked(tmp_path, simulator, "--timeout", "25")
        assert time.monotonic() - began < 20
        assert finished.code == 2
        assert "forbidden (" in finished.out
        assert "5 node and GPU ?" in finished.out


async def test_credentials_that_are_refused_mean_could_not_tell(tmp_path: Path) -> None:
    async with Simulator(Cluster(), token="right") as simulator:
        path = write_kubeconfig(tmp_path / "kubeconfig", simulator.url, user={"token": "wrong"})
        finished = await midwatch(tmp_path, "check", "--kubeconfig", str(path))
        assert finished.code == 3
        assert "could not tell: credentials expired or not accepted for user 'me'" in finished.out
        assert "▲" not in finished.out
        report = json.loads((await midwatch(tmp_path, "check", "--kubeconfig", str(path), "-o", "json")).out)
        assert {layer["status"] for layer in report["layers"]} == {"unknown"}
        assert report["causes"] == []


@pytest.mark.parametrize(
    ("plugin", "said"),
    [
        (("no-such-plugin",), "exec plugin 'no-such-plugin' not found"),
        (("sh", "-c", "echo session over >&2; exit 3"), "failed with exit code 3: session over"),
        (("sleep", "60"), "did not answer within 1.5 s"),
    ],
)
async def test_an_exec_plugin_that_does_not_deliver_means_could_not_tell(
    tmp_path: Path, plugin: tuple[str, ...], said: str
) -> None:
    section = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": plugin[0],
        "args": list(plugin[1:]),
        "interactiveMode": "Never",
    }
    path = write_kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:1", user={"exec": section})
    finished = await midwatch(tmp_path, "check", "--kubeconfig", str(path), "--timeout", "2")
    assert finished.code == 3
    assert f"could not tell: exec plugin '{plugin[0]}'" in finished.out
    assert said in finished.out
    assert finished.err == ""


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer("/", 200, "<html>login</html>", {"Content-Type": "text/html"}, times=None), "a web page"),
        (
            Answer("/", 302, "", {"Location": "https://login.invalid/"}, times=None),
            "sends us to https://login.invalid/",
        ),
        (Answer("/", 200, {}, times=None), "not what Kubernetes answers"),
        (Answer("/", 403, {"kind": "Status", "message": "no"}, times=None), "nothing may be read"),
    ],
)
async def test_an_answer_that_is_not_the_api_servers_means_could_not_tell(
    tmp_path: Path, answer: Answer, said: str
) -> None:
    async with Simulator(Cluster()) as simulator:
        simulator.faults.answers.append(answer)
        finished = await checked(tmp_path, simulator)
    assert finished.code == 3
    assert "could not tell: " in finished.out
    assert said in finished.out


async def test_a_proxy_that_is_gone_means_could_not_tell(tmp_path: Path) -> None:
    path = write_kubeconfig(
        tmp_path / "kubeconfig", "http://10.0.0.1:80", cluster={"proxy-url": "http://me:secret@127.0.0.1:1"}
    )
    finished = await midwatch(tmp_path, "check", "--kubeconfig", str(path))
    assert finished.code == 3
    assert "could not tell: cannot connect to the proxy http://127.0.0.1:1" in finished.out
    assert "secret" not in finished.out + finished.err


async def test_a_refused_connection_is_a_critical_finding_of_layer_4(tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:1")
    finished = await midwatch(tmp_path, "check", "--kubeconfig", str(path))
    assert finished.code == 2
    assert "▲ L4 API server does not answer: connection refused" in finished.out
    assert "1 application ? · 2 scheduling ? · 3 network ? · 4 control plane ▲ 1 · 5 node and GPU ?" in finished.out
    assert "unreachable (cannot connect to http://127.0.0.1:1: connection refused)" in finished.out
    assert finished.out.count("connection refused") <= 3


async def test_what_was_asked_by_name_and_does_not_answer_is_no_sign_of_health(tmp_path: Path) -> None:
    async with Simulator(generate(nodes=0, pods=0)) as simulator:
        quiet = await checked(tmp_path, simulator)
        named = await checked(tmp_path, simulator, "--vllm", "http://127.0.0.1:1")
        as_json = await checked(tmp_path, simulator, "--dcgm", "http://127.0.0.1:1", "-o", "json")
    assert (quiet.code, named.code, as_json.code) == (0, 3, 3)
    assert "nothing found, but could not tell for what was asked by name: vllm/servers" in named.out
    assert "not answered: vllm/servers: cannot connect to http://127.0.0.1:1/metrics: connection refused" in named.out


async def test_a_server_that_hangs_is_a_critical_finding_when_time_is_up(tmp_path: Path) -> None:
    async with Simulator(Cluster()) as simulator:
        simulator.faults.hang.append("/")
        finished = await checked(tmp_path, simulator, "--timeout", "1")
    assert finished.code == 2
    assert f"{simulator.url} did not answer within 1 s" in finished.out


@pytest.mark.parametrize("server", ["https://", "https://host:99999", "host:6443"])
async def test_a_server_address_that_is_none_is_a_usage_error(tmp_path: Path, server: str) -> None:
    path = write_kubeconfig(tmp_path / "kubeconfig", server)
    finished = await midwatch(tmp_path, "check", "--kubeconfig", str(path))
    assert finished.code == 64
    assert f"server must be an http:// or https:// URL, not {server!r}" in finished.complaint


async def test_the_configuration_names_the_cluster_as_for_the_cockpit(tmp_path: Path) -> None:
    async with Simulator(cluster_of(crashing())) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        write(tmp_path / "own.toml", f'kubeconfig = "{tmp_path / "kubeconfig"}"\n')
        finished = await midwatch(tmp_path, "check", "--config", "own.toml")
    assert finished.code == 2
    assert "checkout-1 crashes" in finished.out


async def test_checks_side_by_side_do_not_disturb_each_other(tmp_path: Path) -> None:
    async with Simulator(cluster_of(crashing())) as simulator:
        found = await asyncio.gather(*(checked(tmp_path, simulator) for _ in range(3)))
    assert [finished.code for finished in found] == [2, 2, 2]


async def test_who_may_not_read_all_namespaces_is_told_how_to_read_one(tmp_path: Path) -> None:
    hint = "-n NAMESPACE reads one namespace alone"
    async with Simulator(cluster_of(crashing())) as simulator:
        simulator.faults.forbid |= set(BY_NAME)
        everywhere = await checked(tmp_path, simulator)
        limited = await checked(tmp_path, simulator, "-n", "shop")
    assert (everywhere.code, limited.code) == (3, 3)
    assert hint in everywhere.out
    assert hint not in limited.out
