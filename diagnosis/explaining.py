"""Ids of control plane rules by what they explain: what follows from them names one of these (`Fired.follows_only`)."""

from typing import Final

from situation.meta import CLUSTER, Ref

CONTROL_PLANE: Final = (CLUSTER, Ref("Etcd", "", "etcd"))
"""Subjects of findings about the control plane as a whole, and about etcd as a whole."""
ETCD_FAULTS: Final = ("etcd-quorum-lost", "etcd-no-leader", "etcd-no-space", "etcd-corrupt")
"""What etcd's own members say when nothing, or nothing but reads, gets through."""
ETCD_DOWN: Final = (*ETCD_FAULTS, "etcd-unavailable")
ETCD_SLOW: Final = (
    "etcd-slow-fsync",
    "etcd-slow-commit",
    "etcd-slow-peers",
    "etcd-elections",
    "etcd-slow-second-hand",
)
CERTIFICATES_OUT: Final = ("certificate-expired", "certificate-not-reloaded")
API_BUSY: Final = ("api-overloaded", "api-saturated")
WEBHOOKS_DOWN: Final = ("validating-webhook-down", "mutating-webhook-down")
