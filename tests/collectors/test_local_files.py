"""Files on a file system that never answers hang a thread of their own, and nothing else."""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from collectors import local_files
from collectors.control_plane.local import LocalHealthPoll
from collectors.errors import AbsentError, UnreachableError
from collectors.etcd.collect import EtcdOptions
from collectors.etcd.wishes import EtcdWishes
from collectors.local_files import LocalFiles
from situation.readings import SourceState
from tests.build import situation
from tests.collectors.etcd_rounds import rounds
from tests.collectors.kubeconfigs import Clock


@contextmanager
def hanging(path: Path) -> Iterator[Path]:
    """A file whose readers wait for ever, as on a network file system whose server is gone; freed at the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    before = set(threading.enumerate())
    try:
        yield path
    finally:
        writer = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        path.unlink()
        os.close(writer)
        for thread in set(threading.enumerate()) - before:
            if thread.daemon:
                thread.join(5)


async def in_time(files: LocalFiles, path: Path) -> str:
    """Return what a file holds; empty if that did not come within the deadline."""
    try:
        return await files.read(path.read_text)
    except UnreachableError:
        return ""


async def test_what_is_read_and_what_goes_wrong_comes_back(tmp_path: Path) -> None:
    files = LocalFiles("files of a test")
    (tmp_path / "a").write_text("x")
    assert await files.read((tmp_path / "a").read_text) == "x"

    def nothing() -> None:
        raise AbsentError("there is none")

    with pytest.raises(AbsentError, match="there is none"):
        await files.read(nothing)
    with pytest.raises(UnreachableError, match="internal error in files of a test: ZeroDivisionError"):
        await files.read(lambda: 1 // 0)


async def test_a_call_that_hangs_is_told_and_no_second_one_is_started(tmp_path: Path) -> None:
    files = LocalFiles("/nfs", deadline_s=0.05)
    with hanging(tmp_path / "manifest") as path:
        with pytest.raises(UnreachableError, match=r"/nfs: no answer within 0\.05 s"):
            await files.read(path.read_bytes)
        for _ in range(3):
            with pytest.raises(UnreachableError, match=r"/nfs: no answer for \d+ s"):
                await files.read(path.read_bytes)
        assert [thread.name for thread in threading.enumerate()].count("/nfs") == 1
    (tmp_path / "other").write_text("back")
    async with asyncio.timeout(10):
        while await in_time(files, tmp_path / "other") != "back":  # noqa: ASYNC110 - a thread ends when it does
            await asyncio.sleep(0.01)


async def test_etcd_is_looked_for_in_vain_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_files, "DEADLINE_S", 0.05)
    with hanging(tmp_path / "manifests" / "etcd.yaml"):
        wishes = EtcdWishes()
        wishes.tell(situation())
        async with asyncio.timeout(5), rounds(EtcdOptions(kubernetes_dir=tmp_path), wishes) as collector:
            *_, told = [reading async for reading in collector.collect()]
    assert (told.source, told.state) == ("etcd/access", SourceState.UNREACHABLE)
    assert told.error.startswith(f"files of etcd on this host ({tmp_path}): no answer ")


async def test_components_of_this_host_whose_manifests_hang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_files, "DEADLINE_S", 0.05)
    poll = LocalHealthPoll(tmp_path, Clock())
    with hanging(tmp_path / "manifests" / "kube-apiserver.yaml"):
        with pytest.raises(UnreachableError, match=f"{tmp_path}/manifests: no answer within"):
            _ = [reading async for reading in poll.collect()]
