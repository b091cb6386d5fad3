"""What the engineer attends to: one focus, a selection, a filter, and the way back."""

from situation.findings import Diagnosis, Finding, Layer
from situation.focus import EVERYTHING, Focus
from situation.meta import Ref
from tui.view import Filter

Selection = str | Ref | None
"""What the evidence pane shows: a finding by key, an object, or None for the first cause."""


class Attention:
    """Focus, selection and filter of one screen."""

    def __init__(self) -> None:
        self.focus = EVERYTHING
        self.selection: Selection = None
        self.wanted = Filter()
        self._back: list[tuple[Focus, Selection]] = []

    def focus_on(self, focus: Focus, selection: Selection) -> None:
        """Focus everything on something; where we were is remembered."""
        if focus != self.focus:
            self._back.append((self.focus, self.selection))
        self.focus = focus
        self.selection = selection

    def focus_on_object(self, ref: Ref, diagnosis: Diagnosis) -> None:
        """Focus an object; if a finding is about it or shows it, that finding's evidence is shown."""
        for cause in diagnosis.causes:
            for finding in (cause, *cause.consequences):
                if ref == finding.subject or ref in finding.members:
                    self.focus_on(Focus(ref=ref), finding.key)
                    return
        self.focus_on(Focus(ref=ref), ref)

    def focus_on_layer(self, layer: Layer, diagnosis: Diagnosis) -> Finding | None:
        """Focus a layer and select its first cause, which is returned."""
        first = next((cause for cause in diagnosis.causes if cause.layer is layer), None)
        self.focus_on(Focus(layer=layer), first.key if first else None)
        return first

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

    def finding(self, diagnosis: Diagnosis) -> Finding | None:
        """The finding whose evidence is shown: the selected, else the first cause; None while an object is shown."""
        if isinstance(self.selection, Ref):
            return None
        found = diagnosis.find(self.selection) if self.selection else None
        if found is None and diagnosis.causes:
            return diagnosis.causes[0]
        return found

    def pod(self, diagnosis: Diagnosis) -> Ref | None:
        """The pod that placeholders in commands are filled from."""
        if isinstance(self.selection, Ref):
            return self.selection if self.selection.kind == "Pod" else None
        finding = self.finding(diagnosis)
        return next((ref for ref in finding.members if ref.kind == "Pod"), None) if finding else None

    @property
    def text(self) -> str:
        """The focus in words, empty for the whole cluster."""
        if self.focus.ref is not None:
            return f"{self.focus.ref.kind} {self.focus.ref.name}"
        if self.focus.layer is not None:
            return f"layer {self.focus.layer.value}"
        return "related to the cause" if self.focus.cause else ""
