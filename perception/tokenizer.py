"""Text to token ids, by the `tokenizers` library: the same file, and so the same ids, in training and in a bundle."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer as _Tokenizer
from tokenizers import models, normalizers, pre_tokenizers

from sensorimotor.errors import BundleError

PAD, UNKNOWN, BEGIN = 0, 1, 2
_SPECIAL = ("[PAD]", "[UNK]", "[BEGIN]")


class Tokenizer:
    """Turns any unicode string into `max_tokens` ids; words it does not know become `UNKNOWN` and can be counted.

    One that is trained here begins every text with `BEGIN`. One that comes with a pretrained encoder has special tokens
    of its own, which it also adds to what is left of a text that is too long.

    Args:
        inner: A tokenizer of the `tokenizers` library; its padding says with which id.
        max_tokens: Ids per text; longer texts are cut, shorter ones padded.

    >>> words = Tokenizer.train(["go to the red ball"], max_tokens=8)
    >>> words.encode("go to the GREEN ball").tolist()
    [2, 4, 7, 6, 1, 3, 0, 0]
    >>> words.unknown("go to the GREEN ball")
    ['green']
    """

    def __init__(self, inner: _Tokenizer, max_tokens: int):
        self.max_tokens, self._padding = max_tokens, inner.padding
        self.pad = int(self._padding["pad_id"]) if self._padding else PAD
        self._begin = [BEGIN] if inner.token_to_id(_SPECIAL[BEGIN]) == BEGIN else []
        inner.no_padding()
        inner.no_truncation()
        self._inner, self._cutting = inner, _Tokenizer.from_str(inner.to_str())
        self._cutting.enable_truncation(max_tokens)

    @classmethod
    def train(cls, texts: Iterable[str], max_tokens: int) -> "Tokenizer":
        """A tokenizer that knows every word of `texts`, in alphabetical order."""
        inner = _Tokenizer(models.WordLevel({}, unk_token="[UNK]"))
        inner.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
        inner.pre_tokenizer = pre_tokenizers.Whitespace()
        words: Counter[str] = Counter()
        for text in set(texts):
            normal = inner.normalizer.normalize_str(text)
            words.update(word for word, _ in inner.pre_tokenizer.pre_tokenize_str(normal))
        vocabulary = {word: i for i, word in enumerate([*_SPECIAL, *sorted(words)])}
        inner.model = models.WordLevel(vocabulary, unk_token="[UNK]")
        return cls(inner, max_tokens)

    @property
    def size(self) -> int:
        """Ids in all, special ones included."""
        return int(self._inner.get_vocab_size())

    def encode(self, text: str) -> np.ndarray:
        """int64 `(max_tokens,)`: the text with its special tokens, then padding."""
        ids = (self._begin + self._cutting.encode(text).ids)[: self.max_tokens]
        return np.array(ids + [self.pad] * (self.max_tokens - len(ids)), np.int64)

    def length(self, text: str) -> int:
        """Tokens of `text` with special ones, before anything is cut."""
        return len(self._begin) + len(self._inner.encode(text).ids)

    def unknown(self, text: str) -> list[str]:
        """The words of `text`, in lower case, that it does not know."""
        unknown = getattr(self._inner.model, "unk_token", None)
        if unknown is None:
            return []
        normal = self._inner.normalizer.normalize_str(text) if self._inner.normalizer else text
        # Offsets into the text as it came are wrong where letters were composed.
        encoding = self._inner.encode(normal, add_special_tokens=False)
        return [
            normal[start:stop]
            for token, (start, stop) in zip(encoding.tokens, encoding.offsets, strict=True)
            if token == unknown
        ]

    def to_json(self) -> str:
        """The content of a `tokenizer.json`."""
        kept = _Tokenizer.from_str(self._inner.to_str())
        if self._padding:
            kept.enable_padding(pad_id=self.pad, pad_token=self._padding["pad_token"])
        return str(kept.to_str(pretty=True))

    @classmethod
    def from_json(cls, text: str, max_tokens: int) -> "Tokenizer":
        """Read what `to_json` wrote."""
        return cls(_Tokenizer.from_str(text), max_tokens)

    @classmethod
    def load(cls, path: Path, max_tokens: int) -> "Tokenizer":
        """Read a `tokenizer.json`.

        Raises:
            BundleError: It cannot be read.
        """
        try:
            return cls.from_json(path.read_text(), max_tokens)
        except Exception as error:  # noqa: BLE001 (the library raises bare Exception for a bad file)
            raise BundleError(f"{path.name} is no tokenizer: {error}") from error
