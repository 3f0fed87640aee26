"""What a network is told while it learns and nobody needs afterwards: two linear layers that ask for words.

They read the words of an instruction off its summary, written or spoken, and spell them along the sound (CTC: Graves
et al., ICML 2006). None of it is exported.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sensorimotor.models.network import NetworkSpec
from sensorimotor.perception.tokenizer import PAD, Tokenizer

BLANK = PAD
"""CTC's blank: padding is never said."""


class Tutor(nn.Module):
    """The two layers and their losses (nats).

    Args:
        spec: Sizes of the network that is taught.
        tokenizer: Of its text inputs.
    """

    def __init__(self, spec: NetworkSpec, tokenizer: Tokenizer):
        super().__init__()
        self.words, self.vocabulary = tokenizer.max_tokens, tokenizer.size
        self.reader = nn.Linear(spec.dim, self.words * self.vocabulary)
        self.speller = nn.Linear(spec.audio_dim, self.vocabulary)

    def read(self, summary: Tensor) -> Tensor:
        """Summaries `(rows, dim)` → logits of the word at every place `(rows, words, vocabulary)`."""
        return self.reader(summary.float()).unflatten(1, (self.words, self.vocabulary))

    def misread(self, summary: Tensor, words: Tensor) -> Tensor:
        """Mean cross-entropy of an instruction, summed over its words; `words` int64 `(rows, words)`."""
        if not len(summary):
            return summary.new_zeros(())
        return F.cross_entropy(self.read(summary).flatten(0, 1), words.flatten(), reduction="sum") / len(words)

    def misspelt(self, tokens: Tensor, mask: Tensor, words: Tensor) -> Tensor:
        """Mean CTC loss of an utterance: tokens `(rows, n, audio_dim)`, mask `(rows, n)`, words as `misread`."""
        log_probabilities = self.speller(tokens.float()).log_softmax(-1).transpose(0, 1)
        said = words[:, 1:]  # behind BEGIN
        length = (said != PAD).sum(1)
        loss = F.ctc_loss(log_probabilities, said, mask.sum(1), length, BLANK, reduction="none", zero_infinity=True)
        return loss.mean()

    @torch.no_grad()
    def understood(self, summary: Tensor, words: Tensor) -> Tensor:
        """Whether every word of each instruction is read right, bool `(rows,)`."""
        return (self.read(summary).argmax(-1) == words).all(1)
