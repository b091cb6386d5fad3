"""Keys of the configuration that lead to servers of one cluster, where another is asked for: never told of that one."""

import json
from pathlib import Path

import pytest

from simulator.cluster import Cluster
from simulator.server import Simulator
from situation.readings import Configured
from tests.collectors.test_scheduler import Prometheus
from tests.tui.commands import midwatch
from tests.tui.test_doctor import line_of
from tui.cluster_keys import KEYS, counted
from tui.config import Config
from tui.etcd_options import EtcdArguments
from tui.reach import Reach

FILE = Path("/etc/own.toml")
PROD = Config(context="prod", etcd_endpoints=("https://10.0.0.1:2379",), prometheus="http://prom", gpu_nodes=3)
BARE = Config(etcd_endpoints=("https://10.0.0.1:2379",), vllm=("http://10.0.0.7:8000",))


@pytest.mark.parametrize("reach", [Reach(), Reach(context="prod"), Reach(etcd=EtcdArguments(("https://a",)))])
def test_for_the_context_that_the_file_names_all_counts_without_a_word(reach: Reach) -> None:
    assert counted(PROD, reach) == (PROD, ())


def test_for_another_context_they_are_left_out_and_that_is_said() -> None:
    found = counted(PROD, Reach(context="staging", config=FILE))
    assert found.config == Config(context="prod", gpu_nodes=3)
    assert found.notes == (f"{FILE}: for context prod, so not used here: etcd_endpoints, prometheus",)
    given = Reach(context="staging", prometheus="http://other", config=FILE)
    assert counted(PROD, given).notes == (f"{FILE}: for context prod, so not used here: etcd_endpoints",)


def test_contexts_of_two_kubeconfigs_may_have_one_name() -> None:
    own = Config(kubeconfig="/home/me/prod", context="admin", dcgm=("http://d",))
    assert counted(own, Reach(kubeconfig=Path("/home/me/prod"))) == (own, ())
    found = counted(own, Reach(kubeconfig=Path("/home/me/staging"), config=FILE))
    assert found.config.dcgm == ()
    assert found.notes == (f"{FILE}: for kubeconfig /home/me/prod, so not used here: dcgm",)


def test_where_the_file_names_no_cluster_they_count_and_it_is_said_where_they_come_from() -> None:
    found = counted(BARE, Reach(context="staging", config=FILE))
    assert found == (BARE, (f"from {FILE}, which sets no context: etcd_endpoints, vllm",))
    assert counted(BARE, Reach(vllm=("http://v",), config=FILE)).notes[0].endswith("no context: etcd_endpoints")
    elsewhere = Reach(kubeconfig=Path("/home/me/staging"), config=FILE)
    assert counted(PROD, elsewhere).notes == (f"from {FILE}, which sets no kubeconfig: etcd_endpoints, prometheus",)


def test_what_is_of_no_cluster_is_not_spoken_of() -> None:
    own = Config(theme="midwatch-light", kubernetes_dir="/host/kubernetes", vllm_pods=("a/b",), gpu_nodes=0)
    assert counted(own, Reach(context="staging")) == (own, ())
    assert set(KEYS) <= set(Config.__struct_fields__)


def test_a_token_goes_to_the_prometheus_beside_it_and_to_no_other() -> None:
    own = Config(context="prod", prometheus="https://prom/", prometheus_token_file="/etc/token")
    assert counted(own, Reach(prometheus="https://prom")) == (own, ())
    found = counted(own, Reach(prometheus="http://me:secret@other:9090", config=FILE))
    assert (found.config.prometheus_token_file, found.config.prometheus) == ("", "https://prom/")
    said = f"{FILE}: prometheus_token_file is not sent to http://other:9090, only to the prometheus of the same file"
    assert found.notes == (said,)


def test_an_empty_option_empties_what_the_configuration_says() -> None:
    own = Config(context="prod", namespace="serving", prometheus="http://prom", prometheus_token_file="/etc/token")
    of_file = Reach(config=FILE).connection(own)
    assert (of_file.context, of_file.namespace, of_file.namespace_from) == ("prod", "serving", f"{FILE}: namespace")
    emptied = Reach(namespace="", prometheus="", config=FILE).connection(own)
    assert (emptied.context, emptied.namespace, emptied.notes) == ("prod", None, ())
    assert emptied.devices is not None and emptied.serving is not None
    assert (emptied.devices.prometheus, emptied.serving.prometheus) == ("", "")
    assert emptied.configured == Configured()
    current = Reach(context="", config=FILE).connection(own)
    assert current.context is None
    assert current.notes == (f"{FILE}: for context prod, so not used here: prometheus, prometheus_token_file",)


async def test_check_and_doctor_do_not_ask_one_clusters_etcd_for_the_other(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('context = "prod"\netcd_endpoints = ["http://127.0.0.1:1"]\n')
    (tmp_path / "bare.toml").write_text('etcd_endpoints = ["http://127.0.0.1:1"]\n')
    async with Simulator(Cluster()) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubeconfig", "staging")
        given = ("--kubeconfig", "kubeconfig", "--context", "staging", "--config")
        data = json.loads((await midwatch(tmp_path, "check", "-o", "json", *given, "own.toml")).out)
        text = (await midwatch(tmp_path, "check", *given, "own.toml")).out
        doctor = await midwatch(tmp_path, "doctor", *given, "own.toml")
        used = await midwatch(tmp_path, "doctor", *given, "bare.toml")
    said = "own.toml: for context prod, so not used here: etcd_endpoints"
    assert data["notes"] == [said]
    assert "etcd/127.0.0.1:1" not in {source["name"] for source in data["sources"]}
    assert said in text
    assert line_of(doctor, "options").endswith(said)
    assert "127.0.0.1:1" not in doctor.out
    assert doctor.code == 0
    assert line_of(used, "options").endswith("from bare.toml, which sets no context: etcd_endpoints")
    assert line_of(used, "etcd  ").endswith("found by bare.toml: etcd_endpoints")
    assert line_of(used, "etcd 127.0.0.1:1").startswith("✗ ")


async def test_another_prometheus_never_sees_the_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    async with Simulator(Cluster()) as simulator, Prometheus({}) as own, Prometheus({}) as other:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        config = f'prometheus = "{own.url}"\nprometheus_token_file = "{tmp_path / "token"}"\n'
        (tmp_path / "own.toml").write_text(config)
        given = ("check", "-o", "json", "--kubeconfig", "kubeconfig", "--config", "own.toml")
        await midwatch(tmp_path, *given)
        elsewhere = await midwatch(tmp_path, *given, "--prometheus", other.url)
    assert {asked.headers.get("authorization") for asked in own.asked} == {"Bearer secret"}
    assert {asked.headers.get("authorization") for asked in other.asked} == {None}
    assert json.loads(elsewhere.out)["notes"] == [
        f"own.toml: prometheus_token_file is not sent to {other.url}, only to the prometheus of the same file"
    ]
