"""Dumps as kubectl writes them, and all that is none."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from collectors.dump import Dump, read_dump
from collectors.errors import ConfigurationError, DumpError
from situation.kinds import KINDS
from situation.readings import Listed, ServerVersion, SourceState
from situation.situation import Situation
from situation.store import EVENT_LIMIT
from tests.build import NOW, ago, event, node, pod
from tests.gpu_resources import devices, driver_resource, policy

Manifest = dict[str, Any]


def known(dump: Dump) -> Situation:
    situation = Situation()
    for reading in dump.readings:
        situation.apply(reading)
    return situation


def as_list(*items: Manifest) -> Manifest:
    return {"apiVersion": "v1", "kind": "List", "metadata": {}, "items": list(items)}


def without_kind(item: Manifest) -> Manifest:
    return {key: value for key, value in item.items() if key != "kind"}


OBJECTS = (pod("web-1"), pod("web-2"), node("node-1"))

WRITERS: dict[str, Callable[[], str]] = {
    "list": lambda: json.dumps(as_list(*OBJECTS)),
    "pretty list": lambda: json.dumps(as_list(*OBJECTS), indent=4),
    "array": lambda: json.dumps(OBJECTS),
    "json lines": lambda: "\n".join(json.dumps(item) for item in OBJECTS),
    "pretty documents": lambda: "\n".join(json.dumps(item, indent=2) for item in OBJECTS),
    "lists one after another": lambda: json.dumps(as_list(*OBJECTS[:2])) + json.dumps(as_list(OBJECTS[2])),
    "yaml documents": lambda: yaml.safe_dump_all(OBJECTS),
    "yaml list": lambda: yaml.safe_dump(as_list(*OBJECTS)),
    "byte order mark": lambda: "\ufeff" + json.dumps(as_list(*OBJECTS)),
    "raw lists": lambda: (
        json.dumps(
            {
                "kind": "PodList",
                "apiVersion": "v1",
                "metadata": {},
                "items": [without_kind(item) for item in OBJECTS[:2]],
            }
        )
        + json.dumps({"kind": "NodeList", "apiVersion": "v1", "items": [without_kind(OBJECTS[2])]})
    ),
}


@pytest.mark.parametrize("form", WRITERS)
def test_forms(tmp_path: Path, form: str) -> None:
    file = tmp_path / "dump"
    file.write_text(WRITERS[form](), "utf-8")
    dump = read_dump(file)
    situation = known(dump)
    assert set(situation.pods) == {("shop", "web-1"), ("shop", "web-2")}
    assert set(situation.nodes) == {("", "node-1")}
    assert situation.source("pods").state is SourceState.LIVE
    assert situation.source("pods").observed_at == dump.now
    assert dump.notes == ()


def test_kinds_not_in_the_dump_are_absent_not_empty(tmp_path: Path) -> None:
    (tmp_path / "dump.json").write_text(json.dumps(pod()))
    situation = known(read_dump(tmp_path / "dump.json"))
    for kind in KINDS:
        expected = SourceState.LIVE if kind.name == "pods" else SourceState.ABSENT
        assert situation.source(kind.name).state is expected
    assert situation.source("nodes").error == "not in the dump"
    assert not situation.knows("nodes")


def test_custom_resources_are_told_from_those_of_the_same_name(tmp_path: Path) -> None:
    other = {"apiVersion": "kyverno.io/v1", "kind": "ClusterPolicy", "metadata": {"name": "no-root"}}
    beta = {**devices("gpu-2"), "apiVersion": "resource.k8s.io/v1beta1"}
    items = as_list(policy(), other, driver_resource(), devices(), beta)
    (tmp_path / "dump.json").write_text(json.dumps(items))
    dump = read_dump(tmp_path / "dump.json")
    situation = known(dump)
    assert set(situation.table("clusterpolicies")) == {("", "cluster-policy")}
    assert set(situation.table("nvidiadrivers")) == {("", "default")}
    assert [len(situation.devices_by_node.get(name)) for name in ("gpu-1", "gpu-2")] == [1, 1]
    assert dump.notes == ("not read: ClusterPolicy ×1",)


def test_an_empty_typed_list_is_known_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "dump.json").write_text(json.dumps({"kind": "PodList", "apiVersion": "v1", "items": []}))
    assert known(read_dump(tmp_path / "dump.json")).knows("pods")


def test_leases_go_where_their_namespace_says(tmp_path: Path) -> None:
    leases = [
        {"metadata": {"name": "kube-scheduler", "namespace": "kube-system"}, "spec": {"renewTime": ago(3)}},
        {"metadata": {"name": "node-1", "namespace": "kube-node-lease"}, "spec": {"renewTime": ago(2)}},
    ]
    document = {"kind": "LeaseList", "apiVersion": "coordination.k8s.io/v1", "items": leases}
    (tmp_path / "dump.json").write_text(json.dumps(document))
    situation = known(read_dump(tmp_path / "dump.json"))
    assert set(situation.leases) == {("kube-system", "kube-scheduler")}
    assert situation.node_lease("node-1") is not None


def test_now_is_the_newest_time_but_never_a_deletion(tmp_path: Path) -> None:
    doomed = pod("web-1", age_s=900)
    doomed["metadata"]["deletionTimestamp"] = "2030-01-01T00:00:00Z"
    items = as_list(doomed, event("Pod/web-1", "BackOff", "again", age_s=4), node())
    (tmp_path / "dump.json").write_text(json.dumps(items))
    assert read_dump(tmp_path / "dump.json").now == NOW - timedelta(seconds=4)


@pytest.mark.parametrize(
    "item",
    [
        pod(status={"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": ago(1)}]}),
        pod(container_status={"state": {"terminated": {"exitCode": 1, "finishedAt": ago(1)}}}),
        pod(container_status={"lastState": {"terminated": {"exitCode": 1, "finishedAt": ago(1)}}}),
        node(conditions=[{"type": "Ready", "status": "True", "lastHeartbeatTime": ago(1)}]),
        {
            "kind": "Lease",
            "apiVersion": "coordination.k8s.io/v1",
            "metadata": {"name": "a", "namespace": "kube-system"},
            "spec": {"renewTime": ago(1)},
        },
    ],
)
def test_where_now_comes_from(tmp_path: Path, item: Manifest) -> None:
    (tmp_path / "dump.json").write_text(json.dumps(item))
    assert read_dump(tmp_path / "dump.json").now == NOW - timedelta(seconds=1)


def test_without_any_time_the_file_tells(tmp_path: Path) -> None:
    file = tmp_path / "dump.json"
    file.write_text('{"kind":"Pod","metadata":{"name":"a"}}')
    dump = read_dump(file)
    assert dump.now == datetime.fromtimestamp(file.stat().st_mtime, UTC)
    assert "no time stamps" in dump.notes[0]


def test_unknown_kinds_are_counted_and_named(tmp_path: Path) -> None:
    knative = {"kind": "Service", "apiVersion": "serving.knative.dev/v1", "metadata": {"name": "a"}}
    items = as_list(pod(), {"kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "djE="}}, knative, {"a": 1})
    (tmp_path / "dump.json").write_text(json.dumps(items))
    dump = read_dump(tmp_path / "dump.json")
    assert dump.notes == ("not read: Secret ×1, Service ×1, objects without kind ×1",)
    assert not known(dump).knows("services")


def test_broken_objects_are_skipped_and_counted(tmp_path: Path) -> None:
    items = as_list(pod("good"), {"kind": "Pod", "metadata": {"name": 7}}, {"kind": "Pod"}, pod("also-good"))
    (tmp_path / "dump.json").write_text(json.dumps(items))
    dump = read_dump(tmp_path / "dump.json")
    assert len(known(dump).pods) == 2
    assert known(dump).source("pods").skipped == 2
    assert dump.notes == ("skipped 2 broken Pod objects",)


@pytest.mark.parametrize(
    ("written_s", "newest_s", "others_s", "now_s", "said"),
    [
        (5, 0, 60, 0, ""),
        (-3 * 86400, 0, 60, 0, ""),  # copied later
        (0, -50, 60, -50, ""),  # clocks agree so far
        (0, -900, 60, 60, "some clock was 16m ahead"),  # a node's
        (0, -900, 700, -900, ""),  # of the machine that wrote it: nothing is from just before
        (-3 * 86400, -9 * 86400, 60, 60, "some clock was 9d ahead"),
    ],
    ids=["as it should be", "copied", "a little", "one is ahead", "the writer's is late", "days ahead"],
)
def test_a_time_stamp_from_after_the_files_were_written_is_of_a_wrong_clock(
    written_s: float, newest_s: float, others_s: float, now_s: float, said: str, tmp_path: Path
) -> None:
    """All are seconds before NOW."""
    old = [pod("web-1", age_s=9000) | {"status": {}}, event("Pod/web-1", "BackOff", "back-off", age_s=others_s)]
    odd = event("Pod/web-1", "Killing", "stopping", age_s=newest_s)
    file = tmp_path / "dump.json"
    file.write_text(json.dumps(as_list(*old, odd)))
    written = (NOW - timedelta(seconds=written_s)).timestamp()
    os.utime(file, (written, written))
    dump = read_dump(file)
    assert dump.now == NOW - timedelta(seconds=now_s)
    assert [note.partition(":")[0] for note in dump.notes] == ([said] if said else [])


def test_events_that_are_too_many_are_counted_and_the_newest_looked_at(tmp_path: Path) -> None:
    old = [event(f"Pod/web-{number}", "BackOff", "back-off", age_s=3000) for number in range(EVENT_LIMIT + 1)]
    fresh = event("StatefulSet/batch", "FailedCreate", "exceeded quota", age_s=1)
    (tmp_path / "dump.json").write_text(json.dumps(as_list(fresh, *old)))
    dump = read_dump(tmp_path / "dump.json")
    assert dump.notes == ("of 10002 events the newest 10000 are looked at",)
    assert len(known(dump).events) == EVENT_LIMIT
    assert any(item.reason == "FailedCreate" for item in known(dump).events.values())


REPEATED = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10))
MERGED = "\n".join(f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 10))


LONG = f"a: &a {'x' * 30_000}\nb: [{', '.join(['*a'] * 4_000)}]"


@pytest.mark.parametrize("lines", [f"a0: &a0 [x]\n{REPEATED}", f"a0: &a0 {{x: 1}}\n{MERGED}", "a: &a [*a]", LONG])
def test_a_file_that_stands_for_gigabytes_is_refused_before_it_is_them(tmp_path: Path, lines: str) -> None:
    (tmp_path / "dump.yaml").write_text(f"kind: Pod\napiVersion: v1\n{lines}\n")
    with pytest.raises(DumpError, match=r"dump\.yaml: not read: its aliases"):
        read_dump(tmp_path / "dump.yaml")


def test_a_few_aliases_are_as_if_written_out(tmp_path: Path) -> None:
    text = yaml.safe_dump(pod("a")).replace("metadata:\n", "metadata:\n  labels: &it {app: web}\n", 1)
    (tmp_path / "dump.yaml").write_text(text.replace("spec:\n", "spec:\n  nodeSelector: *it\n", 1))
    item = next(iter(known(read_dump(tmp_path / "dump.yaml")).pods.values()))
    assert dict(item.metadata.labels) == dict(item.spec.node_selector) == {"app": "web"}


def test_yaml_values_stay_text(tmp_path: Path) -> None:
    text = "kind: Pod\nmetadata: {name: a, creationTimestamp: 2026-11-23T02:41:07Z, labels: {since: 2026-11-23}}\n"
    (tmp_path / "dump.yaml").write_text(text)
    item = known(read_dump(tmp_path / "dump.yaml")).pods["", "a"]
    assert item.metadata.labels == {"since": "2026-11-23"}
    assert item.metadata.creation_timestamp == NOW


def test_text_from_a_dump_is_harmless(tmp_path: Path) -> None:
    for suffix, text in (
        ("json", json.dumps(event("Pod/a", "X", "\x1b[2J"))),
        ("yaml", yaml.safe_dump(event("Pod/a", "X", "\x1b[2J"))),
    ):
        (tmp_path / f"dump.{suffix}").write_text(text)
        (found,) = known(read_dump(tmp_path / f"dump.{suffix}")).events.values()
        assert found.message == "␛[2J"


def test_server_version_is_taken(tmp_path: Path) -> None:
    (tmp_path / "version.json").write_text(
        '{"clientVersion":{"gitVersion":"v1.30.0"},"serverVersion":{"gitVersion":"v1.36.2"}}'
    )
    dump = read_dump(tmp_path)
    assert ServerVersion("v1.36.2") in [reading.value for reading in dump.readings]


def test_a_folder_as_cluster_info_dump_writes_it(tmp_path: Path) -> None:
    (tmp_path / "shop" / "web-1").mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "pods.json").write_text(json.dumps(pod("hidden")))
    (tmp_path / "nodes.json").write_text(json.dumps({"kind": "NodeList", "apiVersion": "v1", "items": [node()]}))
    (tmp_path / "shop" / "pods.json").write_text(json.dumps(as_list(pod("web-1"))))
    (tmp_path / "shop" / "web-1" / "logs.txt").write_text("==== START logs ====")
    (tmp_path / "shop" / "events.yaml").write_text("kind: [")
    dump = read_dump(tmp_path)
    assert set(known(dump).pods) == {("shop", "web-1")}
    assert len(known(dump).nodes) == 1
    other, skipped = dump.notes
    assert other == "1 other file (not .json or .yaml) was not read"
    assert "events.yaml" in skipped


def test_the_same_object_twice_counts_once(tmp_path: Path) -> None:
    (tmp_path / "dump.json").write_text(json.dumps(as_list(pod("a"), pod("a", phase="Failed"))))
    (listed,) = [r.value for r in read_dump(tmp_path / "dump.json").readings if r.source == "kubernetes/pods"]
    assert isinstance(listed, Listed)
    assert len(listed.objects) == 1


KUBECTL: dict[str, Callable[[], str]] = {
    "list": lambda: yaml.safe_dump(as_list(*OBJECTS)),
    "typed list": lambda: yaml.safe_dump({**as_list(*map(without_kind, OBJECTS[:2])), "kind": "PodList"}),
    "kind first": lambda: yaml.safe_dump({"kind": "List", "items": list(OBJECTS)}, sort_keys=False),
    "documents": lambda: yaml.safe_dump_all(OBJECTS),
    "lists": lambda: yaml.safe_dump_all([as_list(*OBJECTS[:2]), as_list(OBJECTS[2])]),
}


@pytest.mark.parametrize("form", KUBECTL)
def test_yaml_that_is_cut_off_is_no_dump_wherever_it_is_cut_in_a_line(tmp_path: Path, form: str) -> None:
    text, file = KUBECTL[form](), tmp_path / "dump.yaml"
    for end in range(1, len(text) - 1, 3):
        cut = text[:end]
        is_whole = cut.rfind("\nkind: ") > cut.rfind("items:")  # the end of a list alone is missing
        if cut.endswith("\n") or (is_whole and "list" in form):
            continue
        file.write_text(cut)
        with pytest.raises(DumpError, match=r"dump\.yaml"):
            read_dump(file)
    file.write_text(text)
    assert len(known(read_dump(file)).pods) == 2


@pytest.mark.parametrize("form", ["list", "typed list", "lists"])
def test_a_yaml_list_that_is_cut_off_between_two_lines_is_no_dump(tmp_path: Path, form: str) -> None:
    text, file = KUBECTL[form](), tmp_path / "dump.yaml"
    lines = text.splitlines(keepends=True)
    last_kind = max(number for number, line in enumerate(lines) if line.startswith("kind: "))
    first = max([number for number, line in enumerate(lines) if line.startswith("items:")])
    for number in range(first + 1, last_kind + 1):
        file.write_text("".join(lines[:number]))
        with pytest.raises(DumpError, match=r"dump\.yaml"):
            read_dump(file)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "pods.yaml",
            yaml.safe_dump(as_list(pod("a"), pod("b", owner="ReplicaSet/web"), pod("c"))).partition("kind: L")[0],
        ),
        ("pods.yaml", yaml.safe_dump(pod("b", owner="ReplicaSet/web"))[:-3]),
        ("pods.yaml", yaml.safe_dump(as_list(pod("a"), pod("b", owner="ReplicaSet/web")))[:-90] + "\n  x: ["),
        ("pods.json", json.dumps(as_list(pod("a"), pod("b", owner="ReplicaSet/web")))[:-40]),
        ("pods.json", json.dumps([pod("a"), pod("b", owner="ReplicaSet/web")], indent=2)[:-40]),
        ("pods.json", json.dumps({"kind": "PodList", "items": [without_kind(pod("a"))]})[:-40]),
    ],
)
@pytest.mark.parametrize("others", [True, False])
def test_the_kinds_of_a_broken_file_are_not_judged_as_if_they_were_complete(
    tmp_path: Path, name: str, text: str, others: bool
) -> None:
    (tmp_path / name).write_text(text)
    (tmp_path / "nodes.json").write_text(json.dumps(as_list(node(), *([pod("web-1")] if others else []))))
    (tmp_path / "sets.json").write_text(json.dumps({"kind": "ReplicaSetList", "apiVersion": "apps/v1", "items": []}))
    dump = read_dump(tmp_path)
    source = known(dump).source("pods")
    if others:
        assert (source.state, source.skipped) == (SourceState.LIVE, 1)
    else:
        assert source.state is SourceState.ABSENT
        assert source.error.startswith("not in the dump") and name in source.error
    assert known(dump).source("nodes").skipped == known(dump).source("replicasets").skipped == 0
    assert any(note.startswith(f"skipped {tmp_path / name}") for note in dump.notes)
    assert f"not known as a whole, as {tmp_path / name} held some: pods" in dump.notes


BROKEN: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty"),
    "blank": (b" \n\n", "the file is empty"),
    "cut": (json.dumps(as_list(*OBJECTS), indent=2).encode()[:-200], "line "),
    "cut array": (json.dumps(OBJECTS).encode()[:-20], "broken or cut off JSON"),
    "binary": (b"\x1f\x8b\x08\x00\x00\x00\x00\x00", "binary file"),
    "png": (b"\x89PNG\r\n\x1a\n\x00\x00", "binary file"),
    "latin 1": ('{"kind":"Pod","metadata":{"name":"a","labels":{"x":"ü"}}'.encode("latin-1"), "not UTF-8"),
    "prose": (b"error: the server doesn't have a resource type", "objects without kind ×1"),
    "table": (b"NAME    READY   STATUS\nweb-1   1/1     Running\n", "not a dump"),
    "broken yaml": (b"kind: Pod\nmetadata:\n  name: [a\n", "line "),
    "only unknown kinds": (b'{"kind":"ConfigMap","metadata":{"name":"a"}}', "ConfigMap ×1"),
    "number": (b"42", "not a dump"),
    "too deep": (b"[" * 100_000, "JSON"),
    "deep object": (b'{"a":' * 100_000, "JSON"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_no_dump_names_the_file(tmp_path: Path, case: str) -> None:
    data, said = BROKEN[case]
    file = tmp_path / "dump.json"
    file.write_bytes(data)
    with pytest.raises(DumpError) as raised:
        read_dump(file)
    assert str(file) in str(raised.value)
    assert said in str(raised.value)


def test_missing_file_and_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.json: cannot read it: No such file"):
        read_dump(tmp_path / "nowhere.json")
    with pytest.raises(DumpError, match=r"no \.json or \.yaml files"):
        read_dump(tmp_path)


def test_a_folder_of_only_broken_files_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(DumpError, match=r"a\.json, line 1"):
        read_dump(tmp_path)
