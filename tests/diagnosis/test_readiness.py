"""Pods that run but are not ready."""

from typing import Any

import pytest

from diagnosis.probe_text import what_it_got
from situation.findings import Layer, Mark, Severity
from situation.meta import Ref
from situation.pods import HttpGet, Probe
from situation.readings import SourceState
from tests.build import Manifest, ago, event, meta, node, pod
from tests.diagnosis import objects
from tests.diagnosis.pod_faults import (
    OWNED,
    ended,
    fault,
    first_command,
    looping,
    rule_of,
    running,
    status,
    text_of,
    with_status,
)

PROBE: Manifest = {"readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}}}
STARTUP: Manifest = {"startupProbe": {"httpGet": {"path": "/health", "port": 8000}, "failureThreshold": 60}}
REFUSED = (
    'Readiness probe failed: Get "http://10.244.0.55:8080/ready": dial tcp 10.244.0.55:8080: connect: '
    "connection refused"
)


def ready_condition(since_s: float, reason: str = "ContainersNotReady", message: str = "") -> Manifest:
    """Return a pod status whose Ready condition has been False for `since_s` seconds."""
    told = {"type": "Ready", "status": "False", "reason": reason, "message": message}
    return {"conditions": [{**told, "lastTransitionTime": ago(since_s)}]}


def unready(
    up_s: float = 3000, flipped_s: float | None = None, *, container: Manifest = PROBE, **more: Any
) -> Manifest:
    """Return a pod that runs for `up_s`; never ready, or not ready any more for `flipped_s`."""
    return with_status(
        more.pop("container_status", None) or status(running(up_s), started=True),
        **{
            "container": container,
            "age_s": up_s + 10,
            "status": ready_condition(up_s + 10 if flipped_s is None else flipped_s),
            **more,
        },
    )


def unhealthy(message: str, age_s: float = 3) -> Manifest:
    return event("Pod/web-1", "Unhealthy", message, age_s=age_s, count=20)


@pytest.mark.parametrize(
    ("message", "title"),
    [
        (REFUSED, "web is not ready: readiness probe gets connection refused on :8080/ready"),
        (
            "Readiness probe failed: HTTP probe failed with statuscode: 503",
            "web is not ready: readiness probe gets HTTP 503 on :8080/ready",
        ),
        (
            'Readiness probe failed: Get "http://10.0.0.1:8080/ready": context deadline exceeded (Client.Timeout '
            "exceeded while awaiting headers)",
            "web is not ready: readiness probe gets no answer within 1 s on :8080/ready",
        ),
        (
            "Readiness probe errored and resulted in unknown state: rpc error: code = Unknown",
            "web is not ready: readiness probe fails: rpc error: code = Unknown",
        ),
        ("Readiness probe errored: strange", "web is not ready: readiness probe fails: strange"),
        (
            'Readiness probe failed: Get "http://10.0.0.1:8080/ready": net/http: HTTP/1.x transport connection broken: '
            'malformed HTTP status code "1"',
            "web is not ready: readiness probe speaks another protocol than the server on :8080/ready",
        ),
        (
            "Liveness probe failed: HTTP probe failed with statuscode: 500",
            "web is not ready: its readiness probe has not passed",
        ),
    ],
)
def test_the_title_says_what_the_probe_gets(message: str, title: str) -> None:
    found = fault(unready(), node(), unhealthy(message))
    assert found is not None
    assert (found.rule, found.title) == ("not-ready", title)
    assert (found.subject, found.layer) == (Ref("Deployment", "shop", "web"), Layer.APPLICATION)
    assert found.severity is Severity.CRITICAL
    assert first_command(found) == "kubectl -n shop describe pod web-1"


@pytest.mark.parametrize(
    ("manifest", "expected"),
    [
        pytest.param(unready(29), "clear", id="starts"),
        pytest.param(unready(31), "not-ready", id="beyond the probe's budget"),
        pytest.param(
            unready(60, container={"readinessProbe": {"tcpSocket": {"port": 1}, "initialDelaySeconds": 60}}),
            "clear",
            id="beyond the floor, within its own budget",
        ),
        pytest.param(unready(3000, 20), "clear", id="just became unready"),
        pytest.param(unready(3000, 40), "not-ready", id="became unready"),
        pytest.param(unready(3000, container={}), "not-ready", id="no probe at all"),
        pytest.param(pod(**OWNED, container=PROBE), "clear", id="healthy, stale event"),
        pytest.param(with_status(looping(), container=PROBE), "crash-loop", id="crashes"),
    ],
)
def test_budgets_and_look_alikes(manifest: Manifest, expected: str) -> None:
    assert rule_of(manifest, node(), unhealthy(REFUSED)) == expected


def test_a_pod_that_goes_away_is_not_judged() -> None:
    leaving = unready()
    leaving["metadata"]["deletionTimestamp"] = ago(5)
    assert rule_of(leaving, node(), unhealthy(REFUSED)) == "clear"


@pytest.mark.parametrize(
    ("up_s", "started", "expected"),
    [(500, False, "clear"), (640, False, "not-ready"), (500, True, "clear"), (640, True, "not-ready")],
)
def test_a_startup_probe_gives_time(up_s: float, started: bool, expected: str) -> None:
    manifest = unready(up_s, container={**STARTUP, **PROBE}, container_status=status(running(up_s), started=started))
    assert rule_of(manifest, node()) == expected


def test_a_server_that_never_was_ready_may_still_be_loading() -> None:
    young, old = fault(unready(120), node()), fault(unready(700), node())
    assert young and old
    assert (young.severity, old.severity) == (Severity.WARNING, Severity.CRITICAL)


def test_a_failure_of_an_earlier_run_does_not_count() -> None:
    found = fault(unready(100), node(), unhealthy(REFUSED, age_s=200))
    assert found is not None and found.title == "web is not ready: its readiness probe has not passed"


def test_evidence() -> None:
    service = {"kind": "Service", "metadata": meta("front"), "spec": {"selector": {"app": "web"}}}
    found = fault(unready(), node(), service, unhealthy(REFUSED))
    assert found is not None
    assert "probe: every 10 s, 3 failures, first after 0 s, timeout 1 s" in text_of(found)
    assert "Services that send it no traffic: front" in text_of(found)
    assert [line.text for line in found.evidence if line.mark is Mark.EXCLUDES] == ["0 restarts: it does not crash"]


def test_without_events_the_reason_is_open() -> None:
    found = fault(unready(), missing={"events": SourceState.FORBIDDEN})
    assert found is not None
    assert [line.text for line in found.evidence if line.mark is Mark.OPEN] == [
        "events could not be read: what the probe gets is not known"
    ]


def all_ready(since_s: float, **condition: str) -> Manifest:
    """Return a pod whose container is ready but that itself is not."""
    return with_status(
        status(running(3000), ready=True, started=True), age_s=3010, status=ready_condition(since_s, **condition)
    )


def test_the_node_controller_flips_ready() -> None:
    flipped = event("Pod/web-1", "NodeNotReady", "Node is not ready")
    found = fault(all_ready(5), node(ready="Unknown"), flipped)
    assert found is not None
    assert (found.title, found.layer) == ("web is marked not ready because node node-1 is not", Layer.NODE)
    assert first_command(found) == "kubectl get node node-1 -o wide"


@pytest.mark.parametrize(
    ("status", "age_s", "expected"), [("False", 5, "clear"), ("False", 20, "not-ready"), ("Unknown", 5, "not-ready")]
)
def test_what_a_node_flips_is_not_told_before_the_node(status: str, age_s: float, expected: str) -> None:
    """A kubelet that restarts says Ready=False for seconds; its pods must not stand there as a cause meanwhile."""
    conditions = objects.ready_condition(status, reason="KubeletNotReady", message="PLEG is not healthy", age_s=age_s)
    assert rule_of(all_ready(5), node(conditions=conditions)) == expected


def test_a_condition_that_lags_is_given_time() -> None:
    assert rule_of(all_ready(20), node()) == "clear"
    found = fault(all_ready(100), node())
    assert found is not None and found.title == "web is marked not ready though its containers are"


def test_readiness_gates() -> None:
    gate = {
        "reason": "ReadinessGatesNotReady",
        "message": 'the status of pod readiness gate "lb/tg" is not "True", but False',
    }
    assert rule_of(all_ready(200, **gate), node()) == "clear"
    found = fault(all_ready(400, **gate), node())
    assert found is not None and found.title == "web is not ready: readiness gate lb/tg is not met"


@pytest.mark.parametrize(
    ("code", "owner", "expected"),
    [(1, "ReplicaSet/web-5d8", "not-ready"), (0, "ReplicaSet/web-5d8", "clear"), (1, "Job/import", "clear")],
)
def test_a_container_that_failed_and_stays_down(code: int, owner: str, expected: str) -> None:
    manifest = with_status(status(ended(code, ended_s=100)), owner=owner, spec={"restartPolicy": "Never"})
    assert rule_of(manifest, node()) == expected


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("dial tcp 10.0.0.1:9000: connect: connection refused", "gets connection refused on :9000/x"),
        (
            'timeout: failed to connect service ":8000" within 1s: context deadline exceeded',
            "gets no answer within 3 s on :80/x",
        ),
        ('service unhealthy (responded with "NOT_SERVING")', "gets NOT_SERVING on :80/x"),
        ("dial tcp 10.0.0.1:80: connect: no route to host", "finds no route on :80/x"),
        ("", "fails"),
        ("cat: /tmp/healthy: No such file or directory", "fails: cat: /tmp/healthy: No such file or dire…"),
    ],
)
def test_probe_texts(text: str, got: str) -> None:
    assert what_it_got(text, Probe(http_get=HttpGet("/x", 80), timeout_seconds=3)) == got


@pytest.mark.parametrize(("back_s", "expected"), [(5, "clear"), (29, "clear"), (31, "not-ready"), (3000, "not-ready")])
@pytest.mark.parametrize("ready", [False, True], ids=["its probe asks again", "only marked so"])
def test_pods_of_a_node_that_just_came_back_are_given_time(back_s: float, expected: str, ready: bool) -> None:
    back = node(conditions=objects.ready_condition("True", reason="KubeletReady", age_s=back_s, heartbeat_s=1))
    shown = unready(9000, 300, container_status=status(running(9000), started=True, ready=ready))
    assert rule_of(shown, back) == expected
