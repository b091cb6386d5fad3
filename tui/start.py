"""Opens the cockpit: terminal, configuration, theme, connection."""

import gc
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypedDict

import msgspec

from tui.config import Config, ConfigError, load_config
from tui.exits import UsageProblem
from tui.logs import log_to_file
from tui.paths import state_dir, themes_dir
from tui.reach import Reach
from tui.signals import ended_by_sigterm
from tui.terminal import why_not_drawn

if TYPE_CHECKING:
    from textual.binding import Binding

    from tui.app import Cockpit
    from tui.replay import Replay
    from tui.themes import Themes


_FRAMES_PER_S: Final = 240
"""A change waits 4 ms at most for its frame. What the cluster does is painted 10 times a second at most in any case;
only what a key does comes sooner."""


class Appearance(TypedDict):
    """Arguments of a cockpit that do not depend on what it shows."""

    themes: "Themes"
    theme: str
    ansi_color: bool | None
    hz: float
    state_dir: Path
    environ: dict[str, str]
    keymap: dict[str, str]


class Demo(NamedTuple):
    """A simulated cluster. Of the configuration only what concerns the screen counts: all else leads elsewhere."""

    command: str
    """What it was started with."""
    folder: Path
    """Its own files; those of this host are another cluster's."""


class CockpitOptions(msgspec.Struct, frozen=True):
    """What the command line asked for; it wins over the configuration."""

    reach: Reach = Reach()
    theme: str | None = None
    kiosk: bool = False
    mode: str = "read-only"
    who: str | None = None
    """Who writes the log; None: the login name."""
    resume: str | None = None
    """Incident whose log goes on; empty: the last of this context that was left open; None: a new one."""
    drill: str = ""
    """Name of the incident whose diagnosis is to be guessed."""
    demo: Demo | None = None


def read_config(path: Path | None) -> Config:
    """Read the configuration. Raises UsageProblem naming file and key."""
    try:
        return load_config(path.expanduser() if path else None)
    except ConfigError as error:
        raise UsageProblem(str(error)) from error


def open_cockpit(options: CockpitOptions) -> int:
    """Run the cockpit until the user leaves and return the exit code. Raises UsageProblem."""
    _need_terminal()
    gc.disable()  # until the first picture is complete: all that is allocated before stays
    config = read_config(options.reach.config)
    if options.demo is not None:
        config = msgspec.structs.replace(config.look, kubernetes_dir=str(options.demo.folder))
    os.environ.setdefault("TEXTUAL_FPS", str(_FRAMES_PER_S))  # read when textual is imported
    app = build_app(options, config)
    log_to_file(state_dir())
    environ = dict(os.environ)
    try:
        with ended_by_sigterm(app):
            app.run(mouse=config.takes_mouse(environ) and not options.kiosk)
    finally:
        app.close_log()
    return app.return_code or 0


def _need_terminal() -> None:
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise UsageProblem("the cockpit needs a terminal (also for errors); without one use `midwatch check`")
    if problem := why_not_drawn(os.environ, sys.stderr.encoding):  # Textual draws on standard error
        raise UsageProblem(problem)


def run_replay(replay: "Replay", options: CockpitOptions) -> int:
    """Play a tape until the user leaves and return the exit code. Raises UsageProblem."""
    _need_terminal()
    config = read_config(options.reach.config)
    os.environ.setdefault("TEXTUAL_FPS", str(_FRAMES_PER_S))
    from tui.replay_app import ReplayCockpit

    environ = dict(os.environ)
    app = ReplayCockpit(replay, who=_who(options), **appearance(options, config))
    log_to_file(state_dir())
    with ended_by_sigterm(app):
        app.run(mouse=config.takes_mouse(environ))
    return app.return_code or 0


def build_app(options: CockpitOptions, config: Config) -> "Cockpit":
    """Put the application together. Raises UsageProblem for a theme or a key map that cannot be used."""
    from tui.app import Cockpit

    connection = options.reach.connection(config)
    look, simulated = appearance(options, config), options.demo.command if options.demo else ""
    if options.drill:
        from tui.drill_app import DrillCockpit

        return DrillCockpit(
            connection,
            connection.target,
            scenario=options.drill,
            mode="drill",
            who=_who(options),
            simulated=simulated,
            **look,
        )
    app = Cockpit(
        connection,
        connection.target,
        mode=_mode(options),
        kiosk=options.kiosk,
        who=_who(options),
        resume=options.resume,
        clock=connection.clock,
        simulated=simulated,
        **look,
    )
    app.animation_level = "full" if config.animates(dict(os.environ)) else "none"
    return app


def _who(options: CockpitOptions) -> str:
    from tui.recorder import login_name

    return login_name(dict(os.environ)) if options.who is None else options.who


def appearance(options: CockpitOptions, config: Config) -> "Appearance":
    """Return what a cockpit looks like and which keys it has. Raises UsageProblem for what cannot be used."""
    from tui.escape_key import take_apart
    from tui.keymap import check_keymap
    from tui.themes import ansi_color, load_themes, theme_for

    environ = dict(os.environ)
    themes = load_themes(themes_dir(options.reach.config))
    # What all screens are made of is read only where somebody has keys of their own.
    problems = check_keymap(cockpit_bindings(), dict(config.keys)) if config.keys else ()
    if problems:
        raise UsageProblem(f"{options.reach.config_file}: [keys]: {'; '.join(problems)}")
    take_apart(config.keys.values())
    theme, wrong = theme_for(environ, options.theme or config.theme, [item.name for item in themes.themes])
    if wrong and options.theme:
        raise UsageProblem("; ".join((wrong.replace(" is used", " would be the default"), *themes.problems)))
    if wrong:
        themes = themes._replace(problems=(*themes.problems, f"{options.reach.config_file}: {wrong}"))
    return {
        "themes": themes,
        "theme": theme,
        "ansi_color": ansi_color(environ),
        "hz": config.redraws_per_s(environ),
        "state_dir": state_dir(),
        "environ": environ,
        "keymap": dict(config.keys),
    }


def _mode(options: CockpitOptions) -> str:
    """Return what the header says of this cockpit."""
    words = ["kiosk"] * options.kiosk + ["local"] * options.reach.local
    return " · ".join((*words, "read-only")) if words else options.mode


def cockpit_bindings() -> "list[Binding]":
    """All bindings that can be remapped: of the application, the screen and the panes."""
    from textual.binding import Binding

    from tui.app import Cockpit
    from tui.choice_screen import ChoiceScreen
    from tui.cockpit_screen import CockpitScreen
    from tui.dialogs import ChooseScreen, CommandList, HelpScreen
    from tui.drill_app import AskScreen, Choices, DrillScreen, ScoreScreen
    from tui.filter_line import FilterLine
    from tui.log_screen import LogScreen
    from tui.note_line import NoteLine
    from tui.redraw import RedrawnApp
    from tui.replay_app import PlaceScreen, ReplayScreen
    from tui.timeline_screen import TimelineScreen
    from widgets.checklist import ChecklistPane, NoteInput
    from widgets.evidence import EvidencePane
    from widgets.log_view import LogView
    from widgets.table import RowTable
    from widgets.timeline import TimelinePane

    made: list[Binding] = []
    screens = (CockpitScreen, TimelineScreen, ReplayScreen, DrillScreen, LogScreen)
    panes = (RowTable, EvidencePane.Body, ChecklistPane.Body, NoteInput, TimelinePane, FilterLine, NoteLine, LogView)
    dialogs = (HelpScreen, ChooseScreen, CommandList, ChoiceScreen, PlaceScreen, AskScreen, Choices, ScoreScreen)
    for owner in (Cockpit, RedrawnApp, *screens, *panes, *dialogs):
        made += [binding for binding in owner.BINDINGS if isinstance(binding, Binding)]
    return made
