"""Incidents of the GPUs themselves: a MIG change that is stuck, a GPU that is lost, GPUs that too many share."""

from typing import Any, Final

from simulator.dcgm import gpu_uuid
from simulator.gpu_operator import DEPLOY, EXPORTER, GFD, MIG, NAMESPACE, PLUGIN, pod_name
from simulator.scenarios import gpu_logs
from simulator.scenarios.gpu_chain_incidents import (
    BAD,
    FAULT_AT,
    FULL,
    GOOD,
    LLAMA_70B,
    MISTRAL_7B,
    one_more,
    usual_cluster,
)
from simulator.scenarios.gpu_objects import crashes, gpu_node
from simulator.scenarios.gpu_story import GpuStory, gpu_cluster
from simulator.scenarios.story import WEEK_S
from simulator.scenarios.vllm_objects import NAMESPACE as SERVING
from simulator.scenarios.vllm_objects import Model, model_servers, pods_of, put_changed, shared_storage

STUCK_UNTIL: Final = 1510.0
LOST: Final = 0
"""Index of the GPU that is lost."""
LLAMA_8B: Final = Model("vllm-llama3-8b", "meta-llama/Llama-3.1-8B-Instruct")
LLAMA_8B_WIDE: Final = LLAMA_8B._replace(gpus=8)
"""On all GPUs of a node."""
EMBEDDER: Final = Model("embedder-bge", "BAAI/bge-m3", gpu_share="0.15", memory="16Gi")
RERANKER: Final = Model("reranker-bge", "BAAI/bge-reranker-v2-m3", gpu_share="0.15", memory="16Gi")
PHI_4: Final = Model("vllm-phi4", "microsoft/phi-4", gpu_share="0.45")
CLIENT: Final = f"{DEPLOY}client"


def mig_stuck() -> GpuStory:
    """The MIG manager stops the operands, and one does not go; a model server, too, holds the GPUs for good."""
    story = GpuStory()
    node = gpu_node(story, BAD)
    node["metadata"]["labels"][CLIENT] = "true"
    gpu_cluster(story, node, gpu_node(story, GOOD))
    story.put(0, *shared_storage(story), *model_servers(story, LLAMA_70B, (GOOD, {}), (GOOD, {})))
    story.put(0, *model_servers(story, LLAMA_8B_WIDE, (BAD, {"spec": {"nodeSelector": {CLIENT: "true"}}})))
    story.begin()
    story.node(FAULT_AT, BAD, {"nvidia.com/mig.config": "all-1g.10gb"})
    manager = story.get("Pod", pod_name(MIG.name, BAD), NAMESPACE)
    story.log(FAULT_AT + 2, manager, gpu_logs.MIG_WAITS, "nvidia-mig-manager")
    clients = (*(operand.deploy for operand in (PLUGIN, GFD, EXPORTER)), "dcgm", "client")
    paused = dict.fromkeys((f"{DEPLOY}{name}" for name in clients), "paused-for-mig-change")
    story.node(FAULT_AT + 2, BAD, {"nvidia.com/mig.config.state": "pending", **paused})
    for number, operand in enumerate((PLUGIN, GFD)):
        story.operand_gone(FAULT_AT + 4 + number, operand, BAD)
    exporter = story.get("Pod", pod_name(EXPORTER.name, BAD), NAMESPACE)
    leaving = {"deletionTimestamp": story.at(FAULT_AT + 32), "deletionGracePeriodSeconds": 30}
    story.put(FAULT_AT + 3, {**exporter, "metadata": {**exporter["metadata"], **leaving}})
    failed = _not_killed("nvidia-dcgm-exporter", exporter["metadata"]["uid"])
    for count, later in ((1, 60), (4, 300), (12, 1300)):
        story.event(FAULT_AT + later, exporter, "FailedKillPod", failed, count=count, first=FAULT_AT + 60)
    story.node(FAULT_AT + 5, BAD, gpus=(8, 0))
    story.node(FAULT_AT + 306, BAD, gpus=(0, 0))
    story.log(FAULT_AT + 310, manager, gpu_logs.MIG_GAVE_UP, "nvidia-mig-manager")
    one_more(story, STUCK_UNTIL - 60, LLAMA_70B, [GOOD, GOOD], FULL)
    return story


def _not_killed(container: str, pod_uid: str) -> str:
    """Return the kubelet's FailedKillPod for a pod whose process does not end.

    `pkg/kubelet/kubelet.go` (`error killing pod: %v`) over `container/sync_result.go` (`failed to %q for %q with %w:
    %q`, several in brackets): a container that is not killed in time, and then its sandbox, by the pod's uid.
    """
    late = '"rpc error: code = DeadlineExceeded desc = context deadline exceeded"'
    return (
        f'error killing pod: [failed to "KillContainer" for "{container}" with KillContainerError: {late}, '
        f'failed to "KillPodSandbox" for "{pod_uid}" with KillPodSandboxError: {late}]'
    )


def gpu_lost() -> GpuStory:
    """One of eight GPUs falls off the bus; its pod crashes, and a pod for the four that were free finds three."""
    story = GpuStory()
    usual_cluster(story, 4)
    story.begin()
    uuid = gpu_uuid(BAD, LOST)
    story.gpus(FAULT_AT, BAD, {LOST: {"xid": 79, "lost": True}})
    plugin = story.get("Pod", pod_name(PLUGIN.name, BAD), NAMESPACE)
    story.log(FAULT_AT + 1, plugin, gpu_logs.plugin_lost(uuid), "nvidia-device-plugin")
    story.node(FAULT_AT + 2, BAD, gpus=(8, 7))
    others: list[tuple[str, dict[str, Any]]] = [(BAD, {})] * 3
    victim = pods_of(model_servers(story, MISTRAL_7B, (BAD, {}), *others))[0]
    name = f"{victim['metadata']['name']}_{SERVING}({victim['metadata']['uid']})"
    for t, now in crashes("vllm", name, -WEEK_S, 12, 90, FAULT_AT + 3):
        made = model_servers(story, MISTRAL_7B, (BAD, now), *others)
        pod = pods_of(made)[0]
        devices = [{"resourceID": uuid, "health": "Unhealthy"}]
        pod["status"]["containerStatuses"][0]["allocatedResourcesStatus"] = [
            {"name": "nvidia.com/gpu", "resources": devices}
        ]
        put_changed(story, t, made)
        if "waiting" in now["state"]:
            story.event(t, pod, "BackOff", f"Back-off restarting failed container vllm in pod {name}", first=30)
    story.log(FAULT_AT + 3, victim, gpu_logs.VLLM_NO_GPU)
    one_more(story, 30, LLAMA_70B, [GOOD, GOOD], FULL)
    return story


def time_slicing() -> GpuStory:
    """Four pods may share a GPU, and nobody divides its memory: two more model servers are two too many."""
    story = GpuStory()
    gpu_cluster(story, gpu_node(story, BAD, gpus=2, replicas=4), gpu_node(story, GOOD, gpus=2, replicas=4))
    story.put(0, *shared_storage(story))
    for model, node, replicas in ((EMBEDDER, BAD, 3), (RERANKER, BAD, 3), (LLAMA_8B, GOOD, 2)):
        story.put(0, *model_servers(story, model, *[(node, {})] * replicas))
    story.gpus(0, BAD, {0: _memory(61_400, 0.71), 1: _memory(58_900, 0.66)})
    story.begin()
    story.gpus(FAULT_AT + 4, BAD, {0: _memory(80_870, 0.96), 1: _memory(80_120, 0.94)})
    born = {"born": FAULT_AT}
    running = (BAD, {**born, "since": FAULT_AT + 2})
    starting = {"state": {"running": {"startedAt": story.at(FAULT_AT + 2)}}, "since": FAULT_AT + 2}
    made = model_servers(story, PHI_4, (BAD, {**born, **starting}), running)
    victim, other = pods_of(made)
    story.put(FAULT_AT + 2, *made)
    story.log(FAULT_AT + 9, victim, gpu_logs.VLLM_OUT_OF_MEMORY)
    story.log(FAULT_AT + 9, other, gpu_logs.VLLM_SERVES)
    name = f"{victim['metadata']['name']}_{SERVING}({victim['metadata']['uid']})"
    for t, now in crashes("vllm", name, FAULT_AT + 2, 7, 90):
        made = model_servers(story, PHI_4, (BAD, {**born, **now, "since": FAULT_AT + 2}), running)
        put_changed(story, t, made)
        if "waiting" in now["state"]:
            message = f"Back-off restarting failed container vllm in pod {name}"
            story.event(t, pods_of(made)[0], "BackOff", message, first=FAULT_AT + 17)
    return story


def _memory(used_mib: int, utilization: float) -> dict[str, Any]:
    return {"memory_used_mib": used_mib, "utilization_ratio": utilization}
