"""The etcd that other tests stand on is a real one: it elects, and elects again when its leader dies."""

from pathlib import Path

from tests.real_etcd import RealEtcd


async def test_it_elects_a_leader_and_another_when_that_is_killed(tmp_path: Path) -> None:
    async with RealEtcd(tmp_path) as etcd:
        first = await etcd.leader()
        etcd.kill(first)
        assert (await etcd.leader()).name != first.name
