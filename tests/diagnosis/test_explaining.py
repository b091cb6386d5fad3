"""Which findings explain which: the lists name real rules, and of the cluster only what is named explains anything."""

import pytest

from diagnosis import explaining
from diagnosis.catalogue import BY_ID
from diagnosis.fold import Hit, fold
from diagnosis.rule import Fired, Rule, Verdict, rule
from situation.etcd.cluster import ETCD
from situation.findings import Layer, Severity
from situation.meta import CLUSTER, Ref
from situation.situation import Situation
from tests.build import NOW

LISTS = {name: ids for name, ids in vars(explaining).items() if isinstance(ids, tuple | frozenset)}
EFFECT = Ref("Deployment", "shop", "web")
API_SERVER, ETCD_POD = (Ref("Pod", "kube-system", f"{name}-cp-1") for name in ("kube-apiserver", "etcd"))


def named(id: str) -> Rule:
    @rule(id, signature="", layer=Layer.CONTROL_PLANE, severity=Severity.WARNING, kind="Cluster", looks_at="")
    def judge(*_: object) -> Verdict:
        """A rule of a test."""
        raise AssertionError

    return judge


def causes(*hits: Hit) -> dict[str, list[str]]:
    """Return the causes of these hits, each with its consequences."""
    by_subject = {Ref("Test", "", f"{number}"): [hit] for number, hit in enumerate(hits)}
    order = {hit.rule.id: number for number, hit in enumerate(hits)}
    return {
        found.rule: [item.rule for item in found.consequences] for found in fold(by_subject, Situation(), order, NOW)
    }


def hit(id: str, about: Ref = CLUSTER, judged: Ref = CLUSTER, **more: object) -> Hit:
    return Hit(named(id), judged, Fired(about, "is", (), (), **more))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", LISTS)
def test_only_rules_that_exist_explain_anything(name: str) -> None:
    assert set(LISTS[name]) <= BY_ID.keys()


def test_only_rules_that_exist_explain_or_follow_at_a_model_server() -> None:
    effects = [id for id in BY_ID if explaining.serving_explains(id)]
    assert len(effects) == len(explaining._SERVING)
    assert {cause for id in effects for cause in explaining.serving_explains(id)} <= BY_ID.keys()


@pytest.mark.parametrize(
    ("named", "explains"),
    [
        ({}, False),
        ({"follows_only": ("scheduler-down",)}, True),
        ({"follows_only": ("certificate-expires",)}, False),
        ({"of_cluster": ("scheduler-down",)}, True),
        ({"of_cluster": ("certificate-expires",)}, False),
    ],
)
def test_of_what_is_judged_for_the_cluster_only_rules_that_are_named_explain(
    named: dict[str, tuple[str, ...]], explains: bool
) -> None:
    found = causes(hit("scheduler-down"), hit("effect", EFFECT, EFFECT, follows=(CLUSTER,), **named))
    assert (found == {"scheduler-down": ["effect"]}) is explains


def test_what_counts_of_the_cluster_says_nothing_of_other_subjects() -> None:
    node = Ref("Node", "", "n1")
    effect = hit("effect", EFFECT, EFFECT, follows=(CLUSTER, node), of_cluster=("scheduler-down",))
    assert causes(hit("node-unreachable", node, node), effect) == {"node-unreachable": ["effect"]}


def test_the_cluster_shows_what_is_found_about_etcd() -> None:
    effect = hit("effect", EFFECT, EFFECT, follows=(CLUSTER,), follows_only=("etcd-no-space",))
    assert causes(hit("etcd-no-space", ETCD), effect) == {"etcd-no-space": ["effect"]}


@pytest.mark.parametrize(
    ("pod", "effect", "cause", "explains"),
    [
        (API_SERVER, "crash-loop", "etcd-quorum-lost", True),
        (API_SERVER, "crash-loop", "etcd-no-space", False),
        (API_SERVER, "image-pull", "etcd-quorum-lost", False),
        (ETCD_POD, "not-ready", "etcd-member-down", True),
        (ETCD_POD, "crash-loop", "etcd-member-down", False),
        (Ref("Pod", "shop", "etcd-1"), "not-ready", "etcd-member-down", False),
    ],
)
def test_static_pods_of_the_control_plane_follow_from_etcd(pod: Ref, effect: str, cause: str, explains: bool) -> None:
    assert (causes(hit(cause, ETCD), hit(effect, pod, pod)) == {cause: [effect]}) is explains
