"""Claims that are not bound: why, for whom, and when that is healthy."""

from typing import Any

import pytest

from diagnosis.rule import Fired, Rule, Wait
from diagnosis.rules import claims
from playbooks.commands import Target, render
from situation.findings import Layer, Mark, Severity
from situation.meta import Ref
from situation.readings import SourceState
from situation.storage import PersistentVolumeClaim
from tests.build import NOW, Manifest, ago, event, judged, made, meta, pod, situation

NO_VOLUME = "no persistent volumes available for this claim and no storage class is set"
NO_CLASS = 'storageclass.storage.k8s.io "fast" not found'


def claim(name: str = "data", *, phase: str = "Pending", age_s: float = 300, **spec: Any) -> Manifest:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "10Gi"}}, **spec}
    metadata = meta(name, age_s=age_s)
    return {"kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec, "status": {"phase": phase}}


def user(name: str = "db-1", claim_name: str = "data", **over: Any) -> Manifest:
    volumes = [{"name": "v", "persistentVolumeClaim": {"claimName": claim_name}}]
    return pod(name, node="", phase="Pending", ready=False, spec={"volumes": volumes}, **over)


def about(reason: str, message: str, *, name: str = "data", age_s: float = 5) -> Manifest:
    return event(f"PersistentVolumeClaim/{name}", reason, message, type="Normal", age_s=age_s)


def storage_class(name: str, mode: str = "Immediate") -> Manifest:
    return {
        "kind": "StorageClass",
        "metadata": meta(name, ""),
        "provisioner": "csi.example",
        "volumeBindingMode": mode,
    }


def volume(name: str, phase: str = "Available", **spec: Any) -> Manifest:
    spec = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "10Gi"}, **spec}
    return {"kind": "PersistentVolume", "metadata": meta(name, ""), "spec": spec, "status": {"phase": phase}}


def verdicts(
    subject: Manifest, *others: Manifest, missing: dict[str, SourceState] | None = None
) -> list[tuple[Rule, Fired]]:
    known, found = situation(subject, *others, missing=missing), made(subject)
    assert isinstance(found, PersistentVolumeClaim)
    results = [(rule, rule.judge(found, known, NOW)) for rule in claims.RULES]
    return [(rule, verdict) for rule, verdict in results if isinstance(verdict, Fired)]


def texts(fired: Fired) -> str:
    return "\n".join(line.text for line in fired.evidence)


@pytest.mark.parametrize(
    ("subject", "events", "rule", "title", "command"),
    [
        pytest.param(
            claim(storageClassName="fast"), [about("ProvisioningFailed", NO_CLASS)], "storage-class-missing",
            "waits for claim data: StorageClass fast does not exist", "kubectl get storageclass", id="class",
        ),
        pytest.param(
            claim(storageClassName="fast"), [storage_class("slow")], "storage-class-missing",
            "waits for claim data: StorageClass fast does not exist", "kubectl get storageclass", id="class list",
        ),
        pytest.param(
            claim(), [about("FailedBinding", NO_VOLUME)], "no-volume-fits",
            "waits for claim data: no volume fits and no StorageClass is set", "kubectl get pv", id="static",
        ),
        pytest.param(
            claim(volumeName="pv-9"), [about("FailedBinding", 'volume "pv-9" already bound to a different claim.')],
            "no-volume-fits", 'waits for claim data: volume "pv-9" already bound to a different claim.',
            "kubectl get pv", id="bound elsewhere",
        ),
        pytest.param(
            claim(storageClassName="slow"),
            [about("ProvisioningFailed", 'failed to provision volume with StorageClass "slow": rpc error: no quota'),
             about("ExternalProvisioning", "Waiting for a volume to be created", age_s=1), storage_class("slow")],
            "provisioning-fails", "waits for claim data: provisioning fails: rpc error: no quota",
            "kubectl get storageclass slow", id="provisioner fails",
        ),
        pytest.param(
            claim(storageClassName="slow"),
            [storage_class("slow"), {**about("ExternalProvisioning", "Waiting"), "firstTimestamp": ago(280)}],
            "provisioner-silent", "waits for claim data: provisioner csi.example does not answer",
            "kubectl get storageclass slow", id="provisioner silent",
        ),
        pytest.param(
            claim(), [], "claim-pending", "waits for claim data: nothing says why", "kubectl get storageclass",
            id="no event",
        ),
    ],
)  # fmt: skip
def test_why_a_claim_is_not_bound(
    subject: Manifest, events: list[Manifest], rule: str, title: str, command: str
) -> None:
    [(found, fired)] = verdicts(subject, user(), *events)
    assert (found.id, fired.title, fired.who) == (rule, title, ("db-1",))
    assert fired.about == Ref("PersistentVolumeClaim", "shop", "data")
    assert found.layer is Layer.SCHEDULING
    assert render(fired.next[0], Target()) == command
    assert render(fired.next[-1], Target()) == "kubectl -n shop describe pvc data"
    # bound by now, going away, or seconds old: silent
    assert verdicts({**subject, "status": {"phase": "Bound"}}, user(), *events) == []
    going = {**subject, "metadata": meta("data", deletionTimestamp=ago(5))}
    assert verdicts(going, user(), *events) == []
    young = {**subject, "metadata": meta("data", age_s=5)}
    fresh = [{**item, "firstTimestamp": ago(4)} if item["kind"] == "Event" else item for item in events]
    assert verdicts(young, user(), *fresh) == []
    # nobody uses it: only a wrong class is worth a word
    alone = verdicts(subject, *events)
    assert [item.id for item, _ in alone] == (["storage-class-missing"] if rule == "storage-class-missing" else [])


def test_the_pod_folds_under_its_claim() -> None:
    owner = {"kind": "StatefulSet", "metadata": meta("db")}
    message = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. not found"
    waits = user(owner="StatefulSet/db")
    waits["status"]["conditions"] = [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastTransitionTime": ago(200),
        }
    ]
    found = judged(claim(storageClassName="fast"), waits, owner, about("ProvisioningFailed", NO_CLASS))
    [cause] = [item for item in found.causes if item.rule == "storage-class-missing"]
    assert cause.title == "db waits for claim data: StorageClass fast does not exist"
    assert cause.severity is Severity.CRITICAL
    assert [item.rule for item in cause.consequences] == ["claim-unbound"]


def test_a_wrong_class_that_nobody_uses_is_a_warning() -> None:
    [(_, fired)] = verdicts(claim(storageClassName="fast"), about("ProvisioningFailed", NO_CLASS))
    assert (fired.title, fired.who) == ("is Pending: StorageClass fast does not exist", ())
    assert fired.severity is Severity.WARNING


def test_a_class_that_was_made_meanwhile_is_no_fault() -> None:
    subject = claim(storageClassName="fast")
    assert verdicts(subject, user(), about("ProvisioningFailed", NO_CLASS), storage_class("fast")) == []


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("WaitForFirstConsumer", "waiting for first consumer to be created before binding"),
        ("WaitForPodScheduled", "waiting for pod db-1 to be scheduled"),
    ],
)
def test_waiting_for_the_pod_is_healthy(reason: str, message: str) -> None:
    assert verdicts(claim(storageClassName="slow"), about(reason, message)) == []
    assert verdicts(claim(storageClassName="slow"), user(), about(reason, message)) == []


def test_waiting_for_the_pod_is_told_by_the_class_when_events_are_gone() -> None:
    lazy = storage_class("slow", "WaitForFirstConsumer")
    assert verdicts(claim(storageClassName="slow"), user(), lazy) == []
    eager = storage_class("slow")
    assert [item.id for item, _ in verdicts(claim(storageClassName="slow"), user(), eager)] == ["claim-pending"]


def test_an_old_failure_before_a_wait_for_the_pod_is_history() -> None:
    old = about("ProvisioningFailed", "rpc error: timeout", age_s=700)
    now = about("WaitForFirstConsumer", "waiting for first consumer")
    assert verdicts(claim(storageClassName="slow"), user(), old, now) == []
    recent = about("ProvisioningFailed", "rpc error: timeout", age_s=60)
    assert [item.id for item, _ in verdicts(claim(storageClassName="slow"), user(), recent, now)] == [
        "provisioning-fails"
    ]


@pytest.mark.parametrize(
    ("candidate", "why"),
    [
        (volume("pv", storageClassName="gold"), "pv: has class gold"),
        (volume("pv", accessModes=["ReadOnlyMany"]), "pv: does not offer ReadWriteOnce"),
        (volume("pv", capacity={"storage": "5Gi"}), "pv: has 5Gi, asked are 10Gi"),
        (
            volume("pv", "Released", claimRef={"namespace": "shop", "name": "old"}),
            "pv: Released, kept for claim shop/old",
        ),
        (volume("pv", "Failed"), "pv: is Failed"),
        (volume("pv", "Bound"), "there is no unbound volume"),
    ],
)
def test_volumes_that_nearly_fit_are_named(candidate: Manifest, why: str) -> None:
    [(_, fired)] = verdicts(claim(), user(), about("FailedBinding", NO_VOLUME), candidate)
    assert why in texts(fired)


def test_volumes_are_asked_for_when_they_would_tell() -> None:
    missing = {"persistentvolumes": SourceState.STARTING}
    [(_, fired)] = verdicts(claim(), user(), about("FailedBinding", NO_VOLUME), missing=missing)
    assert fired.wants == "persistentvolumes"
    assert any(line.mark is Mark.OPEN for line in fired.evidence)


def test_claims_of_one_set_follow_the_first() -> None:
    first = claim("data-db-0", storageClassName="fast")
    third = claim("data-db-2", storageClassName="fast")
    [(_, fired)] = verdicts(third, first, storage_class("slow"))
    assert fired.follows == (Ref("PersistentVolumeClaim", "shop", "data-db-0"),)
    [(_, fired)] = verdicts(third, {**first, "status": {"phase": "Bound"}}, storage_class("slow"))
    assert fired.follows == ()


def test_a_lost_claim() -> None:
    lost = claim(phase="Lost", volumeName="pv-1")
    text = "Bound claim has lost its PersistentVolume. Data on the volume is lost!"
    [(found, fired)] = verdicts(lost, event("PersistentVolumeClaim/data", "ClaimLost", text))
    assert (found.id, fired.title, fired.severity) == ("claim-lost", "has lost its volume pv-1", Severity.CRITICAL)
    assert render(fired.next[0], Target()) == "kubectl get pv pv-1"
    assert text in texts(fired)


def test_a_young_claim_is_judged_again() -> None:
    subject = claim(storageClassName="fast", age_s=5)
    known = situation(subject, storage_class("slow"))
    verdict = claims.storage_class_missing.judge(made(subject), known, NOW)
    assert isinstance(verdict, Wait)
    assert (verdict.until - NOW).total_seconds() == 10
