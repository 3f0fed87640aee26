import pytest

import sensorimotor


def test_the_public_names_are_those_of_the_modules_themselves():
    from sensorimotor.actions.space import Discrete
    from sensorimotor.errors import SensorimotorError
    from sensorimotor.models.signature import Signature

    assert sensorimotor.Discrete is Discrete
    assert sensorimotor.Signature is Signature
    assert sensorimotor.SensorimotorError is SensorimotorError


def test_a_name_that_does_not_exist_is_an_attribute_error_that_says_so():
    with pytest.raises(AttributeError, match="module 'sensorimotor' has no attribute 'Polciy'"):
        sensorimotor.Polciy  # noqa: B018


def test_completion_offers_exactly_the_public_names():
    assert dir(sensorimotor) == sorted(sensorimotor.__all__)
