"""Readings written as frames come back as they were, whatever their value."""

import math
from datetime import timedelta
from typing import get_args

import msgspec
import pytest

from situation.api_server import ApiServerPage, ApiServerReading, ListKey, Liveness, Seats
from situation.certificates import Certificate, Certificates
from situation.etcd.members import (
    Alarm,
    EtcdAccess,
    EtcdAlarms,
    EtcdMember,
    EtcdMembership,
    EtcdReading,
    ListedMember,
    MemberHealth,
    MemberPage,
    MemberStatus,
)
from situation.gpu.devices import Counts, GpuDevice, GpuReading, NodeDevices
from situation.histograms import Histogram
from situation.kinds import BY_NAME
from situation.local_health import LocalCheck, LocalHealth
from situation.log_reads import LogRead, LogSaid, RunRead
from situation.meta import KubernetesObject, Ref
from situation.readings import (
    Changed,
    Configured,
    Listed,
    OwnLoad,
    Readiness,
    Reading,
    ServerClock,
    ServerVersion,
    SourceState,
    Value,
)
from situation.scheduler import SchedulerLoad
from situation.serving.readings import (
    EnginePage,
    Health,
    ModelServer,
    ServedModel,
    ServerPage,
    ServerReading,
    Software,
)
from situation.situation import Situation
from tape.format import Frame, TapeError
from tape.readings import frames_of, reading_of
from tests.build import NOW, made
from tests.build import pod as manifest

SEEN = Histogram((0.001, 1.0, math.inf), (1.0, 4.0, 5.0))
VALUES: tuple[Value, ...] = (
    ServerVersion("v1.36.2"),
    Readiness(False, ("etcd", "informer-sync")),
    OwnLoad(31, 0.2, 18, 4096, 1, 0.02),
    GpuReading((NodeDevices("gpu-1", (GpuDevice(0, "GPU-0", earlier=(Counts(NOW, 1),), holders=(("a", "b"),)),)),)),
    EtcdReading(
        EtcdMember(
            "https://10.0.0.1:2379",
            status=MemberStatus(2**63 + 5, 7, "3.5.1", 10, errors=("etcdserver: no leader",)),
            page=MemberPage(1.5, True, fsync=SEEN, round_trips={"8e9e": SEEN}, alarms=("NOSPACE",)),
            health=MemberHealth(False, "RAFT NO LEADER"),
        ),
        NOW,
    ),
    EtcdMembership((ListedMember(5, "cp-1", ("https://10.0.0.1:2380",)),)),
    EtcdAlarms((Alarm(5, "NOSPACE"),)),
    EtcdAccess(),
    ApiServerReading(
        ApiServerPage(
            lists={ListKey("", "pods", "cluster"): SEEN, ListKey("apps", "deployments", "namespace"): SEEN},
            seats={"workload-low": Seats(3.0, None)},
            rejected={"global-default": math.nan},
        ),
        NOW,
    ),
    Liveness(True, ("ping",)),
    Certificates((Certificate("apiserver", "https://10.0.0.1:6443", NOW, is_served=True),)),
    ServerClock(-1.5, 0.6),
    Configured("nvidia"),
    ServerReading(
        ModelServer(
            "serving/a:8000",
            Software.VLLM,
            ("serving", "a"),
            page=ServerPage(Software.VLLM, (EnginePage("m", ttft=SEEN, finished={"stop": 2.0}),), running_loras=("x",)),
            health=Health.ENGINE_DEAD,
            models=(ServedModel("m", max_model_len=4096),),
        ),
        NOW,
    ),
    LogRead(
        "serving",
        "a",
        "uid-a",
        "server",
        (RunRead(3, (LogSaid("vllm-log-gpu-oom", "GPU memory", "CUDA out of memory", 7),)),),
        NOW,
    ),
    SchedulerLoad(Histogram((0.5, 1.0), (3.0, 4.0)), pending={"active": 31.0}),
    LocalHealth("cp-1", (LocalCheck("kubelet", "http://127.0.0.1:10248/healthz", None, "refused"),)),
)


def pod(name: str) -> KubernetesObject:
    return made(manifest(name))


def passed_on(reading: Reading, t: float = 3.0) -> list[Reading]:
    """Return a reading that was written, encoded, decoded and read."""
    kind = BY_NAME.get(reading.source.removeprefix("kubernetes/"))
    started_at = NOW - timedelta(seconds=t)
    raw = [msgspec.json.encode(frame) for frame in frames_of(reading, t, started_at)]
    frames = [msgspec.json.decode(line, type=Frame) for line in raw]
    found = [reading_of(frame, started_at, kind) for frame in frames]
    return [item for item in found if item is not None]


def test_every_type_of_value_is_tried() -> None:
    assert {type(value) for value in VALUES} | {Listed, Changed} >= set(get_args(Value))


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_as_it_was(value: Value) -> None:
    reading = Reading("some/source", SourceState.LIVE, NOW, value, "less works than could", 60.0)
    (found,) = passed_on(reading)
    assert repr(found) == repr(reading)  # repr: a NaN equals no NaN


@pytest.mark.parametrize("state", list(SourceState))
def test_states_errors_and_confirmations_come_back(state: SourceState) -> None:
    reading = Reading("kubernetes/pods", state, NOW, None, "cannot connect" if state is not SourceState.LIVE else "")
    assert passed_on(reading) == [reading]


def test_objects_come_back_and_their_age_with_them() -> None:
    listed = Listed("pods", (pod("web-1"), pod("web-2")), 0)
    before = NOW - timedelta(seconds=42)
    situation = Situation()
    for reading in passed_on(Reading("kubernetes/pods", SourceState.LIVE, before, listed)):
        situation.apply(reading)
    assert tuple(situation.pods.values()) == listed.objects
    assert situation.source("pods").observed_at == before


def test_changes_come_back_one_by_one() -> None:
    situation = Situation()
    situation.apply(Reading("kubernetes/pods", SourceState.LIVE, NOW, Listed("pods", (pod("web-1"), pod("web-2")))))
    changed = Changed("pods", (pod("web-3"),), (("shop", "web-1"),))
    for reading in passed_on(Reading("kubernetes/pods", SourceState.LIVE, NOW, changed)):
        situation.apply(reading)
    assert {name for _, name in situation.pods} == {"web-2", "web-3"}
    assert situation.get(Ref("Pod", "shop", "web-3")) == pod("web-3")


@pytest.mark.parametrize(
    "value",
    [
        Listed("pods", (pod("web-1"),), 2, is_whole=False, broken=(("shop", "web-2"),)),
        Listed("pods", (), broken=(("shop", "web-2"),)),
        Changed("pods", skipped=1),
    ],
)
def test_what_could_not_be_decoded_is_told(value: Listed | Changed) -> None:
    reading = Reading("kubernetes/pods", SourceState.LIVE, NOW, value)
    assert passed_on(reading) == [reading]


def test_an_object_that_is_broken_now_comes_back_as_one_that_is_not_known() -> None:
    situation = Situation()
    situation.apply(Reading("kubernetes/pods", SourceState.LIVE, NOW, Listed("pods", (pod("web-1"), pod("web-2")))))
    key = ("shop", "web-1")
    for _ in range(2):
        changed = Changed("pods", removed=(key,), broken=(key,))
        for reading in passed_on(Reading("kubernetes/pods", SourceState.LIVE, NOW, changed)):
            situation.apply(reading)
    assert set(situation.pods) == {("shop", "web-2")}
    assert (situation.source("pods").skipped, situation.is_unread("pods", key)) == (1, True)


def test_frames_of_older_tapes_tell_of_nothing_broken() -> None:
    list_frame = msgspec.json.decode(b'{"t":1,"source":"kubernetes/pods","list":{"items":[]}}', type=Frame)
    said = msgspec.json.decode(b'{"t":1,"source":"kubernetes/pods","reading":{}}', type=Frame)
    pods = BY_NAME["pods"]
    values = [found.value for frame in (list_frame, said) if (found := reading_of(frame, NOW, pods)) is not None]
    assert values == [Listed("pods", ()), None]


@pytest.mark.parametrize(
    "reading",
    [b'{"type":"Surprise","value":{}}', b'{"type":"Liveness","value":{"alive":[]}}', b'{"type":"Liveness"}'],
)
def test_a_value_that_cannot_be_read_is_named(reading: bytes) -> None:
    frame = msgspec.json.decode(b'{"t":7,"source":"kubernetes/livez","reading":' + reading + b"}", type=Frame)
    with pytest.raises(TapeError, match="kubernetes/livez"):
        reading_of(frame, NOW)
