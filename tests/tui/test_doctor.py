"""`midwatch doctor`: one line for each thing, and exit code 3 when something needed does not work."""

from datetime import timedelta
from pathlib import Path

import pytest

from simulator.cluster import Cluster
from simulator.faults import Answer
from simulator.generator import generate
from simulator.server import Simulator
from situation.certificates import Certificate
from situation.etcd.members import EtcdMember
from tests.build import NOW, pod
from tests.tui.commands import Finished, midwatch, write_kubeconfig
from tui.doctor_control_plane import certificate_lines, member_line


def line_of(finished: Finished, what: str) -> str:
    found = [line for line in finished.out.splitlines() if f" {what} " in line]
    assert len(found) == 1, finished
    return found[0]


async def test_all_is_well(tmp_path: Path) -> None:
    async with Simulator(Cluster()) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        finished = await midwatch(tmp_path, "doctor", "--kubeconfig", "kubeconfig")
        pods = [
            request.query
            for request in simulator.requests
            if request.path.endswith("/pods") and "labelSelector" not in request.query
        ]
        on_demand = [request.query for request in simulator.requests if request.path.endswith("/limitranges")]
    assert (finished.code, finished.err) == (0, "")
    assert "✗" not in finished.out
    assert line_of(finished, "may read pods").endswith("yes")
    # Others look for exporters, by their label, and for model servers, in what the server has in its cache.
    asked, watched = (query for query in pods if query != {"resourceVersion": "0"})
    assert asked == {"limit": "1"}, "with a resourceVersion the limit would be ignored"
    assert (watched["watch"], watched["timeoutSeconds"]) == ("1", "1")
    assert int(watched["resourceVersion"]) > 0, "without it, or with 0, everything there is would be sent"
    assert on_demand == [{"limit": "1"}]


async def test_missing_rights_name_what_is_needed(tmp_path: Path) -> None:
    cluster = Cluster()
    cluster.put("pods", pod())
    async with Simulator(cluster) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        simulator.faults.forbid.add("deployments")
        simulator.faults.absent.add("runtimeclasses")
        some = await midwatch(tmp_path, "doctor", "--kubeconfig", "kubeconfig")
        simulator.faults.forbid.add("pods")
        none = await midwatch(tmp_path, "doctor", "--kubeconfig", "kubeconfig", "-n", "shop")
    assert some.code == 0
    assert line_of(some, "may read deployments").startswith("● ")
    assert "RBAC needs get, list and watch on deployments (group apps)" in some.out
    assert "this server has none (node.k8s.io/v1)" in line_of(some, "may read runtimeclasses")
    assert none.code == 3
    assert line_of(none, "may read pods").startswith("✗ ")
    assert "on pods in namespace shop" in none.out


async def test_a_kind_that_may_be_listed_but_not_watched_is_told(tmp_path: Path) -> None:
    async with Simulator(Cluster()) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        simulator.faults.answers.append(Answer("/api/v1/pods", 403, "no", query={"watch": "*"}, times=None))
        finished = await midwatch(tmp_path, "doctor", "--kubeconfig", "kubeconfig")
    assert finished.code == 0
    assert line_of(finished, "may read pods").endswith(
        "list only, so it is polled every 60 s or slower: cannot watch pods in all namespaces "
        "(RBAC: verb watch, resource pods)"
    )
    assert line_of(finished, "may read pods").startswith("● ")
    assert line_of(finished, "may read nodes").endswith("yes")


async def test_each_step_that_fails_says_why_and_ends_the_rest(tmp_path: Path) -> None:
    nothing = await midwatch(tmp_path, "doctor")
    assert nothing.code == 3
    assert "no cluster configured" in line_of(nothing, "kubeconfig")
    write_kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:1")
    refused = await midwatch(tmp_path, "doctor", "--kubeconfig", "kubeconfig")
    assert refused.code == 3
    assert "connection refused" in line_of(refused, "API server (/version)")
    assert "may read" not in refused.out
    name = await midwatch(tmp_path, "doctor", "--kubeconfig", "kubeconfig", "-n", "a/b")
    assert name.code == 3
    assert "not a name of a namespace" in name.out


async def test_a_namespace_that_does_not_exist_is_a_cross(tmp_path: Path) -> None:
    async with Simulator(generate(nodes=1, pods=1)) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        mistyped = await midwatch(tmp_path, "doctor", "--kubeconfig", "kubeconfig", "-n", "kube-sytem")
        (tmp_path / "own.toml").write_text('namespace = "kube-sytem"\n')
        from_file = await midwatch(tmp_path, "doctor", "--kubeconfig", "kubeconfig", "--config", "own.toml")
        there = await midwatch(tmp_path, "doctor", "--kubeconfig", "kubeconfig", "-n", "kube-system")
        simulator.faults.forbid.add("namespaces")
        hidden = await midwatch(tmp_path, "doctor", "--kubeconfig", "kubeconfig", "-n", "kube-sytem")
    said = "this cluster has no namespace kube-sytem; did you mean kube-system?"
    assert (mistyped.code, from_file.code, there.code, hidden.code) == (3, 3, 0, 0)
    assert line_of(mistyped, "namespace kube-sytem").startswith("✗ ")
    assert line_of(mistyped, "namespace kube-sytem").endswith(f" --namespace: {said}")
    assert line_of(from_file, "namespace kube-sytem").endswith(f" own.toml: namespace: {said}")
    assert line_of(there, "namespace kube-system").endswith(" exists")
    assert line_of(hidden, "namespace kube-sytem").startswith("● ")
    assert "not known whether it exists: cannot list namespaces" in hidden.out


async def test_a_login_page_and_a_bad_configuration_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("bogus = 1\n")
    async with Simulator(Cluster()) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        simulator.faults.html = True
        finished = await midwatch(tmp_path, "doctor", "--kubeconfig", "kubeconfig", "--config", "own.toml")
    assert finished.code == 3
    assert "own.toml: unknown key 'bogus'" in line_of(finished, "configuration")
    assert "a web page, not the Kubernetes API" in line_of(finished, "API server (/version)")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('prometheus = "foo"', "own.toml: prometheus = 'foo': not a URL"),
        ('namespace = "Shop"', "own.toml: namespace = 'Shop': not a name of a namespace"),
        ('theme = "midwatch-drak"', "own.toml: there is no theme 'midwatch-drak'; did you mean 'midwatch-dark'?"),
        ('[keys]\n"table.nope" = "j"', "own.toml: [keys]: keys.table.nope: there is no such binding"),
        ('etcd_endpoints = ["ftp://x"]', "own.toml: etcd_endpoints 'ftp://x': not a URL"),
        ('etcd_cacert = "/nowhere/ca.crt"', "own.toml: etcd_cacert /nowhere/ca.crt: cannot be read: No such file"),
    ],
)
async def test_what_of_the_configuration_cannot_be_used_is_a_cross(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "own.toml").write_text(f"{text}\n")
    async with Simulator(Cluster()) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        finished = await midwatch(tmp_path, "doctor", "--kubeconfig", "kubeconfig", "--config", "own.toml")
    assert (finished.code, finished.err) == (3, "")
    assert line_of(finished, "configuration").startswith("✗ ")
    assert said in line_of(finished, "configuration")
    assert line_of(finished, "may read pods").endswith("yes"), "the rest is looked at all the same"


async def test_a_status_in_a_200_answer_is_no_yes(tmp_path: Path) -> None:
    status = {"kind": "Status", "metadata": {}, "status": "Failure", "message": "token expired", "code": 401}
    async with Simulator(Cluster()) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        simulator.faults.answers.append(Answer("/api/v1/pods", 200, status, times=None))
        pods = await midwatch(tmp_path, "doctor", "--kubeconfig", "kubeconfig")
        simulator.faults.answers.append(Answer("/", 200, status, times=None))
        everything = await midwatch(tmp_path, "doctor", "--kubeconfig", "kubeconfig")
    assert (pods.code, everything.code) == (3, 3)
    assert line_of(pods, "may read pods").startswith("✗ ")
    assert "/api/v1/pods: not a list but Status: 401, token expired" in line_of(pods, "may read pods")
    assert line_of(pods, "may read nodes").endswith("yes")
    assert line_of(everything, "API server (/version)").startswith("✗ ")
    assert "may read" not in everything.out


async def test_each_playbook_and_theme_that_cannot_be_used_has_a_line_of_its_own(tmp_path: Path) -> None:
    for name in ("playbooks/one.md", "playbooks/two.md", "themes/red.toml"):
        file = tmp_path / "own" / "midwatch" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("nothing of the kind\n")
    own = {"XDG_CONFIG_HOME": str(tmp_path / "own")}
    finished = await midwatch(tmp_path, "doctor", "--kubeconfig", "none", changes=own)
    told = [line.split(maxsplit=2) for line in finished.out.splitlines()]
    playbooks = [(glyph, said) for glyph, what, said in told if what == "playbooks"]
    assert [glyph for glyph, _ in playbooks] == ["●", "●", "✓"]
    for (_, said), name in zip(playbooks, ("one.md:1:", "two.md:1:"), strict=False):
        assert name in said
    assert playbooks[-1][1].endswith(" usable")
    assert [glyph for glyph, what, _ in told if what == "themes"] == ["●", "✓"]


async def test_the_right_to_read_logs_is_an_extra_and_nobodys_log_is_read_to_find_out(tmp_path: Path) -> None:
    cluster = Cluster()
    cluster.put("pods", pod())
    async with Simulator(cluster) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        may = await midwatch(tmp_path, "doctor", "--kubeconfig", "kubeconfig", "-n", "shop")
        asked = [request.path for request in simulator.requests if request.path.endswith("/log")]
        simulator.faults.answers.append(Answer("/api/v1/namespaces/shop/pods/midwatch-", 403, "no", times=None))
        may_not = await midwatch(tmp_path, "doctor", "--kubeconfig", "kubeconfig", "-n", "shop")
    assert line_of(may, "may read pods/log").endswith("yes, in namespace shop")
    assert len(asked) == 1
    assert "web-1" not in asked[0]
    assert may_not.code == 0
    assert line_of(may_not, "may read pods/log").startswith("● ")
    assert "RBAC needs get on pods/log in namespace shop" in line_of(may_not, "may read pods/log")


async def test_an_etcd_that_is_not_found_or_cannot_be_asked_is_no_tick(tmp_path: Path) -> None:
    cluster = Cluster()
    (tmp_path / "own.toml").write_text(f'kubernetes_dir = "{tmp_path}"\n')
    given = ("doctor", "--kubeconfig", "kubeconfig", "--config", "own.toml")
    async with Simulator(cluster) as simulator:
        simulator.write_kubeconfig(tmp_path / "kubeconfig")
        nowhere = await midwatch(tmp_path, *given)
        labels = {"component": "etcd", "tier": "control-plane"}
        cluster.put("pods", pod("etcd-cp-1", namespace="kube-system", labels=labels, status={"hostIP": "10.0.0.1"}))
        closed = await midwatch(tmp_path, *given)
    assert (nowhere.code, closed.code) == (0, 0)
    assert line_of(nowhere, "etcd  ").startswith("● ")
    assert "etcd was not found" in line_of(nowhere, "etcd  ")
    assert line_of(closed, "etcd  ").startswith("● ")
    assert "etcd runs in pod etcd-cp-1, but a client certificate is needed" in line_of(closed, "etcd  ")


async def test_the_help_says_what_marks_and_exit_codes_mean(tmp_path: Path) -> None:
    said = " ".join((await midwatch(tmp_path, "doctor", "--help")).out.split())
    assert "✗ is needed and does not work. The exit code is 0 without a ✗, 3 with one." in said


def test_a_member_that_fails_in_one_way_says_so_once() -> None:
    why = "cannot connect to https://10.0.0.1:2379{}: connection refused"
    member = EtcdMember(
        "https://10.0.0.1:2379",
        status_error=why.format(""),
        page_error=why.format("/metrics"),
        health_error="timed out",
    )
    text = f"status, metrics: {why.format('')}; health: timed out"
    assert member_line(member, "", False) == (False, "etcd 10.0.0.1:2379", text)


def test_a_certificate_that_ends_tomorrow() -> None:
    served = Certificate("etcd-server", "https://10.0.0.1:2379", NOW + timedelta(days=1, hours=3))
    ((works, _, text),) = certificate_lines([served], NOW)
    assert works is None and text.endswith(", in 1 day")
