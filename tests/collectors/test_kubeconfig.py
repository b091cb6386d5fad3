"""Finding and reading kubeconfig files, and what is said when they lead nowhere."""

import os
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml

from collectors.errors import ConfigurationError
from collectors.kubernetes.kubeconfig import Kubeconfig, find_kubeconfig

Config = dict[str, Any]


def config(
    *contexts: str, current: str | None = "a", server: str = "https://10.0.0.1:6443", user: Config | None = None
) -> Config:
    names = contexts or ("a",)
    made: Config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": server}} for name in names],
        "users": [{"name": name, "user": user or {"token": f"token-{name}"}} for name in names],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in names],
    }
    return made if current is None else {**made, "current-context": current}


def find(path: Path | None = None, context: str | None = None, home: Path | None = None, **environ: str) -> Kubeconfig:
    found = {"HOME": str(home or "/nonexistent"), **environ}
    return find_kubeconfig(str(path) if path else None, context, found, Path("/nonexistent"))


def write(path: Path, data: Config) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(data))
    return path


def test_argument_wins_over_variable_and_home(tmp_path: Path) -> None:
    home = write(tmp_path / ".kube" / "config", config("home", current="home"))
    variable = write(tmp_path / "variable", config("variable", current="variable"))
    argument = write(tmp_path / "argument", config("argument", current="argument"))
    assert find(argument, home=tmp_path, KUBECONFIG=str(variable)).context == "argument"
    assert find(home=tmp_path, KUBECONFIG=str(variable)).context == "variable"
    found = find(home=tmp_path)
    assert (found.path, found.context, found.login) == (str(home), "home", "kubectl --context home get ns")
    assert find(argument).login == f"kubectl --kubeconfig {argument} --context argument get ns"
    assert find(home=tmp_path, KUBECONFIG="").context == "home"


def test_context_namespace_and_server(tmp_path: Path) -> None:
    data = config("a", "b", server="https://host:6443/")
    data["contexts"][1]["context"]["namespace"] = "shop"
    file = write(tmp_path / "config", data)
    assert find(file).namespace == "default"
    chosen = find(file, "b")
    assert (chosen.context, chosen.namespace, chosen.server) == ("b", "shop", "https://host:6443")
    assert chosen.user == {"token": "token-b"}


def test_several_files_merge_the_first_one_wins(tmp_path: Path) -> None:
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "ca.pem").write_text("x")
    first = config("a", current=None)
    second = config("a", "b", current="b")
    second["users"][0]["user"] = {"token": "not this one"}
    second["clusters"][1]["cluster"]["certificate-authority"] = "ca.pem"
    paths = [write(tmp_path / "one" / "x", first), tmp_path / "missing", write(tmp_path / "two" / "y", second)]
    variable = os.pathsep.join(map(str, paths))
    assert find(KUBECONFIG=variable, context="a").user == {"token": "token-a"}
    found = find(KUBECONFIG=variable)
    assert found.context == "b"
    assert found.cluster["certificate-authority"] == str(tmp_path / "two" / "ca.pem"), "relative to its own file"


def test_inline_data_wins_over_a_file(tmp_path: Path) -> None:
    data = config("a")
    data["clusters"][0]["cluster"] |= {
        "certificate-authority-data": "LS0tLS1CRUdJTiB4",
        "certificate-authority": "missing.pem",
    }
    assert "certificate-authority" not in find(write(tmp_path / "config", data)).cluster


def test_relative_exec_plugin(tmp_path: Path) -> None:
    data = config("a", user={"exec": {"command": "./bin/login", "apiVersion": "client.authentication.k8s.io/v1"}})
    assert find(write(tmp_path / "config", data)).user["exec"]["command"] == str(tmp_path / "bin/login")


def test_in_cluster(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    (tmp_path / "ca.crt").write_text("c")
    (tmp_path / "namespace").write_text("watch\n")
    environ = {"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "443"}
    found = find_kubeconfig(None, None, environ, tmp_path)
    assert (found.server, found.context, found.namespace) == ("https://[fd00::1]:443", "in-cluster", "watch")
    assert found.user["tokenFile"] == str(tmp_path / "token")
    with pytest.raises(ConfigurationError, match="--context x needs a kubeconfig"):
        find_kubeconfig(None, "x", environ, tmp_path)


def test_nothing_at_all_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        find(home=tmp_path)
    assert str(tmp_path / ".kube" / "config") in str(raised.value)
    assert "--kubeconfig" in str(raised.value)
    with pytest.raises(ConfigurationError, match="KUBECONFIG names /nowhere/x, which does not exist"):
        find(home=tmp_path, KUBECONFIG="/nowhere/x")


def _changed(change: Callable[[Config], object]) -> str:
    data = config("a", "b")
    change(data)
    return yaml.safe_dump(data)


BROKEN: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "the kubeconfig is empty"),
    "broken YAML": ("clusters: [\nx: }", "line 2: broken YAML"),
    "a list": ("- a", "not a kubeconfig"),
    "binary": (b"\xff\xfe\x00", "not a text file"),
    "control characters": ("a: \x07", "broken YAML"),
    "no current context": (_changed(lambda c: c.pop("current-context")), "choose one with --context (there are: a, b)"),
    "no contexts": ("kind: Config", "it has no contexts at all"),
    "unknown current context": (
        _changed(lambda c: c.update({"current-context": "x"})),
        "no context 'x'; there are: a, b",
    ),
    "unknown cluster": (_changed(lambda c: c["clusters"].pop(0)), "context 'a' names cluster 'a', which is not there"),
    "unknown user": (_changed(lambda c: c["users"].pop(0)), "context 'a' names user 'a', which is not there"),
    "no server": (
        _changed(lambda c: c["clusters"][0]["cluster"].clear()),
        "must be an http:// or https:// URL, not None",
    ),
    "no scheme": (_changed(lambda c: c["clusters"][0]["cluster"].update(server="h:1")), "not 'h:1'"),
    "clusters no list": (_changed(lambda c: c.update(clusters={"a": 1})), "clusters must be a list"),
    "nameless": (_changed(lambda c: c["users"].insert(0, {"user": {}})), "users[0] has no name"),
    "cluster no mapping": (_changed(lambda c: c["clusters"][0].update(cluster=[])), "cluster must be a mapping"),
    "CA file": (
        _changed(lambda c: c["clusters"][0]["cluster"].update({"certificate-authority": "ca.pem"})),
        "cluster 'a': certificate-authority: cannot read",
    ),
    "token file": (_changed(lambda c: c["users"][0]["user"].update(tokenFile="/no/token")), "cannot read /no/token"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_broken_files_are_named_with_what_is_wrong(tmp_path: Path, case: str) -> None:
    text, said = BROKEN[case]
    file = tmp_path / "config"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigurationError) as raised:
        find(file)
    assert str(file) in str(raised.value)
    assert said in str(raised.value)


PLUGIN = {"command": "aws", "apiVersion": "client.authentication.k8s.io/v1"}


@pytest.mark.parametrize(
    ("user", "said"),
    [
        ({"exec": {**PLUGIN, "args": 5}}, "exec: args must be a list, not a number"),
        ({"exec": {**PLUGIN, "args": "get-token"}}, "exec: args must be a list, not a text"),
        ({"exec": {**PLUGIN, "args": ["a", 5]}}, "exec: args[1] must be a text, not a number; put it in quotes"),
        ({"exec": {**PLUGIN, "args": [None]}}, "exec: args[0] must be a text, not empty; put it in quotes"),
        ({"exec": {**PLUGIN, "env": 5}}, "exec: env must be a list, not a number"),
        ({"exec": {**PLUGIN, "env": {"A": "b"}}}, "exec: env must be a list, not a mapping"),
        ({"exec": {**PLUGIN, "env": ["A=b"]}}, "exec: env[0] must be a mapping, not a text"),
        (
            {"exec": {**PLUGIN, "env": [{"name": "A", "value": True}]}},
            "exec: env[0]: value must be a text, not true or false; put it in quotes",
        ),
        ({"exec": {**PLUGIN, "command": ["aws", "eks"]}}, "exec: command must be a text, not a list"),
        ({"exec": {"provideClusterInfo": "no"}}, "exec: provideClusterInfo must be true or false, not a text"),
        ({"exec": "aws eks get-token"}, "exec must be a mapping, not a text"),
        ({"auth-provider": "oidc"}, "auth-provider must be a mapping, not a text"),
        ({"auth-provider": {"name": "oidc", "config": []}}, "auth-provider: config must be a mapping, not a list"),
        ({"as": "me", "as-groups": 5}, "as-groups must be a list, not a number"),
        ({"as": "me", "as-groups": "system:masters"}, "as-groups must be a list, not a text"),
        ({"username": 5, "password": "x"}, "username must be a text, not a number; put it in quotes"),
        ({"token": 5}, "token must be a text, not a number; put it in quotes"),
        ({"token": date(2026, 11, 20)}, "token must be a text, not a date; put it in quotes"),
        ({"token": ["secret"]}, "token must be a text, not a list"),
        ({"client-certificate": ["a"]}, "client-certificate must be a text, not a list"),
    ],
)
def test_a_user_with_a_wrong_type_is_named_with_its_key(tmp_path: Path, user: Config, said: str) -> None:
    file = write(tmp_path / "config", config("a", user=user))
    with pytest.raises(ConfigurationError) as raised:
        find(file)
    assert str(raised.value) == f"{file}: user 'a': {said}"


@pytest.mark.parametrize(
    ("cluster", "said"),
    [
        ({"proxy-url": 5}, "proxy-url must be a text, not a number; put it in quotes"),
        ({"proxy-url": ["http://x"]}, "proxy-url must be a text, not a list"),
        ({"tls-server-name": 5}, "tls-server-name must be a text, not a number; put it in quotes"),
        ({"certificate-authority": 7}, "certificate-authority must be a text, not a number; put it in quotes"),
        ({"insecure-skip-tls-verify": "no"}, "insecure-skip-tls-verify must be true or false, not a text"),
    ],
)
def test_a_cluster_with_a_wrong_type_is_named_with_its_key(tmp_path: Path, cluster: Config, said: str) -> None:
    data = config("a")
    data["clusters"][0]["cluster"] |= cluster
    file = write(tmp_path / "config", data)
    with pytest.raises(ConfigurationError) as raised:
        find(file)
    assert str(raised.value) == f"{file}: cluster 'a': {said}"


def test_what_is_null_is_absent_and_other_users_do_no_harm(tmp_path: Path) -> None:
    data = config("a", "b", user={"exec": {**PLUGIN, "args": None, "env": None}, "as-groups": None, "token": None})
    data["users"][1]["user"] = {"exec": "aws"}
    data["clusters"][0]["cluster"] |= {"proxy-url": None, "extensions": 5}
    assert find(write(tmp_path / "config", data)).context == "a"


def test_missing_file_and_unknown_context(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere: no such kubeconfig file"):
        find(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="no context 'prod'; there are: a, b"):
        find(write(tmp_path / "config", config("a", "b")), "prod")
    with pytest.raises(ConfigurationError, match="cannot read it: Is a directory"):
        find(tmp_path)
