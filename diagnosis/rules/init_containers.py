"""Layer 1: init containers that crash, or wait for something that does not come (L1-20)."""

from datetime import datetime
from typing import Final

from diagnosis.commands import counted, fact
from diagnosis.container_facts import agent_layer, crash_loops, describe, exit_text, logs
from diagnosis.gpu_causes import needed_sets
from diagnosis.pod_verdict import fired, run_evidence
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule, wait_until
from situation.clock import duration_text
from situation.crashes import Loop, in_service, started_pairs
from situation.findings import Evidence, Layer, Mark, Severity
from situation.meta import Ref
from situation.pods import Container, ContainerStatus, Pod
from situation.situation import Situation

WAIT_S: Final = 300.0
"""An init container may take this long: migrations, downloads. Ours: the catalogue gives no number (L1-20)."""

_DOWNLOADS_MODEL: Final = "storage-initializer"
"""KServe's init container (pkg/constants, StorageInitializerContainerName); a custom one has it in its image's name."""

CLUSTER_DNS: Final = Ref("Service", "kube-system", "kube-dns")


@rule(
    "init-crash",
    signature="L1-20",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="state and lastState of init containers, by the same measure as crash-loop.",
    look_alikes={
        "init-waiting": "there the init container runs and has not restarted",
        "oom-killed": "its last end has reason OOMKilled",
    },
)
def init_crash(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """An init container crashes, so the pod's own containers never start."""
    for loop in crash_loops(pod, now)[0]:
        if loop.init:
            return _crash(loop, pod, situation, now)
    return CLEAR


def _crash(loop: Loop, pod: Pod, situation: Situation, now: datetime) -> Fired:
    name = loop.container.name
    title = f"init container {name} crashes: {exit_text(loop.end)}"
    if loop.status.restart_count:
        title += f", {counted(loop.status.restart_count, 'restart')}"
    commands = (logs(pod, name, loop.status, "why did it end?"), describe(pod, "what do the events say?"))
    return fired(pod, situation, now, title, run_evidence(loop, pod, situation), commands)


def _running_init(pod: Pod) -> tuple[Container, ContainerStatus] | None:
    if in_service(pod):
        for container, status, init in started_pairs(pod):
            if init and status.state.running is not None:
                return container, status
    return None


@rule(
    "init-waiting",
    signature="L1-20",
    layer=Layer.APPLICATION,
    severity=Severity.WARNING,
    kind="Pod",
    needs=("pods",),
    looks_at="Init containers that run: for how long (5 minutes), and their restarts.",
    look_alikes={
        "init-crash": "there the init container ends again and again",
        "KServe's storage-initializer": "it waits for nothing: it downloads the model, and is told of as that",
        "gpu-link-waits": "a GPU operand waits for one before it: judged by its node's chain",
        "cluster DNS down": "an init container that waits for a name: then the finding follows the DNS service",
    },
)
def init_waiting(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """An init container runs on and on: what it waits for does not come, or the model that it downloads is large."""
    found = _running_init(pod)
    if found is None:
        return CLEAR
    container, status = found
    since = status.state.running.started_at if status.state.running else None
    if wait := wait_until(since, WAIT_S, now):
        return wait
    return _waits(container, status, pod, situation, now)


def _waits(container: Container, status: ContainerStatus, pod: Pod, situation: Situation, now: datetime) -> Fired:
    since = status.state.running.started_at if status.state.running else None
    age = duration_text((now - since).total_seconds()) if since else "an unknown time"
    number = [item.name for item in pod.spec.init_containers].index(container.name)
    evidence: list[Evidence] = [
        fact(
            "pods", f"init container {container.name} ({number + 1} of {len(pod.spec.init_containers)}) runs for {age}"
        ),
    ]
    downloads = container.name == _DOWNLOADS_MODEL or _DOWNLOADS_MODEL in container.image
    if status.restart_count == 0:
        does = "downloads the model, and has not failed" if downloads else "waits for a dependency, it does not crash"
        evidence.append(fact("pods", f"no restarts: it {does}", Mark.EXCLUDES))
    services = _services_named(container, pod, situation)
    if services:
        evidence.append(fact("pods", f"its environment names {', '.join(ref.name for ref in services)}"))
    says = "from where, and how far it is" if downloads else "what it waits for"
    evidence.append(fact("pods", f"its log says {says}", Mark.OPEN))
    asks = "how far is the download?" if downloads else "what does it wait for?"
    before = needed_sets(pod, situation) or (CLUSTER_DNS, *services)
    return Fired(
        situation.workload_of(pod),
        f"{'downloads its model' if downloads else 'waits'} in init container {container.name}",
        tuple(evidence),
        (logs(pod, container.name, None, asks), describe(pod, "what do the events say?")),
        layer=agent_layer(pod),
        follows=before,
        node=pod.spec.node_name,
    )


def _services_named(container: Container, pod: Pod, situation: Situation) -> tuple[Ref, ...]:
    """Return the known Services whose `host:port` stands in the init container's environment."""
    found: dict[Ref, None] = {}
    for env in container.env:
        name, _, rest = env.value.partition(":")[0].partition(".")
        namespace = rest.split(".")[0] or pod.namespace
        if name and (namespace, name) in situation.services:
            found[Ref("Service", namespace, name)] = None
    return tuple(found)


RULES: Final[tuple[Rule, ...]] = (init_crash, init_waiting)
