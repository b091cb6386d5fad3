"""What the parts below the widgets must not load, seen in a fresh interpreter."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BELOW_THE_WIDGETS = ("situation", "diagnosis", "playbooks", "tape", "collectors", "simulator")

LOADED = """
import importlib, pkgutil, sys
for name in sys.argv[2:]:
    package = importlib.import_module(name)
    if sys.argv[1] == "all":
        for module in pkgutil.walk_packages(getattr(package, "__path__", []), name + "."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
print(*sorted({module.partition(".")[0] for module in sys.modules}))
"""


def loaded(how: str, *names: str) -> set[str]:
    """Import `names`, with `all` also everything in them; return the top-level packages that are loaded then."""
    argv = [sys.executable, "-c", LOADED, how, *names]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("package", BELOW_THE_WIDGETS)
def test_nothing_below_the_widgets_loads_a_terminal_library(package: str) -> None:
    found = loaded("all", package)
    assert package in found
    assert not found & {"textual", "rich", "tui", "widgets"}


def test_the_measure_sees_a_terminal_library() -> None:
    assert {"textual", "rich", "widgets"} <= loaded("all", "widgets")


def test_the_command_line_answers_without_terminal_or_network_libraries() -> None:
    found = loaded("itself", "tui.cli")
    assert {"tui", "click"} <= found
    assert not found & {"textual", "kubernetes", "aiohttp", "yaml", "collectors", "diagnosis", "simulator"}
