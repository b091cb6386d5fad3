"""Pods of model servers that do not come up: memory of host and GPU, the start, probes, volumes; look-alikes apart."""

from typing import Any, Final

import pytest

from diagnosis.engine import Engine, diagnose
from situation.findings import Finding, Layer, Mark, Severity
from situation.meta import Ref
from situation.readings import CONFIGURED, Configured, Reading, SourceState
from tests.build import NOW, Manifest, ago, event, meta, node, pod, situation
from tests.diagnosis.model_servers import ME, OWNED, container, fault, findings, gpu_node, known, read, server
from tests.diagnosis.objects import daemonset
from tests.diagnosis.pod_faults import creating, ended, first_command, looping, running, status, text_of
from tests.diagnosis.unscheduled import gpu_node as gpus
from tests.diagnosis.unscheduled import none_of, waiting
from tests.diagnosis.vllm_logs import DIED, FAILED, FREE, LOADED, LOGS, OOM, START

SMALL: Final = ("--model", "meta-llama/Llama-3.1-8B-Instruct")
LARGE: Final = ("--model", "meta-llama/Llama-3.1-70B-Instruct")
ATTENTION: Final = ("--dp-size", "8", "--enable-dp-attention")
SGLANG: Final = {"image": "lmsysorg/sglang:v0.5.3", "command": ["python3", "-m", "sglang.launch_server"]}
KILLED: Final = ended(137, reason="OOMKilled", ran_s=90)
SYSTEM_OOM: Final = event(
    "Node/gpu-1", "SystemOOM", "System OOM encountered, victim process: vllm, pid: 7", namespace="default", age_s=12
)
LIVENESS: Final = {"livenessProbe": {"httpGet": {"path": "/health", "port": 8000}, "initialDelaySeconds": 60}}
STARTUP: Final = {"startupProbe": {"httpGet": {"path": "/health", "port": 8000}, "failureThreshold": 6}}


def kill(probe: str = "startup", *, age_s: float = 11, count: int = 1) -> Manifest:
    message = f"Container app failed {probe} probe, will be restarted"
    return event("Pod/llm-1", "Killing", message, type="Normal", age_s=age_s, count=count)


def ends(code: int = 1, **more: Any) -> Manifest:
    return looping(ended(code, **more))


CASES: Final[dict[str, tuple[list[Manifest], str | None, str, str]]] = {
    "host limit": (
        [server(*SMALL, memory="12Gi", container_status=looping(KILLED))], None,
        "vllm-host-oom", "llm exceeds its host memory limit 12Gi",
    ),
    "host, no limit": (
        [server(*SMALL, memory=None, container_status=looping(KILLED))], None,
        "vllm-host-oom", "llm is OOM-killed without a memory limit of its own",
    ),
    "host, a worker only, by its log": (
        [server(*SMALL, memory="12Gi")],
        "ERROR Worker proc VllmWorker-1 died unexpectedly (exit code: -9), shutting down executor.\n" + FAILED,
        "vllm-host-oom", "llm exceeds its host memory limit 12Gi",
    ),
    "the node's memory, not the container's": (
        [server(*SMALL, container_status=looping(KILLED)), SYSTEM_OOM], None,
        "oom-killed", "llm is killed: node gpu-1 ran out of memory",
    ),
    "exit 137 without OOMKilled": (
        [server(*SMALL, container_status=ends(137))], None,
        "vllm-crash", "llm crashes: exit 137 (SIGKILL), 4 restarts",
    ),
    "device, at its start": ([server(*SMALL)], START + OOM + FAILED, "vllm-device-oom", "llm runs out of GPU memory"),
    "device, under load": (
        [server(*SMALL)], START + LOADED + OOM + DIED,
        "vllm-device-oom", "llm runs out of GPU memory after it had started",
    ),
    "device, warm-up": (
        [server(*SMALL)], "CUDA out of memory occurred when warming up sampler with 1024 dummy requests.",
        "vllm-device-oom", "llm runs out of GPU memory in its warm-up",
    ),
    "device, in use": (
        [server(*SMALL)],
        "ValueError: Free memory on device (1.1/79.1 GiB) on startup is less than desired GPU memory utilization (0.9)",
        "vllm-device-oom", "llm finds the memory of its GPU in use already",
    ),
    "device, no room for the KV cache": (
        [server(*LARGE, gpus=2)], "ValueError: No available memory for the cache blocks.",
        "vllm-device-oom", "llm has no GPU memory left for its KV cache",
    ),
    "device, by the termination message": (
        [server(*SMALL, container_status=ends(1, message=OOM + FAILED))], None,
        "vllm-device-oom", "llm runs out of GPU memory",
    ),
    "not read": ([server(*SMALL)], None, "vllm-crash", "llm crashes: exit 1, 4 restarts"),
    "read, and no known fault": ([server(*SMALL)], START + FREE, "vllm-crash", "llm crashes: exit 1, 4 restarts"),
    "not read, and it cannot fit": (
        [server(*LARGE)], None,
        "vllm-crash", "llm crashes: exit 1, 4 restarts: by its name, too large for its GPUs",
    ),
    "a clean exit": (
        [server(*SMALL, container_status=ends(0, reason="Completed"))], None,
        "vllm-crash", "llm exits as if it were done: exit 0, 4 restarts",
    ),
    "a generic end": (
        [server(*SMALL)], DIED, "vllm-crash",
        "llm crashes: exit 1, 4 restarts: the engine died while it served; the first error above…",
    ),
    "tensor parallel over more than it has": (
        [server(*LARGE, "--tensor-parallel-size", "4", gpus=2)], None,
        "vllm-tp-mismatch", "llm is told to use 4 GPUs and has 2",
    ),
    "data parallel over more than it has": (
        [server(*SMALL, "-dp", "4", gpus=2)], None, "vllm-tp-mismatch", "llm is told to use 4 GPUs and has 2",
    ),
    "data parallel attention takes no GPUs of its own": (
        [server(*LARGE, *ATTENTION, "--tp-size", "8", gpus=8, of=SGLANG)], None,
        "vllm-crash", "llm crashes: exit 1, 4 restarts",
    ),
    "data parallel attention, and too few GPUs for tensor parallel": (
        [server(*LARGE, *ATTENTION, "--tp-size", "16", gpus=8, of=SGLANG)], None,
        "vllm-tp-mismatch", "llm is told to use 16 GPUs and has 8",
    ),
    "over several nodes: silent": (
        [server(*SMALL, "-tp", "8", "-pp=2", "--distributed-executor-backend", "ray", gpus=8)], None,
        "vllm-crash", "llm crashes: exit 1, 4 restarts",
    ),
    "GPUs by a claim: silent": (
        [server(*SMALL, "-tp", "8", gpus=0)], None, "vllm-crash", "llm crashes: exit 1, 4 restarts",
    ),
    "an end that nobody knows": (
        [server(*SMALL, container_status=status({"waiting": {"reason": "CrashLoopBackOff"}}, restarts=4))], None,
        "vllm-crash", "llm crashes: exit code not known, 4 restarts",
    ),
    "killed by its startup probe": (
        [server(*SMALL, of=STARTUP, container_status=ends(137, ran_s=62)), kill()], None,
        "vllm-killed-before-ready", "llm is killed before it is ready: startup probe allows 60s",
    ),
    "killed once, and loads again": (
        [server(*SMALL, of=STARTUP, container_status=status(running(5), ended(137, ran_s=62, ended_s=5), restarts=1)),
         kill(age_s=20)], None,
        "vllm-killed-before-ready", "llm is killed before it is ready: startup probe allows 60s",
    ),
    "asked to end for the first time": (
        [server(*SMALL, of=STARTUP, container_status={**status(running(70)), "started": False}), kill(age_s=9)], None,
        "vllm-killed-before-ready", "llm is killed before it is ready: startup probe allows 60s",
    ),
    "ended for the first time, and not started again yet": (
        [server(*SMALL, of=STARTUP, container_status={**status(ended(137, ran_s=90, ended_s=1)), "started": False}),
         kill(age_s=31)], None,
        "vllm-killed-before-ready", "llm is killed before it is ready: startup probe allows 60s",
    ),
    "killed by its liveness probe at the first chance": (
        [server(*SMALL, of=LIVENESS, container_status=ends(137, ran_s=95)), kill("liveness")], None,
        "vllm-killed-before-ready", "llm is killed before it is ready: liveness probe allows 90s",
    ),
    "killed by its liveness probe after an hour": (
        [server(*SMALL, of=LIVENESS, container_status=ends(137, ran_s=3600)), kill("liveness")], None,
        "liveness-kill", "llm is killed: liveness probe fails",
    ),
    "an old kill": (
        [server(*SMALL, of=STARTUP), kill(age_s=3000)], None, "vllm-crash", "llm crashes: exit 1, 4 restarts",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("manifests", "log", "rule", "title"), CASES.values(), ids=list(CASES))
def test_what_is_told_of_a_pod(manifests: list[Manifest], log: str | None, rule: str, title: str) -> None:
    found = fault(*manifests, gpu_node(), log=log)
    assert found is not None
    assert (found.rule, found.title) == (rule, title)
    assert found.subject == Ref("Deployment", "shop", "llm")
    assert found.severity is Severity.CRITICAL


@pytest.mark.parametrize(("cause", "log"), LOGS)
def test_every_log_leads_to_one_finding(cause: str, log: str) -> None:
    found = fault(server(*SMALL, "-tp", "1"), gpu_node(), log=log)
    assert found is not None and found.rule.startswith("vllm-")
    memory = {"vllm-log-gpu-oom", "vllm-log-oom-warm-up", "vllm-log-gpu-not-free", "vllm-log-no-kv-room"}
    ends_only = {"vllm-log-worker-died", "vllm-log-engine-start-failed", "vllm-log-engine-died"}
    killed = {"vllm-log-worker-killed", "vllm-log-host-oom"}
    expected = {**dict.fromkeys(memory, "vllm-device-oom"), **dict.fromkeys(ends_only, "vllm-crash"),
                **dict.fromkeys(killed, "vllm-host-oom")}  # fmt: skip
    assert found.rule == expected.get(cause, "vllm-start-failed")
    assert cause in text_of(found)


@pytest.mark.parametrize(
    ("cause", "layer"),
    [
        ("vllm-log-hub-unreachable", Layer.NETWORK),
        ("vllm-log-gated-model", Layer.APPLICATION),
        ("vllm-log-no-gpu", Layer.NODE),
    ],
)
def test_the_layer_follows_the_class(cause: str, layer: Layer) -> None:
    log = next(log for name, log in LOGS if name == cause)
    found = fault(server(*SMALL), gpu_node(), log=log)
    assert found is not None and found.layer is layer


def test_without_a_gpu_in_its_limits_it_is_its_own_fault_that_it_sees_none() -> None:
    log = next(log for name, log in LOGS if name == "vllm-log-no-gpu")
    found = fault(server(*SMALL, gpus=0), gpu_node(), log=log)
    assert found is not None and found.layer is Layer.APPLICATION
    assert "asks for no GPU by name" in text_of(found)


def test_the_estimate_of_the_engine_is_what_is_offered() -> None:
    log = next(log for name, log in LOGS if name == "vllm-log-context-over-kv")
    found = fault(server(*SMALL, "--max-model-len", "131072"), gpu_node(), log=log)
    assert found is not None
    assert "to change: --max-model-len 131072 -> 28816: the engine's own estimate" in text_of(found)


QUIET: Final[dict[str, list[Manifest]]] = {
    "serves": [pod("llm-1", container=container(*SMALL), node="gpu-1", **OWNED)],
    "loads for the first time": [server(*SMALL, of=STARTUP, container_status=status(running(40)))],
    "one hiccup": [server(*SMALL, container_status=status(running(5), ended(), restarts=1))],
    "ready again after a kill": [
        pod("llm-1", container={**container(*SMALL), **STARTUP}, node="gpu-1", **OWNED,
            container_status=status(running(300), ended(137, ran_s=62, ended_s=300), restarts=1, ready=True)),
        kill(age_s=320),
    ],
    "recovered": [
        server(*SMALL, ready=True, container_status=status(running(800), ended(ended_s=800), restarts=4, ready=True))
    ],
}  # fmt: skip


@pytest.mark.parametrize("manifests", QUIET.values(), ids=list(QUIET))
def test_what_is_fine_or_young_is_silent(manifests: list[Manifest]) -> None:
    assert fault(*manifests, gpu_node(), log=OOM) is None


@pytest.mark.parametrize(
    ("name", "image", "more"),
    [
        ("no model server", "shop/web:1", {}),
        ("a router", "lmcache/lmstack-router:latest", {}),
        ("an exporter", "vllm/vllm-exporter:1", {}),
    ],
)
def test_others_keep_their_own_rules(name: str, image: str, more: Manifest) -> None:
    found = fault(server(of={"image": image, "args": [], "command": [], **more}), gpu_node())
    assert found is not None and found.rule == "crash-loop"


def test_a_sidecar_that_crashes_is_no_fault_of_the_server() -> None:
    spec = {"containers": [{"name": "app", **container(*SMALL)}, {"name": "proxy", "image": "shop/proxy:1"}]}
    statuses = [{"name": "app", **status(running(900), ready=True)}, {"name": "proxy", **looping()}]
    made = pod("llm-1", ready=False, node="gpu-1", spec=spec, status={"containerStatuses": statuses}, **OWNED)
    found = fault(made, gpu_node(), log=OOM)
    assert found is not None and found.rule == "crash-loop"


def test_a_log_belongs_to_its_run() -> None:
    now = known(server(*SMALL), gpu_node(), log=OOM)
    engine = Engine()
    assert [item.rule for item in findings(engine.judge(now, (), NOW)) if ME in item.members] == ["vllm-device-oom"]
    for number, restarts, expected in ((4, 5, "vllm-crash"), (5, 5, "vllm-device-oom"), (3, 4, "vllm-crash")):
        found = fault(server(*SMALL, container_status=looping(restarts=restarts)), gpu_node(), log=OOM, number=number)
        assert found is not None and found.rule == expected
    again = status(running(20), ended(ended_s=20), restarts=5)
    found = fault(server(*SMALL, container_status=again), gpu_node(), log=OOM, number=4)
    assert found is not None and found.rule == "vllm-device-oom", "the run that ended last, while the next one runs"


def test_reading_a_log_has_the_pod_judged_anew_at_once() -> None:
    situation_now, engine = known(server(*SMALL), gpu_node()), Engine()
    assert "vllm-crash" in {item.rule for item in engine.judge(situation_now, (), NOW).causes}
    changes = situation_now.apply(read(OOM + FAILED))
    assert "vllm-device-oom" in {item.rule for item in engine.judge(situation_now, changes, NOW).causes}
    assert situation_now.source("log/read").state is SourceState.STARTING, "no source that could get stale"


def lines(found: Finding | None, mark: Mark | None = None) -> str:
    assert found is not None
    return "\n".join(line.text for line in found.evidence if mark in (None, line.mark))


def test_host_memory_is_compared_with_the_rule_of_thumb() -> None:
    offload = ("--cpu-offload-gb", "10", "--swap-space=8")
    shm = {"volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}]}
    volumes = {"volumes": [{"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "8Gi"}}]}
    made = server(*SMALL, *offload, memory="12Gi", container_status=looping(KILLED), of=shm)
    made["spec"].update(volumes)
    text = lines(fault(made, gpu_node()))
    assert "a model of 8B (by its name) usually needs 16 to 24 Gi of host memory" in text
    assert "to change: memory limit 12Gi -> 24Gi" in text
    assert "--cpu-offload-gb moves weights or KV cache to the host's memory" in text
    assert "--swap-space moves" in text
    assert "what is written to volume shm (up to 8Gi) counts against the limit" in text
    ample = lines(fault(server(*SMALL, memory="64Gi", container_status=looping(KILLED)), gpu_node()))
    assert "to change" not in ample


@pytest.mark.parametrize(
    ("args", "gpus", "label", "expected"),
    [
        (SMALL, 1, "81559", ("a guess: 14.9 GiB of weights: 8B parameters by its name, 2 bytes each (16 bit",
                             "a GPU has 79.6 GiB (label nvidia.com/gpu.memory of node gpu-1); at 0.9 (vLLM's default) "
                             "it takes 71.7 GiB: 56.8 GiB remain for the KV cache")),
        ((*LARGE, "-tp", "2", "--gpu-memory-utilization", "0.95"), 2, "81559",
         ("130.4 GiB of weights", "; 65.2 GiB on each of 2 GPUs", "at 0.95 it takes 75.7 GiB: 10.5 GiB remain")),
        (LARGE, 1, "81559", ("weights of that size cannot fit",)),
        (("--model", "m/Llama-3-70B-AWQ"), 1, "46068", ("32.6 GiB of weights: 70B parameters", "4 bit, by its name")),
        (("--model", "m/Llama-3-8B", "--quantization", "fp8"), 1, "24564", ("7.5 GiB of weights", "1 byte each")),
        (("--model", "m/Mixtral-8x7B"), 1, "81559", ("at most 8x7B parameters", "less than the weights")),
        (("--model", "deepseek-ai/DeepSeek-V3"), 1, "81559", ("does not tell its size",)),
        (SMALL, 1, None, ("how much memory a GPU has is not known: its node has no label nvidia.com/gpu.memory",)),
    ],
)  # fmt: skip
def test_the_arithmetic_is_shown(
    args: tuple[str, ...], gpus: int, label: str | None, expected: tuple[str, ...]
) -> None:
    text = lines(fault(server(*args, gpus=gpus), gpu_node(label)))
    for wanted in expected:
        assert wanted in text


def test_a_mig_device_is_as_large_as_its_profile() -> None:
    limits = {"resources": {"limits": {"nvidia.com/mig-1g.10gb": "1", "memory": "24Gi"}}}
    found = fault(server(*SMALL, of=limits), gpu_node())
    assert "a GPU has 10.0 GiB (by the name of MIG profile 1g.10gb): weights of that size cannot fit" in lines(found)
    labelled = gpu_node(None, **{"nvidia.com/mig-1g.10gb.memory": "9728"})
    assert "a GPU has 9.5 GiB (label nvidia.com/mig-1g.10gb.memory)" in lines(
        fault(server(*SMALL, of=limits), labelled)
    )


@pytest.mark.parametrize(
    ("args", "log", "expected", "never"),
    [
        (SMALL, OOM, ("--max-model-len 8192: it is not set", "--max-num-seqs 64: it is not set",
                      "--gpu-memory-utilization 0.9 (default) -> 0.85"), ("--tensor-parallel-size",)),
        ((*SMALL, "--max-model-len", "32768", "--max-num-seqs", "256"), OOM,
         ("--max-model-len 32768 -> 16384", "--max-num-seqs 256 -> 128"), ()),
        (SMALL, LOADED + OOM, ("--max-num-seqs 64", "-> 0.85"), ("--max-model-len",)),
        (LARGE, OOM, ("--tensor-parallel-size 4 with 4 GPUs: 32.6 GiB of weights on each", "a quantised model"),
         ("--max-num-seqs",)),
        ((*SMALL, "--gpu-memory-utilization", "0.5"), "No available memory for the cache blocks.",
         ("--gpu-memory-utilization 0.5 -> 0.9",), ("0.85",)),
    ],
)  # fmt: skip
def test_the_argument_to_change_is_named_with_its_value(
    args: tuple[str, ...], log: str, expected: tuple[str, ...], never: tuple[str, ...]
) -> None:
    changes = [line for line in lines(fault(server(*args), gpu_node(), log=log)).splitlines() if "to change:" in line]
    for wanted in expected:
        assert any(wanted in line for line in changes), changes
    for other in never:
        assert not any(other in line for line in changes), changes


def test_engines_call_their_flags_by_their_own_names() -> None:
    sglang = {"image": "lmsysorg/sglang:latest", "command": ["python3", "-m", "sglang.launch_server"]}
    found = fault(server("--model-path", "qwen/Qwen2.5-7B", of=sglang), gpu_node(), log=OOM)
    assert "to change: --context-length 8192" in lines(found)
    assert "--max-model-len" not in lines(found)


def test_who_else_has_the_gpu() -> None:
    log = "Free memory on device (1.1/79.1 GiB) on startup is less than desired GPU memory utilization (0.9)"
    other = pod("train-0", namespace="ml", node="gpu-1", container={"resources": {"limits": {"nvidia.com/gpu": "1"}}})
    shared = gpu_node(**{"nvidia.com/gpu.replicas": "4"})
    text = lines(fault(server(*SMALL), other, shared, log=log))
    assert "node gpu-1 shares each GPU among 4 pods, their memory too" in text
    assert "1 other pod with GPUs on the node: ml/train-0" in text
    assert "--gpu-memory-utilization 0.75 if the GPU is shared" in text
    alone, part = (known(server(*SMALL), gpu_node(), log=log) for _ in range(2))
    part.apply(Reading(CONFIGURED, SourceState.LIVE, NOW, Configured(only_namespace="ml")))
    for seen, said in ((alone, True), (part, False)):
        (cause,) = (cause for cause in diagnose(seen, NOW).causes if cause.rule == "vllm-device-oom")
        assert ("no other pod of the node has GPUs" in lines(cause)) is said


def test_host_or_device_says_what_excludes_which() -> None:
    one, nine = fault(server(*SMALL), gpu_node()), fault(server(*SMALL, container_status=ends(137)), gpu_node())
    assert "not OOMKilled (limit 64Gi)" in lines(one, Mark.EXCLUDES)
    assert "exit 1 is how a full GPU ends it" in lines(one, Mark.OPEN)
    assert "its log has not been read" in lines(one, Mark.OPEN)
    assert "exit 137 is SIGKILL, which a full GPU does not send" in lines(nine, Mark.EXCLUDES)
    assert one is not None and first_command(one) == "kubectl -n shop logs llm-1 --previous --tail=100"
    assert one.log is not None, "one key reads it"
    parallel = fault(server(*SMALL, "-tp", "2", gpus=2), gpu_node())
    assert "its log says exit code -9" in lines(parallel, Mark.OPEN)


def test_without_events_a_kill_is_not_excluded() -> None:
    now = situation(server(*SMALL, container_status=ends(137)), missing={"events": SourceState.FORBIDDEN})
    (found,) = [item for item in findings(diagnose(now, NOW)) if ME in item.members]
    assert found.rule == "vllm-crash"
    assert "a kill by a probe is not excluded" in lines(found, Mark.OPEN)


def test_the_window_of_the_probe_is_compared_with_the_load() -> None:
    large = server(*LARGE, "-tp", "4", gpus=4, of=STARTUP, container_status=ends(137, ran_s=62))
    text = lines(fault(large, kill(count=7), gpu_node()))
    assert "startup probe allows 60s (0 + 10 x 6)" in text
    assert "the last run took 62s" in text
    assert "a model of 70B (by its name) takes 15 to 30 minutes when cold" in text
    assert "killed so 7 times" in text
    assert "to change: startupProbe.failureThreshold 6 -> 180 (x 10 s = 30m)" in text
    liveness = server(*SMALL, of=LIVENESS, container_status=ends(137, ran_s=95))
    assert "to change: a startupProbe that asks the same" in lines(fault(liveness, kill("liveness"), gpu_node()))


# Volumes

CLAIM: Final[Manifest] = {"volumes": [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}]}


def claim(*modes: str) -> Manifest:
    return {"kind": "PersistentVolumeClaim", "metadata": meta("models"), "spec": {"accessModes": list(modes)},
            "status": {"phase": "Bound"}}  # fmt: skip


def waits(age_s: float = 900, image: str = "vllm/vllm-openai:v1") -> Manifest:
    made = creating(name="llm-1", age_s=age_s, node="gpu-2", **OWNED, spec=CLAIM)
    made["spec"]["containers"] = [{"name": "app", "image": image}]
    return made


def holder(where: str = "gpu-1") -> Manifest:
    return pod("llm-0", node=where, spec=CLAIM, container=container(*SMALL), **OWNED)


@pytest.mark.parametrize(
    ("pod_", "others", "rule"),
    [
        (waits(), [claim("ReadWriteOnce"), holder()], "vllm-volume-attach"),
        (waits(), [claim("ReadWriteMany"), holder()], "not-started"),
        (waits(), [claim("ReadWriteOnce"), holder("gpu-2")], "not-started"),
        (waits(), [claim("ReadWriteOnce")], "not-started"),
        (waits(image="shop/web:1"), [claim("ReadWriteOnce"), holder()], "not-started"),
        (waits(60), [claim("ReadWriteOnce"), holder()], None),
    ],
    ids=["held elsewhere", "several nodes may", "held on this node", "nobody holds it", "no model server", "young"],
)
def test_a_claim_that_another_node_holds(pod_: Manifest, others: list[Manifest], rule: str | None) -> None:
    found = fault(pod_, *others, node("gpu-2"), gpu_node())
    assert (found.rule if found else None) == rule


def test_the_holder_is_named_and_with_an_event_it_is_told_once() -> None:
    multi = event("Pod/llm-1", "FailedAttachVolume", 'Multi-Attach error for volume "pv-7" Volume is already used')
    found = fault(waits(), claim("ReadWriteOnce"), holder(), multi, node("gpu-2"), gpu_node())
    assert found is not None and found.rule == "vllm-volume-attach"
    assert found.title == "llm cannot start on gpu-2: claim models is in use on gpu-1"
    assert "pod llm-0 on gpu-1 uses it (Running)" in text_of(found)
    assert "Multi-Attach" in text_of(found)
    assert "to change: one claim for each replica" in text_of(found)


def test_its_dead_node_is_the_cause() -> None:
    gone = [{"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "lastTransitionTime": ago(900)}]
    dead = {**gpu_node(), "status": {**gpu_node()["status"], "conditions": gone}}
    diagnosis = diagnose(known(waits(), claim("ReadWriteOnce"), holder(), node("gpu-2"), dead), NOW)
    (cause,) = [item for item in diagnosis.causes if item.subject.kind == "Node"]
    assert "vllm-volume-attach" in {item.rule for item in cause.consequences}


# Pending for GPUs


def test_a_pending_server_folds_under_the_gpu_chain_and_no_vllm_rule_fires() -> None:
    lost = gpus("g1", "0", labels={"nvidia.com/gpu.present": "true"})
    operator = daemonset("nvidia-device-plugin-daemonset", namespace="gpu-operator", desired=1, ready=0)
    message = none_of(1, "1 Insufficient nvidia.com/gpu")
    pending = waiting(message, name="llm-1", container=container(*SMALL), **OWNED)
    diagnosis = diagnose(known(pending, lost, operator, log=OOM), NOW)
    assert not [item.key for item in findings(diagnosis) if item.rule.startswith("vllm-") and ME in item.members]
    (cause,) = [item for item in diagnosis.causes if item.subject.kind == "Node"]
    assert cause.rule == "node-gpus-lost"
    assert "gpus-short" in {item.rule for item in cause.consequences}
