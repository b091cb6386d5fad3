"""The order of the pod table, kept up incrementally: pods that need a look come first."""

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import overload

from situation.meta import ObjectKey
from situation.pods import Pod
from situation.selectors import is_settled

_SortKey = tuple[bool, str, str]


class PodRows(Sequence[ObjectKey]):
    """The order as it was at one moment. Taking it copies ten thousand references, nothing else."""

    def __init__(self, keys: list[_SortKey]) -> None:
        self._sorted = keys

    def __len__(self) -> int:
        return len(self._sorted)

    @overload
    def __getitem__(self, number: int) -> ObjectKey: ...

    @overload
    def __getitem__(self, number: slice) -> list[ObjectKey]: ...

    def __getitem__(self, number: int | slice) -> ObjectKey | list[ObjectKey]:
        if isinstance(number, slice):
            return [(namespace, name) for _, namespace, name in self._sorted[number]]
        return self._sorted[number][1:]

    def position(self, key: ObjectKey) -> int | None:
        """Return the row of a pod by binary search, None if it is not there."""
        for settled in (False, True):
            wanted = (settled, *key)
            row = bisect_left(self._sorted, wanted)
            if row < len(self._sorted) and self._sorted[row] == wanted:
                return row
        return None


class PodOrder:
    """All pods, unsettled ones first, then by namespace and name. A change costs a binary search, not a sort."""

    def __init__(self) -> None:
        self._keys: dict[ObjectKey, _SortKey] = {}
        self._sorted: list[_SortKey] = []

    def __len__(self) -> int:
        return len(self._sorted)

    def __iter__(self) -> Iterator[ObjectKey]:
        return ((namespace, name) for _, namespace, name in self._sorted)

    def rows(self) -> PodRows:
        """Return the present order, unchanged by what comes later."""
        return PodRows(self._sorted.copy())

    @property
    def unsettled(self) -> int:
        """How many pods need a look."""
        return bisect_left(self._sorted, (True, "", ""))

    def unsettled_keys(self) -> list[ObjectKey]:
        """The pods that need a look, by namespace and name."""
        return [(namespace, name) for _, namespace, name in self._sorted[: self.unsettled]]

    def fill(self, pods: Mapping[ObjectKey, Pod], now: datetime) -> None:
        """Begin with these: one sort, not ten thousand searches."""
        self._keys = {key: (is_settled(pod, now), *key) for key, pod in pods.items()}
        self._sorted = sorted(self._keys.values())

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
