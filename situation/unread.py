"""Which objects of a source are there and not known, because they could not be decoded or had to be left out."""

from situation.meta import ObjectKey
from situation.readings import Changed, Listed, Source, Value


def unread_after(value: Value | None, before: Source) -> tuple[int, frozenset[ObjectKey]]:
    """Return how many they are once a source has said `value`, and the names of those of which these are known."""
    match value:
        case Listed():
            broken = frozenset(value.broken)
            return value.skipped + len(broken), broken
        case Changed() if value.skipped or value.broken or before.broken:
            replaced = {item.key for item in value.upserts}.union(value.removed)
            broken = (before.broken - replaced).union(value.broken)
            return before.skipped - len(before.broken) + value.skipped + len(broken), broken
    return before.skipped, before.broken
