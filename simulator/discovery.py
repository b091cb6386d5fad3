"""Discovery documents: what a stock kubectl asks for before it lists anything."""

from collections import defaultdict
from collections.abc import Iterable, Set
from typing import Any

from simulator.cluster import SERVED
from simulator.metrics_api import METRICS, VERBS
from situation.kinds import ObjectKind

_SHORT_NAMES = {
    "pods": ["po"],
    "nodes": ["no"],
    "events": ["ev"],
    "namespaces": ["ns"],
    "services": ["svc"],
    "persistentvolumeclaims": ["pvc"],
    "persistentvolumes": ["pv"],
    "replicasets": ["rs"],
    "deployments": ["deploy"],
    "statefulsets": ["sts"],
    "daemonsets": ["ds"],
    "resourcequotas": ["quota"],
    "networkpolicies": ["netpol"],
    "storageclasses": ["sc"],
    "limitranges": ["limits"],
    "priorityclasses": ["pc"],
    "ingresses": ["ing"],
    "poddisruptionbudgets": ["pdb"],
    "horizontalpodautoscalers": ["hpa"],
    "nvidiadrivers": ["nvd", "nvdriver", "nvdrivers"],
    "gpuclusters": ["gc"],
}
_IN_ALL = frozenset(
    {"pods", "services", "replicasets", "deployments", "statefulsets", "daemonsets", "jobs", "horizontalpodautoscalers"}
)


def discovery(path: str, absent: Set[str]) -> dict[str, Any] | None:
    """Return the document at `path` (`/api`, `/apis`, `/api/v1`, `/apis/GROUP`, `/apis/GROUP/VERSION`), or None.

    Kinds named in `absent` are left out.
    """
    by_version: defaultdict[str, list[ObjectKind]] = defaultdict(list)
    for kind in (*(kind for kind in SERVED if not kind.label), *METRICS):
        if kind.name not in absent:
            by_version[kind.group_version].append(kind)
    parts = path.strip("/").split("/")
    match parts:
        case ["api"]:
            return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
        case ["apis"]:
            names = dict.fromkeys(version.partition("/")[0] for version in by_version if "/" in version)
            groups = [_group(name, by_version) for name in names]
            return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
        case ["apis", name]:
            group = _group(name, by_version)
            return {"kind": "APIGroup", "apiVersion": "v1", **group} if group["versions"] else None
        case ["api", version] | ["apis", *_, version] if len(parts) <= 3:
            group_version = version if parts[0] == "api" else f"{parts[1]}/{version}"
            kinds = by_version.get(group_version)
            return _resources(group_version, kinds) if kinds else None
    return None


def _group(name: str, group_versions: Iterable[str]) -> dict[str, Any]:
    versions = [
        {"groupVersion": group_version, "version": group_version.partition("/")[2]}
        for group_version in group_versions
        if group_version.startswith(f"{name}/")
    ]
    return {"name": name, "versions": versions, "preferredVersion": versions[0] if versions else None}


def _resources(group_version: str, kinds: list[ObjectKind]) -> dict[str, Any]:
    resources = []
    for kind in kinds:
        entry: dict[str, Any] = {
            "name": kind.resource,
            "singularName": kind.kind.lower(),
            "namespaced": kind.namespaced,
            "kind": kind.kind,
            "verbs": VERBS if kind in METRICS else [*VERBS, "watch"],
        }
        if kind.name in _SHORT_NAMES:
            entry["shortNames"] = _SHORT_NAMES[kind.name]
        if kind.name in _IN_ALL:
            entry["categories"] = ["all"]
        resources.append(entry)
        if kind.kind == "Pod":
            of_pods = {"singularName": "", "namespaced": True, "verbs": ["get"]}
            resources.append({"name": "pods/log", "kind": "Pod", **of_pods})
            resources.append({"name": "pods/proxy", "kind": "PodProxyOptions", **of_pods})
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}
