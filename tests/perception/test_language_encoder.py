"""Encoders in the formats of transformers and open_clip, made here and loaded as a user would."""

import copy
import json

import numpy as np
import open_clip
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from sensorimotor.errors import EncoderError, SignatureError, UnreachableError
from sensorimotor.perception.clip import Clip
from sensorimotor.perception.language_encoder import (
    ClipTextEncoder,
    LanguageEncoder,
    LanguageSpec,
    build_language,
    clip_tokenizer,
    load_language,
)
from sensorimotor.perception.modality import Text
from sensorimotor.perception.preprocessing import Preprocessing
from sensorimotor.perception.tokenizer import Tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "go",
    "to",
    "the",
    "red",
    "##dish",
    "blue",
    "ball",
    "box",
    ",",
    ".",
    "a",
    "b",
    "c",
]
TEXTS = ["go to the RED ball", "reddish, blue box.", "", "unheard of", "a b c a b c a b c a b c a b c"]
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}


@pytest.fixture
def folder(tmp_path):
    """A BERT as `save_pretrained` writes it."""
    torch.manual_seed(0)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    transformers.BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    config = transformers.BertConfig(vocab_size=len(WORDS), max_position_embeddings=20, **SIZES)
    transformers.BertModel(config).eval().save_pretrained(tmp_path)
    return tmp_path


def read(encoder, rows):
    with torch.inference_mode():
        return encoder(torch.from_numpy(np.stack(rows)))


def test_from_a_text_come_the_hidden_states_that_transformers_computes(folder):
    language = load_language(LanguageSpec(model=str(folder)))
    encoder, tokenizer = LanguageEncoder(Text(max_tokens=10), language), Tokenizer.from_json(language.tokenizer, 10)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder)
    batch = theirs(TEXTS, padding="max_length", truncation=True, max_length=10, return_tensors="pt")
    rows = [tokenizer.encode(text) for text in TEXTS]
    assert np.array_equal(np.stack(rows), batch["input_ids"].numpy())
    tokens, mask = read(encoder, rows)
    with torch.inference_mode():
        expected = model(**batch).last_hidden_state
    assert torch.equal(mask, batch["attention_mask"].bool())
    assert torch.allclose(tokens[mask], expected[mask], atol=1e-5)
    assert (encoder.tokens, encoder.dim) == (10, 16)


def test_padding_makes_no_difference(folder):
    language = load_language(LanguageSpec(model=str(folder)))
    short, long = (Tokenizer.from_json(language.tokenizer, n).encode("go to the ball") for n in (6, 15))
    encoder = LanguageEncoder(Text(max_tokens=15), language)
    assert torch.allclose(read(encoder, [short])[0], read(encoder, [long])[0][:, :6], atol=1e-5)


def test_it_is_built_again_from_its_configuration_alone(folder):
    language = load_language(LanguageSpec(model=str(folder)))
    encoder = LanguageEncoder(Text(max_tokens=10), language)
    kept = json.loads(json.dumps(encoder.architecture))
    again = LanguageEncoder(Text(max_tokens=10), build_language(kept, language.tokenizer))
    again.load_state_dict(encoder.state_dict())
    rows = [Tokenizer.from_json(language.tokenizer, 10).encode(text) for text in TEXTS]
    assert torch.equal(read(again, rows)[0], read(encoder, rows)[0])


def test_a_tokenizer_file_of_others_keeps_its_ids_when_it_is_written_again(folder):
    language = load_language(LanguageSpec(model=str(folder)))
    once = Tokenizer.from_json(language.tokenizer, 8)
    twice = Tokenizer.from_json(once.to_json(), 8)
    for text in TEXTS:
        assert np.array_equal(once.encode(text), twice.encode(text))
    assert once.unknown("go to the zebra") == ["zebra"]


# open_clip's text towers


@pytest.fixture(scope="module")
def clip():
    torch.manual_seed(0)
    model_cfg = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 8, "patch_size": 16},
        "text_cfg": {"context_length": 20, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
    }
    model = open_clip.CLIP(**copy.deepcopy(model_cfg)).eval()
    return Clip(model, Preprocessing(), {"model_cfg": model_cfg, "preprocess_cfg": {}})


SENTENCES = [
    "a person waving at the camera",
    "  An   EMPTY room;  it's 3.5 metres wide!? ",
    "naïve café — 北京 🙂",
    "don't stop, we'll wait (really).",
    "word " * 50,
    "",
]


def test_the_ids_are_those_of_open_clips_own_tokenizer(clip):
    theirs = open_clip.SimpleTokenizer(context_length=20)(SENTENCES).numpy()
    ours = Tokenizer.from_json(clip_tokenizer(clip), 20)
    assert np.array_equal(np.stack([ours.encode(text) for text in SENTENCES]), theirs)


def test_a_text_lies_where_open_clip_puts_it_however_many_tokens_are_read(clip):
    expected_of = open_clip.SimpleTokenizer(context_length=20)
    with torch.inference_mode():
        expected = clip.model.encode_text(expected_of(SENTENCES[:1]))
    tower = copy.deepcopy(clip)
    for count in (12, 20):
        encoder = ClipTextEncoder(Text(max_tokens=count), tower)
        tokens, mask = read(encoder, [Tokenizer.from_json(clip_tokenizer(clip), count).encode(SENTENCES[0])])
        assert tokens.shape == (1, 1, 24)
        assert mask.all()
        assert torch.allclose(tokens[:, 0], expected, atol=1e-5)


# Bad input


def test_a_name_that_cannot_be_reached_is_no_dead_end(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # the environment was read long ago
    with pytest.raises(UnreachableError, match=r"'nobody/nothing' cannot be had .*name it: model = 'FOLDER'"):
        load_language(LanguageSpec(model="nobody/nothing"))


def test_weights_that_are_not_all_there_are_refused_by_name(folder):
    path = folder / "model.safetensors"
    weights = load_file(path)
    del weights["encoder.layer.1.output.dense.weight"]
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(EncoderError, match=r"encoder\.layer\.1\.output\.dense\.weight are missing"):
        load_language(LanguageSpec(model=str(folder)))


def test_weights_of_another_architecture_are_refused(folder):
    config = json.loads((folder / "config.json").read_text()) | {"hidden_size": 32}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(EncoderError):
        load_language(LanguageSpec(model=str(folder)))


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_a_damaged_folder_is_refused(folder, file):
    (folder / file).write_bytes((folder / file).read_bytes()[:-40])
    with pytest.raises(EncoderError, match="no encoder of transformers, or it is damaged"):
        load_language(LanguageSpec(model=str(folder)))


def test_more_text_than_an_encoder_reads_is_refused(folder, clip):
    with pytest.raises(SignatureError, match="at most 20 tokens, not 21"):
        LanguageEncoder(Text(max_tokens=21), load_language(LanguageSpec(model=str(folder))))
    with pytest.raises(SignatureError, match="at most 20 tokens, not 32"):
        ClipTextEncoder(Text(max_tokens=32), clip)
