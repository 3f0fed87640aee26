"""A device that one thread uses and another lets go of: never while it is in use, and never waiting for that."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from sensorimotor.errors import SensorError

Device = TypeVar("Device")


class Held(Generic[Device]):
    """Holds a device whose library must not be told to close it while another thread is inside it.

    A frozen driver can keep a thread for ever; whoever lets go of it does not wait. The thread that comes back at last
    finds that nobody wants the device any more, and releases it then.

    Args:
        device: What is held.
        release: Closes it; called once.
        source: What it is, for a message.
    """

    def __init__(self, device: Device, release: Callable[[Device], None], source: str):
        self._device, self._release, self._source = device, release, source
        self._lock = threading.Lock()
        self._busy = self._unwanted = False

    @contextmanager
    def use(self) -> Iterator[Device]:
        """The device, for one call that may take long; by one thread at a time.

        Raises:
            SensorError: It was let go of, before or meanwhile.
        """
        with self._lock:
            if self._unwanted or self._busy:
                raise SensorError(f"{self._source} is closed")
            self._busy = True
        try:
            yield self._device
        finally:
            with self._lock:
                self._busy, unwanted = False, self._unwanted
            if unwanted:
                self._release(self._device)
        if unwanted:
            raise SensorError(f"{self._source} was closed meanwhile")

    def let_go(self) -> None:
        """Release the device, now or when it is no longer in use."""
        with self._lock:
            if self._unwanted:
                return
            self._unwanted, busy = True, self._busy
        if not busy:
            self._release(self._device)
