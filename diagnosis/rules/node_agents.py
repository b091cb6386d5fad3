"""Layers 3 and 5: DaemonSets that make nodes usable and are not ready on some of them (L3-09, L3-10, L5-10)."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from diagnosis.commands import counted, fact, kubectl, shorten
from diagnosis.gpu_causes import DRIVER_START_S, is_operand
from diagnosis.node_agents import Agent, agent_of
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, Wait, rule
from diagnosis.rules.nodes import State, state_of
from situation.cluster import Node
from situation.findings import Evidence, Layer, Severity
from situation.meta import Ref, find_condition
from situation.node_returns import back_at
from situation.pods import Pod
from situation.selectors import is_ready, pod_status_text
from situation.situation import Situation
from situation.start_trouble import NOT_STARTED
from situation.workloads import DaemonSet, selector_text

AGENT_S: Final = 120.0
"""An agent's pod may take this long to pull its image and get ready."""
FAILING_S: Final = 60.0
"""A pod that restarted or waits with an error is not starting any more."""


def _fails(pod: Pod) -> bool:
    """Tell whether a pod restarted, or waits with an error: it does more than start."""
    statuses = pod.status.init_container_statuses + pod.status.container_statuses
    return any(
        status.restart_count or (status.state.waiting and status.state.waiting.reason not in NOT_STARTED)
        for status in statuses
    )


def _due(pod: Pod, agent: Agent, situation: Situation) -> datetime | None:
    condition = find_condition(pod.status.conditions, "Ready")
    since = (condition.last_transition_time if condition else None) or pod.metadata.creation_timestamp
    if since is None:
        return None
    if _fails(pod):
        return since + timedelta(seconds=FAILING_S)
    due = since + timedelta(seconds=DRIVER_START_S if agent is Agent.GPU else AGENT_S)
    return max(due, back_at(pod, situation) or due)


def _breaks(node: Node | None, agent: Agent) -> bool:
    """Tell whether a node's own fault explains its agent's: not if the node only waits for its network plugin."""
    if node is None:
        return False
    state = state_of(node, find_condition(node.status.conditions, "Ready"))
    return state is not None and not (agent is Agent.CNI and state is State.NETWORK)


def _nodes(pods: Iterable[Pod]) -> list[str]:
    return sorted({pod.spec.node_name for pod in pods if pod.spec.node_name})


@rule(
    "node-agent-not-ready",
    signature="L3-09 L3-10 L5-10",
    layer=Layer.NODE,
    severity=Severity.WARNING,
    kind="DaemonSet",
    needs=("daemonsets", "pods"),
    looks_at="desired against ready pods of the DaemonSets of network plugins, kube-proxy, storage drivers and the GPU "
    "Operator's operands.",
    look_alikes={
        "node-unreachable": "there the node itself is down; its agents follow",
        "crash-loop": "why the agent's pod fails; this finding follows it",
        "gpu-link-broken": "an operand of the GPU chain is judged on each node",
        "a rolling update": "a new pod is given two minutes, a GPU operand twenty",
    },
)
def node_agent_not_ready(daemonset: DaemonSet, situation: Situation, now: datetime) -> Verdict:
    """A node agent (network plugin, kube-proxy, storage driver, GPU operand) is not ready on some of its nodes."""
    agent = agent_of(daemonset)
    status = daemonset.status
    if agent is None or status.number_ready >= status.desired_number_scheduled:
        return CLEAR
    if agent is Agent.GPU and is_operand(daemonset) and situation.knows("nodes"):
        return CLEAR  # judged node by node, as a link of the chain
    ref = Ref("DaemonSet", *daemonset.key)
    unready = [pod for pod in situation.pods_of(ref) if not is_ready(pod)]
    due = {pod.name: _due(pod, agent, situation) for pod in unready}
    late = [pod for pod in unready if (at := due[pod.name]) is None or at <= now]
    missing = status.desired_number_scheduled - status.current_number_scheduled
    created = daemonset.metadata.creation_timestamp
    made_due = created + timedelta(seconds=AGENT_S) if created and missing > 0 else None
    if not late and (missing <= 0 or (made_due is not None and now < made_due)):
        times = [at for at in (*due.values(), made_due) if at is not None and at > now]
        return Wait(min(times)) if times else CLEAR
    nodes = _nodes(late)
    count = len(nodes) or missing
    down = tuple(Ref("Node", "", name) for name in nodes if _breaks(situation.node(name), agent))
    explained = down if len(down) == len(nodes) else ()
    return Fired(
        ref,
        f"({agent}) is not ready on {count} of {counted(status.desired_number_scheduled, 'node')}",
        _evidence(daemonset, late, nodes),
        (
            kubectl("get", "pods", "-l", selector_text(daemonset.spec.selector.match_labels), "-o", "wide",
                    purpose="on which nodes does it fail?", namespace=daemonset.namespace),
            kubectl("describe", "daemonset", daemonset.name, purpose="what do its events say?",
                    namespace=daemonset.namespace),
        ),
        layer=agent.layer,
        follows=(ref, *explained),
        node=nodes[0] if len(nodes) == 1 and explained else "",
    )  # fmt: skip


def _evidence(daemonset: DaemonSet, late: list[Pod], nodes: list[str]) -> tuple[Evidence, ...]:
    status = daemonset.status
    counts = f"desired {status.desired_number_scheduled}, current {status.current_number_scheduled}"
    lines = [fact("daemonsets", f"{counts}, ready {status.number_ready}")]
    lines += [
        fact("pods", f"{pod.name} on {pod.spec.node_name or 'no node'}: {pod_status_text(pod)}") for pod in late[:3]
    ]
    if nodes:
        lines.append(fact("pods", f"nodes: {shorten(', '.join(nodes), 200)}"))
    return tuple(lines)  # fmt: skip


RULES: Final[tuple[Rule, ...]] = (node_agent_not_ready,)
