"""Colour themes from TOML files, shipped and the user's own; a bad file is told and left out, never a crash.

Textual ends the program when a theme with a bad colour is picked or a style sheet names an unknown variable, so all is
checked while loading.
"""

import re
import tomllib
from collections.abc import Callable, Collection, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final, NamedTuple

from textual.color import Color, ColorParseError
from textual.css.constants import VALID_STYLE_FLAGS
from textual.design import ColorSystem
from textual.theme import Theme

from tui.config import DEFAULT_THEME, suggestion

PLAIN_THEME: Final = "midwatch-plain"
LAST_RESORT: Final = "textual-dark"
"""Built into Textual, for an installation without our files."""

_STATES_DARK: Final = {
    "critical": "#ff6046",
    "warning": "#eba400",
    "info": "#a9b8d0",
    "fine": "#56b4e9",
    "waiting": "#98a0ac",
    "special": "#f5f06a",
    "dim": "#8993a1",
    "focus": "#8fb0ff",
}
_STATES_LIGHT: Final = {
    "critical": "#b0104a",
    "warning": "#8f5500",
    "info": "#3d5270",
    "fine": "#005f9e",
    "waiting": "#555d69",
    "special": "#4a4a00",
    "dim": "#586170",
    "focus": "#2450b8",
}
VARIABLE_DEFAULTS: Final[Mapping[str, str]] = {f"midwatch-{role}": color for role, color in _STATES_DARK.items()}
"""For `App.get_theme_variable_defaults`: a theme without our variables must not prevent the start."""

_TOP: Final = ("name", "dark", "ansi", "colors", "states", "variables")
_NEEDED_COLORS: Final = ("background", "surface", "panel", "foreground", "primary")
_COLORS: Final = (*_NEEDED_COLORS, "secondary", "accent", "success", "warning", "error", "boost")
_VARIABLES: Final = frozenset(ColorSystem("#000000").generate()) | frozenset(
    ColorSystem("#000000", ansi=True).generate()
)
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]*")
_WITH_ALPHA: Final = re.compile(r"(?P<color>.+?)(?:\s+\d{1,3}(?:\.\d+)?%)?")


class Themes(NamedTuple):
    """What could be loaded, and what could not."""

    themes: tuple[Theme, ...]
    problems: tuple[str, ...]
    """Each names the file and the key."""
    replaced: tuple[str, ...] = ()
    """Names of shipped themes in whose place the user's own are used."""


class _ThemeError(ValueError):
    pass


def load_themes(user_dir: Path | None = None) -> Themes:
    """Read the shipped themes and those in `user_dir`, which need not exist.

    A theme of the user replaces a shipped one of the same name.
    """
    problems: list[str] = []
    shipped = _load(_shipped, problems)
    own = _load(lambda: _of_user(user_dir), problems)
    return Themes(tuple((shipped | own).values()), tuple(problems), tuple(sorted(shipped.keys() & own.keys())))


def _load(files: Callable[[], list[Traversable]], problems: list[str]) -> dict[str, Theme]:
    loaded: dict[str, Theme] = {}
    try:
        for file in files():
            try:
                theme = _read(file)
            except _ThemeError as error:
                problems.append(f"{file}: {error}")
                continue
            if theme.name in loaded:
                problems.append(f"{file}: name: another file has the theme {theme.name!r} already")
            else:
                loaded[theme.name] = theme
    except _ThemeError as error:
        problems.append(str(error))
    return loaded


def variable_defaults(dark: bool) -> dict[str, str]:
    """Return our variables for a theme that does not bring them, such as Textual's own."""
    return {f"midwatch-{role}": color for role, color in (_STATES_DARK if dark else _STATES_LIGHT).items()}


def theme_for(environ: Mapping[str, str], wanted: str, available: Collection[str]) -> tuple[str, str]:
    """Return (name of the theme to start with, what is wrong with the wish).

    With NO_COLOR it is the plain theme whatever is wanted: Textual would turn every other into grey on grey.
    """
    if no_color(environ):
        return (PLAIN_THEME if PLAIN_THEME in available else "ansi-dark"), ""
    if wanted in available:
        return wanted, ""
    fallback = DEFAULT_THEME if DEFAULT_THEME in available else LAST_RESORT
    return fallback, f"there is no theme {wanted!r}{suggestion(wanted, available)}; {fallback} is used"


def no_color(environ: Mapping[str, str]) -> bool:
    """Tell whether NO_COLOR is set. Textual takes an empty value for set too, so we must agree."""
    return "NO_COLOR" in environ


def ansi_color(environ: Mapping[str, str]) -> bool | None:
    """Return the argument `ansi_color` of `App`: only with True from the start does Textual obey NO_COLOR in full."""
    return True if no_color(environ) else None


def _shipped() -> list[Traversable]:
    try:
        return _toml_files(resources.files("themes"))
    except (OSError, ModuleNotFoundError) as error:
        raise _ThemeError(f"the shipped themes cannot be read: {error}") from None


def _of_user(directory: Path | None) -> list[Traversable]:
    try:
        return [] if directory is None else _toml_files(directory)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _ThemeError(f"{directory}: cannot be read: {error.strerror or error}") from None


def _toml_files(directory: Traversable) -> list[Traversable]:
    return sorted((file for file in directory.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)


def _read(file: Traversable) -> Theme:
    try:
        table = tomllib.loads(file.read_bytes().decode("utf-8"))
    except OSError as error:
        raise _ThemeError(f"cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise _ThemeError(f"not UTF-8 text (byte {error.start})") from None
    except tomllib.TOMLDecodeError as error:
        raise _ThemeError(f"not TOML: {error}") from None
    return _theme(table, file.name.removesuffix(".toml"))


def _theme(table: dict[str, Any], stem: str) -> Theme:
    _only_known(table, _TOP, "")
    name = table.get("name", stem)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise _ThemeError(f"name: {name!r} is not a name of small letters, digits and hyphens")
    for key in ("dark", "ansi"):
        if not isinstance(table.get(key, True), bool):
            raise _ThemeError(f"{key}: expected true or false, got {table[key]!r}")
    colors = _colors(_table(table, "colors"), "colors", _COLORS, _NEEDED_COLORS)
    states = _colors(_table(table, "states"), "states", tuple(_STATES_DARK), tuple(_STATES_DARK))
    variables = _variables(_table(table, "variables"))
    ansi = table.get("ansi", False)
    theme = Theme(
        name=name,
        dark=table.get("dark", True),
        ansi=ansi,
        variables={
            **(_of_terminal(colors) if ansi else _cursor(colors)),
            **{f"midwatch-{role}": color for role, color in states.items()},
            **variables,
        },
        primary=colors["primary"],
        secondary=colors.get("secondary"),
        warning=colors.get("warning"),
        error=colors.get("error"),
        success=colors.get("success"),
        accent=colors.get("accent"),
        foreground=colors["foreground"],
        background=colors["background"],
        surface=colors["surface"],
        panel=colors["panel"],
        boost=colors.get("boost"),
    )
    try:
        theme.to_color_system().generate()
    except ColorParseError as error:
        raise _ThemeError(f"variables: {error}") from None
    return theme


def _cursor(colors: Mapping[str, str]) -> dict[str, str]:
    """Return the colours of the row with the cursor: readable whatever the colour of its text was."""
    return {
        "block-cursor-foreground": colors["background"],
        "block-cursor-background": colors["foreground"],
        "block-cursor-blurred-foreground": colors["foreground"],
        "block-cursor-blurred-background": colors["panel"],
        "block-cursor-blurred-text-style": "bold",
    }


def _of_terminal(colors: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that Textual's style sheets need and that it does not derive for themes of this sort."""
    return {
        "ansi-background": colors["background"],
        "ansi-foreground": colors["foreground"],
        "foreground-disabled": colors["foreground"],
        "surface-active": colors["surface"],
    }


def _table(table: dict[str, Any], key: str) -> dict[str, Any]:
    value = table.get(key, {})
    if not isinstance(value, dict):
        raise _ThemeError(f"{key}: expected a table, got {value!r}")
    return value


def _only_known(table: Mapping[str, Any], known: Collection[str], prefix: str) -> None:
    for key in table:
        if key not in known:
            raise _ThemeError(f"unknown key {prefix}{key}{suggestion(key, known)}")


def _colors(table: Mapping[str, Any], name: str, known: Collection[str], needed: Collection[str]) -> dict[str, str]:
    _only_known(table, known, f"{name}.")
    for key in needed:
        if key not in table:
            raise _ThemeError(f"{name}.{key} is missing")
    return {key: _color(value, f"{name}.{key}", opaque=key != "boost") for key, value in table.items()}


def _color(value: object, key: str, *, opaque: bool) -> str:
    if not isinstance(value, str):
        raise _ThemeError(f"{key}: {value!r} is not a colour")
    try:
        color = Color.parse(value)
    except ColorParseError:
        raise _ThemeError(f"{key}: {value!r} is not a colour") from None
    if opaque and (color.a != 1 or color.auto):
        raise _ThemeError(f"{key}: {value!r} is not opaque")
    return value


def _variables(table: Mapping[str, Any]) -> dict[str, str]:
    _only_known(table, _VARIABLES, "variables.")
    for key, value in table.items():
        where = f"variables.{key}"
        if key.endswith("-style"):
            if not isinstance(value, str) or not value or not set(value.split()) <= VALID_STYLE_FLAGS:
                raise _ThemeError(f"{where}: {value!r} is not a text style")
        else:
            match = _WITH_ALPHA.fullmatch(value) if isinstance(value, str) else None
            if match is None or match["color"] != "auto":
                _color(match["color"] if match else value, where, opaque=False)
    return dict(table)
