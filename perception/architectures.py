"""Architectures that are known without their files: enough for an encoder of the right size with random weights."""

from typing import Any

from tokenizers import Tokenizer as _Tokenizer
from tokenizers import models, pre_tokenizers, processors

from sensorimotor.perception.clip import ClipSpec
from sensorimotor.perception.language_encoder import LanguageSpec
from sensorimotor.perception.pretrained import encoder_library
from sensorimotor.perception.tokenizer import Tokenizer
from sensorimotor.perception.whisper_encoder import WhisperSpec

Spec = ClipSpec | WhisperSpec | LanguageSpec

WHISPER = {
    "tiny": (384, 6, 4), "base": (512, 8, 6), "small": (768, 12, 12), "medium": (1024, 16, 24), "large": (1280, 20, 32),
}  # fmt: skip
"""Width, heads and layers: Table 1 of Radford et al., 2022 (arXiv:2212.04356). That of turbo is the large one."""
_SMALL = {"model_type": "bert", "hidden_size": 384, "num_attention_heads": 12, "intermediate_size": 1536}
_MINILM_6, _MINILM_12 = _SMALL | {"num_hidden_layers": 6}, _SMALL | {"num_hidden_layers": 12}
LANGUAGE: dict[str, dict[str, Any]] = {
    "sentence-transformers/all-MiniLM-L6-v2": _MINILM_6,
    "sentence-transformers/multi-qa-MiniLM-L6-cos-v1": _MINILM_6,
    "sentence-transformers/all-MiniLM-L12-v2": _MINILM_12,
    "BAAI/bge-small-en-v1.5": _MINILM_12,
    "BAAI/bge-base-en-v1.5": {"model_type": "bert"},
    "google-bert/bert-base-uncased": {"model_type": "bert"},
    "bert-base-uncased": {"model_type": "bert"},
    "distilbert/distilbert-base-uncased": {"model_type": "distilbert"},
    "distilbert-base-uncased": {"model_type": "distilbert"},
}
"""As in the `config.json` of each on the hub; what is not said is the library's default, which is the base model's."""
PAD, UNKNOWN, BEGIN, END = 0, 100, 101, 102
"""In the vocabulary of BERT."""


def known_architecture(spec: Spec) -> dict[str, Any] | None:
    """What a specification's `architecture` would be if its files were there; None where nothing here tells it.

    Of open_clip all models that it knows by name are known, but for those with a text tower of `transformers`.
    """
    match spec:
        case ClipSpec():
            return _clip(spec)
        case WhisperSpec():
            return _whisper(spec.model)
        case LanguageSpec() if spec.model in LANGUAGE:
            transformers = encoder_library("transformers", "transformers")
            stated: dict[str, Any] = transformers.AutoConfig.for_model(**LANGUAGE[spec.model]).to_dict()
            return stated
    return None


def stand_in_tokenizer(spec: Spec, max_tokens: int) -> Tokenizer | None:
    """A tokenizer of the same vocabulary size, to which every word is unknown; None where none has to be stood in for.

    Args:
        spec: With an architecture.
        max_tokens: Ids per text.
    """
    architecture = spec.architecture or {}
    if isinstance(spec, ClipSpec):
        text = architecture["model_cfg"]["text_cfg"]
        if not text.get("hf_tokenizer_name"):
            return None  # open_clip carries its own
        size = int(text["vocab_size"])
    else:
        size = int(architecture["vocab_size"])
    special = {"[PAD]": PAD, "[UNK]": UNKNOWN, "[CLS]": BEGIN, "[SEP]": END}
    known = special | {f"[{i}]": i for i in range(size) if i not in special.values()}
    inner = _Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", BEGIN), ("[SEP]", END)])
    inner.enable_padding(pad_id=PAD, pad_token="[PAD]")
    return Tokenizer(inner, max_tokens)


def _clip(spec: ClipSpec) -> dict[str, Any] | None:
    open_clip = encoder_library("open_clip", "open_clip_torch")
    name = spec.model.replace("/", "-")
    model = open_clip.get_model_config(name) if name in open_clip.list_models() else None
    if not model or "hf_model_name" in model["text_cfg"]:
        return None
    tag = open_clip.get_pretrained_cfg(name, spec.pretrained)
    shown = {key: tag[key] for key in ("mean", "std", "interpolation", "resize_mode") if key in tag}
    return {"model_cfg": model, "preprocess_cfg": {"size": model["vision_cfg"]["image_size"], **shown}}


def _whisper(name: str) -> dict[str, Any] | None:
    size = "large" if name == "turbo" else name.partition(".")[0].partition("-")[0]
    if size not in WHISPER:
        return None
    width, heads, layers = WHISPER[size]
    third = size == "large" and name not in ("large-v1", "large-v2")  # has finer mel bands, and one language more
    return {
        "n_mels": 128 if third else 80,
        "n_vocab": 51866 if third else 51864 if name.endswith(".en") else 51865,
        **{"n_audio_ctx": 1500, "n_audio_state": width, "n_audio_head": heads, "n_audio_layer": layers},
        **{"n_text_ctx": 448, "n_text_state": width, "n_text_head": heads, "n_text_layer": layers},
    }
