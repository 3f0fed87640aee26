import re
from copy import deepcopy

import pytest

from sensorimotor.models.bundle import CARD, Bundle
from sensorimotor.models.card import card


@pytest.fixture
def bundle(tiny_bundle):
    return Bundle.load(tiny_bundle)


def test_the_card_in_a_bundle_is_written_from_its_configuration(bundle):
    assert bundle.file(CARD).read_text() == card(bundle.signature, bundle.config)


def test_it_tells_a_person_what_they_should_know_before_using_it(bundle):
    text, config = card(bundle.signature, bundle.config), bundle.config
    assert text.startswith("# tiny\n")
    for fact in (
        config["description"],
        "left, right, forward, pickup, drop, toggle, done",
        "10 decisions a second",
        "120 steps",
        f"{config['parameters']:,} parameters",
        config["provenance"]["machine"]["processor"],
        f"{config['metrics']['held_out']['camera + mic']['accuracy']:.1%}",
        f"{config['parity']['closed_loop_steps']} closed-loop steps",
        f"temperature of {config['metrics']['calibration']['temperature']:.2f}",
        "Licence of weights and text: Apache-2.0",
    ):
        assert fact in text
    assert re.search(r"\| camera \| an image, uint8 \(56, 56, 3\) \| yes \|", text)
    assert re.search(r"\| mic \| an audio utterance.* \| no \|", text)


def test_weights_of_others_are_named_with_their_licences(bundle):
    foreign = {"input": "camera", "weights": "ViT-B-32-256 (datacomp)", "source": "https://example.org/vit"}
    config = {**bundle.config, "weights": [{**foreign, "licence": "mit", "training": "lora"}]}
    text = card(bundle.signature, config)
    assert "\n## Weights of others\n" in text
    assert "| camera | ViT-B-32-256 (datacomp) | https://example.org/vit | mit | lora |" in text
    assert "Licence of weights and text: Apache-2.0" not in text
    assert "Licence of all other weights and of the text: Apache-2.0." in text


def test_a_policy_that_was_stopped_before_calibration_says_nothing_about_it(bundle):
    config = deepcopy(dict(bundle.config))
    config["metrics"]["calibration"] = None
    text = card(bundle.signature, config)
    assert "calibration error" not in text
    assert "\n## Parity\n" in text


def test_actions_without_names_are_described_by_their_space(bundle):
    from dataclasses import replace

    from sensorimotor.actions.space import Discrete
    from sensorimotor.models.signature import Constant

    signature = replace(bundle.signature, action_space=Discrete(7), safe_action=Constant(0))
    assert "Actions: Discrete(7), trained for 10 decisions a second." in card(signature, bundle.config)
