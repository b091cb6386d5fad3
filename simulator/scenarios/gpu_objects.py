"""Objects of GPU incidents: nodes, Deployments, and the pods that the validator starts."""

from collections.abc import Iterator
from typing import Any, Final

from simulator.gpu_labels import gpu_node_labels
from simulator.gpu_operator import NAMESPACE, pod_name
from simulator.scenarios.story import WEEK_S, Manifest, Story, at, node_of, pod_of

VLLM_IMAGE: Final = "vllm/vllm-openai:v0.32.0"


def gpu_node(story: Story, name: str, gpus: int = 8, replicas: int = 1) -> Manifest:
    """A GPU node that is in order; `replicas` share each GPU."""
    node = node_of(story, name, gpus=gpus * replicas)
    node["metadata"]["labels"] |= gpu_node_labels(gpus, replicas)
    return node


def deployment(
    story: Story, name: str, namespace: str, labels: dict[str, str], pods: list[tuple[str, dict[str, Any]]]
) -> Iterator[Manifest]:
    """A Deployment, its ReplicaSet and its pods: node (empty for none) and what `story.pod_of` takes, for each."""
    replicaset = f"{name}-7d9f8b6c5"
    made = [placed_pod(story, pod_name(replicaset, str(number)), namespace, node, replicaset, labels, **over)
            for number, (node, over) in enumerate(pods)]  # fmt: skip
    ready = sum(pod["status"]["conditions"][-1]["status"] == "True" for pod in made)
    counts = {"replicas": len(made), "updatedReplicas": len(made), "observedGeneration": 1}
    status = {**counts, "readyReplicas": ready, "unavailableReplicas": len(made) - ready}
    selector = {"matchLabels": labels}
    template = {"metadata": {"labels": labels}, "spec": {"containers": made[0]["spec"]["containers"]}}
    born = -min(over.get("born", -WEEK_S) for _, over in pods)
    spec = {"replicas": len(made), "selector": selector, "template": template}
    top = story.manifest("Deployment", name, namespace, born, labels=labels, spec=spec, status=status)
    top["metadata"]["generation"] = 1
    yield top
    yield story.manifest(
        "ReplicaSet", replicaset, namespace, born, labels=labels, owner=f"Deployment/{name}", status=status,
        spec={"replicas": len(made), "selector": selector},
    )  # fmt: skip
    yield from made


def placed_pod(
    story: Story, name: str, namespace: str, node: str, replicaset: str, labels: dict[str, str], **over: Any
) -> Manifest:
    """A ReplicaSet's pod; without a node it is Pending with `message` from the scheduler."""
    pod = pod_of(story, name, namespace, node, labels=labels, owner=f"ReplicaSet/{replicaset}", **over)
    pod["spec"] |= over.get("spec", {})
    if not node:
        since = at(over["born"])
        said = {"reason": "Unschedulable", "message": over["message"], "lastTransitionTime": since}
        pod["status"] = {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "False", **said}]}
        del pod["spec"]["nodeName"]
    return pod


def cuda_validator(story: Story, node: str, state: Manifest | None = None, **over: Any) -> Manifest:
    """The pod that the validator starts to run a CUDA program on a node: Completed, or with `state` in its program."""
    since = over.get("since", -WEEK_S)
    labels = {"app": "nvidia-cuda-validator"}
    name = pod_name("nvidia-cuda-validator", node, over.get("salt", ""))
    ended = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": at(since), "finishedAt": at(since)}}
    image = "nvcr.io/nvidia/gpu-operator:v26.7.0"
    status = {"image": image, "ready": state is None, "restartCount": over.get("restarts", 0)}
    init = {"name": "cuda-validation", **status, "state": state or ended, "lastState": over.get("last", {})}
    main_state = ended if state is None else {"waiting": {"reason": "PodInitializing"}}
    main = {"name": "nvidia-cuda-validator", "image": image, "ready": False, "state": main_state}
    true = {"PodScheduled", "Initialized"} if state is None else {"PodScheduled"}
    reason = "PodCompleted" if state is None else ""
    conditions = [
        {"type": kind, "status": str(kind in true), "reason": reason, "lastTransitionTime": at(since)}
        for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    ]
    spec = {
        "nodeName": node,
        "restartPolicy": "OnFailure",
        "runtimeClassName": "nvidia",
        "initContainers": [{"name": "cuda-validation", "image": image}],
        "containers": [{"name": "nvidia-cuda-validator", "image": image}],
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
    }
    made = {
        "phase": "Succeeded" if state is None else "Pending",
        "conditions": conditions,
        "startTime": at(since),
        "initContainerStatuses": [init],
        "containerStatuses": [main],
    }
    owner = "ClusterPolicy/cluster-policy"
    return story.manifest("Pod", name, NAMESPACE, -since, labels=labels, owner=owner, spec=spec, status=made)


def crashes(
    name: str, pod: str, starts: float, run_s: float, until: float, first_end: float | None = None, code: int = 1
) -> Iterator[tuple[float, Manifest]]:
    """Yield time and `state`, `last`, `restarts` of a container that ends again and again, as the kubelet has it.

    Each run takes `run_s`, or the first until `first_end`, and ends with exit code `code`. The first restart comes at
    once; then the kubelet waits 10 s, and twice as long each time.
    """
    start, end, restarts, back_off = starts, starts + run_s if first_end is None else first_end, 0, 10
    while end <= until:
        ended = {
            "exitCode": code,
            "reason": "Error" if code else "Completed",
            "startedAt": at(start),
            "finishedAt": at(end),
        }
        last = {"terminated": ended}
        if restarts == 0:
            yield end, {"state": {"terminated": ended}, "last": {}, "restarts": 0}
            start = end + 1
        else:
            message = f"back-off {back_off}s restarting failed container={name} pod={pod}"
            waiting = {"reason": "CrashLoopBackOff", "message": message}
            yield end, {"state": {"waiting": waiting}, "last": last, "restarts": restarts}
            start = end + back_off
            back_off *= 2
        restarts, end = restarts + 1, start + run_s
        if start <= until:
            yield start, {"state": {"running": {"startedAt": at(start)}}, "last": last, "restarts": restarts}
