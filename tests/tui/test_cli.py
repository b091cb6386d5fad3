"""The command line: usage errors, broken pipes, and what is said without a terminal."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.build import node
from tests.tui.commands import DEADLINE_S, PROGRAM, ROOT, environment, midwatch, write_kubeconfig
from tests.tui.ptys import on_terminal

USAGE = 64
CANNOT_TELL = 3
NO_OUTPUT = "standard output is closed; for the exit code alone send it to /dev/null"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--bogus",), "no such option"),
        (("bogus",), "no such command 'bogus'"),
        (("check", "--bogus"), "no such option"),
        (("check", "-o", "xml"), "'xml' is not one of"),
        (("check", "--timeout", "0"), "--timeout"),
        (("check", "--timeout", "nan"), "--timeout"),
        (("check", "--dump"), "requires an argument"),
        (("check", "--at", "2026-01-01T00:00:00Z"), "--at needs --dump"),
        (("check", "--dump", "x", "--at", "yesterday"), "--at 'yesterday' is not a time"),
        (("check", "--dump", "x", "--kubeconfig", "y"), "leave --kubeconfig out"),
        (("check", "--kubeconfig", "nowhere"), "nowhere: no such kubeconfig file"),
        (("--kubeconfig", "nowhere", "check"), "nowhere: no such kubeconfig file"),
        (("--kiosk", "check"), "--kiosk is no option of `midwatch check`"),
        (("--etcd-cert", "c", "--etcd-endpoints", "https://x", "check"), "--etcd-key"),
        (("check", "-n", "a/../b"), "not a name of a namespace"),
        (("check", "--dump", "x", "--dcgm", "http://x"), "leave --dcgm and --prometheus out"),
        (("check",), "no cluster configured"),
        (("explain", "crash-lop"), "did you mean crash-loop?"),
        (("explain", "quite-another"), "`midwatch explain --list`"),
        (("demo", "nothing"), "there are: api_outage, api_overloaded, etcd_"),
        (("demo", "--speed", "0"), "--speed"),
        (("themes", "--config", "nowhere.toml"), "nowhere.toml: no such file"),
        (("last",), "nothing was copied yet"),
        ((), "the cockpit needs a terminal"),
        (("demo",), "the cockpit needs a terminal"),
    ],
)
async def test_a_usage_error_is_one_line_and_64(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    finished = await midwatch(tmp_path, *arguments)
    assert finished.code == USAGE
    assert said in finished.complaint
    assert finished.out == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("bogus = 1\n", "unknown key 'bogus'"),
        ("theme = 7\n", "theme = 7"),
        ("theme = [\n", "not TOML"),
        ('prometheus = "foo"\n', "prometheus = 'foo': not a URL"),
        ('namespace = "a/b"\n', "namespace = 'a/b': not a name of a namespace"),
    ],
)
async def test_a_bad_configuration_names_file_and_key(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "own.toml").write_text(text)
    for command in ("themes", "check"):
        finished = await midwatch(tmp_path, command, "--config", "own.toml")
        assert finished.code == USAGE
        assert finished.complaint.startswith("own.toml: ")
        assert said in finished.complaint


async def test_a_theme_without_a_colour_is_named_and_the_others_stay(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "midwatch" / "themes"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text('name = "mine"\ndark = true\n[colors]\nprimary = "#ffffff"\n')
    finished = await midwatch(tmp_path, "themes", changes={"XDG_CONFIG_HOME": str(tmp_path / "config")})
    assert finished.code == 0
    assert "not usable: " in finished.out
    assert "mine.toml" in finished.out
    assert "midwatch-dark" in finished.out


async def test_own_themes_stand_beside_the_configuration_that_is_read_and_replaced_ones_are_marked(
    tmp_path: Path,
) -> None:
    shipped = (ROOT / "themes" / "midwatch-light.toml").read_text()
    (tmp_path / "etc" / "themes").mkdir(parents=True)
    (tmp_path / "etc" / "own.toml").write_text('theme = "mine"\n')
    (tmp_path / "etc" / "themes" / "copy.toml").write_text(shipped)
    mine = shipped.replace("midwatch-light", "mine")
    (tmp_path / "etc" / "themes" / "mine.toml").write_text(mine)
    listed = await midwatch(tmp_path, "themes", "--config", "etc/own.toml")
    doctor = await midwatch(tmp_path, "doctor", "--config", "etc/own.toml", "--kubeconfig", "nowhere")
    elsewhere = await midwatch(tmp_path, "themes")
    assert "* mine" in listed.out.splitlines()
    assert "  midwatch-light  (your own, in place of the shipped one)" in listed.out.splitlines()
    assert f"your own: {tmp_path / 'etc' / 'themes'}/*.toml" in listed.out
    assert "; your own replace midwatch-light" in doctor.out
    assert "there is no theme" not in doctor.out
    assert "  midwatch-light" in elsewhere.out.splitlines()
    assert "mine" not in elsewhere.out


async def test_escape_sequences_in_a_name_are_shown_and_not_sent(tmp_path: Path) -> None:
    finished = await midwatch(tmp_path, "check", "--dump", "a\x1b[31mb")
    assert finished.code == USAGE
    assert "a␛[31mb" in finished.complaint
    assert "\x1b" not in finished.err


async def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    out, into = os.pipe()
    os.close(out)
    child = await asyncio.create_subprocess_exec(
        *PROGRAM, "explain", "--list", stdout=into, stderr=PIPE, env=environment(tmp_path)
    )
    os.close(into)
    async with asyncio.timeout(DEADLINE_S):
        _, err = await child.communicate()
    assert (child.returncode, err) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
async def test_a_full_disk_is_said(tmp_path: Path) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    child = await asyncio.create_subprocess_exec(
        *PROGRAM, "explain", "--list", stdout=full, stderr=PIPE, env=environment(tmp_path)
    )
    os.close(full)
    async with asyncio.timeout(DEADLINE_S):
        _, err = await child.communicate()
    assert child.returncode == USAGE
    assert err.decode() == "midwatch: cannot write to standard output: No space left on device\n"


@pytest.mark.parametrize(
    ("closed", "arguments", "code", "said"),
    [
        (">&-", ("check", "--dump", "empty"), USAGE, NO_OUTPUT),
        (">&-", ("--version",), USAGE, NO_OUTPUT),
        ("<&-", (), USAGE, "the cockpit needs a terminal (also for errors); without one use `midwatch check`"),
        ("<&-", ("explain", "--log", "-"), USAGE, "standard input: cannot read it: Bad file descriptor"),
        ("<&-", ("check", "--dump", "-"), USAGE, "/dev/stdin: the file is empty"),
        ("<&-", ("check", "--dump", "nodes.json"), CANNOT_TELL, ""),
        ("2>&-", ("check", "--dump", "nodes.json"), CANNOT_TELL, ""),
        ("2>&-", ("check", "--dump", "missing"), USAGE, ""),
    ],
)
async def test_a_stream_that_is_closed_is_said_where_it_is_needed(
    tmp_path: Path, closed: str, arguments: tuple[str, ...], code: int, said: str
) -> None:
    (tmp_path / "nodes.json").write_text(json.dumps({"kind": "List", "items": [node("n1")]}))
    child = await asyncio.create_subprocess_exec(
        "sh", "-c", f'exec "$@" {closed}', "sh", *PROGRAM, *arguments,
        cwd=tmp_path, stdout=PIPE, stderr=PIPE, env=environment(tmp_path),
    )  # fmt: skip
    async with asyncio.timeout(DEADLINE_S):
        out, err = await child.communicate()
    assert (child.returncode, err.decode()) == (code, f"midwatch: {said}\n" if said else "")
    assert bool(out) is (code == CANNOT_TELL)


async def test_a_locale_without_glyphs_gets_escapes(tmp_path: Path) -> None:
    finished = await midwatch(tmp_path, "explain", "crash-loop", changes={"PYTHONIOENCODING": "ascii"})
    assert finished.code == 0
    assert finished.out.startswith("crash-loop \\xb7 layer 1")


def _takes_interrupts() -> None:
    """Tests that a shell runs in the background ignore interrupts, and so would their children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


async def test_an_interrupt_leaves_130_and_no_traceback(tmp_path: Path) -> None:
    """Against a server that takes the connection and says nothing."""
    asked = asyncio.Event()
    left = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        asked.set()
        await left.wait()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        path = write_kubeconfig(tmp_path / "kubeconfig", f"http://127.0.0.1:{port}")
        child = await asyncio.create_subprocess_exec(
            *PROGRAM,
            "check",
            "--kubeconfig",
            str(path),
            stdout=PIPE,
            stderr=PIPE,
            env=environment(tmp_path),
            preexec_fn=_takes_interrupts,
        )
        async with asyncio.timeout(DEADLINE_S):
            await asked.wait()
            child.send_signal(signal.SIGINT)
            out, err = await child.communicate()
        left.set()
    assert (child.returncode, out, err) == (130, b"", b"")


async def test_keys_of_etcd_are_named_with_their_file(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('etcd_cert = "/nowhere/etcd.crt"\n')
    finished = await midwatch(tmp_path, "check", "--config", "own.toml")
    assert finished.code == USAGE
    pair = "own.toml: etcd_cert /nowhere/etcd.crt needs own.toml: etcd_key too: certificate and key are a pair"
    assert finished.complaint == pair


def test_keys_that_cannot_be_used_are_named_with_their_file(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[keys]\n"table.nope" = "j"\n')
    with on_terminal([*PROGRAM, "--config", str(own)], environment(tmp_path)) as terminal:
        said = terminal.read_to_end().decode()
        assert terminal.child.wait() == USAGE
    assert f"midwatch: {own}: [keys]: keys.table.nope: there is no such binding" in said


def test_an_unknown_theme_is_said_on_terminal(tmp_path: Path) -> None:
    with on_terminal([*PROGRAM, "--theme", "nothing"], environment(tmp_path)) as terminal:
        said = terminal.read_to_end().decode()
    assert "midwatch: " in said
    assert "nothing" in said
    assert "\x1b" not in said


BROKEN = """
from tui.cli import app, main
@app.command()
def broken() -> int:
    return {}["a\x1b[31m"]
main()
"""


@pytest.mark.parametrize("can_log", [True, False])
async def test_what_nobody_foresaw_is_one_line_and_3_and_a_traceback_in_the_log(tmp_path: Path, can_log: bool) -> None:
    """1 would mean "warnings"."""
    state = tmp_path / "state"
    if not can_log:
        state.write_text("no folder")
    environ = environment(tmp_path, {"XDG_STATE_HOME": str(state)})
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", BROKEN, "broken", stdout=PIPE, stderr=PIPE, env=environ
    )
    async with asyncio.timeout(DEADLINE_S):
        out, err = await child.communicate()
    log = state / "midwatch" / "midwatch.log"
    assert (child.returncode, out) == (3, b"")
    first, *more = err.decode().splitlines()
    assert first.startswith("midwatch: internal error: KeyError: ")
    assert b"\x1b" not in err
    if can_log:
        assert first.endswith(f"; the traceback is in {log}")
        assert more == []
        assert "Traceback" in log.read_text()
    else:
        assert first.endswith("so here is the traceback")
        assert "Traceback" in more[0]


async def test_a_kubeconfig_with_a_wrong_type_is_a_usage_error_for_all_who_connect(tmp_path: Path) -> None:
    user = {"exec": {"command": "true", "apiVersion": "client.authentication.k8s.io/v1", "args": 5}}
    path = write_kubeconfig(tmp_path / "kubeconfig", "http://127.0.0.1:1", user=user)
    said = f"{path}: user 'me': exec: args must be a list, not a number"
    for command in (("check",), ("record", "t.tape")):
        finished = await midwatch(tmp_path, *command, "--kubeconfig", str(path))
        assert (finished.code, finished.complaint) == (USAGE, said)
    finished = await midwatch(tmp_path, "doctor", "--kubeconfig", str(path))
    assert (finished.code, finished.err) == (3, "")
    assert "✗ kubeconfig" in finished.out and said in finished.out


async def test_help_and_version_need_nothing(tmp_path: Path) -> None:
    version = await midwatch(tmp_path, "--version")
    assert version.code == 0
    assert version.out.startswith("midwatch ")
    for arguments in (("--help",), ("check", "-h"), ("doctor", "-h")):
        finished = await midwatch(tmp_path, *arguments)
        assert (finished.code, finished.err) == (0, "")
        assert "Usage: " in finished.out


def test_a_theme_that_cannot_be_used_is_named_with_its_file_and_key(tmp_path: Path) -> None:
    folder = tmp_path / "config" / "midwatch" / "themes"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text("dark = true\n")
    environ = environment(tmp_path, {"XDG_CONFIG_HOME": str(tmp_path / "config")})
    with on_terminal([*PROGRAM, "--theme", "mine"], environ) as terminal:
        said = terminal.read_to_end().decode()
        assert "there is no theme 'mine'" in said
        assert f"{folder / 'mine.toml'}: colors.background is missing" in said
        assert terminal.child.wait() == USAGE
