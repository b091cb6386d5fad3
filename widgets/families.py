"""Many causes of one kind take few lines: one shared dependency that dies must not push a dead node off the screen."""

from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import msgspec

from situation.findings import Finding, Severity

SHOWN: Final = 3
"""Causes of a family that are always listed."""
_NAMES: Final = 8
"""Names told of the rest."""


class FamilyKey(NamedTuple):
    """Names a family: all causes of one rule and one severity."""

    rule: str
    severity: Severity


class Family(msgspec.Struct, frozen=True):
    """Those causes of a family that one line stands for: at least two."""

    key: FamilyKey
    rest: tuple[Finding, ...]

    @property
    def text(self) -> str:
        """`57 more crash-loop: cart, checkout, …`."""
        names = list(dict.fromkeys(cause.subject.name or "the cluster" for cause in self.rest))
        more = ", …" if len(names) > _NAMES else ""
        return f"{len(self.rest)} more {self.key.rule}: {', '.join(names[:_NAMES])}{more}"

    @property
    def count(self) -> int:
        """How many objects show one of them."""
        return sum(cause.count for cause in self.rest)

    @property
    def explains(self) -> int:
        """How many objects their consequences cover."""
        return sum(cause.explains for cause in self.rest)


class Folded(msgspec.Struct, frozen=True):
    """Ranked causes in the order in which they are listed: first `listed`, then one line for each family."""

    listed: tuple[Finding, ...]
    families: tuple[Family, ...]


def fold_families(causes: Sequence[Finding], kept: Collection[str] = (), opened: Collection[FamilyKey] = ()) -> Folded:
    """Fold what is beyond the third cause of each family.

    Whatever is of another rule comes first, in its rank. A cause stays listed when its key or the key of one of its
    consequences is in `kept`, unless all of its family can be seen anyway (`opened`). A single cause beyond the third
    stays too: a line that stands for it would be no shorter.
    """
    seen: dict[FamilyKey, int] = {}
    rest: dict[FamilyKey, list[Finding]] = {}
    for cause in causes:
        key = FamilyKey(cause.rule, cause.severity)
        seen[key] = seen.get(key, 0) + 1
        if seen[key] > SHOWN and (key in opened or not _is_kept(cause, kept)):
            rest.setdefault(key, []).append(cause)
    families = tuple(Family(key, tuple(folded)) for key, folded in rest.items() if len(folded) > 1)
    away = {id(cause) for family in families for cause in family.rest}
    return Folded(tuple(cause for cause in causes if id(cause) not in away), families)


def _is_kept(cause: Finding, kept: Collection[str]) -> bool:
    return bool(kept) and any(finding.key in kept for finding in (cause, *cause.consequences))
