"""Every reading command that the cockpit offers in a demo, run by a stock kubectl on the demo's cluster."""

import asyncio
import os
import shlex
import shutil
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import pytest

from collectors.control_plane.api_page import ApiPageReader
from collectors.etcd.options import EtcdOptions
from diagnosis.engine import diagnose
from playbooks.commands import Target, offered
from playbooks.quick_checklist import Facts
from simulator.etcd import etcd_served
from simulator.scenarios import SCENARIOS, open_scenario
from simulator.server import Simulator
from simulator.show import Show
from situation.api_server import ApiServerReading
from situation.findings import Diagnosis, Effect
from situation.meta import Ref
from situation.readings import Reading, SourceState
from situation.store import involved_ref
from tui.attention import Attention
from tui.cards import object_card
from tui.checklist import Checklist
from tui.collect import collect_once
from tui.connection import KubernetesConnection
from tui.feed import Feed

FEWEST: Final = {
    "api_outage": 50,
    "api_overloaded": 45,
    "etcd_fragmented": 45,
    "etcd_leader_lost": 45,
    "etcd_member_hangs": 45,
    "etcd_nospace": 45,
    "etcd_quorum_lost": 45,
    "faults_a": 40,
    "gpu_device_plugin": 30,
    "gpu_driver_nouveau": 30,
    "gpu_fabric_manager": 30,
    "gpu_lost": 30,
    "gpu_mig_stuck": 30,
    "gpu_nfd_down": 30,
    "gpu_time_slicing": 30,
    "gpu_toolkit": 30,
}
"""How many commands each demo offers at least."""
WHILE_IT_LASTS: Final = {"etcd_leader_lost": 100.0, "etcd_member_hangs": 100.0, "etcd_nospace": 100.0}
"""Seconds at which demos that end well are looked at; not etcd_quorum_lost, where kubectl hangs as long as it lasts."""
DEADLINE_S: Final = 60.0
AT_ONCE: Final = 3
LATER: Final = timedelta(seconds=30)
"""Some consequences count only after a while."""
IS_THE_FAULT: Final = {"get secret not-there": 'secrets "not-there" not found'}
"""How a command ends that must fail, because what it asks for is what is missing, and what kubectl then says."""

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs a stock kubectl")


class Offer(NamedTuple):
    """A command line, and who offers it."""

    line: str
    by: str


class Outcome(NamedTuple):
    code: int | None
    out: str
    err: str


@asynccontextmanager
async def demo_at_its_worst(scenario: str, kubeconfig: Path) -> AsyncIterator[EtcdOptions]:
    tape = open_scenario(scenario)
    end = WHILE_IT_LASTS.get(scenario) or tape.header.hold_at or max(frame.t for frame in tape.frames())
    tape.header = msgspec.structs.replace(tape.header, start_at=end)
    show = Show(tape)
    async with etcd_served(show.cluster) as etcd, Simulator(show.cluster, token=None) as simulator:
        simulator.faults.absent |= show.absent
        simulator.write_kubeconfig(kubeconfig, show.tape.header.context)
        playing = asyncio.create_task(show.play(simulator))
        endpoints, metrics = ([member[place] for member in etcd] for place in (1, 2))
        try:
            yield EtcdOptions(tuple(endpoints), metrics_urls=tuple(metrics))
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)


async def offers(scenario: str, kubeconfig: Path, etcd: EtcdOptions) -> list[Offer]:
    """All reading commands for this place: of findings, of the checklist, and of objects that no finding is about."""
    feed = Feed(lambda: datetime.now(UTC))
    way = KubernetesConnection(str(kubeconfig), etcd=etcd if etcd.endpoints else None)
    async with way(feed.publish) as connected:
        assert await collect_once(feed, connected, DEADLINE_S)
    for reading in _two_scrapes(scenario):
        feed.publish(reading)
    feed.turn()
    diagnosis = diagnose(feed.situation, datetime.now(UTC))
    assert diagnosis.causes
    later = diagnose(feed.situation, datetime.now(UTC) + LATER)
    judged = [
        *_of_findings(diagnosis, connected.target),
        *_of_findings(later, connected.target),
        *_of_objects(feed, connected.target),
    ]
    return list({offer.line: offer for offer in reversed(judged)}.values())


def _two_scrapes(scenario: str) -> Iterator[Reading]:
    """The API server's last pages, half a minute apart, as nobody waits so long here."""
    pages = [frame.text or "" for frame in open_scenario(scenario).frames() if frame.source == "server/metrics"]
    for page, ago_s in zip(pages[-4::3], (30, 0), strict=False):
        at = datetime.now(UTC) - timedelta(seconds=ago_s)
        reader = ApiPageReader()
        reader.feed(page.encode())
        yield Reading("control-plane/metrics", SourceState.LIVE, at, ApiServerReading(reader.page(), at))


def _of_findings(diagnosis: Diagnosis, target: Target) -> Iterator[Offer]:
    for cause in diagnosis.causes:
        for finding in (cause, *cause.consequences):
            for command, line in offered(finding.next, target):
                if (command.effect, command.where, command.argv[0]) == (Effect.READ, "here", "kubectl"):
                    if "exec" in command.argv:
                        continue  # nothing runs in the simulator's pods
                    yield Offer(line, finding.rule)


def _of_objects(feed: Feed, target: Target) -> Iterator[Offer]:
    """What is offered when a pod, a node or the object of an event is picked."""
    situation, now = feed.situation, datetime.now(UTC)
    facts = Facts(situation, feed.diagnosis, feed.order.unsettled, now)
    pods_and_nodes = [Ref("Pod", *key) for key in situation.pods] + [Ref("Node", *key) for key in situation.nodes]
    for ref in dict.fromkeys((*pods_and_nodes, *map(involved_ref, situation.events.values()))):
        attention = Attention()
        attention.focus_on_object(ref, feed.diagnosis)
        for step in Checklist().steps(facts, target, attention.pod(feed.diagnosis)):
            if step.command.startswith("kubectl "):
                yield Offer(step.command, f"checklist: {step.text}")
        if attention.finding(feed.diagnosis) is None:
            for command in object_card(ref, situation, target, now).commands:
                yield Offer(command.line, f"card of {ref}")


async def run(line: str, home: Path) -> Outcome:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KUBE")}
    child = await asyncio.create_subprocess_exec(
        *shlex.split(line), stdout=PIPE, stderr=PIPE, env={**kept, "HOME": str(home)}
    )
    async with asyncio.timeout(DEADLINE_S):
        out, err = await child.communicate()
    return Outcome(child.returncode, out.decode(), err.decode())


@pytest.mark.parametrize(("scenario", "fewest"), FEWEST.items())
async def test_every_command_works(scenario: str, fewest: int, tmp_path: Path) -> None:
    at_once = asyncio.Semaphore(AT_ONCE)

    async def complaint(offer: Offer) -> str:
        async with at_once:
            code, out, err = await run(offer.line, tmp_path)
        refusal = next((text for end, text in IS_THE_FAULT.items() if offer.line.endswith(end)), "")
        if refusal:
            well = code == 1 and refusal in err
        else:
            well = code == 0 and bool(out.strip() or err.startswith("No resources found"))
        return "" if well else f"{offer.by}: {offer.line}\n  exit code {code}: {out}{err}"

    async with demo_at_its_worst(scenario, tmp_path / "kubeconfig") as etcd:
        found = await offers(scenario, tmp_path / "kubeconfig", etcd)
        complaints = await asyncio.gather(*map(complaint, found))
    assert list(filter(None, complaints)) == []
    assert len(found) >= fewest


def test_no_demo_is_left_out() -> None:
    assert set(SCENARIOS) == set(FEWEST)
