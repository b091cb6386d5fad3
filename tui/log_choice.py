"""Whose log is meant: of what is selected, or of the pod under the cursor."""

import msgspec
from textual.message import Message

from situation.findings import Diagnosis
from situation.gpu.links import Link
from situation.logs import LogTarget, has_ended_before, log_target
from situation.meta import ObjectKey, Ref
from situation.pods import Pod
from situation.selectors import has_run
from situation.serving.pods import server_refs, server_status, specs_of
from situation.serving.view import MODEL_SERVER, pod_of_server
from situation.situation import Situation
from tui.attention import Attention


class OpenLog(Message):
    """Show the log of what is attended to."""


def selected_log(attention: Attention, diagnosis: Diagnosis, situation: Situation) -> LogTarget | None:
    """Return the container whose log tells more of what the evidence pane shows, if there is one."""
    if isinstance(attention.selection, Ref):
        return _log_of(attention.selection, situation)
    finding = attention.finding(diagnosis)
    if finding is None:
        return None
    focused = attention.focus.ref
    if focused is not None and focused in finding.members:
        member = situation.get(focused)
        of_member = _of_member(member, finding.log) if isinstance(member, Pod) else _log_of(focused, situation)
        if of_member is not None:
            return of_member
    if finding.log is not None:
        return finding.log
    found = (_log_of(ref, situation) for ref in (finding.subject, *finding.members))
    return next((target for target in found if target is not None), None)


def _log_of(ref: Ref, situation: Situation) -> LogTarget | None:
    """Return the container of a pod whose log matters; of a model server the one that it runs in. None of all else."""
    pod = situation.get(pod_of_server(ref) or ref)
    if not isinstance(pod, Pod):
        return None
    specs = specs_of(pod, situation.serving.specs) if ref.kind == MODEL_SERVER else ()
    spec = next((spec for server, spec in zip(server_refs(pod, specs), specs, strict=False) if server == ref), None)
    status = server_status(pod, spec) if spec is not None else None
    if status is None or not has_run(status):
        return log_target(pod)
    return LogTarget(pod.namespace, pod.name, status.name, has_ended_before(status))


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
        return "This was withdrawn, so no log is read for it: go on to what is proven now."
    if isinstance(attention.selection, Ref) and attention.selection.kind == "Pod":
        return "No container of this pod has run yet: there is no log."
    return "No pod stands for this: focus one, then ask for its log."


def _of_member(pod: Pod, wanted: LogTarget | None) -> LogTarget | None:
    """Return the container that the rule names, of this pod; else the one that matters."""
    statuses = pod.status.init_container_statuses + pod.status.container_statuses
    status = next((item for item in statuses if wanted is not None and item.name == wanted.container), None)
    if wanted is None or status is None:
        return log_target(pod)
    return msgspec.structs.replace(wanted, namespace=pod.namespace, pod=pod.name, previous=has_ended_before(status))
