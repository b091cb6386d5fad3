"""What the parts below the widgets must not load, seen in a fresh interpreter."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BELOW_THE_WIDGETS = ("situation", "diagnosis", "incidents", "playbooks", "tape", "collectors", "simulator")

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


SLOW_PARTS = {"grpc", "aetcd", "google", "httpx", "anyio", "kubernetes", "aiohttp", "yaml", "simulator", "sqlite3"}
"""Each costs a good part of the time until the first paint, and only a connection needs them."""

BUILT = """
import sys
from tui.config import Config
from tui.etcd_options import EtcdArguments
from tui.reach import Reach
from tui.start import CockpitOptions, build_app
build_app(CockpitOptions(Reach(local=True, etcd=EtcdArguments(tuple(sys.argv[1:])))), Config())
print(*sorted({module.partition(".")[0] for module in sys.modules}))
"""


@pytest.mark.parametrize("endpoints", [(), ("http://127.0.0.1:2379",)], ids=["nothing said", "etcd named"])
def test_nothing_that_only_a_connection_needs_is_loaded_before_the_first_paint(endpoints: tuple[str, ...]) -> None:
    argv = [sys.executable, "-c", BUILT, *endpoints]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    found = set(done.stdout.split())
    assert {"textual", "diagnosis"} <= found
    assert not found & SLOW_PARTS


@pytest.mark.parametrize("part", ["collectors.etcd.collect", "collectors.control_plane.collect"])
def test_collectors_load_their_libraries_with_the_first_question(part: str) -> None:
    assert not loaded("itself", part) & {"grpc", "aetcd", "google", "httpx", "kubernetes", "aiohttp"}


CONNECTED = """
import asyncio, sys, threading
from tui.connection import KubernetesConnection

class Watch:
    def find_spec(self, name, path=None, target=None):
        if threading.current_thread() is threading.main_thread():
            on_the_loop.add(name)

async def connect():
    sys.meta_path.insert(0, Watch())
    async with KubernetesConnection(sys.argv[1])(lambda reading: None) as connected:
        sys.meta_path.pop(0)
        assert connected.server, "it is connected"

on_the_loop = set()
asyncio.run(connect())
print(*sorted(name for name in on_the_loop if name.startswith(("collectors", "situation", "kubernetes", "httpx"))))
"""


def test_what_a_connection_needs_is_not_loaded_where_the_first_keys_wait(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        '{"current-context": "c", "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}], '
        '"clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}], '
        '"users": [{"name": "u", "user": {"token": "t"}}]}'
    )
    argv = [sys.executable, "-c", CONNECTED, str(config)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


TRUSTED = """
import ssl
from collectors.kubernetes.client_import import import_client
def trusted(): return len(ssl.create_default_context().get_ca_certs())
before = trusted()
import_client()
from aiohttp.connector import _SSL_CONTEXT_VERIFIED as theirs
print(trusted() - before, "set_default_verify_paths" in vars(ssl.SSLContext))
print(theirs.verify_mode.name, len(theirs.get_ca_certs()))
"""


def test_importing_the_client_leaves_this_machines_authorities_as_they_were_and_its_own_default_trusts_nobody() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TRUSTED], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.split() == ["0", "False", "CERT_REQUIRED", "0"], done.stderr
