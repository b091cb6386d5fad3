from datetime import timedelta
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnosis.engine import diagnose
from situation.findings import Diagnosis, Layer, LayerState, LayerStatus
from situation.focus import EVERYTHING, Focus, Relation
from situation.meta import Ref
from situation.network import Service
from situation.ordering import PodOrder
from situation.readings import CONFIGURED, Configured, Reading, Source, SourceState
from situation.situation import Situation
from tests.build import NOW, event, made, meta, node, pod, situation
from tests.build import broken as not_decoded
from tests.diagnosis.objects import service
from tui.view import (
    EVENTS_SHOWN,
    Filter,
    empty_causes_text,
    empty_text,
    no_pod_matches,
    nowhere,
    parse_filter,
    visible_causes,
    visible_events,
    visible_nodes,
    visible_pods,
)

PULL = {"waiting": {"reason": "ImagePullBackOff", "message": "manifest unknown: not found"}}
ALL = Relation()


def ordered(known: Situation) -> PodOrder:
    order = PodOrder()
    for item in known.pods.values():
        order.put(item, NOW)
    return order


def broken(name: str, namespace: str = "shop", node: str = "n1") -> dict[str, object]:
    return pod(name, namespace=namespace, node=node, phase="Pending", ready=False, container_status={"state": PULL})


# The filter line


@pytest.mark.parametrize(
    ("typed", "filter_"),
    [
        ("", Filter()),
        ("   ", Filter()),
        ("Web", Filter(("web",))),
        ("web  crash", Filter(("web", "crash"))),
        ("ns:shop", Filter((), "shop")),
        ("ns:shop web ns:pay", Filter(("web",), "pay")),
        ("ns:", Filter()),
        ("NS:shop", Filter(("ns:shop",))),
    ],
)
def test_a_filter_line_is_read(typed: str, filter_: Filter) -> None:
    assert parse_filter(typed) == filter_
    assert filter_.is_empty == (filter_ == Filter())


@given(st.text())
def test_what_a_filter_says_of_itself_reads_back(typed: str) -> None:
    wanted = parse_filter(typed)
    assert parse_filter(wanted.text) == wanted


@pytest.mark.parametrize(
    ("typed", "passes"),
    [
        ("", True),
        ("web", True),
        ("WEB", True),
        ("web running", True),
        ("web pending", False),
        ("shop", True),
        ("ns:shop", True),
        ("ns:sho", False),
        ("ns:pay web", False),
        ("webrunning", False),
    ],
)
def test_all_words_must_occur_and_the_namespace_must_be_the_one(typed: str, passes: bool) -> None:
    assert parse_filter(typed).passes("shop", "Web-1", "Running") is passes


# Rows


def test_pods_that_need_a_look_come_first_and_the_filter_reads_name_node_status_and_namespace() -> None:
    known = situation(node("n1"), pod("b", node="n1"), pod("a", node="n2"), broken("z", "pay"))
    order = ordered(known)
    assert list(visible_pods(known, order, ALL, Filter())) == [("pay", "z"), ("shop", "a"), ("shop", "b")]
    for typed, keys in (
        ("n2", [("shop", "a")]),
        ("imagepull", [("pay", "z")]),
        ("ns:shop", [("shop", "a"), ("shop", "b")]),
        ("pay", [("pay", "z")]),
        ("nothing", []),
    ):
        assert visible_pods(known, order, ALL, parse_filter(typed)) == keys, typed


def test_only_related_pods_are_shown_in_the_same_order() -> None:
    known = situation(pod("b"), pod("a"), broken("z"))
    related = Relation(pods=frozenset({("shop", "z"), ("shop", "b"), ("shop", "gone")}))
    assert visible_pods(known, ordered(known), related, Filter()) == [("shop", "z"), ("shop", "b")]
    assert visible_pods(known, ordered(known), Relation(pods=frozenset()), Filter()) == []


def test_nodes_that_are_not_ready_come_first_then_those_with_broken_pods_then_by_name() -> None:
    known = situation(
        node("a"), node("b"), node("c", ready="Unknown"), node("d"), broken("x", node="d"), pod("y", node="d")
    )
    rows = visible_nodes(known, ordered(known), ALL, Filter())
    assert [(row.node.name, row.pods, row.unsettled) for row in rows] == [
        ("c", 0, 0),
        ("d", 2, 1),
        ("a", 0, 0),
        ("b", 0, 0),
    ]


def test_nodes_are_filtered_by_name_and_label_but_not_by_namespace() -> None:
    known = situation(node("a", labels={"zone": "east"}), node("b", labels={"zone": "west"}))
    order = ordered(known)
    names = {
        typed: [row.node.name for row in visible_nodes(known, order, ALL, parse_filter(typed))]
        for typed in ("zone=east", "=b", "ns:shop", "ns:shop =b", "c-d")
    }
    assert names == {"zone=east": ["a"], "=b": ["b"], "ns:shop": ["a", "b"], "ns:shop =b": ["b"], "c-d": []}
    only = Relation(nodes=frozenset({"b"}))
    assert [row.node.name for row in visible_nodes(known, order, only, Filter())] == ["b"]


def test_events_are_the_newest_first_and_bounded() -> None:
    known = situation(*(event("Pod/web", "Failed", f"number {n}", age_s=n) for n in range(EVENTS_SHOWN + 5)))
    shown = visible_events(known, ALL, Filter())
    assert [item.message for item in shown[:2]] == ["number 0", "number 1"]
    assert len(shown) == EVENTS_SHOWN


def test_events_follow_the_focus_or_the_namespace() -> None:
    known = situation(
        event("Pod/web", "Failed", "of the pod"),
        event("Node/n1", "NotReady", "of the node", namespace="default"),
        event("Pod/other", "Failed", "elsewhere", namespace="pay"),
    )
    for relation, messages in (
        (ALL, {"of the pod", "of the node", "elsewhere"}),
        (Relation(objects=frozenset({Ref("Pod", "shop", "web")})), {"of the pod"}),
        (Relation(objects=frozenset({Ref("Node", "", "n1")})), {"of the node"}),
        (Relation(objects=frozenset()), set()),
        (Relation(objects=frozenset({Ref("Namespace", "", "pay")}), namespaces=frozenset({"pay"})), {"elsewhere"}),
    ):
        assert {item.message for item in visible_events(known, relation, Filter())} == messages


def test_events_are_filtered_by_reason_object_and_message_and_the_namespace_of_the_object() -> None:
    known = situation(
        event("Pod/web", "BackOff", "pulling the image"), event("Pod/cart", "Failed", "exit 1", namespace="pay")
    )
    for typed, names in (
        ("backoff", {"web"}),
        ("exit 1", {"cart"}),
        ("cart", {"cart"}),
        ("ns:pay", {"cart"}),
        ("ns:x", set()),
    ):
        found = {item.involved_object.name for item in visible_events(known, ALL, parse_filter(typed))}
        assert found == names, typed


def test_a_cause_is_shown_when_it_or_a_consequence_passes() -> None:
    known = situation(broken("web"), broken("cart", "pay"))
    diagnosis = diagnose(known, NOW)
    assert {cause.subject.name for cause in visible_causes(diagnosis, Filter())} == {"web", "cart"}
    assert [cause.subject.name for cause in visible_causes(diagnosis, parse_filter("ns:pay"))] == ["cart"]
    assert [cause.subject.name for cause in visible_causes(diagnosis, parse_filter("ns:shop PULL"))] == ["web"]
    assert visible_causes(diagnosis, parse_filter("nonsense")) == ()


# Why is it empty?


def source(state: SourceState, *, age_s: float | None = None, error: str = "") -> Source:
    return Source("kubernetes/pods", state, error, None if age_s is None else NOW - timedelta(seconds=age_s))


NODE = Focus(ref=Ref("Node", "", "n1"))
EMPTY = {
    "starting": (source(SourceState.STARTING), EVERYTHING, "", "reading pods …"),
    "forbidden": (
        source(SourceState.FORBIDDEN, error="cannot list pods"),
        EVERYTHING,
        "",
        "forbidden: cannot list pods",
    ),
    "unreachable": (source(SourceState.UNREACHABLE, error="refused"), EVERYTHING, "", "unreachable: refused"),
    "unauthorized": (source(SourceState.UNAUTHORIZED, error="expired"), EVERYTHING, "", "unauthorized: expired"),
    "absent": (source(SourceState.ABSENT), EVERYTHING, "", "absent"),
    "filtered": (source(SourceState.LIVE, age_s=1), EVERYTHING, "web", "no pods match “web”"),
    "unrelated": (source(SourceState.LIVE, age_s=1), NODE, "", "no pods relate to the focus"),
    "empty": (source(SourceState.LIVE, age_s=1), EVERYTHING, "", "no pods"),
}


@pytest.mark.parametrize("case", EMPTY)
def test_an_empty_table_says_why(case: str) -> None:
    known, focus, typed, said = EMPTY[case]
    assert empty_text("pods", known, NOW, focus, parse_filter(typed)) == said


def test_an_empty_table_of_a_namespace_that_does_not_exist_says_so() -> None:
    known = situation({"kind": "Namespace", "metadata": meta("shop", "")}, missing={"events": SourceState.FORBIDDEN})
    assert nowhere("pods", known, NOW) == ""
    known.apply(Reading(CONFIGURED, SourceState.LIVE, NOW, Configured(only_namespace="shpo")))
    assert nowhere("pods", known, NOW) == ": this cluster has no namespace shpo; did you mean shop?"
    assert nowhere("nodes", known, NOW) == nowhere("events", known, NOW) == ""


def test_a_focus_on_services_that_select_no_pod_says_so() -> None:
    one, other = (cast(Service, made(service(name, selector={"app": name, "tier": "v2"}))) for name in ("a", "b"))
    live = source(SourceState.LIVE, age_s=1)
    said = empty_text("pods", live, NOW, NODE, Filter(), unrelated=no_pod_matches([one]))
    assert said == "no pod matches app=a,tier=v2, the selector of Service a"
    assert no_pod_matches([one, other]).endswith("the selector of Service a, nor that of 1 more")
    assert no_pod_matches(()) == ""
    assert "when last read" in empty_text(
        "pods", source(SourceState.STALE, age_s=400), NOW, NODE, Filter(), unrelated=no_pod_matches([one])
    )


def test_no_two_reasons_read_alike() -> None:
    assert len({said for _, _, _, said in EMPTY.values()}) == len(EMPTY)


@pytest.mark.parametrize(
    "state", [SourceState.UNREACHABLE, SourceState.UNAUTHORIZED, SourceState.FORBIDDEN, SourceState.STALE]
)
def test_a_table_that_was_empty_when_last_seen_is_not_said_to_be_empty_now(state: SourceState) -> None:
    now_empty = empty_text("pods", source(SourceState.LIVE, age_s=1), NOW, EVERYTHING, Filter())
    said = empty_text("pods", source(state, age_s=400, error="gone"), NOW, EVERYTHING, Filter())
    assert said != now_empty
    assert state.value in said
    assert "no pods" in said


def test_a_live_source_that_fell_silent_is_said_to_be_stale() -> None:
    assert "stale" in empty_text("pods", source(SourceState.LIVE, age_s=1000), NOW, EVERYTHING, Filter())


def test_no_cause_is_explained() -> None:
    well = situation(node("node-1"), pod())
    judged = diagnose(well, NOW)
    assert judged.causes == ()
    assert empty_causes_text(judged, well, NOW, Filter()) == "✓ nothing wrong found in five layers"
    assert empty_causes_text(Diagnosis(), Situation(), NOW, Filter()) == "reading the cluster …"
    unknown = LayerStatus(Layer.NODE, LayerState.UNKNOWN, "cannot list nodes")
    text = empty_causes_text(Diagnosis(layers=(unknown,)), well, NOW, Filter())
    assert text == "nothing found, but could not tell: node and GPU (cannot list nodes)"


def test_nothing_found_in_a_part_of_the_picture_is_not_called_well() -> None:
    well = situation(node("node-1"), pod())
    partly = LayerStatus(Layer.SCHEDULING, LayerState.OK, "resourcequotas: forbidden")
    text = empty_causes_text(Diagnosis(layers=(partly,)), well, NOW, Filter())
    assert text == "◐ nothing wrong found, but judged only partly: scheduling (resourcequotas: forbidden)"


def test_no_cause_that_passes_the_filter_is_not_no_cause() -> None:
    sick = situation(broken("web"))
    diagnosis = diagnose(sick, NOW)
    assert empty_causes_text(diagnosis, sick, NOW, parse_filter("pay")) == "no cause matches “pay”"
    said = "no cause matches “ns:pay”: there is no namespace “pay”"
    assert empty_causes_text(diagnosis, sick, NOW, parse_filter("ns:pay")) == said
    unread = not_decoded(sick, "namespaces", ("", "pay"))
    assert empty_causes_text(diagnosis, unread, NOW, parse_filter("ns:pay")) == "no cause matches “ns:pay”"


def test_nothing_found_in_an_old_picture_is_not_called_well() -> None:
    gone = situation(node("node-1"), pod())
    for kind in ("pods", "nodes"):
        gone.apply(Reading(f"kubernetes/{kind}", SourceState.UNREACHABLE, NOW, error="refused"))
    diagnosis = diagnose(gone, NOW)
    assert "✓" not in empty_causes_text(diagnosis, gone, NOW, Filter())


def test_pods_of_a_node_are_not_counted_while_not_all_are_read() -> None:
    known = situation(node("a"), pod("web-1", node="a"))
    assert [row.pods for row in visible_nodes(known, ordered(known), ALL, Filter())] == [1]
    only = Configured(only_namespace="shop")
    known.apply(Reading(CONFIGURED, SourceState.LIVE, NOW, only))
    hidden = situation(node("a"), missing={"pods": SourceState.FORBIDDEN})
    for part in (known, hidden):
        assert [row.pods for row in visible_nodes(part, ordered(part), ALL, Filter())] == [None]
