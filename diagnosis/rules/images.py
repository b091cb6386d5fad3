"""Layer 1: the image cannot be pulled (L1-07 to L1-10)."""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from diagnosis.commands import counted, fact, kubectl, on_node, said_by, shorten
from diagnosis.container_facts import field, group_path
from diagnosis.node_agents import home_layer
from diagnosis.rule import CLEAR, Fired, Rule, Verdict, rule
from diagnosis.rules.container_start import innermost
from situation.cluster import Event
from situation.findings import Command, Evidence, Layer, Mark, Severity
from situation.meta import Ref
from situation.pods import ContainerStatus, Pod
from situation.situation import Situation
from situation.text import halved

PULL_FAILURES: Final = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError"})
"""`state.waiting.reason` while the kubelet cannot get an image (kubelet images/types.go)."""
NO_PULL_TRIED: Final = frozenset({"ErrImageNeverPull", "InvalidImageName"})

_AUTH_WORDS: Final = (
    "401 unauthorized",
    "403 forbidden",
    "authentication required",
    "no basic auth credentials",
    "insufficient_scope",
    "pull access denied",
)
"""Containerd's "failed to authorize" is not among them: it says only that no token came, perhaps for want of a way."""
_NOT_FOUND_WORDS: Final = ("not found", "manifest unknown", "name unknown", "does not exist")
_PLATFORM_WORDS: Final = ("no match for platform", "no matching manifest for")
_DNS_WORDS: Final = ("no such host", "server misbehaving")
_NETWORK_WORDS: Final = (
    "i/o timeout",
    "connection refused",
    "no route to host",
    "network is unreachable",
    "tls handshake timeout",
    "registry is unavailable",
)


REGISTRIES: Final = Ref("Cluster", "", "registries")
"""Subject where several registries cannot be reached at once: the nodes' DNS or way out, whichever images these are."""
_DEFAULT_REGISTRY: Final = "docker.io"
_LONG_IMAGE: Final = 40
"""Characters of an image's name from which a title shows its last part only."""
_LONG_REASON: Final = 48
"""Characters of the runtime's own words in a title."""
_LONG_MESSAGE: Final = 300
_PREAMBLE: Final = re.compile(r'^(?:Back-off pulling|Failed to pull) image "[^"]*"(?:: *|$)(?:ErrImagePull: *)?')
"""What the kubelet puts before the runtime's words (kubelet images/image_manager.go)."""


def waiting_statuses(pod: Pod, reasons: frozenset[str]) -> tuple[ContainerStatus, ...]:
    """Return the containers (init containers first) that wait for one of `reasons` now."""
    return tuple(
        status
        for status in pod.status.init_container_statuses + pod.status.container_statuses
        if status.state.waiting and status.state.waiting.reason in reasons
    )


def _why(message: str) -> str:
    """Classify the text of a failed pull by a key of `_TITLES`, empty when it does not say."""
    text = message.lower()
    for label, words in (
        ("auth", _AUTH_WORDS),
        ("name", _DNS_WORDS),
        ("network", _NETWORK_WORDS),
        ("platform", _PLATFORM_WORDS),
        ("missing", _NOT_FOUND_WORDS),
    ):
        if any(word in text for word in words):
            return label
    return ""


_UNREACHED: Final = ("name", "network")
_LISTED: Final = 4
"""Registries and nodes named in a line of evidence."""
_TITLES: Final = {
    "auth": "cannot pull {image}: the registry refuses access",
    "name": "cannot pull {image}: the registry's name does not resolve",
    "network": "cannot pull {image}: the registry does not answer",
    "platform": "cannot pull {image}: it is not built for the node's platform",
    "missing": "cannot pull {image}: no such image or tag",
    "": "cannot pull {image}",
}


def _short(image: str) -> str:
    """Return a long image without its registry and path, so that the title has room for the reason."""
    return image if len(image) <= _LONG_IMAGE else f"…/{image.rpartition('/')[2]}"


def _image_of(pod: Pod, status: ContainerStatus) -> str:
    for container in pod.spec.init_containers + pod.spec.containers:
        if container.name == status.name:
            return container.image
    return status.image


@rule(
    "image-pull",
    signature="L1-07 L1-08 L1-09",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="state.waiting of every container (ErrImagePull, ImagePullBackOff), its message, and the pod's events "
    "Failed and FailedToRetrieveImagePullSecret.",
    look_alikes={
        "image-never-pulled": "there no pull was attempted (ErrImageNeverPull, InvalidImageName)",
        "node DNS or egress down": "images of two or more registries fail to be reached at once, which is told as one "
        "cause at layer 3; a single registry is a wrong name, or down itself",
    },
)
def image_pull(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """An image cannot be pulled: wrong name or tag, no access, or the registry cannot be reached."""
    failing = waiting_statuses(pod, PULL_FAILURES)
    if not failing:
        return CLEAR
    status = failing[0]
    waiting = status.state.waiting
    assert waiting is not None  # noqa: S101 - by construction of waiting_statuses
    image = _image_of(pod, status)
    pulls = _pulls(pod, situation)
    secret_missing = situation.events_of(pod, "Pod", "FailedToRetrieveImagePullSecret")
    why = _why_of(status, pulls)
    said = halved(waiting.message.strip(), _LONG_MESSAGE)
    evidence = [fact("pods", f"container {status.name}: {waiting.reason}: {said}")]
    if _short(image) != image and image not in waiting.message:
        evidence.append(fact("pods", f"image {image}"))
    evidence += [said_by(event, limit=_LONG_MESSAGE, both_ends=True) for event in (*pulls[-1:], *secret_missing[-1:])]
    if why == "auth":
        evidence.append(_secret_evidence(bool(secret_missing)))
    if why in _UNREACHED and len(registries := situation.once("registries", lambda: _unreached(situation))) > 1:
        return _many(pod, evidence, registries, situation)
    return Fired(
        situation.workload_of(pod),
        _TITLES[why].format(image=_short(image)) + ("" if why else _own_words(status, pulls)),
        tuple(evidence),
        _pull_commands(pod, status.name, why),
        layer=home_layer(pod),
        node=pod.spec.node_name,
    )


def _pulls(pod: Pod, situation: Situation) -> list[Event]:
    """Return the pod's events about failed pulls, oldest first."""
    events = situation.events_of(pod, "Pod", "Failed")
    return [event for event in events if event.message.startswith("Failed to pull image")]


def _why_of(status: ContainerStatus, pulls: Sequence[Event]) -> str:
    """Return why an image is not there: what the container says, else what its pod's last event says."""
    waiting = status.state.waiting
    return _why(waiting.message if waiting else "") or _why(pulls[-1].message if pulls else "")


def _own_words(status: ContainerStatus, pulls: Sequence[Event]) -> str:
    """Return the innermost part of what the runtime says, to be put after a title; empty when it says nothing.

    The file or address where it went wrong is left to the evidence: a title has no room for it.
    """
    waiting = status.state.waiting
    for message in (waiting.message if waiting else "", pulls[-1].message if pulls else ""):
        if words := innermost(_PREAMBLE.sub("", message)):
            where, _, what = words.rpartition(": ")
            return f": {shorten(what if '/' in where else words, _LONG_REASON)}"
    return ""


def _some(names: Sequence[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def registry_of(image: str) -> str:
    """Return the registry that an image's name stands for (distribution reference, splitDockerDomain)."""
    first, slash, _ = image.partition("/")
    named = slash and ("." in first or ":" in first or first == "localhost")
    return first if named else _DEFAULT_REGISTRY


def _unreached(situation: Situation) -> dict[str, set[str]]:
    """Return the registries that some image cannot be pulled from now for want of a way there, with the nodes."""
    found: dict[str, set[str]] = {}
    for pod in situation.pods.values():
        if pod.status.phase != "Pending":
            continue
        for status in waiting_statuses(pod, PULL_FAILURES):
            if _why_of(status, _pulls(pod, situation)) in _UNREACHED:
                found.setdefault(registry_of(_image_of(pod, status)), set()).add(pod.spec.node_name)
    return found


def _many(pod: Pod, evidence: list[Evidence], registries: dict[str, set[str]], situation: Situation) -> Fired:
    """Several registries at once: one cause for all their pods."""
    nodes = sorted(set().union(*registries.values()))
    names = sorted(registries)
    return Fired(
        REGISTRIES,
        f"cannot pull: {len(names)} registries are not reached from {counted(len(nodes), 'node')}",
        (
            fact("pods", f"not reached: {_some(names)}"),
            fact("pods", f"from {_some(nodes)}"),
            *evidence,
        ),
        (
            kubectl(
                "get", "events", "-A", "--field-selector", "reason=Failed", purpose="which images, on which nodes?"
            ),
            on_node(
                pod.spec.node_name,
                "getent",
                "hosts",
                registry_of(_image_of(pod, waiting_statuses(pod, PULL_FAILURES)[0])),
                purpose="does the node resolve the registry's name?",
            ),
        ),
        layer=Layer.NETWORK,
        node=pod.spec.node_name,
        who=(situation.workload_of(pod).name,),
    )


def _secret_evidence(missing: bool) -> Evidence:
    if missing:
        return fact("pods", "an image pull secret that the pod names does not exist")
    return fact("pods", "no pull secret is reported missing: it is wrong, or not referenced", Mark.OPEN)


def _pull_commands(pod: Pod, container: str, why: str) -> tuple[Command, ...]:
    images = field(pod, group_path(pod, container, "image"), "which image is asked for?")
    describe = kubectl("describe", "pod", pod.name, purpose="what did the pull say?", namespace=pod.namespace)
    if why == "auth":
        if pod.spec.image_pull_secrets:
            secret = pod.spec.image_pull_secrets[0].name
            first = kubectl("get", "secret", secret, purpose="is the pull secret there?", namespace=pod.namespace)
        else:
            account = pod.spec.service_account_name or "default"
            first = kubectl(
                "get", "serviceaccount", account, "-o", "yaml",
                purpose="does the service account bring a pull secret?", namespace=pod.namespace,
            )  # fmt: skip
        return (first, describe)
    if why in ("name", "network"):
        others = kubectl(
            "get", "events", "-A", "--field-selector", "reason=Failed",
            purpose="one image, or many images and nodes?",
        )  # fmt: skip
        return (describe, others)
    if why == "platform":
        platform = kubectl(
            "get", "node", pod.spec.node_name, "-o", "jsonpath={.status.nodeInfo['operatingSystem','architecture']}",
            purpose="which platform has the node?",
        )  # fmt: skip
        return (images, platform, describe)
    return (images, describe) if why else (describe, images)


@rule(
    "image-never-pulled",
    signature="L1-10",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="state.waiting.reason ErrImageNeverPull or InvalidImageName.",
    look_alikes={"image-pull": "there a pull was attempted and failed"},
)
def image_never_pulled(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """An image may not be pulled by its pull policy, or its name is not a valid image name."""
    failing = waiting_statuses(pod, NO_PULL_TRIED)
    if not failing or (waiting := failing[0].state.waiting) is None:
        return CLEAR
    image = _image_of(pod, failing[0])
    title = (
        f"has an invalid image name: {image}"
        if waiting.reason == "InvalidImageName"
        else f"may not pull {image} (imagePullPolicy Never) and the node does not have it"
    )
    return Fired(
        situation.workload_of(pod),
        title,
        (fact("pods", f"container {failing[0].name}: {waiting.reason}: {shorten(waiting.message, 240)}"),),
        (field(pod, _policy_path(pod, failing[0].name), "which image and pull policy?"),),
        layer=home_layer(pod),
        node=pod.spec.node_name,
    )  # fmt: skip


def _policy_path(pod: Pod, container: str) -> str:
    return f'{group_path(pod, container, "image")}{{" "}}{group_path(pod, container, "imagePullPolicy")}'


RULES: Final[tuple[Rule, ...]] = (image_pull, image_never_pulled)
