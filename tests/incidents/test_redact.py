"""Names are replaced everywhere, and the same by the same."""

import json
import re

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from incidents.as_json import as_json
from incidents.entries import Entry, Incident, Kind, Name
from incidents.markdown import markdown
from incidents.names import names_in
from incidents.redact import redacted
from situation.findings import Evidence, Layer, Severity
from situation.meta import Ref
from tests.build import NOW, node, pod, situation
from tests.incidents.build import at, entry


def incident(*entries: Entry, context: str = "prod-h100") -> Incident:
    return Incident("2026-11-23-0241-prod-h100", context, NOW, None, entries)


def texts(*given_: str, names: tuple[Name, ...] = ()) -> list[str]:
    made = redacted(incident(*(entry(text=text, names=names) for text in given_)))
    return [item.text for item in made.entries]


NAMES = (Name("namespace", "shop"), Name("node", "gpu-07"), Name("pod", "web-1"), Name("workload", "web"))


def test_the_same_name_is_the_same_number_in_all_entries() -> None:
    assert texts("web-1 on gpu-07", "shop/web-1: web, gpu-07.", names=NAMES) == [
        "pod-1 on node-1",
        "ns-1/pod-1: workload-1, node-1.",
    ]


def test_the_server_goes_and_that_all_was_simulated_stays() -> None:
    for origin, left in (("https://10.0.0.1:6443", None), ("midwatch demo faults_a", "midwatch demo faults_a")):
        assert redacted(msgspec.structs.replace(incident(), origin=origin)).origin == left


def test_a_word_that_holds_a_name_goes_too_and_one_that_only_looks_like_it_stays() -> None:
    assert texts("web-7f9c-x of website in shop.svc.cluster.local", names=NAMES) == ["name-1 of website in name-2"]


def test_addresses_images_and_options_are_known_without_being_told() -> None:
    assert texts(
        "dial tcp 10.1.2.3:6443 for https://me.example.com/x and [fd00::1]:53, not 127.0.0.1",
        'Failed to pull image "reg.example.com:5000/team/app:1.2"',
        "kubectl --kubeconfig '/home/a b/k' --context prod-h100 -n pay get pod cart-5x",
        "lookup db.internal on 10.1.2.3:53: no such host",
    ) == [
        "dial tcp address-1:6443 for https://address-3/x and [address-2]:53, not 127.0.0.1",
        'Failed to pull image "image-1"',
        "kubectl --kubeconfig 'file-1' --context cluster-1 -n ns-1 get pod pod-1",
        "lookup address-4 on address-1:53: no such host",
    ]


def test_what_is_only_referred_to_goes_by_its_kind() -> None:
    assert texts(
        "web refers to Secret acme-registry, which does not exist",
        'storageclass "fast-nvme" not found: StorageClass fast-nvme, ConfigMap/acme.conf',
        "the Secret does not exist; a ConfigMap is missing",
        names=NAMES,
    ) == [
        "workload-1 refers to Secret secret-1, which does not exist",
        'storageclass "storageclass-1" not found: StorageClass storageclass-1, ConfigMap/configmap-1',
        "the Secret does not exist; a ConfigMap is missing",
    ]


def test_context_people_and_the_name_of_the_incident_go() -> None:
    made = redacted(incident(entry(who="anna"), entry(who="ben"), entry(who="anna")))
    assert made.context == "cluster-1"
    assert made.id == "2026-11-23-0241-cluster-1"
    assert made.people == ("person-1", "person-2")


def test_names_are_noted_while_the_cluster_is_known() -> None:
    cluster = situation(
        node("n1"), node("n2"), pod("web-1", owner="StatefulSet/web", node="n1", container={"image": "shop/web:1"}),
        {"kind": "Namespace", "metadata": {"name": "pay"}}, pod("cart", namespace="pay", node="n2"),
        {"kind": "Service", "metadata": {"name": "front", "namespace": "shop"}, "spec": {}},
    )  # fmt: skip
    made = entry(text="cart waits for n2 (pay) and front", subject=Ref("Pod", "shop", "web-1"))
    assert set(names_in(made, (), cluster)) == {
        Name("namespace", "shop"), Name("pod", "web-1"), Name("workload", "web"), Name("image", "shop/web:1"),
        Name("node", "n1"), Name("node", "n2"), Name("namespace", "pay"), Name("pod", "cart"),
        Name("service", "front"),
    }  # fmt: skip


PLACEHOLDERS = r"(ns|node|pod|workload|image|address|cluster|person|name|service|file)"
name = st.from_regex(r"[a-z][a-z0-9]{1,6}([-.][a-z0-9]{1,5}){0,2}", fullmatch=True).filter(
    lambda text: not re.search(rf"\b{PLACEHOLDERS}\b", text)
)
joint = st.sampled_from([" ", "/", ", ", ": ", "-", ".", " (", '"', "=", "_", "\n", "://", "@", "|"])


@settings(max_examples=50)
@given(
    names=st.lists(st.tuples(st.sampled_from(["namespace", "node", "pod", "workload", "service"]), name), min_size=1),
    image=st.from_regex(r"[a-z]{2,5}\.io/[a-z]{2,6}/[a-z]{2,6}:[a-z0-9.]{1,4}[a-z0-9]", fullmatch=True),
    address=st.ip_addresses().filter(lambda item: not (item.is_loopback or item.is_unspecified)),
    joints=st.lists(joint, min_size=1),
    data=st.data(),
)
def test_no_original_name_remains(
    names: list[tuple[str, str]], image: str, address: object, joints: list[str], data: st.DataObject
) -> None:
    words = [text for _, text in names]
    text = ""
    for place, word in enumerate(data.draw(st.lists(st.sampled_from(words), max_size=12))):
        text += word + joints[place % len(joints)]
    text += f" image {image} from {address} "
    told = (*(Name(*item) for item in names), Name("image", image))
    first = Entry(
        NOW, Kind.APPEARED, text, "", Layer.NODE, "crash-loop", Ref("Pod", words[0], words[-1]), Severity.CRITICAL,
        f"crash-loop:Pod/{words[0]}/{words[-1]}", evidence=(Evidence(text, "kubernetes/pods"),), follows=(text,),
        names=told,
    )  # fmt: skip
    others = (entry(Kind.COPIED, text, 5, way=text, where=text), entry(text=text, seconds=6))
    made = redacted(incident(first, *others, context="prod-h100"))
    kept = [made.context, made.entries[0].key, str(made.entries[0].subject)]
    for item in made.entries:
        kept += [item.text, item.way, item.where, *item.follows, *(line.text for line in item.evidence)]
    for original in (*words, image, str(address), "prod-h100"):
        held = re.compile(rf"(?<![A-Za-z0-9]){re.escape(original)}(?![A-Za-z0-9])")
        assert not [text for text in kept if held.search(text)], original
    whole = json.dumps(as_json(made)) + "\n".join(markdown(made, at(9)))
    assert image not in whole and "prod-h100" not in whole
