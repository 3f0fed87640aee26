import copy
import inspect

import pytest

from sensorimotor import errors

KINDS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]
ERRORS = [kind for kind in KINDS if not issubclass(kind, Warning)]


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_can_be_caught_as_the_one_base(kind):
    assert issubclass(kind, errors.SensorimotorError)
    assert inspect.getdoc(kind)


def test_an_observation_error_names_the_input_what_was_expected_and_what_came():
    error = errors.ObservationError("mic", "float32 samples", "int16 (8000,)")
    assert str(error) == "input 'mic': expected float32 samples, got int16 (8000,)"
    assert (error.name, error.expected, error.got) == ("mic", "float32 samples", "int16 (8000,)")


def test_an_observation_error_ends_with_its_hint():
    error = errors.ObservationError("mic", "float32", "int16", "Divide by 32768")
    assert str(error) == "input 'mic': expected float32, got int16. Divide by 32768"


def test_a_missing_extra_is_named_with_the_command_that_installs_it():
    error = errors.MissingExtraError("PyAV", "sim", "resampling speech")
    assert str(error) == "resampling speech needs PyAV, which is not installed: pip install 'sensorimotor[sim]'"
    assert (error.package, error.extras) == ("PyAV", ["sim"])


def test_a_choice_of_extras_is_offered_as_a_choice():
    error = errors.MissingExtraError("ONNX Runtime", ("cpu", "gpu"), "running a policy")
    assert str(error).endswith("pip install 'sensorimotor[cpu]' or pip install 'sensorimotor[gpu]'")
    assert error.extras == ["cpu", "gpu"]


@pytest.mark.parametrize(
    "error",
    [
        errors.ObservationError("mic", "float32", "int16", "Divide by 32768"),
        errors.MissingExtraError("PyAV", "sim", "resampling speech"),
        errors.MissingExtraError("ONNX Runtime", ("cpu", "gpu"), "running a policy"),
        errors.BundleError("damaged"),
    ],
)
def test_an_error_can_be_rebuilt_elsewhere_as_a_pool_of_processes_does_to_report_it(error):
    twin = copy.copy(error)  # goes the same way (__reduce_ex__) as an exception that leaves a worker process
    assert type(twin) is type(error)
    assert str(twin) == str(error)
    assert vars(twin) == vars(error)


@pytest.mark.parametrize("kind", [errors.UsageError, errors.RecipeError, errors.WorldError])
def test_asking_for_the_impossible_ends_a_command_with_status_2(kind):
    assert kind.exit_status == 2


@pytest.mark.parametrize("kind", [errors.BundleError, errors.OutputPathError, errors.ObservationError])
def test_a_failure_on_the_way_ends_a_command_with_status_1(kind):
    assert kind.exit_status == 1
