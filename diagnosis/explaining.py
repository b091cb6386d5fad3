"""Ids of rules by what they explain, for rules that cannot name them. How findings fold is told in `fold`."""

from collections.abc import Mapping
from typing import Final

from situation.meta import Ref

ETCD_NO_LEADER: Final = ("etcd-quorum-lost", "etcd-no-leader")
ETCD_FAULTS: Final = (*ETCD_NO_LEADER, "etcd-no-space", "etcd-corrupt")
"""What etcd's own members say when nothing, or nothing but reads, gets through: no lease or status is written."""
ETCD_DOWN: Final = (*ETCD_FAULTS, "etcd-unavailable")
_SLOW_BY_MEMBERS: Final = ("etcd-slow-fsync", "etcd-slow-commit", "etcd-slow-peers", "etcd-elections")
ETCD_SLOW: Final = (*_SLOW_BY_MEMBERS, "etcd-slow-second-hand")
"""Writes take long, or fail now and then."""
ETCD_LAME: Final = ("etcd-member-down", "etcd-member-apart", *_SLOW_BY_MEMBERS)
"""etcd is slow, or has lost the member that the API server asks, as its members say."""
CERTIFICATES_OUT: Final = ("certificate-expired", "certificate-not-reloaded")
SAYS_FROZEN: Final = frozenset({"writes-stopped"})
"""Rules that read objects to tell that these stand still: that is of now, unlike all else that objects show."""
API_BUSY: Final = ("api-overloaded", "api-saturated")
WEBHOOKS_DOWN: Final = ("validating-webhook-down", "mutating-webhook-down")
NOTHING_MOVES: Final = (
    *ETCD_DOWN,
    "api-certificate",
    "api-unreachable",
    "credentials-refused",
    "api-not-ready",
    "api-overloaded",
    "writes-stopped",
)
"""Nobody's work in the cluster gets done, or none of it is seen here: what waits in a picture that stands still only
seems to wait for long."""
SCHEDULER_DOWN: Final = (*NOTHING_MOVES, "scheduler-down", "scheduler-behind")
"""What explains that a pod is not placed although it fits."""
CONTROLLERS_DOWN: Final = (*NOTHING_MOVES, "controller-manager-down", "deployment-not-observed")
"""What explains that a controller's work is not done: endpoints, quotas' usage, ReplicaSets."""

_PROBED: Final = frozenset({"not-ready", "liveness-kill", "startup-probe-kill"})
"""What a probe says of etcd's own pod is what the members say themselves, only later."""
_BROKEN: Final = frozenset({*_PROBED, "crash-loop"})
"""An API server without etcd fails its probes, and ends when it starts."""


def etcd_explains(rule: str, subject: Ref) -> tuple[str, ...]:
    """Return the etcd rules that explain what a rule found about a static pod of the control plane.

    Rules about pods know nothing of etcd, so they cannot name them.
    """
    if subject.kind != "Pod" or subject.namespace != "kube-system":
        return ()
    if subject.name.startswith("etcd-") and rule in _PROBED:
        return (*ETCD_FAULTS, "etcd-member-down", *_SLOW_BY_MEMBERS)
    if subject.name.startswith("kube-apiserver-") and rule in _BROKEN:
        return ETCD_NO_LEADER
    return ()


_ENGINE_DOWN: Final = ("vllm-engine-dead", "vllm-stalled")
_SHORT_OF_MEMORY: Final = ("vllm-preemption", "vllm-kv-pressure")
_FULL: Final = (*_SHORT_OF_MEMORY, "vllm-saturated")
_SERVING: Final[Mapping[str, tuple[str, ...]]] = {
    "not-ready": _ENGINE_DOWN,
    "liveness-kill": _ENGINE_DOWN,
    "crash-loop": ("vllm-engine-dead",),
    "vllm-crash": ("vllm-engine-dead",),
    "vllm-kv-pressure": ("vllm-preemption",),
    "vllm-saturated": _SHORT_OF_MEMORY,
    "vllm-itl-high": ("vllm-preemption",),
    "vllm-queue-growing": (*_FULL, "vllm-itl-high"),
    "vllm-prefill-behind-decode": _FULL,
    "vllm-rejecting": (*_FULL, "vllm-queue-growing"),
    "vllm-errors": _ENGINE_DOWN,
}
"""Effect to its possible causes at the same model server. Load shows in many figures at once: who throws requests out
of memory has a full cache, and so a queue, and so late first tokens; the first of these is the cause."""


def serving_explains(rule: str) -> tuple[str, ...]:
    """Return the rules about a model server that explain what a rule found about the same one, or about its pod."""
    return _SERVING.get(rule, ())
