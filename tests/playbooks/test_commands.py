import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbooks.commands import CommandRefusedError, Target, offered, render
from situation.findings import Command
from situation.text import harmless

TARGET = Target("prod-h100")


def logs(name: str, namespace: str = "shop") -> Command:
    return Command(("kubectl", "logs", name, "--previous"), "why did it exit?", namespace)


def test_context_and_namespace_are_always_there() -> None:
    assert render(logs("web-1"), TARGET) == "kubectl --context prod-h100 -n shop logs web-1 --previous"
    assert render(logs("web-1"), Target("a b", "/tmp/my config")) == (
        "kubectl --kubeconfig '/tmp/my config' --context 'a b' -n shop logs web-1 --previous"
    )


def test_other_programs_get_no_kubectl_options() -> None:
    command = Command(("systemctl", "status", "kubelet"), "?", where="node a")
    assert render(command, TARGET) == "systemctl status kubelet"


@pytest.mark.parametrize(
    "name",
    ["a\x1b]52;c;x\x07", "a\nb", "a\u202eb", "a\u200bb", harmless("a\x1bb"), harmless("a\u202eb"), "<pod>"],
)
def test_what_is_not_the_real_name_is_refused(name: str) -> None:
    with pytest.raises(CommandRefusedError):
        render(logs(name), TARGET)
    with pytest.raises(CommandRefusedError):
        render(logs("web-1", namespace=name), TARGET)
    assert offered((logs(name),), TARGET) == ()


@pytest.mark.parametrize("name", ["--all", "--server=http://evil", "-x", "-"])
def test_a_name_that_reads_as_an_option_is_refused(name: str) -> None:
    with pytest.raises(CommandRefusedError):
        render(logs(name), TARGET)


@given(st.text(min_size=1))
def test_a_rendered_name_is_one_word_to_the_shell_and_nothing_else(name: str) -> None:
    try:
        line = render(logs(name), TARGET)
    except CommandRefusedError:
        return
    assert shlex.split(line) == ["kubectl", "--context", "prod-h100", "-n", "shop", "logs", name, "--previous"]
    assert "\n" not in line
    assert "\x1b" not in line


def test_what_a_pod_runs_has_flags_of_its_own() -> None:
    inside = ("etcdctl", "--cacert", "/pki/ca.crt", "endpoint", "status", "-w", "table")
    command = Command(("kubectl", "exec", "etcd-cp-1", "--", *inside), "?", "kube-system")
    assert render(command, TARGET) == (
        "kubectl --context prod-h100 -n kube-system exec etcd-cp-1 -- "
        "etcdctl --cacert /pki/ca.crt endpoint status -w table"
    )
    for argv in (
        ("kubectl", "exec", "--cacert", "--", "etcdctl"),
        ("kubectl", "exec", "etcd-cp-1", "--", "etcdctl", "--data-dir"),
        ("kubectl", "logs", "web-1", "--", "--tail"),
    ):
        with pytest.raises(CommandRefusedError):
            render(Command(argv, "?", "kube-system"), TARGET)
