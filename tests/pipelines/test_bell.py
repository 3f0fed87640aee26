import threading

from sensorimotor.pipelines.bell import Bell

PATIENCE_S = 30.0


def test_a_bell_that_nobody_rings_wakes_nobody():
    assert not Bell().wait(0.0)


def test_what_was_rung_before_the_wait_is_not_lost_and_rings_do_not_add_up():
    bell = Bell()
    bell.ring()
    bell.ring()
    assert bell.wait(0.0)
    assert not bell.wait(0.0)


def test_it_wakes_a_thread_that_waits_again_and_again():
    there, back, woken = Bell(), Bell(), []

    def wait():
        for number in range(50):
            woken.append((number, there.wait(PATIENCE_S)))
            back.ring()

    thread = threading.Thread(target=wait)
    thread.start()
    for _ in range(50):
        there.ring()
        assert back.wait(PATIENCE_S)
    thread.join(PATIENCE_S)
    assert woken == [(number, True) for number in range(50)]
