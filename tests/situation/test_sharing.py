"""Equal parts of objects are held once, and no object is another one for that."""

import json
from typing import Any, Final

import msgspec

from collectors.kubernetes.lists import Decoder
from simulator.generator import generate
from situation.cluster import Node
from situation.decode import decode_object
from situation.kinds import BY_NAME, KINDS
from situation.meta import KubernetesObject
from situation.pods import Pod
from situation.selectors import claim_names
from situation.sharing import Sharing
from situation.workloads import Deployment
from tests.build import NOW, meta, node, pod

_PROBE: Final = {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 5}


def shared(kind: str, *manifests: dict[str, Any]) -> list[Any]:
    """Decode manifests of one kind (`pods`) as the collector does."""
    decoder = Decoder(BY_NAME[kind])
    return [decoder.decode(json.dumps(manifest).encode()) for manifest in manifests]


def as_json(item: KubernetesObject) -> bytes:
    return msgspec.json.encode(item, order="deterministic")


def container(**more: Any) -> dict[str, Any]:
    return {
        "image": "shop/web:1",
        "imagePullPolicy": "IfNotPresent",
        "ports": [{"containerPort": 8080, "name": "http"}],
        "env": [{"name": "LEVEL", "value": "info"}, {"name": "DB", "value": "db.shop:5432"}],
        "resources": {"requests": {"cpu": "250m"}, "limits": {"memory": "1Gi"}},
        "readinessProbe": _PROBE,
        **more,
    }


def deployment(name: str, **more: Any) -> dict[str, Any]:
    template = {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "app", **container(**more)}], "tolerations": [{"operator": "Exists"}]},
    }
    return {"kind": "Deployment", "metadata": meta(name), "spec": {"template": template}}


def test_objects_say_the_same_shared_or_not() -> None:
    cluster = generate(nodes=20, pods=300, now=NOW)
    seen = 0
    for kind in KINDS:
        sharing = Sharing()
        for stored in cluster.table(kind.name).ordered():
            raw = b"{" + stored.tail
            alone, item = decode_object(raw, kind), decode_object(raw, kind)
            sharing.share(item)
            if isinstance(item, Pod) and isinstance(alone, Pod):
                # Volumes that refer to nothing are dropped on the way.
                alone = msgspec.structs.replace(alone, spec=msgspec.structs.replace(alone.spec, volumes=()))
                item = msgspec.structs.replace(item, spec=msgspec.structs.replace(item.spec, volumes=()))
            assert as_json(item) == as_json(alone)
            seen += 1
    assert seen > 400


def test_volumes_that_claims_are_made_for_are_kept() -> None:
    [kept] = shared("pods", pod(spec={"volumes": [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": {}}}]}))
    [dropped] = shared("pods", pod(spec={"volumes": [{"name": "token", "projected": {}}]}))
    assert claim_names(kept) == ("web-1-scratch",)
    assert (dropped.spec.volumes, claim_names(dropped)) == ((), ())


def test_replicas_differ_in_their_nodes_alone() -> None:
    owner = "ReplicaSet/web-1"
    one, two, other = shared(
        "pods",
        pod("a", owner=owner, node="node-1", container=container()),
        pod("b", owner=owner, node="node-2", container=container()),
        pod("c", owner=owner, node="node-3", container=container(image="shop/web:2")),
    )
    assert [item.spec.node_name for item in (one, two, other)] == ["node-1", "node-2", "node-3"]
    assert two.spec.containers is one.spec.containers
    assert other.spec.containers[0].image == "shop/web:2"
    assert other.spec.containers[0].readiness_probe == one.spec.containers[0].readiness_probe


def test_a_changed_replica_does_not_change_the_first_one() -> None:
    owner = "ReplicaSet/web-1"
    first, bound = shared(
        "pods",
        pod("a", owner=owner, node="", phase="Pending", container=container()),
        pod("a", owner=owner, node="node-7", container=container()),
    )
    assert (first.spec.node_name, bound.spec.node_name) == ("", "node-7")


def test_nodes_of_one_make_share_what_they_have_and_keep_their_names() -> None:
    amounts = {"cpu": "64", "memory": "512Gi", "nvidia.com/gpu": "8"}
    manifests = [node(f"node-{number}") for number in range(3)]
    for number, manifest in enumerate(manifests):
        manifest["status"] |= {"capacity": amounts, "allocatable": amounts}
        manifest["metadata"]["labels"] = {"kubernetes.io/hostname": f"node-{number}", "gpu": "h100"}
    manifests[2]["status"]["allocatable"] = amounts | {"nvidia.com/gpu": "7"}
    one, two, lost = shared("nodes", *manifests)
    assert isinstance(one, Node)
    assert one.status.capacity is two.status.capacity is one.status.allocatable is lost.status.capacity
    assert lost.status.allocatable["nvidia.com/gpu"] == "7"
    assert one.status.capacity["nvidia.com/gpu"] == "8"
    assert [item.metadata.labels["kubernetes.io/hostname"] for item in (one, two, lost)] == [
        "node-0",
        "node-1",
        "node-2",
    ]
    assert one.metadata.labels["gpu"] is two.metadata.labels["gpu"]


def test_charts_share_probes_variables_and_amounts() -> None:
    web, api = shared("deployments", deployment("web"), deployment("api", image="shop/api:3"))
    assert isinstance(web, Deployment)
    (one,), (two,) = web.spec.template.spec.containers, api.spec.template.spec.containers
    assert one.readiness_probe is two.readiness_probe
    assert one.ports is two.ports
    assert one.env[1] is two.env[1]
    assert one.resources.limits is two.resources.limits
    assert (one.image, two.image) == ("shop/web:1", "shop/api:3")
    assert web.spec.template.metadata.labels != api.spec.template.metadata.labels
