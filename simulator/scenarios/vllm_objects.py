"""Objects of the vLLM incidents: model servers with all that a careful chart gives them, and what they answer."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from simulator.scenarios.gpu_objects import VLLM_IMAGE, deployment
from simulator.scenarios.gpu_story import GpuStory
from simulator.scenarios.story import Manifest, Story
from simulator.vllm import version_page
from tape.format import Frame, PageName

NAMESPACE: Final = "serving"
PORT: Final = 8000
CLAIM: Final = "model-cache"
REFUSED: Final = "connect: connection refused"
PATHS: Final = ("/metrics", "/health", "/version", "/v1/models")
_CACHE_PATH: Final = "/root/.cache/huggingface"
_VOLUMES: Final[list[Manifest]] = [
    {"name": "models", "persistentVolumeClaim": {"claimName": CLAIM}},
    {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}},
]
_MOUNTS: Final = [{"name": "models", "mountPath": _CACHE_PATH}, {"name": "shm", "mountPath": "/dev/shm"}]  # noqa: S108


class Model(NamedTuple):
    """What a Deployment serves, and with what."""

    name: str
    repository: str
    gpus: int = 1
    """Its tensor parallel size."""
    memory: str = "24Gi"
    max_model_len: int = 8192
    flags: tuple[str, ...] = ()
    startup_failures: int = 60
    """How often its startup probe may fail, at one every 10 s."""
    gpu_share: str = "0.90"
    """Of the GPU's memory that it may take."""


LLAMA_8B: Final = Model("llama-8b", "meta-llama/Llama-3.1-8B-Instruct")
LLAMA_70B: Final = Model("llama-70b", "meta-llama/Llama-3.1-70B-Instruct", 4, "64Gi", startup_failures=180)
MISTRAL_7B: Final = Model("mistral-7b", "mistralai/Mistral-7B-Instruct-v0.3")


def shared_storage(story: Story) -> Iterator[Manifest]:
    """The claim that all servers keep their models on, and what it is bound to."""
    modes, size = ["ReadWriteMany"], {"storage": "2Ti"}
    name = "pvc-3b0c8f52"
    yield story.manifest("StorageClass", "shared-files", provisioner="files.csi.example.com")
    spec = {"accessModes": modes, "storageClassName": "shared-files"}
    claim = {**spec, "resources": {"requests": size}, "volumeName": name}
    yield story.manifest("PersistentVolumeClaim", CLAIM, NAMESPACE, spec=claim, status={"phase": "Bound"})
    volume = {**spec, "capacity": size, "claimRef": {"namespace": NAMESPACE, "name": CLAIM}}
    yield story.manifest("PersistentVolume", name, spec=volume, status={"phase": "Bound"})


def model_servers(story: Story, model: Model, *pods: tuple[str, dict[str, Any]]) -> list[Manifest]:
    """A Deployment of vLLM with its pods, a Service, and a budget; of each pod: node, and what `story.pod_of` takes."""
    labels = {"app": model.name}
    vllm = {"image": VLLM_IMAGE, "container": "vllm", "memory": model.memory, "gpus": model.gpus}
    ports = [{"name": "http", "containerPort": PORT}]
    placed = [(node, {**vllm, "ports": ports, **own}) for node, own in pods]
    top, replicaset, *made = deployment(story, model.name, NAMESPACE, labels, placed)
    for pod in made:
        pod["spec"]["containers"][0] |= _container(model)
        pod["spec"]["volumes"] = _VOLUMES
    top["spec"]["template"]["spec"] = {"containers": made[0]["spec"]["containers"], "volumes": _VOLUMES}
    ready = [pod for pod in made if _is_ready(pod)]
    port = {"name": "http", "port": 80, "targetPort": PORT}
    service = {"selector": labels, "ports": [port], "clusterIP": "10.96.7.20"}
    counts = {"currentHealthy": len(ready), "desiredHealthy": 1, "expectedPods": len(made)}
    counts["disruptionsAllowed"] = max(0, len(ready) - 1)
    budget = {"minAvailable": 1, "selector": {"matchLabels": labels}}
    born = -min(pod.get("born", -604_800.0) for _, pod in pods)
    return [
        top,
        replicaset,
        *made,
        story.manifest("Service", model.name, NAMESPACE, born, spec=service),
        story.manifest(
            "EndpointSlice",
            f"{model.name}-b7kq2",
            NAMESPACE,
            born,
            labels={"kubernetes.io/service-name": model.name},
            endpoints=[_endpoint(pod) for pod in made if "podIP" in pod["status"]],
            ports=[{"name": "http", "port": PORT}],
        ),
        story.manifest("PodDisruptionBudget", model.name, NAMESPACE, born, spec=budget, status=counts),
    ]


def pods_of(made: list[Manifest]) -> list[Manifest]:
    """The pods among them."""
    return [item for item in made if item["kind"] == "Pod"]


def _container(model: Model) -> Manifest:
    def probe(path: str, period_s: int, failures: int) -> Manifest:
        get = {"path": path, "port": PORT, "scheme": "HTTP"}
        return {"httpGet": get, "periodSeconds": period_s, "timeoutSeconds": 5, "failureThreshold": failures}

    gpus = {"nvidia.com/gpu": str(model.gpus)}
    return {
        "args": [
            f"--model={model.repository}",
            f"--served-model-name={model.name}",
            f"--port={PORT}",
            f"--tensor-parallel-size={model.gpus}",
            f"--max-model-len={model.max_model_len}",
            f"--gpu-memory-utilization={model.gpu_share}",
            *model.flags,
        ],
        "resources": {
            "requests": {"cpu": "8", "memory": model.memory, **gpus},
            "limits": {"memory": model.memory, **gpus},
        },
        "startupProbe": probe("/health", 10, model.startup_failures),
        "livenessProbe": probe("/health", 10, 3),
        "readinessProbe": probe("/health", 5, 3),
        "volumeMounts": _MOUNTS,
    }


def _is_ready(pod: Manifest) -> bool:
    return bool(pod["status"]["conditions"][-1]["status"] == "True")


def _endpoint(pod: Manifest) -> Manifest:
    """As the controller writes it: a pod that is not ready stays in the slice, and gets no traffic."""
    is_ready = _is_ready(pod)
    return {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": is_ready, "serving": is_ready, "terminating": False},
        "targetRef": {"kind": "Pod", "namespace": NAMESPACE, "name": pod["metadata"]["name"]},
        "nodeName": pod["spec"]["nodeName"],
    }


def put_changed(story: GpuStory, t: float, made: list[Manifest]) -> None:
    """Put those that are not there yet, or not so."""
    story.put(t, *(item for item in made if not story.has(item)))


def says(story: GpuStory, t: float, pod: Manifest, path: str, text: str = "", status: int = 200) -> None:
    """What a server answers at a path from `t` on."""
    story.say(Frame(float(t), _page(pod, path), status=status, text=text))


def serves(story: GpuStory, t: float, pod: Manifest, model: Model) -> None:
    """All that a server answers from `t` on, but its metrics."""
    says(story, t, pod, "/health")
    says(story, t, pod, "/version", version_page())
    says(
        story, t, pod, "/v1/models",
        f'{{"object":"list","data":[{{"id":"{model.name}","object":"model","owned_by":"vllm","root":"{model.repository}",'
        f'"parent":null,"max_model_len":{model.max_model_len}}}]}}',
    )  # fmt: skip


def refuses(story: GpuStory, t: float, pod: Manifest) -> None:
    """Nobody listens from `t` on."""
    for path in PATHS:
        story.say(Frame(float(t), _page(pod, path), error=REFUSED))


def _page(pod: Manifest, path: str) -> str:
    return PageName(NAMESPACE, pod["metadata"]["name"], PORT, path).source
