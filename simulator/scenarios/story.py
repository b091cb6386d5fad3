"""What incidents written by hand are made of: objects with ages counted from the start, and frames in order."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from situation.kinds import BY_NAME, KINDS, kind_of
from tape.format import Frame, ListBody, WatchEvent
from tape.slim import slim_frames

Manifest = dict[str, Any]

STARTED_AT: Final = datetime(2026, 11, 23, 2, 30, 0, tzinfo=UTC)
WEEK_S: Final = 7 * 86400.0


class Story:
    """Collects frames; every object gets the next resource version."""

    def __init__(self) -> None:
        self._version = 40_000
        self._frames: list[Frame] = []

    def manifest(self, kind: str, name: str, namespace: str = "", age_s: float = WEEK_S, **fields: Any) -> Manifest:
        """An object; `labels` and `owner` (`Kind/name`) go into its metadata, the rest to the top."""
        metadata: Manifest = {
            "name": name,
            "uid": f"{kind.lower()}-{namespace}-{name}",
            "creationTimestamp": at(-age_s),
        }
        if namespace:
            metadata["namespace"] = namespace
        if labels := fields.pop("labels", None):
            metadata["labels"] = labels
        if owner := fields.pop("owner", None):
            owner_kind, _, owner_name = owner.partition("/")
            metadata["ownerReferences"] = [{"kind": owner_kind, "name": owner_name, "controller": True}]
        return {"kind": kind, "metadata": metadata, **fields}

    def at(self, t: float) -> datetime:
        """The time at `t`."""
        return at(t)

    def start(self, manifests: list[Manifest]) -> None:
        """The lists at t=0: every kind is there, empty or not; an optional one only if it has objects."""
        for kind in KINDS:
            items = [self._raw(item) for item in manifests if kind_name(item) == kind.name]
            if kind.optional and not items:
                continue
            self._frames.append(Frame(0.0, kind.source, list=ListBody(tuple(items), str(self._version))))

    def change(self, t: float, manifest: Manifest, event: str = "MODIFIED") -> None:
        """A watch event."""
        kind = BY_NAME[kind_name(manifest)]
        self._frames.append(Frame(t, kind.source, watch=WatchEvent(event, self._raw(manifest))))

    def say(self, frame: Frame) -> None:
        """Any other frame."""
        self._frames.append(frame)

    def frames(self) -> Iterator[Frame]:
        """All of it, slim, in order."""
        return slim_frames(sorted(self._frames, key=lambda frame: frame.t))

    def _raw(self, manifest: Manifest) -> msgspec.Raw:
        self._version += 1
        metadata = {**manifest["metadata"], "resourceVersion": str(self._version)}
        return msgspec.Raw(msgspec.json.encode({**manifest, "metadata": metadata}))


def at(t: float) -> datetime:
    """The time at `t`, in whole seconds as the API writes it."""
    return (STARTED_AT + timedelta(seconds=t)).replace(microsecond=0)


def kind_name(manifest: Manifest) -> str:
    kind = kind_of(manifest["kind"], manifest["metadata"].get("namespace", ""))
    if kind is None:
        raise ValueError(f"Midwatch does not read {manifest['kind']}")
    return kind.name


def node_of(
    story: Story, name: str, *, gpus: int = 0, is_control_plane: bool = False, runtime_down_at: float | None = None
) -> Manifest:
    """A node; not ready since its container runtime went down at `runtime_down_at`, if given."""
    resources = {"cpu": "64", "memory": "512Gi", "pods": "110"}
    labels = {"kubernetes.io/hostname": name}
    spec: Manifest = {}
    if is_control_plane:
        labels["node-role.kubernetes.io/control-plane"] = ""
        spec["taints"] = [{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}]
    if gpus:
        resources["nvidia.com/gpu"] = str(gpus)
        labels |= {"nvidia.com/gpu.present": "true", "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
    heartbeat = at(0 if runtime_down_at is None else runtime_down_at)
    conditions = [
        {"type": kind, "status": "False", "reason": f"KubeletHas{reason}", "lastHeartbeatTime": heartbeat}
        for kind, reason in (("MemoryPressure", "SufficientMemory"), ("DiskPressure", "NoDiskPressure"))
    ]
    ready: Manifest = {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastTransitionTime": at(-WEEK_S)}
    if runtime_down_at is not None:
        taints = [{"key": "node.kubernetes.io/not-ready", "effect": key} for key in ("NoSchedule", "NoExecute")]
        spec["taints"] = taints
        message = "[container runtime is down, PLEG is not healthy: pleg was last seen active 3m45s ago]"
        ready |= {"status": "False", "reason": "KubeletNotReady", "message": message}
        ready["lastTransitionTime"] = at(runtime_down_at)
    status = {
        "capacity": resources,
        "allocatable": resources,
        "conditions": [*conditions, {**ready, "lastHeartbeatTime": heartbeat}],
        "nodeInfo": {
            "kubeletVersion": "v1.36.2",
            "containerRuntimeVersion": "containerd://2.1.4",
            "kernelVersion": "6.8.0-60-generic",
            "osImage": "Ubuntu 24.04.2 LTS",
            "architecture": "amd64",
        },
    }
    return story.manifest("Node", name, labels=labels, spec=spec, status=status)


def lease_of(story: Story, name: str, namespace: str, holder: str, t: float) -> Manifest:
    """A lease renewed at `t`."""
    spec = {"holderIdentity": holder, "leaseDurationSeconds": 40 if namespace == "kube-node-lease" else 15}
    return story.manifest(
        "Lease", name, namespace, spec={**spec, "renewTime": STARTED_AT + timedelta(seconds=t, microseconds=1)}
    )


def pod_of(story: Story, name: str, namespace: str, node: str, **over: Any) -> Manifest:
    """A pod with one container, running and ready unless `state` (of the container) says otherwise.

    Also read: `gpus`, `memory`, `image`, `container`, `ports`, `last`, `restarts`, `since`, `born`, `phase`, `labels`,
    `owner`; `turned`, when its conditions became what they are, if not `since`.
    """
    born = over.get("born", -WEEK_S)
    gpus, state, since = over.get("gpus", 0), over.get("state"), over.get("since", -WEEK_S)
    image = over.get("image", "registry.example.com/app:1.4")
    limits = {"memory": over.get("memory", "2Gi")} | ({"nvidia.com/gpu": str(gpus)} if gpus else {})
    resources = {"limits": limits, "requests": limits}
    container = {"name": over.get("container", "app"), "image": image, "resources": resources}
    if ports := over.get("ports"):
        container["ports"] = ports
    is_ready = state is None and over.get("ready", True)
    conditions = [
        {
            "type": kind,
            "status": "True" if kind == "PodScheduled" or is_ready else "False",
            "lastTransitionTime": at(over.get("turned", since)),
        }
        for kind in ("PodScheduled", "ContainersReady", "Ready")
    ]
    container_status = {
        "name": container["name"],
        "image": image,
        "ready": is_ready,
        "started": state is None,
        "restartCount": over.get("restarts", 0),
        "state": state or {"running": {"startedAt": at(since)}},
        "lastState": over.get("last", {}),
    }
    status = {
        "phase": over.get("phase", "Running"),
        "conditions": conditions,
        "podIP": f"10.20.0.{sum(name.encode()) % 250}",
        "startTime": at(born),
        "containerStatuses": [container_status],
    }
    spec = {"nodeName": node, "containers": [container], "hostNetwork": over.get("host_network", False)}
    return story.manifest(
        "Pod", name, namespace, -born, spec=spec, status=status, labels=over.get("labels"), owner=over.get("owner")
    )


def workload_of(story: Story, name: str, namespace: str, nodes: tuple[str, ...], **over: Any) -> Iterator[Manifest]:
    """A Deployment, its ReplicaSet and pods, a Service and its EndpointSlice."""
    labels, replicaset = {"app": name}, f"{name}-7d9f8b6c5"
    selector = {"matchLabels": labels}
    pods = [
        pod_of(
            story,
            f"{replicaset}-{index}x{name[0]}k",
            namespace,
            node,
            labels=labels,
            owner=f"ReplicaSet/{replicaset}",
            **over,
        )
        for index, node in enumerate(nodes)
    ]
    ready = 0 if over.get("state") else len(pods)
    status = {"replicas": len(pods), "updatedReplicas": len(pods), "readyReplicas": ready, "observedGeneration": 1}
    template = {"metadata": {"labels": labels}, "spec": {"containers": pods[0]["spec"]["containers"]}}
    spec = {"replicas": len(pods), "selector": selector, "template": template}
    deployment = story.manifest("Deployment", name, namespace, labels=labels, spec=spec, status=status)
    deployment["metadata"]["generation"] = 1
    yield deployment
    replicaset_spec = {"replicas": len(pods), "selector": selector}
    yield story.manifest(
        "ReplicaSet",
        replicaset,
        namespace,
        spec=replicaset_spec,
        status=status,
        labels=labels,
        owner=f"Deployment/{name}",
    )
    yield from pods
    port = {"name": "http", "port": 80, "targetPort": 8000}
    yield story.manifest(
        "Service", name, namespace, spec={"selector": labels, "ports": [port], "clusterIP": "10.96.4.2"}
    )
    yield story.manifest(
        "EndpointSlice",
        f"{name}-b7kq2",
        namespace,
        labels={"kubernetes.io/service-name": name},
        endpoints=[_endpoint(pod, ready=bool(ready)) for pod in pods],
        ports=[{"name": "http", "port": 8000}],
    )


def _endpoint(pod: Manifest, *, ready: bool) -> Manifest:
    target = {"kind": "Pod", "namespace": pod["metadata"]["namespace"], "name": pod["metadata"]["name"]}
    node = pod["spec"]["nodeName"]
    return {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {"ready": ready},
        "targetRef": target,
        "nodeName": node,
    }


def event_of(story: Story, about: Manifest, reason: str, message: str, t: float, **over: Any) -> Manifest:
    """An event about an object, last seen at `t`; `type`, `count`, `first` and `component` as given.

    A second one of the same reason about the object needs a `name`.
    """
    metadata = about["metadata"]
    namespace = metadata.get("namespace", "default")
    involved = {"kind": about["kind"], "namespace": metadata.get("namespace", ""), "name": metadata["name"]}
    return story.manifest(
        "Event",
        f"{metadata['name']}.{over.get('name', reason.lower())}",
        namespace,
        -t,
        involvedObject={**involved, "uid": metadata["uid"]},
        type=over.get("type", "Warning"),
        reason=reason,
        message=message,
        count=over.get("count", 1),
        firstTimestamp=at(over.get("first", t)),
        lastTimestamp=at(t),
        source={"component": over.get("component", "kubelet")},
    )
