"""Istio's playbook is offered where there is a mesh, with sidecars or without, and not where there is none."""

import pytest

from playbooks.checks import judge
from playbooks.expressions import parse_expression
from playbooks.facts import AnswerState, Facts
from situation.findings import Diagnosis
from situation.readings import Reading, SourceState
from situation.situation import Situation
from tests.build import NOW, Manifest, node, pod, situation
from tests.model_servers import vllm_pod

KINDS = ("virtualservices", "destinationrules")
PROXY = {"name": "istio-proxy", "image": "istio/proxyv2:1.29.0"}


def with_proxy(manifest: Manifest) -> Manifest:
    return {**manifest, "spec": {**manifest["spec"], "containers": [*manifest["spec"]["containers"], PROXY]}}


def without(state: SourceState, *manifests: Manifest) -> Situation:
    return situation(*manifests, missing=dict.fromkeys(KINDS, state))


def answer(text: str, known: Situation) -> tuple[AnswerState, str]:
    found = judge(parse_expression(text), Facts(known, Diagnosis(), 0, NOW, {}))
    return found.state, found.evidence


GATEWAY = with_proxy(pod("gateway-1", node="n1"))


@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        (situation(pod("web-1")), AnswerState.FINE),
        (without(SourceState.ABSENT, pod("web-1")), AnswerState.BROKEN),
        (without(SourceState.FORBIDDEN, pod("web-1")), AnswerState.UNKNOWN),
        (without(SourceState.STARTING, pod("web-1")), AnswerState.UNKNOWN),
        (without(SourceState.FORBIDDEN, GATEWAY), AnswerState.FINE),
        (without(SourceState.ABSENT, GATEWAY), AnswerState.FINE),
    ],
    ids=["kinds only", "none", "not allowed to know", "not known yet", "not allowed, but a gateway", "an older API"],
)
def test_whether_there_is_a_mesh(known: Situation, wanted: AnswerState) -> None:
    assert answer("istio.present", known)[0] is wanted


def test_what_a_recording_does_not_hold_may_be_there() -> None:
    known = situation(pod("web-1"), missing=dict.fromkeys(KINDS, SourceState.STARTING))
    for name in KINDS:
        known.apply(Reading(f"kubernetes/{name}", SourceState.ABSENT, NOW, error="not in the recording"))
    assert answer("istio.present", known)[0] is AnswerState.UNKNOWN


def test_only_sidecars_of_model_servers_are_asked_for() -> None:
    beside = situation(node("gpu-1"), GATEWAY, with_proxy(vllm_pod("llm-1")), vllm_pod("llm-2"))
    state, evidence = answer("istio.model_sidecars == 0", beside)
    assert state is AnswerState.BROKEN
    assert "1 pods of model servers" in evidence and "llm-1" in evidence and "llm-2" not in evidence
    assert answer("istio.model_sidecars == 0", situation(GATEWAY, vllm_pod("llm-2")))[0] is AnswerState.FINE
