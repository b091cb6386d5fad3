from diagnosis.engine import diagnose
from situation.etcd.cluster import member_ref
from situation.focus import Focus, related
from situation.meta import Ref
from tests.build import NOW, node, pod, situation
from tests.etcd_objects import healthy, silence

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


def test_a_cause_that_went_away_relates_to_nothing() -> None:
    relation = related(Focus(cause="gone:Pod/a/b"), KNOWN, DIAGNOSIS)
    assert relation.pods == frozenset()
    assert relation.causes == frozenset()


def test_etcd_shows_its_pods_and_one_member_what_is_wrong_with_etcd() -> None:
    labels = {"component": "etcd"}
    names_on = [(f"etcd-cp-{number}", f"cp-{number}") for number in (1, 2)]
    pods = [pod(name, namespace="kube-system", node=host, labels=labels) for name, host in names_on]
    known = healthy(1, 2, known=situation(*pods, node("cp-1"), node("cp-2")))
    silence(known, 3)
    diagnosis = diagnose(known, NOW)
    down = next(cause for cause in diagnosis.causes if cause.rule == "etcd-member-down")
    whole = related(Focus(cause=down.key), known, diagnosis)
    assert names(whole.pods) == {"etcd-cp-1", "etcd-cp-2"}
    one = related(Focus(ref=member_ref("cp-2")), known, diagnosis)
    assert one.causes is not None and down.key in one.causes
