"""Indexes over one kind's objects, kept up as objects come, change and go."""

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, Generic, TypeVar

from situation.meta import KubernetesObject, ObjectKey, Ref

K = TypeVar("K", bound=Hashable)
O = TypeVar("O", bound=KubernetesObject)  # noqa: E741 - the usual letter for "object"

_EMPTY: Final[Mapping[Any, Any]] = MappingProxyType({})


class Index(Generic[K, O]):
    """Maps each value of `keys_of(object)` to the objects that have it, in order of arrival."""

    def __init__(self, keys_of: Callable[[O], Collection[K]]) -> None:
        self._keys_of = keys_of
        self._buckets: dict[K, dict[ObjectKey, O]] = {}

    def replace(self, name: ObjectKey, old: O | None, new: O | None) -> None:
        """Take `old` out and put `new` in, both named `name`; either may be None."""
        buckets = self._buckets
        keys = self._keys_of(new) if new is not None else ()
        if old is not None:
            for key in self._keys_of(old):
                if key not in keys and (bucket := buckets.get(key)) is not None:
                    bucket.pop(name, None)
                    if not bucket:
                        del buckets[key]
        if new is not None:
            for key in keys:
                bucket = buckets.get(key)
                if bucket is None:
                    buckets[key] = {name: new}
                else:
                    bucket[name] = new

    def fill(self, objects: Mapping[ObjectKey, O]) -> None:
        """Put many in of which none is there yet: as `replace` does one by one, in a third of the time."""
        buckets, keys_of = self._buckets, self._keys_of
        for name, item in objects.items():
            for key in keys_of(item):
                bucket = buckets.get(key)
                if bucket is None:
                    buckets[key] = {name: item}
                else:
                    bucket[name] = item

    def get(self, key: K) -> Mapping[ObjectKey, O]:
        """Return the objects under `key`, by (namespace, name)."""
        return self._buckets.get(key, _EMPTY)

    def keys(self) -> Iterable[K]:
        return self._buckets.keys()


def controller_ref(item: KubernetesObject) -> Ref | None:
    """Reference of the object that manages this one; cluster-scoped for a Node (static pods)."""
    owner = item.metadata.controller
    if owner is None:
        return None
    return Ref(owner.kind, "" if owner.kind == "Node" else item.namespace, owner.name)
