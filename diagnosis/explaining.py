"""Ids of control plane rules by what they explain: what follows from them names one of these (`Fired.follows_only`)."""

from typing import Final

ETCD_DOWN: Final = ("etcd-unavailable", "etcd-quorum-lost", "etcd-no-leader", "etcd-nospace", "etcd-corrupt")
"""Nothing, or nothing but reads, gets through."""
ETCD_FAULTS: Final = ("etcd-quorum-lost", "etcd-no-leader", "etcd-nospace", "etcd-corrupt", "etcd-elections")
"""What etcd's own members say; that the API server cannot use etcd follows from it."""
ETCD_SLOW: Final = ("etcd-slow-disk", "etcd-elections", "etcd-slow-second-hand")
CERTIFICATES_OUT: Final = ("certificate-expired", "certificate-not-reloaded")
API_BUSY: Final = ("api-overloaded", "api-saturated")
WEBHOOKS_DOWN: Final = ("validating-webhook-down", "mutating-webhook-down")
