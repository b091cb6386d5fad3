"""Tables: the columns that `kubectl get` prints, which the API server computes."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from aiohttp import web

from simulator.cluster import Manifest, Stored
from situation.clock import duration_text
from situation.kinds import ObjectKind


class Column(NamedTuple):
    name: str
    wide: bool = False
    type: str = "string"


def wants_table(request: web.Request) -> bool:
    """Tell whether the client asked for a Table (kubectl does)."""
    return "as=Table" in request.headers.get("Accept", "")


def table_of(
    kind: ObjectKind, found: Sequence[Stored], metadata: Mapping[str, object], request: web.Request
) -> Manifest:
    """Return the Table of these objects, with kubectl's columns for the kinds people list most.

    `includeObject=Object` in the request asks for the objects besides the cells, as `--sort-by` does.
    """
    in_full = request.query.get("includeObject") == "Object"
    of_kind = {"kind": kind.kind, "apiVersion": kind.group_version}
    columns, cells = _PRINTERS.get(kind.kind, _GENERIC)
    now = datetime.now(UTC)
    rows = []
    for stored in found:
        manifest = stored.manifest()
        about = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": manifest["metadata"]}
        rows.append({"cells": cells(manifest, now), "object": manifest | of_kind if in_full else about})
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": dict(metadata),
        "columnDefinitions": [
            {
                "name": column.name,
                "type": column.type,
                "format": "name" if column.name == "Name" else "",
                "description": "",
                "priority": int(column.wide),
            }
            for column in columns
        ],
        "rows": rows,
    }


def _age(manifest: Manifest, now: datetime) -> str:
    return _since(manifest["metadata"].get("creationTimestamp"), now)


def _since(stamp: str | None, now: datetime) -> str:
    if not stamp:
        return "<unknown>"
    return duration_text((now - datetime.fromisoformat(stamp)).total_seconds())


def _or_none(values: Sequence[str] | str) -> str:
    return (values if isinstance(values, str) else ",".join(values)) or "<none>"


def _generic(manifest: Manifest, now: datetime) -> list[Any]:
    return [manifest["metadata"]["name"], _age(manifest, now)]


def _pod(manifest: Manifest, now: datetime) -> list[Any]:
    spec, found = manifest.get("spec", {}), manifest.get("status", {})
    statuses = found.get("containerStatuses", [])
    ready = sum(1 for item in statuses if item.get("ready"))
    conditions = {item["type"]: item.get("status") for item in found.get("conditions", [])}
    return [
        manifest["metadata"]["name"],
        f"{ready}/{len(spec.get('containers', []))}",
        _pod_status(manifest),
        _restarts(statuses, now),
        _age(manifest, now),
        found.get("podIP") or "<none>",
        spec.get("nodeName") or "<none>",
        found.get("nominatedNodeName") or "<none>",
        f"{sum(conditions.get(gate['conditionType']) == 'True' for gate in spec['readinessGates'])}"
        f"/{len(spec['readinessGates'])}"
        if spec.get("readinessGates")
        else "<none>",
    ]


def _restarts(statuses: Sequence[Manifest], now: datetime) -> str:
    total = sum(item.get("restartCount", 0) for item in statuses)
    ended = [
        stamp
        for item in statuses
        if (stamp := item.get("lastState", {}).get("terminated", {}).get("finishedAt")) is not None
    ]
    return f"{total} ({_since(max(ended), now)} ago)" if total and ended else str(total)


def _pod_status(manifest: Manifest) -> str:
    """The STATUS column: the reason of whatever keeps the pod from running, else its phase (printPod of kubectl)."""
    found = manifest.get("status", {})
    reason = found.get("reason") or found.get("phase") or "Unknown"
    if any(
        item["type"] == "PodScheduled" and item.get("reason") == "SchedulingGated"
        for item in found.get("conditions", [])
    ):
        reason = "SchedulingGated"
    initializing = _init_status(manifest)
    if initializing:
        reason = initializing
    else:
        for item in reversed(found.get("containerStatuses", [])):
            reason = _state_reason(item.get("state", {})) or reason
        if reason == "Completed" and any(item.get("ready") for item in found.get("containerStatuses", [])):
            reason = "Running"
    return "Terminating" if manifest["metadata"].get("deletionTimestamp") else reason


def _state_reason(state: Manifest) -> str:
    if reason := state.get("waiting", {}).get("reason"):
        return str(reason)
    ended = state.get("terminated")
    if ended is None:
        return ""
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"


def _init_status(manifest: Manifest) -> str:
    declared = manifest.get("spec", {}).get("initContainers", [])
    sidecars = {item["name"] for item in declared if item.get("restartPolicy") == "Always"}
    for index, item in enumerate(manifest.get("status", {}).get("initContainerStatuses", [])):
        state = item.get("state", {})
        ended = state.get("terminated")
        if (ended is not None and ended.get("exitCode", 0) == 0) or (item["name"] in sidecars and item.get("started")):
            continue
        reason = _state_reason(state)
        if reason and reason != "PodInitializing":
            return f"Init:{reason}"
        return f"Init:{index}/{len(declared)}"
    return ""


def _node(manifest: Manifest, now: datetime) -> list[Any]:
    labels = manifest["metadata"].get("labels", {})
    roles = sorted(key.removeprefix(_ROLE) for key in labels if key.startswith(_ROLE))
    found = manifest.get("status", {})
    ready = next((item for item in found.get("conditions", []) if item["type"] == "Ready"), None)
    state = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    if manifest.get("spec", {}).get("unschedulable"):
        state += ",SchedulingDisabled"
    addresses = {item["type"]: item["address"] for item in found.get("addresses", [])}
    info = found.get("nodeInfo", {})
    return [
        manifest["metadata"]["name"],
        state,
        _or_none(roles),
        _age(manifest, now),
        info.get("kubeletVersion", ""),
        addresses.get("InternalIP", "<none>"),
        addresses.get("ExternalIP", "<none>"),
        info.get("osImage") or "<unknown>",
        info.get("kernelVersion") or "<unknown>",
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


def _event(manifest: Manifest, now: datetime) -> list[Any]:
    about = manifest.get("involvedObject", {})
    series = manifest.get("series") or {}
    last = series.get("lastObservedTime") or manifest.get("lastTimestamp") or manifest.get("eventTime")
    first = manifest.get("firstTimestamp") or manifest.get("eventTime")
    source = manifest.get("source", {})
    return [
        _since(last, now),
        manifest.get("type", ""),
        manifest.get("reason", ""),
        f"{about.get('kind', '').lower()}/{about.get('name', '')}",
        about.get("fieldPath", ""),
        ", ".join(filter(None, (source.get("component") or manifest.get("reportingComponent"), source.get("host")))),
        manifest.get("message", "").strip(),
        _since(first, now),
        max(manifest.get("count", 0), series.get("count", 0), 1),
        manifest["metadata"]["name"],
    ]


def _service(manifest: Manifest, now: datetime) -> list[Any]:
    spec = manifest.get("spec", {})
    ingress = manifest.get("status", {}).get("loadBalancer", {}).get("ingress", [])
    external = [item.get("ip") or item.get("hostname", "") for item in ingress]
    if spec.get("type") == "LoadBalancer" and not external:
        external = ["<pending>"]
    if spec.get("type") == "ExternalName":
        external = [spec.get("externalName", "")]
    ports = [
        f"{port['port']}" + (f":{port['nodePort']}" if port.get("nodePort") else "") + f"/{port.get('protocol', 'TCP')}"
        for port in spec.get("ports", [])
    ]
    selector = [f"{key}={value}" for key, value in sorted(spec.get("selector", {}).items())]
    return [
        manifest["metadata"]["name"],
        spec.get("type", "ClusterIP"),
        spec.get("clusterIP") or "<none>",
        _or_none(external),
        _or_none(ports),
        _age(manifest, now),
        _or_none(selector),
    ]


def _endpointslice(manifest: Manifest, now: datetime) -> list[Any]:
    addresses = [address for endpoint in manifest.get("endpoints", []) for address in endpoint.get("addresses", [])]
    more = f" + {len(addresses) - 3} more..." if len(addresses) > 3 else ""
    return [
        manifest["metadata"]["name"],
        manifest.get("addressType") or "IPv4",
        ",".join(str(port.get("port", "*")) for port in manifest.get("ports", [])) or "<unset>",
        (",".join(addresses[:3]) or "<unset>") + more,
        _age(manifest, now),
    ]


def _deployment(manifest: Manifest, now: datetime) -> list[Any]:
    spec, found = manifest.get("spec", {}), manifest.get("status", {})
    containers = spec.get("template", {}).get("spec", {}).get("containers", [])
    selector = spec.get("selector", {}).get("matchLabels", {})
    return [
        manifest["metadata"]["name"],
        f"{found.get('readyReplicas', 0)}/{spec.get('replicas', 1)}",
        found.get("updatedReplicas", 0),
        found.get("availableReplicas", found.get("readyReplicas", 0)),
        _age(manifest, now),
        ",".join(item["name"] for item in containers),
        ",".join(item.get("image", "") for item in containers),
        ",".join(f"{key}={value}" for key, value in sorted(selector.items())),
    ]


def _columns(names: str, integers: frozenset[str] = frozenset()) -> tuple[Column, ...]:
    """Columns from `Name|Age|IP*`; a star marks those that only `-o wide` shows."""
    plain = [(name.rstrip("*"), name.endswith("*")) for name in names.split("|")]
    return tuple(Column(name, wide, "integer" if name in integers else "string") for name, wide in plain)


_ROLE: Final = "node-role.kubernetes.io/"
_Printer = tuple[tuple[Column, ...], Callable[[Manifest, datetime], list[Any]]]
_GENERIC: Final[_Printer] = (_columns("Name|Age"), _generic)
_PRINTERS: Final[Mapping[str, _Printer]] = {
    "Pod": (_columns("Name|Ready|Status|Restarts|Age|IP*|Node*|Nominated Node*|Readiness Gates*"), _pod),
    "Node": (
        _columns(
            "Name|Status|Roles|Age|Version|Internal-IP*|External-IP*|OS-Image*|Kernel-Version*|Container-Runtime*"
        ),
        _node,
    ),
    "Event": (
        _columns("Last Seen|Type|Reason|Object|Subobject*|Source*|Message|First Seen*|Count*|Name*"),
        _event,
    ),
    "Service": (_columns("Name|Type|Cluster-IP|External-IP|Port(s)|Age|Selector*"), _service),
    "EndpointSlice": (_columns("Name|AddressType|Ports|Endpoints|Age"), _endpointslice),
    "Deployment": (
        _columns(
            "Name|Ready|Up-to-date|Available|Age|Containers*|Images*|Selector*",
            frozenset({"Up-to-date", "Available"}),
        ),
        _deployment,
    ),
}
