"""`midwatch demo --drill`: the cockpit without its diagnosis, until somebody has said what it is."""

from time import monotonic
from typing import Any, ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from playbooks.commands import Target
from situation.findings import Diagnosis, Layer, Severity
from tui.app import Cockpit
from tui.cockpit_screen import CockpitScreen
from tui.drill import Answer, Choice, choices, score
from tui.pane_screen import TABS
from widgets.glyphs import color
from widgets.key_hints import shown_keys
from widgets.pods import PodsPane

_HIDDEN: Final = "-drilled"
_OF_DIAGNOSIS: Final = frozenset(
    {"copy", "choose", "layer", "checklist", "step", "tick", "timeline", "scroll_evidence"}
)
"""What these keys show would tell what was found."""


class Choices(OptionList):
    """An option list that also obeys j and k."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "cursor_down", "Down", show=False, id="drill.down"),
        Binding("k", "cursor_up", "Up", show=False, id="drill.up"),
    ]


class AskScreen(ModalScreen[int]):
    """Asks one question; dismissed with the number of the answer, or -1."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "dismiss(-1)", "Look on", id="drill.look-on")]

    def __init__(self, question: str, answers: tuple[str, ...]) -> None:
        super().__init__()
        self._question = question
        self._answers = answers

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Static(Content.styled(self._question, "bold"), markup=False)
            yield Choices(*(Option(Content(f"· {answer}")) for answer in self._answers), markup=False)

    def on_mount(self) -> None:
        self.query_one(Choices).focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_index)


class ScoreScreen(ModalScreen[None]):
    """Shows what an answer was worth."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q,D", "dismiss", "Look", id="drill.look")]

    def __init__(self, lines: tuple[str, ...]) -> None:
        super().__init__()
        self._lines = lines

    def compose(self) -> ComposeResult:
        first, *rest = self._lines
        text = [Content.styled(first, color("focus", "bold")), Content(""), *map(Content, rest)]
        text += [Content(""), Content.styled("enter shows the diagnosis · q there leaves", color("dim"))]
        with VerticalScroll():
            yield Static(Content("\n").join(text), markup=False)


class DrillScreen(CockpitScreen):
    """The cockpit's screen; layers, causes and evidence are away until the answer was given."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("D", "app.answer", "Answer", id="drill.answer", tooltip="Say what is broken, and see the diagnosis"),
    ]

    DEFAULT_CSS = """
    DrillScreen.-drilled LayerStrip, DrillScreen.-drilled #top { display: none !important; }
    DrillScreen #task { display: none; height: auto; padding: 0 1; background: $panel; }
    DrillScreen.-drilled #task { display: block; }
    """

    TASK: Final = (
        "Something is broken. At which of the five layers, and by what? Look at pods, nodes, events and the panes of "
        "GPUs and control plane; enter focuses, {log} reads a log. {answer} answers, also if you give up."
    )

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._always = self._tabs = TABS[1:]
        self._answer_key = "D"
        self._kept_back: frozenset[str] = frozenset()
        """Keys that do nothing until the answer was given."""
        self.painter.explains = False

    def compose(self) -> ComposeResult:
        yield Static(id="task", markup=False)
        yield from super().compose()

    def _name_keys(self) -> None:
        super()._name_keys()
        shown = shown_keys(self)
        self._answer_key = shown.get("drill.answer", self._answer_key)
        task = self.TASK.format(log=shown.get("log", "L"), answer=self._answer_key)
        self.query_one("#task", Static).update(task)

    def reveal(self) -> None:
        """Show the diagnosis."""
        self.remove_class(_HIDDEN)
        self.painter.explains = True
        self._always = TABS
        self._note_panes()
        self.tab = 0
        self.refresh_bindings()
        self.paint(None)

    @property
    def is_hidden(self) -> bool:
        return self.has_class(_HIDDEN)

    def on_mount(self) -> None:
        self._kept_back = frozenset(
            key
            for key, active in self.active_bindings.items()
            if active.binding.action.partition("(")[0] in _OF_DIAGNOSIS
        )
        self.add_class(_HIDDEN)
        self.call_after_refresh(self.query_one(PodsPane).table.focus)

    # What the diagnosis leads to stays away as well

    @property
    def _evidence_is_below(self) -> bool:
        return not self.is_hidden and super()._evidence_is_below

    @property
    def _shows_evidence(self) -> bool:
        return not self.is_hidden and super()._shows_evidence

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if self.is_hidden and action in _OF_DIAGNOSIS:
            return False
        return super().check_action(action, parameters)

    def on_key(self, event: events.Key) -> None:
        """Say why a key does nothing, where nobody else answered it."""
        if self.is_hidden and event.key in self._kept_back and event.key not in self.active_bindings:
            self.notify(f"hidden until {self._answer_key}: it would tell what was found", markup=False)

    def action_log(self) -> None:
        """Show the log of what is focused; without a focus it would be that of the cause."""
        if self.is_hidden and self.attention.focus.is_cluster:
            self.notify("whose log? focus a pod with enter", severity="warning", markup=False)
        else:
            super().action_log()


class DrillCockpit(Cockpit):
    """Asks, and scores against its own diagnosis."""

    def __init__(self, *arguments: Any, scenario: str, **options: Any) -> None:
        self._scenario = scenario
        self._began = monotonic()
        super().__init__(*arguments, **options)

    def make_screen(self, target: Target, mode: str) -> CockpitScreen:
        return DrillScreen(self.feed, target, self._clock, mode, self.recorder)

    @property
    def _screen(self) -> DrillScreen:
        assert isinstance(self.cockpit, DrillScreen)  # noqa: S101 - for the type checker: made above
        return self.cockpit

    def action_answer(self) -> None:
        """Ask for layer and cause, then score and show."""
        diagnosis = self.feed.diagnosis
        if not self._screen.is_hidden:
            self.notify("answered already", markup=False)
        elif not any(cause.severity is not Severity.INFO for cause in diagnosis.causes):
            self.notify("nothing has broken yet: look again in a few seconds", markup=False)
        else:
            self._ask(diagnosis, monotonic() - self._began)

    def _ask(self, diagnosis: Diagnosis, after_s: float) -> None:
        from diagnosis.catalogue import ALL

        offered = choices(diagnosis, {rule.id: rule.summary for rule in ALL}, self._scenario)
        layers = tuple(Layer)

        def picked_layer(number: int | None) -> None:
            if number is not None and number >= 0:
                layer = layers[number]
                question = "What is the cause? Some of these only follow from it, some are not the case."
                self.push_screen(
                    AskScreen(question, tuple(item.text for item in offered)),
                    lambda choice: self._answered(diagnosis, layer, offered, choice, after_s),
                )

        question = "At which layer is the first broken link?"
        self.push_screen(AskScreen(question, tuple(f"{item.value} {item.title}" for item in layers)), picked_layer)

    def _answered(
        self, diagnosis: Diagnosis, layer: Layer, offered: tuple[Choice, ...], number: int | None, after_s: float
    ) -> None:
        if number is None or number < 0:
            return
        result = score(Answer(layer, offered[number], after_s), diagnosis)
        self._screen.reveal()
        self.push_screen(ScoreScreen(result.lines))
