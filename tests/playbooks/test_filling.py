"""Placeholders: filled from what is meant, never mixed, never dangerous."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playbooks.commands import CommandRefusedError, Target, render
from playbooks.context import Context
from playbooks.filling import fill
from playbooks.model import Template
from playbooks.placeholders import PLACEHOLDERS
from situation.meta import Ref
from situation.situation import Situation
from tests.build import NOW, ago, node, pod, situation

LOGS = Template(("kubectl", "logs", "<pod>", "-c", "<container>", "--field=a=<node>"), "<namespace>")
ENDED = {"lastState": {"terminated": {"exitCode": 1, "finishedAt": ago(60)}}}


def at(known: Situation, *refs: Ref, **values: str) -> Context:
    return Context(known, NOW, refs, values=values)


def test_names_come_from_what_is_meant_and_what_it_leads_to() -> None:
    known = situation(node("node-1"), pod("web-1", owner="StatefulSet/web"), pod("db-1", namespace="data"))
    made = fill(LOGS, "?", at(known, Ref("StatefulSet", "shop", "web")))
    assert made.command.argv == ("kubectl", "logs", "web-1", "-c", "app", "--field=a=node-1")
    assert made.command.namespace == "shop"
    assert made.missing == ()


def test_names_of_two_namespaces_are_not_mixed() -> None:
    known = situation(pod("web-1"), pod("db-1", namespace="data"))
    made = fill(LOGS, "?", at(known, Ref("Service", "data", "db"), Ref("Pod", "shop", "web-1")))
    assert made.missing == ("pod", "container", "node")
    chosen = fill(LOGS, "?", at(known, Ref("Pod", "shop", "web-1"), namespace="data"))
    assert "pod" in chosen.missing


def test_what_is_not_known_stays_visible_and_is_not_rendered() -> None:
    made = fill(LOGS, "?", at(Situation()))
    assert made.command.argv[2] == "<pod>"
    assert made.missing == ("pod", "container", "node", "namespace")
    with pytest.raises(CommandRefusedError):
        render(made.command, Target())


def test_a_previous_log_is_only_offered_of_a_container_that_has_ended() -> None:
    template = Template(("kubectl", "logs", "<pod>", "-c", "<ended-container>", "--previous"), "<namespace>")
    refs = Ref("Pod", "shop", "web-1")
    assert fill(template, "?", at(situation(pod("web-1")), refs)).missing == ("ended-container",)
    assert fill(template, "?", at(situation(pod("web-1", container_status=ENDED)), refs)).missing == ()


def test_etcdctl_stands_for_its_options_too() -> None:
    made = fill(Template(("<etcdctl>", "alarm", "list"), where="<etcd-place>"), "?", at(situation(node("n1"))))
    assert made.command.argv[:2] == ("etcdctl", "--endpoints")
    assert "--cacert" in made.command.argv
    assert made.command.argv[-2:] == ("alarm", "list")


@given(st.text(min_size=1), st.text(min_size=1))
def test_a_hostile_name_is_one_word_or_refused(name: str, space: str) -> None:
    known = Situation()
    made = fill(LOGS, "?", at(known, pod=name, container="app", node=name, namespace=space))
    if made.refused:
        return
    try:
        line = render(made.command, Target("prod"), made.flags)
    except CommandRefusedError:
        return
    assert shlex.split(line) == [
        "kubectl",
        "--context",
        "prod",
        "-n",
        space,
        "logs",
        name,
        "-c",
        "app",
        f"--field=a={name}",
    ]
    assert not name.startswith("-")


@pytest.mark.parametrize("name", ["--all", "a,metadata.name=b", "../../x", "a b", "$(id)", "a\x1b[2J"])
def test_names_that_would_mean_more_are_refused(name: str) -> None:
    made = fill(LOGS, "?", at(Situation(), pod="web-1", container="app", node=name, namespace="shop"))
    assert made.refused


def test_every_placeholder_has_an_answer_for_an_empty_cluster() -> None:
    for name, placeholder in PLACEHOLDERS.items():
        words = placeholder.find(at(Situation()))
        assert words is None or (words and placeholder.is_several) or name in ("etcd-place", "etcd-endpoints")
        if placeholder.choices is not None:
            assert placeholder.choices(at(Situation())) in ((), placeholder.choices(at(Situation())))
