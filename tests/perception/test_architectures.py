"""Architectures without files, held against sizes that their makers have published."""

import pytest
import torch
import transformers
import whisper

from sensorimotor.perception.architectures import LANGUAGE, WHISPER, known_architecture, stand_in_tokenizer
from sensorimotor.perception.clip import ClipSpec, build_clip
from sensorimotor.perception.language_encoder import LanguageEncoder, LanguageSpec, build_language
from sensorimotor.perception.modality import Text
from sensorimotor.perception.whisper_encoder import WhisperSpec

pytestmark = pytest.mark.usefixtures("one_thread")


EAR = ("mels", "audio_ctx", "audio_state", "audio_head", "audio_layer")
MOUTH = ("vocab", "text_ctx", "text_state", "text_head", "text_layer")


def size(model):
    return sum(parameter.numel() for parameter in model.parameters())


def with_architecture(spec):
    return spec.model_copy(update={"architecture": known_architecture(spec)})


def test_a_clip_by_name_is_as_large_as_published_and_prepares_pictures_as_its_weights_want():
    architecture = known_architecture(ClipSpec(model="ViT-B-32", pretrained="laion2b_s34b_b79k"))
    assert size(build_clip(architecture).model) == 151_277_313
    assert architecture["preprocess_cfg"]["size"] == 224
    other = known_architecture(ClipSpec(model="ViT-B-16-SigLIP", pretrained="webli"))
    assert (other["preprocess_cfg"]["resize_mode"], other["preprocess_cfg"]["mean"]) == ("squash", (0.5, 0.5, 0.5))


@pytest.mark.parametrize(("name", "millions"), [("tiny", 39), ("base", 74), ("small", 244), ("medium", 769)])
def test_a_whisper_by_name_is_about_as_large_as_published(name, millions):
    known = whisper.model.ModelDimensions(**known_architecture(WhisperSpec(model=name)))
    with torch.device("meta"):
        encoder = whisper.model.AudioEncoder(*(getattr(known, f"n_{one}") for one in EAR))
        decoder = whisper.model.TextDecoder(*(getattr(known, f"n_{one}") for one in MOUTH))
    assert (size(encoder) + size(decoder)) / 1e6 == pytest.approx(millions, rel=0.06)


def test_every_whisper_that_its_package_offers_is_known():
    assert set(WHISPER) == {name.partition(".")[0].partition("-")[0] for name in whisper.available_models()} - {"turbo"}
    known = {name: known_architecture(WhisperSpec(model=name)) for name in whisper.available_models()}
    assert known["turbo"]["n_audio_state"] == known["large"]["n_audio_state"] == 1280
    assert {name for name, one in known.items() if one["n_mels"] == 128} == {
        "large", "large-v3", "large-v3-turbo", "turbo"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("sentence-transformers/all-MiniLM-L6-v2", 22_713_216),
        ("sentence-transformers/all-MiniLM-L12-v2", 33_360_000),
        ("BAAI/bge-small-en-v1.5", 33_360_000),
        ("bert-base-uncased", 109_482_240),
        ("distilbert-base-uncased", 66_362_880),
    ],
)
def test_a_text_encoder_by_name_is_as_large_as_published(name, parameters):
    config = transformers.AutoConfig.for_model(**known_architecture(LanguageSpec(model=name)))
    with torch.device("meta"):
        assert size(transformers.AutoModel.from_config(config)) == parameters


def test_all_that_are_known_can_be_built():
    for name in LANGUAGE:
        architecture = known_architecture(LanguageSpec(model=name))
        with torch.device("meta"):
            assert build_language(architecture, "").architecture["vocab_size"] == 30522


@pytest.mark.parametrize(
    "spec",
    [
        ClipSpec(model="hf-hub:apple/MobileCLIP-S1-OpenCLIP"),
        ClipSpec(model="ViT-B-23"),
        ClipSpec(model="xlm-roberta-base-ViT-B-32", pretrained="laion5b_s13b_b90k"),  # its text tower is on the hub
        WhisperSpec(model="enormous"),
        WhisperSpec(model="my.pt"),
        LanguageSpec(model="somebody/something"),
    ],
    ids=lambda spec: spec.model,
)
def test_what_nothing_tells_is_not_known(spec):
    assert known_architecture(spec) is None


def test_a_stand_in_tokenizer_has_as_many_ids_and_an_encoder_reads_what_it_gives():
    architecture = known_architecture(LanguageSpec()) | {"num_hidden_layers": 1}
    tokenizer = stand_in_tokenizer(LanguageSpec(architecture=architecture), 8)
    assert tokenizer.size == 30522
    assert tokenizer.encode("lift the arm").tolist() == [101, 100, 100, 100, 102, 0, 0, 0]
    encoder = LanguageEncoder(Text(max_tokens=8), build_language(architecture, tokenizer.to_json()))
    tokens, mask = encoder(torch.from_numpy(tokenizer.encode("lift the arm"))[None])
    assert (tokens.shape, mask.sum().item()) == ((1, 8, 384), 5)


def test_a_clip_that_carries_its_own_tokenizer_needs_no_stand_in():
    assert stand_in_tokenizer(with_architecture(ClipSpec()), 8) is None
    siglip = with_architecture(ClipSpec(model="ViT-B-16-SigLIP", pretrained="webli"))
    assert stand_in_tokenizer(siglip, 8).size == 32_000
