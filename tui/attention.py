"""What the engineer attends to: one focus, a selection, a filter, and the way back."""

from datetime import datetime
from typing import Final, NamedTuple

from situation.findings import Diagnosis, Finding, Layer
from situation.focus import EVERYTHING, Focus
from situation.gpu.links import Link
from situation.meta import Ref
from situation.serving.view import MODEL_SERVER, pod_of_server
from tui.view import Filter, visible_causes
from widgets.families import FamilyKey

Selection = str | Ref | FamilyKey | None
"""What the evidence pane shows: a finding by key, an object, the rest of a family, or None for the first cause."""

_KIND_WORDS: Final = {"EtcdMember": "etcd member", MODEL_SERVER: "model server"}


class Followed(NamedTuple):
    """A finding that was selected: as it was when it was last proven."""

    finding: Finding
    place: int
    """Its rank among the causes, or that below its cause."""
    withdrawn_at: datetime | None = None
    """None while it is proven."""


class Attention:
    """Focus, selection and filter of one screen."""

    def __init__(self) -> None:
        self.focus = EVERYTHING
        self.selection: Selection = None
        self.wanted = Filter()
        self._back: list[tuple[Focus, Selection]] = []
        self._followed: dict[str, Followed] = {}

    def focus_on(self, focus: Focus, selection: Selection) -> None:
        """Focus everything on something; where we were is remembered."""
        if focus != self.focus:
            self._back.append((self.focus, self.selection))
        self.focus = focus
        self.selection = selection

    def focus_on_object(self, ref: Ref, diagnosis: Diagnosis) -> None:
        """Focus an object; if a finding is about it or shows it, that finding's evidence is shown.

        What ails a model server may be told of its pod.
        """
        for about in filter(None, (ref, pod_of_server(ref))):
            for cause in diagnosis.causes:
                for finding in (cause, *cause.consequences):
                    if about == finding.subject or about in finding.members:
                        self.focus_on(Focus(ref=ref), finding.key)
                        return
        self.focus_on(Focus(ref=ref), ref)

    def focus_on_link(self, node: str, link: Link, diagnosis: Diagnosis) -> None:
        """Focus a component on a node; the evidence is that of its pod, of what owns it, or of the node."""
        on_node = Ref("Node", "", node)
        shown: Selection = link.pod or link.owner or on_node
        for ref in (link.pod, link.owner, on_node):
            if ref is not None and (finding := _about(ref, node, diagnosis)) is not None:
                shown = finding.key
                break
        self.focus_on(Focus(ref=on_node, component=link.component), shown)

    def focus_on_layer(self, layer: Layer, diagnosis: Diagnosis) -> Finding | None:
        """Focus a layer and select its first cause, which is returned."""
        first = next((cause for cause in diagnosis.causes if cause.layer is layer), None)
        self.focus_on(Focus(layer=layer), first.key if first else None)
        return first

    def filter_by(self, wanted: Filter, diagnosis: Diagnosis) -> None:
        """Filter. A finding that is no longer listed gives way to the first that is, unless it is what is focused on.

        Whoever filters for a name and copies means that one. Of a layer in focus its own come first.
        """
        self.wanted = wanted
        shown, listed = self.finding(diagnosis), visible_causes(diagnosis, wanted)
        if shown is None or not listed or self.focus.cause or self.focus.ref is not None:
            return
        if all(shown.key != finding.key for cause in listed for finding in (cause, *cause.consequences)):
            self.selection = min(listed, key=lambda cause: cause.layer is not self.focus.layer).key

    def go_back(self) -> bool:
        """Return to the focus before; tell whether there was one."""
        if not self._back:
            return False
        self.focus, self.selection = self._back.pop()
        return True

    def reset(self) -> None:
        """Attend to the whole cluster again."""
        self.focus = EVERYTHING
        self.selection = None
        self.wanted = Filter()
        self._back.clear()
        self._followed.clear()

    def follow(self, diagnosis: Diagnosis, now: datetime) -> None:
        """Remember what is selected or waits on the way back, and notice when it is withdrawn or proven again."""
        keys = {key for key in (self.selection, *(item for _, item in self._back)) if isinstance(key, str)}
        keys |= {focus.cause for focus in (self.focus, *(item for item, _ in self._back)) if focus.cause}
        followed: dict[str, Followed] = {}
        for place, cause in enumerate(diagnosis.causes if keys else ()):
            for finding in (cause, *cause.consequences):
                if (key := finding.key) in keys:
                    followed[key] = Followed(finding, place if finding is cause else place + 1)
        for key in (keys - followed.keys()) & self._followed.keys():
            before = self._followed[key]
            followed[key] = before if before.withdrawn_at else before._replace(withdrawn_at=now)
        self._followed = followed

    @property
    def withdrawn(self) -> Followed | None:
        """What is selected, if it is no longer proven."""
        return self._withdrawn(self.selection) if isinstance(self.selection, str) else None

    @property
    def withdrawn_focus(self) -> Finding | None:
        """The cause everything is focused on, if it is no longer proven: what it was about is still looked at."""
        followed = self._withdrawn(self.focus.cause)
        return followed.finding if followed else None

    def _withdrawn(self, key: str) -> Followed | None:
        followed = self._followed.get(key)
        return followed if followed is not None and followed.withdrawn_at is not None else None

    @property
    def kept(self) -> frozenset[str]:
        """Keys of the findings that must be listed whatever is folded."""
        selected = {self.selection} if isinstance(self.selection, str) else set()
        return frozenset(selected | ({self.focus.cause} if self.focus.cause else set()))

    def finding(self, diagnosis: Diagnosis) -> Finding | None:
        """The finding whose evidence is shown; None while something else is: an object, a family, what was withdrawn.

        Until something is selected it is the gravest, under the focus on a layer the gravest there.
        """
        if isinstance(self.selection, Ref | FamilyKey) or self.withdrawn is not None:
            return None
        found = diagnosis.find(self.selection) if self.selection else None
        if found is not None:
            return found
        layer = self.focus.layer
        return next((cause for cause in diagnosis.causes if layer is None or cause.layer is layer), None)

    def pod(self, diagnosis: Diagnosis) -> Ref | None:
        """The pod that placeholders in commands are filled from: the one that is looked at, else one of the finding."""
        if isinstance(self.selection, Ref):
            return _pod_of(self.selection)
        if self.focus.ref is not None and (pod := _pod_of(self.focus.ref)) is not None:
            return pod
        finding = self.finding(diagnosis)
        return next(filter(None, map(_pod_of, finding.members)), None) if finding else None

    @property
    def text(self) -> str:
        """The focus in words, empty for the whole cluster."""
        if self.focus.ref is not None and self.focus.component is not None:
            return f"{self.focus.component.value} on {self.focus.ref.name}"
        if self.focus.ref is not None:
            kind = self.focus.ref.kind
            return f"{_KIND_WORDS.get(kind, kind)} {self.focus.ref.name}"
        if self.focus.layer is not None:
            return f"layer {self.focus.layer.value}"
        return "related to the cause" if self.focus.cause else ""


def _pod_of(ref: Ref) -> Ref | None:
    return ref if ref.kind == "Pod" else pod_of_server(ref)


def _about(ref: Ref, node: str, diagnosis: Diagnosis) -> Finding | None:
    """Return the first finding about an object; one about a DaemonSet on another node is not meant."""
    for cause in diagnosis.causes:
        for finding in (cause, *cause.consequences):
            if ref.kind == "DaemonSet" and finding.node not in ("", node):
                continue
            if ref == finding.subject or ref in finding.members:
                return finding
    return None
