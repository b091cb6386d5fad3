"""What may be chosen for a placeholder that the focus does not fill."""

from collections.abc import Iterable
from typing import Final

import msgspec

from playbooks.context import Context
from situation.etcd.view import Role
from situation.meta import Ref
from situation.selectors import container_pairs, is_node_ready, is_settled, pod_status_text

_MOST: Final = 2000
"""So many are listed; typing narrows them."""


class Choice(msgspec.Struct, frozen=True):
    """One entry of the list: an object, or a text for the placeholder."""

    label: str
    detail: str = ""
    value: str = ""
    """The text, where no object is chosen."""
    ref: Ref | None = None


def _sorted(found: Iterable[tuple[bool, Choice]]) -> tuple[Choice, ...]:
    """Those with trouble first, then by name."""
    return tuple(choice for _, choice in sorted(found, key=lambda pair: (pair[0], pair[1].label)))[:_MOST]


def pod_choices(context: Context) -> tuple[Choice, ...]:
    return _sorted(
        (
            is_settled(pod, context.now),
            Choice(f"{pod.namespace}/{pod.name}", pod_status_text(pod), ref=Ref("Pod", *pod.key)),
        )
        for pod in context.situation.pods.values()
    )


def node_choices(context: Context) -> tuple[Choice, ...]:
    return _sorted(
        (
            is_node_ready(node),
            Choice(node.name, "Ready" if is_node_ready(node) else "not Ready", ref=Ref("Node", "", node.name)),
        )
        for node in context.situation.nodes.values()
    )


def namespace_choices(context: Context) -> tuple[Choice, ...]:
    names = {name for _, name in context.situation.namespaces} | {space for space, _ in context.situation.pods}
    return _sorted((True, Choice(name, value=name)) for name in names)


def service_choices(context: Context) -> tuple[Choice, ...]:
    return _sorted(
        (True, Choice(f"{space}/{name}", ref=Ref("Service", space, name))) for space, name in context.situation.services
    )


def claim_choices(context: Context) -> tuple[Choice, ...]:
    return _sorted(
        (
            claim.status.phase == "Bound",
            Choice(f"{claim.namespace}/{claim.name}", claim.status.phase, ref=Ref("PersistentVolumeClaim", *claim.key)),
        )
        for claim in context.situation.claims.values()
    )


def workload_choices(context: Context) -> tuple[Choice, ...]:
    situation = context.situation
    tables = (("Deployment", situation.deployments), ("StatefulSet", situation.statefulsets),
              ("DaemonSet", situation.daemonsets))  # fmt: skip
    return _sorted(
        (True, Choice(f"{space}/{name}", kind, ref=Ref(kind, space, name)))
        for kind, table in tables
        for space, name in table
    )


def container_choices(context: Context) -> tuple[Choice, ...]:
    pod = context.pod()
    pairs = container_pairs(pod) if pod is not None else ()
    return tuple(Choice(container.name, container.image, value=container.name) for container, _ in pairs)


def member_choices(context: Context) -> tuple[Choice, ...]:
    """Followers first: of what is done to one member after the other the leader is the last."""
    return _sorted(
        (
            member.role is Role.LEADER,
            Choice(member.name, f"{member.role.value} {member.endpoint}", ref=Ref("EtcdMember", "", member.name)),
        )
        for member in context.etcd().members
        if member.endpoint
    )


def mig_choices(context: Context) -> tuple[Choice, ...]:
    """The layouts that other nodes ask for, and none at all."""
    labels = (node.metadata.labels.get("nvidia.com/mig.config", "") for node in context.situation.nodes.values())
    return tuple(Choice(name, value=name) for name in sorted({"all-disabled", *filter(None, labels)}))
