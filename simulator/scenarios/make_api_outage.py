"""Makes the tape `api_outage`: `python -m simulator.scenarios.make_api_outage`.

A GPU cluster of eight nodes. One image is missing from the start. At t=20 s the API server goes away; at t=80 s it is
back. Meanwhile a model server was killed for its memory, the leading controller manager lost its lease and restarted,
and the container runtime of a GPU node died.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from simulator.scenarios.story import (
    STARTED_AT,
    WEEK_S,
    Manifest,
    Story,
    at,
    event_of,
    lease_of,
    node_of,
    pod_of,
    workload_of,
)
from tape.format import LOGS_SOURCE, READYZ_SOURCE, SERVER_SOURCE, TAPE_VERSION, VERSION_SOURCE, Frame, Header
from tape.writer import write_tape

DOWN_AT: Final = 20.0
UP_AT: Final = 80.0
END: Final = 110.0
RENEW_EVERY_S: Final = 5.0
MISSING_IMAGE: Final = "registry.example.com/reports:2.0"
CONTROL_PLANE: Final = ("cp-1", "cp-2", "cp-3")
GPU_NODES: Final = ("gpu-1", "gpu-2", "gpu-3", "gpu-4")
NODES: Final = (*CONTROL_PLANE, *GPU_NODES, "cpu-1")
VLLM: Final[Manifest] = {"image": "vllm/vllm-openai:v0.32.0", "container": "vllm", "memory": "64Gi"}
MODEL_LOG: Final = (
    "INFO: loading weights, 1 of 1 GPUs\nINFO: CPU offload buffer: 48 GiB\nINFO: Application startup complete.\n"
    "INFO: running 41 requests, waiting 7\nINFO: CPU offload buffer grows to 62 GiB\n"
)
"""Ends in the middle: a process that is killed for its memory has no last word."""
LEADERS: Final = {"kube-controller-manager": "cp-1", "kube-scheduler": "cp-2"}
CHECKS: Final = ("ping", "log", "etcd", "informer-sync", "poststarthook/rbac/bootstrap-roles", "shutdown")


def _leases(story: Story, t: float) -> Iterator[Manifest]:
    for name, leader in LEADERS.items():
        yield lease_of(story, name, "kube-system", f"{leader if t < DOWN_AT else 'cp-3'}_{name}", t)
    for node in CONTROL_PLANE:
        yield lease_of(story, f"apiserver-{node}", "kube-system", f"apiserver-{node}", t)
    for node in NODES:
        yield lease_of(story, node, "kube-node-lease", node, t)


def _control_plane(story: Story) -> Iterator[Manifest]:
    for node in CONTROL_PLANE:
        for name in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"):
            yield control_plane_pod(story, name, node)
    labels = {"k8s-app": "kube-dns"}
    for index, node in enumerate(("cp-1", "cpu-1")):
        yield pod_of(story, f"coredns-{index}", "kube-system", node, labels=labels, container="coredns")


def control_plane_pod(story: Story, name: str, node: str, **over: Any) -> Manifest:
    labels = {"component": name, "tier": "control-plane"}
    owner = f"Node/{node}"
    image = f"registry.k8s.io/{name}:v1.36.2"
    return pod_of(
        story,
        f"{name}-{node}",
        "kube-system",
        node,
        labels=labels,
        owner=owner,
        container=name,
        image=image,
        host_network=True,
        **over,
    )


def _gpus(node: str) -> int:
    return 8 if node in GPU_NODES else 0


def cluster_before(story: Story) -> list[Manifest]:
    webhook = {
        "name": "check.policy.example.com",
        "clientConfig": {"service": {"name": "policy", "namespace": "platform"}},
    }
    found = [
        story.manifest("Namespace", name, status={"phase": "Active"})
        for name in ("kube-system", "serving", "shop", "platform")
    ]
    found += [node_of(story, name, gpus=_gpus(name), is_control_plane=name in CONTROL_PLANE) for name in NODES]
    found += _leases(story, 0)
    found += _control_plane(story)
    found.append(
        story.manifest(
            "StorageClass", "fast-nvme", provisioner="csi.example.com", volumeBindingMode="WaitForFirstConsumer"
        )
    )
    found.append(
        story.manifest("ValidatingWebhookConfiguration", "policy", webhooks=[{**webhook, "failurePolicy": "Ignore"}])
    )
    found += workload_of(story, "policy", "platform", ("cpu-1",))
    found += workload_of(story, "storefront", "shop", ("cpu-1", "cpu-1"))
    found += workload_of(story, "vllm-llama3-70b", "serving", ("gpu-1", "gpu-3"), gpus=8, **VLLM)
    found += workload_of(story, "vllm-mistral-7b", "serving", ("gpu-2", "gpu-4"), gpus=1, **VLLM)
    return found


def _reports(story: Story) -> list[Manifest]:
    """A Deployment whose image is missing since half an hour: a cause that stands while nothing is heard."""
    back_off = {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{MISSING_IMAGE}"'}
    over: Manifest = {"state": {"waiting": back_off}, "phase": "Pending", "image": MISSING_IMAGE}
    made = list(workload_of(story, "reports", "shop", ("cpu-1",), **over))
    pod = next(item for item in made if item["kind"] == "Pod")
    message = f'Failed to pull image "{MISSING_IMAGE}": code = NotFound desc = failed to resolve reference: not found'
    return [*made, event_of(story, pod, "Failed", message, -60, count=14, first=-1800)]


def _while_it_was_gone(story: Story, before: list[Manifest]) -> None:
    """What the API server learns in the first seconds after it came back."""
    killed = {"terminated": {"exitCode": 137, "reason": "OOMKilled", "startedAt": at(-WEEK_S), "finishedAt": at(44)}}
    waiting = {"reason": "CrashLoopBackOff", "message": "back-off 20s restarting failed container=vllm"}
    victim = next(item for item in before if item["kind"] == "Pod" and item["spec"]["nodeName"] == "gpu-2")
    model = {**VLLM, "gpus": 1, "labels": {"app": "vllm-mistral-7b"}}
    owner = "ReplicaSet/vllm-mistral-7b-7d9f8b6c5"
    name = victim["metadata"]["name"]
    crashed = pod_of(
        story,
        name,
        "serving",
        "gpu-2",
        state={"waiting": waiting},
        last=killed,
        restarts=2,
        since=44,
        owner=owner,
        **model,
    )
    story.change(UP_AT + 1.2, crashed)
    story.change(
        UP_AT + 1.4,
        event_of(story, crashed, "BackOff", "Back-off restarting failed container vllm", UP_AT, count=3),
        "ADDED",
    )
    lost = {"terminated": {"exitCode": 1, "reason": "Error", "startedAt": at(-WEEK_S), "finishedAt": at(31)}}
    for component, node in LEADERS.items():
        story.change(UP_AT + 1.6, control_plane_pod(story, component, node, last=lost, restarts=1, since=32))
    broken = node_of(story, "gpu-3", gpus=8, runtime_down_at=UP_AT + 2)
    story.change(UP_AT + 2.1, broken)
    not_ready = event_of(story, broken, "NodeNotReady", "Node gpu-3 status is now: NodeNotReady", UP_AT + 2)
    story.change(UP_AT + 2.3, not_ready, "ADDED")
    for item in before:
        if item["kind"] == "Pod" and item["spec"]["nodeName"] == "gpu-3":
            metadata, status = item["metadata"], item["status"]
            conditions = [
                {**condition, "status": "False", "lastTransitionTime": at(UP_AT + 2)}
                if condition["type"] == "Ready"
                else condition
                for condition in status["conditions"]
            ]
            story.change(UP_AT + 2.6, {**item, "metadata": metadata, "status": {**status, "conditions": conditions}})
    _lose_endpoints(story, before)


def _lose_endpoints(story: Story, before: list[Manifest]) -> None:
    gone = {"gpu-2", "gpu-3"}
    for item in before:
        if item["kind"] == "EndpointSlice" and item["metadata"]["namespace"] == "serving":
            endpoints = [
                {**endpoint, "conditions": {"ready": endpoint["nodeName"] not in gone}}
                for endpoint in item["endpoints"]
            ]
            story.change(UP_AT + 3, {**item, "endpoints": endpoints})


def frames() -> Iterator[Frame]:
    """Tell the whole story."""
    story = Story()
    ready = "".join(f"[+]{check} ok\n" for check in CHECKS)
    story.say(Frame(0.0, VERSION_SOURCE, body={"major": "1", "minor": "36", "gitVersion": "v1.36.2"}))
    story.say(Frame(0.0, READYZ_SOURCE, status=200, text=f"{ready}readyz check passed\n"))
    before = [*cluster_before(story), *_reports(story)]
    story.start(before)
    story.say(Frame(0.0, LOGS_SOURCE, text=MODEL_LOG, pod="serving/vllm-mistral-7b-7d9f8b6c5-0xvk"))
    t = RENEW_EVERY_S
    while t <= END:
        if not DOWN_AT <= t < UP_AT:
            for lease in _leases(story, t):
                story.change(t, lease)
        t += RENEW_EVERY_S
    story.say(Frame(DOWN_AT, SERVER_SOURCE, down=True))
    story.say(Frame(UP_AT, SERVER_SOURCE, down=False))
    starting = ready.replace("[+]informer-sync ok", "[-]informer-sync failed: reason withheld")
    story.say(Frame(UP_AT, READYZ_SOURCE, status=500, text=f"{starting}readyz check failed\n"))
    story.say(Frame(UP_AT + 4, READYZ_SOURCE, status=200, text=f"{ready}readyz check passed\n"))
    _while_it_was_gone(story, before)
    return story.frames()


def main() -> int:
    """Write the tape beside this file."""
    header = Header(
        TAPE_VERSION,
        name="api_outage",
        title="The API server goes away for a minute; a model server and a GPU node break meanwhile",
        started_at=STARTED_AT,
        start_at=8.0,
        context="serving-prod",
        server="v1.36.2",
    )
    write_tape(Path(__file__).parent / "api_outage.jsonl.gz", header, frames())
    return 0


if __name__ == "__main__":
    sys.exit(main())
