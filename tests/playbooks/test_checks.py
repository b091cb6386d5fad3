"""The language of automatic checks, and its three-valued logic."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnosis.engine import diagnose
from playbooks.checks import _holds, judge
from playbooks.expressions import ExpressionError, parse_expression
from playbooks.facts import Answer, AnswerState, Facts
from playbooks.figure import Bound, Found
from situation.findings import Diagnosis
from situation.readings import CONFIGURED, Configured, Readiness, Reading, SourceState
from situation.selectors import is_settled
from situation.situation import Situation
from tests.build import NOW, node, pod, situation
from tui.checklist import layers_beyond, rule_facts

FINE, BROKEN, UNKNOWN = AnswerState.FINE, AnswerState.BROKEN, AnswerState.UNKNOWN
PULL = {"waiting": {"reason": "ImagePullBackOff", "message": "manifest unknown: not found"}}
SICK = pod("search-1", phase="Pending", ready=False, container_status={"state": PULL})


def facts(known: Situation, diagnosis: Diagnosis | None = None) -> Facts:
    judged = diagnose(known, NOW) if diagnosis is None else diagnosis
    unsettled = sum(not is_settled(item, NOW) for item in known.pods.values())
    return Facts(known, judged, unsettled, NOW, rule_facts(), layers_beyond())


def ask(text: str, known: Situation, diagnosis: Diagnosis | None = None) -> Answer:
    return judge(parse_expression(text), facts(known, diagnosis))


WELL = situation(node("n1"), pod("web-1", node="n1"))
WELL.apply(Reading("kubernetes/readyz", SourceState.LIVE, NOW, Readiness(True)))
# In WELL `nodes.not_ready == 0` is so, `== 1` is not, and nothing is known of etcd.
T, F, U = "nodes.not_ready == 0", "nodes.not_ready == 1", "etcd.leader"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (T, FINE), (F, BROKEN), (U, UNKNOWN),
        (f"not {T}", BROKEN), (f"not {F}", FINE), (f"not {U}", UNKNOWN), (f"not not {T}", FINE),
        (f"{T} and {T}", FINE), (f"{T} and {F}", BROKEN), (f"{T} and {U}", UNKNOWN),
        (f"{F} and {U}", BROKEN), (f"{U} and {F}", BROKEN), (f"{U} and {U}", UNKNOWN),
        (f"{T} or {F}", FINE), (f"{F} or {F}", BROKEN), (f"{F} or {U}", UNKNOWN),
        (f"{T} or {U}", FINE), (f"{U} or {T}", FINE), (f"{U} or {U}", UNKNOWN),
        (f"{T} or {F} and {F}", FINE), (f"({T} or {F}) and {F}", BROKEN), (f"not ({F} or {U})", UNKNOWN),
        ("api.ready", FINE), ("api.ready == false", BROKEN), ("api.failed_checks == none", FINE),
        ("api.failed_checks == etcd", BROKEN), ("api.failed_checks != etcd", FINE),
    ],
)  # fmt: skip
def test_three_valued_logic(text: str, wanted: AnswerState) -> None:
    answer = ask(text, WELL)
    assert answer.state is wanted
    assert answer.evidence


@pytest.mark.parametrize(
    ("bound", "sign", "value", "wanted", "holds"),
    [
        (Bound.AT_LEAST, "<", 0.9, 0.8, False), (Bound.AT_LEAST, "<", 0.5, 0.8, None),
        (Bound.AT_LEAST, ">=", 0.9, 0.8, True), (Bound.AT_LEAST, ">=", 0.5, 0.8, None),
        (Bound.AT_LEAST, "==", 1, 0, False), (Bound.AT_LEAST, "==", 0, 0, None), (Bound.AT_LEAST, "!=", 1, 0, True),
        (Bound.AT_MOST, ">", 20, 30, False), (Bound.AT_MOST, ">", 40, 30, None), (Bound.AT_MOST, "<=", 20, 30, True),
        (Bound.AT_MOST, "==", 20, 30, False), (Bound.EXACT, "<", 0.5, 0.8, True), (Bound.EXACT, "!=", 1, 1, False),
    ],
)  # fmt: skip
def test_a_bound_only_tells_what_it_proves(
    bound: Bound, sign: str, value: float, wanted: float, holds: bool | None
) -> None:
    assert _holds(Found(float(value), "", bound), sign, float(wanted)) is holds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"), ("and", "there is no figure 'and'"), ("api.ready and", "the end"), 
        ("(api.ready", "a ) is missing"),
        ("api.ready api.ready", "one word too many"), ("rule:", "cannot be read"), ("layer:7", "layers are 1 to 5"),
        ("pods.unsettled", "is no flag"), ("pods.unsettled == none", "a number"), ("api.ready < true", "has no order"),
        ("api.ready == 3", "true or false"), ("etcd.alarms == 3", "a word, or none"),
        ("pods.unsetled > 0", "do you mean"),
        ("api.ready; rm", "cannot be read"), ("__import__", "there is no figure"),
        ("not " * 99 + "api.ready", "too deeply"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told(text: str, says: str) -> None:
    with pytest.raises(ExpressionError, match=None) as error:
        parse_expression(text)
    assert says in str(error.value)


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse_expression(text)
    except ExpressionError:
        return


def test_a_rule_is_broken_by_its_finding_and_fine_only_while_it_could_look() -> None:
    known = situation(node("n1"), SICK)
    assert ask("rule:image-pull", known) == Answer(BROKEN, ask("layer:1", known).evidence)
    assert ask("rule:image-pull", WELL) == Answer(FINE, "image-pull: nothing found")
    assert ask("rule:image-pull", WELL, Diagnosis()).state is UNKNOWN
    blind = situation(node("n1"), missing={"pods": SourceState.FORBIDDEN})
    assert ask("rule:image-pull", blind) == Answer(UNKNOWN, "pods: cannot list pods")
    assert ask("rule:no-such-rule", WELL).state is UNKNOWN


def test_layers_and_figures_of_what_cannot_be_read_are_unknown() -> None:
    blind = situation(missing={"pods": SourceState.FORBIDDEN, "nodes": SourceState.FORBIDDEN})
    for text in (
        "layer:1",
        "layer:5",
        "pods.unsettled == 0",
        "pods.pending == 0",
        "nodes.not_ready == 0",
        "gpu.free > 0",
    ):
        assert ask(text, blind).state is UNKNOWN, text
    for text in (
        "etcd.alarms == none",
        "etcd.silent == 0",
        "api.ready",
        "certificates.days_left > 30",
        "dns.ready > 0",
    ):
        assert ask(text, Situation(), Diagnosis()).state is UNKNOWN, text


def test_pods_that_were_last_seen_a_while_ago_are_unknown_with_their_age() -> None:
    known = situation(pod("web-1"))
    known.apply(Reading("kubernetes/pods", SourceState.UNREACHABLE, NOW, error="connection refused"))
    later = Facts(known, Diagnosis(), 0, NOW + timedelta(seconds=90), rule_facts())
    answer = judge(parse_expression("pods.unsettled == 0"), later)
    assert answer == Answer(UNKNOWN, "unreachable; 0 of 1 pods were not plainly fine 90s ago")


def test_a_cluster_without_pods_or_nodes_is_not_called_fine() -> None:
    assert ask("pods.unsettled == 0", situation(node("n1"))).state is UNKNOWN
    assert ask("nodes.not_ready == 0", situation(pod("web-1"))).state is UNKNOWN


def test_the_evidence_is_that_of_the_terms_that_decide() -> None:
    known = situation(node("n1", ready="False"), SICK)
    answer = ask("nodes.not_ready == 0 and pods.unsettled == 0 and claims.pending == 0", known)
    assert answer.evidence == "1 of 1 nodes are not Ready (n1); 1 of 1 pods is not plainly fine"


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("rule:gpu-link-broken", UNKNOWN),
        ("rule:cluster-dns-down", UNKNOWN),
        ("rule:crash-loop", FINE),
        ("rule:no-ready-endpoint", FINE),
        ("rule:node-not-ready", FINE),
        ("dns.ready > 0", UNKNOWN),
        ("pods.pending == 0", UNKNOWN),
        ("rule:budget-blocks-eviction", UNKNOWN),
        ("layer:1", FINE),
        ("layer:2", FINE),
        ("layer:3", UNKNOWN),
        ("layer:4", UNKNOWN),
        ("layer:5", UNKNOWN),
        ("gpu.free >= 4", UNKNOWN),
        ("gpu.free >= 9", BROKEN),
    ],
)
def test_with_one_namespace_read_nothing_found_beyond_it_is_not_fine(text: str, state: AnswerState) -> None:
    gpus = {"nvidia.com/gpu": "8"}
    known = situation(node("n1", status={"capacity": gpus, "allocatable": gpus}), pod("web-1", node="n1"))
    known.apply(Reading(CONFIGURED, SourceState.LIVE, NOW, Configured(only_namespace="shop")))
    answer = ask(text, known)
    assert answer.state is state
    assert ("only namespace shop is read" in answer.evidence) is (state is UNKNOWN or text.startswith("gpu.free"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("pods.unsettled == 0", "the one pod is fine in namespace shop"),
        ("claims.pending == 0", "0 claims Pending in namespace shop"),
        ("layer:1", "nothing found in namespace shop"),
        ("rule:image-pull and rule:crash-loop", "image-pull, crash-loop: nothing found in namespace shop"),
        (f"rule:image-pull and {T}", "0 of 1 nodes are not Ready; image-pull: nothing found in namespace shop"),
        (T, "0 of 1 nodes are not Ready"),
    ],
)  # fmt: skip
def test_with_one_namespace_read_what_is_told_of_it_says_so(text: str, told: str) -> None:
    known = situation(node("n1"), pod("web-1", node="n1"))
    known.apply(Reading(CONFIGURED, SourceState.LIVE, NOW, Configured(only_namespace="shop")))
    assert ask(text, known).evidence == told
