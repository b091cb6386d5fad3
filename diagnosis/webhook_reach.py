"""Whose requests an admission webhook is asked about: its rules, and its selectors of namespaces and objects."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from situation.kinds import KINDS
from situation.meta import LabelSelector
from situation.network import Webhook
from situation.situation import Situation
from situation.workloads import label_selector_text

_WORKLOADS: Final = frozenset({"*", "pods", "deployments", "replicasets", "statefulsets", "daemonsets", "jobs"})
_CREATES: Final = frozenset({"*", "CREATE", "UPDATE"})
_NAMESPACED: Final = frozenset(
    {"configmaps", "secrets", "serviceaccounts", "roles", "rolebindings", "cronjobs", "replicationcontrollers"}
).union(kind.resource for kind in KINDS if kind.namespaced)
"""Resources that are in a namespace always; of any other it is not known where the rule does not say."""
_LISTED: Final = 4
"""Namespaces and resources that are named in a line."""


class Reach(NamedTuple):
    """What is refused while a webhook that fails closed does not answer."""

    webhook: Webhook
    namespaces: tuple[str, ...] | None
    """Those that its selector selects; None if it selects all, or if they are not known."""
    total: int
    """Namespaces of the cluster; 0 if they are not known."""

    @property
    def is_empty(self) -> bool:
        """Tell whether it concerns nothing that is there now."""
        return self.namespaces == () and self._is_namespaced

    @property
    def stops_workloads(self) -> bool:
        """Tell whether new pods or workloads are refused."""
        return self.namespaces != () and any(
            _WORKLOADS & {resource.partition("/")[0] for resource in rule.resources} and _CREATES & set(rule.operations)
            for rule in self.webhook.rules
        )

    @property
    def _is_namespaced(self) -> bool:
        """Tell whether it is asked of objects in namespaces only: its selector says nothing about any other."""
        return all(
            rule.scope == "Namespaced" or {name.partition("/")[0] for name in rule.resources} <= _NAMESPACED
            for rule in self.webhook.rules
        )

    def text(self) -> str:
        """Return the line of evidence: `requests for pods in 2 of 12 namespaces (a, b) are refused`."""
        webhook = self.webhook
        if self.is_empty:
            wanted = label_selector_text(webhook.namespace_selector)
            return f"nothing is refused now: none of {self.total} namespaces has {wanted}"
        what = _some(sorted({name for rule in webhook.rules for name in rule.resources})) or "nothing"
        if not _selects_all(webhook.object_selector):
            what += f" labelled {label_selector_text(webhook.object_selector)}"
        if webhook.match_conditions:
            what += f" that meet its conditions ({_some([item.name for item in webhook.match_conditions])})"
        return f"requests for {what}{self._where()} are refused"

    def _where(self) -> str:
        selector = self.webhook.namespace_selector
        if _selects_all(selector):
            return ""
        where = f" in namespaces with {label_selector_text(selector)}"
        if self.namespaces is not None:
            names = f" ({_some(self.namespaces)})" if self.namespaces else ""
            where = f" in {len(self.namespaces)} of {self.total} namespaces{names}"
        return where if self._is_namespaced else f"{where} and outside of all"


def reach_of(webhook: Webhook, situation: Situation) -> Reach:
    """Return what a webhook is asked about now.

    The namespaces are known where the list holds `default`, which every API server keeps: a dump may be that of a few.
    """
    is_whole = ("", "default") in situation.namespaces and not situation.has_unread("namespaces")
    if not is_whole or not situation.sees_all:
        return Reach(webhook, None, 0)
    total, selector = len(situation.namespaces), webhook.namespace_selector
    if _selects_all(selector):
        return Reach(webhook, None, total)
    selected = (item.name for item in situation.namespaces.values() if selector.matches(item.metadata.labels))
    return Reach(webhook, tuple(sorted(selected)), total)


def _selects_all(selector: LabelSelector) -> bool:
    return not selector.match_labels and not selector.match_expressions


def _some(names: Sequence[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")
