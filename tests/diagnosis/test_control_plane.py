"""The control plane: the API server, its credentials and etcd, leaders, all nodes at once, namespaces."""

from datetime import timedelta
from typing import Any

import pytest

from diagnosis.rules import api_health, api_server, control_plane, leaders, namespaces
from situation.findings import Layer, Mark, Severity
from situation.kinds import WATCHED
from situation.meta import CLUSTER, Ref
from situation.readings import Readiness, Reading, SourceState
from situation.situation import Situation
from tests.build import NOW, Manifest, ago, meta, node, pod, situation
from tests.diagnosis.objects import causes_of, first_command, lease, ready_condition, workload

API = api_server.RULES + api_health.RULES
RULES = API + control_plane.RULES + leaders.RULES + namespaces.RULES

REFUSED = "cannot connect to https://10.0.0.1:6443: connection refused"
GATEWAY = "https://10.0.0.1:6443/readyz answered 502 Bad Gateway: a web page"
CERTIFICATE = "https://10.0.0.1:6443: x509: certificate has expired or is not yet valid"
LOGIN = "the server does not accept the credentials; renew them with: aws sso login"
BUSY = "GET /api/v1/pods: 429 Too many requests, please try again later."
HERE = 4 * 60.0


def cluster(state: SourceState, error: str, *, of: int = len(WATCHED), heard: bool = True) -> Situation:
    """Return a cluster in which the first `of` sources say `state` now; they were live HERE seconds ago if `heard`."""
    known = Situation()
    for number, kind in enumerate(WATCHED):
        if heard or number >= of:
            known.apply(Reading(kind.source, SourceState.LIVE, NOW - timedelta(seconds=HERE)))
        if number < of:
            known.apply(Reading(kind.source, state, NOW, error=error))
    return known


@pytest.mark.parametrize(
    ("state", "error", "rule", "title"),
    [
        (SourceState.UNREACHABLE, REFUSED, "api-unreachable", "API server has not answered for 4m: connection refused"),
        (SourceState.UNREACHABLE, CERTIFICATE, "api-certificate", "API server: certificate has expired"),
        (SourceState.UNAUTHORIZED, LOGIN, "credentials-refused", "credentials are refused by the API server (401)"),
        (SourceState.UNREACHABLE, BUSY, "api-overloaded", "API server is overloaded and turns requests away"),
    ],
)
def test_an_api_server_that_does_not_serve(state: SourceState, error: str, rule: str, title: str) -> None:
    causes = causes_of(RULES, cluster(state, error))
    assert list(causes) == [rule]
    finding = causes[rule]
    assert (finding.subject, finding.layer) == (CLUSTER, Layer.CONTROL_PLANE)
    assert (finding.severity, finding.title) == (Severity.CRITICAL, title)
    assert finding.evidence[0].text == error
    assert finding.evidence[2].text == "last answer at 02:37:07"
    assert first_command(finding).startswith("kubectl ")


def test_one_that_never_answered_is_said_to_be_so() -> None:
    finding = causes_of(RULES, cluster(SourceState.UNREACHABLE, REFUSED, heard=False))["api-unreachable"]
    assert finding.title == "API server does not answer: connection refused"


@pytest.mark.parametrize(
    ("error", "why"),
    [
        ("exec plugin 'sh' failed with exit code 3: token expired; renew with: x", "failed with exit code 3"),
        ("exec plugin 'sh' not found: install it, or put it on the PATH (kc: user 'u')", "not found"),
        ("exec plugin 'sh' gave neither a token nor a certificate with key (kc: user 'u')",
         "gave neither a token nor a certificate w…"),
    ],
)  # fmt: skip
def test_credentials_that_no_plugin_gives_are_not_said_to_be_refused(error: str, why: str) -> None:
    finding = causes_of(RULES, cluster(SourceState.UNAUTHORIZED, error, heard=False))["credentials-refused"]
    assert finding.title == f"credentials are not to be had: exec plugin 'sh' {why}"


def test_one_that_answers_somebody_is_not_said_to_be_silent() -> None:
    """It comes back, or some of several servers behind one address are gone."""
    known = cluster(SourceState.UNREACHABLE, REFUSED, of=len(WATCHED) - 1)
    known.apply(Reading(WATCHED[-1].source, SourceState.LIVE, NOW - timedelta(seconds=1)))
    tried = len(WATCHED)
    title = f"API server gives {tried - 1} of {tried} sources no answer: connection refused"
    assert causes_of(RULES, known)["api-unreachable"].title == title


@pytest.mark.parametrize(
    ("heard", "title"),
    [
        (True, "API server has not answered for 4m: 502 Bad Gateway: a web page"),
        (False, "API server answers nothing of use: 502 Bad Gateway: a web page"),
    ],
)
def test_a_status_is_in_the_title_with_what_came_with_it(heard: bool, title: str) -> None:
    finding = causes_of(RULES, cluster(SourceState.UNREACHABLE, GATEWAY, heard=heard))["api-unreachable"]
    assert finding.title == title


@pytest.mark.parametrize(
    ("state", "error", "of"),
    [
        (SourceState.UNREACHABLE, REFUSED, 1),
        (SourceState.UNREACHABLE, REFUSED, 5),
        (SourceState.STARTING, "", len(WATCHED)),
        (SourceState.FORBIDDEN, "cannot list pods (RBAC)", len(WATCHED)),
        (SourceState.ABSENT, "not in the dump", len(WATCHED)),
        (SourceState.UNREACHABLE, "internal error in pods: KeyError", len(WATCHED)),
    ],
)
def test_what_is_no_fault_of_the_api_server(state: SourceState, error: str, of: int) -> None:
    assert not causes_of(API, cluster(state, error, of=of))


def test_a_few_rejected_requests_are_a_warning() -> None:
    finding = causes_of(API, cluster(SourceState.LIVE, BUSY, of=3))["api-overloaded"]
    assert finding.severity is Severity.WARNING


def answering(*failed: str, ready: bool = False, state: SourceState = SourceState.LIVE, age_s: float = 2) -> Situation:
    known = situation()
    at = NOW - timedelta(seconds=age_s)
    readiness = Readiness(ready, failed)
    known.apply(Reading("kubernetes/readyz", SourceState.LIVE, at, readiness, fresh_for_s=30))
    if state is not SourceState.LIVE:
        known.apply(Reading("kubernetes/readyz", state, NOW, error="timed out"))
    return known


@pytest.mark.parametrize(
    ("known", "rule", "severity", "title"),
    [
        (answering("etcd", "etcd-readiness"), "etcd-unavailable", Severity.CRITICAL, "etcd does not answer the API"),
        (answering("informer-sync"), "api-not-ready", Severity.CRITICAL, "API server is not ready: informer-sync"),
        (answering("shutdown"), "api-not-ready", Severity.CRITICAL, "API server is shutting down"),
        (answering("poststarthook/rbac"), "api-not-ready", Severity.WARNING, "API server is still starting"),
        (answering(), "api-not-ready", Severity.CRITICAL, "API server is not ready"),
    ],
)  # fmt: skip
def test_readyz(known: Situation, rule: str, severity: Severity, title: str) -> None:
    causes = causes_of(RULES, known)
    assert list(causes) == [rule]
    assert causes[rule].severity is severity
    assert causes[rule].title.startswith(title)
    assert first_command(causes[rule]) == "kubectl get --raw '/readyz?verbose'"


@pytest.mark.parametrize(
    "known",
    [answering(ready=True), answering("etcd", state=SourceState.UNREACHABLE), answering("etcd", age_s=60)],
    ids=["ready", "unreachable now", "stale"],
)
def test_readyz_that_says_nothing_now(known: Situation) -> None:
    assert not causes_of(API, known)


def found(*manifests: Manifest, **more: Any) -> dict[str, Any]:
    return causes_of(RULES, situation(*manifests, **more))


API_LEASE = lease("apiserver-abc", age_s=5)


@pytest.mark.parametrize(
    ("name", "rule", "who"),
    [
        ("kube-scheduler", "scheduler-down", "scheduler"),
        ("kube-controller-manager", "controller-manager-down", "controller manager"),
    ],
)
def test_a_leader_that_does_not_renew_its_lease(name: str, rule: str, who: str) -> None:
    causes = found(API_LEASE, lease(name, age_s=125), node(labels={"node-role.kubernetes.io/control-plane": ""}))
    assert list(causes) == [rule]
    finding = causes[rule]
    assert (finding.subject, finding.severity) == (CLUSTER, Severity.CRITICAL)
    assert finding.title == f"{who} has not renewed its lease for 2m"
    assert first_command(finding) == (f"kubectl -n kube-system get lease {name} -o 'jsonpath={{.spec.renewTime}}'")
    assert any("newest other lease is 5s old" in line.text for line in finding.evidence)
    assert any(command.argv == ("crictl", "ps", "-a", "--name", name) for command in finding.next)


@pytest.mark.parametrize(
    "leases",
    [
        [API_LEASE, lease("kube-scheduler", age_s=3)],
        [API_LEASE, lease("kube-scheduler", age_s=30)],
        [lease("apiserver-abc", age_s=90), lease("kube-scheduler", age_s=300)],
        [lease("apiserver-abc", age_s=40), lease("kube-scheduler", age_s=45)],
        [lease("apiserver-abc", age_s=-40), lease("kube-scheduler", age_s=-35)],
        [API_LEASE],
    ],
    ids=["fresh", "changes leader", "all frozen", "our clock is ahead", "our clock is behind", "managed"],
)
def test_leases_that_accuse_nobody(leases: list[Manifest]) -> None:
    assert not found(*leases)


def test_with_our_clock_behind_a_dead_scheduler_is_still_seen() -> None:
    assert "scheduler-down" in found(lease("apiserver-abc", age_s=-60), lease("kube-scheduler", age_s=20))


def unseen(name: str, *, age_s: float = 30, **spec: Any) -> Manifest:
    return pod(name, node="", phase="Pending", ready=False, age_s=age_s, spec=spec, status={"conditions": []})


def placed(age_s: float) -> Manifest:
    condition = {"type": "PodScheduled", "status": "True", "lastTransitionTime": ago(age_s)}
    return pod("placed", age_s=age_s, status={"conditions": [condition]})


@pytest.mark.parametrize(
    ("manifests", "fires"),
    [
        ([unseen("a"), unseen("b")], True),
        ([unseen("a"), unseen("b"), placed(600)], True),
        ([unseen("a"), unseen("b"), placed(20)], False),
        ([unseen("a")], False),
        ([unseen("a", age_s=5), unseen("b", age_s=5)], False),
        ([unseen("a", schedulerName="volcano"), unseen("b", schedulerName="volcano")], False),
        ([unseen("a"), unseen("b"), API_LEASE, lease("kube-scheduler", age_s=2)], False),
    ],
    ids=["two", "placed before", "placed since", "one", "young", "another scheduler", "its lease is fresh"],
)
def test_without_a_lease_new_pods_tell_of_the_scheduler(manifests: list[Manifest], fires: bool) -> None:
    causes = found(*manifests)
    assert ("scheduler-down" in causes) is fires
    if fires:
        assert causes["scheduler-down"].title == "scheduler does not look at new pods"
        assert any(line.mark is Mark.OPEN for line in causes["scheduler-down"].evidence)


def new_deployment(*, age_s: float, observed: int = 0) -> Manifest:
    return {**workload("web", age_s=age_s), "status": {"observedGeneration": observed}}


def test_a_deployment_that_no_controller_looks_at() -> None:
    causes = found(new_deployment(age_s=60))
    assert list(causes) == ["deployment-not-observed"]
    assert causes["deployment-not-observed"].title == "controller manager ignores new Deployments"
    assert causes["deployment-not-observed"].subject == CLUSTER
    both = found(new_deployment(age_s=60), API_LEASE, lease("kube-controller-manager", age_s=120))
    assert list(both) == ["controller-manager-down"]


@pytest.mark.parametrize(
    "manifests",
    [
        [new_deployment(age_s=5)],
        [new_deployment(age_s=60, observed=1)],
        [
            new_deployment(age_s=60),
            {"kind": "ReplicaSet", "metadata": meta("web-1", owner="Deployment/web"), "spec": {}, "status": {}},
        ],
    ],
    ids=["young", "observed", "has a ReplicaSet"],
)
def test_deployments_that_are_looked_at(manifests: list[Manifest]) -> None:
    assert not found(*manifests)


def down(name: str, age_s: float) -> Manifest:
    gone = ready_condition("Unknown", message="Kubelet stopped posting node status.", age_s=age_s)
    return node(name, conditions=gone)


@pytest.mark.parametrize(
    ("nodes", "fires"),
    [
        ([down("a", 300), down("b", 280), down("c", 270)], True),
        ([down("a", 300), down("b", 280), node("c")], False),
        ([down("a", 300), down("b", 9000)], False),
        ([down("a", 300)], False),
        ([node("a"), node("b")], False),
    ],
    ids=["together", "one is Ready", "one was dead before", "only one node", "recovered"],
)
def test_all_nodes_at_once(nodes: list[Manifest], fires: bool) -> None:
    causes = found(*nodes)
    assert list(causes) == (["nodes-down-together"] if fires else [])
    if fires:
        finding = causes["nodes-down-together"]
        assert finding.title == "all 3 nodes went down within 30s, 4m30s ago"
        assert (finding.subject, finding.layer) == (Ref("Cluster", "", "nodes"), Layer.CONTROL_PLANE)
        assert first_command(finding) == "kubectl get nodes -o wide"


def leaving(age_s: float, *held: str) -> Manifest:
    conditions = [{"type": kind, "status": "True", "reason": "Because", "message": "some text"} for kind in held]
    return {
        "kind": "Namespace",
        "metadata": meta("old", "", age_s=9000, deletionTimestamp=ago(age_s)),
        "status": {"phase": "Terminating", "conditions": conditions},
    }


@pytest.mark.parametrize(
    ("namespace", "words"),
    [
        (leaving(90, "NamespaceDeletionDiscoveryFailure"), "90s: an aggregated API does not answer"),
        (leaving(600, "NamespaceContentRemaining", "NamespaceFinalizersRemaining"), "10m: finalizers remain"),
        (leaving(600, "NamespaceContentRemaining"), "10m: objects remain"),
        (leaving(600), "10m: nothing says why"),
        (leaving(90, "NamespaceContentRemaining"), ""),
        ({"kind": "Namespace", "metadata": meta("old", ""), "status": {"phase": "Active"}}, ""),
    ],
)
def test_namespaces_that_do_not_go(namespace: Manifest, words: str) -> None:
    causes = found(namespace)
    assert list(causes) == (["namespace-stuck"] if words else [])
    if words:
        finding = causes["namespace-stuck"]
        assert finding.title == f"old is stuck Terminating for {words}"
        assert (finding.subject, finding.severity) == (Ref("Namespace", "", "old"), Severity.WARNING)
        assert first_command(finding) == "kubectl get namespace old -o 'jsonpath={.status.conditions}'"
