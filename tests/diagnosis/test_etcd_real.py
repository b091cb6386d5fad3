"""The rules about etcd on what a real etcd answers, and the commands that they offer, run as they are offered."""

import asyncio
import json
import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from diagnosis.rules import etcd_database, etcd_disk, etcd_elections, etcd_members, etcd_quorum
from playbooks.commands import Target, render
from situation.etcd.cluster import etcd_of
from situation.etcd.members import EtcdAccess, EtcdMember, EtcdReading, MemberStatus
from situation.etcd.standing import source_name
from situation.findings import Command, Effect, Finding
from situation.readings import Reading, SourceState
from situation.situation import Situation
from tests.build import NOW
from tests.diagnosis.objects import causes_of
from tests.real_etcd import BINARIES, Member, RealEtcd

AFTER = timedelta(seconds=10)
FAMILIES = (etcd_quorum, etcd_database, etcd_disk, etcd_elections, etcd_members)
RULES = [rule for family in FAMILIES for rule in family.RULES]


async def asked(etcd: RealEtcd, member: Member) -> MemberStatus | None:
    """Return the status of a member as etcdctl has it, None if it does not answer."""
    options = ("--command-timeout", "2s", "-w", "json")
    try:
        answer = await etcd.etcdctl("endpoint", "status", *options, endpoints=(member.endpoint,))
    except subprocess.CalledProcessError:
        return None
    told = json.loads(answer)[0]["Status"]
    return MemberStatus(
        member_id=told["header"]["member_id"],
        cluster_id=told["header"]["cluster_id"],
        version=told["version"],
        db_size_bytes=told["dbSize"],
        db_in_use_bytes=told["dbSizeInUse"],
        leader=told.get("leader", 0),
        raft_term=told["raftTerm"],
        raft_index=told["raftIndex"],
        applied_index=told["raftAppliedIndex"],
        revision=told["header"]["revision"],
        errors=tuple(told.get("errors", ())),
    )


async def look(etcd: RealEtcd, known: Situation, *, after_s: float = 0.0) -> dict[str, Finding]:
    """Tell the Situation one round at all members and return what the rules find."""
    at = NOW + timedelta(seconds=after_s)
    answers = await asyncio.gather(*(asked(etcd, member) for member in etcd.members))
    for member, status in zip(etcd.members, answers, strict=True):
        told = EtcdMember(member.endpoint, name=member.name, status=status, status_error="" if status else "no answer")
        state = SourceState.LIVE if status else SourceState.UNREACHABLE
        known.apply(Reading(source_name(member.endpoint), state, at, EtcdReading(told, at)))
    known.apply(Reading("etcd/access", SourceState.LIVE, at, EtcdAccess(etcd.cacert, etcd.cert, etcd.key)))
    return causes_of(RULES, known, at)


async def run(command: Command, folder: Path) -> str:
    """Run a command as it would be pasted into a shell."""
    path = f"{BINARIES}:{os.environ['PATH']}"
    process = await asyncio.create_subprocess_shell(
        render(command, Target()),
        cwd=folder,
        env={**os.environ, "PATH": path, "ETCDCTL_API": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, f"{render(command, Target())}\n{out.decode()}"
    return out.decode()


def saved(folder: Path) -> int:
    """Return the size of the snapshot in a folder, bytes."""
    (snapshot,) = folder.glob("etcd-*.db")
    return snapshot.stat().st_size


async def test_out_of_space_and_the_offered_way_out_of_it(tmp_path: Path) -> None:
    async with RealEtcd(tmp_path, quota_bytes=2 * 1024**2) as etcd:
        known = Situation()
        assert "etcd-no-space" not in await look(etcd, known)
        for _ in range(60):
            try:
                await etcd.etcdctl("put", "same", "x" * 100_000)
            except subprocess.CalledProcessError as error:
                assert b"database space exceeded" in error.stderr
                break
        full = (await look(etcd, known, after_s=10))["etcd-no-space"]
        steps = [command for command in full.next if command.purpose[:1].isdigit()]
        assert [command.effect for command in steps].count(Effect.DISRUPTIVE) == 3
        leader = etcd_of(known, NOW + timedelta(seconds=10)).leader  # as it was seen: a new one may be elected since
        assert leader is not None
        assert leader.endpoint in [step for step in steps if "defrag" in step.argv][-1].argv
        for command in steps:
            await run(command, tmp_path)
        assert saved(tmp_path) > 0
        assert "OK" in await etcd.etcdctl("put", "again", "writes work")
        assert "etcd-no-space" not in await look(etcd, known, after_s=20)


async def test_fragmented_and_the_offered_way_out_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a bound of 1 MiB for what must be in use: to write and delete more than 100 MiB would take minutes."""
    monkeypatch.setattr(etcd_database, "MIN_IN_USE", 1024**2)
    async with RealEtcd(tmp_path) as etcd:
        known = Situation()
        for number in range(60):
            await etcd.etcdctl("put", f"jobs/{number}", "x" * 100_000)
        for number in range(15):
            await etcd.etcdctl("put", f"kept/{number}", "x" * 100_000)
        assert "etcd-fragmented" not in await look(etcd, known)
        await etcd.etcdctl("del", "--prefix", "jobs/")
        status = await asked(etcd, etcd.members[0])
        assert status is not None
        await etcd.etcdctl("compact", str(status.revision))
        async with asyncio.timeout(20):  # what was compacted counts as free once something else was written
            found: dict[str, Finding] = {}
            while "etcd-fragmented" not in found:
                await etcd.etcdctl("put", "lease", "x")
                found = await look(etcd, known, after_s=10)
        steps = [command for command in found["etcd-fragmented"].next if command.purpose[:1].isdigit()]
        assert [command.effect for command in steps].count(Effect.DISRUPTIVE) == 3
        before = {member.endpoint: member.size_bytes or 0 for member in etcd_of(known, NOW + AFTER).members}
        for command in steps:
            await run(command, tmp_path)
        assert "etcd-fragmented" not in await look(etcd, known, after_s=20)
        after = etcd_of(known, NOW + 2 * AFTER).members
        assert all((member.size_bytes or 0) < before[member.endpoint] / 2 for member in after)


async def test_two_of_three_killed_and_back(tmp_path: Path) -> None:
    async with RealEtcd(tmp_path) as etcd:
        known = Situation()
        healthy = await look(etcd, known)
        assert list(healthy) == ["etcd-known-bad-version"]  # 3.5.1
        for command in healthy["etcd-known-bad-version"].next:
            await run(command, tmp_path)
        for member in etcd.members[:2]:
            etcd.kill(member)
        async with asyncio.timeout(20):
            found: dict[str, Finding] = {}
            while "etcd-quorum-lost" not in found:
                found = await look(etcd, known, after_s=10)
        title = "etcd has lost quorum: 1 of 3 members answer, quorum 2, 1 more needed"
        assert found["etcd-quorum-lost"].title == title
        for member in etcd.members[:2]:
            etcd.start(member)
        await etcd.until_healthy()
        assert list(await look(etcd, known, after_s=20)) == ["etcd-known-bad-version"]
