"""Shared by the tests of pod rules: what the whole engine says of one pod, and containers in all their states."""

from typing import Any

from playbooks.commands import Target, render
from situation.findings import Finding
from situation.meta import Ref
from situation.readings import SourceState
from tests.build import NOW, Manifest, ago, judged, pod, situation

OWNED: Manifest = {"owner": "ReplicaSet/web-5d8", "labels": {"app": "web", "pod-template-hash": "5d8"}}
"""Makes the pod one of Deployment web."""


def fault(*manifests: Manifest, missing: dict[str, SourceState] | None = None) -> Finding | None:
    """Return what the full set of rules says of the first manifest, a pod; None when it is clear."""
    from diagnosis.engine import diagnose

    name, namespace = manifests[0]["metadata"]["name"], manifests[0]["metadata"]["namespace"]
    diagnosis = diagnose(situation(*manifests, missing=missing), NOW) if missing else judged(*manifests)
    me = Ref("Pod", namespace, name)
    found = [finding for cause in diagnosis.causes for finding in (cause, *cause.consequences) if me in finding.members]
    assert len(found) <= 1, [finding.key for finding in found]
    return found[0] if found else None


def rule_of(*manifests: Manifest, missing: dict[str, SourceState] | None = None) -> str:
    """Return the id of the rule that fired for the first manifest, or `clear`."""
    found = fault(*manifests, missing=missing)
    return found.rule if found else "clear"


def first_command(finding: Finding) -> str:
    return render(finding.next[0], Target())


def text_of(finding: Finding) -> str:
    """All evidence of a finding, one line each."""
    return "\n".join(line.text for line in finding.evidence)


def ended(code: int = 1, *, reason: str = "Error", ran_s: float = 4, ended_s: float = 10, **more: Any) -> Manifest:
    """Return a terminated state: it ran `ran_s` seconds and ended `ended_s` seconds ago."""
    times = {"startedAt": ago(ended_s + ran_s), "finishedAt": ago(ended_s)}
    return {"terminated": {"exitCode": code, "reason": reason, **times, **more}}


def waiting(reason: str, message: str = "") -> Manifest:
    return {"waiting": {"reason": reason, "message": message}}


def running(since_s: float) -> Manifest:
    return {"running": {"startedAt": ago(since_s)}}


def status(
    state: Manifest, last: Manifest | None = None, *, restarts: int = 0, ready: bool = False, **more: Any
) -> Manifest:
    """Return fields of a container's status."""
    return {"state": state, "lastState": last or {}, "restartCount": restarts, "ready": ready, **more}


def looping(last: Manifest | None = None, *, restarts: int = 4, **more: Any) -> Manifest:
    """Return the status of a container in CrashLoopBackOff."""
    message = "back-off 40s restarting failed container=app pod=web-1_shop(uid-web-1)"
    return status(waiting("CrashLoopBackOff", message), last or ended(), restarts=restarts, **more)


def with_status(container_status: Manifest, **more: Any) -> Manifest:
    """Return a pod of Deployment web on node-1 whose one container has this status."""
    return pod(**{**OWNED, "ready": False, "container_status": container_status, **more})


def creating(*, age_s: float = 600, ready_to_start: bool | None = False, **more: Any) -> Manifest:
    """Return a pod on a node whose containers have not been created."""
    conditions = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": ago(age_s)}]
    if ready_to_start is not None:
        conditions.append({"type": "PodReadyToStartContainers", "status": str(ready_to_start)})
    return pod(
        **{
            **OWNED,
            "phase": "Pending",
            "ready": False,
            "age_s": age_s,
            "container_status": status(waiting("ContainerCreating")),
            "status": {"conditions": conditions, "startTime": ago(age_s)},
            **more,
        }
    )
