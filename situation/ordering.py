"""The order of the pod table, kept up incrementally: pods that need a look come first."""

from bisect import bisect_left, insort
from collections.abc import Iterator
from datetime import datetime

from situation.pods import Pod
from situation.readings import ObjectKey
from situation.selectors import is_settled

_SortKey = tuple[bool, str, str]


class PodOrder:
    """All pods, unsettled ones first, then by namespace and name. A change costs a binary search, not a sort."""

    def __init__(self) -> None:
        self._keys: dict[ObjectKey, _SortKey] = {}
        self._sorted: list[_SortKey] = []

    def __len__(self) -> int:
        return len(self._sorted)

    def __iter__(self) -> Iterator[ObjectKey]:
        return ((namespace, name) for _, namespace, name in self._sorted)

    @property
    def unsettled(self) -> int:
        """How many pods need a look."""
        return bisect_left(self._sorted, (True, "", ""))

    def unsettled_keys(self) -> list[ObjectKey]:
        """The pods that need a look, by namespace and name."""
        return [(namespace, name) for _, namespace, name in self._sorted[: self.unsettled]]

    def put(self, pod: Pod, now: datetime) -> bool:
        """Take a new or changed pod in; tell whether its place changed."""
        key: _SortKey = (is_settled(pod, now), pod.namespace, pod.name)
        before = self._keys.get(pod.key)
        if before == key:
            return False
        if before is not None:
            self._take_out(before)
        self._keys[pod.key] = key
        insort(self._sorted, key)
        return True

    def remove(self, key: ObjectKey) -> bool:
        """Take a pod out; tell whether it was there."""
        before = self._keys.pop(key, None)
        if before is None:
            return False
        self._take_out(before)
        return True

    def _take_out(self, key: _SortKey) -> None:
        del self._sorted[bisect_left(self._sorted, key)]
