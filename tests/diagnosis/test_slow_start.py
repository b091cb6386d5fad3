"""Pods that do not start although nothing says why."""

import pytest

from situation.findings import Mark, Severity
from situation.meta import Ref
from situation.readings import SourceState
from tests.build import Manifest, ago, event, node, pod
from tests.diagnosis.pod_faults import OWNED, creating, ended, fault, first_command, rule_of, running, status, waiting

PULLING = event("Pod/web-1", "Pulling", 'Pulling image "vllm/vllm-openai:v0.32.0"', type="Normal", age_s=700)
PULLED = event("Pod/web-1", "Pulled", "Successfully pulled image", type="Normal", age_s=600)


def unseen(age_s: float) -> Manifest:
    """Return a pod that its kubelet has not noticed."""
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": ago(age_s)}
    return pod(**OWNED, phase="Pending", age_s=age_s, status={"conditions": [scheduled], "containerStatuses": []})


@pytest.mark.parametrize(
    ("manifest", "events", "title"),
    [
        (creating(age_s=301), [], "web stays in ContainerCreating"),
        (creating(age_s=301, ready_to_start=True), [], "web stays in ContainerCreating"),
        (creating(age_s=301, ready_to_start=None), [], "web stays in ContainerCreating"),
        (creating(age_s=901, ready_to_start=True), [PULLING], "web still pulls its image"),
        (creating(age_s=700, ready_to_start=True), [PULLING, PULLED], "web stays in ContainerCreating"),
        (unseen(301), [], "web is not picked up by the kubelet of node node-1"),
    ],
)
def test_fires_as_a_warning(manifest: Manifest, events: list[Manifest], title: str) -> None:
    found = fault(manifest, node(), *events)
    assert found is not None
    assert (found.rule, found.title, found.severity) == ("not-started", title, Severity.WARNING)
    assert found.subject == Ref("Deployment", "shop", "web")
    assert first_command(found) == "kubectl -n shop describe pod web-1"


@pytest.mark.parametrize(
    ("manifest", "events"),
    [
        pytest.param(creating(age_s=299), [], id="within its budget"),
        pytest.param(creating(age_s=800, ready_to_start=True), [PULLING], id="pulls a large image"),
        pytest.param(unseen(20), [], id="just scheduled"),
        pytest.param(pod(**OWNED), [PULLING], id="healthy, old events"),
        pytest.param(
            creating(
                age_s=900,
                container_status=status(waiting("PodInitializing")),
                spec={"initContainers": [{"name": "i"}]},
                status={
                    "conditions": [],
                    "initContainerStatuses": [{"name": "i", **status(ended(0, reason="Completed", ended_s=30))}],
                },
            ),
            [],
            id="an init container just ended",
        ),
        pytest.param(
            creating(
                age_s=200,
                spec={"initContainers": [{"name": "i"}]},
                status={"conditions": [], "initContainerStatuses": [{"name": "i", **status(running(190))}]},
            ),
            [],
            id="an init container runs",
        ),
    ],
)
def test_silent(manifest: Manifest, events: list[Manifest]) -> None:
    assert rule_of(manifest, node(), *events) == "clear"


def test_says_when_events_could_not_be_read() -> None:
    blind = fault(creating(age_s=400), missing={"events": SourceState.FORBIDDEN})
    seen = fault(creating(age_s=400))
    assert blind and seen
    assert [line.text for line in blind.evidence if line.mark is Mark.OPEN] == [
        "events could not be read: they would say why"
    ]
    assert [line.text for line in seen.evidence if line.mark is Mark.OPEN] == ["no event says why"]
