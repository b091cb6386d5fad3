"""etcd and the control plane from the command line to the report: `check`, `check --local` and the doctor."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_asyncio
import yaml

from collectors.control_plane.scheduler import ATTEMPTS, CLUSTERS, PENDING
from collectors.etcd.options import EtcdOptions
from simulator.cluster import Cluster
from simulator.faults import Answer
from simulator.server import Simulator
from situation.clock import utc_now
from situation.readings import SourceState
from tests.collectors.kubeconfigs import needs_openssl
from tests.collectors.test_gpu_prometheus import vector
from tests.collectors.test_scheduler import Prometheus
from tests.real_etcd import Member, RealEtcd
from tests.tui.cockpits import open_cockpit, screen_text, until
from tests.tui.commands import Finished, midwatch, write_kubeconfig
from tests.tui.test_doctor import line_of
from tui.app import Cockpit
from tui.collect import collect_once
from tui.connection import KubernetesConnection
from tui.feed import Feed

pytestmark = needs_openssl

NOWHERE = "http://127.0.0.1:1"
PAGE = """\
process_start_time_seconds 1.7e+09
apiserver_request_duration_seconds_bucket{verb="LIST",resource="pods",scope="cluster",le="1"} 5
apiserver_request_duration_seconds_bucket{verb="LIST",resource="pods",scope="cluster",le="+Inf"} 5
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def etcd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealEtcd]:
    """One member that no test harms."""
    async with RealEtcd(tmp_path_factory.mktemp("etcd"), 1) as running_etcd:
        yield running_etcd


def options_of(etcd: RealEtcd) -> tuple[str, ...]:
    files = ("--etcd-cacert", etcd.cacert, "--etcd-cert", etcd.cert, "--etcd-key", etcd.key)
    return ("--etcd-endpoints", ",".join(etcd.endpoints), *files)


def source_of(member: Member) -> str:
    return f"etcd/127.0.0.1:{member.client_port}"


def states(report: dict[str, Any]) -> dict[str, str]:
    return {source["name"]: source["state"] for source in report["sources"]}


def layer_4(report: dict[str, Any]) -> dict[str, Any]:
    (layer,) = (item for item in report["layers"] if item["layer"] == 4)
    assert isinstance(layer, dict)
    return layer


async def checked(home: Path, *arguments: str) -> tuple[Finished, dict[str, Any]]:
    finished = await midwatch(home, "check", "-o", "json", *arguments)
    report = json.loads(finished.out)
    assert isinstance(report, dict)
    return finished, report


async def test_check_reads_etcd_and_the_api_servers_metrics_and_says_what_it_saw_only_once(
    tmp_path: Path, etcd: RealEtcd
) -> None:
    async with Simulator(Cluster()) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        simulator.faults.answers.append(Answer("/metrics", 200, PAGE, times=None))
        finished, report = await checked(tmp_path, "--kubeconfig", "kubeconfig", *options_of(etcd))
        asked = [request.path for request in simulator.requests if request.path == "/metrics"]
    assert finished.err == ""
    assert {cause["layer"] for cause in report["causes"]} == {4}
    assert "3.5.1" in " ".join(cause["title"] for cause in report["causes"]), "a version that is known to lose data"
    found = states(report)
    assert {found[name] for name in ("etcd/access", "etcd/members", "etcd/alarms", source_of(etcd.members[0]))} == {
        "live"
    }
    assert found["control-plane/metrics"] == "live"
    assert found["control-plane/livez"] == "live"
    assert "latency and load of the API server: measured once" in layer_4(report)["reason"]
    assert len(asked) == 1


async def test_a_prometheus_that_was_named_tells_of_the_scheduler(tmp_path: Path) -> None:
    told = {
        ATTEMPTS: vector(*(({"le": bound}, count) for bound, count in (("2.048", 0), ("4.096", 90), ("+Inf", 90)))),
        PENDING: vector(({"queue": "active"}, 240)),
    }
    async with Simulator(Cluster()) as simulator, Prometheus(told, utc_now()) as prometheus:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        _, report = await checked(tmp_path, "--kubeconfig", "kubeconfig", "--prometheus", prometheus.url)
    assert states(report)["control-plane/scheduler"] == "live"
    (cause,) = (cause for cause in report["causes"] if cause["rule"] == "scheduler-slow")
    assert cause["title"] == "scheduler takes p99 4.1 s for a pod"
    assert "pods in its queues: 240 active" in [line["text"] for line in cause["evidence"]]


async def test_an_etcd_that_was_named_and_does_not_answer_is_no_all_clear(tmp_path: Path) -> None:
    async with Simulator(Cluster()) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        given = ("--kubeconfig", "kubeconfig", "--etcd-endpoints", "127.0.0.1:1")
        finished, report = await checked(tmp_path, *given)
        text = await midwatch(tmp_path, "check", *given)
    assert report["notes"] == ["--etcd-endpoints 127.0.0.1:1: taken as http://127.0.0.1:1, as no certificate is given"]
    assert finished.code in (2, 3)
    assert layer_4(report)["status"] in ("unknown", "findings")
    assert "connection refused" in text.out
    assert states(report)["etcd/127.0.0.1:1"] == "unreachable"


async def test_etcd_is_seen_when_the_api_server_is_not(tmp_path: Path, etcd: RealEtcd) -> None:
    write_kubeconfig(tmp_path / "kubeconfig", NOWHERE)
    finished, report = await checked(tmp_path, "--kubeconfig", "kubeconfig", *options_of(etcd))
    assert finished.code == 2
    assert states(report)[source_of(etcd.members[0])] == "live"
    assert states(report)["kubernetes/pods"] == "unreachable"
    assert any(cause["title"].startswith("API server does not answer") for cause in report["causes"])


# --local


def kubeadm_files(folder: Path, etcd: RealEtcd) -> Path:
    """What kubeadm would have put on this host if it had set this etcd up; returns a configuration that leads there."""
    (member,) = etcd.members
    directory = folder / "kubernetes"
    (directory / "manifests").mkdir(parents=True)
    pki = directory / "pki" / "etcd"
    pki.mkdir(parents=True)
    for name, source in (("ca.crt", etcd.cacert), ("healthcheck-client.crt", etcd.cert)):
        (pki / name).write_bytes(Path(source).read_bytes())
    (pki / "healthcheck-client.key").write_bytes(Path(etcd.key).read_bytes())
    flags = {
        "name": "cp-1",
        "listen-client-urls": member.endpoint,
        "advertise-client-urls": member.endpoint,
        "listen-metrics-urls": member.metrics_url,
        "trusted-ca-file": "/etc/kubernetes/pki/etcd/ca.crt",
    }
    command = ["etcd", *(f"--{key}={value}" for key, value in flags.items())]
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "etcd", "namespace": "kube-system", "labels": {"component": "etcd"}},
        "spec": {"containers": [{"name": "etcd", "command": command}]},
    }
    (directory / "manifests" / "etcd.yaml").write_text(yaml.safe_dump(manifest))
    (directory / "manifests" / "kube-scheduler.yaml").write_text("command: [kube-scheduler, --secure-port=1]\n")
    config = folder / "own.toml"
    config.write_text(f'kubernetes_dir = "{directory}"\n')
    return config


async def test_local_needs_no_kubeconfig(tmp_path: Path, etcd: RealEtcd) -> None:
    config = kubeadm_files(tmp_path, etcd)
    finished, report = await checked(tmp_path, "--local", "--config", str(config))
    (note,) = report["notes"]
    assert note.startswith("no credentials, so the API server is not asked: ")
    assert f"{tmp_path / 'kubernetes' / 'admin.conf'} does not exist" in note
    found = states(report)
    assert found[source_of(etcd.members[0])] == "live"
    assert found["control-plane/certificate-files"] == "live"
    assert found["control-plane/local"] == "live"
    errors = {source["name"]: source["error"] for source in report["sources"]}
    assert errors["kubernetes/pods"] == "not read: no kubeconfig (midwatch --local)"
    unknown = {item["layer"] for item in report["layers"] if item["status"] == "unknown"}
    assert unknown >= {1, 2, 3, 5}
    assert "API server does not answer" not in finished.out


async def test_local_takes_the_credentials_of_kubeadm_and_says_so(tmp_path: Path, etcd: RealEtcd) -> None:
    config = kubeadm_files(tmp_path, etcd)
    async with Simulator(Cluster()) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubernetes" / "super-admin.conf")
        (tmp_path / "kubernetes" / "admin.conf").write_text("not: [a kubeconfig")
        _, report = await checked(tmp_path, "--local", "--config", str(config))
    assert report["notes"] == [f"credentials: {tmp_path / 'kubernetes' / 'super-admin.conf'}"]
    assert states(report)["kubernetes/pods"] == "live"
    assert report["context"] == "demo"


@pytest.mark.skipif(os.geteuid() != 0, reason="needs rights that the real user of the process does not have")
async def test_local_takes_credentials_that_the_process_may_read_whoever_started_it(tmp_path: Path) -> None:
    """As with the capability of the kiosk's unit: asked for the user, the system would say no."""
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "etcd.yaml").touch()
    path = write_kubeconfig(tmp_path / "admin.conf", NOWHERE)
    path.chmod(0o600)
    os.setreuid(65534, 0)
    try:
        assert not os.access(path, os.R_OK)
        access = await KubernetesConnection(local=True, etcd=EtcdOptions(kubernetes_dir=tmp_path)).access()
    finally:
        os.setreuid(0, 0)
    assert access.client is not None
    async with access.client:
        assert access.notes == (f"credentials: {path}",)


@pytest.mark.parametrize(
    ("made", "said"),
    [("", "no control-plane node that kubeadm has set up"), ("manifests", "holds none of etcd.yaml, kube-apiserver")],
)
async def test_local_elsewhere_is_refused_with_the_reason(tmp_path: Path, made: str, said: str) -> None:
    (tmp_path / "kubernetes" / made).mkdir(parents=True)
    (tmp_path / "own.toml").write_text(f'kubernetes_dir = "{tmp_path / "kubernetes"}"\n')
    finished = await midwatch(tmp_path, "check", "--local", "--config", "own.toml")
    assert finished.code == 64
    assert finished.complaint.startswith("--local: this host is no control-plane node")
    assert said in finished.complaint


# Doctor


async def test_the_doctor_tells_of_etcd_of_metrics_and_of_certificates(tmp_path: Path, etcd: RealEtcd) -> None:
    port = etcd.members[0].client_port
    async with Simulator(Cluster()) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        simulator.faults.answers.append(Answer("/metrics", 403, '{"kind":"Status","message":"no"}', times=None))
        well = await midwatch(tmp_path, "doctor", "--kubeconfig", "kubeconfig", *options_of(etcd))
    assert well.code == 0, well.out
    assert line_of(well, "etcd  ").endswith("found by --etcd-endpoints")
    assert line_of(well, f"etcd 127.0.0.1:{port}").startswith("✓ ")
    assert "version 3.5.1" in line_of(well, f"etcd 127.0.0.1:{port}")
    assert "RBAC needs get on nonResourceURLs /metrics" in line_of(well, "may read /metrics")
    assert "1 read; etcd-server" in line_of(well, "certificates")


@pytest.mark.parametrize(
    ("clusters", "said"),
    [
        (vector(({}, 4)), "✓ scheduler in Prometheus    its attempts and queues are told"),
        (vector(), "✓ scheduler in Prometheus    none: "),
        (vector(({"cluster": "a"}, 1), ({"cluster": "b"}, 1)), "● scheduler in Prometheus    http"),
    ],
    ids=["told", "not scraped", "of two clusters"],
)
async def test_the_doctor_tells_whether_a_prometheus_knows_the_scheduler(
    tmp_path: Path, clusters: bytes, said: str
) -> None:
    async with Simulator(Cluster()) as simulator, Prometheus({CLUSTERS: clusters}) as prometheus:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        finished = await midwatch(tmp_path, "doctor", "--kubeconfig", "kubeconfig", "--prometheus", prometheus.url)
    assert " ".join(line_of(finished, "scheduler in Prometheus").split()).startswith(" ".join(said.split()))


async def test_the_doctor_looks_at_etcd_also_when_the_api_server_is_dead(tmp_path: Path, etcd: RealEtcd) -> None:
    config = kubeadm_files(tmp_path, etcd)
    local = await midwatch(tmp_path, "doctor", "--local", "--config", str(config))
    assert line_of(local, "kubeconfig").startswith("● ")
    assert line_of(local, "etcd  ").endswith(f"found by {tmp_path / 'kubernetes' / 'manifests' / 'etcd.yaml'}")
    write_kubeconfig(tmp_path / "kubeconfig", NOWHERE)
    dead = await midwatch(tmp_path, "doctor", "--kubeconfig", "kubeconfig", "--etcd-endpoints", "127.0.0.1:1")
    assert dead.code == 3
    assert line_of(dead, "etcd 127.0.0.1:1").startswith("✗ ")
    assert "taken as http://127.0.0.1:1" in line_of(dead, "options")


# Own load, and the cockpit without credentials


async def test_the_page_of_metrics_counts_as_load_of_our_own(tmp_path: Path) -> None:
    page = PAGE + "# padding\n" * 20_000
    async with Simulator(Cluster()) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        simulator.faults.answers.append(Answer("/metrics", 200, page, times=None))
        feed = Feed(utc_now)
        async with KubernetesConnection(str(tmp_path / "kubeconfig"))(feed.publish) as connected:
            assert await collect_once(feed, connected, 10.0)
            async with asyncio.timeout(10.0):
                while feed.situation.own_load.received_bytes < len(page):
                    await asyncio.sleep(0.05)
                    feed.turn()
    assert feed.situation.source("control-plane/metrics").state is SourceState.LIVE


async def test_a_cockpit_without_credentials_says_so_in_each_pane_and_shows_etcd(
    tmp_path: Path, etcd: RealEtcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    kubeadm_files(tmp_path, etcd)
    options = EtcdOptions(kubernetes_dir=tmp_path / "kubernetes")
    connection = KubernetesConnection(local=True, etcd=options, kubeconfig=None)
    async with open_cockpit(connection, tmp_path / "state", now=None, until_known=False) as pilot:
        situation = cast(Cockpit, pilot.app).feed.situation
        await until(pilot, lambda: situation.source(source_of(etcd.members[0])).state is SourceState.LIVE, 600)
        await until(pilot, lambda: "no credentials: the API server is not asked" in screen_text(pilot), 600)
        assert "absent: not read: no kubeconfig (midwatch --local)" in screen_text(pilot)
        assert "API server unreachable" not in screen_text(pilot)
