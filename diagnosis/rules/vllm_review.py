"""Layer 1: how model servers are set up, reviewed from their templates: hints, nothing that is broken now."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from diagnosis.autoscalers import autoscalers_of
from diagnosis.commands import counted, fact, kubectl
from diagnosis.istio_facts import gets_sidecar
from diagnosis.model_pods import ENGINES
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule
from diagnosis.server_review import Point, Setup, cannot_tell, review
from diagnosis.serving_facts import pod_of
from situation.findings import Evidence, Layer, Severity
from situation.meta import ObjectMeta, Ref
from situation.pods import Pod, PodTemplate
from situation.serving.recognise import recognise
from situation.serving.view import ServerView
from situation.situation import Situation
from situation.storage import PersistentVolumeClaim
from situation.workloads import Deployment, HorizontalPodAutoscaler, PodDisruptionBudget, StatefulSet

SCALE_DOWN_S: Final = 300
"""Playbooks G: a server that is started anew loads for minutes, so it should not be given up sooner."""


@rule(
    "vllm-review",
    signature="L1-17",
    layer=Layer.APPLICATION,
    severity=Severity.INFO,
    kind="Deployment StatefulSet ModelServer",
    needs=("pods",),
    looks_at="The pod template of a model server's Deployment or StatefulSet, or its pod if it has neither: limits, "
    "probes, volumes, GPUs against parallel sizes, arguments; claims, disruption budgets, autoscalers, the namespace's "
    "Istio label.",
    look_alikes={
        "vllm-tp-mismatch": "it crashes already because it has too few GPUs",
        "vllm-killed-before-ready": "the short window already kills it",
        "scaled to zero": "nobody is hurt by how it is set up: silent",
    },
)
def vllm_review(item: Deployment | StatefulSet | ServerView, situation: Situation, now: datetime) -> Verdict:
    """A model server is set up in a way that makes trouble likely: each weak point is listed."""
    setup = _setup(item, situation)
    if setup is None or setup.replicas == 0:
        return CLEAR
    points = [*review(setup), *_beside(setup, item, situation)]
    if not points:
        return CLEAR
    names = ", ".join(dict.fromkeys(point.name for point in points))
    kind = setup.about.kind.lower()
    whole = kubectl("get", kind, setup.about.name, "-o", "yaml", purpose="how is it set up?",
                    namespace=setup.about.namespace)  # fmt: skip
    return Fired(
        setup.about,
        f"has {counted(len(points), 'weak point')} in its set-up: {names}",
        (*(point.evidence for point in points), *_not_told(setup, situation)),
        (whole,),
    )


def _setup(item: Deployment | StatefulSet | ServerView, situation: Situation) -> Setup | None:
    match item:
        case ServerView():
            pod = pod_of(item, situation)
            if (
                pod is None
                or item.ref.name != pod.name
                or pod.metadata.controller is not None
                or pod.metadata.deletion_timestamp is not None
            ):
                return None
            return _made(Ref("Pod", *pod.key), "pods", pod, 1, situation)
        case Deployment():
            about, kind = Ref("Deployment", *item.key), "deployments"
        case _:
            about, kind = Ref("StatefulSet", *item.key), "statefulsets"
    return _made(about, kind, _as_pod(item.namespace, item.spec.template), item.spec.replicas, situation)


def _as_pod(namespace: str, template: PodTemplate) -> Pod:
    meta = template.metadata
    return Pod(
        metadata=ObjectMeta(namespace=namespace, labels=meta.labels, annotations=meta.annotations), spec=template.spec
    )


def _made(about: Ref, kind: str, pod: Pod, replicas: int, situation: Situation) -> Setup | None:
    server = recognise(pod)
    if server is None or server.software not in ENGINES:
        return None
    names = [volume.persistent_volume_claim.claim_name for volume in pod.spec.volumes if volume.persistent_volume_claim]
    claims = [situation.claims.get((about.namespace, name)) for name in names]
    known = tuple(claim for claim in claims if isinstance(claim, PersistentVolumeClaim))
    return Setup(about, kind, pod.spec, server, replicas, known)


def _beside(setup: Setup, item: Deployment | StatefulSet | ServerView, situation: Situation) -> Iterator[Point]:
    """Yield what is off in what stands beside the template."""
    autoscalers = autoscalers_of(setup.about, situation)
    least = min((scaler.spec.min_replicas for scaler in autoscalers), default=setup.replicas)
    if setup.about.kind == "Pod":
        yield Point("no workload", fact(setup.kind, "a pod of its own: nothing starts it anew on another node"))
    elif min(setup.replicas, least) == 1:
        yield Point("one replica", fact(setup.kind, "one replica: a rollout or a drained node is an outage"))
    elif _knows_budgets(setup, situation) and not _has_budget(item, situation):
        text = "no PodDisruptionBudget: a drain may take all replicas at once"
        yield Point("no disruption budget", fact("poddisruptionbudgets", text))
    for scaler in autoscalers:
        yield from _scaling(scaler)
    if not isinstance(item, ServerView) and (why := gets_sidecar(item, situation)):
        text = f"Istio puts a sidecar beside it ({why}): 100m CPU and 128Mi unless set, and another hop for each token"
        yield Point("sidecar", fact(setup.kind, text))


def _scaling(scaler: HorizontalPodAutoscaler) -> Iterator[Point]:
    kind, metrics = "horizontalpodautoscalers", scaler.spec.metrics
    resources = [metric.name for metric in metrics if metric.type in ("Resource", "ContainerResource")]
    if metrics and len(resources) == len(metrics):
        text = f"autoscaler {scaler.name} looks at {', '.join(dict.fromkeys(resources))} only"
        yield Point("autoscaler", fact(kind, f"{text}: the queue tells when more is needed"))
    down = scaler.spec.behavior.scale_down if scaler.spec.behavior is not None else None
    window = down.stabilization_window_seconds if down is not None else None
    if window is not None and window < SCALE_DOWN_S:
        text = f"autoscaler {scaler.name} scales down after {window} s: a server that comes back loads for minutes"
        yield Point("scale-down window", fact(kind, text))


def _knows_budgets(setup: Setup, situation: Situation) -> bool:
    name = "poddisruptionbudgets"
    return situation.knows(name) and not situation.has_unread(name, setup.about.namespace)


def _has_budget(item: Deployment | StatefulSet | ServerView, situation: Situation) -> bool:
    if isinstance(item, ServerView):
        return False
    labels = item.spec.template.metadata.labels
    return any(
        isinstance(budget, PodDisruptionBudget)
        and namespace == item.namespace
        and budget.spec.selector is not None
        and budget.spec.selector.matches(labels)
        for (namespace, _), budget in situation.table("poddisruptionbudgets").items()
    )


def _not_told(setup: Setup, situation: Situation) -> Iterator[Evidence]:
    if setup.about.kind != "Pod" and setup.replicas > 1 and not _knows_budgets(setup, situation):
        yield cannot_tell("whether a disruption budget protects it", "poddisruptionbudgets")
    if setup.about.kind != "Pod" and not situation.knows("horizontalpodautoscalers"):
        yield cannot_tell("whether and how it is scaled", "horizontalpodautoscalers")
    if len(setup.claims) < sum(volume.persistent_volume_claim is not None for volume in setup.spec.volumes):
        yield cannot_tell("how its claims may be shared", "persistentvolumeclaims")


RULES: Final[tuple[Rule, ...]] = (vllm_review,)
