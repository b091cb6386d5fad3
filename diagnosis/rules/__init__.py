"""The rules, one file per family. `ALL` lists them in order of precedence: for a pod, the first to fire is its fault.

The order is that of the fault catalogue's precedence: control plane, node, not scheduled, not created, not started,
container, network.
"""

from typing import Final

from diagnosis.rule import Rule
from diagnosis.rules import images

FAMILIES: Final = (images,)
ALL: Final[tuple[Rule, ...]] = tuple(rule for family in FAMILIES for rule in family.RULES)
BY_ID: Final = {rule.id: rule for rule in ALL}
