import numpy as np
import pytest

from sensorimotor.errors import CacheError
from sensorimotor.pipelines.cached import read_arrays


@pytest.fixture
def kept(tmp_path):
    path = tmp_path / "kept.npz"
    np.savez_compressed(path, symbols=np.arange(5000), missions=np.array(["go", "fetch"]))
    return path


def test_arrays_come_back_in_the_order_in_which_they_are_asked_for(kept):
    missions, symbols = read_arrays(kept, "missions", "symbols")
    assert missions.tolist() == ["go", "fetch"]
    assert np.array_equal(symbols, np.arange(5000))


def test_a_damaged_file_is_named_with_what_to_do(kept):
    whole = kept.read_bytes()
    middle = len(whole) // 3
    for damaged in (b"", whole[:-30], whole[:middle], whole[:middle] + b"?" * 40 + whole[middle + 40 :], b"not a file"):
        kept.write_bytes(damaged)
        with pytest.raises(CacheError, match=r"kept\.npz is damaged .*: delete it, and it is made again"):
            read_arrays(kept, "symbols", "missions")


def test_what_lacks_something_or_brings_objects_is_damaged_too(kept):
    with pytest.raises(CacheError, match="cells"):
        read_arrays(kept, "cells")
    np.savez(kept, symbols=np.array([{}], object))
    with pytest.raises(CacheError, match="is damaged"):
        read_arrays(kept, "symbols")
