"""Manifests that the network, control plane and node rules are tested on, and a diagnosis by a few rules only."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from diagnosis.engine import Engine
from diagnosis.rule import Rule
from playbooks.commands import Target, render
from situation.findings import Diagnosis, Finding, Mark, Severity
from situation.meta import Ref
from situation.situation import Situation
from tests.build import NOW, Manifest, ago, meta


def causes_of(rules: Sequence[Rule], known: Situation, now: datetime = NOW) -> dict[str, Finding]:
    """Return the causes that `rules` find, by rule id; fails when one rule has several."""
    found = Engine(rules).judge(known, (), now).causes
    by_rule = {cause.rule: cause for cause in found}
    assert len(by_rule) == len(found), [cause.key for cause in found]
    return by_rule


def first_command(finding: Finding) -> str:
    return render(finding.next[0], Target())


def service(
    name: str = "web",
    *,
    namespace: str = "shop",
    age_s: float = 600,
    selector: Mapping[str, str] | None = None,
    ports: list[Manifest] | None = None,
    labels: Mapping[str, str] | None = None,
    **spec: Any,
) -> Manifest:
    """Return a ClusterIP Service that selects app=<name> on port 80 -> 8080; `spec` is laid over."""
    return {
        "kind": "Service",
        "metadata": meta(name, namespace, age_s=age_s, labels=dict(labels or {})),
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "10.96.0.20",
            "selector": {"app": name} if selector is None else dict(selector),
            "ports": ports or [{"port": 80, "targetPort": 8080}],
            **spec,
        },
        "status": {"loadBalancer": {}},
    }


def endpoints(
    of: str = "web",
    ready: Mapping[str, bool] | None = None,
    *,
    namespace: str = "shop",
    ports: list[Manifest] | None = None,
    node: str = "node-1",
) -> Manifest:
    """Return the slice of Service `of` with an endpoint for each pod name in `ready`."""
    return {
        "kind": "EndpointSlice",
        "metadata": meta(f"{of}-x1", namespace, labels={"kubernetes.io/service-name": of}),
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [f"10.0.0.{number}"],
                "conditions": {"ready": is_ready},
                "targetRef": {"kind": "Pod", "namespace": namespace, "name": name},
                "nodeName": node,
            }
            for number, (name, is_ready) in enumerate((ready or {}).items(), 1)
        ],
        "ports": [{"port": 8080, "protocol": "TCP"}] if ports is None else ports,
    }


def workload(
    name: str,
    *,
    kind: str = "Deployment",
    namespace: str = "shop",
    age_s: float = 600,
    replicas: int = 1,
    labels: Mapping[str, str] | None = None,
    pod_spec: Manifest | None = None,
    env: Mapping[str, str] | None = None,
    **fields: Any,
) -> Manifest:
    """Return a Deployment (or StatefulSet, DaemonSet) whose pods bear app=<name>; `fields` go into the metadata."""
    container = {"name": "app", "env": [{"name": key, "value": value} for key, value in (env or {}).items()]}
    selector = dict(labels or {"app": name})
    return {
        "kind": kind,
        "metadata": meta(name, namespace, age_s=age_s, generation=1, **fields),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": selector},
            "template": {"metadata": {"labels": selector}, "spec": {"containers": [container], **(pod_spec or {})}},
        },
        "status": {"observedGeneration": 1},
    }


def daemonset(
    name: str,
    *,
    desired: int = 2,
    current: int | None = None,
    ready: int = 1,
    namespace: str = "kube-system",
    age_s: float = 86400,
    labels: Mapping[str, str] | None = None,
) -> Manifest:
    """Return a DaemonSet with its counts."""
    made = workload(name, kind="DaemonSet", namespace=namespace, age_s=age_s, labels=labels)
    made["metadata"]["labels"] = dict(labels or {"app": name})
    made["status"] = {
        "desiredNumberScheduled": desired,
        "currentNumberScheduled": desired if current is None else current,
        "numberReady": ready,
        "observedGeneration": 1,
    }
    return made


def lease(name: str, *, age_s: float, namespace: str = "kube-system") -> Manifest:
    """Return a Lease renewed `age_s` seconds before NOW."""
    return {
        "kind": "Lease",
        "metadata": meta(name, namespace, age_s=86400),
        "spec": {"holderIdentity": f"cp-1_{name}", "leaseDurationSeconds": 15, "renewTime": ago(age_s)},
    }


def ready_condition(
    status: str, *, reason: str = "", message: str = "", age_s: float = 300, heartbeat_s: float = 350
) -> list[Manifest]:
    """Return a node's conditions with Ready as given."""
    return [
        {
            "type": "Ready",
            "status": status,
            "reason": reason,
            "message": message,
            "lastTransitionTime": ago(age_s),
            "lastHeartbeatTime": ago(heartbeat_s),
        }
    ]


def shape(diagnosis: Diagnosis) -> set[tuple[str, str, Severity, tuple[Ref, ...]]]:
    """Return what a diagnosis says, without the ages and numbers that change by themselves."""
    return {
        (cause.key, finding.key, finding.severity, tuple(sorted(finding.members)))
        for cause in diagnosis.causes
        for finding in (cause, *cause.consequences)
    }


def texts(finding: Finding, mark: Mark | None = None) -> str:
    """Return the evidence, or only that with a mark, a line each."""
    return "\n".join(line.text for line in finding.evidence if mark in (None, line.mark))
