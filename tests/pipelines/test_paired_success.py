import pytest

from sensorimotor.models.execution import Execution
from sensorimotor.pipelines.evaluate import Trial
from sensorimotor.pipelines.paired_success import PairedSuccess, SameSeeds


@pytest.mark.parametrize(
    ("lost", "won", "fine"), [(0, 0, True), (4, 0, True), (5, 0, False), (5, 5, True), (0, 9, True), (20, 8, False)]
)
def test_losing_is_within_noise_where_chance_explains_it(lost, won, fine):
    assert PairedSuccess(100, 90, 90 - lost + won, lost, won).within_noise is fine


def test_what_it_came_to_is_told_in_words():
    assert str(PairedSuccess(50, 40, 38, 3, 1)) == (
        "38 of 50 episodes succeed, with the default settings 40: 3 lost, 1 won"
    )


def test_the_same_seeds_are_played_both_ways(tiny_bundle):
    played = SameSeeds(Trial(str(tiny_bundle), "BabyAI-GoToObj-v0", ("camera", "instruction"), ()), range(5, 9))
    found = played.play(Execution(optimisation="basic"))
    assert (found.episodes, found.lost, found.won) == (4, 0, 0)
    assert found.before == found.after


def test_episodes_that_are_lost_and_won_are_told_apart():
    outcomes = {1: [True, True, False, True], 2: [True, False, True, False]}

    class Scripted(SameSeeds):
        def _successes(self, trial):
            return outcomes[trial.execution.threads]

    found = Scripted(Trial("policy", "level", None, ()), range(4)).play(Execution(threads=2))
    assert found == PairedSuccess(4, before=3, after=2, lost=2, won=1)
