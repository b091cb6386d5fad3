"""Hand-made clusters for tests: manifests in, a Situation out, through the same decoder as live data."""

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from diagnosis.engine import diagnose
from situation.decode import decode_object
from situation.findings import Diagnosis, Finding
from situation.kinds import KINDS, kind_of
from situation.meta import KubernetesObject, ObjectKey
from situation.readings import Changed, Listed, Reading, SourceState
from situation.situation import Situation

NOW: Final = datetime(2026, 11, 23, 2, 41, 7, tzinfo=UTC)

Manifest = dict[str, Any]


def ago(seconds: float) -> str:
    """Return the RFC 3339 time stamp of `seconds` before NOW."""
    return (NOW - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def meta(name: str, namespace: str = "shop", *, age_s: float = 600, owner: str = "", **fields: Any) -> Manifest:
    """Return metadata; `owner` is `Kind/name` of the controller. `namespace=""` for cluster-scoped objects."""
    made: Manifest = {"name": name, "uid": f"uid-{name}", "creationTimestamp": ago(age_s), **fields}
    if namespace:
        made["namespace"] = namespace
    if owner:
        kind, _, owner_name = owner.partition("/")
        made["ownerReferences"] = [
            {"apiVersion": "v1", "kind": kind, "name": owner_name, "uid": f"uid-{owner_name}", "controller": True}
        ]
    return made


def pod(
    name: str = "web-1",
    *,
    namespace: str = "shop",
    age_s: float = 600,
    owner: str = "",
    labels: Mapping[str, str] | None = None,
    node: str = "node-1",
    phase: str = "Running",
    ready: bool = True,
    spec: Manifest | None = None,
    status: Manifest | None = None,
    container: Manifest | None = None,
    container_status: Manifest | None = None,
) -> Manifest:
    """Return a pod with one container `app`; healthy, Running on `node` unless told otherwise.

    `spec`, `status`, `container` and `container_status` are laid over what stands there (top-level keys replace).
    """
    state = {"running": {"startedAt": ago(age_s)}} if phase == "Running" else {}
    conditions = [
        {"type": "PodScheduled", "status": "True" if node else "False"},
        {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": ago(age_s)},
    ]
    return {
        "kind": "Pod",
        "metadata": meta(name, namespace, age_s=age_s, owner=owner, labels=dict(labels or {"app": "web"})),
        "spec": {
            **({"nodeName": node} if node else {}),
            "containers": [{"name": "app", "image": "shop/web:1", **(container or {})}],
            **(spec or {}),
        },
        "status": {
            "phase": phase,
            "conditions": conditions,
            "containerStatuses": [
                {"name": "app", "ready": ready, "restartCount": 0, "state": state, **(container_status or {})}
            ],
            **(status or {}),
        },
    }


def node(
    name: str = "node-1", *, ready: str = "True", conditions: list[Manifest] | None = None, **over: Any
) -> Manifest:
    """Return a node, Ready unless told otherwise; `spec`, `status` and `labels` are laid over."""
    listed = [{"type": "Ready", "status": ready, "reason": "KubeletReady", "lastTransitionTime": ago(600)}]
    resources = {"cpu": "8", "memory": "32Gi", "pods": "110"}
    return {
        "kind": "Node",
        "metadata": meta(name, "", age_s=86400, labels={"kubernetes.io/hostname": name, **over.get("labels", {})}),
        "spec": over.get("spec", {}),
        "status": {
            "capacity": resources,
            "allocatable": resources,
            "conditions": listed if conditions is None else conditions,
            **over.get("status", {}),
        },
    }


def event(
    about: str,
    reason: str,
    message: str,
    *,
    namespace: str = "shop",
    type: str = "Warning",
    age_s: float = 5,
    count: int = 1,
) -> Manifest:
    """Return an event `about` an object given as `Kind/name`; its uid is the one `meta` gives that name."""
    kind, _, name = about.partition("/")
    return {
        "kind": "Event",
        "metadata": meta(f"{name}.{reason.lower()}.{abs(hash(message)) % 10**6}", namespace, age_s=age_s),
        "involvedObject": {"kind": kind, "namespace": namespace, "name": name, "uid": f"uid-{name}"},
        "type": type,
        "reason": reason,
        "message": message,
        "count": count,
        "firstTimestamp": ago(age_s + 60),
        "lastTimestamp": ago(age_s),
    }


def made(manifest: Manifest) -> KubernetesObject:
    """Decode one manifest as live data would be."""
    kind = kind_of(manifest["kind"], manifest.get("metadata", {}).get("namespace", ""))
    assert kind is not None, f"Midwatch does not read {manifest['kind']}"
    return decode_object(msgspec.json.encode(manifest), kind)


def situation(
    *manifests: Manifest,
    missing: Mapping[str, SourceState] | None = None,
    now: datetime = NOW,
    into: Situation | None = None,
) -> Situation:
    """Return a Situation (`into`, else a new one) in which every kind is live and holds just `manifests`.

    `missing` maps kind names (`nodes`) to the state of a source that never gave anything.
    """
    by_kind: defaultdict[str, list[KubernetesObject]] = defaultdict(list)
    for manifest in manifests:
        kind = kind_of(manifest["kind"], manifest.get("metadata", {}).get("namespace", ""))
        assert kind is not None, f"Midwatch does not read {manifest['kind']}"
        by_kind[kind.name].append(made(manifest))
    known = into or Situation()
    for kind in KINDS:
        if missing and kind.name in missing:
            known.apply(Reading(kind.source, missing[kind.name], now, error=f"cannot list {kind.name}"))
        else:
            known.apply(Reading(kind.source, SourceState.LIVE, now, Listed(kind.name, tuple(by_kind[kind.name]))))
    return known


def judged(*manifests: Manifest, now: datetime = NOW) -> Diagnosis:
    """Diagnose a cluster of just `manifests`."""
    return diagnose(situation(*manifests, now=now), now)


def causes(*manifests: Manifest, now: datetime = NOW) -> dict[str, Finding]:
    """Return the causes by rule id; fails when one rule has several."""
    found = judged(*manifests, now=now).causes
    by_rule = {cause.rule: cause for cause in found}
    assert len(by_rule) == len(found), [cause.key for cause in found]
    return by_rule


def broken(known: Situation, kind: str, *names: ObjectKey, now: datetime = NOW) -> Situation:
    """Let these objects be there and not be decoded; without names one of which not even the name could be read."""
    changed = Changed(kind, removed=names, skipped=0 if names else 1, broken=names)
    known.apply(Reading(f"kubernetes/{kind}", SourceState.LIVE, now, changed))
    return known
