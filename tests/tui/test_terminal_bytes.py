"""Whatever a cluster's text holds, the terminal gets only what the program itself means to send."""

import itertools
import json
import re
import unicodedata
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from textual.command import CommandPalette
from textual.drivers.headless_driver import HeadlessDriver
from textual.pilot import Pilot

from playbooks.commands import Target
from situation.api_server import ApiServerPage, ApiServerReading, Seats
from situation.certificates import Certificates
from situation.decode import BadObjectError, decode_object
from situation.etcd.members import EtcdMember, EtcdReading
from situation.gpu.devices import GpuDevice, GpuReading, NodeDevices
from situation.kinds import KINDS, kind_of
from situation.meta import KubernetesObject
from situation.readings import Listed, Reading, SourceState
from situation.serving.readings import (
    EnginePage,
    Health,
    ModelServer,
    ServedModel,
    ServerPage,
    ServerReading,
    Software,
)
from situation.steps import finish
from situation.text import harmless, harmless_object
from tests.build import NOW, Manifest, event, meta, node, pod
from tests.control_plane import certificate
from tests.etcd_objects import endpoint, status
from tests.tui.cockpits import Cluster, cluster_readings, open_cockpit, screen_text, until
from tui.app import Cockpit
from tui.dialogs import ChooseScreen, HelpScreen
from widgets.causes import CausesPane
from widgets.checklist import ChecklistPane
from widgets.control_plane_facts import ControlPlaneFacts
from widgets.table import RowTable
from widgets.timeline import TimelinePane
from widgets.vllm_table import ServingTable

OWN_SEQUENCES = re.compile(r"\x1b\[[0-9;:]*m|\x1b\[[0-9;]*H|\x1b\[\?2026[hl]|\x1b\[\?25[hl]|\x1b\]22;default\x07")
"""All that a picture is made of: colours, cursor positions, the brackets around one update, cursor and pointer."""

INVISIBLE = {
    *"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180e\u180f\u200b\u200c\u200d\u200e\u200f",
    *"\u202a\u202b\u202c\u202d\u202e\u2028\u2029\u3164\ufeff\uffa0\ufff9\ufffa\ufffb",
    *map(chr, range(0x2060, 0x2070)),
    *map(chr, range(0xFE00, 0xFE10)),
    *map(chr, range(0xFFF0, 0xFFF9)),
    *map(chr, range(0x1BCA0, 0x1BCA4)),
    *map(chr, range(0x1D173, 0x1D17B)),
    *map(chr, range(0xE0000, 0xE1000)),
}
"""Bidirectional controls, zero width, and the rest of Default_Ignorable_Code_Point (Unicode 16)."""

SNIPPETS = (
    "\x1b[2J", "\x1b[5i", "\x1b]52;c;aGk=\x07", "\x1b]52;c;aGk=\x1b\\", "\x1b]8;;http://x\x1b\\y", "\x1bPq#0\x1b\\",
    "\x1bPtmux;\x1b\x1b]52;c;aGk=\x07\x1b\\", "\x1b]0;title\x07", "\x1bc", "\x1b", "\x9b31m", "\x9d52;c;aGk=\x9c",
    "\x90q\x9c", "\x00", "\x07", "\x08\x08\x08", "\x7f", "\r\n", "\n", "\t", "\x0e\x0f", "\x85", "\u202eexe.txt",
    "\u2066x\u2069", "\u200b", "\ufeff", "\u00ad", "\u2028", "\U000e0041", "\ufe0f", "\u180b", "\U0001d173",
    "[red]", "[/]", "[/x]", "[@click=app.quit]go[/]", "[link=http://x]", "$error", "[on $panel]", "[", "]",
    "\\[", ":boom:", "漢字漢字", "e\u0301\u0302\u0303", "👩\u200d🚀", "ﷺ", "한글", "--flag", "<pod>",
    "'; rm -rf /", "`id`",
)  # fmt: skip

hostile = st.lists(st.one_of(st.sampled_from(SNIPPETS), st.text(max_size=8)), min_size=1, max_size=4).map("".join)


class Recorder(HeadlessDriver):
    """Stands where the terminal's driver stands and keeps what would be written."""

    written: ClassVar[list[str]] = []

    @property
    def is_headless(self) -> bool:
        return False

    def write(self, data: str) -> None:
        self.written.append(data)


def leftovers(raw: str) -> str:
    """Return what of the output is text."""
    return OWN_SEQUENCES.sub("", re.sub(r"\n(?=\x1b\[\d+;\d+H)", "", raw))


def harmful(text: str) -> set[str]:
    """Return the characters that no terminal should get from a cluster."""
    return {char for char in text if unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in INVISIBLE}


def test_the_measure_itself_sees_what_gets_through() -> None:
    for snippet in SNIPPETS[: SNIPPETS.index("[red]")]:
        assert harmful(leftovers(f"\x1b[1;1Hbefore{snippet}after\x1b[0m\n\x1b[2;1H")), repr(snippet)
    assert not harmful(leftovers("\x1b[1;1H\x1b[1;38;2;1;2;3mtext 漢字 [red]\x1b[0m\n\x1b[2;1Hmore"))


def decoded(manifest: Manifest, *, ascii_only: bool) -> KubernetesObject:
    """Decode as live data is, from JSON with escapes or with the characters themselves."""
    kind = kind_of(manifest["kind"])
    assert kind is not None
    return decode_object(json.dumps(manifest, ensure_ascii=ascii_only).encode(), kind)


def manifests(text: Iterator[str]) -> Iterator[Manifest]:
    """Broken and healthy objects in which every text that a pane may show comes from `text`."""
    for reason in ("ImagePullBackOff", "CreateContainerConfigError", "CrashLoopBackOff", next(text)):
        name, space = next(text), next(text)
        owner = {"kind": "StatefulSet", "name": next(text), "uid": "u", "controller": True}
        yield pod(
            name,
            namespace=space,
            labels={next(text): next(text)},
            node=next(text),
            phase="Pending",
            ready=False,
            container={"image": next(text)},
            container_status={
                "restartCount": 7,
                "image": next(text),
                "state": {"waiting": {"reason": reason, "message": next(text)}},
                "lastState": {"terminated": {"exitCode": 1, "reason": next(text), "message": next(text)}},
            },
        ) | {"metadata": meta(name, space, ownerReferences=[owner])}
        yield event(f"Pod/{name}", next(text), next(text), namespace=space) | {"metadata": meta(next(text), space)}
        yield {"kind": "Namespace", "metadata": {"name": space}, "status": {"phase": next(text)}}
    image = {"waiting": {"reason": "ImagePullBackOff", "message": next(text)}}
    yield pod("plain", node="", phase="Pending", ready=False, container_status={"state": image})
    unscheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": next(text)}
    yield pod(next(text), node="", phase="Pending", status={"conditions": [unscheduled], "containerStatuses": []})
    yield pod(next(text), ready=False, status={"reason": next(text), "message": next(text)})
    for ready in ("False", "Unknown", "True"):
        name = next(text)
        conditions = [
            {"type": "Ready", "status": ready, "reason": next(text), "message": next(text)},
            {"type": next(text), "status": "True", "reason": next(text), "message": next(text)},
        ]
        taint = {"key": next(text), "value": next(text), "effect": next(text)}
        label = {f"node-role.kubernetes.io/{next(text)}": "", "nvidia.com/gpu.present": "true",
                 "nvidia.com/mig.strategy": next(text)}  # fmt: skip
        yield node(name, conditions=conditions, labels=label, spec={"taints": [taint]})
        crash = {"restartCount": 4, "state": {"waiting": {"reason": "CrashLoopBackOff", "message": next(text)}},
                 "name": next(text), "lastState": {"terminated": {"exitCode": 1, "reason": next(text)}}}  # fmt: skip
        yield pod(next(text), namespace=next(text), node=name, ready=False, container_status=crash,
                  labels={"app": "nvidia-driver-daemonset"})  # fmt: skip
        yield event(f"Node/{name}", next(text), next(text), namespace="default") | {
            "metadata": meta(next(text), "default")
        }


def hostile_readings(texts: list[str], *, ascii_only: bool) -> list[Reading]:
    """Readings of a cluster made of `texts`."""
    objects: dict[str, dict[tuple[str, str], KubernetesObject]] = {kind.name: {} for kind in KINDS}
    for manifest in manifests(itertools.cycle(texts)):
        kind = kind_of(manifest["kind"])
        assert kind is not None
        item = decoded(manifest, ascii_only=ascii_only)
        objects[kind.name][item.key] = item
    listed = [
        Reading(kind.source, SourceState.LIVE, NOW, Listed(kind.name, tuple(objects[kind.name].values())))
        for kind in KINDS
    ]
    words = itertools.cycle(texts)
    nodes = tuple(
        NodeDevices(item.name, (hostile_device(words),), next(words), next(words), NOW, next(words))
        for item in objects["nodes"].values()
    )
    devices = Reading("gpu/dcgm", SourceState.LIVE, NOW, harmless_object(GpuReading(nodes)), harmless(next(words)))
    return [*cluster_readings()[:2], *listed, devices, *hostile_control_plane(words), hostile_server(words)]


def hostile_server(text: Iterator[str]) -> Reading:
    """A model server at a URL; what it says is cleaned as read."""
    engine = EnginePage(next(text), next(text), running=1.0, waiting=2.0)
    models = (ServedModel(next(text), next(text)), ServedModel(next(text), parent=next(text)))
    page = ServerPage(Software.VLLM, (engine,), running_loras=(next(text),))
    server = ModelServer("http://10.0.0.9:8000", Software.VLLM, origin="url", url="http://10.0.0.9:8000", page=page,
                         health=Health.OK, version=next(text), models=models, models_error=next(text))  # fmt: skip
    return Reading("vllm/servers", SourceState.LIVE, NOW, ServerReading(harmless_object(server), NOW))


def hostile_control_plane(text: Iterator[str]) -> Iterator[Reading]:
    """One member that answers, one that does not, certificates and an API server; what they say is cleaned as read."""
    for number in (1, 2):
        source, error = f"etcd/10.0.0.{number}:2379", harmless(next(text))
        if number == 1:
            told = status(1, version=next(text), errors=(next(text),))
            member = EtcdMember(endpoint(1), name=next(text), node=next(text), status=told, page_error=next(text))
            state = SourceState.LIVE
        else:
            member = EtcdMember(endpoint(2), name=next(text), status_error=next(text))
            state = SourceState.UNREACHABLE
        yield Reading(source, state, NOW, harmless_object(EtcdReading(member, NOW)), error)
    certificates = (
        certificate(next(text), 3, place=next(text), node=next(text)),
        certificate(next(text), None, place=next(text), error=next(text)),
    )
    yield Reading("control-plane/certificates", SourceState.LIVE, NOW, harmless_object(Certificates(certificates)))
    page = ApiServerPage(objects={harmless(next(text)): 9}, seats={harmless(next(text)): Seats(3, 2)})
    yield Reading("control-plane/metrics", SourceState.LIVE, NOW, ApiServerReading(page, NOW), harmless(next(text)))


def hostile_device(text: Iterator[str]) -> GpuDevice:
    return GpuDevice(
        0, next(text), next(text), throttle_reasons=(next(text),), mig_profile=next(text), mig_id=next(text),
        holders=((next(text), next(text)),),
    )  # fmt: skip


async def look_everywhere(pilot: Pilot[int]) -> None:
    """Do what shows every text: move over all panes, focus objects, open the screens on top."""
    app = pilot.app
    assert isinstance(app, Cockpit)
    cockpit = app.cockpit
    for table in cockpit.query_one("#panes").query(RowTable):
        if isinstance(table, ServingTable):
            cockpit.action_vllm()  # painted while it is shown only
        await until(pilot, lambda table=table: table.row_count > 0)  # type: ignore[misc]
        table.focus()
        if isinstance(table, ControlPlaneFacts):
            continue  # there is nothing to pick in it
        for _ in range(min(table.row_count, 5)):
            table.action_select()
            await until(pilot, lambda: not cockpit.attention.focus.is_cluster)
            cockpit.action_back()
            table.action_move(1)
            await pilot.pause(0)
    cockpit.action_checklist()
    for _ in range(6):
        cockpit.action_step(1)
        await pilot.pause(0)
    assert cockpit.query_one(ChecklistPane).display
    app.recorder._clock = lambda: NOW + timedelta(seconds=10)  # so that the causes have stood long enough
    finish(app.recorder.take(app.feed))
    cockpit.action_timeline()
    timeline = cockpit.query_one(TimelinePane).table
    assert timeline.row_count > 1
    for _ in range(min(timeline.row_count, 8)):
        timeline.action_move(-1)
        await pilot.pause(0)
    cockpit.close_timeline()
    cockpit.attention.selection = next(
        cause.key for cause in app.feed.diagnosis.causes if "plain" in str(cause.subject)
    )  # of those with a hostile name no command is offered
    cockpit.paint(None)
    for key, screen in (("C", ChooseScreen), ("question_mark", HelpScreen), ("ctrl+p", CommandPalette)):
        cockpit.query_one(CausesPane).table.focus()
        await pilot.press(key)
        await until(pilot, lambda wanted=screen: isinstance(app.screen, wanted))  # type: ignore[misc]
        if screen is CommandPalette:
            await pilot.press("n")
            await until(pilot, lambda: "Namespace" in screen_text(pilot))
        await pilot.press("escape")
    await pilot.resize_terminal(80, 24)
    await pilot.press("tab", "tab", "tab")
    await pilot.pause(0)


@settings(
    max_examples=2,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # shrinking would take minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(
    texts=st.lists(hostile, min_size=40, max_size=40, unique=True),
    turned=st.integers(0, len(SNIPPETS)),
    ascii_only=st.booleans(),
)
async def test_no_text_of_a_cluster_reaches_the_terminal_as_anything_but_text(
    texts: list[str], turned: int, ascii_only: bool, tmp_path: Path
) -> None:
    Recorder.written.clear()
    everything = [*SNIPPETS[turned:], *texts, *SNIPPETS[:turned]]
    cluster = Cluster(hostile_readings(everything, ascii_only=ascii_only))
    async with open_cockpit(cluster, tmp_path, driver=Recorder, hz=5) as pilot:
        await look_everywhere(pilot)
    raw = "".join(Recorder.written)
    assert "\x1b]52" not in raw
    assert not harmful(leftovers(raw)), {part[:80] for part in leftovers(raw).split("  ") if harmful(part)}


async def test_nor_does_what_a_kubeconfig_calls_its_context(tmp_path: Path) -> None:
    """No command is offered then: a name with such characters is refused in them."""
    Recorder.written.clear()
    cluster = Cluster(cluster_readings(node("n1"), pod("web-1", node="n1", container_status={"restartCount": 9})))
    cluster.target = Target("prod" + "".join(SNIPPETS[:17]), limited_to="shop")
    async with open_cockpit(cluster, tmp_path, driver=Recorder, hz=5) as pilot:
        await pilot.press("c", "t", "l")
        await pilot.pause()
        assert "prod␛[2J" in screen_text(pilot)
    raw = "".join(Recorder.written)
    assert "\x1b]52" not in raw
    assert not harmful(leftovers(raw))


@pytest.mark.parametrize("raw", [b'{"metadata": {"name": "a\\ud800b"}}', b'{"metadata": {"name": "a\xed\xa0\x80b"}}'])
def test_an_object_with_a_lone_surrogate_is_refused_with_a_harmless_reason(raw: bytes) -> None:
    kind = kind_of("Pod")
    assert kind is not None
    with pytest.raises(BadObjectError) as caught:
        decode_object(raw, kind)
    assert not harmful(str(caught.value))
