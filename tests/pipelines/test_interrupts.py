"""No Ctrl-C is lost, even in a library that clears every error."""

import signal
import threading
from contextlib import suppress

import pytest

from sensorimotor.pipelines.interrupts import interruptible


def clears_every_error():
    with suppress(BaseException):
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_that_a_library_would_clear_is_raised_at_the_next_check():
    with interruptible() as check:
        check()
        clears_every_error()
        with pytest.raises(KeyboardInterrupt):
            check()


def test_the_second_interrupt_is_immediate_and_afterwards_all_is_as_it_was():
    before = signal.getsignal(signal.SIGINT)
    with interruptible():
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_another_thread_can_use_it_too():
    done = []

    def work():
        with interruptible() as check:
            check()
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
