import itertools
import sys
from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from textual.color import Color
from textual.theme import Theme
from textual.widgets import Static

from tests.tui.colors import DEUTERANOPIA, FULL_VISION, PROTANOPIA, Matrix, contrast, distance
from tests.tui.ptys import child_environ, on_terminal
from tui.config import DEFAULT_THEME, default_config_text
from tui.themes import PLAIN_THEME, VARIABLE_DEFAULTS, ansi_color, load_themes, theme_for, variable_defaults

SHIPPED = {theme.name: theme for theme in load_themes().themes}
COLORED = sorted(set(SHIPPED) - {PLAIN_THEME})
ROLES = [name.removeprefix("midwatch-") for name in VARIABLE_DEFAULTS]

GOOD = """
dark = true
[colors]
background = "#000000"
surface = "#101010"
panel = "#202020"
foreground = "#ffffff"
primary = "blue"
[states]
critical = "red"
warning = "orange"
info = "white"
fine = "rgb(0,200,255)"
waiting = "#aaa"
special = "yellow"
dim = "#999999"
focus = "#88f"
"""


def test_all_shipped_themes_load() -> None:
    assert load_themes().problems == ()
    assert set(SHIPPED) == {DEFAULT_THEME, "midwatch-light", "midwatch-contrast", "midwatch-safe", PLAIN_THEME}
    assert [theme.name for theme in SHIPPED.values() if not theme.dark] == ["midwatch-light"]
    assert all(name in default_config_text() for name in SHIPPED)


# Colours


def test_the_measures_are_right() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)
    assert distance("#000000", "#ffffff", FULL_VISION) == pytest.approx(100, abs=0.1)
    red, green = "#c04040", "#708000"
    assert distance(red, green, DEUTERANOPIA) < distance(red, green, FULL_VISION) / 3


@pytest.mark.parametrize("name", COLORED)
@pytest.mark.parametrize("role", [*ROLES, "foreground"])
def test_text_is_readable_on_every_ground(name: str, role: str) -> None:
    theme = SHIPPED[name]
    color = theme.foreground if role == "foreground" else theme.variables[f"midwatch-{role}"]
    least = 7.0 if name == "midwatch-contrast" else 4.5
    for ground in (theme.background, theme.surface, theme.panel):
        assert color is not None
        assert ground is not None
        assert contrast(color, ground) >= least, (color, ground)


@pytest.mark.parametrize("name", COLORED)
def test_the_row_with_the_cursor_is_readable(name: str) -> None:
    made = SHIPPED[name].to_color_system().generate()
    for kind in ("block-cursor", "block-cursor-blurred"):
        assert contrast(made[f"{kind}-foreground"], made[f"{kind}-background"]) >= 7


@pytest.mark.parametrize("name", COLORED)
@pytest.mark.parametrize("eyes", [FULL_VISION, DEUTERANOPIA, PROTANOPIA], ids=["full", "deuteranopia", "protanopia"])
def test_states_stay_apart_for_any_eyes(name: str, eyes: Matrix) -> None:
    of = SHIPPED[name].variables
    for first, second in itertools.combinations(("critical", "warning", "fine"), 2):
        assert distance(of[f"midwatch-{first}"], of[f"midwatch-{second}"], eyes) >= 20, (first, second)


def test_defaults_are_those_of_the_shipped_themes() -> None:
    dark, light = SHIPPED[DEFAULT_THEME].variables, SHIPPED["midwatch-light"].variables
    assert {name: dark[name] for name in VARIABLE_DEFAULTS} == VARIABLE_DEFAULTS == variable_defaults(True)
    assert {name: light[name] for name in VARIABLE_DEFAULTS} == variable_defaults(False)


# The user's own


def of_user(directory: Path, **files: str) -> tuple[dict[str, Theme], tuple[str, ...]]:
    for stem, text in files.items():
        (directory / f"{stem}.toml").write_text(text)
    themes = load_themes(directory)
    assert set(SHIPPED) <= {theme.name for theme in themes.themes}
    return {theme.name: theme for theme in themes.themes}, themes.problems


def test_a_theme_of_the_user_is_named_after_its_file(tmp_path: Path) -> None:
    themes, problems = of_user(tmp_path, night=GOOD)
    assert problems == ()
    assert themes["night"].variables["midwatch-fine"] == "rgb(0,200,255)"


def test_a_theme_of_the_user_replaces_its_namesake(tmp_path: Path) -> None:
    themes, problems = of_user(tmp_path, x=f'name = "{DEFAULT_THEME}"' + GOOD)
    assert problems == ()
    assert themes[DEFAULT_THEME].background == "#000000"
    assert len(themes) == len(SHIPPED)


def test_two_files_with_one_name(tmp_path: Path) -> None:
    _, problems = of_user(tmp_path, a=GOOD, b='name = "a"' + GOOD)
    assert problems == (f"{tmp_path / 'b.toml'}: name: another file has the theme 'a' already",)


def test_no_directory_of_the_user_is_fine_and_a_file_in_its_place_is_told(tmp_path: Path) -> None:
    assert load_themes(tmp_path / "gone").problems == ()
    (tmp_path / "file").write_text("")
    problems = load_themes(tmp_path / "file").problems
    assert len(problems) == 1
    assert "Not a directory" in problems[0]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('critical = "red"\n', "", "states.critical is missing"),
        ('panel = "#202020"\n', "", "colors.panel is missing"),
        ('critical = "red"', 'critical = "rde"', "states.critical: 'rde' is not a colour"),
        ('critical = "red"', "critical = 7", "states.critical: 7 is not a colour"),
        ('critical = "red"', 'critical = "#ff000080"', "states.critical: '#ff000080' is not opaque"),
        ('primary = "blue"', 'primary = "auto"', "colors.primary: 'auto' is not"),
        ('warning = "orange"', 'warnign = "orange"', "unknown key states.warnign; did you mean 'warning'?"),
        ("dark = true", "drak = true", "unknown key drak; did you mean 'dark'?"),
        ("dark = true", "dark = 1", "dark: expected true or false, got 1"),
        ("dark = true", 'name = "Not/good"', "name: 'Not/good' is not a name"),
        ("dark = true", "name = 3", "name: 3 is not a name"),
        ("dark = true", "variables = 3", "variables: expected a table, got 3"),
        ("[colors]", "[colours]", "unknown key colours; did you mean 'colors'?"),
        ("[states]", '[variables]\nzzz = "red"\n[states]', "unknown key variables.zzz"),
        ("[states]", '[variables]\nborder = "rde"\n[states]', "variables.border: 'rde' is not a colour"),
        ("[states]", '[variables]\nlink-style = "loud"\n[states]', "variables.link-style: 'loud' is not a text style"),
        ("[states]", '[variables]\nbackground-darken-1 = "auto 50%"\n[states]', "variables: "),
        ("dark = true", "dark = ", "not TOML"),
    ],
)
def test_a_bad_theme_is_told_and_the_rest_loads(tmp_path: Path, before: str, after: str, said: str) -> None:
    assert before in GOOD
    themes, problems = of_user(tmp_path, bad=GOOD.replace(before, after), good=GOOD)
    assert "good" in themes
    assert set(themes) == {*SHIPPED, "good"}
    assert len(problems) == 1
    assert problems[0].startswith(f"{tmp_path / 'bad.toml'}: ")
    assert said in problems[0]


def test_variables_of_textual_can_be_set(tmp_path: Path) -> None:
    more = '[variables]\nborder = "#123456"\nlink-style = "bold"\ninput-selection-background = "red 35%"\n'
    more += 'text = "auto 80%"\n'
    themes, problems = of_user(tmp_path, mine=GOOD + more)
    assert problems == ()
    assert themes["mine"].variables["border"] == "#123456"


# In an application


class States(App[None]):
    CSS = "Static { width: 30; }" + "".join(f"#{role} {{ color: $midwatch-{role}; }}" for role in ROLES)

    def compose(self) -> ComposeResult:
        for role in ROLES:
            yield Static(role, id=role)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return variable_defaults(self.current_theme.dark)


async def test_every_theme_can_be_taken_while_running_and_textuals_own_too(tmp_path: Path) -> None:
    app = States()
    async with app.run_test() as pilot:
        for theme in SHIPPED.values():
            app.register_theme(theme)
        for name in [*SHIPPED, "textual-light", "nord", "ansi-dark"]:
            app.theme = name
            await pilot.pause()
            wanted = {**variable_defaults(app.current_theme.dark), **app.current_theme.variables}["midwatch-critical"]
            assert app.query_one("#critical").styles.color == Color.parse(wanted)


# Which one


def test_the_wish_is_followed_or_the_reason_is_told() -> None:
    assert theme_for({}, "midwatch-light", SHIPPED) == ("midwatch-light", "")
    name, problem = theme_for({}, "midwatch-lihgt", SHIPPED)
    assert name == DEFAULT_THEME
    assert "there is no theme 'midwatch-lihgt'; did you mean 'midwatch-light'?" in problem
    assert theme_for({}, "x", [])[0] == "textual-dark"


def test_no_color_takes_the_plain_theme() -> None:
    for value in ("1", ""):
        assert theme_for({"NO_COLOR": value}, "midwatch-light", SHIPPED) == (PLAIN_THEME, "")
        assert ansi_color({"NO_COLOR": value}) is True
    assert theme_for({"NO_COLOR": "1"}, "x", []) == ("ansi-dark", "")
    assert ansi_color({}) is None


PAINTED = """
import os
from textual.app import App
from textual.widgets import Button, Footer, Input, OptionList, Static
from tui.themes import ansi_color, load_themes, theme_for, variable_defaults
class Painted(App):
    CSS = "Static { color: $midwatch-critical; background: $panel; } #special { color: $midwatch-special; }"
    BINDINGS = [("x", "quit", "Leave")]
    def __init__(self):
        super().__init__(ansi_color=ansi_color(os.environ))
        themes = {theme.name: theme for theme in load_themes().themes}
        for theme in themes.values():
            self.register_theme(theme)
        self.theme = theme_for(os.environ, "midwatch-dark", themes)[0]
    def get_theme_variable_defaults(self):
        return variable_defaults(True)
    def compose(self):
        yield Static("critical")
        yield Static("special", id="special")
        yield OptionList(*[f"line {number}" for number in range(50)])
        yield Input("text")
        yield Button("press", variant="error")
        yield Footer()
    def on_mount(self):
        self.notify("told", severity="error")
Painted().run()
"""


def colors_sent(**environ: str) -> set[str]:
    """Run an application on a terminal and return the colours that it sent: SGR parameters for colours, not resets."""
    argv = [sys.executable, "-c", PAINTED]
    with on_terminal(argv, child_environ(COLORTERM="truecolor", **environ)) as terminal:
        terminal.read_until(lambda raw: b"critical" in raw and b"told" in raw)
        terminal.type("\x11")  # ctrl+q
        raw = terminal.read_to_end().decode()
    return set(itertools.chain.from_iterable(map(colors_of, sgr(raw))))


def sgr(raw: str) -> list[str]:
    """Return the parameters of every Select Graphic Rendition."""
    parts = [part.partition("m") for part in raw.split("\x1b[")[1:]]
    return [head for head, end, _ in parts if end and all(sign in "0123456789;:" for sign in head)]


def colors_of(parameters: str) -> list[str]:
    numbers = iter(parameters.replace(":", ";").split(";"))
    found = []
    for number in numbers:
        if number in ("38", "48"):
            found.append(number)
            for _ in range(3 if next(numbers) == "2" else 1):
                next(numbers)
        elif number.isdigit() and (30 <= int(number) <= 37 or 40 <= int(number) <= 47 or 90 <= int(number) <= 107):
            found.append(number)
    return found


def test_with_no_color_no_colour_reaches_the_terminal() -> None:
    assert colors_sent() >= {"38", "48"}
    assert colors_sent(NO_COLOR="1") == set()
