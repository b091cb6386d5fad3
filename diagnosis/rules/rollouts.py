"""Rollouts that are stuck or at zero, and failed Jobs (L1-21, L1-22, L1-23)."""

import re
from datetime import datetime, timedelta
from itertools import chain
from typing import Final

from diagnosis.autoscalers import autoscalers_of
from diagnosis.commands import counted, fact, kubectl, shorten
from diagnosis.replicas import gravity
from diagnosis.rule import CLEAR, Fired, Rule, Unknown, Verdict, Wait, rule, wait_until
from diagnosis.rules import rollouts_scaling
from situation.findings import Evidence, Layer, Mark, Severity
from situation.logs import log_target
from situation.meta import Ref, find_condition
from situation.network import Service
from situation.pods import Pod
from situation.selectors import is_finished
from situation.situation import Situation
from situation.workloads import Deployment, HorizontalPodAutoscaler, Job, selector_text

JOB_NEWS_S: Final = 6 * 3600.0
"""A Job that failed longer ago is history, worth knowing but nobody's page."""
SCALED_RECHECK_S: Final = 60.0
"""A Service may come to point at a Deployment without pods without the Deployment itself changing."""

_KNATIVE: Final = "serving.knative.dev/"
"""Labels of a revision's Deployment and its pods start so (knative.dev/serving, pkg/apis/serving/register.go)."""
_KEDA: Final = "scaledobject.keda.sh/name"
"""Label of an autoscaler that KEDA made (keda, apis/keda/v1alpha1/scaledobject_types.go)."""

_SCALERS: Final = "horizontalpodautoscalers"
_TIMED_OUT: Final = re.compile(r'ReplicaSet "(?P<name>[^"]+)" has timed out progressing')


@rule(
    "rollout-stuck",
    signature="L1-21",
    layer=Layer.APPLICATION,
    severity=Severity.WARNING,
    kind="Deployment",
    needs=("deployments",),
    looks_at="Condition Progressing=False with reason ProgressDeadlineExceeded; ready and wanted replicas.",
    look_alikes={
        "any fault of its pods": "the rollout is a symptom: what is wrong with its pods explains it",
        "a paused Deployment": "a paused rollout has no deadline",
    },
)
def rollout_stuck(deployment: Deployment, situation: Situation, now: datetime) -> Verdict:
    """A rollout made no progress within its deadline."""
    condition = find_condition(deployment.status.conditions, "Progressing")
    if condition is None or condition.status != "False" or condition.reason != "ProgressDeadlineExceeded":
        return CLEAR
    status, spec = deployment.status, deployment.spec
    if spec.paused or spec.replicas == 0 or status.observed_generation < deployment.metadata.generation:
        return CLEAR
    if status.updated_replicas >= spec.replicas and status.ready_replicas >= spec.replicas:
        return CLEAR
    me = Ref("Deployment", deployment.namespace, deployment.name)
    match = _TIMED_OUT.search(condition.message)
    new = Ref("ReplicaSet", deployment.namespace, match["name"]) if match else None
    evidence = (
        fact("deployments", shorten(condition.message, 200), at=condition.last_transition_time),
        fact(
            "deployments",
            f"{status.ready_replicas} of {spec.replicas} ready, {status.updated_replicas} of the new revision",
        ),
    )
    chosen = ("-l", selector_text(spec.selector.match_labels)) if spec.selector.match_labels else ()
    next = (
        kubectl("get", "rs", *chosen, purpose="which revision is stuck?", namespace=deployment.namespace),
        kubectl(
            "get", "pods", *chosen, "-o", "wide", purpose="what is wrong with its pods?", namespace=deployment.namespace
        ),
        kubectl(
            "rollout",
            "history",
            f"deployment/{deployment.name}",
            purpose="what was there before?",
            namespace=deployment.namespace,
        ),
    )
    return Fired(
        me,
        "is stuck in its rollout",
        evidence,
        next,
        severity=gravity(me, situation),
        follows=(me, new) if new is not None else (me,),
    )


@rule(
    "scaled-to-zero",
    signature="L1-22",
    layer=Layer.APPLICATION,
    severity=Severity.INFO,
    kind="Deployment",
    needs=("deployments", "services", "pods"),
    looks_at="spec.replicas 0 while a Service selects its pods and has no other pod behind it; autoscalers; labels of "
    "Knative; a Deployment NAME-primary.",
    look_alikes={
        "an autoscaler at zero": "an autoscaler that may go to zero, or KEDA's, did it on purpose: silent",
        "an idle revision of Knative": "its activator takes the requests and scales it up: silent",
        "a target of Flagger": "between two releases only NAME-primary runs: silent",
        "selector-matches-nothing": "there pods exist and the selector misses them",
        "controller manager down": "there replicas are wanted and no pod is made",
    },
)
def scaled_to_zero(deployment: Deployment, situation: Situation, now: datetime) -> Verdict:
    """A Deployment is scaled to zero although a Service still points at it."""
    if deployment.spec.replicas != 0 or deployment.metadata.deletion_timestamp is not None:
        return CLEAR
    if _is_knative(deployment) or _is_flagger_target(deployment, situation):
        return Wait(now + timedelta(seconds=SCALED_RECHECK_S))
    services = [service for service in _services_of(deployment, situation) if not _served(service, situation)]
    if not services:
        return Wait(now + timedelta(seconds=SCALED_RECHECK_S))
    if not situation.knows(_SCALERS):
        return Unknown("whether an autoscaler scaled it to zero", wants=_SCALERS)
    for name in (_SCALERS, "pods", "deployments"):
        if situation.has_unread(name, deployment.namespace):
            return Unknown(f"not all {name} of namespace {deployment.namespace} could be decoded", wants=_SCALERS)
    me = Ref("Deployment", deployment.namespace, deployment.name)
    if any(_may_be_zero(item) for item in autoscalers_of(me, situation)):
        return Wait(now + timedelta(seconds=SCALED_RECHECK_S))
    evidence = (
        fact("deployments", "spec.replicas is 0"),
        *(fact("services", f"Service {service.name} selects its pods and has no other") for service in services[:3]),
        fact(_SCALERS, "no autoscaler that goes to zero is set on it", Mark.EXCLUDES),
    )
    next = (
        kubectl(
            "get", "deployment", deployment.name, "-o", "jsonpath={.spec.replicas}",
            purpose="is it still zero?", namespace=deployment.namespace,
        ),
        kubectl(
            "rollout", "history", f"deployment/{deployment.name}",
            purpose="what was changed?", namespace=deployment.namespace,
        ),
    )  # fmt: skip
    return Fired(me, f"is scaled to zero, but Service {services[0].name} points at it", evidence, next)


def _services_of(deployment: Deployment, situation: Situation) -> list[Service]:
    labels = deployment.spec.template.metadata.labels
    return [
        service
        for service in situation.services_by_namespace.get(deployment.namespace).values()
        if service.spec.selector and all(labels.get(key) == value for key, value in service.spec.selector.items())
    ]


def _served(service: Service, situation: Situation) -> bool:
    pods = situation.pods_matching(service.namespace, service.spec.selector)
    return any(not is_finished(pod) and pod.metadata.deletion_timestamp is None for pod in pods)


def _is_knative(deployment: Deployment) -> bool:
    """Tell whether this is a revision of Knative, which is at zero while nobody asks it."""
    labels = (*deployment.metadata.labels, *deployment.spec.template.metadata.labels)
    return any(key.startswith(_KNATIVE) for key in labels)


def _is_flagger_target(deployment: Deployment, situation: Situation) -> bool:
    """Tell whether Flagger runs a copy in place of this Deployment, which it scales up for the next release only."""
    primary = situation.deployments.get((deployment.namespace, f"{deployment.name}-primary"))
    return primary is not None and primary.spec.replicas > 0


def _may_be_zero(item: HorizontalPodAutoscaler) -> bool:
    """KEDA itself scales between zero and one; its autoscaler only says at least one, and may have any name."""
    of_keda = _KEDA in item.metadata.labels or item.name.startswith("keda-hpa-")
    return item.spec.min_replicas == 0 or of_keda


@rule(
    "job-failed",
    signature="L1-23",
    layer=Layer.APPLICATION,
    severity=Severity.WARNING,
    kind="Job",
    needs=("jobs",),
    looks_at="Condition Failed=True and its reason; later Jobs of the same CronJob; why its failed pods ended.",
    look_alikes={
        "a suspended Job": "it has no condition Failed",
        "a node that went away": "the failed pods have a reason of their own (Evicted): their nodes are followed",
        "a CronJob that works again": "a later run that completed: silent",
    },
)
def job_failed(job: Job, situation: Situation, now: datetime) -> Verdict:
    """A Job failed for good."""
    condition = find_condition(job.status.conditions, "Failed")
    if condition is None or condition.status != "True" or job.metadata.deletion_timestamp is not None:
        return CLEAR
    me = Ref("Job", job.namespace, job.name)
    about = situation.workload_of(job, "Job")
    if about != me and _worked_since(job, about, situation):
        return CLEAR
    if about != me and situation.has_unread("jobs", job.namespace):
        return Unknown(f"not all Jobs of namespace {job.namespace} could be decoded: a later one may have worked")
    failed = [pod for pod in situation.pods_of(me) if pod.status.phase == "Failed"]
    taken = [pod for pod in failed if pod.status.reason]
    evidence = [
        fact("jobs", f"{condition.reason}: {shorten(condition.message, 200)}", at=condition.last_transition_time),
        fact("jobs", f"{counted(job.status.failed, 'pod')} failed, {job.status.succeeded} succeeded"),
        *(_end_of(pod) for pod in (taken or failed)[-2:]),
    ]
    nodes = dict.fromkeys(Ref("Node", "", pod.spec.node_name) for pod in taken if pod.spec.node_name)
    next = (
        kubectl(
            "logs",
            f"job/{job.name}",
            "--all-containers",
            "--tail=100",
            purpose="what did it say last?",
            namespace=job.namespace,
            log=log_target(failed[-1]) if failed else None,
        ),
        kubectl("describe", "job", job.name, purpose="how did its pods end?", namespace=job.namespace),
    )
    old = wait_until(condition.last_transition_time, JOB_NEWS_S, now) is None
    return Fired(
        about,
        _JOB_TITLES.get(condition.reason, f"failed: {condition.reason or 'no reason given'}"),
        tuple(evidence),
        next,
        severity=Severity.INFO if old and condition.last_transition_time is not None else Severity.WARNING,
        follows=(me, about, *nodes) if len(taken) == len(failed) else (me, about),
    )


_JOB_TITLES: Final = {
    "BackoffLimitExceeded": "failed: its pods failed too often",
    "DeadlineExceeded": "failed: it ran longer than its deadline",
    "PodFailurePolicy": "failed: its pod failure policy ended it",
    "MaxFailedIndexesExceeded": "failed: too many of its indexes failed",
    "FailedIndexes": "failed: some of its indexes failed",
}


def _worked_since(job: Job, cron: Ref, situation: Situation) -> bool:
    made = job.metadata.creation_timestamp
    for other in situation.jobs.values():
        born = other.metadata.creation_timestamp
        if other.namespace != job.namespace or made is None or born is None or born <= made:
            continue
        if situation.workload_of(other, "Job") != cron:
            continue
        complete = find_condition(other.status.conditions, "Complete")
        if complete is not None and complete.status == "True":
            return True
    return False


def _end_of(pod: Pod) -> Evidence:
    if pod.status.reason:
        node = f" on {pod.spec.node_name}" if pod.spec.node_name else ""
        return fact("pods", f"{pod.name}{node}: {pod.status.reason}: {shorten(pod.status.message, 160)}")
    for status in chain(pod.status.init_container_statuses, pod.status.container_statuses):
        end = status.state.terminated
        if end is not None and end.exit_code:
            text = f"{pod.name}: container {status.name} exit {end.exit_code} ({end.reason or 'no reason'})"
            return fact("pods", text, at=end.finished_at)
    return fact("pods", f"{pod.name}: phase Failed")


RULES: Final[tuple[Rule, ...]] = (
    rollout_stuck,
    scaled_to_zero,
    job_failed,
    *rollouts_scaling.RULES,
)
