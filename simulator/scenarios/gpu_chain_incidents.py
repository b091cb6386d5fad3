"""Incidents of the GPU Operator's chain: toolkit, device plugin, Fabric Manager, node feature discovery."""

from typing import Any, Final

from simulator.gpu_operator import (
    DEPLOY,
    DRIVER,
    EXPORTER,
    GFD,
    HEALTHY,
    MIG,
    NAMESPACE,
    PLUGIN,
    TOOLKIT,
    VALIDATOR,
    Operand,
    Step,
    pod_name,
)
from simulator.scenarios import gpu_logs
from simulator.scenarios.gpu_objects import crashes, cuda_validator, deployment, gpu_node
from simulator.scenarios.gpu_story import GpuStory, gpu_cluster
from simulator.scenarios.story import Manifest, node_of
from simulator.scenarios.vllm_objects import NAMESPACE as SERVING
from simulator.scenarios.vllm_objects import Model, model_servers, pods_of, put_changed, shared_storage

BAD: Final = "gpu-1"
"""The node that breaks."""
GOOD: Final = "gpu-2"
"""One that stays well."""
LLAMA_70B: Final = Model(
    "vllm-llama3-70b", "meta-llama/Llama-3.1-70B-Instruct", gpus=4, memory="64Gi", startup_failures=180
)
MISTRAL_7B: Final = Model("vllm-mistral-7b", "mistralai/Mistral-7B-Instruct-v0.3")
MIXTRAL: Final = Model(
    "vllm-mixtral-8x22b", "neuralmagic/Mixtral-8x22B-Instruct-v0.1-FP8", gpus=4, memory="96Gi", startup_failures=180
)
TRAINING_IMAGE: Final = "nvcr.io/nvidia/pytorch:25.08-py3"
FAULT_AT: Final = 10.0
FABRIC_UNTIL: Final = 155.0
"""Both programs that need Fabric Manager wait for their next try then."""
USERS: Final = (VALIDATOR, PLUGIN, GFD, EXPORTER, MIG)
"""Operands that need the toolkit's runtime."""
NEW: Final = "new"
"""Tells the second pod of an operand on a node from the first."""
NO_RUNTIME: Final = (
    "Failed to create pod sandbox: rpc error: code = Unknown desc = unable to get OCI runtime for sandbox "
    '"5b1f0c9ad7e2": no runtime for "nvidia" is configured'
)
FULL: Final = (
    "0/4 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, "
    "3 Insufficient nvidia.com/gpu. preemption: 0/4 nodes are available: 1 No preemption victims found for incoming "
    "pod, 3 Preemption is not helpful for scheduling."
)


def usual_cluster(story: GpuStory, small: int = 2) -> None:
    """Two GPU nodes; one model's servers fill the good one, `small` pods of another use a GPU each on the bad one."""
    gpu_cluster(story, gpu_node(story, BAD), gpu_node(story, GOOD))
    story.put(0, *shared_storage(story))
    well = [(LLAMA_70B, GOOD, 2), *([(MISTRAL_7B, BAD, small)] if small else [])]
    for model, node, replicas in well:
        made = model_servers(story, model, *[(node, {})] * replicas)
        story.put(0, *made)
        for pod in pods_of(made):
            story.log(0, pod, gpu_logs.VLLM_SERVES)
    for node in (BAD, GOOD):
        plugin = story.get("Pod", pod_name(PLUGIN.name, node), NAMESPACE)
        story.log(0, plugin, gpu_logs.PLUGIN_SERVES, "nvidia-device-plugin")


def crash_loop(story: GpuStory, operand: Operand, starts: float, run_s: float, until: float, **step: Any) -> None:
    """An operand's main container on the bad node ends again and again; its pod is the second one there."""
    name = pod_name(operand.name, BAD, NEW)
    full = f"{name}_{NAMESPACE}(pod-{NAMESPACE}-{name})"
    back_offs = 0
    for t, now in crashes(operand.containers[0], full, starts, run_s, until):
        pod = story.operand(t, operand, BAD, Step(since=FAULT_AT + 1, born=FAULT_AT + 1, **now, **step), NEW)
        if "waiting" in now["state"]:
            back_offs += 1
            message = f"Back-off restarting failed container {operand.containers[0]} in pod {full}"
            story.event(t, pod, "BackOff", message, count=back_offs, first=starts + run_s)


def replace(story: GpuStory, operand: Operand, t: float, step: Step) -> Manifest:
    """Delete an operand's pod on the bad node; its successor comes a second later."""
    story.operand_gone(t, operand, BAD)
    daemonset = story.get("DaemonSet", operand.name, NAMESPACE)
    name = pod_name(operand.name, BAD, NEW)
    pod = story.operand(t + 1, operand, BAD, step, NEW)
    about = {"type": "Normal", "component": "daemonset-controller"}
    story.event(t + 1, daemonset, "SuccessfulCreate", f"Created pod: {name}", **about)
    return pod


def one_more(story: GpuStory, t: float, model: Model, present: list[str], message: str) -> None:
    """A model's Deployment, whose pods are on these nodes, gets one more pod, for which there is no GPU."""
    pods: list[tuple[str, dict[str, Any]]] = [(node, {}) for node in present]
    made = model_servers(story, model, *pods, ("", {"born": t, "message": message}))
    put_changed(story, t, made)
    story.event(t, pods_of(made)[-1], "FailedScheduling", message, component="default-scheduler")


def toolkit() -> GpuStory:
    """The toolkit's new pod looks for containerd's socket where it is not; the old one took its runtime away."""
    story = GpuStory()
    usual_cluster(story)
    story.begin()
    born: dict[str, Any] = {"born": FAULT_AT + 1, "since": FAULT_AT + 1}
    toolkit_pod = replace(story, TOOLKIT, FAULT_AT, Step(done=0, **born))
    story.operand(FAULT_AT + 3, TOOLKIT, BAD, Step(state={"running": {"startedAt": story.at(13)}}, **born), NEW)
    crash_loop(story, TOOLKIT, 13, 25, 160)
    story.log(38, toolkit_pod, gpu_logs.TOOLKIT, "nvidia-container-toolkit-ctr")
    for number, operand in enumerate(USERS):
        t = FAULT_AT + 4 + 2 * number
        pod = replace(story, operand, t, Step(done=0, has_sandbox=False, since=t + 1, born=t + 1))
        for count, later in ((1, 2), (4, 40), (8, 85), (12, 130)):
            story.event(t + later, pod, "FailedCreatePodSandBox", NO_RUNTIME, count=count, first=t + 2)
    story.node(18, BAD, gpus=(8, 0))
    one_more(story, 60, MISTRAL_7B, [BAD, BAD], FULL)
    return story


def device_plugin() -> GpuStory:
    """The device plugin's new pod cannot start NVML; its GPUs are not offered any more."""
    story = GpuStory()
    usual_cluster(story)
    story.begin()
    pod = replace(story, PLUGIN, FAULT_AT, Step(done=0, since=FAULT_AT + 1, born=FAULT_AT + 1))
    story.node(FAULT_AT + 1, BAD, gpus=(8, 0))
    crash_loop(story, PLUGIN, 13, 1, 150)
    story.log(14, pod, gpu_logs.PLUGIN_NO_NVML, "nvidia-device-plugin")
    one_more(story, 30, MISTRAL_7B, [BAD, BAD], FULL)
    return story


def fabric_manager() -> GpuStory:
    """The driver of a node with NVSwitches was replaced; its Fabric Manager does not run, so no CUDA program does."""
    story = GpuStory()
    usual_cluster(story, small=0)
    story.begin()
    new: dict[str, Any] = {"born": FAULT_AT + 1}
    replace(story, DRIVER, FAULT_AT, Step(done=0, since=FAULT_AT + 1, **new))
    operands = (TOOLKIT, *USERS)
    paused = {f"{DEPLOY}{operand.deploy}": "paused-for-driver-upgrade" for operand in operands}
    story.node(12, BAD, paused)
    for operand in operands:
        story.operand_gone(13, operand, BAD)
    story.remove(13, story.get("Pod", pod_name("nvidia-cuda-validator", BAD), NAMESPACE))
    story.node(14, BAD, gpus=(8, 0))
    story.node(18, BAD, dict.fromkeys(paused, "true"))
    starting = {"startedAt": story.at(18)}
    story.operand(18, DRIVER, BAD, Step(state={"running": starting}, since=18, **new), NEW)
    story.operand(19, TOOLKIT, BAD, Step(done=0, since=19, born=19), NEW)
    for operand in USERS:
        story.operand(19, operand, BAD, Step(done=0, has_sandbox=False, since=19, born=19), NEW)
    driver = story.operand(45, DRIVER, BAD, HEALTHY._replace(since=45, **new), NEW)
    story.log(45, driver, gpu_logs.DRIVER_NO_FABRIC, "nvidia-driver-ctr")
    story.operand(47, TOOLKIT, BAD, Step(since=47, born=19), NEW)
    story.operand(48, VALIDATOR, BAD, Step(done=0, since=48, born=19), NEW)
    story.operand(50, VALIDATOR, BAD, Step(done=1, since=48, born=19), NEW)
    validator = story.operand(51, VALIDATOR, BAD, Step(done=2, since=48, born=19), NEW)
    for operand in USERS[1:]:
        story.operand(53, operand, BAD, Step(since=53, born=19), NEW)
    story.node(54, BAD, gpus=(8, 8))
    story.log(60, validator, gpu_logs.CUDA_WAITS, "cuda-validation")
    _cuda_fails(story, 52, FABRIC_UNTIL)
    _server_fails(story, 70, FABRIC_UNTIL)
    return story


def _cuda_fails(story: GpuStory, starts: float, until: float) -> None:
    salt: dict[str, Any] = {"salt": NEW, "since": starts - 1}
    name = pod_name("nvidia-cuda-validator", BAD, NEW)
    full = f"{name}_{NAMESPACE}(pod-{NAMESPACE}-{name})"
    pod = cuda_validator(story, BAD, {"running": {"startedAt": story.at(starts)}}, **salt)
    story.put(starts - 1, pod)
    story.log(starts, pod, gpu_logs.CUDA, "cuda-validation")
    for t, now in crashes("cuda-validation", full, starts, 1, until):
        story.put(t, cuda_validator(story, BAD, **now, **salt))
        if "waiting" in now["state"]:
            message = f"Back-off restarting failed container cuda-validation in pod {full}"
            story.event(t, pod, "BackOff", message, first=starts + 2)


def _server_fails(story: GpuStory, born: float, until: float) -> None:
    common = {"since": born + 2, "born": born}
    starting = (BAD, {"state": {"running": {"startedAt": story.at(born + 2)}}, **common})
    made = model_servers(story, MIXTRAL, starting, starting)
    story.put(born + 2, *made)
    pods = pods_of(made)
    for pod in pods:
        story.log(born + 14, pod, gpu_logs.VLLM_NO_FABRIC)
    names = [f"{pod['metadata']['name']}_{SERVING}({pod['metadata']['uid']})" for pod in pods]
    runs = [crashes("vllm", name, born + 2, 12, until) for name in names]
    for steps in zip(*runs, strict=True):
        put_changed(story, steps[0][0], model_servers(story, MIXTRAL, *((BAD, {**now, **common}) for _, now in steps)))


UNSEEN_FROM: Final = FAULT_AT + 300
"""When the node of `nfd_down` has had the five minutes in which a new node is discovered."""


def nfd_down() -> GpuStory:
    """A new GPU node has a taint that the NFD worker does not tolerate: nobody sees its GPUs."""
    story = GpuStory()
    usual_cluster(story)
    story.begin()
    node = node_of(story, "gpu-3")
    node["metadata"]["labels"] |= {
        "node.kubernetes.io/instance-type": "p5.48xlarge",
        "workload": "training",
    }
    node["metadata"]["creationTimestamp"] = story.at(FAULT_AT)
    node["spec"]["taints"] = [{"key": "workload", "value": "training", "effect": "NoSchedule"}]
    node["status"]["conditions"][-1] |= {"lastTransitionTime": story.at(FAULT_AT)}
    for condition in node["status"]["conditions"]:
        condition["lastHeartbeatTime"] = story.at(FAULT_AT)
    story.put(FAULT_AT, node)
    story.event(FAULT_AT, node, "NodeReady", "Node gpu-3 status is now: NodeReady", type="Normal")
    message = (
        "0/5 nodes are available: 1 Insufficient nvidia.com/gpu, 4 node(s) didn't match Pod's node affinity/selector. "
        "preemption: 0/5 nodes are available: 5 Preemption is not helpful for scheduling."
    )
    toleration = {"key": "workload", "operator": "Equal", "value": "training", "effect": "NoSchedule"}
    spec = {"nodeSelector": {"workload": "training"}, "tolerations": [toleration]}
    name, t = "finetune-llama3", 40
    training = {"image": TRAINING_IMAGE, "container": "train", "memory": "64Gi", "gpus": 8, "spec": spec}
    pending = ("", {"born": t, "message": message, **training})
    *_, pod = made = list(deployment(story, name, SERVING, {"app": name}, [pending]))
    story.put(t, *made)
    story.event(t, pod, "FailedScheduling", message, component="default-scheduler")
    return story
