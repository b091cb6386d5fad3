from diagnosis.engine import diagnose
from situation.findings import Layer
from situation.focus import Focus, related
from situation.meta import Ref
from situation.situation import Situation
from tests.build import NOW, node, pod, situation
from tests.etcd_objects import healthy, silence, tell
from tests.serving_objects import URL, deployment, engine, server_pod
from tests.serving_objects import tell as tell_server

CRASHING = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}}


def a_cluster() -> tuple[object, ...]:
    return (
        node("n1"),
        node("n2"),
        pod("web-1", owner="StatefulSet/web", node="n1", ready=False, phase="Pending", container_status=CRASHING),
        pod("web-2", owner="StatefulSet/web", node="n2", ready=False, phase="Pending", container_status=CRASHING),
        pod("db-1", owner="StatefulSet/db", node="n1", labels={"app": "db"}),
        {
            "kind": "Service",
            "metadata": {"name": "db", "namespace": "shop"},
            "spec": {"selector": {"app": "db"}},
        },
    )


KNOWN = situation(*a_cluster())  # type: ignore[arg-type]
DIAGNOSIS = diagnose(KNOWN, NOW)
CAUSE = DIAGNOSIS.causes[0]


def names(keys: frozenset[tuple[str, str]] | None) -> set[str]:
    assert keys is not None
    return {name for _, name in keys}


def test_the_whole_cluster_limits_nothing() -> None:
    relation = related(Focus(), KNOWN, DIAGNOSIS)
    assert (relation.pods, relation.nodes, relation.objects, relation.causes) == (None, None, None, None)


def test_a_cause_shows_its_pods_their_nodes_and_the_events_of_their_owners() -> None:
    relation = related(Focus(cause=CAUSE.key), KNOWN, DIAGNOSIS)
    assert names(relation.pods) == {"web-1", "web-2"}
    assert relation.nodes == frozenset({"n1", "n2"})
    assert relation.objects is not None
    assert Ref("StatefulSet", "shop", "web") in relation.objects
    assert relation.causes == frozenset({CAUSE.key})


def test_a_node_shows_its_pods_and_the_causes_on_it() -> None:
    relation = related(Focus(ref=Ref("Node", "", "n1")), KNOWN, DIAGNOSIS)
    assert names(relation.pods) == {"web-1", "db-1"}
    assert relation.nodes == frozenset({"n1"})
    assert relation.causes == frozenset({CAUSE.key})


def test_a_pod_that_is_fine_relates_to_no_cause() -> None:
    relation = related(Focus(ref=Ref("Pod", "shop", "db-1")), KNOWN, DIAGNOSIS)
    assert names(relation.pods) == {"db-1"}
    assert relation.causes == frozenset()


def test_a_service_shows_the_pods_it_selects() -> None:
    assert names(related(Focus(ref=Ref("Service", "shop", "db")), KNOWN, DIAGNOSIS).pods) == {"db-1"}


def test_a_service_that_selects_nothing_is_told() -> None:
    lost = {"kind": "Service", "metadata": {"name": "lost", "namespace": "shop"}, "spec": {"selector": {"app": "x"}}}
    bare = {"kind": "Service", "metadata": {"name": "bare", "namespace": "shop"}, "spec": {}}
    known = situation(*a_cluster(), lost, bare)  # type: ignore[arg-type]

    def unmatched(name: str) -> list[str]:
        relation = related(Focus(ref=Ref("Service", "shop", name)), known, DIAGNOSIS)
        return [service.name for service in relation.unmatched]

    assert [unmatched(name) for name in ("lost", "bare", "db", "gone")] == [["lost"], [], [], []]


def test_a_cause_that_went_away_relates_to_nothing() -> None:
    relation = related(Focus(cause="gone:Pod/a/b"), KNOWN, DIAGNOSIS)
    assert relation.pods == frozenset()
    assert relation.causes == frozenset()


def test_a_member_of_etcd_relates_to_its_static_pod_and_its_node_and_etcd_to_all() -> None:
    labels = {"component": "etcd", "tier": "control-plane"}
    nodes = ("cp-1", "cp-2")
    pods = [pod(f"etcd-{name}", namespace="kube-system", node=name, labels=labels) for name in nodes]
    known = situation(*map(node, nodes), *pods, pod("web-1", node="cp-1"))
    tell(known, 1, name="m1")  # runs on cp-1 by its own word, whatever it is called
    diagnosis = diagnose(known, NOW)
    relation = related(Focus(ref=Ref("EtcdMember", "", "m1")), known, diagnosis)
    assert names(relation.pods) == {"etcd-cp-1"}
    assert relation.nodes == frozenset({"cp-1"})
    assert names(related(Focus(ref=Ref("EtcdMember", "", "cp-2")), known, diagnosis).pods) == {"etcd-cp-2"}
    assert names(related(Focus(ref=Ref("Etcd", "", "etcd")), known, diagnosis).pods) == {"etcd-cp-1", "etcd-cp-2"}


def test_a_member_without_a_pod_still_has_its_node() -> None:
    known = situation(node("cp-1"))
    tell(known, 1)
    relation = related(Focus(ref=Ref("EtcdMember", "", "etcd-1")), known, diagnose(known, NOW))
    assert relation.pods == frozenset()
    assert relation.nodes == frozenset({"cp-1"})


def test_what_ails_etcd_concerns_each_of_its_members() -> None:
    known = healthy(ago_s=40)
    silence(known, 3, ago_s=35)
    silence(known, 3)
    healthy(1, 2, known=known)
    diagnosis = diagnose(known, NOW)
    (cause,) = (cause for cause in diagnosis.causes if cause.layer is Layer.CONTROL_PLANE)
    assert related(Focus(ref=Ref("EtcdMember", "", "etcd-1")), known, diagnosis).causes == frozenset({cause.key})


def served() -> Situation:
    """Two replicas of a model server on two nodes, with a Service, and one at a URL."""
    service = {
        "kind": "Service",
        "metadata": {"name": "llama", "namespace": "ai"},
        "spec": {"selector": {"app": "llama"}},
    }
    known = situation(
        node("n1"),
        node("n2"),
        server_pod(1, node="n1"),
        server_pod(2, node="n2"),
        *deployment(2),
        service,
        pod("web-1"),
    )
    tell_server(known, None, engine())
    return known


SERVER = Ref("ModelServer", "ai", "llama-1-1")


def test_a_model_server_relates_to_its_pod_node_workload_and_services() -> None:
    known = served()
    relation = related(Focus(ref=SERVER), known, diagnose(known, NOW))
    assert names(relation.pods) == {"llama-1-1"}
    assert (relation.nodes, relation.servers) == (frozenset({"n1"}), frozenset({SERVER}))
    wanted = {Ref("Deployment", "ai", "llama"), Ref("ReplicaSet", "ai", "llama-1"), Ref("Service", "ai", "llama")}
    assert wanted <= (relation.objects or frozenset())


def test_what_has_pods_of_model_servers_relates_to_these() -> None:
    known = served()
    diagnosis = diagnose(known, NOW)
    for ref, servers in (
        (Ref("Node", "", "n1"), {SERVER}),
        (Ref("Pod", "ai", "llama-1-1"), {SERVER}),
        (Ref("Deployment", "ai", "llama"), {SERVER, Ref("ModelServer", "ai", "llama-1-2")}),
        (Ref("Pod", "shop", "web-1"), set()),
        (Ref("ModelServer", "", URL), {Ref("ModelServer", "", URL)}),
    ):
        assert related(Focus(ref=ref), known, diagnosis).servers == frozenset(servers)
