"""Where etcd is looked for: options, kubeadm's files, static pods in the API; and what is said when it is nowhere."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from collectors.errors import ConfigurationError
from collectors.etcd.collect import EtcdOptions
from collectors.etcd.credentials import CredentialsKeeper
from collectors.etcd.discovery import Discovery, Found, Target
from collectors.etcd.manifest import EtcdFlags, parse_api_server, parse_manifest
from collectors.etcd.rounds import EtcdCollector
from collectors.etcd.wishes import EtcdPod, EtcdWishes
from situation.etcd.cluster import etcd_of
from situation.etcd.members import EtcdAccess, ListedMember
from situation.etcd.view import Standing
from situation.readings import SourceState
from tests.build import Manifest, pod, situation
from tests.collectors.etcd_rounds import one_round, rounds, told
from tests.collectors.kubeconfigs import Certificates, needs_openssl

MANIFEST = """
apiVersion: v1
kind: Pod
metadata:
  annotations: {kubeadm.kubernetes.io/etcd.advertise-client-urls: "https://10.0.0.1:2379"}
  labels: {component: etcd, tier: control-plane}
  name: etcd
  namespace: kube-system
spec:
  containers:
  - command:
    - etcd
    - --advertise-client-urls=https://10.0.0.1:2379
    - --cert-file=/etc/kubernetes/pki/etcd/server.crt
    - --client-cert-auth=true
    - --key-file=/etc/kubernetes/pki/etcd/server.key
    - --listen-client-urls=https://127.0.0.1:2379,https://10.0.0.1:2379
    - --listen-metrics-urls=http://127.0.0.1:2381
    - --name=cp-1
    - --trusted-ca-file=/etc/kubernetes/pki/etcd/ca.crt
    image: registry.k8s.io/etcd:3.5.1-0
    name: etcd
  hostNetwork: true
"""
OWN = Target("https://10.0.0.1:2379", "http://127.0.0.1:2381", "cp-1", "cp-1")


def etcd_pod(name: str, host: str, **labels: str) -> Manifest:
    shown = {"component": "etcd", "tier": "control-plane"} | labels
    node = name.removeprefix("etcd-")
    return pod(name, namespace="kube-system", node=node, labels=shown, status={"phase": "Running", "hostIP": host})


PODS = (etcd_pod("etcd-cp-2", "10.0.0.2"), etcd_pod("etcd-cp-1", "10.0.0.1"))


def wishes_of(*pods: Manifest, missing: SourceState | None = None) -> EtcdWishes:
    wishes = EtcdWishes()
    wishes.tell(situation(*pods, missing={"pods": missing} if missing else None))
    return wishes


def find(
    options: EtcdOptions,
    wishes: EtcdWishes | None = None,
    listed: tuple[ListedMember, ...] = (),
    read: Callable[[Path], bytes] = Path.read_bytes,
) -> Found:
    keeper = CredentialsKeeper(lambda: datetime.now(UTC), read)
    return Discovery(options, wishes or wishes_of(), keeper, read).find(listed)


def kubeadm(folder: Path, manifest: str = MANIFEST, *pairs: str) -> EtcdOptions:
    """A control plane node's folder with a manifest and, for each of `pairs`, the same client certificate."""
    (folder / "manifests").mkdir(parents=True)
    (folder / "manifests" / "etcd.yaml").write_text(manifest)
    if pairs:
        made = Certificates(folder)
        cert, key = (Path(path).read_bytes() for path in made.issue("client"))
        (folder / "pki" / "etcd").mkdir(parents=True)
        (folder / "pki" / "etcd" / "ca.crt").write_bytes((folder / "ca.pem").read_bytes())
        for pair in pairs:
            (folder / "pki" / f"{pair}.crt").write_bytes(cert)
            (folder / "pki" / f"{pair}.key").write_bytes(key)
    return EtcdOptions(kubernetes_dir=folder)


def test_flags_of_a_manifest() -> None:
    assert parse_manifest(MANIFEST.encode(), "x") == EtcdFlags(
        "cp-1",
        ("https://10.0.0.1:2379", "https://127.0.0.1:2379"),
        ("http://127.0.0.1:2381",),
        "/etc/kubernetes/pki/etcd/ca.crt",
    )
    other = b"""{spec: {containers: [{name: etcd, command: [etcd], args: [--client-cert-auth, --name, a,
        --listen-client-urls, 'https://0.0.0.0:2379, https://[::]:2379/']}]}}"""
    assert parse_manifest(other, "x") == EtcdFlags("a", ("https://127.0.0.1:2379", "https://[::1]:2379"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not the manifest of a static pod"),
        (b"a: [", "not the manifest of a static pod"),
        (b"\xff\xfe\x00", "not the manifest of a static pod"),
        (b"{spec: {containers: []}}", "not the manifest of a static pod"),
        (b"{spec: {containers: [3]}}", "not the manifest of a static pod"),
        (b"{spec: {containers: [{command: [etcd]}]}}", "says neither --advertise-client-urls nor --listen-client-urls"),
    ],
)
def test_manifests_that_do_not_tell(content: bytes, said: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^/m.yaml: {said}"):
        parse_manifest(content, "/m.yaml")


@needs_openssl
def test_a_control_plane_node_tells_of_its_member_and_the_list_of_the_others(tmp_path: Path) -> None:
    options = kubeadm(tmp_path, MANIFEST, "etcd/server", "etcd/healthcheck-client", "apiserver-etcd-client")
    found = find(options)
    pki = tmp_path / "pki" / "etcd"
    assert found.targets == (OWN,)
    assert found.access == EtcdAccess(
        str(pki / "ca.crt"),
        str(pki / "healthcheck-client.crt"),
        str(pki / "healthcheck-client.key"),
        found_by=str(tmp_path / "manifests" / "etcd.yaml"),
    )
    assert found.credentials is not None and (found.state, found.error) == (SourceState.LIVE, "")
    listed = (
        ListedMember(1, "cp-1", client_urls=("https://10.0.0.1:2379",)),
        ListedMember(2, "cp-2", client_urls=("https://10.0.0.2:2379/",)),
        ListedMember(3, "", peer_urls=("https://10.0.0.3:2380",)),
    )
    assert find(options, listed=listed).targets == (OWN, Target("https://10.0.0.2:2379", "", "cp-2", "cp-2"))


@needs_openssl
def test_an_etcd_elsewhere_is_known_from_the_api_servers_manifest(tmp_path: Path) -> None:
    options = kubeadm(tmp_path, MANIFEST, "etcd/external")
    (tmp_path / "manifests" / "etcd.yaml").unlink()
    api_server = tmp_path / "manifests" / "kube-apiserver.yaml"
    command = "{spec: {containers: [{command: [kube-apiserver, %s]}]}}"
    pki = "/etc/kubernetes/pki/etcd"
    files = f"--etcd-cafile={pki}/ca.crt, --etcd-certfile={pki}/external.crt, --etcd-keyfile={pki}/external.key"
    api_server.write_text(command % f"'--etcd-servers=https://10.1.0.1:2379,https://10.1.0.2:2379', {files}")
    found = find(options)
    assert found.targets == (Target("https://10.1.0.1:2379"), Target("https://10.1.0.2:2379"))
    here = tmp_path / "pki" / "etcd"
    assert found.access == EtcdAccess(
        str(here / "ca.crt"), str(here / "external.crt"), str(here / "external.key"), found_by=str(api_server)
    )
    assert found.credentials is not None
    api_server.write_text(command % f"--etcd-servers=https://127.0.0.1:2379, {files}")
    assert find(options).targets == (), "its own manifest is away: the pod is being restarted"


@needs_openssl
def test_other_certificates_are_taken_where_the_first_is_missing(tmp_path: Path) -> None:
    access = find(kubeadm(tmp_path, MANIFEST, "apiserver-etcd-client", "etcd/server")).access
    assert access is not None and access.cert == str(tmp_path / "pki" / "apiserver-etcd-client.crt")


@needs_openssl
def test_what_may_not_be_read_is_named_and_the_rest_is_used(tmp_path: Path) -> None:
    options = kubeadm(tmp_path, MANIFEST, "etcd/healthcheck-client")

    def keys_forbidden(path: Path) -> bytes:
        if path.suffix == ".key":
            raise PermissionError(13, "Permission denied")
        return path.read_bytes()

    def all_forbidden(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    found = find(options, read=keys_forbidden)
    assert found.targets == (OWN,), "its metrics are served in plain HTTP"
    key = tmp_path / "pki" / "etcd" / "healthcheck-client.key"
    assert found.state is SourceState.FORBIDDEN
    assert found.error.startswith(f"{key} (--etcd-key): permission denied; run Midwatch as root")
    found = find(options, read=all_forbidden)
    assert (found.targets, found.state) == ((), SourceState.FORBIDDEN)
    assert f"{tmp_path / 'manifests' / 'etcd.yaml'}: permission denied; run Midwatch as root" in found.error


def test_a_manifest_that_is_none_is_named(tmp_path: Path) -> None:
    found = find(kubeadm(tmp_path, "kind: Pod"))
    assert found.targets == () and found.state is SourceState.UNREACHABLE
    assert f"{tmp_path / 'manifests' / 'etcd.yaml'}: not the manifest of a static pod of etcd" in found.error
    (tmp_path / "other" / "manifests" / "etcd.yaml").mkdir(parents=True)
    assert "cannot be read: Is a directory" in find(EtcdOptions(kubernetes_dir=tmp_path / "other")).error


@needs_openssl
def test_pods_in_the_api_need_certificates(tmp_path: Path) -> None:
    wishes = wishes_of(*PODS, etcd_pod("etcd-x", "10.0.0.9", tier="app"), etcd_pod("etcd-y", ""))
    assert wishes.pods == (EtcdPod("etcd-cp-1", "cp-1", "10.0.0.1"), EtcdPod("etcd-cp-2", "cp-2", "10.0.0.2"))
    found = find(EtcdOptions(kubernetes_dir=tmp_path), wishes)
    assert (found.targets, found.state) == ((), SourceState.ABSENT)
    assert found.error == (
        "etcd runs in 2 pods in kube-system, but a client certificate is needed to ask it: --etcd-cacert, --etcd-cert "
        "and --etcd-key name it"
    )
    assert found.access == EtcdAccess(
        "/etc/kubernetes/pki/etcd/ca.crt",
        "/etc/kubernetes/pki/etcd/healthcheck-client.crt",
        "/etc/kubernetes/pki/etcd/healthcheck-client.key",
        "cp-1",
        "pods in kube-system",
    )
    Certificates(tmp_path).issue("client")
    cacert, cert, key = (str(tmp_path / name) for name in ("ca.pem", "client.pem", "client.key"))
    found = find(EtcdOptions((), cacert, cert, key, kubernetes_dir=tmp_path), wishes)
    assert found.targets == (
        Target("https://10.0.0.1:2379", "", "etcd-cp-1", "cp-1"),
        Target("https://10.0.0.2:2379", "", "etcd-cp-2", "cp-2"),
    )
    assert found.access is not None and (found.access.on_node, found.access.found_by) == ("", "pods in kube-system")


def test_an_address_of_ipv6_stands_in_brackets(tmp_path: Path) -> None:
    options = kubeadm(tmp_path, MANIFEST, "etcd/server")
    (tmp_path / "manifests" / "etcd.yaml").unlink()
    found = find(options, wishes_of(etcd_pod("etcd-cp-1", "fd00::1")))
    assert [target.endpoint for target in found.targets] == ["https://[fd00::1]:2379"]


def test_given_endpoints_come_first_and_pods_tell_whose_they_are(tmp_path: Path) -> None:
    options = EtcdOptions(("https://10.0.0.2:2379", "http://other:1"), kubernetes_dir=tmp_path)
    assert find(options, wishes_of(*PODS)).targets == (
        Target("https://10.0.0.2:2379", "", "etcd-cp-2", "cp-2"),
        Target("http://other:1"),
    )


async def test_who_says_how_etcd_is_reached_wants_it_to_be_found(tmp_path: Path) -> None:
    options = EtcdOptions(metrics_urls=("http://10.0.0.1:2381",), kubernetes_dir=tmp_path)
    (reading,) = await one_round(options, wishes_of())
    assert reading.state is SourceState.UNREACHABLE and reading.error.startswith("etcd was not found")


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (None, "no pod with the labels component=etcd and tier=control-plane is to be seen in kube-system"),
        (SourceState.FORBIDDEN, "pods in kube-system cannot be looked at"),
    ],
)
async def test_with_nothing_found_it_is_said_where_it_was_looked_for(
    missing: SourceState | None, said: str, tmp_path: Path
) -> None:
    (reading,) = await one_round(EtcdOptions(kubernetes_dir=tmp_path), wishes_of(missing=missing))
    assert (reading.source, reading.state, reading.value) == ("etcd/access", SourceState.ABSENT, None)
    assert reading.error == (
        f"etcd was not found: --etcd-endpoints is not given; {tmp_path}/manifests/etcd.yaml is not on this host; "
        f"{said}. If it can be reached from here, say where with --etcd-endpoints, --etcd-cacert, --etcd-cert and "
        "--etcd-key; a managed control plane does not show its etcd"
    )


def test_nothing_is_told_before_pods_have_spoken() -> None:
    wishes = wishes_of(missing=SourceState.STARTING)
    assert wishes.pods == () and not wishes.knows_pods


async def _turn(collector: EtcdCollector) -> dict[str, tuple[SourceState, str]]:
    return {reading.source: (reading.state, reading.error) async for reading in collector.collect()}


@needs_openssl
async def test_members_come_with_new_pods_go_with_them_and_stay_when_all_are_gone(tmp_path: Path) -> None:
    options = kubeadm(tmp_path, MANIFEST, "etcd/server")
    (tmp_path / "manifests" / "etcd.yaml").unlink()
    one, two = etcd_pod("etcd-a", "127.0.0.1"), etcd_pod("etcd-b", "127.0.0.2")
    wishes = wishes_of(one, two)
    async with rounds(options, wishes) as collector:
        assert set(await _turn(collector)) == {"etcd/access", "etcd/127.0.0.1:2379", "etcd/127.0.0.2:2379"}
        assert "etcd/access" not in await _turn(collector), "it is looked for again when something changed, or later"
        wishes.tell(situation(one))
        changed = await _turn(collector)
        assert changed["etcd/127.0.0.2:2379"] == (SourceState.ABSENT, "no member of etcd (any more)")
        assert changed["etcd/127.0.0.1:2379"][0] is SourceState.UNREACHABLE
        wishes.tell(situation())
        kept = await _turn(collector)
        assert kept["etcd/access"][0] is SourceState.LIVE
        assert kept["etcd/access"][1].startswith("the members known before are asked on; meanwhile etcd was not found")
        assert "etcd/127.0.0.1:2379" in kept


@pytest.mark.parametrize("bad", ["https://[::1", "unix:///run/etcd.sock", "https://10.0.0.1:99999", "https://"])
def test_urls_that_nobody_can_ask_are_left_out_of_a_manifest(bad: str) -> None:
    content = MANIFEST.replace("urls=https://127.0.0.1:2379,", f"urls={bad},").encode()
    assert parse_manifest(content, "etcd.yaml").client_urls == ("https://10.0.0.1:2379",)
    servers = f"spec: {{containers: [{{name: kube-apiserver, command: [kube-apiserver, '--etcd-servers={bad}']}}]}}"
    assert parse_api_server(servers.encode(), "kube-apiserver.yaml").servers == ()


async def test_members_are_not_asked_with_certificates_that_cannot_be_used(tmp_path: Path) -> None:
    """Then nothing is known of them: they are neither alive nor silent."""
    (tmp_path / "pki" / "etcd").mkdir(parents=True)
    (tmp_path / "manifests").mkdir()
    manifest = MANIFEST.replace("    - --listen-metrics-urls=http://127.0.0.1:2381\n", "")
    (tmp_path / "manifests" / "etcd.yaml").write_text(manifest)
    (tmp_path / "pki" / "etcd" / "healthcheck-client.crt").write_text("half written")
    access, reading = await one_round(EtcdOptions(kubernetes_dir=tmp_path))
    assert access.error
    known = situation()
    known.apply(reading)
    assert not told(reading).is_asked and reading.error
    (member,) = etcd_of(known, reading.observed_at).members
    assert (member.standing, member.error) == (Standing.UNHEARD, reading.error)
