"""Stacked etcd under a strain that was measured, and versions that lie apart."""

from datetime import timedelta
from typing import Any

import pytest

from diagnosis.rules import topology
from situation.etcd.members import EtcdMember, EtcdReading, MemberPage
from situation.findings import Severity
from situation.readings import Reading, ServerVersion, SourceState
from situation.situation import Situation
from situation.topology import EtcdTopology, etcd_topology, version_of
from tests.build import NOW, Manifest, node, pod, situation
from tests.diagnosis.api_pages import took
from tests.diagnosis.objects import causes_of

RULES = topology.RULES
CONTROL = {"node-role.kubernetes.io/control-plane": ""}


def static(component: str, where: str = "cp-1", version: str = "v1.36.2") -> Manifest:
    return pod(
        f"{component}-{where}", namespace="kube-system", owner=f"Node/{where}", labels={"component": component},
        node=where, container={"image": f"registry.k8s.io/{component}:{version}"},
    )  # fmt: skip


def machine(name: str, kubelet: str = "v1.36.2", **more: Any) -> Manifest:
    return node(name, status={"nodeInfo": {"kubeletVersion": kubelet}}, **more)


STACKED = (node("cp-1", labels=CONTROL), static("etcd"), static("kube-apiserver"))
EXTERNAL = (node("cp-1", labels=CONTROL), static("kube-apiserver"))


def measured(*manifests: Manifest, fsync_s: float = 0.004, elections: int = 0, minutes: float = 30) -> Situation:
    known = situation(*manifests)
    old = took(0.004, 1000)
    for at, page in (
        (NOW - timedelta(minutes=minutes), MemberPage(fsync=old, leader_changes=7)),
        (NOW, MemberPage(fsync=took(fsync_s, 1000, old), leader_changes=7 + elections)),
    ):
        member = EtcdMember("https://10.0.0.1:2379", page=page)
        known.apply(Reading("etcd/https://10.0.0.1:2379", SourceState.LIVE, at, EtcdReading(member, at)))
    return known


@pytest.mark.parametrize(
    ("known", "fires"),
    [
        (measured(*STACKED, fsync_s=0.02), True),
        (measured(*STACKED, elections=3), True),
        (measured(*STACKED), False),
        (measured(*STACKED, elections=1), False),
        (measured(*STACKED, fsync_s=0.02, minutes=2), False),
        (measured(*EXTERNAL, fsync_s=0.02), False),
        (measured(fsync_s=0.02), False),
        (situation(*STACKED, *(node(f"n-{number}") for number in range(120))), False),
    ],
    ids=["slow disk", "elections", "well", "one election", "a short look", "external", "managed", "large alone"],
)
def test_stacked_etcd_under_strain(known: Situation, fires: bool) -> None:
    causes = causes_of(RULES, known)
    assert list(causes) == (["stacked-etcd-strained"] if fires else [])
    if fires:
        assert causes["stacked-etcd-strained"].severity is Severity.INFO


def test_size_and_churn_are_told_beside_what_was_measured() -> None:
    wants = {"resources": {"limits": {"nvidia.com/gpu": "1"}}}
    known = measured(
        *STACKED, *(node(f"n-{number}") for number in range(120)), pod("train", age_s=60, container=wants),
        pod("old", age_s=90_000, container=wants), fsync_s=0.02,
    )  # fmt: skip
    texts = [line.text for line in causes_of(RULES, known)["stacked-etcd-strained"].evidence]
    assert "121 nodes; above 100 etcd is better off by itself" in texts
    assert "1 pod with GPUs made within the last hour" in texts


@pytest.mark.parametrize(
    ("manifests", "is_like"),
    [(STACKED, EtcdTopology.STACKED), (EXTERNAL, EtcdTopology.EXTERNAL), ((node(),), EtcdTopology.UNKNOWN)],
)
def test_topology(manifests: tuple[Manifest, ...], is_like: EtcdTopology) -> None:
    assert etcd_topology(situation(*manifests)) is is_like


@pytest.mark.parametrize(
    ("manifests", "severity", "title"),
    [
        ([static("kube-apiserver"), static("kube-apiserver", "cp-2", "v1.35.9")], Severity.INFO,
         "API servers have unequal versions"),
        ([static("kube-apiserver"), static("kube-apiserver", "cp-2", "v1.34.0")], Severity.WARNING,
         "API servers have unequal versions"),
        ([static("kube-apiserver"), machine("a", "v1.37.0")], Severity.WARNING,
         "kubelets are newer than the API server"),
        ([static("kube-apiserver"), machine("a"), machine("b", "v1.34.1")], Severity.INFO,
         "kubelets lie 2 minor versions apart"),
        ([static("kube-apiserver"), machine("a", "v1.32.9")], Severity.WARNING,
         "kubelets are too old for the API server"),
        ([static("kube-apiserver", version="v1.27.3"), machine("a", "v1.24.9")], Severity.WARNING,
         "kubelets are too old for the API server"),
        ([static("kube-apiserver"), machine("a", "v1.33.9")], None, ""),
        ([static("kube-apiserver"), machine("a"), machine("b", "v1.35.1")], None, ""),
        ([static("kube-apiserver", version="sha256"), machine("a"), machine("b")], None, ""),
    ],
    ids=["an upgrade", "two minors", "newer kubelet", "old kubelet", "too old", "too old for 1.27", "as old as may be",
         "one minor", "no tag"],
)  # fmt: skip
def test_versions(manifests: list[Manifest], severity: Severity | None, title: str) -> None:
    causes = causes_of(RULES, situation(*manifests))
    assert [(item.severity, item.title) for item in causes.values()] == ([(severity, title)] if severity else [])


def test_where_the_control_plane_is_hidden_the_server_s_own_version_is_compared() -> None:
    known = situation(machine("a", "v1.37.0-eks-1"))
    known.apply(Reading("kubernetes/version", SourceState.LIVE, NOW, ServerVersion("v1.36.2-eks-9")))
    assert list(causes_of(RULES, known)) == ["versions-apart"]


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("v1.36.2", (1, 36, 2)),
        ("registry.k8s.io/kube-apiserver:v1.36.2@sha256:00ff", (1, 36, 2)),
        ("localhost:5000/kube-apiserver:v1.36.2", (1, 36, 2)),
        ("kube-apiserver:latest", None),
        ("", None),
    ],
)
def test_version_texts(text: str, version: tuple[int, int, int] | None) -> None:
    assert version_of(text) == version
