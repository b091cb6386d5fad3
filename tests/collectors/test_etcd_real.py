"""The collectors of etcd against a real etcd: what it says when it is well, and in each way in which it breaks."""

import asyncio
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from collectors.etcd import rounds as etcd_rounds
from collectors.etcd.collect import EtcdOptions, etcd_collectors
from collectors.etcd.wishes import EtcdWishes
from collectors.http import HttpReader
from situation.etcd.members import Alarm, EtcdAccess
from situation.readings import Reading, SourceState
from tests.collectors.etcd_rounds import member_reading, one_round, options_of, rounds, source_of, told
from tests.collectors.harness import Heard, running
from tests.collectors.kubeconfigs import Certificates, needs_openssl
from tests.real_etcd import RealEtcd

pytestmark = needs_openssl


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def etcd(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealEtcd]:
    """Three members that every test leaves as it found them."""
    async with RealEtcd(tmp_path_factory.mktemp("etcd")) as running_etcd:
        yield running_etcd


async def test_a_healthy_cluster_is_read_whole_and_nothing_is_left_behind(etcd: RealEtcd) -> None:
    async with HttpReader() as http:
        collectors = etcd_collectors(http, EtcdWishes(), options_of(etcd))
        async with running(*collectors) as heard:
            known = heard.situation.etcd.known
            await heard.until(lambda: {item.member.name for item in known.values()} == {"etcd-0", "etcd-1", "etcd-2"})
            for name in ("etcd/access", "etcd/members", "etcd/alarms", *map(source_of, etcd.members)):
                await heard.until_state(SourceState.LIVE, name)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    leader = await etcd.leader()
    assert set(known) == set(etcd.endpoints)
    for endpoint, item in known.items():
        status, page, health = item.status, item.page, item.member.health
        assert status is not None and page is not None and health is not None
        assert (status.version, status.errors, status.is_learner) == ("3.5.1", (), False)
        assert (status.leader == status.member_id) == (endpoint == leader.endpoint) == page.is_leader
        assert status.db_size_bytes > 0 and status.db_in_use_bytes and status.quota_bytes is None
        assert status.raft_index >= status.applied_index > 0 and status.raft_term >= 2
        assert page.member_id == status.member_id and page.fsync is not None and page.fsync.total > 0
        assert health.healthy and health.failed_checks == () and item.member.health_error == ""
        assert item.member.round_trip_s is not None and item.member.round_trip_s < 1.5
    assert {item.name for item in heard.situation.etcd_list} == {"etcd-0", "etcd-1", "etcd-2"}
    assert heard.situation.etcd_alarms == ()
    assert heard.situation.etcd_access == EtcdAccess(
        etcd.cacert, etcd.cert, etcd.key, found_by="--etcd-endpoints", is_named=True, asked=3
    )


async def test_election_is_seen_and_without_quorum_members_still_answer(tmp_path: Path) -> None:
    async with RealEtcd(tmp_path) as etcd, HttpReader() as http:
        first = await etcd.leader()
        async with running(*etcd_collectors(http, EtcdWishes(), options_of(etcd))) as heard:
            await heard.until_state(SourceState.LIVE, source_of(first))
            await heard.until_state(SourceState.LIVE, "etcd/alarms")
            former = heard.situation.etcd.known[first.endpoint].status
            assert former is not None
            etcd.kill(first)
            gone = await heard.until_state(SourceState.UNREACHABLE, source_of(first))
            assert gone.error == f"cannot connect to {first.endpoint}: connection refused"
            left = [item for item in etcd.members if item != first]
            await heard.until(lambda: _leaders(heard) > {former.member_id})
            known = heard.situation.etcd.known
            assert known[first.endpoint].silent_since is not None
            assert known[first.endpoint].status == former, "what it said last is kept"
            etcd.kill(left[0])
            last = known[left[1].endpoint]
            await heard.until(lambda: last.status is not None and last.status.errors == ("etcdserver: no leader",))
            await heard.until(lambda: last.member.health is not None and not last.member.health.healthy)
            assert last.member.health is not None and last.member.health.reason == "RAFT NO LEADER"
            assert last.status is not None and last.status.leader == 0
            assert heard.source(source_of(left[1])).state is SourceState.LIVE
            alarms = await heard.until_state(SourceState.UNREACHABLE, "etcd/alarms")
            assert "needs a quorum" in alarms.error
            assert heard.source("etcd/members").state is SourceState.LIVE
            etcd.start(first)
            await heard.until(lambda: last.status is not None and last.status.leader != 0)
            await heard.until_state(SourceState.LIVE, source_of(first))


def _leaders(heard: Heard) -> set[int]:
    """All member IDs that any reading named as the leader."""
    statuses = (told(reading).status for reading in heard.readings if reading.source.startswith("etcd/127"))
    return {status.leader for status in statuses if status is not None and status.leader}


async def test_a_full_database_and_its_recovery(tmp_path: Path) -> None:
    async with RealEtcd(tmp_path, 1, quota_bytes=2 * 2**20) as etcd, HttpReader() as http:
        (endpoint,) = etcd.endpoints
        async with running(*etcd_collectors(http, EtcdWishes(), options_of(etcd))) as heard:
            with pytest.raises(subprocess.CalledProcessError):
                for _ in range(20):
                    await etcd.etcdctl("put", "filler", "x" * 100_000)
            known = heard.situation.etcd.known
            await heard.until(lambda: (status := known[endpoint].status) is not None and status.errors != ())
            status = known[endpoint].status
            assert status is not None and status.errors == (f"memberID:{status.member_id} alarm:NOSPACE",)
            await heard.until(lambda: (health := known[endpoint].member.health) is not None and not health.healthy)
            health = known[endpoint].member.health
            assert health is not None and health.reason == "ALARM NOSPACE"
            await heard.until(lambda: heard.situation.etcd_alarms == (Alarm(status.member_id, "NOSPACE"),))
            assert heard.source(source_of(etcd.members[0])).state is SourceState.LIVE
            await etcd.etcdctl("compact", str(status.revision))
            await etcd.etcdctl("defrag")
            await etcd.etcdctl("alarm", "disarm")
            await heard.until(lambda: (health := known[endpoint].member.health) is not None and health.healthy)
            await heard.until(lambda: heard.situation.etcd_alarms == ())
            await heard.until(lambda: (told := known[endpoint].status) is not None and told.errors == ())
            after = known[endpoint].status
            assert after is not None and after.errors == () and after.db_size_bytes < status.db_size_bytes


async def test_a_paused_member_delays_no_other(etcd: RealEtcd) -> None:
    paused = etcd.members[0]
    etcd.pause(paused)
    try:
        access, *members = await one_round(options_of(etcd))
    finally:
        etcd.resume(paused)
    await etcd.until_healthy()
    assert access.source == "etcd/access"
    others = [source_of(member) for member in etcd.members[1:]]
    assert [reading.source for reading in members[2:]] == [source_of(paused)]
    assert sorted(reading.source for reading in members[:2]) == sorted(others)
    assert {reading.state for reading in members[:2]} == {SourceState.LIVE}
    assert (members[1].observed_at - access.observed_at).total_seconds() < 1.0, "no deadline was waited for"
    hanging = members[2]
    assert (hanging.state, hanging.error) == (SourceState.UNREACHABLE, f"{paused.endpoint} did not answer within 1.5 s")
    member = told(hanging)
    assert not member.answers and member.status_error and member.page_error and member.health_error


async def test_connections_are_kept_and_pages_are_read_now_and_then(etcd: RealEtcd) -> None:
    async with rounds(options_of(etcd, endpoints=etcd.endpoints[:1])) as collector:
        _, *first = [reading async for reading in collector.collect()]
        again = [reading async for reading in collector.collect()]
    assert [reading.source for reading in first] == ["etcd/access", source_of(etcd.members[0])]
    (second,) = again
    assert told(first[1]).page is not None
    assert told(second).page is None and told(second).page_error == "", "not asked for again so soon"
    assert told(second).status is not None and told(second).health is not None


async def test_metrics_and_health_are_read_where_the_options_say(etcd: RealEtcd) -> None:
    """Without a usable certificate what is served in plain HTTP is still read."""
    member = etcd.members[0]
    options = options_of(etcd, endpoints=(member.endpoint,), metrics_urls=(member.metrics_url,), cert="", key="")
    reading = await member_reading(options)
    seen = told(reading)
    assert (reading.state, seen.metrics_url) == (SourceState.LIVE, member.metrics_url)
    assert seen.page is not None and seen.health is not None and seen.status is None
    assert "wants one from its clients; --etcd-cert and --etcd-key name it" in reading.error


async def test_on_a_control_plane_node_no_option_is_needed(etcd: RealEtcd, tmp_path: Path) -> None:
    """The member of this host comes from its manifest, the others from its member list."""
    own, pki = etcd.members[1], tmp_path / "pki" / "etcd"
    pki.mkdir(parents=True)
    for source, name in ((etcd.cacert, "ca.crt"), (etcd.cert, "server.crt"), (etcd.key, "server.key")):
        shutil.copyfile(source, pki / name)
    flags = f"--name={own.name}, --advertise-client-urls={own.endpoint}, --listen-metrics-urls={own.metrics_url}"
    (tmp_path / "manifests").mkdir()
    (tmp_path / "manifests" / "etcd.yaml").write_text(f"{{spec: {{containers: [{{command: [etcd, {flags}]}}]}}}}")
    async with HttpReader() as http:
        collectors = etcd_collectors(http, EtcdWishes(), EtcdOptions(kubernetes_dir=tmp_path))
        async with running(*collectors) as heard:
            known = heard.situation.etcd.known
            await heard.until(lambda: {url for url, item in known.items() if item.status} == set(etcd.endpoints))
            await heard.until_state(SourceState.LIVE, "etcd/alarms")
    assert {item.member.node for item in known.values()} == {"etcd-0", "etcd-1", "etcd-2"}
    assert known[own.endpoint].member.metrics_url == own.metrics_url and known[own.endpoint].page is not None
    assert heard.situation.etcd_access.cert == str(pki / "server.crt")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("stranger", "does not accept our certificate: .*stranger.pem: it must be signed by etcd's CA"),
        ("expired", r"does not accept our certificate: .*expired.pem expired on 20\d\d-.* UTC; renew it"),
        ("none", "does not accept our certificate: it wants one from its clients; --etcd-cert and --etcd-key name it"),
    ],
)
async def test_certificates_that_etcd_refuses(
    changed: str, said: str, etcd: RealEtcd, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if changed == "stranger":
        cert, key = Certificates(tmp_path).issue("stranger")
    elif changed == "expired":
        cert, key = etcd.certificates.issue("expired", days="-1")
    else:
        cert = key = ""
    reading = await member_reading(options_of(etcd, endpoints=etcd.endpoints[:1], cert=cert, key=key))
    _is_refused(reading, SourceState.UNAUTHORIZED, said)
    assert capfd.readouterr().err == "", "gRPC's library writes nothing over the terminal"


def _errors(reading: Reading) -> tuple[str, ...]:
    member = told(reading)
    return reading.error, member.status_error, member.page_error, member.health_error


def _is_refused(reading: Reading, state: SourceState, said: str) -> None:
    """Each part says the same, and names the endpoint."""
    member = told(reading)
    assert (reading.state, member.answers) == (state, False)
    for error in _errors(reading):
        assert member.endpoint.partition("//")[2] in error
        assert re.search(said, error), error


async def test_a_ca_that_did_not_sign_the_server(etcd: RealEtcd, tmp_path: Path) -> None:
    Certificates(tmp_path)
    options = options_of(etcd, endpoints=etcd.endpoints[:1], cacert=str(tmp_path / "ca.pem"))
    said = r"is not accepted: unable to get .*issuer certificate; it is checked against .*ca.pem, --etcd-cacert can"
    _is_refused(await member_reading(options), SourceState.UNREACHABLE, said)


async def test_a_member_whose_own_certificate_has_expired(tmp_path: Path) -> None:
    async with RealEtcd(tmp_path, 1) as etcd:
        etcd.certificates.issue("server", days="-1")
        (member,) = etcd.members
        etcd.kill(member)
        etcd.start(member)
        async with asyncio.timeout(20):
            reading = await member_reading(options_of(etcd))
            while any("connection refused" in error for error in _errors(reading)):  # it is starting
                reading = await member_reading(options_of(etcd))
        _is_refused(reading, SourceState.UNREACHABLE, "certificate.*is not accepted: certificate has expired")


async def test_plain_http_where_tls_is_spoken_and_the_reverse(etcd: RealEtcd) -> None:
    member = etcd.members[0]
    plain = options_of(etcd, endpoints=(member.endpoint.replace("https", "http"),))
    _is_refused(await member_reading(plain), SourceState.UNREACHABLE, "TLS.* its URL begins with https://")
    secure = options_of(etcd, endpoints=(member.metrics_url.replace("http", "https"),))
    _is_refused(await member_reading(secure), SourceState.UNREACHABLE, "does not speak TLS; should its URL begin with")


async def test_a_renewed_certificate_is_used_without_a_restart(
    etcd: RealEtcd, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(etcd_rounds, "SEARCH_EVERY_S", 0.0)
    expired, good = etcd.certificates.issue("old", days="-1"), (etcd.cert, etcd.key)
    cert, key = tmp_path / "client.pem", tmp_path / "client.key"
    for target, source in zip((cert, key), expired, strict=True):
        shutil.copyfile(source, target)
    options = options_of(etcd, endpoints=etcd.endpoints[:1], cert=str(cert), key=str(key))
    async with rounds(options) as collector:
        _, *before = [reading async for reading in collector.collect()]
        shutil.copyfile(good[0], cert)
        halfway = [reading async for reading in collector.collect()]
        shutil.copyfile(good[1], key)
        after = [reading async for reading in collector.collect()]
    assert before[1].state is SourceState.UNAUTHORIZED
    assert f"{key}: is not the key of {cert}" in halfway[0].error
    assert halfway[1].state is SourceState.UNAUTHORIZED, "those that were read before are used on"
    assert (after[0].error, after[1].state) == ("", SourceState.LIVE)
