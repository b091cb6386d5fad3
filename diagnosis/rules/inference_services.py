"""Layer 1: KServe's InferenceServices that are not ready (playbooks L)."""

from datetime import datetime, timedelta
from typing import Final

from diagnosis.commands import counted, fact, kubectl, shorten
from diagnosis.model_size import load_time
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, Wait, rule
from situation.findings import Evidence, Layer, Mark, Severity
from situation.kserve import LABEL, STOPPED, FailureInfo, InferenceService
from situation.meta import Condition, Ref, find_condition
from situation.pods import Pod
from situation.selectors import is_ready
from situation.situation import Situation

START: Final = timedelta(seconds=load_time(None).window_s)
"""While pods come up: a large model that is downloaded takes half an hour (playbooks F)."""
NO_POD: Final = timedelta(seconds=120)
"""Without a pod nothing loads: a minute or two is what its controllers need."""


@rule(
    "inference-service-not-ready",
    signature="L1-06",
    layer=Layer.APPLICATION,
    severity=Severity.WARNING,
    kind="InferenceService",
    needs=("inferenceservices", "pods"),
    looks_at="Condition Ready=False and the first condition below it that is not True; the pods with its label; "
    "status.modelStatus.",
    look_alikes={
        "stopped": "condition Stopped, by the annotation serving.kserve.io/stop: on purpose, silent",
        "an old failure": "modelStatus keeps the last one for ever: counts only while a failed load blocks",
        "scaled to zero": "minReplicas 0 and no pod: a cold start is expected, no fault: silent",
        "still loading": "pods that run and are not ready, for half an hour at most: silent",
        "the pods' own fault": "their finding explains this one, which folds under it",
    },
)
def inference_service_not_ready(item: InferenceService, situation: Situation, now: datetime) -> Verdict:
    """A KServe InferenceService is not ready."""
    condition = find_condition(item.status.conditions, "Ready")
    if condition is None or condition.status == "True" or item.metadata.deletion_timestamp is not None:
        return CLEAR
    if _is_stopped(item, condition):
        return CLEAR
    pods = _pods(item, situation)
    if not pods and item.spec.predictor.min_replicas == 0 and condition.status != "False":
        return CLEAR
    failed = item.status.model_status.failure
    since = condition.last_transition_time or item.metadata.creation_timestamp
    ready = sum(map(is_ready, pods))
    budget = START if pods and not ready else NO_POD
    if since is not None and now < since + budget and failed is None:
        return Wait(since + budget)
    below = _first_below(item)
    why = below or condition
    evidence = [_said(condition), *([_said(below)] if below is not None else [])]
    if failed is not None:
        evidence.append(fact("inferenceservices", _failure(item.status.model_status.transition_status, failed)))
    evidence.append(fact("pods", f"{ready} of {counted(len(pods), 'pod')} ready"))
    if item.spec.predictor.min_replicas == 0:
        evidence.append(fact("inferenceservices", "minReplicas 0: with no requests it has no pod", Mark.OPEN))
    workloads = dict.fromkeys(situation.workload_of(pod) for pod in pods)
    own = [Ref("Pod", *pod.key) for pod in pods if not is_ready(pod)]
    about = Ref("InferenceService", item.namespace, item.name)
    title = f"is not ready: {why.type}{f' ({why.reason})' if why.reason else ''}"
    return Fired(
        about,
        title,
        tuple(evidence),
        (
            kubectl("describe", "inferenceservice", item.name, purpose="which condition is not met?",
                    namespace=item.namespace),
            kubectl("get", "pods", "-l", f"{LABEL}={item.name}", "-o", "wide", purpose="how are its pods?",
                    namespace=item.namespace),
        ),
        severity=Severity.CRITICAL if not ready and item.spec.predictor.min_replicas != 0 else None,
        follows=(*workloads, *own),
    )  # fmt: skip


def _is_stopped(item: InferenceService, ready: Condition) -> bool:
    stopped = find_condition(item.status.conditions, STOPPED)
    return ready.reason == STOPPED or (stopped is not None and stopped.status == "True")


def _failure(status: str, failed: FailureInfo) -> str:
    ended = f" (exit code {failed.exit_code})" if failed.exit_code else ""
    message = f": {shorten(failed.message, 200)}" if failed.message else ""
    return f"model: {status}, {failed.reason or 'no reason given'}{ended}{message}"


def _pods(item: InferenceService, situation: Situation) -> tuple[Pod, ...]:
    found = situation.pods_matching(item.namespace, {LABEL: item.name})
    return tuple(pod for pod in found if pod.metadata.deletion_timestamp is None and pod.status.phase != "Succeeded")


def _first_below(item: InferenceService) -> Condition | None:
    """Return the first condition that is not met beside Ready itself: it says what is missing."""
    return next((entry for entry in item.status.conditions if entry.type != "Ready" and entry.status == "False"), None)


def _said(condition: Condition) -> Evidence:
    why = f" ({condition.reason})" if condition.reason else ""
    text = f": {shorten(condition.message, 240)}" if condition.message else ""
    at = condition.last_transition_time
    return fact("inferenceservices", f"{condition.type}={condition.status}{why}{text}", at=at)


RULES: Final[tuple[Rule, ...]] = (inference_service_not_ready,)
