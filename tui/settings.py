"""`midwatch themes` and `midwatch config`: what can be set, and where."""

from collections.abc import Iterator
from pathlib import Path

from tui.config import default_config_text
from tui.paths import config_file, themes_dir
from tui.start import read_config


def theme_lines(config: Path | None) -> Iterator[str]:
    """Yield the names of all themes, the configured one marked, and what is wrong with those that cannot be used."""
    from tui.themes import load_themes

    chosen, folder = read_config(config).theme, themes_dir(config)
    themes = load_themes(folder)
    for theme in themes.themes:
        replaces = "  (your own, in place of the shipped one)" if theme.name in themes.replaced else ""
        yield f"{'*' if theme.name == chosen else ' '} {theme.name}{replaces}"
    yield f"your own: {folder}/*.toml"
    for problem in themes.problems:
        yield f"not usable: {problem}"


def config_lines() -> Iterator[str]:
    """Yield a commented configuration file that names its place."""
    yield f"# {config_file()}"
    yield from default_config_text().splitlines()
