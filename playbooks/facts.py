"""What automatic checks may rest on, and what they answer."""

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum

import msgspec

from situation.findings import Diagnosis, Layer
from situation.gpu.links import NodeChain
from situation.meta import Ref
from situation.situation import Situation


class AnswerState(StrEnum):
    FINE = "fine"
    BROKEN = "broken"
    UNKNOWN = "unknown"


class Answer(msgspec.Struct, frozen=True):
    state: AnswerState
    evidence: str
    """What the answer rests on, one line."""


class RuleFacts(msgspec.Struct, frozen=True):
    """What must be known of a rule to tell "it found nothing" from "it could not look"."""

    layer: Layer
    needs: tuple[str, ...] = ()
    """Kinds (`ObjectKind.name`) without which it cannot judge."""
    beyond: bool = False
    """Looks into namespaces beyond that of an application: that it found nothing says nothing while one is read."""


class Facts(msgspec.Struct, frozen=True):
    """What answers may rest on."""

    situation: Situation
    diagnosis: Diagnosis
    unsettled_pods: int
    """Pods that are not plainly fine (`situation.ordering.PodOrder.unsettled`)."""
    now: datetime
    rules: Mapping[str, RuleFacts] = {}
    """All rules by id."""
    layers_beyond: frozenset[Layer] = frozenset()
    """Layers that hang on other namespaces too: nothing found says nothing of them while one alone is read."""
    about: tuple[Ref, ...] = ()
    """What the playbook is worked through for: of two findings of a rule, the one about these is told."""
    chains: Mapping[str, NodeChain] | None = None
    """Chains of GPU nodes by name (`situation.gpu.fleet.Fleet.chains`); None where nobody follows them."""
