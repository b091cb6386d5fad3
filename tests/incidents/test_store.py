"""Files of incidents: private, never overwritten, refused or left alone where they cannot be gone on with."""

import sqlite3
import stat
from pathlib import Path

import pytest

from incidents.entries import Kind
from incidents.shelf import kept, left_open, path_of
from incidents.store import BusyError, DamagedError, NewerError, Store, StoreError, check, delete, incident_id, read
from situation.meta import Ref
from tests.build import NOW
from tests.incidents.build import at, begun, entry


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "incidents"


def closed(folder: Path, context: str = "prod", *, ended: bool = True) -> Path:
    store = Store.create(folder, context, NOW)
    store.put(0, begun())
    store.put(1, entry(seconds=5, who="anna"))
    if ended:
        store.end(at(60))
    store.close()
    return store.path


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ("prod-h100", "2026-11-23-0241-prod-h100"),
        ("arn:aws:eks:eu:1/../../etc", "2026-11-23-0241-arn-aws-eks-eu-1-..-..-etc"),
        ("", "2026-11-23-0241-in-cluster"),
        ("../", "2026-11-23-0241-in-cluster"),
        ("\x1b[31m", "2026-11-23-0241-31m"),
        ("x" * 300, "2026-11-23-0241-" + "x" * 60),
    ],
)
def test_the_name_is_safe_for_a_file(context: str, expected: str) -> None:
    assert incident_id(NOW, context) == expected


def test_what_was_written_is_read_back_from_one_private_file(folder: Path) -> None:
    path = closed(folder)
    incident = read(path)
    assert incident.entries == (begun(), entry(seconds=5, who="anna"))
    assert (incident.id, incident.context, incident.began, incident.ended) == (path.stem, "prod", NOW, at(60))
    assert not incident.live
    assert list(folder.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_files_beside_it_are_private_too_while_it_is_written(folder: Path) -> None:
    store = Store.create(folder, "prod", NOW)
    store.put(0, begun())
    assert {path.suffix for path in folder.iterdir()} == {".db", ".db-wal", ".db-shm", ".lock"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    store.close()


def test_two_incidents_of_one_minute_have_two_files(folder: Path) -> None:
    assert [closed(folder).stem, closed(folder).stem] == ["2026-11-23-0241-prod", "2026-11-23-0241-prod-2"]


def test_an_entry_with_the_same_number_takes_the_place_of_the_other(folder: Path) -> None:
    store = Store.create(folder, "prod", NOW)
    store.put(0, begun())
    store.put(0, begun(times=3))
    store.close()
    assert [item.times for item in read(store.path).entries] == [3]


def test_one_that_is_written_can_be_read_and_not_deleted_or_written_by_another(folder: Path) -> None:
    store = Store.create(folder, "prod", NOW)
    store.put(0, begun())
    assert read(store.path).live
    assert left_open(folder, "prod") is None
    with pytest.raises(BusyError, match="another cockpit is writing it"):
        Store.resume(store.path)
    with pytest.raises(BusyError):
        delete(store.path)
    store.close()
    delete(store.path)
    assert not list(folder.iterdir())


def as_before(path: Path) -> None:
    """Make the file one of an earlier version, which did not write where a log comes from."""
    connection = sqlite3.connect(path)
    connection.execute("ALTER TABLE incident DROP COLUMN origin")
    connection.close()


def test_where_it_comes_from_is_kept_and_files_of_earlier_versions_do_not_say_it(folder: Path) -> None:
    store = Store.create(folder, "prod", NOW, "https://10.0.0.1:6443")
    store.close()
    assert (read(store.path).origin, read(store.path).simulated) == ("https://10.0.0.1:6443", "")
    as_before(store.path)
    check(store.path)
    assert read(store.path).origin is None
    Store.resume(store.path).close()


@pytest.mark.parametrize(
    ("origin", "here", "is_found"),
    [
        ("https://a", "https://a", True),
        ("https://a", "https://b", False),
        ("https://a", "", False),
        ("midwatch demo faults_a", "https://a", False),
        (None, "https://a", True),
    ],
)
def test_two_clusters_may_have_contexts_of_one_name(
    folder: Path, origin: str | None, here: str, is_found: bool
) -> None:
    store = Store.create(folder, "kubernetes-admin@kubernetes", NOW, origin or "")
    store.close()
    if origin is None:
        as_before(store.path)
    assert (left_open(folder, "kubernetes-admin@kubernetes", here) is not None) is is_found


def test_the_one_left_open_is_found_by_its_context(folder: Path) -> None:
    closed(folder)
    path = closed(folder, ended=False)
    closed(folder, "other", ended=False)
    found = left_open(folder, "prod")
    assert found is not None
    assert found.path == path
    store = Store.resume(path)
    store.put(2, entry(Kind.RESUMED, seconds=90))
    store.end(at(99))
    store.close()
    assert len(read(path).entries) == 3
    assert left_open(folder, "prod") is None


def _edited(path: Path, statement: str) -> bytes:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()
    return path.read_bytes()


def test_a_newer_schema_is_refused_and_left_as_it_is(folder: Path) -> None:
    path = closed(folder)
    before = _edited(path, "PRAGMA user_version=2")
    for attempt in (check, read, Store.resume):
        with pytest.raises(NewerError, match=r"written by a newer Midwatch \(schema 2"):
            attempt(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [b"", b"not a database at all, but long enough to be one" * 50, "half"],
    ids=["empty", "something else", "cut"],
)
def test_a_damaged_file_is_said_to_be_and_left_as_it_is(folder: Path, content: bytes | str) -> None:
    path = closed(folder)
    path.write_bytes(path.read_bytes()[:9000] if isinstance(content, str) else content)
    before = path.read_bytes()
    with pytest.raises(DamagedError, match=path.name):
        check(path)
    assert path.read_bytes() == before
    (item,) = kept(folder)
    assert item.incident is None or isinstance(content, str)


def test_an_entry_that_nobody_can_read_is_damage(folder: Path) -> None:
    path = closed(folder)
    _edited(path, "UPDATE entry SET json = '{' WHERE number = 1")
    with pytest.raises(DamagedError, match="an entry that nobody can read"):
        read(path)


def test_texts_that_somebody_put_into_a_file_are_made_harmless(folder: Path) -> None:
    path = closed(folder)
    _edited(path, """UPDATE entry SET json = json_set(json, '$.subject[2]', 'a' || char(27), '$.text', char(27))""")
    first = read(path).entries[0]
    assert first.subject == Ref("Pod", "shop", "a␛")
    assert first.text == "␛"


def test_a_name_leads_to_its_file_and_nowhere_else(folder: Path) -> None:
    path = closed(folder)
    assert path_of(folder, path.stem) == path
    (folder.parent / "outside.db").touch()
    for name in ("../outside", "/etc/passwd", "", "..", "\x1b"):
        with pytest.raises(StoreError, match="no incident"):
            path_of(folder, name)
    with pytest.raises(StoreError, match="did you mean 2026-11-23-0241-prod"):
        path_of(folder, "2026-11-23-0241-pod")
    with pytest.raises(StoreError, match="did you mean 2026-11-23-0241-prod"):
        path_of(folder, "prod")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "incidents").write_text("a file")
    with pytest.raises(StoreError, match=str(tmp_path / "incidents")):
        Store.create(tmp_path / "incidents", "prod", NOW)
    assert (tmp_path / "incidents").read_text() == "a file"
