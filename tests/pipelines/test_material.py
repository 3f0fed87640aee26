import numpy as np
import pytest

from sensorimotor.errors import RecipeError
from sensorimotor.pipelines.material import gather


def changed(recipe, table, **values):
    return recipe.model_copy(update={table: getattr(recipe, table).model_copy(update=values)})


def test_everybody_can_say_all_that_there_is_to_learn_and_to_judge(material, tiny_recipe):
    missions = {*material.demonstrations.missions, *material.held_out.missions}
    assert set(material.bank.texts) == set(material.held_out_bank.texts) == missions
    assert (len(material.demonstrations), len(material.held_out)) == (40, 8)
    assert (len(material.bank), len(material.held_out_bank)) == (120, 40)
    speech = tiny_recipe.speech
    for bank, speakers in ((material.bank, speech.speakers), (material.held_out_bank, speech.held_out_speakers)):
        assert {name.partition("?")[0] for name in bank.speakers} == set(speakers)


def test_what_is_held_out_was_not_shown(material, tiny_recipe):
    assert not set(material.held_out.seeds) & set(material.demonstrations.seeds)
    assert material.held_out.seeds.min() >= tiny_recipe.data.held_out_seed


def test_words_are_those_of_the_demonstrations(material):
    said = {word for mission in material.demonstrations.missions for word in mission.split()}
    for word in said:
        assert material.tokenizer.length(word) == 2
    assert material.tokenizer.max_tokens == 16


def test_it_says_what_it_makes_and_how_much(tiny_recipe, tmp_path, tiny_cache, material):
    told = []
    again = gather(tiny_recipe, tiny_cache, 1, lambda kind, numbers: told.append((kind, numbers)))
    data = [numbers for kind, numbers in told if kind == "data"]
    assert data == [
        {"what": "40 demonstrations of BabyAI-GoToObj-v0", "total": 40},
        {"what": "8 held-out demonstrations of BabyAI-GoToObj-v0", "total": 8},
        {"what": "120 utterances by 2 speakers", "total": 120},
        {"what": "40 utterances by 1 speakers", "total": 40},
    ]
    assert np.array_equal(again.bank.samples, material.bank.samples)


def test_without_speech_nobody_speaks(tiny_recipe, tiny_cache, material):
    silent = gather(tiny_recipe.model_copy(update={"speech": None}), tiny_cache, 1, lambda *_: None)
    assert silent.bank is None
    assert silent.held_out_bank is None
    assert silent.demonstrations.missions == material.demonstrations.missions


def test_no_more_is_held_out_than_is_shown(tiny_recipe, tmp_path):
    few = changed(tiny_recipe, "data", levels=(tiny_recipe.data.levels[0].model_copy(update={"episodes": 3}),))
    found = gather(few.model_copy(update={"speech": None}), tmp_path, 1, lambda *_: None)
    assert (len(found.demonstrations), len(found.held_out)) == (3, 3)


def test_novel_objects_are_kept_from_learning_and_from_judging(tiny_recipe, tiny_cache, material):
    data = {"novel": ("ball", "red key")}
    kept = gather(
        changed(tiny_recipe, "data", **data).model_copy(update={"speech": None}), tiny_cache, 1, lambda *_: None
    )
    for ours, everything in ((kept.demonstrations, material.demonstrations), (kept.held_out, material.held_out)):
        expected = [text for text in everything.missions if "ball" not in text and "red key" not in text]
        assert list(ours.missions) == expected
        assert 0 < len(expected) < len(everything)
    assert "ball" in " ".join(material.held_out.missions)


def test_missions_that_do_not_fit_are_refused(tiny_recipe, tiny_cache, material):
    with pytest.raises(RecipeError, match=r"data\.max_tokens = 4 cuts missions short: 'go to"):
        gather(changed(tiny_recipe, "data", max_tokens=4), tiny_cache, 1, lambda *_: None)
