"""Who holds the GPUs that others wait for and whether they use them; quotas, shares and claims on devices."""

from datetime import timedelta
from typing import Final

import pytest

from diagnosis.engine import diagnose
from diagnosis.gpu_ledger import Account
from diagnosis.gpu_places import View
from playbooks.commands import Target, render
from situation.findings import Effect, Finding, Mark
from situation.gpu.devices import GpuDevice, GpuReading, NodeDevices
from situation.readings import CONFIGURED, Configured, Reading, SourceState
from situation.situation import Situation
from tests import gpu_resources as resources
from tests.build import NOW, Manifest, judged, meta, node, pod, situation
from tests.diagnosis.unscheduled import GPU, asks, first, gpu_node, held, none_of, texts, waiting, wants

H100: Final = "NVIDIA-H100-80GB-HBM3"
PRODUCT: Final = "nvidia.com/gpu.product"


def test_a_quota_on_gpus_says_who_holds_them_and_what_is_free() -> None:
    text = (f'pods "llm-x" is forbidden: exceeded quota: gpus, requested: pods=1,requests.{GPU}=2, '
            f"used: pods=1,requests.{GPU}=1, limited: pods=9,requests.{GPU}=2")  # fmt: skip
    replicaset = {
        "kind": "ReplicaSet", "metadata": meta("llm-1", owner="Deployment/llm"), "spec": {"replicas": 1},
        "status": {"replicas": 0, "conditions": [{"type": "ReplicaFailure", "status": "True",
                                                  "reason": "FailedCreate", "message": text}]},
    }  # fmt: skip
    quota = {"kind": "ResourceQuota", "metadata": meta("gpus"),
             "status": {"hard": {f"requests.{GPU}": "2"}, "used": {f"requests.{GPU}": "1"}}}  # fmt: skip
    holder = pod("chat-0", node="g1", owner="StatefulSet/chat", container=wants(gpu="1"))
    [finding] = [cause for cause in judged(replicaset, quota, holder, gpu_node("g1")).causes
                 if cause.rule == "quota-refused"]  # fmt: skip
    assert finding.title == f"llm is refused by quota gpus: 2 {GPU} asked, 1 of 2 used"
    lines = {line.text: line.mark for line in finding.evidence}
    assert f"{GPU} in shop is held: 1 by shop/chat" in lines
    free = f"7 {GPU} free on the nodes: only the quota refuses"
    assert lines[free] is Mark.EXCLUDES
    part = situation(replicaset, quota, holder, gpu_node("g1"))
    part.apply(Reading(CONFIGURED, SourceState.LIVE, NOW, Configured(only_namespace="shop")))
    [finding] = [cause for cause in diagnose(part, NOW).causes if cause.rule == "quota-refused"]
    assert free not in [line.text for line in finding.evidence], "pods of other namespaces may hold them"


def measured(known: Situation, *ratios: float | None, where: str = "g1", age_s: float = 12) -> Situation:
    """Say how busy the GPUs of a node are, each held by the pod of its number."""
    devices = tuple(
        GpuDevice(number, utilization_ratio=ratio, holders=(("ml", f"train-{number}"),))
        for number, ratio in enumerate(ratios)
    )
    at = NOW - timedelta(seconds=age_s)
    reading = GpuReading((NodeDevices(where, devices, "dcgm", observed_at=at),))
    known.apply(Reading("gpu/dcgm", SourceState.LIVE, NOW, reading))
    return known


def shortage(known: Situation) -> Finding:
    [finding] = [cause for cause in diagnose(known, NOW).causes if cause.rule == "gpus-short"]
    return finding


def holders() -> list[Manifest]:
    """Four pods with a GPU each: one of a notebook, three of a training."""
    return [
        held("g1", 1, "train-0", "Deployment/notebook"),
        *(held("g1", 1, f"train-{number}", "StatefulSet/train") for number in (1, 2, 3)),
    ]


def test_allocated_but_idle_names_the_biggest_idle_holder_and_scaling_it_down_comes_last() -> None:
    full = [asks(), gpu_node("g1", "4"), *holders()]
    finding = shortage(measured(situation(*full), 0.0, 0.9, 0.01, 0.02))
    [line] = [line for line in finding.evidence if "idle" in line.text]
    text = "allocated but idle: 3 of 4 below 5 % at the reading: 2 of 3 of ml/train, 1 of 1 of ml/notebook"
    assert (line.text, line.source, line.observed_at) == (text, "gpu/dcgm", NOW - timedelta(seconds=12))
    *reads, last = finding.next
    assert {command.effect for command in reads} == {Effect.READ}
    assert (render(last, Target()), last.effect) == (
        "kubectl -n ml scale deployment/notebook --replicas=0",
        Effect.MUTATING,
    )


@pytest.mark.parametrize(
    ("ratios", "age_s", "text", "mark"),
    [
        ((0.9, 0.9, 0.9, 0.9), 12, "allocated and busy: none of 4 below 5 % at the reading", Mark.EXCLUDES),
        ((0.9, None, 0.9, None), 12, "use not measured for 2 of 4 allocated", Mark.OPEN),
        ((None, None, None, None), 12, "how busy their holders keep them is not measured", Mark.OPEN),
        ((0.0, 0.0, 0.0, 0.0), 900, "how busy their holders keep them is not measured", Mark.OPEN),
    ],
)
def test_what_is_not_idle_or_not_known(ratios: tuple[float | None, ...], age_s: float, text: str, mark: Mark) -> None:
    finding = shortage(measured(situation(asks(), gpu_node("g1", "4"), *holders()), *ratios, age_s=age_s))
    assert [line.mark for line in finding.evidence if text in line.text] == [mark]
    assert not any("allocated but idle" in line.text for line in finding.evidence)
    assert {command.effect for command in finding.next} == {Effect.READ}


SHARING: Final = {"nvidia.com/gpu.sharing-strategy": "time-slicing", "nvidia.com/gpu.replicas": "2"}


def test_of_a_shared_gpu_nobody_is_said_to_leave_it_idle_or_to_use_it() -> None:
    """An exporter names one pod of each GPU: what it measures is of all that share it."""
    shared = [asks(), gpu_node("g1", "4", labels=SHARING), *holders()]
    finding = shortage(measured(situation(*shared), 0.0, 0.9))
    lines = {line.text: line.mark for line in finding.evidence}
    assert "allocated but idle: 1 of 2 below 5 % at the reading" in lines
    assert lines["shared by several pods: 2 of 2; which of them uses a GPU is not measured"] is Mark.OPEN
    assert {command.effect for command in finding.next} == {Effect.READ}, "who would be scaled down is not known"


def test_a_gpu_of_which_several_pods_are_named_is_shared() -> None:
    known = situation(asks(), gpu_node("g1", "4"), *holders())
    both = (("ml", "train-0"), ("ml", "train-1"))
    device = GpuDevice(0, utilization_ratio=0.0, holders=both)
    reading = GpuReading((NodeDevices("g1", (device,), "dcgm", observed_at=NOW),))
    known.apply(Reading("gpu/dcgm", SourceState.LIVE, NOW, reading))
    assert "which of them uses a GPU is not measured" in "".join(line.text for line in shortage(known).evidence)


TOO_LARGE: Final = (
    "Pod was rejected: Allocate failed due to rpc error: code = Unknown desc = request for 'nvidia.com/gpu: 2' too "
    "large: maximum request size for shared resources is 1, which is unexpected"
)


def test_several_shares_are_refused_after_binding() -> None:
    status = {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": TOO_LARGE}
    labels = {PRODUCT: f"{H100}-SHARED", "nvidia.com/gpu.replicas": "4",
              "nvidia.com/gpu.sharing-strategy": "time-slicing"}  # fmt: skip
    refused = pod("llm-1", node="g1", ready=False, status=status, container=wants(gpu="2"))
    [finding] = [cause for cause in judged(refused, gpu_node("g1", labels=labels)).causes]
    assert (finding.rule, finding.title) == (
        "shared-gpu-refused",
        f"llm-1 asks for 2 {GPU}, at most 1 where GPUs are shared",
    )
    assert any("nvidia.com/gpu.sharing-strategy=time-slicing" in line.text for line in finding.evidence)
    missing = {**status, "message": "Pod was rejected: Allocate failed due to no healthy devices present"}
    gone = pod("llm-1", node="g1", ready=False, container=wants(gpu="2"), status=missing)
    assert [cause.rule for cause in judged(gone, gpu_node("g1")).causes] == ["devices-refused"]


GROUP = "pod group is not ready, 2 Pending, 2 minAvailable; Pending: 1 Unschedulable, 1 Schedulable"


def gang(text: str = GROUP, *, pods: int = 2, name: str = "gang") -> list[Manifest]:
    return [waiting(text, name=f"{name}-{n}", owner=f"Job/{name}", container=wants(gpu="8")) for n in range(pods)]


@pytest.mark.parametrize(
    ("text", "taken", "fit"),
    [(GROUP, [8], "1"),
     (GROUP, [4, 4], "none"),
     (none_of(2, "pre-filter pod gang-0 cannot find enough sibling pods"), [], "all")],
    ids=["volcano", "only parts are left", "coscheduling"],
)  # fmt: skip
def test_a_gang_is_told_with_what_all_of_it_wants_and_how_many_of_it_fit(text: str, taken: list[int], fit: str) -> None:
    """Its scheduler places all or nothing: what one pod wants would fit."""
    helper = waiting(text, name="gang-2", owner="Job/gang")
    holders = [held(f"g{n}", gpus, f"train-{n}") for n, gpus in enumerate(taken, 1)]
    (cause,) = judged(*gang(text), helper, gpu_node("g1"), gpu_node("g2"), *holders).causes
    assert (cause.rule, cause.count) == ("unschedulable", 3)
    shown = [line.text for line in cause.evidence]
    assert f"2 pods of gang wait for 16 {GPU} in all: enough is free for {fit} of them" in shown
    assert any(line.startswith("g2: capacity 8, allocatable 8, allocated ") for line in shown)


def test_of_a_gang_whose_pods_want_different_amounts_it_is_not_said_how_many_fit() -> None:
    leader = waiting(GROUP, name="gang-9", owner="Job/gang", container=wants(gpu="1"))
    (cause,) = judged(*gang(), leader, gpu_node("g1"), gpu_node("g2")).causes
    assert f"3 pods of gang wait for 17 {GPU} in all" in [line.text for line in cause.evidence]


def test_what_is_free_for_gangs_is_worked_out_once_for_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    walks = 0
    taken: property = View.__dict__["taken"]

    def counted(view: View) -> list[Account]:
        nonlocal walks
        walks += 1
        found: list[Account] = taken.__get__(view)
        return found

    monkeypatch.setattr(View, "taken", property(counted))
    gangs = [member for number in range(5) for member in gang(pods=3, name=f"gang-{number}")]
    assert len(judged(*gangs, gpu_node("g1"), gpu_node("g2")).causes) == 5
    assert walks == 1


def test_a_device_claim_names_the_claims_and_says_what_is_not_known() -> None:
    spec = {"resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "one-gpu"},
                               {"name": "nic", "resourceClaimName": "shared-nic"}]}  # fmt: skip
    subject = waiting(none_of(1, "1 cannot allocate all claims"), spec=spec)
    found = first(subject, node())
    assert found is not None
    rule, fired = found
    assert (rule.id, fired.title) == ("device-claim", "has resource claims, and no driver publishes devices")
    assert "claim gpu: not made yet from template one-gpu" in texts(fired)
    assert "claim nic is shared-nic: there is none of that name" in texts(fired)
    assert render(fired.next[0], Target()) == "kubectl -n shop get resourceclaims shared-nic"
    assert "resource slices have not been read" not in texts(fired)


def test_a_device_claim_says_who_has_the_devices_and_counts_no_access_of_monitoring() -> None:
    spec = {"resourceClaims": [{"name": "gpu", "resourceClaimName": "llm-gpu"}]}
    subject = waiting(none_of(1, "1 cannot allocate all claims"), spec=spec)
    unmet: Manifest = {**resources.device_claim("llm-gpu", ""), "status": {}}
    looks = resources.device_claim("exporter", "dcgm-exporter-x", namespace="gpu-operator")
    given = looks["status"]["allocation"]["devices"]["results"][0]
    given |= {"device": "gpu-1", "adminAccess": True}
    found = first(subject, node(), resources.devices("gpu-1", 2), unmet, resources.device_claim(by="train-1"), looks)
    assert found is not None
    told = texts(found[1])
    assert "claim gpu is llm-gpu: no device has been given to it" in told
    assert "driver gpu.nvidia.com publishes 2 devices on 1 node" in told
    assert "claims have 1 of gpu.nvidia.com: 1 by shop/train-1" in told
    blind = first(subject, node(), missing={"resourceclaims": SourceState.FORBIDDEN})
    assert blind is not None and "who has its devices is not known" in texts(blind[1])
    assert set(blind[1].wants.split()) == {"resourceslices", "resourceclaims"}
