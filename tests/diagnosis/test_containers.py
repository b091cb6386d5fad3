"""Containers that crash or are killed again and again: every outcome, every look-alike."""

import pytest

from playbooks.commands import Target, render
from situation.findings import Layer, Mark, Severity
from situation.meta import Ref
from situation.readings import SourceState
from tests.build import Manifest, ago, causes, event, node, pod
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
    waiting,
    with_status,
)

KILLED = "Container app failed liveness probe, will be restarted"
STARTUP_KILLED = "Container app failed startup probe, will be restarted"
LIVENESS: Manifest = {
    "livenessProbe": {"httpGet": {"path": "/healthz", "port": 8080}},
    "ports": [{"containerPort": 80}],
}
STARTUP: Manifest = {"startupProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 10, "failureThreshold": 6}}
LIMIT: Manifest = {"resources": {"limits": {"memory": "32Mi"}}}
OOM = ended(137, reason="OOMKilled", ran_s=5)
SYSTEM_OOM = event(
    "Node/node-1", "SystemOOM", "System OOM encountered, victim process: web, pid: 7", namespace="default", age_s=12
)


def kill(message: str = KILLED, age_s: float = 11) -> Manifest:
    return event("Pod/web-1", "Killing", message, type="Normal", age_s=age_s)


@pytest.mark.parametrize(
    ("container_status", "container", "events", "rule", "title"),
    [
        pytest.param(looping(), {}, [], "crash-loop", "web crashes: exit 1, 4 restarts", id="waiting"),
        pytest.param(
            status(ended(2), ended(2, ended_s=60), restarts=3),
            {},
            [],
            "crash-loop",
            "web crashes: exit 2, 3 restarts",
            id="just ended again",
        ),
        pytest.param(
            status(running(1), ended(ended_s=1, ran_s=0), restarts=4, ready=True),
            {},
            [],
            "crash-loop",
            "web crashes: exit 1, 4 restarts",
            id="runs and is ready for a second",
        ),
        pytest.param(
            looping(ended(0, reason="Completed")),
            {},
            [],
            "crash-loop",
            "web exits as if it were done: exit 0, 4 restarts",
            id="exits cleanly",
        ),
        pytest.param(
            looping(ended(139)), {}, [], "crash-loop", "web crashes: exit 139 (SIGSEGV), 4 restarts", id="signal"
        ),
        pytest.param(
            looping(restarts=1), {}, [], "crash-loop", "web crashes: exit 1, 1 restart", id="back-off after one restart"
        ),
        pytest.param(
            status(waiting("CrashLoopBackOff"), restarts=4),
            {},
            [],
            "crash-loop",
            "web crashes: exit code not known, 4 restarts",
            id="last state forgotten",
        ),
        pytest.param(
            status(ended(1, ended_s=90), restarts=0),
            {},
            [],
            "crash-loop",
            "web crashes: exit 1",
            id="ended long ago and not restarted",
        ),
        pytest.param(looping(OOM), LIMIT, [], "oom-killed", "web exceeds its memory limit 32Mi", id="own limit"),
        pytest.param(
            looping(OOM), {}, [], "oom-killed", "web is OOM-killed without a memory limit of its own", id="no limit"
        ),
        pytest.param(
            looping(OOM),
            LIMIT,
            [SYSTEM_OOM],
            "oom-killed",
            "web is killed: node node-1 ran out of memory",
            id="node OOM",
        ),
        pytest.param(
            looping(ended(137)),
            {},
            [SYSTEM_OOM],
            "oom-killed",
            "web is killed: node node-1 ran out of memory",
            id="node OOM, reason Error",
        ),
        pytest.param(
            looping(ended(137)),
            {},
            [],
            "crash-loop",
            "web crashes: exit 137 (SIGKILL), 4 restarts",
            id="killed by something else",
        ),
        pytest.param(
            looping(ended(137, ran_s=60)),
            LIVENESS,
            [kill(), event("Pod/web-1", "Unhealthy", "Liveness probe failed: HTTP probe failed with statuscode: 500")],
            "liveness-kill",
            "web is killed: liveness probe gets HTTP 500 on :8080/healthz",
            id="liveness",
        ),
        pytest.param(
            looping(ended(0, ran_s=60)),
            LIVENESS,
            [
                kill(),
                event(
                    "Pod/web-1",
                    "Unhealthy",
                    "Liveness probe errored and resulted in unknown state: context deadline exceeded",
                ),
            ],
            "liveness-kill",
            "web is killed: liveness probe gets no answer within 1 s on :8080/healthz",
            id="liveness, new wording, clean exit",
        ),
        pytest.param(
            status(running(40), ended(137, ran_s=60, ended_s=40), restarts=3, ready=True),
            LIVENESS,
            [kill(age_s=45)],
            "liveness-kill",
            "web is killed: liveness probe fails",
            id="liveness, between two kills",
        ),
        pytest.param(
            looping(ended(137, ran_s=4)),
            LIVENESS,
            [kill(age_s=3000)],
            "crash-loop",
            "web crashes: exit 137 (SIGKILL), 4 restarts",
            id="an old kill is not the present one",
        ),
        pytest.param(
            looping(ended(1)),
            LIVENESS,
            [kill("Container other failed liveness probe, will be restarted")],
            "crash-loop",
            "web crashes: exit 1, 4 restarts",
            id="another container was killed",
        ),
        pytest.param(
            looping(ended(137, ran_s=60)),
            STARTUP,
            [kill(STARTUP_KILLED)],
            "startup-probe-kill",
            "web is killed before it has started: startup probe allows 60s",
            id="startup probe",
        ),
    ],
)
def test_a_present_loop_fires(
    container_status: Manifest, container: Manifest, events: list[Manifest], rule: str, title: str
) -> None:
    found = fault(with_status(container_status, container=container), node(), *events)
    assert found is not None
    assert (found.rule, found.title) == (rule, title)
    assert found.subject == Ref("Deployment", "shop", "web")
    assert found.severity is Severity.CRITICAL


@pytest.mark.parametrize(
    ("container_status", "more"),
    [
        pytest.param(status(running(31), ended(ended_s=31), restarts=4, ready=True), {"ready": True}, id="recovered"),
        pytest.param(
            status(running(130), ended(ran_s=60, ended_s=130), restarts=4, ready=True),
            {"ready": True},
            id="outlived twice its last run",
        ),
        pytest.param(
            status(running(601), ended(ran_s=86400, ended_s=601), restarts=9, ready=True),
            {"ready": True},
            id="kubelet has forgotten its back-off",
        ),
        pytest.param(
            status(running(5), ended(0, ran_s=86400, ended_s=5), restarts=9, ready=True),
            {"ready": True},
            id="clean exit after a day",
        ),
        pytest.param(status(running(2), ended(ended_s=2), restarts=1, ready=True), {"ready": True}, id="one hiccup"),
        pytest.param(
            status(running(5), ended(255, reason="Unknown", ran_s=300, ended_s=20), restarts=3, ready=True),
            {"ready": True},
            id="its node was rebooted",
        ),
        pytest.param(status(ended(ended_s=3)), {}, id="first crash, seconds ago"),
        pytest.param(status(ended(ended_s=3), ended(ended_s=9), restarts=1), {}, id="second crash, seconds ago"),
        pytest.param(
            status(ended(1, ended_s=300), restarts=3),
            {"spec": {"restartPolicy": "OnFailure"}, "phase": "Failed", "owner": "Job/import"},
            id="finished",
        ),
        pytest.param(
            status(ended(0, reason="Completed", ended_s=300), restarts=3),
            {"spec": {"restartPolicy": "OnFailure"}},
            id="done",
        ),
    ],
)
def test_recovered_young_or_finished_is_silent(container_status: Manifest, more: Manifest) -> None:
    stale = event("Pod/web-1", "BackOff", "Back-off restarting failed container app in pod web-1_shop(uid)", age_s=900)
    assert rule_of(with_status(container_status, **more), node(), stale, kill(age_s=900)) == "clear"


def test_a_stale_event_on_a_healthy_pod_is_silent() -> None:
    assert rule_of(pod(**OWNED), node(), SYSTEM_OOM, kill(), kill(STARTUP_KILLED)) == "clear"


def test_a_pod_that_goes_away_is_not_judged() -> None:
    leaving = with_status(looping())
    leaving["metadata"]["deletionTimestamp"] = ago(2)
    assert rule_of(leaving, node()) not in ("crash-loop", "oom-killed")


def test_replicas_are_members_of_one_cause() -> None:
    replicas = [with_status(looping(), name=f"web-{number}") for number in range(10)]
    cause = causes(*replicas, node())["crash-loop"]
    assert cause.count == 10 and cause.severity is Severity.CRITICAL


def test_a_healthy_sibling_makes_it_a_warning() -> None:
    found = fault(with_status(looping()), pod("web-2", **OWNED), node())
    assert found is not None and found.severity is Severity.WARNING


def test_a_crash_after_a_long_run_is_a_warning_while_it_runs_again() -> None:
    again = status(running(60), ended(ran_s=3600, ended_s=60), restarts=9, ready=True)
    found = fault(with_status(again, ready=True), node())
    assert found is not None
    assert (found.title, found.severity) == ("web crashes: exit 1, 9 restarts", Severity.WARNING)


def test_a_sibling_that_is_ready_only_between_crashes_is_none() -> None:
    sibling = pod("web-2", **OWNED, container_status=status(running(1), ended(), restarts=4, ready=True))
    found = fault(with_status(looping()), sibling, node())
    assert found is not None and found.severity is Severity.CRITICAL


def test_first_commands() -> None:
    crash = fault(with_status(looping()))
    oom = fault(with_status(looping(OOM), container=LIMIT))
    liveness = fault(with_status(looping(ended(137, ran_s=60)), container=LIVENESS), kill())
    startup = fault(with_status(looping(ended(137, ran_s=60)), container=STARTUP), kill(STARTUP_KILLED))
    assert crash and oom and liveness and startup
    assert first_command(crash) == "kubectl -n shop logs web-1 --previous --tail=100"
    assert first_command(startup) == "kubectl -n shop logs web-1 --previous --tail=100"
    path = '{.spec.containers[?(@.name=="app")].%s}'
    assert first_command(oom) == f"kubectl -n shop get pod web-1 -o 'jsonpath={path % 'resources.limits.memory'}'"
    assert first_command(liveness) == f"kubectl -n shop get pod web-1 -o 'jsonpath={path % 'livenessProbe'}'"


@pytest.mark.parametrize(
    ("fields", "last", "killed", "number", "what"),
    [
        (LIMIT, OOM, [], 0, "resources.limits.memory"),
        (LIVENESS, ended(137, ran_s=60), [kill()], 0, "livenessProbe"),
        (STARTUP, ended(137, ran_s=60), [kill(STARTUP_KILLED)], 1, "startupProbe"),
    ],
)
def test_a_native_sidecar_is_looked_for_among_the_init_containers(
    fields: Manifest, last: Manifest, killed: list[Manifest], number: int, what: str
) -> None:
    spec = {
        "initContainers": [{"name": "app", "restartPolicy": "Always", **fields}],
        "containers": [{"name": "server", "resources": {"limits": {"memory": "4Gi"}}}],
    }
    statuses = {
        "initContainerStatuses": [{"name": "app", **looping(last)}],
        "containerStatuses": [{"name": "server", **status(running(600), ready=True)}],
    }
    found = fault(pod(**OWNED, ready=False, spec=spec, status=statuses), node(), *killed)
    assert found is not None
    path = f'{{.spec.initContainers[?(@.name=="app")].{what}}}'
    assert render(found.next[number], Target()) == f"kubectl -n shop get pod web-1 -o 'jsonpath={path}'"


def two_containers() -> Manifest:
    spec = {"containers": [{"name": "app", "image": "a"}, {"name": "proxy", "image": "b"}]}
    statuses = [
        {"name": "app", **status(running(600), ready=True)},
        {"name": "proxy", **looping(ended(1, ran_s=0))},
    ]
    return pod(**OWNED, ready=False, spec=spec, status={"containerStatuses": statuses})


def test_one_of_two_containers_is_named_and_may_fight_for_a_port() -> None:
    found = fault(two_containers())
    assert found is not None
    assert found.title == "web crashes (container proxy): exit 1, 4 restarts"
    assert first_command(found) == "kubectl -n shop logs web-1 -c proxy --previous --tail=100"
    assert [line.text for line in found.evidence if line.mark is Mark.OPEN] == [
        "its other containers run: does the log say `address already in use`?"
    ]


def test_mixed_architectures_are_an_open_hint_only_for_an_instant_crash() -> None:
    nodes = [
        node("node-1", status={"nodeInfo": {"architecture": "arm64"}}),
        node("node-2", status={"nodeInfo": {"architecture": "amd64"}}),
    ]
    instant = fault(with_status(looping(ended(ran_s=0))), *nodes)
    slow = fault(with_status(looping(ended(ran_s=30))), *nodes)
    assert instant and slow
    assert "this node is arm64" in text_of(instant)
    assert "arm64" not in text_of(slow)


def test_without_events_a_kill_is_not_excluded() -> None:
    found = fault(with_status(looping(ended(137))), missing={"events": SourceState.FORBIDDEN})
    assert found is not None and found.rule == "crash-loop"
    assert [line.mark for line in found.evidence if "events could not be read" in line.text] == [Mark.OPEN]


def test_node_oom_follows_the_node() -> None:
    found = fault(with_status(looping(OOM), container=LIMIT), node(), SYSTEM_OOM)
    assert found is not None and found.layer is Layer.NODE
    assert first_command(found) == "kubectl get events -A --field-selector reason=SystemOOM"


def test_system_oom_long_before_is_not_this_kill() -> None:
    old = event("Node/node-1", "SystemOOM", "System OOM encountered", namespace="default", age_s=600)
    found = fault(with_status(looping(OOM), container=LIMIT), node(), old)
    assert found is not None and found.title == "web exceeds its memory limit 32Mi"


def test_the_probe_port_is_compared_with_the_declared_ports() -> None:
    found = fault(with_status(looping(ended(137, ran_s=60)), container=LIVENESS), kill())
    assert found is not None
    assert "the probe asks port 8080, the container declares 80" in text_of(found)


def test_a_crashing_node_agent_breaks_its_own_layer() -> None:
    driver = pod(
        "nvidia-driver-daemonset-x",
        namespace="gpu-operator",
        owner="DaemonSet/nvidia-driver-daemonset",
        labels={"app": "nvidia-driver-daemonset"},
        ready=False,
        container_status=looping(),
    )
    proxy = pod(
        "kube-proxy-x",
        namespace="kube-system",
        owner="DaemonSet/kube-proxy",
        labels={"k8s-app": "kube-proxy"},
        ready=False,
        container_status=looping(),
    )
    of_driver, of_proxy = fault(driver, node()), fault(proxy, node())
    assert of_driver and of_proxy
    assert (of_driver.layer, of_proxy.layer) == (Layer.NODE, Layer.NETWORK)
