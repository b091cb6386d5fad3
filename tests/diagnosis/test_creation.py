"""Missing pods: each refusal by its text, and the same events on controllers that have their pods."""

from typing import Any

import pytest

from diagnosis.rules import creation
from playbooks.commands import Target, render
from situation.findings import Finding, Layer, Mark, Severity
from situation.meta import Ref
from tests.build import Manifest, ago, event, judged, meta, pod
from tests.diagnosis.objects import endpoints, lease, service
from tests.diagnosis.test_webhooks import configuration

IDS = {rule.id for rule in creation.RULES}
FORBIDDEN = 'pods "web-1-abc" is forbidden: '
QUOTA = (
    FORBIDDEN + "exceeded quota: gpus, requested: requests.cpu=1,pods=1, used: requests.cpu=2,pods=3, "
    "limited: requests.cpu=2,pods=9"
)


def replicaset(
    text: str = QUOTA, *, has: int = 0, failing: bool = True, age_s: float = 120, wants: int = 2
) -> Manifest:
    condition = {
        "type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": text,
        "lastTransitionTime": ago(age_s),
    }  # fmt: skip
    return {
        "kind": "ReplicaSet",
        "metadata": meta("web-1", owner="Deployment/web"),
        "spec": {"replicas": wants},
        "status": {"replicas": has, "conditions": [condition] if failing else []},
    }


def deployment(ready: int = 0) -> Manifest:
    return {"kind": "Deployment", "metadata": meta("web"), "status": {"readyReplicas": ready}}


def failed_create(text: str = QUOTA, about: str = "ReplicaSet/web-1", age_s: float = 5) -> Manifest:
    return event(about, "FailedCreate", f"Error creating: {text}", age_s=age_s)


def ours(*manifests: Manifest) -> list[Finding]:
    every = [item for cause in judged(*manifests).causes for item in (cause, *cause.consequences)]
    return [finding for finding in every if finding.rule in IDS]


WEB = Ref("Deployment", "shop", "web")


@pytest.mark.parametrize(
    ("text", "rule", "layer", "subject", "title", "command"),
    [
        (
            QUOTA, "quota-refused", Layer.SCHEDULING, Ref("ResourceQuota", "shop", "gpus"),
            "is refused by quota gpus: requests.cpu 1 asked, 2 of 2 used",
            "kubectl -n shop describe resourcequota gpus",
        ),
        (
            FORBIDDEN + "failed quota: gpus: must specify limits.cpu for: app,side; limits.memory for: app",
            "quota-refused", Layer.SCHEDULING, Ref("ResourceQuota", "shop", "gpus"),
            "is refused by quota gpus: it does not set limits.cpu, limits.memory",
            "kubectl -n shop describe resourcequota gpus",
        ),
        (
            FORBIDDEN + "status unknown for quota: gpus, resources: pods", "quota-refused", Layer.CONTROL_PLANE, WEB,
            "is refused: quota gpus has not been counted", "kubectl -n shop describe resourcequota gpus",
        ),
        (
            FORBIDDEN + "maximum cpu usage per Container is 2, but limit is 4", "limit-range", Layer.SCHEDULING, WEB,
            "is refused by a LimitRange: maximum cpu usage per Container is 2, but limit is 4",
            "kubectl -n shop get limitrange -o yaml",
        ),
        (
            FORBIDDEN + "minimum memory usage per Pod is 1Gi, but request is 64Mi", "limit-range", Layer.SCHEDULING,
            WEB, "is refused by a LimitRange: minimum memory usage per Pod is 1Gi, but request is 64Mi",
            "kubectl -n shop get limitrange -o yaml",
        ),
        (
            'pods "web-1-" is forbidden: error looking up service account shop/robot: serviceaccount "robot" not found',
            "service-account-missing", Layer.APPLICATION, WEB, "wants ServiceAccount robot, which does not exist",
            "kubectl -n shop get serviceaccount robot",
        ),
        (
            FORBIDDEN + 'violates PodSecurity "restricted:latest": privileged (container "app" ...)', "pod-security",
            Layer.APPLICATION, WEB, 'violates PodSecurity restricted:latest: privileged (container "app" ...)',
            "kubectl get namespace shop --show-labels",
        ),
        (
            FORBIDDEN + "no PriorityClass with name urgent was found", "class-missing", Layer.APPLICATION, WEB,
            "wants PriorityClass urgent, which does not exist", "kubectl get priorityclass",
        ),
        (
            FORBIDDEN + 'pod rejected: RuntimeClass "nvidia" not found', "class-missing", Layer.APPLICATION, WEB,
            "wants RuntimeClass nvidia, which does not exist", "kubectl get runtimeclass",
        ),
        (
            'Internal error occurred: failed calling webhook "check.example.com": failed to call webhook: Post '
            '"https://guard.sec.svc:443/x": no endpoints available for service "guard"',
            "webhook-unreachable", Layer.CONTROL_PLANE, WEB,
            "cannot create pods: webhook check.example.com does not answer",
            "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations",
        ),
        (
            'admission webhook "check.example.com" denied the request: no owner label', "webhook-denies",
            Layer.APPLICATION, WEB, "is denied by check.example.com: no owner label",
            "kubectl -n shop get replicaset web-1 -o 'jsonpath={.spec.template}'",
        ),
        (
            FORBIDDEN + "ValidatingAdmissionPolicy 'owners' with binding 'all' denied request: no owner label",
            "webhook-denies", Layer.APPLICATION, WEB, "is denied by owners: no owner label",
            "kubectl -n shop get replicaset web-1 -o 'jsonpath={.spec.template}'",
        ),
        (
            "Timeout: request did not complete within requested timeout - context deadline exceeded", "pods-refused",
            Layer.CONTROL_PLANE, WEB,
            "cannot create pods: Timeout: request did not complete within requested timeout -…",
            "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations",
        ),
        (
            "unable to create new content in namespace shop because it is being terminated", "pods-refused",
            Layer.CONTROL_PLANE, WEB,
            "cannot create pods: unable to create new content in namespace shop because it is…",
            "kubectl -n shop get events --field-selector reason=FailedCreate",
        ),
        (
            "something nobody has seen yet", "pods-refused", Layer.APPLICATION, WEB,
            "cannot create pods: something nobody has seen yet",
            "kubectl -n shop get events --field-selector reason=FailedCreate",
        ),
    ],
)  # fmt: skip
def test_each_refusal(text: str, rule: str, layer: Layer, subject: Ref, title: str, command: str) -> None:
    [finding] = ours(replicaset(text), deployment(), failed_create(text))
    assert (finding.rule, finding.layer, finding.subject) == (rule, layer, subject)
    assert finding.title == f"web {title}"
    assert finding.severity is Severity.CRITICAL
    assert finding.members == (Ref("ReplicaSet", "shop", "web-1"),)
    assert render(finding.next[0], Target()) == command
    # the condition alone says it too; a combined event reads the same
    assert [item.rule for item in ours(replicaset(text), deployment())] == [rule]
    combined = event("ReplicaSet/web-1", "FailedCreate", f"(combined from similar events): Error creating: {text}")
    assert [item.title for item in ours(replicaset(text), deployment(), combined)] == [finding.title]
    # all pods there, or the condition withdrawn: the events are stale
    assert ours(replicaset(text, has=2), deployment(2), failed_create(text)) == []
    assert ours(replicaset(text, failing=False), deployment(), failed_create(text)) == []
    # seconds old: may be a race
    assert ours(replicaset(text, age_s=3), deployment(), failed_create(text)) == []


def test_a_workload_with_some_pods_is_degraded_only() -> None:
    [finding] = ours(replicaset(has=1), deployment(1), failed_create())
    assert finding.severity is Severity.WARNING


def test_the_newest_event_says_why_now() -> None:
    other = FORBIDDEN + "no PriorityClass with name urgent was found"
    [finding] = ours(replicaset(QUOTA), deployment(), failed_create(QUOTA, age_s=90), failed_create(other, age_s=3))
    assert finding.rule == "class-missing"


def quota(**used: str) -> Manifest:
    hard = {"requests.cpu": "2", "pods": "9"}
    return {"kind": "ResourceQuota", "metadata": meta("gpus"), "status": {"hard": hard, "used": {**hard, **used}}}


def test_what_the_quota_says_now() -> None:
    [finding] = ours(replicaset(), deployment(), quota())
    assert "requests.cpu: 2 of 2 used now" in [line.text for line in finding.evidence]
    roomy = {"kind": "ResourceQuota", "metadata": meta("gpus"), "status": {"hard": {"requests.cpu": "9", "pods": "9"},
             "used": {"requests.cpu": "2", "pods": "3"}}}  # fmt: skip
    [finding] = ours(replicaset(), deployment(), roomy)
    assert finding.title == "web waits to be tried again: quota gpus has room by now"
    assert (finding.subject, finding.severity) == (WEB, Severity.WARNING)
    assert any("tries again by itself" in line.text for line in finding.evidence if line.mark is Mark.OPEN)
    [finding] = ours(replicaset(), deployment())
    assert any("is gone by now" in line.text for line in finding.evidence if line.mark is Mark.OPEN)


def controller(kind: str, has: int) -> Manifest:
    made: Manifest = {"kind": kind, "metadata": meta("batch")}
    if kind == "StatefulSet":
        return {**made, "spec": {"replicas": 2}, "status": {"replicas": has}}
    if kind == "DaemonSet":
        return {**made, "status": {"desiredNumberScheduled": 2, "currentNumberScheduled": has}}
    return {**made, "spec": {"parallelism": 2, "completions": 5}, "status": {"active": has, "succeeded": 1}}


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet", "Job"])
def test_controllers_without_a_condition(kind: str) -> None:
    about = f"{kind}/batch"
    [finding] = ours(controller(kind, 0), failed_create(about=about))
    assert (finding.rule, finding.title.partition(":")[0]) == ("quota-refused", "batch is refused by quota gpus")
    assert ours(controller(kind, 0)) == []
    assert ours(controller(kind, 2), failed_create(about=about)) == []
    assert ours(controller(kind, 0), failed_create(about=about, age_s=1500)) == []
    made = event(about, "SuccessfulCreate", "Created pod: batch-1", type="Normal", age_s=1)
    assert ours(controller(kind, 0), failed_create(about=about), made) == []


@pytest.mark.parametrize(
    "over", [{"spec": {"suspend": True}}, {"status": {"conditions": [{"type": "Failed", "status": "True"}]}}]
)
def test_a_job_that_wants_no_pods(over: dict[str, Any]) -> None:
    assert ours({**controller("Job", 0), **over}, failed_create(about="Job/batch")) == []


def test_a_statefulset_whose_claim_is_refused() -> None:
    text = (
        "create Claim data-batch-0 for Pod batch-0 in StatefulSet batch failed error: persistentvolumeclaims "
        '"data-batch-0" is forbidden: exceeded quota: disk, requested: requests.storage=9Gi, used: '
        "requests.storage=4Gi, limited: requests.storage=9Gi"
    )
    [finding] = ours(controller("StatefulSet", 0), event("StatefulSet/batch", "FailedCreate", text))
    assert finding.title == "batch is refused by quota disk: requests.storage 9Gi asked, 4Gi of 9Gi used"


def test_a_webhook_is_found_in_its_configuration() -> None:
    text = 'Internal error occurred: failed calling webhook "check.example.com": failed to call webhook: Post'
    configuration = {
        "kind": "ValidatingWebhookConfiguration",
        "metadata": meta("guard", ""),
        "webhooks": [
            {"name": "check.example.com", "clientConfig": {"service": {"name": "guard", "namespace": "sec"}}},
            {"name": "other.example.com"},
        ],
    }
    known = {"kind": "Service", "metadata": meta("guard", "sec"), "spec": {"selector": {"app": "guard"}}}
    [finding] = ours(replicaset(text), deployment(), configuration, known)
    assert "ValidatingWebhookConfiguration guard: failurePolicy Fail" in [line.text for line in finding.evidence]
    assert render(finding.next[1], Target()) == (
        "kubectl -n sec get endpointslices -l kubernetes.io/service-name=guard"
    )


NO_ENDPOINT = (
    'Internal error occurred: failed calling webhook "pods.guard.io": failed to call webhook: Post '
    '"https://guard.shop.svc:443/x": no endpoints available for service "guard"'
)
TIMED_OUT = NO_ENDPOINT.replace('no endpoints available for service "guard"', "context deadline exceeded")


@pytest.mark.parametrize(
    ("text", "policy", "ready", "title"),
    [
        (NO_ENDPOINT, "Fail", True, "web waits to be tried again: webhook pods.guard.io has a ready endpoint by now"),
        (NO_ENDPOINT, "Fail", False, "web cannot create pods: webhook pods.guard.io does not answer"),
        (TIMED_OUT, "Fail", True, "web cannot create pods: webhook pods.guard.io does not answer"),
        (TIMED_OUT, "Ignore", True, "web waits to be tried again: webhook pods.guard.io may fail by now"),
    ],
    ids=["back", "still gone", "an endpoint is no answer", "may fail"],
)
def test_what_of_a_webhook_is_over(text: str, policy: str, ready: bool, title: str) -> None:
    slices = endpoints("guard", {"guard-1": ready})
    [finding] = ours(replicaset(text), deployment(), configuration(policy=policy), service("guard"), slices)
    assert finding.title == title
    assert (finding.severity is Severity.WARNING) is ("tried again" in title)


UNCOUNTED = FORBIDDEN + "status unknown for quota: gpus, resources: pods"
TIMEOUT = "Timeout: request did not complete within requested timeout - context deadline exceeded"


@pytest.mark.parametrize(
    ("text", "component", "cause"),
    [
        (UNCOUNTED, "kube-controller-manager", "controller-manager-down"),
        (UNCOUNTED, "kube-scheduler", "quota-refused"),
        (TIMEOUT, "kube-scheduler", "pods-refused"),
    ],
)
def test_a_refusal_follows_only_from_what_explains_it(text: str, component: str, cause: str) -> None:
    """A scheduler counts no quota and answers no webhook: what is refused while it is down has a cause of its own."""
    leases = [lease(component, age_s=300), lease("apiserver-abc", age_s=1)]
    [found] = [
        top for top in judged(replicaset(text), deployment(), failed_create(text), *leases).causes
        if any(finding.rule in IDS for finding in (top, *top.consequences))
    ]  # fmt: skip
    assert found.rule == cause


def test_a_storage_quota_is_a_hint_only_while_somebody_misses_a_claim() -> None:
    full = {
        "kind": "ResourceQuota",
        "metadata": meta("disk"),
        "status": {"hard": {"requests.storage": "9Gi", "pods": "1"}, "used": {"requests.storage": "9Gi", "pods": "1"}},
    }
    condition = {
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": ago(100),
        "message": 'persistentvolumeclaim "data" not found',
    }  # fmt: skip
    waits = pod("db-1", node="", phase="Pending", ready=False, status={"conditions": [condition]})
    [finding] = ours(full, waits)
    assert (finding.severity, finding.title) == (Severity.INFO, "disk is used up: requests.storage 9Gi of 9Gi")
    assert render(finding.next[0], Target()) == "kubectl -n shop describe resourcequota disk"
    assert ours(full) == []
    free = {**full, "status": {"hard": {"requests.storage": "9Gi"}, "used": {"requests.storage": "1Gi"}}}
    assert ours(free, waits) == []
