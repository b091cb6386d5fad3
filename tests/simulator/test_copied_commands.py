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

from collectors.control_plane.api_page import parse_api_page
from collectors.pod_page import PodPage
from collectors.vllm.recorded import servers_on_pages
from diagnosis.engine import diagnose
from playbooks.commands import Target, offered
from playbooks.context import Context
from playbooks.facts import Facts
from playbooks.loading import load_playbooks
from simulator.pages import with_moved_start
from simulator.scenarios import SCENARIOS, open_scenario
from simulator.server import Simulator
from simulator.show import Show
from situation.api_server import ApiServerReading
from situation.findings import Diagnosis, Effect
from situation.meta import Ref
from situation.pods import ContainerState, Pod
from situation.readings import Reading, SourceState
from situation.situation import Situation
from situation.store import involved_ref
from tape.etcd import METRICS_SOURCE
from tape.format import page_name
from tui.attention import Attention
from tui.cards import object_card
from tui.checklist import QUICK, Checklist, rule_facts
from tui.collect import collect_once
from tui.connection import KubernetesConnection
from tui.feed import Feed

FEWEST: Final = {
    "api_outage": 50,
    "api_overloaded": 50,
    "etcd_certificate_expired": 50,
    "etcd_fragmented": 50,
    "etcd_leader_lost": 50,
    "etcd_member_hangs": 50,
    "etcd_nospace": 50,
    "etcd_quorum_lost": 50,
    "etcd_wrong_certificate": 50,
    "faults_a": 40,
    "gpu_device_plugin": 30,
    "gpu_driver_nouveau": 30,
    "gpu_fabric_manager": 30,
    "gpu_lost": 30,
    "gpu_mig_stuck": 30,
    "gpu_nfd_down": 30,
    "gpu_time_slicing": 30,
    "gpu_toolkit": 30,
    "vllm_device_oom": 30,
    "vllm_engine_dead": 30,
    "vllm_killed_before_ready": 30,
    "vllm_preemption": 30,
    "vllm_queue": 30,
    "vllm_stalled": 30,
}
"""How many commands each demo offers at least."""
CLUSTERS: Final = {"api": "control plane", "etcd": "control plane", "gpu": "GPU nodes", "vllm": "model servers"}
"""By the start of their names, demos that have the same nodes and nearly the same pods: a command that worked in one of
them is not run again in the next."""
LOOKED_AT: Final = {"vllm_preemption": 130.0, "vllm_queue": 60.0}
"""When demos are at their worst that are over at their end."""
ASKED_EVERY_S: Final = 5.0
SCRAPES_S: Final = 60.0
DEADLINE_S: Final = 60.0
AT_ONCE: Final = 3
LATER: Final = timedelta(seconds=30)
"""Some consequences count only after a while."""
IS_THE_FAULT: Final = {
    ("faults_a", "get secret not-there"): 'secrets "not-there" not found',
    ("vllm_engine_dead", ":8000/proxy/health"): "connect: connection refused",
}
"""How a command of a demo ends that must fail, because what it asks for is what is missing, and what kubectl says."""

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="needs a stock kubectl")


class Offer(NamedTuple):
    """A command line, and who offers it."""

    line: str
    by: str
    alike: str
    """The same for lines that ask the same of another copy of a pod in the same state: one of them is run."""


class Outcome(NamedTuple):
    code: int | None
    out: str
    err: str


@asynccontextmanager
async def demo_at_its_worst(scenario: str, kubeconfig: Path) -> AsyncIterator[Show]:
    tape = open_scenario(scenario)
    end = LOOKED_AT.get(scenario) or tape.header.hold_at or max(frame.t for frame in tape.frames())
    tape.header = msgspec.structs.replace(tape.header, start_at=end)
    show = Show(tape)
    async with Simulator(show.cluster, token=None) as simulator:
        simulator.faults.absent |= show.absent
        simulator.write_kubeconfig(kubeconfig, show.tape.header.context)
        playing = asyncio.create_task(show.play(simulator))
        try:
            yield show
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)


async def offers(scenario: str, show: Show, kubeconfig: Path) -> list[Offer]:
    """All reading commands for this place: of findings, of the checklist, and of objects that no finding is about."""
    feed = Feed(lambda: datetime.now(UTC))
    async with KubernetesConnection(str(kubeconfig))(feed.publish) as connected:
        assert await collect_once(feed, connected, DEADLINE_S)
    for reading in _two_scrapes(scenario):
        feed.publish(reading)
    for reading in _last_minute_of_servers(show, feed.situation):
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
    copies = {pod.name: _copy(pod) for pod in feed.situation.pods.values()}
    return [
        Offer(line, by, " ".join(copies.get(word, word) for word in shlex.split(line.replace(str(kubeconfig), ""))))
        for line, by in {line: by for line, by in reversed(judged)}.items()
    ]


def _copy(pod: Pod) -> str:
    """What decides what kubectl can do with a pod: whose copy it is, and what its containers do and did."""
    statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    does = [[_doing(state) for state in (status.state, status.last_state)] for status in statuses]
    return f"{owner.name if (owner := pod.metadata.controller) else pod.name} {pod.status.phase} {does}"


def _doing(state: ContainerState) -> str:
    return "waits" if state.waiting else "runs" if state.running else "ended" if state.terminated else "nothing"


def _two_scrapes(scenario: str) -> Iterator[Reading]:
    """The API server's last pages, half a minute apart, as nobody waits so long here."""
    pages = [
        (frame.t, frame.text or "") for frame in open_scenario(scenario).frames() if frame.source == METRICS_SOURCE
    ]
    for t, page in pages:
        if (ago_s := pages[-1][0] - t) <= SCRAPES_S:
            at = datetime.now(UTC) - timedelta(seconds=ago_s)
            yield Reading(
                "control-plane/metrics", SourceState.LIVE, at, ApiServerReading(parse_api_page(page.encode()), at)
            )


def _last_minute_of_servers(show: Show, situation: Situation) -> Iterator[Reading]:
    """What the model servers have said so far, as often as they are asked."""
    header, told = show.tape.header, [frame for frame in show.tape.frames() if page_name(frame.source) is not None]
    for step in range(int(SCRAPES_S / ASKED_EVERY_S), -1, -1):
        t = header.start_at - step * ASKED_EVERY_S
        pages = {page_name(frame.source): frame for frame in told if frame.t <= t}
        moved = [
            PodPage(*name, page.status or 200, with_moved_start(page.text or "", show.moved).encode(), page.error or "")
            for name, page in pages.items()
            if name is not None
        ]
        yield from servers_on_pages(moved, situation, show.moved(header.started_at + timedelta(seconds=t)))


def _of_findings(diagnosis: Diagnosis, target: Target) -> Iterator[tuple[str, str]]:
    for cause in diagnosis.causes:
        for finding in (cause, *cause.consequences):
            for command, line in offered(finding.next, target):
                is_for_here = (command.effect, command.where, command.argv[0]) == (Effect.READ, "here", "kubectl")
                if is_for_here and "exec" not in command.argv:  # nothing runs in the simulator's pods
                    yield line, finding.rule


def _of_objects(feed: Feed, target: Target) -> Iterator[tuple[str, str]]:
    """What is offered when a pod, a node or the object of an event is picked."""
    situation, now = feed.situation, datetime.now(UTC)
    facts = Facts(situation, feed.diagnosis, feed.order.unsettled, now, rule_facts())
    checklist = Checklist("ana")
    checklist.library = load_playbooks()
    checklist.choose(QUICK)
    pods_and_nodes = [Ref("Pod", *key) for key in situation.pods] + [Ref("Node", *key) for key in situation.nodes]
    for ref in dict.fromkeys((*pods_and_nodes, *map(involved_ref, situation.events.values()))):
        attention = Attention()
        attention.focus_on_object(ref, feed.diagnosis)
        for step in checklist.view(facts, Context(situation, now, (ref,)), target).steps:
            if step.command.startswith("kubectl "):
                yield step.command, f"checklist: {step.ask}"
        if attention.finding(feed.diagnosis) is None:
            for command in object_card(ref, situation, target, now).commands:
                yield command.line, f"card of {ref}"


async def run(line: str, home: Path) -> Outcome:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KUBE")}
    child = await asyncio.create_subprocess_exec(
        *shlex.split(line), stdout=PIPE, stderr=PIPE, env={**kept, "HOME": str(home)}
    )
    async with asyncio.timeout(DEADLINE_S):
        out, err = await child.communicate()
    return Outcome(child.returncode, out.decode(), err.decode())


@pytest.fixture(scope="module")
def worked() -> dict[str, set[str]]:
    """What commands that worked on a cluster of several demos have in common (`Offer.alike`)."""
    return {cluster: set() for cluster in CLUSTERS.values()}


@pytest.mark.parametrize(("scenario", "fewest"), FEWEST.items())
async def test_every_command_works(scenario: str, fewest: int, tmp_path: Path, worked: dict[str, set[str]]) -> None:
    at_once = asyncio.Semaphore(AT_ONCE)

    async def complaint(offer: Offer) -> str:
        async with at_once:
            code, out, err = await run(offer.line, tmp_path)
        refusal = next(
            (text for (of, end), text in IS_THE_FAULT.items() if of == scenario and offer.line.endswith(end)), ""
        )
        if refusal:
            well = code == 1 and refusal in err
        else:
            well = code == 0 and bool(out.strip() or err.startswith("No resources found"))
        return "" if well else f"{offer.by}: {offer.line}\n  exit code {code}: {out}{err}"

    known = worked.get(CLUSTERS.get(scenario.partition("_")[0], ""), set())
    async with demo_at_its_worst(scenario, tmp_path / "kubeconfig") as show:
        found = await offers(scenario, show, tmp_path / "kubeconfig")
        new = {offer.alike: offer for offer in found if offer.alike not in known}
        complaints = await asyncio.gather(*map(complaint, new.values()))
    assert list(filter(None, complaints)) == []
    known.update(new)
    assert len(found) >= fewest
    assert scenario != "api_overloaded" or any("--raw /debug" in offer.line for offer in found)


def test_no_demo_is_left_out() -> None:
    assert set(SCENARIOS) == set(FEWEST)
