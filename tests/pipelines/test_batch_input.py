"""What is said of an input from one process to another."""

import copy
import json

import pytest

from sensorimotor.actions.space import Discrete
from sensorimotor.errors import DataError, MissingExtraError
from sensorimotor.models.signature import Constant, Signature
from sensorimotor.perception.modality import Image
from sensorimotor.pipelines.batch_input import InputSpec, Unreadable, of_episode, open_input


def test_a_spec_is_plain_data():
    spec = InputSpec("clips", {"camera": "pictures"}, {"instruction": "go"}, 5.0, "pad")
    assert InputSpec(**json.loads(json.dumps(spec.to_json()))) == spec


def test_what_was_wrong_with_an_episode_is_the_same_in_another_process():
    error = Unreadable("a.mp4", "open", "DataError", "it is empty: replace it")
    again = copy.copy(error)  # as multiprocessing does it
    assert (again.id, again.stage, again.kind, again.message) == (
        "a.mp4",
        "open",
        "DataError",
        "it is empty: replace it",
    )
    assert str(again) == "a.mp4: it is empty: replace it"


def test_whatever_goes_wrong_in_an_episode_is_its_own():
    with pytest.raises(Unreadable) as error, of_episode("a", "decode"):
        raise ZeroDivisionError
    assert error.value.args == ("a", "decode", "ZeroDivisionError", "ZeroDivisionError")


def test_a_library_that_is_missing_is_nothing_of_an_episode():
    with pytest.raises(MissingExtraError), of_episode("a", "decode"):
        raise MissingExtraError("av", "data", "reading video")


@pytest.mark.parametrize(
    "where", ["nowhere", "nowhere/*.mp4", "nowhere.csv", "nowhere.mp4", "~/nowhere/at/all", "a\0b"]
)
def test_what_is_not_there_is_said(where, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    signature = Signature({"camera": Image(height=8, width=8)}, Discrete(2), Constant(0), 10.0)
    with pytest.raises(DataError, match="nowhere|a.b"):
        open_input(InputSpec(where), signature)
