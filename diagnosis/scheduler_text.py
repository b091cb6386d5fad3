"""What the scheduler says about a pod that it cannot place, taken apart.

Grammar (kube-scheduler, FitError.Error, framework/types.go): `0/N nodes are available:` followed by ` <text>.` of the
plugin that rejected the pod before any node was looked at, or by ` <n reason, n reason>.` with the number of nodes per
reason, followed by what was tried afterwards (preemption).
"""

import re
from functools import lru_cache
from typing import Final

import msgspec

_HEAD: Final = re.compile(r"^(?:\(combined from similar events\): *)?(\d+)/(\d+) nodes are available(?::|\.|$) *")
_END: Final = re.compile(r"\.(?: +|$)")
_NEXT_REASON: Final = re.compile(r", (?=\d+ )")
_REASON: Final = re.compile(r"^(\d+) (.+)$")
_INSUFFICIENT: Final = re.compile(r"^Insufficient (\S+)")
_TAINT_KEY: Final = re.compile(r"taint \{([^:{}]+):")

SELECTOR: Final = re.compile(r"didn't match (?:Pod's )?node (?:affinity|selector)")
NODE_NAME: Final = re.compile(r"didn't match the requested (?:node|host) ?name")
TAINT: Final = re.compile(r"had (?:untolerated )?taints?\b")
CORDON: Final = re.compile(r"were unschedulable")
ANTI_AFFINITY: Final = re.compile(r"anti-affinity")
AFFINITY: Final = re.compile(r"didn't match pod affinity rules")
SPREAD: Final = re.compile(r"topology spread constraints")
HOST_PORT: Final = re.compile(r"didn't have free ports")
POD_COUNT: Final = re.compile(r"^Too many pods")
VOLUME_PLACE: Final = re.compile(
    r"PersistentVolume's node affinity|no available volume zone|volume node affinity conflict"
)
NO_VOLUME: Final = re.compile(r"didn't find available persistent volumes to bind")
NO_STORAGE: Final = re.compile(r"did not have enough free storage")
ONE_POD_VOLUME: Final = re.compile(r"ReadWriteOncePod")
VOLUME_COUNT: Final = re.compile(r"exceed max volume count")
RESOURCE_CLAIM: Final = re.compile(
    r"cannot allocate all claims|device class \S+ does not exist|resource ?claim\b.*\bin use"
    r"|resource claim .*in the process of being allocated|resourceclaim"
)
CLAIM_UNBOUND: Final = re.compile(r"unbound immediate PersistentVolumeClaims")
_CLAIM_TROUBLE: Final = re.compile(
    r'persistentvolumeclaim "(?P<claim>[^"]+)" '
    r'(?:(?P<missing>not found)|bound to non-existent persistentvolume "(?P<volume>[^"]+)"|(?P<going>is being deleted))'
)
_CLAIM_UNMADE: Final = re.compile(
    r'ephemeral volume controller to create the (?P<missing>persistentvolumeclaim) "(?P<claim>[^"]+)"'
)
"""Reasons as of 1.36, with the wordings of older releases where they differ (fault_signatures L2 and 0.4)."""


class NodeReason(msgspec.Struct, frozen=True):
    """Why that many nodes were not fit."""

    nodes: int
    text: str


class SchedulerMessage(msgspec.Struct, frozen=True):
    """A FailedScheduling message in its parts. Text that does not follow the grammar is all `rejected`."""

    total: int | None = None
    """Nodes that were considered; None when the message does not say."""
    reasons: tuple[NodeReason, ...] = ()
    """Counts per reason; a node may have several. Empty when the pod was rejected before any node was looked at."""
    rejected: str = ""
    """Why the pod was rejected for all nodes at once."""
    afterwards: str = ""
    """What was tried then: `preemption: 0/1 nodes are available: ...`."""

    def count(self, pattern: re.Pattern[str]) -> int:
        """Return on how many nodes a reason matches `pattern`; 0 if none does."""
        return sum(reason.nodes for reason in self.reasons if pattern.search(reason.text))

    def mentions(self, pattern: re.Pattern[str]) -> bool:
        """Tell whether a reason, or the rejection of the pod, matches `pattern`."""
        return pattern.search(self.rejected) is not None or any(pattern.search(reason.text) for reason in self.reasons)

    @property
    def insufficient(self) -> dict[str, int]:
        """Resource name to the number of nodes that have too little of it."""
        found: dict[str, int] = {}
        for reason in self.reasons:
            if match := _INSUFFICIENT.match(reason.text):
                found[match[1]] = found.get(match[1], 0) + reason.nodes
        return found

    @property
    def taint_keys(self) -> tuple[str, ...]:
        """Keys of taints that the message names (before 1.36 only)."""
        found = (key for reason in self.reasons for key in _TAINT_KEY.findall(reason.text))
        return tuple(dict.fromkeys(found))

    @property
    def text(self) -> str:
        """The reasons as one text, without what was tried afterwards."""
        return self.rejected or ", ".join(f"{reason.nodes} {reason.text}" for reason in self.reasons)


def claim_trouble(said: SchedulerMessage) -> re.Match[str] | None:
    """Return the `claim` that a pod is rejected for, with the group `missing` filled if it does not exist."""
    return _CLAIM_UNMADE.search(said.text) or _CLAIM_TROUBLE.search(said.text)


@lru_cache(maxsize=1024)
def parse_scheduler_message(message: str) -> SchedulerMessage:
    """Take the message of a FailedScheduling event or of the condition PodScheduled apart. Never raises."""
    head = _HEAD.match(message)
    if head is None:
        return SchedulerMessage(rejected=message.strip())
    body = message[head.end() :]
    end = _END.search(body)
    why, afterwards = (body[: end.start()], body[end.end() :]) if end else (body, "")
    parts = [_REASON.match(part) for part in _NEXT_REASON.split(why)] if why else []
    reasons = tuple(NodeReason(int(part[1]), part[2]) for part in parts if part is not None)
    if len(reasons) < len(parts):
        return SchedulerMessage(int(head[2]), rejected=why.strip(), afterwards=afterwards.strip())
    return SchedulerMessage(int(head[2]), reasons, afterwards=afterwards.strip())
