"""The shipped GPU incidents: what is found in each, and what its cluster answers.

Asked of the diagnosis is only what any right set of rules says.
"""

import re
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
import pytest

from diagnosis.engine import diagnose
from simulator.dcgm import gpu_uuid
from simulator.scenarios import open_scenario
from simulator.scenarios.make_gpu import INCIDENTS
from simulator.server import Simulator
from simulator.show import Show
from situation.findings import Diagnosis, Finding, Layer, Severity
from situation.selectors import is_ready
from situation.situation import Situation
from tape.player import play
from tests.simulator.client import get
from tui.check import CheckOptions, run_check

HEALTHY_AT: Final = 8.0
OPERATOR: Final = "gpu-operator"
DAEMONSETS: Final = "nvidia-container-toolkit-daemonset", "nvidia-device-plugin-daemonset", "nvidia-operator-validator"
AT_LAYER_5: Final = {
    "gpu_toolkit": {"gpu-1", DAEMONSETS[0]},
    "gpu_device_plugin": {"gpu-1", DAEMONSETS[1]},
    "gpu_fabric_manager": {"gpu-1", DAEMONSETS[2], "nvidia-driver-daemonset"},
    "gpu_lost": {"gpu-1"},
    "gpu_mig_stuck": {"gpu-1"},
    "gpu_nfd_down": {"gpu-3"},
}
"""What a grave cause at layer 5 is about, one of these."""
AT_ANY_LAYER: Final = {
    "gpu_time_slicing": {"gpu-1", "vllm-phi4"},
}
LOGS: Final = {
    "gpu_toolkit": ("nvidia-container-toolkit-daemonset", "nvidia-container-toolkit-ctr", "Error signaling containerd"),
    "gpu_device_plugin": ("nvidia-device-plugin-daemonset", "nvidia-device-plugin", "nvml init failed: "),
    "gpu_fabric_manager": ("nvidia-cuda-validator", "cuda-validation", "system not yet initialized"),
    "gpu_mig_stuck": ("nvidia-mig-manager", "nvidia-mig-manager", "dcgm-exporter pod did not shutdown"),
    "gpu_lost": ("nvidia-device-plugin-daemonset", "nvidia-device-plugin", "XidCriticalError: Xid=79 on Device=GPU-"),
    "gpu_time_slicing": ("vllm-phi4", "vllm", "torch.OutOfMemoryError: CUDA out of memory"),
}
ALL: Final = sorted(INCIDENTS)


def path_of(name: str) -> Path:
    return open_scenario(name).path


@cache
def situation_at(name: str, t: float) -> tuple[Situation, Diagnosis]:
    played, known = play(path_of(name), t), Situation()
    assert played.notes == ()
    for reading in played.readings:
        known.apply(reading)
    return known, diagnose(known, played.now)


def at_hold(name: str) -> tuple[Situation, Diagnosis]:
    return situation_at(name, INCIDENTS[name].hold_at)


def grave(diagnosis: Diagnosis) -> list[Finding]:
    return [cause for cause in diagnosis.causes if cause.severity is not Severity.INFO]


def about(cause: Finding) -> set[str]:
    found = (cause, *cause.consequences)
    return {finding.subject.name for finding in found} | {finding.node for finding in found}


@pytest.mark.parametrize("name", ALL)
def test_the_tape_is_what_its_script_makes_and_small(name: str) -> None:
    tape = open_scenario(name)
    assert [msgspec.json.encode(frame) for frame in tape.frames()] == [
        msgspec.json.encode(frame) for frame in INCIDENTS[name].frames()
    ]
    assert (tape.header.start_at, tape.header.hold_at) == (INCIDENTS[name].opens_at, INCIDENTS[name].hold_at)
    assert tape.path.stat().st_size < 30_000


@pytest.mark.parametrize("name", ALL)
def test_the_servers_are_set_up_with_care_but_for_the_one_whose_single_replica_is_the_point(name: str) -> None:
    hints = {cause.subject.name: cause.title for cause in at_hold(name)[1].causes if cause.rule == "vllm-review"}
    stuck = {"vllm-llama3-8b": "vllm-llama3-8b has 1 weak point in its set-up: one replica"}
    assert hints == (stuck if name == "gpu_mig_stuck" else {})


@pytest.mark.parametrize("name", ALL)
def test_it_begins_healthy(name: str) -> None:
    known, diagnosis = situation_at(name, HEALTHY_AT)
    assert [cause.key for cause in grave(diagnosis)] == []
    assert {item.status.phase for item in known.pods.values()} == {"Running", "Succeeded"}


@pytest.mark.parametrize("name", ALL)
def test_the_right_thing_is_found_and_the_good_node_is_left_alone(name: str) -> None:
    found = grave(at_hold(name)[1])
    if name in AT_LAYER_5:
        found_there = [cause for cause in found if cause.layer is Layer.NODE and about(cause) & AT_LAYER_5[name]]
    else:
        found_there = [cause for cause in found if about(cause) & AT_ANY_LAYER[name]]
    assert found_there, [cause.key for cause in found]
    assert [cause.key for cause in found if "gpu-2" in about(cause)] == []


def test_who_waits_for_the_lost_gpu_follows_from_it_as_does_who_held_it() -> None:
    (cause,) = grave(at_hold("gpu_lost")[1])
    assert (cause.rule, cause.subject.name) == ("gpu-unhealthy", "gpu-1")
    effects = {finding.rule: finding.subject.name for finding in cause.consequences}
    assert effects == {"gpus-short": "vllm-llama3-70b", "vllm-crash": "vllm-mistral-7b"}


def test_a_node_that_is_not_discovered_is_told_soon_after_the_demo_opens() -> None:
    opens = INCIDENTS["gpu_nfd_down"].opens_at
    assert not [cause for cause in grave(situation_at("gpu_nfd_down", opens)[1]) if cause.layer is Layer.NODE]
    causes = situation_at("gpu_nfd_down", opens + 10)[1].causes
    (cause,) = (cause for cause in causes if cause.rule == "gpu-node-not-discovered")
    assert cause.subject.name == "gpu-3"
    assert "finetune-llama3" in " ".join(about(cause))


def test_who_trains_a_model_is_no_server_of_one() -> None:
    known, _ = situation_at("gpu_nfd_down", INCIDENTS["gpu_nfd_down"].opens_at + 10)
    training = {key for key in known.pods if key[1].startswith("finetune")}
    assert training and not training & set(known.model_server_pods.get(True))


@pytest.mark.parametrize("name", ALL)
def test_a_check_of_the_tape_says_so_by_its_exit_code(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    worst = {cause.severity for cause in at_hold(name)[1].causes}
    assert run_check(CheckOptions(dump=path_of(name))) == (2 if Severity.CRITICAL in worst else 1)
    assert capsys.readouterr().out


@pytest.mark.parametrize("name", ALL)
def test_the_good_node_stays_whole(name: str) -> None:
    known, _ = at_hold(name)
    on_it = [item for item in known.pods.values() if item.spec.node_name == "gpu-2" and item.namespace == OPERATOR]
    assert len(on_it) == 9
    assert all(is_ready(item) or item.status.phase == "Succeeded" for item in on_it)
    node = known.nodes["", "gpu-2"]
    assert node.status.capacity["nvidia.com/gpu"] == node.status.allocatable["nvidia.com/gpu"] == "8"


@pytest.mark.parametrize("name", ALL)
def test_daemonsets_count_what_is_there(name: str) -> None:
    known, _ = at_hold(name)
    for daemonset in known.daemonsets.values():
        mine = [item for item in known.pods.values() if (it := item.metadata.controller) and it.name == daemonset.name]
        assert daemonset.status.current_number_scheduled == len(mine), daemonset.name
        assert daemonset.status.number_ready == sum(map(is_ready, mine)), daemonset.name


def opened_at_hold(name: str) -> Simulator:
    tape = open_scenario(name)
    tape.header = msgspec.structs.replace(tape.header, start_at=INCIDENTS[name].hold_at)
    return Simulator(Show(tape).cluster)


def pod_on(simulator: Simulator, start: str, node: str = "gpu-1") -> str:
    """Path of the newest pod on a node whose name begins so."""
    found = [
        (manifest["metadata"]["creationTimestamp"], *stored.key)
        for stored in simulator.cluster.table("pods").ordered()
        if stored.key[1].startswith(start) and (manifest := stored.manifest())["spec"].get("nodeName") == node
    ]
    _, namespace, name = max(found)
    return f"/api/v1/namespaces/{namespace}/pods/{name}"


@pytest.mark.parametrize("name", sorted(LOGS))
async def test_the_log_says_what_it_says_in_earnest(name: str) -> None:
    start, container, text = LOGS[name]
    async with opened_at_hold(name) as simulator:
        first = pod_on(simulator, start)
        pods = [first]
        if name == "gpu_time_slicing":  # one of two has run out of memory
            namespaced = first.rpartition("/")[0]
            keys = simulator.cluster.table("pods").keys()
            pods = [f"{namespaced}/{key[1]}" for key in keys if key[1].startswith(start)]
        logs = [await get(simulator, f"{pod}/log", container=container) for pod in pods]
    assert all(status == 200 for status, _ in logs)
    assert any(text in log for _, log in logs)


async def page(name: str, node: str) -> str:
    async with opened_at_hold(name) as simulator:
        status, text = await get(simulator, f"{pod_on(simulator, 'nvidia-dcgm-exporter', node)}:9400/proxy/metrics")
    assert status == 200, text
    return str(text)


async def test_the_exporter_shows_the_lost_gpu() -> None:
    text = await page("gpu_lost", "gpu-1")
    assert re.search(rf'DCGM_FI_DEV_XID_ERRORS{{gpu="0",UUID="{gpu_uuid("gpu-1", 0)}".* 79\n', text)
    assert text.count("\nDCGM_FI_DEV_GPU_UTIL{") == 7
    assert "79" not in re.findall(r"DCGM_FI_DEV_XID_ERRORS{.*} (\d+)", await page("gpu_lost", "gpu-2"))


async def test_the_exporter_shows_that_shared_memory_is_full() -> None:
    text = await page("gpu_time_slicing", "gpu-1")
    free = [int(value) for value in re.findall(r"DCGM_FI_DEV_FB_FREE{.*} (\d+)", text)]
    assert len(free) == 2
    assert max(free) < 1000
    assert 'modelName="NVIDIA H100 80GB HBM3"' in text


async def test_an_exporter_without_a_runtime_does_not_answer() -> None:
    async with opened_at_hold("gpu_toolkit") as simulator:
        path = pod_on(simulator, "nvidia-dcgm-exporter")
        status, found = await get(simulator, f"{path}:9400/proxy/metrics")
    assert (status, found["message"]) == (400, "address not allowed")


def test_a_pod_that_waits_for_gpus_whose_layout_is_being_changed_is_a_consequence() -> None:
    (cause,) = grave(at_hold("gpu_mig_stuck")[1])
    assert (cause.rule, cause.severity) == ("stuck-terminating", Severity.CRITICAL)
    assert {item.rule for item in cause.consequences} == {"mig-change-stuck", "gpus-short", "node-gpus-lost"}
    (stuck,) = (item for item in cause.consequences if item.rule == "mig-change-stuck")
    said = [line.text for line in stuck.evidence]
    assert any(text.startswith("does not go away: nvidia-dcgm-exporter-") for text in said)
    assert "serving/vllm-llama3-8b allows no eviction now" in said
