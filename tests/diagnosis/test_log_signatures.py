"""Log signatures: each row of the known faults is told by its log, look-alikes apart, whatever else the log holds."""

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnosis.catalogue import BY_ID as RULES
from diagnosis.log_catalogue import ALL, BY_ID
from diagnosis.log_catalogue.signature import PLACEHOLDERS, Signature, Weight, commands
from diagnosis.log_signatures import BLOCK_CHARS, LINES_KEPT, Match, find_signatures, trigger
from playbooks.commands import Target, render
from situation.findings import Effect
from situation.text import harmless
from tests.diagnosis.log_samples import INSTALLER, KERNEL, MODULE, SAMPLES, WITHOUT_LOG

NOISE = "starting\nlistening on :8080\nGET /healthz 200\n"
PLACE = dict(zip(PLACEHOLDERS, ("gpu-operator", "pod-1", "ctr", "gpu-07", "driver-1", "gpu-operator"), strict=True))


def told(text: str) -> list[str]:
    """Ids of what a log tells, but for what something more specific explains."""
    return [match.signature.id for match in find_signatures(text) if not match.explained_by]


def first(text: str) -> Match:
    found = trigger(find_signatures(text))
    assert found is not None
    return found


@pytest.mark.parametrize(("row", "signature", "log"), SAMPLES, ids=[f"{row}-{name}" for row, name, _ in SAMPLES])
def test_the_log_of_a_known_fault_tells_just_that(row: str, signature: str, log: str) -> None:
    assert told(NOISE + log + NOISE) == [signature]
    assert BY_ID[signature].row == row
    assert first(NOISE + log).signature.id == signature


def test_every_row_has_a_log_or_is_known_to_have_none() -> None:
    rows = {int(row.removeprefix("gpu-")) for row, _, _ in SAMPLES}
    assert rows | WITHOUT_LOG == set(range(1, 46))
    assert not rows & WITHOUT_LOG
    assert {signature.id for signature in ALL if signature.row} - {name for _, name, _ in SAMPLES} == set()


@pytest.mark.parametrize("signature", ALL, ids=lambda item: item.id)
def test_every_text_of_a_signature_is_found_old_and_new(signature: Signature) -> None:
    for text in signature.texts:
        line = text.replace("…", " anything ")
        assert signature.id in told(f"{NOISE}{line}\n")
        assert signature.id in told(line.upper())


@pytest.mark.parametrize("signature", ALL, ids=lambda item: item.id)
def test_a_signature_can_be_acted_upon(signature: Signature) -> None:
    assert signature.meaning and signature.cause and signature.found_in and signature.next
    assert len(signature.meaning) <= 100, "it stands on one line of a card"
    assert signature.next[0].effect is Effect.READ
    assert signature.next[0].argv, "the first step is a command"
    made = commands(signature, PLACE)
    assert len(made) == sum(1 for step in signature.next if step.argv)
    for command in made:
        render(command, Target("prod"))
    assert all(name in BY_ID for name in signature.over)
    assert signature.id not in RULES, "`midwatch explain` takes both"


def test_ids_are_unique_and_a_command_without_a_place_is_not_offered() -> None:
    assert len(BY_ID) == len(ALL)
    assert [command.argv[0] for command in commands(BY_ID["driver-module-load"], {})] == []
    assert [command.where for command in commands(BY_ID["driver-module-load"], PLACE)] == ["node gpu-07"] * 2


def test_the_more_specific_wins_on_a_line_and_explains_the_general_one_elsewhere() -> None:
    line = MODULE.strip() + " Loading of unsigned module is rejected\n"
    assert [match.signature.id for match in find_signatures(line)] == ["secure-boot"]
    general, specific = find_signatures(INSTALLER + MODULE + "-> Kernel module load error: Operation not permitted\n")
    assert (general.signature.id, general.explained_by) == ("driver-module-load", "secure-boot")
    assert (specific.signature.id, specific.line) == ("secure-boot", INSTALLER.count("\n") + 2)
    assert first(MODULE + "Loading of unsigned module is rejected").signature.id == "secure-boot"


def test_the_first_fault_is_the_trigger_not_what_waits_before_or_fails_after_it() -> None:
    log = (
        "waiting for the driver validations to be ready...\n"
        + KERNEL
        + "NVRM: Xid (PCI:0000:3b:00): 79, pid=1, GPU has fallen off the bus.\n"
        + "NVRM: Xid (PCI:0000:3b:00): 45, pid=1\n"
        + "nvidia-container-cli: detection error: driver error: timed out\n"
    )
    assert told(log) == ["waits-for-driver", "gpu-lost", "xid-cleanup", "container-cli-timeout"]
    assert first(log).signature.id == "gpu-lost"
    assert first("waiting for the driver validations to be ready...").signature.weight is Weight.WAITS


def test_in_several_logs_one_after_the_other_time_tells_what_came_first() -> None:
    log = (
        '[pod/a/ctr] 2026-11-23T02:40:00.123456789Z no runtime for "nvidia" is configured\n'
        "[pod/b/ctr] 2026-11-23T02:31:00Z Could not resolve Linux kernel version\n"
    )
    found = first(log)
    assert (found.signature.id, found.at) == ("kernel-not-resolved", datetime(2026, 11, 23, 2, 31, tzinfo=UTC))
    assert first(log.replace("2026-11-23T02:31:00Z ", "")).signature.id == "no-nvidia-runtime"


@pytest.mark.parametrize(
    ("log", "signature"),
    [
        ("No devices found. Waiting indefinitely.", "nvml-init"),
        ("No devices were found", "gpu-init-failed"),
        ("Failed to initialize NVML: Unknown Error", "nvml-unknown-error"),
        ("Failed to initialize NVML: ERROR_LIBRARY_NOT_FOUND", "nvml-init"),
        ("XidCriticalError: Xid=48 on Device=GPU-1, marking device as unhealthy", "xid-memory"),
        ("NVRM: Xid (PCI:0000:3b:00): 13, pid=1, Graphics Exception", "xid-application"),
        ("NVRM: Xid (PCI:0000:3b:00): 63, pid=1, Row Remapper", "xid-remapped"),
        ("NVRM: Xid (PCI:0000:3b:00): 64, pid=1, Row Remapper", "xid-remap-failed"),
        ("failed to validate the driver, retrying after 5 seconds", "waits-for-driver"),
        ("no CUDA-capable device is detected", "cuda-no-device"),
        ("Failed to allocate device vector A (error code unknown error)!", "cuda-sample"),
    ],
)
def test_look_alikes_are_told_apart(log: str, signature: str) -> None:
    assert told(log) == [signature]


@pytest.mark.parametrize(
    "log",
    [
        "",
        "\n\n",
        NOISE,
        "NVRM: Xid (PCI:0000:3b:00): 7, pid=1",
        'Failed to pull image "shop/web:1": not found',
        "error: module nouveau not found, fine",
        "Successfully loaded the kernel module nvidia",
        "specified config default\nthe file does not exist",
    ],
)
def test_what_is_no_known_fault_is_not_called_one(log: str) -> None:
    assert find_signatures(log) == ()


def test_colours_and_the_quotes_of_json_do_not_hide_a_text() -> None:
    assert told("\x1b[31mERROR:\x1b[0m Unable to load the \x1b[1mkernel\x1b[0m module") == ["driver-module-load"]
    assert told(harmless("Unable to load the \x1b[1mkernel\x1b[0m module")) == ["driver-module-load"]
    assert told('{"error":"exec: \\"nvidia-smi\\": executable file not found in $PATH"}') == ["no-nvidia-smi"]


def test_all_lines_are_told_and_the_text_is_shortened_around_what_was_found() -> None:
    log = ("waiting for nvidia container stack to be setup\n" + NOISE) * (LINES_KEPT + 10)
    (found,) = find_signatures(log)
    assert found.lines[:3] == (1, 5, 9)
    assert len(found.lines) == LINES_KEPT
    (found,) = find_signatures("x" * 3 * BLOCK_CHARS + " GPU is lost" + "y" * BLOCK_CHARS)
    assert "GPU is lost" in found.text
    assert len(found.text) <= 400


@given(st.text(max_size=300), st.sampled_from(SAMPLES), st.text(max_size=300), st.integers(0, 2 * BLOCK_CHARS))
def test_it_is_found_in_its_line_wherever_it_stands(
    before: str, sample: tuple[str, str, str], after: str, far: int
) -> None:
    head = "x" * far + "\n" + before + "\n"
    found = find_signatures(head + sample[2] + after)
    ours = next(match for match in found if match.signature.id == sample[1])
    line = (head + sample[2] + after).split("\n")[ours.line - 1]
    piece = harmless(line.strip())[:20]
    assert piece[:10] in ours.text or len(line) > 400


@given(st.binary(max_size=2000))
def test_no_bytes_make_it_fail_and_nothing_dangerous_comes_out(data: bytes) -> None:
    for match in find_signatures(data.decode("utf-8", "replace")):
        assert harmless(match.text) == match.text


@given(st.lists(st.sampled_from([piece for item in ALL for text in item.texts for piece in (text, text[:-1])])))
def test_any_mixture_of_pieces_is_looked_through_and_made_harmless(pieces: list[str]) -> None:
    for match in find_signatures("\x1b]52;c;aGk=\x07\u202e".join(pieces)):
        assert harmless(match.text) == match.text


@pytest.mark.parametrize(
    "unit", ["NVRM: Xid (PCI:", "nvrm: xid (pci: \n", "a\n", "Failed to pull image /driver:", "\n"]
)
def test_twice_the_text_takes_no_more_than_about_twice_the_time(unit: str) -> None:
    def seconds(chars: int) -> float:
        text = unit * (chars // len(unit))
        began = time.perf_counter()
        find_signatures(text)
        return time.perf_counter() - began

    seconds(100_000)
    assert seconds(1_600_000) < 16 * 8 * max(seconds(100_000), 0.01), "far from a square: that would be 256 times"
