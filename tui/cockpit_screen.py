"""The cockpit's one screen: paints the panes and links them through one focus with a way back."""

from typing import ClassVar

from textual.binding import Binding, BindingType

from situation.findings import Layer
from tui.copying import ChooseCommand, CopyCommand, why_no_command
from tui.filter_line import FilterLine
from tui.linked_screen import LinkedScreen
from tui.log_choice import OpenLog
from tui.note_line import NoteLine
from tui.view import Filter
from widgets.causes import CausesPane
from widgets.checklist import ChecklistPane
from widgets.evidence import CardCommand, CardKeys, EvidencePane
from widgets.key_hints import shown_keys
from widgets.layers import LayerStrip
from widgets.tabs import PaneTabs
from widgets.timeline import TimelinePane


class CockpitScreen(LinkedScreen):
    """Shows a Feed. `paint` is called after each turn; keys change what is attended to and paint at once."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("c", "copy", "Copy next", id="copy", tooltip="Copy the next command"),
        Binding("C", "choose", "Choose", id="choose", tooltip="Choose among the commands"),
        *(
            Binding(
                str(layer.value),
                f"layer({layer.value})",
                f"Layer {layer.value}: {layer.title}",
                show=False,
                id=f"layer-{layer.value}",
            )
            for layer in Layer
        ),
        Binding("escape", "back", "Back", id="back", tooltip="Back to what was shown before"),
        Binding("slash", "filter", "Filter", id="filter", tooltip="Filter by words and by ns:NAMESPACE"),
        Binding("g", "gpu", "GPU", show=False, id="gpu", tooltip="GPU fleet; again: chain, devices"),
        Binding("e", "etcd", "Control plane", show=False, id="etcd", tooltip="etcd; again: the rest of it"),
        Binding("v", "vllm", "vLLM", show=False, id="vllm", tooltip="Model servers; again: the next model"),
        Binding("L", "log", "Log", id="log", tooltip="Log of what fails, and what it tells"),
        Binding(
            "l",
            "checklist",
            "Checklist",
            id="checklist",
            tooltip="The playbook for the cause, or close it",
        ),
        Binding("n", "step(1)", "Next step of the checklist", show=False, id="next-step"),
        Binding("N", "step(-1)", "Previous step of the checklist", show=False, id="previous-step"),
        Binding("space", "tick", "Tick the step by hand", show=False, id="tick"),
        Binding("J", "scroll_evidence(1)", "Scroll the evidence down", show=False, id="evidence-down"),
        Binding("K", "scroll_evidence(-1)", "Scroll the evidence up", show=False, id="evidence-up"),
        Binding("tab", "pane(1)", "Next pane", show=False, priority=True, id="next-pane"),
        Binding("shift+tab", "pane(-1)", "Previous pane", show=False, priority=True, id="previous-pane"),
    ]

    def on_mount(self) -> None:
        self._note_panes()
        self.query_one(ChecklistPane).display = self.query_one(TimelinePane).display = False
        self.watch_tab(self.tab)
        self.query_one(CausesPane).table.focus()
        self._name_keys()
        self.paint(None)

    def _name_keys(self) -> None:
        """Have the evidence and the tabs speak of the keys as they are mapped."""
        shown, usual = shown_keys(self), CardKeys()
        scroll = [shown[name] for name in ("evidence-down", "evidence-up") if name in shown]
        keys = CardKeys(shown.get("copy", usual.copy), " and ".join(scroll) or usual.scroll)
        self.query_one(EvidencePane).name_keys(keys)
        tabs = self.query_one(PaneTabs)
        tabs.next_key = shown.get("next-pane", tabs.next_key)

    def on_layer_strip_layer_picked(self, event: LayerStrip.LayerPicked) -> None:
        self.action_layer(event.layer.value)

    def on_pane_tabs_tab_picked(self, event: PaneTabs.TabPicked) -> None:
        self.tab = event.number

    def action_layer(self, number: int) -> None:
        """Focus a layer; the same key again lets go of it."""
        layer = Layer(number)
        if self.attention.focus.layer is layer:
            self.attention.go_back()
            self._show_attention()
            return
        self.attention.focus_on_layer(layer, self._feed.diagnosis)
        self.ask_for_layer(layer)
        self._show_attention()

    def action_back(self) -> None:
        """Undo one step: close the filter line, clear the filter, go back to the focus before, close the checklist.

        The checklist comes before the focus while it has the keyboard: what changed behind it would not be seen.
        """
        line, checklist = self.query_one(FilterLine), self.query_one(ChecklistPane)
        if line.display or not self.attention.wanted.is_empty:
            line.value = ""
            self._set_filter(Filter())
            self._close_filter()
        elif checklist.has_focus_within:
            self.action_checklist()
        elif self.attention.go_back():
            self._show_attention()
        elif checklist.display:
            self.action_checklist()
        else:
            self.close_timeline()

    def show_everything(self) -> None:
        """Show the whole cluster as in the beginning; what was written of a note is kept for who opens it again."""
        self.query_one(NoteLine).put_away()
        self.query_one(FilterLine).write(Filter())
        self.query_one(FilterLine).close()
        checklist = self.query_one(ChecklistPane)
        checklist.put_note_away()
        checklist.display = False
        self.close_timeline()
        self.attention.reset()
        self.tab = 0
        self.query_one(CausesPane).table.focus()  # last: those that closed gave the keyboard back
        self.paint(None)

    def action_filter(self) -> None:
        """Open the filter line."""
        self.query_one(FilterLine).open()

    def on_filter_line_filter_changed(self, event: FilterLine.FilterChanged) -> None:
        self._set_filter(event.wanted)

    def on_filter_line_filter_kept(self) -> None:
        self._close_filter()

    def _close_filter(self) -> None:
        if self.query_one(FilterLine).close():
            self.watch_tab(self.tab)

    def _set_filter(self, wanted: Filter) -> None:
        if wanted != self.attention.wanted:
            self.attention.filter_by(wanted, self._feed.diagnosis)
            self.paint(None)
            self.query_one(CausesPane).table.move_to(self.attention.selection)

    def filter_namespace(self, namespace: str) -> None:
        """Show one namespace only, all if empty."""
        wanted = Filter(self.attention.wanted.words, namespace)
        self.query_one(FilterLine).write(wanted)
        self._set_filter(wanted)

    def action_copy(self) -> None:
        """Copy the next command: the checklist's while it has the keyboard, else that of the evidence pane."""
        commands = self._commands()
        if commands and not self._is_in_checklist and self.painter.was_displaced():
            self.notify("Another cause took this place just now: once more, if it is meant", markup=False)
        elif commands:
            self.post_message(CopyCommand(commands[0]))
        else:
            self._say_no_command()

    def action_choose(self) -> None:
        """Choose among all commands of the evidence pane."""
        commands = self._commands()
        if commands:
            self.post_message(ChooseCommand(commands))
        else:
            self._say_no_command()

    def action_log(self) -> None:
        """Show the log of what is attended to; it is read now, and only now."""
        self.post_message(OpenLog())

    def _say_no_command(self) -> None:
        said = why_no_command(self.attention, is_shown=self._shows_evidence)
        self.notify(said, severity="warning", markup=False)

    @property
    def _is_in_checklist(self) -> bool:
        pane = self.query_one(ChecklistPane)
        return pane.display and pane.has_focus_within

    def _commands(self) -> tuple[CardCommand, ...]:
        if self._is_in_checklist:
            return self.step_command()
        # It is the command that stands on the screen, also if more is known by now; whole, also where it is cut there.
        return self.query_one(EvidencePane).card.commands if self._shows_evidence else ()
