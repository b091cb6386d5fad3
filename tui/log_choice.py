"""Whose log is meant: of what is selected, or of the pod under the cursor."""

import msgspec
from textual.message import Message

from situation.findings import Diagnosis, Finding
from situation.gpu.links import Link
from situation.logs import LogTarget, has_ended_before, log_target
from situation.meta import ObjectKey, Ref
from situation.pods import Pod
from situation.serving.view import pod_of_server
from situation.situation import Situation
from tui.attention import Attention


class OpenLog(Message):
    """Show the log of what is attended to."""


def selected_log(attention: Attention, diagnosis: Diagnosis, situation: Situation) -> LogTarget | None:
    """Return the container whose log tells more of what the evidence pane shows, if there is one."""
    if isinstance(attention.selection, Ref):
        pod = situation.get(pod_of_server(attention.selection) or attention.selection)
        return log_target(pod) if isinstance(pod, Pod) else None
    finding = attention.finding(diagnosis)
    if finding is None:
        return None
    if (member := _focused_member(attention, finding, situation)) is not None:
        return _of_member(member, finding.log)
    if finding.log is not None:
        return finding.log
    pods = (situation.get(ref) for ref in (finding.subject, *finding.members) if ref.kind == "Pod")
    return next((target for pod in pods if isinstance(pod, Pod) and (target := log_target(pod))), None)


def link_log(link: Link, situation: Situation) -> LogTarget | None:
    """Return the container of a GPU chain's link that decides its state, else the one whose log matters."""
    pod = situation.get(link.pod) if link.pod is not None else None
    if not isinstance(pod, Pod):
        return None
    return LogTarget(pod.namespace, pod.name, link.container) if link.container else log_target(pod)


def cursor_log(key: ObjectKey, situation: Situation) -> LogTarget | None:
    """Return the container of the pod under the cursor whose log matters."""
    pod = situation.pods.get(key)
    return log_target(pod) if pod is not None else None


def why_no_log(attention: Attention) -> str:
    """Say why there is no log to show."""
    if attention.withdrawn is not None:
        return "This was withdrawn, so no log is read for it: j or k goes on to what is proven now."
    if isinstance(attention.selection, Ref) and attention.selection.kind == "Pod":
        return "No container of this pod has run yet: there is no log."
    return "No pod stands for this: pick one (enter on its row), then L reads its log."


def _focused_member(attention: Attention, finding: Finding, situation: Situation) -> Pod | None:
    """Return the pod that is focused, if it is one of several that show the finding."""
    ref = attention.focus.ref
    pod = situation.get(ref) if ref is not None and ref in finding.members else None
    return pod if isinstance(pod, Pod) else None


def _of_member(pod: Pod, wanted: LogTarget | None) -> LogTarget | None:
    """Return the container that the rule names, of this pod; else the one that matters."""
    statuses = pod.status.init_container_statuses + pod.status.container_statuses
    status = next((item for item in statuses if wanted is not None and item.name == wanted.container), None)
    if wanted is None or status is None:
        return log_target(pod)
    return msgspec.structs.replace(wanted, namespace=pod.namespace, pod=pod.name, previous=has_ended_before(status))
