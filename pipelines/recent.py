"""The last few things that were made, kept in case they are asked for again."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any, Generic, TypeVar

Value = TypeVar("Value")


class Recent(Generic[Value]):
    """Keeps the `capacity` values that were asked for last; safe between threads, empty in another process.

    >>> squares = Recent(2)
    >>> [squares.get(number, lambda: number * number) for number in (2, 3, 2)]
    [4, 9, 4]
    """

    def __init__(self, capacity: int):
        self._capacity = capacity
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key, made now if it is not at hand."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            self._values[key] = value
            while len(self._values) > self._capacity:
                self._values.popitem(last=False)
        return value

    def __getstate__(self) -> dict[str, Any]:
        return {"_capacity": self._capacity}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["_capacity"])  # type: ignore[misc]
