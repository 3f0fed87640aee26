import logging

import pytest
from huggingface_hub import constants

from sensorimotor.perception.hub import hub_or_cache


@pytest.fixture
def hub(monkeypatch):
    """Says what the hub does when it is asked: `hub(None)` answers, `hub(OSError())` does not; gives what was asked."""
    asked = []

    def put(error):
        class Session:
            def head(self, address, timeout):
                asked.append((address, timeout))
                if error:
                    raise error

        monkeypatch.setattr("huggingface_hub.utils.get_session", Session)
        return asked

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return put


def test_a_hub_that_answers_is_used(hub):
    asked = hub(None)
    with hub_or_cache() as reachable:
        assert reachable
        assert not constants.is_offline_mode()
    assert asked == [(constants.ENDPOINT, 5.0)]


def test_one_that_does_not_is_asked_once_and_then_left_alone(hub):
    asked = hub(OSError("no route to host"))
    with hub_or_cache() as reachable:
        assert not reachable
        assert constants.is_offline_mode()
    assert len(asked) == 1
    assert not constants.is_offline_mode()


def test_who_is_offline_on_purpose_stays_so_and_nobody_is_asked(hub, monkeypatch):
    asked = hub(None)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with hub_or_cache() as reachable:
        assert not reachable
    assert constants.is_offline_mode()
    assert asked == []


def test_everything_is_as_before_after_an_error_too(hub):
    hub(OSError())
    with pytest.raises(ZeroDivisionError), hub_or_cache():
        assert not logging.getLogger("anybody").isEnabledFor(logging.ERROR)
        raise ZeroDivisionError
    assert not constants.is_offline_mode()
    assert logging.getLogger("anybody").isEnabledFor(logging.ERROR)
