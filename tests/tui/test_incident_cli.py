"""`midwatch incidents` and `midwatch export`, as they are called."""

import json
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from incidents.entries import Entry, Kind
from incidents.store import Store
from tests.build import NOW
from tests.incidents.build import begun
from tests.tui.commands import PROGRAM, environment, midwatch
from tests.tui.ptys import on_terminal
from tui.exits import UsageProblem
from tui.incident_commands import exported, show_incident, write_file

ID = "2026-11-23-0241-prod-h100"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a home in which one incident is kept."""
    folder = tmp_path / ".local" / "state" / "midwatch" / "incidents"
    store = Store.create(folder, "prod-h100", NOW)
    store.put(0, Entry(NOW, Kind.OPENED, "the cockpit was opened", "anna"))
    store.put(1, begun(5))
    store.put(2, Entry(NOW + timedelta(seconds=30), Kind.NOTE, "the new image of web-1", "ben"))
    store.end(NOW + timedelta(minutes=9))
    store.close()
    return folder


async def test_without_incidents_it_says_where_they_would_be(tmp_path: Path) -> None:
    finished = await midwatch(tmp_path, "incidents")
    assert (finished.code, finished.err) == (0, "")
    assert finished.out == f"no incident is kept in {tmp_path}/.local/state/midwatch/incidents\n"


async def test_the_list_has_a_line_for_each_also_for_those_that_cannot_be_read(tmp_path: Path, folder: Path) -> None:
    (folder / "2026-11-24-0000-broken.db").write_text("broken")
    finished = await midwatch(tmp_path, "incidents")
    head, row, broken = finished.out.splitlines()
    assert head.split() == ["ID", "CONTEXT", "BEGAN", "(UTC)", "LASTED", "CAUSES", "WHO"]
    assert row.split() == [ID, "prod-h100", "2026-11-23", "02:41", "9m", "1,", "1", "critical", "anna,", "ben"]
    assert broken.startswith("not readable: ") and "2026-11-24-0000-broken.db" in broken


def test_show_prints_the_timeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / ".local" / "state"))
    lines = list(show_incident(ID))
    assert lines[0] == f"{ID} · context prod-h100"
    assert lines[1].startswith("began 2026-11-23 02:41:07 UTC") and lines[1].endswith(" · lasted 9m · closed")
    assert lines[4] == "02:41:12  appeared critical                web-1 crashes [Pod/shop/web-1]"
    assert lines[5] == "02:41:37  note                             ben: the new image of web-1"
    assert next(exported(ID, as_data=False, redact=False)) == f"# Incident {ID}"


async def test_export_writes_json_and_a_private_file(tmp_path: Path, folder: Path) -> None:
    data = json.loads((await midwatch(tmp_path, "export", ID, "-o", "json")).out)
    assert (data["version"], data["id"]) == (1, ID)
    redacted = await midwatch(tmp_path, "export", ID, "--redact", "--file", "draft.md")
    assert (redacted.code, redacted.out, redacted.err) == (0, "", "")
    text = (tmp_path / "draft.md").read_text()
    assert not [name for name in ("web-1", "shop", "anna", "ben", "prod-h100") if name in text]
    assert "pod-1 crashes" in text
    assert stat.S_IMODE((tmp_path / "draft.md").stat().st_mode) == 0o600
    named = await midwatch(tmp_path, "export", ID, "--output", str(tmp_path / "json"))
    assert (named.code, (tmp_path / "json").read_text().splitlines()[0]) == (0, f"# Incident {ID}")
    with pytest.raises(UsageProblem, match="there is such a file already; it is left as it is"):
        write_file(tmp_path / "draft.md", ["other"])
    assert (tmp_path / "draft.md").read_text() == text


async def test_the_log_of_a_demo_says_so_wherever_it_is_shown(tmp_path: Path, folder: Path) -> None:
    store = Store.create(folder, "demo", NOW, "midwatch demo gpu_lost")
    store.put(0, begun(5))
    store.close()
    listed, shown, markdown, data = [
        (await midwatch(tmp_path, *command)).out
        for command in (
            ("incidents",),
            ("incidents", "show", store.id),
            ("export", store.id, "--redact"),
            ("export", store.id, "-o", "json"),
        )
    ]
    (row,) = (line for line in listed.splitlines() if store.id in line)
    assert " demo (simulated) " in row
    assert listed.count("simulated") == 1
    assert shown.splitlines()[0] == f"{store.id} · context demo · simulated: midwatch demo gpu_lost"
    assert "| **Cluster** | simulated: `midwatch demo gpu_lost` |" in markdown
    assert json.loads(data)["simulated"] == "midwatch demo gpu_lost"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("export", "prod"), f"did you mean {ID}?"),
        (("incidents", "show", "../../x"), "no incident '../../x'"),
        (("incidents", "delete", ID), "give --yes"),
        (("--as", "x", "check"), "--as is no option of `midwatch check`"),
        (("export", ID, "--output", "no/where"), "no/where: cannot write it"),
        (("export", ID, "--output", "json"), "--output json would name a file: give --format json, or the whole path"),
        (("export", ID, "--output", "md"), "give --format md"),
    ],
)
async def test_what_cannot_be_is_said_in_a_line(
    tmp_path: Path, folder: Path, arguments: tuple[str, ...], said: str
) -> None:
    finished = await midwatch(tmp_path, *arguments)
    assert finished.code == 64
    assert said in finished.complaint
    assert (folder / f"{ID}.db").exists()
    assert not [name for name in ("json", "md") if (tmp_path / name).exists()]


async def test_delete_with_yes(tmp_path: Path, folder: Path) -> None:
    finished = await midwatch(tmp_path, "incidents", "delete", ID, "--yes")
    assert (finished.code, finished.out, finished.err) == (0, "", "")
    assert not (folder / f"{ID}.db").exists()


def test_delete_asks_and_takes_no_for_no(tmp_path: Path, folder: Path) -> None:
    with on_terminal([*PROGRAM, "incidents", "delete", ID], environment(tmp_path)) as terminal:
        terminal.type("n\n")
        said = terminal.read_to_end().decode()
    assert "3 entries, 1 notes, by anna, ben" in said
    assert "Delete it for good? [y/N]" in said
    assert (folder / f"{ID}.db").exists()
