"""References to configuration that is not there, or not allowed."""

from typing import Any

import pytest

from situation.findings import Layer
from situation.meta import Ref
from tests.build import Manifest, event, node, pod
from tests.diagnosis.pod_faults import (
    OWNED,
    creating,
    fault,
    first_command,
    rule_of,
    running,
    status,
    text_of,
    waiting,
    with_status,
)

ROOT = 'container has runAsNonRoot and image will run as root (pod: "web-1_shop(uid)", container: app)'
USER = "container has runAsNonRoot and image has non-numeric user (web), cannot verify user is non-root (pod: ...)"


def config_error(message: str, **more: Any) -> Manifest:
    return with_status(status(waiting("CreateContainerConfigError", message)), **{"phase": "Pending", **more})


def failed_mount(message: str, age_s: float = 5) -> Manifest:
    return event("Pod/web-1", "FailedMount", message, age_s=age_s)


SETUP = 'MountVolume.SetUp failed for volume "conf" : '
VOLUMES: Manifest = {"volumes": [{"name": "conf", "configMap": {"name": "web-conf"}}]}


@pytest.mark.parametrize(
    ("message", "rule", "title"),
    [
        ('secret "db" not found', "missing-config", "web refers to Secret db, which does not exist"),
        ('configmap "web" not found', "missing-config", "web refers to ConfigMap web, which does not exist"),
        (
            "couldn't find key url in ConfigMap shop/web",
            "missing-config-key",
            "web refers to key url, which ConfigMap web does not have",
        ),
        (
            "couldn't find key password in Secret shop/db",
            "missing-config-key",
            "web refers to key password, which Secret db does not have",
        ),
        (ROOT, "run-as-non-root", "web must not run as root (runAsNonRoot), but its image does"),
        (USER, "run-as-non-root", "web must not run as root, but its image names its user by a word, not a number"),
        (
            "failed to sync secret cache: timed out waiting for the condition",
            "config-error",
            "web cannot be configured: failed to sync secret cache: timed out waiting fo…",
        ),
    ],
)
def test_env(message: str, rule: str, title: str) -> None:
    found = fault(config_error(message), node())
    assert found is not None
    assert (found.rule, found.title) == (rule, title)
    assert found.subject == Ref("Deployment", "shop", "web")
    assert found.layer is Layer.APPLICATION


@pytest.mark.parametrize(
    ("message", "rule", "title"),
    [
        (
            SETUP + 'configmap "web-conf" not found',
            "missing-config",
            "web refers to ConfigMap web-conf, which does not exist",
        ),
        (SETUP + 'secret "tls" not found', "missing-config", "web refers to Secret tls, which does not exist"),
        (
            SETUP + "configmap references non-existent config key: nginx.conf",
            "missing-config-key",
            "web refers to key nginx.conf, which ConfigMap web-conf does not have",
        ),
        (
            SETUP + "references non-existent secret key: tls.crt",
            "missing-config-key",
            "web refers to key tls.crt, which Secret in its volume does not have",
        ),
        (
            SETUP + "failed to sync configmap cache: timed out waiting for the condition",
            "not-started",
            "web stays in ContainerCreating",
        ),
        (
            SETUP + "mount failed: exit status 32",
            "volume-mount",
            "web cannot mount volume conf: mount failed: exit status 32",
        ),
    ],
)
def test_volumes(message: str, rule: str, title: str) -> None:
    found = fault(creating(spec=VOLUMES), node(), failed_mount(message))
    assert found is not None
    assert (found.rule, found.title) == (rule, title)


def test_the_summary_of_the_kubelet_does_not_hide_the_reason() -> None:
    why = failed_mount(SETUP + 'configmap "web-conf" not found', age_s=60)
    summary = failed_mount(
        "Unable to attach or mount volumes: unmounted volumes=[conf], unattached volumes=[], failed to process "
        "volumes=[]: context deadline exceeded",
        age_s=3,
    )
    found = fault(creating(spec=VOLUMES), node(), why, summary)
    assert found is not None and found.rule == "missing-config"
    assert "volume conf is made of it" in text_of(found)


def test_a_trouble_that_was_overcome_is_not_the_present_one() -> None:
    old = failed_mount(SETUP + 'configmap "web-conf" not found', age_s=500)
    new = event(
        "Pod/web-1", "FailedCreatePodSandBox", 'Failed to create pod sandbox: plugin type="calico" failed (add)'
    )
    found = fault(creating(spec=VOLUMES), node(), old, new)
    assert found is not None and found.rule == "pod-network"


def test_first_commands() -> None:
    commands = [
        first_command(found)
        for message in (
            'secret "db" not found',
            "couldn't find key url in ConfigMap shop/web",
            "couldn't find key url in Secret shop/db",
            ROOT,
        )
        if (found := fault(config_error(message)))
    ]
    assert commands == [
        "kubectl -n shop get secret db",
        "kubectl -n shop get configmap web -o 'jsonpath={.data}'",
        "kubectl -n shop describe secret db",
        "kubectl -n shop get pod web-1 -o 'jsonpath={.spec.securityContext}{.spec.containers[*].securityContext}'",
    ]


def test_an_init_container_that_runs_as_root_is_looked_for_among_its_like() -> None:
    init = {"name": "setup", **status(waiting("CreateContainerConfigError", ROOT))}
    spec = {"initContainers": [{"name": "setup"}]}
    found = fault(pod(**OWNED, phase="Pending", ready=False, spec=spec, status={"initContainerStatuses": [init]}))
    assert found is not None and found.rule == "run-as-non-root"
    path = "{.spec.securityContext}{.spec.initContainers[*].securityContext}"
    assert first_command(found) == f"kubectl -n shop get pod web-1 -o 'jsonpath={path}'"


def test_evidence_says_where_it_is_used() -> None:
    env = {"env": [{"name": "DB_PASS", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}]}
    found = fault(config_error('secret "db" not found', container=env))
    assert found is not None
    assert "container app takes variable DB_PASS from it" in text_of(found)


def test_a_bare_pod_is_its_own_subject() -> None:
    found = fault(config_error('secret "db" not found', owner="", labels={"app": "web"}))
    assert found is not None and found.subject == Ref("Pod", "shop", "web-1")


@pytest.mark.parametrize("message", ['secret "db" not found', "couldn't find key url in ConfigMap shop/web"])
def test_a_young_pod_waits_for_what_is_created_with_it(message: str) -> None:
    assert rule_of(config_error(message, age_s=5), node()) == "clear"


def test_transient_texts_wait_longer() -> None:
    assert rule_of(config_error("services have not yet been read at least once", age_s=60), node()) == "clear"


def test_stale_events_on_started_pods_are_silent() -> None:
    stale = failed_mount(SETUP + 'configmap "web-conf" not found')
    assert rule_of(pod(**OWNED), node(), stale) == "clear"
    young = with_status(status(running(3)), ready=True, age_s=30)
    assert rule_of(young, node(), stale) == "clear"
