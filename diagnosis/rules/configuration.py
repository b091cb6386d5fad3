"""Layer 1: the pod refers to configuration that is not there, or not allowed (L1-11 to L1-14)."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Final, NamedTuple

from diagnosis.commands import fact, kubectl, said_by, shorten
from diagnosis.container_facts import describe, field, group_path
from diagnosis.pod_verdict import fired
from diagnosis.rule import CLEAR, Rule, Verdict, rule, wait_until
from diagnosis.rules.images import waiting_statuses
from situation.crashes import in_service
from situation.findings import Command, Evidence, Layer, Severity
from situation.pods import Pod
from situation.situation import Situation
from situation.start_trouble import start_events, waiting_since

CONFIG_ERROR: Final = frozenset({"CreateContainerConfigError"})
"""`state.waiting.reason` when the kubelet cannot put a container's configuration together."""

YOUNG_S: Final = 30.0
"""A pod this young may have been created together with what it refers to; the kubelet tries again at every
sync (10 s)."""

TRANSIENT_S: Final = 120.0
"""Budget for texts that usually pass by themselves: the kubelet's caches are filled within its first syncs."""

_MISSING: Final = re.compile(r'(?:^|[:\s\[])(?P<kind>configmap|secret) "(?P<name>[^"]+)" not found', re.IGNORECASE)
_KEY: Final = re.compile(
    r"couldn't find key (?P<key>\S+) in (?P<kind>ConfigMap|Secret) (?:(?P<namespace>[^/\s]+)/)?(?P<name>[^\s/]+)"
)
_MOUNT_KEY: Final = re.compile(
    r"(?P<kind>configmap )?references non-existent (?P<secret>secret|config) key: (?P<key>\S+)", re.IGNORECASE
)
_VOLUME: Final = re.compile(r'for volume "([^"]+)"')
_RUN_AS: Final = re.compile(r"runAsNonRoot|cannot verify user is non-root")

_KINDS: Final = {"configmap": "ConfigMap", "secret": "Secret"}


class _Missing(NamedTuple):
    kind: str
    """ConfigMap or Secret."""
    name: str
    key: str
    """Empty when the object itself is missing."""
    evidence: tuple[Evidence, ...]


def _texts(pod: Pod) -> Iterator[tuple[str, str]]:
    """Yield container name and text of every container that cannot be configured now."""
    if in_service(pod):
        for status in waiting_statuses(pod, CONFIG_ERROR):
            yield status.name, status.state.waiting.message if status.state.waiting else ""


def _missing_object(pod: Pod, situation: Situation) -> _Missing | None:
    for container, text in _texts(pod):
        if found := _MISSING.search(text):
            line = fact("pods", f"container {container}: CreateContainerConfigError: {shorten(text, 200)}")
            return _Missing(_KINDS[found["kind"].lower()], found["name"], "", (line, *_used_by(pod, found["name"])))
    for event in reversed(start_events(pod, situation)):
        if event.reason == "FailedMount" and (found := _MISSING.search(event.message)):
            kind = _KINDS[found["kind"].lower()]
            return _Missing(kind, found["name"], "", (said_by(event), *_used_by(pod, found["name"])))
    return None


def _missing_key(pod: Pod, situation: Situation) -> _Missing | None:
    for container, text in _texts(pod):
        if found := _KEY.search(text):
            line = fact("pods", f"container {container}: CreateContainerConfigError: {shorten(text, 200)}")
            return _Missing(found["kind"], found["name"], found["key"], (line, *_used_by(pod, found["name"])))
    for event in reversed(start_events(pod, situation)):
        if event.reason == "FailedMount" and (found := _MOUNT_KEY.search(event.message)):
            kind = "ConfigMap" if found["secret"].lower() == "config" else "Secret"
            volume = _VOLUME.search(event.message)
            name = _source_of(pod, volume[1] if volume else "", kind)
            return _Missing(kind, name, found["key"], (said_by(event),))
    return None


def _source_of(pod: Pod, volume: str, kind: str) -> str:
    """Return the ConfigMap or Secret behind a volume, empty when it cannot be told (projected volumes)."""
    for item in pod.spec.volumes:
        if item.name == volume and kind == "ConfigMap" and item.config_map:
            return item.config_map.name
        if item.name == volume and kind == "Secret" and item.secret:
            return item.secret.secret_name
    return ""


def _used_by(pod: Pod, name: str) -> Iterator[Evidence]:
    """Yield where the pod refers to the object: variables, whole environments, volumes."""
    for container in pod.spec.init_containers + pod.spec.containers:
        for env in container.env:
            source = env.value_from
            refs = (source.config_map_key_ref, source.secret_key_ref) if source else ()
            if any(ref and ref.name == name for ref in refs):
                yield fact("pods", f"container {container.name} takes variable {env.name} from it")
                return
        for group in container.env_from:
            if any(ref and ref.name == name for ref in (group.config_map_ref, group.secret_ref)):
                yield fact("pods", f"container {container.name} takes its environment from it")
                return
    for volume in pod.spec.volumes:
        if (volume.config_map and volume.config_map.name == name) or (
            volume.secret and volume.secret.secret_name == name
        ):
            yield fact("pods", f"volume {volume.name} is made of it")
            return


@rule(
    "missing-config",
    signature="L1-11 L1-13",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="state.waiting CreateContainerConfigError with `... not found`; FailedMount events with the same "
    "words while the pod has not started.",
    look_alikes={
        "missing-config-key": "the object is there, a key in it is not",
        "kubelet cannot reach the API": "`failed to sync ... cache: timed out`: passes by itself, nothing is missing",
        "volume-mount": "any other text of FailedMount",
    },
)
def missing_config(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """The pod refers to a ConfigMap or Secret that does not exist."""
    missing = _missing_object(pod, situation)
    if missing is None:
        return CLEAR
    if wait := wait_until(waiting_since(pod), YOUNG_S, now):
        return wait
    get = kubectl("get", missing.kind.lower(), missing.name, purpose="is it really not there?", namespace=pod.namespace)
    others = kubectl("get", "configmap,secret", purpose="is it there under another name?", namespace=pod.namespace)
    title = f"refers to {missing.kind} {missing.name}, which does not exist"
    return fired(pod, situation, now, title, list(missing.evidence), (get, others))


@rule(
    "missing-config-key",
    signature="L1-12 L1-13",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="state.waiting CreateContainerConfigError with `couldn't find key`; FailedMount with `references "
    "non-existent`.",
    look_alikes={"missing-config": "the whole object is missing: `not found`"},
)
def missing_config_key(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """The pod refers to a key that its ConfigMap or Secret does not have."""
    missing = _missing_key(pod, situation)
    if missing is None:
        return CLEAR
    if wait := wait_until(waiting_since(pod), YOUNG_S, now):
        return wait
    return fired(
        pod,
        situation,
        now,
        f"refers to key {missing.key}, which {missing.kind} {missing.name or 'in its volume'} does not have",
        list(missing.evidence),
        (_key_command(missing, pod), describe(pod, "where does the pod refer to it?")),
    )


def _key_command(missing: _Missing, pod: Pod) -> Command:
    """Keys of a ConfigMap with their values; of a Secret without them: nobody wants those on a shared screen."""
    if not missing.name:
        return field(pod, "{.spec.volumes}", "which object is the volume made of?")
    if missing.kind == "Secret":
        return kubectl("describe", "secret", missing.name, purpose="which keys does it have?", namespace=pod.namespace)
    return kubectl(
        "get", "configmap", missing.name, "-o", "jsonpath={.data}",
        purpose="which keys does it have?", namespace=pod.namespace,
    )  # fmt: skip


@rule(
    "run-as-non-root",
    signature="L1-14",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="state.waiting CreateContainerConfigError with `runAsNonRoot` or `cannot verify user is non-root`.",
    look_alikes={"missing-config": "the same reason, but the text says `not found`"},
)
def run_as_non_root(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """The pod must not run as root, but its image does, or does not say as whom."""
    for container, text in _texts(pod):
        if _RUN_AS.search(text) is None:
            continue
        title = "must not run as root (runAsNonRoot), but its image does"
        if "non-numeric" in text:
            title = "must not run as root, but its image names its user by a word, not a number"
        evidence = [fact("pods", f"container {container}: CreateContainerConfigError: {shorten(text, 240)}")]
        path = "{.spec.securityContext}" + group_path(pod, container, "securityContext")
        command = field(pod, path, "which security context?")
        return fired(pod, situation, now, title, evidence, (command,))
    return CLEAR


@rule(
    "config-error",
    signature="L1-11",
    layer=Layer.APPLICATION,
    severity=Severity.CRITICAL,
    kind="Pod",
    needs=("pods",),
    looks_at="state.waiting CreateContainerConfigError with any other text, for two minutes.",
    look_alikes={"missing-config": "the text names what is missing"},
)
def config_error(pod: Pod, situation: Situation, now: datetime) -> Verdict:
    """A container's configuration cannot be put together, for a reason that no other rule knows."""
    for container, text in _texts(pod):
        if wait := wait_until(waiting_since(pod), TRANSIENT_S, now):
            return wait
        evidence = [fact("pods", f"container {container}: CreateContainerConfigError: {shorten(text, 240)}")]
        title = f"cannot be configured: {shorten(text, 50)}" if text else "cannot be configured"
        return fired(pod, situation, now, title, evidence, (describe(pod, "what did the kubelet say?"),))
    return CLEAR


RULES: Final[tuple[Rule, ...]] = (missing_config, missing_config_key, run_as_non_root, config_error)
