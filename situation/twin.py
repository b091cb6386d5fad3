"""Copies of what changes, sharing what never does: a moment can be kept while its Situation goes on."""

from array import array
from collections import deque
from collections.abc import Callable
from datetime import date, time, timedelta, tzinfo
from enum import Enum
from types import BuiltinFunctionType, FunctionType, MappingProxyType, MethodType
from typing import Any, Final, TypeVar

import msgspec

from situation.derived import Derived

T = TypeVar("T")

_SHARED: Final = (
    *(type(None), bool, int, float, str, bytes, frozenset, type, Enum, date, time, timedelta, tzinfo),
    *(FunctionType, BuiltinFunctionType, MappingProxyType),
)
"""Never changed once they are there, with all that is in them."""


def twin(value: T) -> T:
    """Return a copy of `value` that shares all frozen objects with it, and nothing that can change.

    What was worked out (`Derived`) is left out. Objects that stand in several places are one object in the copy too.
    Raises TypeError for a bound method: its object would stay the old one.
    """
    return _Twins().of(value)  # type: ignore[no-any-return]


class _Twins:
    def __init__(self) -> None:
        self._made: dict[int, Any] = {}
        self._is_shared: dict[type, bool] = {}

    def of(self, value: Any) -> Any:
        kind = type(value)
        shared = self._is_shared.get(kind)
        if shared is None:
            shared = self._is_shared[kind] = _is_frozen(kind)
        if shared:
            return value
        if kind is tuple:
            return self._tuple(value)
        if (made := self._made.get(id(value))) is not None:
            return made
        return self._copy(value, kind)

    def _tuple(self, value: tuple[Any, ...]) -> tuple[Any, ...]:
        parts = tuple(map(self.of, value))
        return parts if any(new is not old for new, old in zip(parts, value, strict=True)) else value

    def _copy(self, value: Any, kind: type) -> Any:
        if isinstance(value, MethodType):
            raise TypeError(f"{value!r} belongs to an object")
        if isinstance(value, Derived):
            return self._made.setdefault(id(value), Derived())
        if isinstance(value, array):
            return self._made.setdefault(id(value), value[:])
        if isinstance(value, dict | deque | list | set):
            return self._filled(value)
        new: Any = object.__new__(kind)
        self._made[id(value)] = new
        state = value.__getstate__()
        for part in state if isinstance(state, tuple) else (state,):
            for name, held in (part or {}).items():
                object.__setattr__(new, name, self.of(held))
        return new

    def _filled(self, value: Any) -> Any:
        new = self._made[id(value)] = value.copy()  # of the same class, as long, with the same factory
        of: Callable[[Any], Any] = self.of
        if isinstance(new, dict):
            for key, held in new.items():
                if (copied := of(held)) is not held:
                    new[key] = copied
        elif not isinstance(new, set):  # members of sets are hashable: frozen
            for number, held in enumerate(new):
                new[number] = of(held)
        return new


def _is_frozen(kind: type) -> bool:
    if issubclass(kind, msgspec.Struct):
        return bool(kind.__struct_config__.frozen)
    is_named_tuple = issubclass(kind, tuple) and kind is not tuple
    return is_named_tuple or issubclass(kind, _SHARED)
