"""What stands before model servers: Istio's routes and pools, KServe's own word; and clusters that have neither."""

from typing import Any, Final

import pytest

from diagnosis.engine import Engine, diagnose
from diagnosis.istio_facts import seconds_of, service_of
from situation.findings import Finding, Layer, LayerState, Mark, Severity
from situation.histograms import Histogram
from situation.meta import Ref
from situation.readings import Changed, Reading, SourceState
from situation.serving.readings import EnginePage, ModelServer, ServerPage, ServerReading
from tests.build import NOW, Manifest, ago, made, meta, pod, situation
from tests.diagnosis.model_servers import OWNED, container, findings, gpu_node, server
from tests.diagnosis.objects import service
from tests.diagnosis.pod_faults import running, status

MODEL: Final = ("--model", "meta-llama/Llama-3.1-8B-Instruct")


def serving(name: str = "llm-1", *args: str, **over: Any) -> Manifest:
    return pod(name, node="gpu-1", container=container(*MODEL, *args), **{**OWNED, **over})


def route(timeout: str, host: str = "llm", namespace: str = "shop") -> Manifest:
    http = [{"name": "chat", "route": [{"destination": {"host": host}}], **({"timeout": timeout} if timeout else {})}]
    return {"kind": "VirtualService", "metadata": meta("llm", namespace), "spec": {"hosts": ["llm"], "http": http}}


def pool(host: str = "llm.shop.svc.cluster.local", *, tcp: Manifest | None = None, **http: int) -> Manifest:
    policy = {"connectionPool": {"tcp": tcp or {}, "http": http}}
    return {"kind": "DestinationRule", "metadata": meta("llm"), "spec": {"host": host, "trafficPolicy": policy}}


def told(rule: str, *manifests: Manifest) -> Finding | None:
    known = situation(*manifests)
    return next((item for item in findings(diagnose(known, NOW)) if item.rule == rule), None)


BEHIND: Final = [service("llm"), serving()]


@pytest.mark.parametrize(
    ("duration", "expected"),
    [("15s", 15), ("1m30s", 90), ("0s", 0), ("1.5h", 5400), ("250ms", 0.25), ("", None), ("15", None), ("x1s", None)],
)
def test_durations_are_read_as_go_writes_them(duration: str, expected: float | None) -> None:
    assert seconds_of(duration) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [("llm", ("shop", "llm")), ("llm.ml", ("ml", "llm")), ("llm.ml.svc.cluster.local", ("ml", "llm"))],
)
def test_a_host_is_a_service(host: str, expected: tuple[str, str]) -> None:
    assert service_of(host, "shop") == expected


@pytest.mark.parametrize(
    ("manifests", "title"),
    [
        ([route("15s"), *BEHIND], "llm ends requests to a model server after 15s"),
        (
            [route("15s", "llm.shop.svc.cluster.local", "gateway"), *BEHIND],
            "llm ends requests to a model server after 15s",
        ),
        ([route("300s"), *BEHIND], None),
        ([route("0s"), *BEHIND], None),
        ([route(""), *BEHIND], None),
        ([route("soon"), *BEHIND], None),
        ([route("15s"), service("llm"), pod("web-1", labels={"app": "llm"})], None),
        ([route("15s", "elsewhere.example.com"), *BEHIND], None),
    ],
    ids=["short", "another namespace", "long", "none", "unset", "no duration", "no model server", "no Service of ours"],
)
def test_a_route_that_ends_before_the_answer(manifests: list[Manifest], title: str | None) -> None:
    found = told("istio-route-timeout", *manifests)
    assert (found.title if found else None) == title
    if found is not None:
        assert (found.layer, found.severity) == (Layer.NETWORK, Severity.INFO)
        assert "how long they really take is not measured" in "\n".join(line.text for line in found.evidence)


@pytest.mark.parametrize(
    ("timeout", "slow", "severity"),
    [("120s", True, Severity.WARNING), ("15s", False, Severity.INFO), ("120s", False, None)],
)
def test_a_measured_latency_decides(timeout: str, slow: bool, severity: Severity | None) -> None:
    known = situation(route(timeout), *BEHIND)
    counts = (0.0, 0.0, 500.0, 500.0) if slow else (500.0, 500.0, 500.0, 500.0)
    page = ServerPage(engines=(EnginePage("llm", e2e=Histogram((10.0, 120.0, 240.0, float("inf")), counts)),))
    reading = ServerReading(ModelServer("shop/llm-1:8000", pod=("shop", "llm-1"), page=page), NOW)
    known.apply(Reading("vllm/servers", SourceState.LIVE, NOW, reading))
    found = next((item for item in findings(diagnose(known, NOW)) if item.rule == "istio-route-timeout"), None)
    assert (found.severity if found else None) is severity


@pytest.mark.parametrize(
    ("manifests", "text"),
    [
        ([pool(tcp={"maxConnections": 100}), *BEHIND], "maxConnections 100"),
        ([pool(http2MaxRequests=10, http1MaxPendingRequests=200), *BEHIND], "http2MaxRequests 10"),
        ([pool(tcp={"maxConnections": 64}), service("llm"), serving("llm-1", "--max-num-seqs", "32")], None),
        ([pool(tcp={"maxConnections": 300}), *BEHIND, serving("llm-2")], "maxConnections 300"),
        ([pool(tcp={"maxConnections": 1000}, http2MaxRequests=2000), *BEHIND], None),
        ([pool(), *BEHIND], None),
        ([pool("other", tcp={"maxConnections": 1}), *BEHIND], None),
    ],
    ids=["connections", "two limits", "enough for its sequences", "two servers", "enough", "none set", "another host"],
)
def test_a_pool_that_is_full_before_the_gpu(manifests: list[Manifest], text: str | None) -> None:
    found = told("istio-connection-pool", *manifests)
    assert (found is not None) == (text is not None)
    if found is not None and text is not None:
        assert found.title == f"llm lets fewer requests through than its servers take: {text}"
        assert found.severity is Severity.INFO
        assert any("only while the servers' queues are empty" in line.text for line in found.evidence)


def test_a_server_that_comes_has_the_routes_judged_anew() -> None:
    known, engine = situation(route("15s"), service("llm")), Engine()
    assert not engine.judge(known, (), NOW).causes
    came = Reading("kubernetes/pods", SourceState.LIVE, NOW, Changed("pods", (made(serving()),)))
    assert "istio-route-timeout" in {cause.rule for cause in engine.judge(known, known.apply(came), NOW).causes}


# KServe


def inference(ready: str, *, age_s: float = 3600, least: int | None = 1, below: Manifest | None = None,
              **state: Any) -> Manifest:  # fmt: skip
    conditions = [{"type": "Ready", "status": ready, "reason": "PredictorNotReady" if ready == "False" else "",
                   "lastTransitionTime": ago(age_s)}, *([below] if below else [])]  # fmt: skip
    predictor = {} if least is None else {"minReplicas": least}
    return {"kind": "InferenceService", "metadata": meta("llama", age_s=age_s), "spec": {"predictor": predictor},
            "status": {"conditions": conditions, **state}}  # fmt: skip


def predicts(**over: Any) -> Manifest:
    labels = {"serving.kserve.io/inferenceservice": "llama", "pod-template-hash": "5d8"}
    return server(*MODEL, labels=labels, **over)


LOADING: Final = {"container_status": status(running(300))}
BELOW: Final = {"type": "PredictorReady", "status": "False", "reason": "RevisionFailed", "message": "no revision"}


@pytest.mark.parametrize(
    ("manifests", "title", "severity"),
    [
        ([inference("True")], None, None),
        ([inference("False", below=BELOW)], "llama is not ready: PredictorReady (RevisionFailed)", Severity.CRITICAL),
        ([inference("False")], "llama is not ready: Ready (PredictorNotReady)", Severity.CRITICAL),
        ([inference("False", age_s=60)], None, None),
        ([inference("False", age_s=600), predicts(**LOADING)], None, None),
        ([inference("False", age_s=2000), predicts(**LOADING)], "llama is not ready: Ready (PredictorNotReady)",
         Severity.CRITICAL),
        ([inference("Unknown", least=0)], None, None),
        ([inference("False", least=0)], "llama is not ready: Ready (PredictorNotReady)", Severity.WARNING),
        ([inference("Unknown", least=None)], "llama is not ready: Ready", Severity.CRITICAL),
        ([{**inference("False"), "status": {}}], None, None),
    ],
    ids=["ready", "a condition below", "Ready alone", "young", "loads", "loads too long", "scaled to zero",
         "fails at zero", "unknown for long", "no conditions yet"],
)  # fmt: skip
def test_readiness_of_an_inference_service(
    manifests: list[Manifest], title: str | None, severity: Severity | None
) -> None:
    found = told("inference-service-not-ready", *manifests)
    assert (found.title if found else None) == title
    assert (found.severity if found else None) is severity


def test_a_failed_load_is_told_at_once_with_its_words() -> None:
    info = {"reason": "ModelLoadFailed", "message": "no such bucket"}
    failed = {"transitionStatus": "BlockedByFailedLoad", "lastFailureInfo": info}
    found = told("inference-service-not-ready", inference("False", age_s=60, modelStatus=failed))
    assert found is not None
    assert "model: BlockedByFailedLoad, ModelLoadFailed: no such bucket" in [line.text for line in found.evidence]
    assert [line.text for line in found.evidence if line.mark is Mark.OPEN] == []


def test_a_failure_of_the_past_is_none_of_the_present() -> None:
    info = {"reason": "ModelLoadFailed", "message": "no such bucket", "exitCode": 1}
    again = {"transitionStatus": "InProgress", "lastFailureInfo": info}
    assert told("inference-service-not-ready", inference("False", age_s=60, modelStatus=again)) is None
    found = told("inference-service-not-ready", inference("False", modelStatus=again))
    assert found is not None and not [line.text for line in found.evidence if "ModelLoadFailed" in line.text]
    blocked = {"transitionStatus": "InvalidSpec", "lastFailureInfo": {"reason": "NoSupportingRuntime", "exitCode": 1}}
    found = told("inference-service-not-ready", inference("False", modelStatus=blocked))
    assert found is not None
    assert "model: InvalidSpec, NoSupportingRuntime (exit code 1)" in [line.text for line in found.evidence]


@pytest.mark.parametrize(
    "below", [{"type": "Stopped", "status": "True"}, {"type": "PredictorReady", "status": "False", "reason": "Stopped"}]
)
def test_one_that_was_stopped_is_no_fault(below: Manifest) -> None:
    item = inference("False", below=below)
    if below["type"] != "Stopped":
        item["status"]["conditions"][0]["reason"] = "Stopped"
    assert told("inference-service-not-ready", item) is None


def test_it_folds_under_its_pods_own_cause() -> None:
    diagnosis = diagnose(situation(inference("False"), predicts(), gpu_node()), NOW)
    (cause,) = diagnosis.causes
    assert cause.rule == "vllm-crash"
    assert [(item.rule, item.subject) for item in cause.consequences] == [
        ("inference-service-not-ready", Ref("InferenceService", "shop", "llama"))
    ]


# Clusters without them

OPTIONAL: Final = ("virtualservices", "destinationrules", "inferenceservices")
HOME: Final = {"kind": "Namespace", "metadata": meta("istio-system", "")}


@pytest.mark.parametrize(
    ("state", "manifests", "doubt"),
    [
        (SourceState.ABSENT, [], False),
        (SourceState.FORBIDDEN, [], False),
        (SourceState.FORBIDDEN, [HOME], True),
    ],
    ids=["no such kind", "refused, and no sign of it", "refused, and Istio is there"],
)
def test_where_they_cannot_be_read_a_layer_is_in_doubt_only_if_they_may_exist(
    state: SourceState, manifests: list[Manifest], doubt: bool
) -> None:
    known = situation(*BEHIND, *manifests, missing=dict.fromkeys(OPTIONAL, state))
    network = next(item for item in diagnose(known, NOW).layers if item.layer is Layer.NETWORK)
    assert network.status is not LayerState.UNKNOWN
    assert ("virtualservices" in network.reason) is doubt
