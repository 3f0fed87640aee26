import gc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorimotor.models.device_array import DeviceArray, uploaded
from sensorimotor.models.device_memory import Blocks, HostMemory

BLOCKS = Blocks(HostMemory())


def numbers(*shape, first=0):
    return np.arange(first, first + np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)


def same(there, here):
    return np.array_equal(np.asarray(there), here)


def test_an_array_is_on_the_device_what_it_is_on_the_host():
    for array in (numbers(3, 4, 2), numbers(2, 3) > 2, numbers(0, 4), np.asfortranarray(numbers(4, 5))):
        there = uploaded(BLOCKS, array)
        assert (there.shape, there.dtype, len(there), there.nbytes) == (
            array.shape,
            array.dtype,
            len(array),
            array.nbytes,
        )
        assert same(there, array)


def test_rows_are_taken_out_without_copying():
    array = numbers(3, 4, 2)
    there = uploaded(BLOCKS, array)
    assert [np.asarray(row).tolist() for row in there] == array.tolist()
    assert there[1].pieces[0].block is there.pieces[0].block
    assert same(there[2][3], array[2, 3])
    assert there[None].shape == (1, 3, 4, 2)
    assert there.copy() is there
    for beyond in (3, -1):
        with pytest.raises(IndexError):
            there[beyond]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.data())
def test_what_was_stacked_and_joined_in_any_order_is_cut_where_numpy_cuts_it(lengths, data):
    here = [numbers(length, 3, first=100 * i) for i, length in enumerate(lengths)]
    there = [uploaded(BLOCKS, array) for array in here]
    joined, also = np.concatenate(here), np.concatenate(there)
    assert same(also, joined)
    rows = data.draw(st.lists(st.integers(0, len(joined) - 1), min_size=1, max_size=6))
    stacked, also = np.stack([joined[i] for i in rows]), np.stack([also[i] for i in rows])
    assert isinstance(also, DeviceArray)
    assert same(also, stacked)
    both = np.concatenate([np.stack([stacked, stacked]), stacked[None]])
    assert same(np.concatenate([np.stack([also, also]), also[None]]), both)


def test_rows_are_equal_where_they_are_the_same_bytes():
    there = uploaded(BLOCKS, numbers(2, 3))
    other = uploaded(BLOCKS, numbers(2, 3))
    assert there[1].pieces == np.stack([there[1]])[0].pieces
    assert there[1].pieces != there[0].pieces
    assert there[1].pieces != other[1].pieces


def test_a_row_keeps_its_bytes_for_itself():
    blocks = Blocks(HostMemory())
    row = uploaded(blocks, numbers(2, 3))[1]
    gc.collect()
    for i in range(5):
        uploaded(blocks, numbers(2, 3, first=50 * i))
    assert same(row, [3, 4, 5])


def test_what_cannot_be_joined_is_refused():
    one = uploaded(BLOCKS, numbers(2, 3))
    with pytest.raises(ValueError, match="different kinds"):
        np.concatenate([one, uploaded(BLOCKS, numbers(2, 4))])
    with pytest.raises(ValueError, match="first axis only"):
        np.concatenate([one, one], axis=1)
    with pytest.raises(TypeError):
        np.mean(one)
    with pytest.raises(ValueError, match="without copying"):
        np.asarray(one, copy=False)
    assert np.asarray(one, np.float64).dtype == np.float64
