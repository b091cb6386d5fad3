"""What is said and offered about one broken link of a GPU node's chain: words, evidence, logs and commands."""

from collections.abc import Iterator
from typing import Final

from diagnosis.commands import fact, kubectl, on_node, pods_on
from diagnosis.gpu_status import WHICH_OPERAND
from situation.findings import Command, Evidence, Mark
from situation.gpu.components import DRIVER_MANAGER, PARTS
from situation.gpu.links import Component, Link, LinkState, NodeChain
from situation.meta import Ref
from situation.pods import ContainerStatus, Pod

_NO_LOG: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError",
     "RegistryUnavailable", "CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
)  # fmt: skip
"""The container never ran, so there is no log of it."""

TOLD_BY_LOG: Final = {
    DRIVER_MANAGER: "the old driver is in use, pods cannot be evicted, or the network driver (MOFED) is not there",
    "mofed-validation": "the network driver (MOFED) is not there",
    "nvidia-driver-ctr": "nouveau, headers or secure boot",
    "nvidia-container-toolkit-ctr": "the runtime's socket or configuration is elsewhere (k3s, RKE2)",
    "driver-validation": "no driver, no device nodes, or a module that does not load",
    "toolkit-validation": "nvidia-smi or a library of the driver is not brought into containers",
    "cuda-validation": "Fabric Manager, a busy GPU or none at all",
    "plugin-validation": "the node offers no GPU, or all are taken",
    "config-manager-init": "the plugin's ConfigMap has no such configuration",
    "nvidia-device-plugin": "NVML, the MPS daemon, or a container without the NVIDIA runtime",
    "gpu-feature-discovery": "NVML, or a container without the NVIDIA runtime",
    "nvidia-mig-manager": "a layout that the GPU cannot take, or clients that hold it",
    "nvidia-dcgm-ctr": "NVML, or a driver that was loaded later",
    "nvidia-dcgm-exporter": "no NVML, or a host engine that does not answer",
    "mps-control-daemon-ctr": "the MPS daemon or its pipe directory",
}
"""Container to what its log can show: all of it looks alike from outside (gpu_operator, failure signatures)."""


def title_of(link: Link, subject: Ref) -> str:
    """Return the words about a link of which no rule for pods of any kind says more."""
    name = PARTS[link.component].title
    if link.state is LinkState.ABSENT:
        has_set = link.owner is not None and link.owner.kind != "Node"
        return f"has no pod: {link.text}" if has_set else f"has no {name}: {link.text}"
    text = f"init container {link.text}" if link.container and link.text.startswith(link.container) else link.text
    return text if subject == link.owner else f"({name}) {text}"


def own_evidence(link: Link, chain: NodeChain) -> Evidence:
    """Return the state of the link itself as evidence."""
    since = f" since {link.since:%Y-%m-%d %H:%M:%S}" if link.since else ""
    source = "nodes" if link.pod is None else "pods"
    step = f", container {link.container}" if link.container else ""
    return fact(source, f"{PARTS[link.component].title} on {chain.node}: {link.state}, {link.text}{step}{since}")


def chain_evidence(link: Link, chain: NodeChain) -> Iterator[Evidence]:
    """Say where in the chain it stands: what is there before it, and what waits after it."""
    before, hosts, after = [], [], []
    for other in chain.links:
        if other.state is LinkState.READY and other.component in _before(link.component):
            before.append(PARTS[other.component].title)
        elif other.state is LinkState.PREINSTALLED and other.component in _before(link.component):
            hosts.append(PARTS[other.component].title)
        elif other.state is LinkState.WAITING and chain.cause_of(other) == link:
            after.append(PARTS[other.component].title)
    if before:
        yield fact("pods", f"on {chain.node} what it needs is there: {', '.join(before)}", Mark.EXCLUDES)
    if hosts:
        yield fact(
            "nodes", f"the host brings its own {' and '.join(hosts)}: no pod shows whether that works", Mark.OPEN
        )
    if after:
        yield fact("pods", f"on {chain.node} wait for it: {', '.join(after)}")


def _before(component: Component) -> frozenset[Component]:
    part = PARTS[component]
    direct = frozenset((*part.needs, *((part.labelled_by,) if part.labelled_by else ())))
    return direct.union(*map(_before, direct))


def has_no_log(link: Link, pod: Pod) -> bool:
    """Tell whether the link's container never ran in this pod, so that there is no log of it."""
    status = _status(link, pod)
    return status is None or (status.state.waiting is not None and status.state.waiting.reason in _NO_LOG)


def _status(link: Link, pod: Pod) -> ContainerStatus | None:
    statuses = pod.status.init_container_statuses + pod.status.container_statuses
    return next((status for status in statuses if status.name == link.container), None)


def ended_status(link: Link, pod: Pod) -> ContainerStatus | None:
    """Return the status whose last run's log is wanted; None where the present run's is: it goes on and waits."""
    status = _status(link, pod)
    waits = status is not None and status.state.running is not None and not link.text.startswith("crash")
    return None if waits else status


def commands_for(link: Link, subject: Ref, chain: NodeChain) -> tuple[Command, ...]:
    """Return what shows the link from outside, its pod's log aside."""
    operands = pods_on(chain.node, purpose=WHICH_OPERAND, namespace=subject.namespace or "gpu-operator")
    driver = chain.link(Component.DRIVER)
    if link.pod is not None and driver is not None and driver.state is LinkState.PREINSTALLED:
        return (_hosts_driver(chain.node), operands)
    if link.pod is not None:
        return (operands,)
    labels = kubectl("get", "node", chain.node, "--show-labels", purpose="which nvidia.com/gpu.deploy.* labels has it?")
    if subject.kind == "Node":
        return (labels, *((_hosts_driver(chain.node),) if link.component is Component.DRIVER else ()), operands)
    what = kubectl("describe", subject.kind.lower(), subject.name, purpose="what do its selector and events say?",
                   namespace=subject.namespace)  # fmt: skip
    return (labels, what, operands)


def _hosts_driver(node: str) -> Command:
    return on_node(node, "nvidia-smi", purpose="does the host's own driver answer?")
