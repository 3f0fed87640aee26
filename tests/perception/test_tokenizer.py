import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensorimotor.errors import BundleError
from sensorimotor.perception.tokenizer import BEGIN, PAD, UNKNOWN, Tokenizer

TEXTS = ["go to the red ball", "pick up the green key", "go to the blue box, then wait"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.train(TEXTS, max_tokens=12)


WORDS = Tokenizer.train(TEXTS, max_tokens=12)
anything = st.text(max_size=60) | st.lists(
    st.sampled_from(["go", "GREEN", "[PAD]", "[BEGIN]", "ﬁ", "e\u0301", "İ", "ｂａｌｌ", "\0", ",", "zebra"])
).map(" ".join)


@given(anything)
def test_any_unicode_becomes_a_full_row_of_known_ids(text):
    ids = WORDS.encode(text)
    assert ids.dtype == np.int64
    assert ids.shape == (12,)
    assert ids[0] == BEGIN
    assert ids.min() >= 0
    assert ids.max() < WORDS.size


@given(anything)
def test_padding_comes_only_behind_and_begin_only_in_front_whatever_is_written(text):
    ids = WORDS.encode(text).tolist()
    used = ids[: ids.index(PAD)] if PAD in ids else ids
    assert BEGIN not in used[1:]
    assert set(ids[len(used) :]) <= {PAD}


@given(anything)
def test_what_is_called_unknown_is_unknown_and_in_lower_case(text):
    unknown = WORDS.unknown(text)
    for word in unknown:
        assert UNKNOWN in WORDS.encode(word)
        assert WORDS.unknown(word) == [word]
    ids = Tokenizer.from_json(WORDS.to_json(), max_tokens=200).encode(text).tolist()
    assert ids.count(UNKNOWN) == len(unknown)


@given(anything)
def test_a_tokenizer_read_back_from_its_file_gives_the_same_ids(text):
    again = Tokenizer.from_json(WORDS.to_json(), max_tokens=12)
    assert np.array_equal(again.encode(text), WORDS.encode(text))


@given(st.text(max_size=30))
def test_capitals_and_wide_letters_make_no_difference(text):
    known = "go to the RED ｂａｌｌ"
    assert np.array_equal(WORDS.encode(f"{known} {text}"), WORDS.encode(f"go to the red ball {text}"))


def test_the_words_of_the_training_texts_are_known_in_alphabetical_order(tokenizer):
    vocabulary = json.loads(tokenizer.to_json())["model"]["vocab"]
    assert (vocabulary["[PAD]"], vocabulary["[UNK]"], vocabulary["[BEGIN]"]) == (PAD, UNKNOWN, BEGIN)
    words = [word for word, i in sorted(vocabulary.items(), key=lambda item: item[1]) if i > BEGIN]
    assert words == sorted({word for text in TEXTS for word in text.replace(",", " ,").split()})
    assert tokenizer.size == len(words) + 3
    assert all(tokenizer.unknown(text) == [] for text in TEXTS)


def test_the_order_of_the_training_texts_does_not_matter(tokenizer):
    assert Tokenizer.train(reversed(TEXTS * 2), max_tokens=12).to_json() == tokenizer.to_json()


def test_the_empty_text_is_begin_and_padding(tokenizer):
    assert tokenizer.encode("").tolist() == [BEGIN] + [PAD] * 11
    assert tokenizer.unknown("") == []


def test_a_long_text_is_cut_and_a_huge_one_is_no_trouble(tokenizer):
    ids = tokenizer.encode("go " * 20_000)
    assert ids.shape == (12,)
    assert PAD not in ids


@pytest.mark.parametrize(("text", "length"), [("", 1), ("go", 2), ("go, zebra", 4), ("go " * 30, 31)])
def test_the_length_of_a_text_counts_its_beginning_and_what_will_be_cut(tokenizer, text, length):
    assert tokenizer.length(text) == length


def test_different_instructions_have_different_ids(tokenizer):
    assert not np.array_equal(tokenizer.encode("go to the red ball"), tokenizer.encode("go to the blue ball"))


@pytest.mark.parametrize(
    ("text", "unknown"),
    [
        ("go to the PURPLE ball", ["purple"]),
        ("Zebra, go to the zebra", ["zebra", "zebra"]),
        ("ＰＵＲＰＬＥ ball", ["purple"]),
        ("ﬁnd the e\u0301 ball QUICKLY", ["find", "é", "quickly"]),
        ("ﬃ e\u0301 go PURPLE", ["ffi", "é", "purple"]),
    ],
)
def test_unknown_words_are_told_as_they_are_understood(tokenizer, text, unknown):
    assert tokenizer.unknown(text) == unknown


def test_a_tokenizer_is_loaded_from_the_file_it_was_written_to(tokenizer, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(tokenizer.to_json())
    loaded = Tokenizer.load(path, max_tokens=5)
    assert loaded.max_tokens == 5
    assert np.array_equal(loaded.encode(TEXTS[0]), tokenizer.encode(TEXTS[0])[:5])


@pytest.mark.parametrize("content", [b"", b"{}", b"no json", b'{"model": 3}', b"\xff\xfe\x00", b"[1, 2]"])
def test_a_file_that_is_no_tokenizer_is_a_bundle_error_that_names_it(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"tokenizer\.json is no tokenizer: ."):
        Tokenizer.load(path, max_tokens=5)


def test_a_missing_file_is_a_bundle_error_too(tmp_path):
    with pytest.raises(BundleError, match="No such file"):
        Tokenizer.load(tmp_path / "tokenizer.json", max_tokens=5)
