"""The figures of the GPU Operator's chain, on chains made by hand."""

import msgspec
import pytest

from playbooks.checks import judge
from playbooks.expressions import parse_expression
from playbooks.facts import Answer, AnswerState, Facts
from playbooks.loading import load_playbooks
from situation.findings import Diagnosis, Finding, Layer, Severity
from situation.gpu.links import Component, Link, LinkState, NodeChain
from situation.meta import Ref
from situation.readings import CONFIGURED, Configured, Reading, SourceState
from tests.build import NOW, Manifest, meta, node, pod, situation
from tests.gpu_chains import crashing, fine
from tests.gpu_resources import dra_chart
from tui.checklist import Checklist

FINE, BROKEN, UNKNOWN = AnswerState.FINE, AnswerState.BROKEN, AnswerState.UNKNOWN
WELL = situation(node("gpu-1"), node("gpu-2"), pod("llama-0", node="gpu-1"))


def ask(text: str, *chains: NodeChain, about: tuple[Ref, ...] = ()) -> Answer:
    facts = Facts(WELL, Diagnosis(), 0, NOW, about=about, chains={chain.node: chain for chain in chains})
    return judge(parse_expression(text), facts)


def with_link(chain: NodeChain, component: Component, state: LinkState, container: str = "") -> NodeChain:
    changed = Link(component, state, container=container)
    links = tuple(changed if link.component is component else link for link in chain.links)
    return msgspec.structs.replace(chain, links=links)


def test_the_broken_link_is_no_and_what_waits_for_it_is_not_known() -> None:
    chains = fine("gpu-1"), crashing("gpu-2")
    assert ask("gpu.driver_ready", *chains) == Answer(BROKEN, "driver on gpu-2: crashes, exit 1 ×4")
    assert ask("gpu.driver_answers", *chains).state is UNKNOWN
    for figure in ("toolkit", "validator", "plugin"):
        answer = ask(f"gpu.{figure}_ready", *chains)
        assert answer.state is UNKNOWN, figure
        assert answer.evidence.endswith("waits for driver on gpu-2")
    assert ask("gpu.nfd_ready", *chains) == Answer(FINE, "node feature discovery in order on gpu-1, gpu-2")


@pytest.mark.parametrize(
    ("about", "state"),
    [
        ((), BROKEN),
        ((Ref("Node", "", "gpu-2"),), BROKEN),
        ((Ref("Node", "", "gpu-1"),), FINE),
        ((Ref("Pod", "shop", "llama-0"),), FINE),
        ((Ref("Node", "", "cpu-7"), Ref("Service", "shop", "web")), BROKEN),
    ],
)
def test_only_the_nodes_that_are_meant_count(about: tuple[Ref, ...], state: AnswerState) -> None:
    assert ask("gpu.driver_ready", fine("gpu-1"), crashing("gpu-2"), about=about).state is state


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        (LinkState.READY, FINE), (LinkState.FAILING, BROKEN), (LinkState.ABSENT, BROKEN), (LinkState.WAITING, UNKNOWN),
        (LinkState.STARTING, UNKNOWN), (LinkState.PAUSED, UNKNOWN), (LinkState.NOT_WANTED, UNKNOWN),
        (LinkState.UNKNOWN, UNKNOWN),
    ],
)  # fmt: skip
def test_each_state_of_a_link_has_its_answer(state: LinkState, wanted: AnswerState) -> None:
    assert ask("gpu.toolkit_ready", with_link(fine("gpu-1"), Component.TOOLKIT, state)).state is wanted


def test_the_hosts_own_driver_is_in_order_once_the_validator_says_so() -> None:
    host = with_link(fine("gpu-1"), Component.DRIVER, LinkState.PREINSTALLED)
    assert ask("gpu.driver_ready and gpu.driver_answers", host).state is FINE
    waits = with_link(host, Component.VALIDATOR, LinkState.STARTING)
    assert ask("gpu.driver_ready", waits).state is UNKNOWN
    fails = with_link(host, Component.VALIDATOR, LinkState.FAILING, "driver-validation")
    assert ask("gpu.driver_answers", fails) == Answer(BROKEN, "the validator's driver-validation fails on gpu-1")
    later = with_link(host, Component.VALIDATOR, LinkState.FAILING, "toolkit-validation")
    assert ask("gpu.driver_answers", later).state is UNKNOWN


def budget(allowed: int) -> Manifest:
    return {"kind": "PodDisruptionBudget", "metadata": meta("llama"),
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "llama"}}},
            "status": {"disruptionsAllowed": allowed}}  # fmt: skip


@pytest.mark.parametrize(
    ("resource", "allowed", "answer"),
    [
        ("nvidia.com/gpu", 0, Answer(BROKEN, "shop/llama allows no eviction of llama-0 now")),
        ("nvidia.com/gpu", 1, Answer(FINE, "no budget keeps the pods with GPUs on gpu-1")),
        ("cpu", 0, Answer(FINE, "no pod holds a GPU of gpu-1")),
    ],
)
def test_whether_who_holds_gpus_may_be_evicted(resource: str, allowed: int, answer: Answer) -> None:
    container = {"resources": {"limits": {resource: "1"}}}
    holder = pod("llama-0", node="gpu-1", labels={"app": "llama"}, container=container)
    known = situation(node("gpu-1"), holder, budget(allowed))
    facts = Facts(known, Diagnosis(), 0, NOW, chains={"gpu-1": fine("gpu-1")})
    assert judge(parse_expression("gpu.holders_evictable"), facts) == answer
    known.apply(Reading(CONFIGURED, SourceState.LIVE, NOW, Configured(only_namespace="shop")))
    seen = Answer(UNKNOWN, "only namespace shop is read") if answer.state is FINE else answer
    assert judge(parse_expression("gpu.holders_evictable"), facts) == seen
    blind = situation(node("gpu-1"), holder, missing={"poddisruptionbudgets": SourceState.FORBIDDEN})
    facts = Facts(blind, Diagnosis(), 0, NOW, chains={"gpu-1": fine("gpu-1")})
    assert judge(parse_expression("gpu.holders_evictable"), facts).state is UNKNOWN


def test_nothing_is_told_of_chains_that_nobody_can_see() -> None:
    assert ask("gpu.driver_ready").state is UNKNOWN
    blind = situation(node("gpu-1"), missing={"pods": SourceState.FORBIDDEN})
    facts = Facts(blind, Diagnosis(), 0, NOW, chains={"gpu-1": crashing("gpu-1")})
    assert judge(parse_expression("gpu.driver_ready"), facts) == Answer(UNKNOWN, "cannot list pods")


@pytest.mark.parametrize("component", [Component.GFD, Component.DCGM, Component.EXPORTER, Component.MIG, Component.MPS])
def test_links_beside_the_chain_are_answered_together_and_those_not_wanted_do_not_count(component: Component) -> None:
    beside = [Component.GFD, Component.DCGM, Component.EXPORTER, Component.MIG, Component.MPS]
    others = tuple(Link(item, LinkState.NOT_WANTED) for item in beside)
    chain = NodeChain("gpu-1", (*(link for link in fine("gpu-1").links if link.component not in beside), *others))
    assert ask("gpu.beside_ready", chain).evidence == "none of these links is wanted here"
    assert ask("gpu.beside_ready", with_link(chain, component, LinkState.READY)).state is FINE
    assert ask("gpu.beside_ready", with_link(chain, component, LinkState.WAITING)).state is UNKNOWN
    broken = with_link(chain, component, LinkState.FAILING)
    waiting = with_link(broken, next(item for item in beside if item is not component), LinkState.WAITING)
    assert ask("gpu.beside_ready", waiting).state is BROKEN
    finding = Finding(
        rule="gpu-link-broken", signature="", layer=Layer.NODE, severity=Severity.WARNING,
        subject=Ref("Node", "", "gpu-1"), title="", evidence=(), next=(),
    )  # fmt: skip
    checklist = Checklist()
    checklist.library = load_playbooks()
    checklist.open_for(finding, Facts(WELL, Diagnosis(), 0, NOW, chains={"gpu-1": waiting}))
    assert checklist.step is not None
    assert checklist.step.id == "beside"


@pytest.mark.parametrize(("containers", "state"), [((), FINE), (("compute-domains",), BROKEN)])
def test_gpus_that_a_dra_driver_gives_out_are_not_lacking(containers: tuple[str, ...], state: AnswerState) -> None:
    known = situation(node("gpu-1", labels={"nvidia.com/gpu.present": "true"}), *dra_chart(*containers))
    answer = judge(parse_expression("gpu.nodes_without == 0"), Facts(known, Diagnosis(), 0, NOW))
    assert answer.state is state
