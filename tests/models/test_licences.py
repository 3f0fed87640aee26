"""What is said of the weights of others, and who is warned of what."""

import pytest

from sensorimotor.errors import LicenceWarning
from sensorimotor.models.licences import foreign_weights, restrictions, warn_of_restrictions
from sensorimotor.models.network import NetworkSpec
from sensorimotor.perception.clip import ClipSpec
from sensorimotor.perception.pretrained import Origin
from sensorimotor.perception.whisper_encoder import WhisperSpec

APPLE = Origin(weights="MobileCLIP2-S0 (dfndr2b)", source="https://example.org/apple", licence="apple-amlr")
OPEN = Origin(weights="Whisper tiny", source="https://example.org/whisper", licence="mit")
SPEC = NetworkSpec(
    encoders={"camera": ClipSpec(origin=APPLE, training="lora"), "mic": WhisperSpec(origin=OPEN), "ear": WhisperSpec()}
)


def test_every_pretrained_encoder_is_listed_and_what_is_not_known_says_so():
    assert foreign_weights(SPEC) == [
        {"input": "camera", **APPLE.model_dump(), "training": "lora"},
        {"input": "mic", **OPEN.model_dump(), "training": "frozen"},
        {"input": "ear", "weights": "tiny", "source": "not stated", "licence": "not stated", "training": "frozen"},
    ]
    assert foreign_weights(NetworkSpec()) == []


def test_only_restricted_weights_are_warned_of_by_name_and_licence():
    (sentence,) = restrictions(SPEC)
    for fact in ("'camera'", APPLE.weights, "apple-amlr", "research only", APPLE.source):
        assert fact in sentence
    with pytest.warns(LicenceWarning, match="MobileCLIP2-S0") as caught:
        warn_of_restrictions(SPEC)
    assert len(caught) == 1


@pytest.mark.filterwarnings("error")
def test_free_weights_are_not_warned_of():
    warn_of_restrictions(NetworkSpec(encoders={"mic": WhisperSpec(origin=OPEN), "ear": WhisperSpec()}))
