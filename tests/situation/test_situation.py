from datetime import timedelta

from simulator.generator import generate
from situation.decode import decode_object
from situation.indexes import Index
from situation.kinds import KINDS
from situation.meta import LabelSelector, Ref
from situation.ordering import PodOrder
from situation.pods import Pod
from situation.readings import Changed, Listed, Reading, SourceState
from situation.situation import Situation
from tests.build import NOW, event, made, meta, node, pod, situation


def reading(value: Listed | Changed | None, state: SourceState = SourceState.LIVE, error: str = "") -> Reading:
    return Reading("kubernetes/pods", state, NOW, value, error)


def a_pod(name: str, version: str = "1", **more: object) -> Pod:
    manifest = pod(name, **more)  # type: ignore[arg-type]
    manifest["metadata"]["resourceVersion"] = version
    item = made(manifest)
    assert isinstance(item, Pod)
    return item


def test_a_relist_brings_only_what_differs() -> None:
    known = Situation()
    known.apply(reading(Listed("pods", (a_pod("a"), a_pod("b"), a_pod("c")))))
    changes = known.apply(reading(Listed("pods", (a_pod("a"), a_pod("b", "2"), a_pod("d")))))
    assert {(change.ref.name, change.old is None, change.new is None) for change in changes} == {
        ("b", False, False),
        ("c", False, True),
        ("d", True, False),
    }


def test_what_cannot_be_decoded_may_be_there_until_it_can_be_or_goes() -> None:
    known = Situation()
    key = ("shop", "b")
    known.apply(reading(Listed("pods", (a_pod("a"),), broken=(key,))))
    assert (known.source("pods").skipped, known.is_unread("pods", key)) == (1, True)
    assert not known.is_unread("pods", ("shop", "c"))
    revision = known.revision("pods")
    known.apply(reading(Changed("pods", removed=(key,))))
    assert (known.source("pods").skipped, known.is_unread("pods", key)) == (0, False)
    assert known.revision("pods") != revision, "what was worked out from the kind is worked out again"
    known.apply(reading(Changed("pods", removed=(("shop", "a"),), broken=(("shop", "a"),))))
    assert not known.pods
    known.apply(reading(Changed("pods", (a_pod("a", "2"),), skipped=1)))
    assert (known.source("pods").skipped, known.is_unread("pods", ("shop", "anything"))) == (1, True)
    known.apply(reading(Listed("pods", ())))
    assert (known.source("pods").skipped, known.is_unread("pods", ("shop", "anything"))) == (0, False)


def test_a_failing_source_keeps_its_last_value_and_says_so() -> None:
    known = Situation()
    known.apply(reading(Listed("pods", (a_pod("a"),))))
    known.apply(reading(None, SourceState.UNREACHABLE, "connection refused"))
    source = known.source("pods")
    assert source.state is SourceState.UNREACHABLE
    assert source.error == "connection refused"
    assert source.observed_at == NOW
    assert len(known.pods) == 1


def test_a_live_value_turns_stale_when_nothing_confirms_it() -> None:
    known = situation()
    source = known.source("pods")
    assert source.state_at(NOW + timedelta(seconds=source.fresh_for_s)) is SourceState.LIVE
    assert source.state_at(NOW + timedelta(seconds=source.fresh_for_s + 1)) is SourceState.STALE


def test_indexes_follow_every_change() -> None:
    known = Situation()
    known.apply(reading(Listed("pods", (a_pod("a", labels={"app": "x", "tier": "1"}, node="n1"),))))
    assert [item.name for item in known.pods_matching("shop", {"app": "x"})] == ["a"]
    known.apply(reading(Changed("pods", (a_pod("a", "2", labels={"app": "y"}, node="n2"),))))
    assert known.pods_matching("shop", {"app": "x"}) == ()
    assert [item.name for item in known.pods_matching("shop", LabelSelector({"app": "y"}))] == ["a"]
    assert list(known.pods_by_node.get("n1")) == []
    assert list(known.pods_by_node.get("n2")) == [("shop", "a")]
    known.apply(reading(Changed("pods", (), (("shop", "a"),))))
    assert list(known.pods_by_node.get("n2")) == []
    assert list(known.pods_by_label.keys()) == []


def test_a_first_list_is_as_good_as_the_same_objects_one_by_one() -> None:
    cluster = generate(nodes=10, pods=300, now=NOW)
    at_once, one_by_one = Situation(), Situation()
    for kind in KINDS:
        objects = tuple(decode_object(b"{" + stored.tail, kind) for stored in cluster.table(kind.name).ordered())
        changes = at_once.apply(Reading(kind.source, SourceState.LIVE, NOW, Listed(kind.name, objects)))
        one_by_one.apply(Reading(kind.source, SourceState.LIVE, NOW, Listed(kind.name, ())))
        brought = [
            change
            for item in objects
            for change in one_by_one.apply(Reading(kind.source, SourceState.LIVE, NOW, Changed(kind.name, (item,))))
        ]
        assert changes == brought
        assert at_once.table(kind.name) == one_by_one.table(kind.name)
    for index in (name for name, value in vars(at_once).items() if isinstance(value, Index)):
        first, second = (vars(getattr(known, index))["_buckets"] for known in (at_once, one_by_one))
        assert first == second, index
        assert {key: list(bucket) for key, bucket in first.items()} == {
            key: list(bucket) for key, bucket in second.items()
        }
    assert sum(len(list(at_once.pods_by_owner.get(key))) for key in at_once.pods_by_owner.keys()) > 100


def test_removing_what_is_not_there_is_no_change() -> None:
    assert Situation().apply(reading(Changed("pods", (), (("shop", "ghost"),)))) == []


def test_the_owner_chain_ends_at_the_top_controller_also_without_the_replicaset() -> None:
    manifest = pod("checkout-6b9-ws2gp", owner="ReplicaSet/checkout-6b9", labels={"pod-template-hash": "6b9"})
    replicaset = {"kind": "ReplicaSet", "metadata": meta("checkout-6b9", owner="Deployment/checkout")}
    item = made(manifest)
    for known in (situation(manifest), situation(manifest, replicaset)):
        assert known.workload_of(item) == Ref("Deployment", "shop", "checkout")
    assert [found.name for found in known.pods_of(Ref("Deployment", "shop", "checkout"))] == ["checkout-6b9-ws2gp"]


def test_a_static_pod_is_its_own_workload() -> None:
    static = pod("etcd-cp-1", namespace="kube-system", owner="Node/cp-1")
    assert situation(static).workload_of(made(static)) == Ref("Pod", "kube-system", "etcd-cp-1")


def test_events_about_an_earlier_object_of_the_same_name_are_left_out() -> None:
    old = event("Pod/web-1", "BackOff", "old")
    old["involvedObject"]["uid"] = "another"
    known = situation(pod("web-1"), old, event("Pod/web-1", "BackOff", "new"))
    found = known.events_of(made(pod("web-1")), "Pod", "BackOff")
    assert [item.message for item in found] == ["new"]


def test_a_service_without_selector_selects_nothing() -> None:
    assert situation(pod("a")).pods_matching("shop", {}) == ()


def test_pods_that_need_a_look_come_first() -> None:
    order = PodOrder()
    for name, ready in (("b", True), ("c", False), ("a", True)):
        order.put(a_pod(name, ready=ready), NOW)
    assert [name for _, name in order] == ["c", "a", "b"]
    assert order.unsettled == 1
    assert order.put(a_pod("c", "2"), NOW)
    assert not order.put(a_pod("c", "3"), NOW)
    assert [name for _, name in order] == ["a", "b", "c"]
    assert order.remove(("shop", "b"))
    assert not order.remove(("shop", "b"))
    assert len(order) == 2


def test_an_order_that_begins_with_many_pods_is_that_of_one_by_one() -> None:
    pods = [a_pod(name, ready=ready) for name, ready in (("b", True), ("c", False), ("a", True), ("d", False))]
    one_by_one, at_once = PodOrder(), PodOrder()
    for item in pods:
        one_by_one.put(item, NOW)
    at_once.fill({item.key: item for item in pods}, NOW)
    assert list(at_once) == list(one_by_one)
    assert at_once.put(a_pod("d", "2"), NOW)
    assert [name for _, name in at_once] == ["c", "a", "b", "d"]


def test_nodes_are_found_by_name() -> None:
    known = situation(node("gpu-07"))
    found = known.node("gpu-07")
    assert found is not None
    assert known.get(Ref("Node", "", "gpu-07")) is found
    assert known.node("gpu-08") is None
