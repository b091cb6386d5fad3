"""Images that cannot be pulled: what the text says, look-alikes, and what is over by now (L1-07 to L1-10)."""

import pytest

from situation.findings import Layer, Mark, Severity
from situation.meta import Ref
from tests.build import Manifest, causes, event, node, pod
from tests.diagnosis.healthy import HEALTHY
from tests.diagnosis.pod_faults import OWNED, fault, first_command, rule_of, status, text_of, waiting, with_status

FAILED = 'Failed to pull image "shop/web:1": rpc error: code = '
NOT_FOUND = "NotFound desc = failed to resolve reference: docker.io/shop/web:1: not found"
TOKEN = "Unknown desc = failed to authorize: failed to fetch anonymous token: 403 Forbidden"
MIRROR = "Unknown desc = unexpected status from HEAD request to https://mirror.example.com/v2/web: 403 Forbidden"
NO_HOST = 'Unknown desc = failed to do request: Head "https://reg.example.com/v2/": dial tcp: lookup: no such host'
NO_WAY = 'Unknown desc = failed to do request: Head "https://reg.example.com/v2/": dial tcp: i/o timeout'
TOKEN_URL = "https://auth.example.com/token?scope=repository%3Aweb%3Apull&service=example.com"
NO_TOKEN = f"failed to authorize: failed to fetch anonymous token: unexpected status from GET request to {TOKEN_URL}"
NO_ANSWER = f'failed to authorize: failed to fetch anonymous token: Get "{TOKEN_URL}": dial tcp'
TOO_MANY = "429 Too Many Requests"
FULL = (
    "write /var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/812/fs/usr/libcudnn.so.9: no space left on device"
)
NO_SECRET = "Unable to retrieve some image pull secrets (reg); attempting to pull the image may not succeed."


def pulling(said: str = "", **more: Manifest) -> Manifest:
    back_off = 'Back-off pulling image "shop/web:1"'
    text = f"{back_off}: ErrImagePull: rpc error: code = {said}" if said else back_off
    return with_status(status(waiting("ImagePullBackOff", text)), phase="Pending", **more)


@pytest.mark.parametrize(
    ("said", "title"),
    [
        (NOT_FOUND, "web cannot pull shop/web:1: no such image or tag"),
        (TOKEN, "web cannot pull shop/web:1: the registry refuses access"),
        (MIRROR, "web cannot pull shop/web:1: the registry refuses access"),
        (NO_HOST, "web cannot pull shop/web:1: the registry's name does not resolve"),
        (NO_WAY, "web cannot pull shop/web:1: the registry does not answer"),
        (f"Unknown desc = {NO_TOKEN}: {TOO_MANY}", f"web cannot pull shop/web:1: {TOO_MANY}"),
        (f"Unknown desc = {NO_TOKEN}: 503 Busy", "web cannot pull shop/web:1: 503 Busy"),
        (f"Unknown desc = {NO_ANSWER}: i/o timeout", "web cannot pull shop/web:1: the registry does not answer"),
        (
            f"Unknown desc = {NO_ANSWER}: no such host",
            "web cannot pull shop/web:1: the registry's name does not resolve",
        ),
        (
            f"Unknown desc = failed to extract layer: {FULL}: unknown",
            "web cannot pull shop/web:1: no space left on device",
        ),
        (
            "Unknown desc = tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "web cannot pull shop/web:1: x509: certificate signed by unknown authority",
        ),
        (
            "NotFound desc = failed to pull and unpack image: no match for platform in manifest: not found",
            "web cannot pull shop/web:1: it is not built for the node's platform",
        ),
        ("Unknown desc = short read", "web cannot pull shop/web:1: short read"),
    ],
    ids=[
        "L1-07",
        "L1-08",
        "a mirror turns not found into forbidden",
        "L1-09",
        "L1-09 no way",
        "token limit",
        "token server ill",
        "token server not reached",
        "token server without a name",
        "disk full",
        "certificate",
        "another platform",
        "anything else",
    ],
)
@pytest.mark.parametrize("in_event", [False, True], ids=["in the status", "in the event alone"])
def test_the_text_says_why(said: str, title: str, in_event: bool) -> None:
    """Older kubelets write the reason into the event only, and no more than back-off into the status."""
    told = [event("Pod/web-1", "Failed", FAILED + said)] if in_event else []
    found = fault(pulling("" if in_event else said), node(), *told)
    assert found is not None
    assert (found.rule, found.title) == ("image-pull", title)
    assert (found.subject, found.layer) == (Ref("Deployment", "shop", "web"), Layer.APPLICATION)
    assert found.severity is Severity.CRITICAL


def test_what_is_not_said_is_not_guessed() -> None:
    found = fault(pulling(), node())
    assert found is not None
    assert found.title == "web cannot pull shop/web:1"


def test_the_end_of_a_long_message_is_shown() -> None:
    """Containerd wraps the reason in all that it was about to do."""
    digest = "sha256:" + 64 * "a"
    url = f"https://registry-1.docker.io/v2/library/nginx/manifests/{digest}"
    wrapped = f"Unknown desc = failed to copy: {3 * (url + ': ')}{TOO_MANY} - Server message: toomanyrequests"
    found = fault(pulling(wrapped), node(), event("Pod/web-1", "Failed", FAILED + wrapped))
    assert found is not None
    assert found.title == "web cannot pull shop/web:1: 429 Too Many Requests - Server message: toomany…"
    assert [line.text.endswith("toomanyrequests") for line in found.evidence] == [True, True]
    assert found.evidence[0].text.startswith("container app: ImagePullBackOff: Back-off pulling image")


def test_first_commands() -> None:
    def first(said: str, **more: Manifest) -> str:
        found = fault(pulling(said, **more))
        assert found is not None
        return first_command(found)

    assert first(NOT_FOUND) == "kubectl -n shop get pod web-1 -o 'jsonpath={.spec.containers[*].image}'"
    assert first(TOKEN) == "kubectl -n shop get serviceaccount default -o yaml"
    assert first(TOKEN, spec={"imagePullSecrets": [{"name": "reg"}]}) == "kubectl -n shop get secret reg"
    assert first(NO_HOST) == "kubectl -n shop describe pod web-1"
    assert first("Unknown desc = short read") == "kubectl -n shop describe pod web-1"


def test_a_pull_secret_that_is_missing_is_told_from_one_that_is_wrong() -> None:
    gone = fault(pulling(TOKEN), event("Pod/web-1", "FailedToRetrieveImagePullSecret", NO_SECRET))
    wrong = fault(pulling(TOKEN))
    assert gone and wrong
    assert "an image pull secret that the pod names does not exist" in text_of(gone)
    assert wrong.evidence[-1].mark is Mark.OPEN


@pytest.mark.parametrize(
    ("reason", "title"),
    [
        ("ErrImageNeverPull", "web may not pull shop/web:1 (imagePullPolicy Never) and the node does not have it"),
        ("InvalidImageName", "web has an invalid image name: shop/web:1"),
    ],
)
def test_where_no_pull_was_tried(reason: str, title: str) -> None:
    found = fault(with_status(status(waiting(reason, "no")), phase="Pending"))
    assert found is not None
    assert (found.rule, found.title) == ("image-never-pulled", title)
    assert first_command(found).startswith("kubectl -n shop get pod web-1 -o ")


def test_an_init_container_pulls_too() -> None:
    init = {"name": "init", "ready": False, "state": waiting("ErrImagePull", NOT_FOUND)}
    spec = {"initContainers": [{"name": "init", "image": "shop/migrate:7"}]}
    found = fault(pod(**OWNED, phase="Pending", ready=False, spec=spec, status={"initContainerStatuses": [init]}))
    assert found is not None
    assert found.title == "web cannot pull shop/migrate:7: no such image or tag"
    assert first_command(found) == "kubectl -n shop get pod web-1 -o 'jsonpath={.spec.initContainers[*].image}'"
    init["state"] = waiting("ErrImageNeverPull", "no")
    found = fault(pod(**OWNED, phase="Pending", ready=False, spec=spec, status={"initContainerStatuses": [init]}))
    assert found is not None and found.rule == "image-never-pulled"
    path = '{.spec.initContainers[*].image}{" "}{.spec.initContainers[*].imagePullPolicy}'
    assert first_command(found) == f"kubectl -n shop get pod web-1 -o 'jsonpath={path}'"


@pytest.mark.parametrize(
    "manifest",
    [
        pytest.param(pod(**OWNED), id="pulled by now"),
        pytest.param(with_status(status(waiting("ContainerCreating")), phase="Pending", age_s=5), id="first pull"),
    ],
)
def test_recovered_is_silent_whatever_the_events_say(manifest: Manifest) -> None:
    events = [event("Pod/web-1", "Failed", FAILED + NOT_FOUND), event("Pod/web-1", "BackOff", "Back-off pulling image")]
    assert rule_of(manifest, node(), *events) == "clear"


# One wrong name, or nodes without DNS or a way out


def lost(name: str, image: str, said: str = NO_HOST, on: str = "node-1") -> Manifest:
    state = {"state": waiting("ErrImagePull", f"rpc error: code = {said}"), "ready": False}
    return pod(
        f"{name}-1", owner=f"StatefulSet/{name}", node=on, phase="Pending", ready=False,
        container={"image": image}, container_status=state,
    )  # fmt: skip


def test_several_registries_at_once_are_one_cause_of_the_network() -> None:
    found = causes(
        *HEALTHY,
        lost("a", "reg.example.com/a:1"),
        lost("b", "quay.io/team/b:1", NO_WAY, "node-2"),
        lost("c", "reg.example.com/c:1"),
    )
    [finding] = found.values()
    assert (finding.rule, finding.layer, finding.count) == ("image-pull", Layer.NETWORK, 3)
    assert finding.title == "a, b and 1 more cannot pull: 2 registries are not reached from 2 nodes"
    assert "not reached: quay.io, reg.example.com" in text_of(finding)
    assert first_command(finding) == "kubectl get events -A --field-selector reason=Failed"
    assert (finding.next[1].argv, finding.next[1].where) == (("getent", "hosts", "reg.example.com"), "node node-1")


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(lost("b", "reg.example.com/b:1", on="node-2"), id="one registry, two images and nodes"),
        pytest.param(lost("b", "quay.io/team/b:1", NOT_FOUND), id="the other registry answers"),
        pytest.param(pod("b-1", container={"image": "quay.io/team/b:1"}), id="the other image runs"),
    ],
)
def test_a_single_registry_is_a_matter_of_each_application(other: Manifest) -> None:
    subject = lost("a", "reg.example.com/a:1")
    found = fault(subject, other, node(), node("node-2"))
    assert found is not None
    assert (found.layer, found.subject) == (Layer.APPLICATION, Ref("StatefulSet", "shop", "a"))
