"""`midwatch explain --log`: what a log tells, and bad input named in one line."""

import gzip
from pathlib import Path

import pytest

from diagnosis.log_catalogue import ALL
from tests.diagnosis.log_samples import INSTALLER, MODULE, STOP
from tests.tui.commands import midwatch
from tui.exits import UsageProblem
from tui.explain import explain_rule, list_rules
from tui.explain_log import LIMIT_BYTES, explain_log, read_log

SECURE_BOOT = INSTALLER + MODULE + "-> Kernel module load error: Operation not permitted\n" + STOP


async def test_a_log_tells_its_fault_with_line_meaning_and_next_step(tmp_path: Path) -> None:
    (tmp_path / "driver.log").write_text(SECURE_BOOT)
    finished = await midwatch(tmp_path, "explain", "--log", "driver.log")
    assert (finished.code, finished.err) == (0, "")
    assert "driver.log: 2 known texts; line 10 came first: secure-boot" in finished.out
    first, second = finished.out.split("\n\n")[1:]
    assert first.startswith("line 10 · secure-boot · gpu-05\n  | -> Kernel module load error: Operation not permitted")
    assert "UEFI Secure Boot refuses" in first
    assert "mokutil --sb-state" in first
    assert "[INTERRUPTS SERVICE]" in first
    assert "is explained by secure-boot" in second


async def test_a_pipe_is_read_and_nothing_found_is_said_with_exit_code_1(tmp_path: Path) -> None:
    finished = await midwatch(tmp_path, "explain", "--log", "-", given=b"starting\nlistening\n")
    assert (finished.code, finished.err) == (1, "")
    assert finished.out == "standard input: no text of a known fault; `midwatch explain --list` names what is known\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot read it: No such file or directory"),
        ("folder", "a folder; name one log file"),
        (b"\x7fELF\0\0\0", "a binary file, not a log"),
        (gzip.compress(b"log", mtime=0), "compressed; `zcat "),
        ("log".encode("utf-16"), "UTF-16, not UTF-8 text"),
        (b"one\ntwo\xff\n", "line 2: not UTF-8 text"),
        (b"x" * (LIMIT_BYTES + 1), "larger than 64 MiB; `tail -n 100000 "),
    ],
)
def test_bad_input_is_named_with_a_way_out(tmp_path: Path, content: bytes | str | None, said: str) -> None:
    path = tmp_path / "my log"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        path.mkdir()
    with pytest.raises(UsageProblem) as raised:
        read_log(str(path))
    assert str(raised.value).startswith(str(path))
    assert said in str(raised.value)


async def test_bad_input_ends_with_64_and_without_a_trace(tmp_path: Path) -> None:
    for arguments in (("--log", "none.log"), ("--log", "none.log", "crash-loop"), ("--log", "none.log", "--list")):
        finished = await midwatch(tmp_path, "explain", *arguments)
        assert (finished.code, finished.out) == (64, "")
        assert finished.complaint


def test_an_empty_log_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("\n")
    lines, code = explain_log(str(tmp_path / "a.log"))
    assert (code, "the log is empty" in lines[0]) == (1, True)


def test_escape_sequences_of_a_log_do_not_reach_the_terminal(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("\x1b]52;c;aGk=\x07 GPU is lost \u202e\n")
    lines, _ = explain_log(str(tmp_path / "a.log"))
    assert all(line.isprintable() for line in lines)


def test_signatures_are_listed_and_explained_like_rules() -> None:
    listed = "\n".join(list_rules())
    assert all(f" {signature.id} " in listed for signature in ALL)
    (by_id, by_row) = ("\n".join(explain_rule(name)) for name in ("secure-boot", "gpu-05"))
    assert by_id == by_row
    assert "is more specific than: driver-module-load" in by_id
    assert "\n".join(explain_rule("GPU-01")).count("looks for, in a line of the log") == 2
    with pytest.raises(UsageProblem, match="did you mean secure-boot"):
        list(explain_rule("secure-bot"))
