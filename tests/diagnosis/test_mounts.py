"""Pods that wait for a volume."""

import pytest

from situation.findings import Layer, Severity
from situation.meta import Ref
from tests.build import Manifest, ago, event, node, pod
from tests.diagnosis.pod_faults import OWNED, creating, fault, first_command, rule_of, text_of

CLAIM: Manifest = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}
MULTI = (
    'Multi-Attach error for volume "pv-7" Volume is already exclusively attached to one node and '
    "can't be attached to another"
)
MULTI_PODS = 'Multi-Attach error for volume "pv-7" Volume is already used by pod(s) web-0'
ATTACH = 'AttachVolume.Attach failed for volume "pv-7" : rpc error: code = Internal desc = volume vol-1 is gone'
MOUNT = (
    'MountVolume.MountDevice failed for volume "pv-7" : rpc error: code = Internal desc = mount failed: exit status 32'
)
CSI = (
    'MountVolume.MountDevice failed for volume "pv-7" : kubernetes.io/csi: attacher.MountDevice failed to create '
    "newCsiDriverClient: driver name ebs.csi.aws.com not found in the list of registered CSI drivers"
)
SUMMARY = (
    "Unable to attach or mount volumes: unmounted volumes=[data logs], unattached volumes=[], failed to process "
    "volumes=[]: timed out waiting for the condition"
)


def told(reason: str, message: str) -> Manifest:
    return event("Pod/web-1", reason, message, count=5)


@pytest.mark.parametrize(
    ("reason", "message", "rule", "title"),
    [
        ("FailedAttachVolume", MULTI, "volume-attach", "web cannot attach volume pv-7: another node still holds it"),
        (
            "FailedAttachVolume",
            MULTI_PODS,
            "volume-attach",
            "web cannot attach volume pv-7: another node still holds it",
        ),
        ("FailedAttachVolume", ATTACH, "volume-attach", "web cannot attach volume pv-7: volume vol-1 is gone"),
        ("FailedMount", MOUNT, "volume-mount", "web cannot mount volume pv-7: mount failed: exit status 32"),
        ("FailedMount", CSI, "volume-mount", "web cannot mount: CSI driver ebs.csi.aws.com is not on node node-1"),
        ("FailedMount", SUMMARY, "volume-mount", "web cannot mount volumes data, logs: no answer in time"),
    ],
)
def test_fires(reason: str, message: str, rule: str, title: str) -> None:
    found = fault(creating(spec=CLAIM), node(), told(reason, message))
    assert found is not None
    assert (found.rule, found.title) == (rule, title)
    assert (found.subject, found.layer) == (Ref("Deployment", "shop", "web"), Layer.NODE)
    assert found.severity is Severity.CRITICAL


@pytest.mark.parametrize(
    ("reason", "message"), [("FailedAttachVolume", MULTI), ("FailedMount", MOUNT), ("FailedMount", SUMMARY)]
)
def test_young_and_healthy_pods_are_silent(reason: str, message: str) -> None:
    assert rule_of(creating(spec=CLAIM, age_s=20), node(), told(reason, message)) == "clear"
    assert rule_of(pod(**OWNED, spec=CLAIM), node(), told(reason, message)) == "clear"


def test_the_kubelets_caches_are_no_fault_of_the_volume() -> None:
    cache = 'MountVolume.SetUp failed for volume "conf" : failed to sync configmap cache: timed out'
    assert rule_of(creating(age_s=200), node(), told("FailedMount", cache)) == "clear"


def test_the_holder_is_named_and_its_dead_node_is_the_cause() -> None:
    holder = pod("web-0", **OWNED, node="node-2", spec=CLAIM)
    holder["metadata"]["deletionTimestamp"] = ago(300)
    found = fault(creating(spec=CLAIM), node(), holder, told("FailedAttachVolume", MULTI_PODS))
    assert found is not None
    assert "pod web-0 on node-2 uses it too (going away)" in text_of(found)


def test_an_attachment_without_a_pod_was_left_behind() -> None:
    found = fault(creating(spec=CLAIM), node(), told("FailedAttachVolume", MULTI))
    assert found is not None
    assert "the attachment was left behind" in text_of(found)


def test_first_commands() -> None:
    attach = fault(creating(spec=CLAIM), told("FailedAttachVolume", MULTI))
    mount = fault(creating(spec=CLAIM), told("FailedMount", MOUNT))
    csi = fault(creating(spec=CLAIM), told("FailedMount", CSI))
    assert attach and mount and csi
    assert first_command(attach) == "kubectl get volumeattachments"
    assert first_command(mount) == "kubectl -n shop describe pod web-1"
    assert first_command(csi) == "kubectl get csinode node-1 -o yaml"


@pytest.mark.parametrize(
    ("attached", "age_s", "expected"),
    [
        ("pv-7", 2, "clear"),
        ("pv-7", 60, "volume-attach"),
        ("pv-8", 2, "volume-attach"),
    ],
    ids=["since", "before, and taken away again", "another volume"],
)
def test_a_volume_that_was_attached_since_is_waited_for_no_more(attached: str, age_s: float, expected: str) -> None:
    done = f'AttachVolume.Attach succeeded for volume "{attached}"'
    success = event("Pod/web-1", "SuccessfulAttachVolume", done, type="Normal", age_s=age_s)
    assert rule_of(creating(spec=CLAIM), node(), told("FailedAttachVolume", MULTI), success) == expected


@pytest.mark.parametrize("lacking", ["conf", "data conf"])
def test_an_attachment_mounts_no_volume_that_is_none(lacking: str) -> None:
    """A ConfigMap that cannot be mounted is still missing, whatever disk was attached since."""
    done = 'AttachVolume.Attach succeeded for volume "pv-7"'
    success = event("Pod/web-1", "SuccessfulAttachVolume", done, type="Normal", age_s=2)
    summary = told("FailedMount", SUMMARY.replace("data logs", lacking))
    assert rule_of(creating(spec=CLAIM), node(), summary, success) == "volume-mount"


def test_a_mount_that_fails_after_the_attachment_counts() -> None:
    done = 'AttachVolume.Attach succeeded for volume "pv-7"'
    success = event("Pod/web-1", "SuccessfulAttachVolume", done, type="Normal", age_s=30)
    for message in (MOUNT, SUMMARY):
        assert rule_of(creating(spec=CLAIM), node(), told("FailedMount", message), success) == "volume-mount"
