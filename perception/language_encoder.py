"""Text encoders that others have trained: any of `transformers`, and the text towers of open_clip."""

import json
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from tokenizers import Regex, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as _Tokenizer
from torch import Tensor, nn

from sensorimotor.errors import EncoderError, SignatureError, UnreachableError
from sensorimotor.perception.clip import Clip
from sensorimotor.perception.modality import Text
from sensorimotor.perception.pretrained import Pretrained, encoder_library
from sensorimotor.perception.tokenizer import Tokenizer


class LanguageSpec(Pretrained):
    """Which encoder of `transformers`: a name on the hub, or a folder with its `config.json`, weights and tokenizer."""

    kind: Literal["transformers"] = "transformers"
    model: str = "sentence-transformers/all-MiniLM-L6-v2"


class Language(NamedTuple):
    """An encoder, its `tokenizer.json`, and the configuration it takes to build it again."""

    model: nn.Module
    tokenizer: str
    architecture: dict[str, Any]


def load_language(spec: LanguageSpec) -> Language:
    """An encoder with all its weights.

    Raises:
        UnreachableError: It is no folder, and cannot be found on the hub or not be downloaded.
        EncoderError: Its weights are damaged or incomplete, or it has no fast tokenizer.
        MissingExtraError: `transformers` is not installed.
    """
    transformers = encoder_library("transformers", "transformers")
    try:
        model, info = transformers.AutoModel.from_pretrained(
            spec.model, output_loading_info=True, attn_implementation="eager", trust_remote_code=False
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(spec.model, trust_remote_code=False)
    except Exception as error:  # noqa: BLE001 (the hub, safetensors and transformers each raise types of their own)
        reason = " ".join(str(error).split())[:400]
        if Path(spec.model).is_dir():
            raise EncoderError(f"{spec.model} is no encoder of transformers, or it is damaged: {reason}") from error
        raise UnreachableError(
            f"the encoder {spec.model!r} cannot be had ({reason}). Download its files elsewhere (config.json, "
            "model.safetensors, tokenizer.json) into a folder, and name it: model = 'FOLDER'"
        ) from error
    # A pooler is of no use here: the tokens are what comes out.
    missing = sorted(key for key in info["missing_keys"] if not key.startswith("pooler."))
    wrong = sorted(str(key) for key in info.get("mismatched_keys", ()))
    if missing or wrong:
        named = ", ".join((missing + wrong)[:5])
        raise EncoderError(f"the weights of {spec.model} do not fit its architecture: {named} are missing or differ")
    if not getattr(tokenizer, "is_fast", False):
        raise EncoderError(f"{spec.model} has no tokenizer.json, and so no ids that are the same everywhere")
    inner = tokenizer.backend_tokenizer
    inner.enable_padding(pad_id=tokenizer.pad_token_id or 0, pad_token=tokenizer.pad_token or "[PAD]")
    return Language(model.eval(), inner.to_str(), model.config.to_dict())


def build_language(architecture: dict[str, Any], tokenizer: str) -> Language:
    """An encoder with random weights: for a network whose own weights are loaded next."""
    transformers = encoder_library("transformers", "transformers")
    config = transformers.AutoConfig.for_model(**architecture)
    model = transformers.AutoModel.from_config(config, attn_implementation="eager")
    return Language(model.eval(), tokenizer, architecture)


class LanguageEncoder(nn.Module):
    """The last hidden states of a transformer: one token for each of the text.

    Args:
        modality: Tokens of a text.
        language: The encoder.
    """

    def __init__(self, modality: Text, language: Language):
        super().__init__()
        config = language.architecture
        limit = config.get("max_position_embeddings")
        if limit and modality.max_tokens > limit:
            raise SignatureError(f"this encoder reads at most {limit} tokens, not {modality.max_tokens}")
        self.modality, self.architecture = modality, config
        self.pad = Tokenizer.from_json(language.tokenizer, modality.max_tokens).pad
        tower: Any = language.model
        if hasattr(tower, "pooler"):
            tower.pooler = None
        self.tower = tower
        self.tokens, self.dim = modality.max_tokens, config.get("hidden_size") or config["dim"]

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """int64 `(batch, n)`, the first of each row never padding → tokens `(batch, n, dim)`, mask `(batch, n)`."""
        mask = ids != self.pad
        # Additive and of full rank: made here, so that exporting does not depend on how a version of the library does.
        kept = torch.zeros(mask.shape, device=ids.device).masked_fill(~mask, torch.finfo(torch.float32).min)
        kept = kept[:, None, None].expand(-1, 1, ids.shape[1], -1)
        return self.tower(input_ids=ids, attention_mask=kept).last_hidden_state, mask


class ClipTextEncoder(nn.Module):
    """The text tower of a CLIP model: one token in the space that pictures and texts share.

    Args:
        modality: Tokens of a text.
        clip: The model; its image tower is left out.
    """

    tokens = 1

    def __init__(self, modality: Text, clip: Clip):
        super().__init__()
        tower: Any = clip.model
        tower.visual = None
        self.tower = tower
        self.modality, self.architecture = modality, clip.architecture
        text = clip.architecture["model_cfg"]["text_cfg"]
        self.context, self.dim = int(text.get("context_length", 77)), clip.architecture["model_cfg"]["embed_dim"]
        if modality.max_tokens > self.context:
            raise SignatureError(f"this text tower reads at most {self.context} tokens, not {modality.max_tokens}")

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """int64 `(batch, n)` → tokens `(batch, 1, dim)`, mask `(batch, 1)` of ones."""
        tokens = self.tower.encode_text(F.pad(ids, (0, self.context - ids.shape[1])))[:, None]
        return tokens, torch.ones_like(tokens[..., 0], dtype=torch.bool)


def clip_tokenizer(clip: Clip) -> str:
    """The `tokenizer.json` of a CLIP model, with the ids that open_clip's own gives.

    Raises:
        EncoderError: The model's tokenizer is of a kind that has no such file.
    """
    import open_clip

    text = clip.architecture["model_cfg"]["text_cfg"]
    if name := text.get("hf_tokenizer_name"):
        own = open_clip.HFTokenizer(name, context_length=text.get("context_length", 77)).tokenizer
        if not getattr(own, "is_fast", False):
            raise EncoderError(
                f"the tokenizer {name} has no tokenizer.json, and so no ids that are the same everywhere"
            )
        own.backend_tokenizer.enable_padding(pad_id=own.pad_token_id or 0, pad_token=own.pad_token or "[PAD]")
        return str(own.backend_tokenizer.to_str())
    own = open_clip.SimpleTokenizer()
    begin, end = "<start_of_text>", "<end_of_text>"
    inner = _Tokenizer(models.BPE(dict(own.encoder), list(own.bpe_ranks), end_of_word_suffix="</w>"))
    inner.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip(), normalizers.Lowercase()]
    )
    words = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(words, "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    inner.post_processor = processors.TemplateProcessing(
        f"{begin} $A {end}", special_tokens=[(begin, own.encoder[begin]), (end, own.encoder[end])]
    )
    inner.enable_padding(pad_id=0, pad_token="!")
    return json.dumps(json.loads(inner.to_str()))
