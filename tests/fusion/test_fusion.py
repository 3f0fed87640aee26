from itertools import product

import pytest
import torch

from sensorimotor.fusion.aspects import ASPECTS, ROLES
from sensorimotor.fusion.fusion import FilmBlock, Fusion, Scene, TokenShape

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPES = {
    "camera": TokenShape(n=6, dim=8, max_age_s=1.0, grid=(1, 2, 3)),
    "wrist": TokenShape(n=4, dim=8, max_age_s=1.0, grid=(1, 2, 2)),
    "mic": TokenShape(n=5, dim=12, max_age_s=1.0),
    "joints": TokenShape(n=1, dim=4, max_age_s=0.5),
}
COUNT = len(SHAPES)
DIM = 16
SUBSETS = [subset for subset in product([True, False], repeat=COUNT) if any(subset)]


@pytest.fixture(scope="module")
def fusion() -> Fusion:
    torch.manual_seed(0)
    net = Fusion(SHAPES, DIM).eval()
    for sense in net.senses.values():
        torch.nn.init.normal_(sense.age)  # as after training: it starts at zero
    return net


@pytest.fixture
def step():
    """The arguments of one step for five rows, all inputs present and new."""
    random = torch.Generator().manual_seed(1)
    tokens = [torch.randn(5, shape.n, shape.dim, generator=random) for shape in SHAPES.values()]
    masks = [torch.ones(5, shape.n, dtype=torch.bool) for shape in SHAPES.values()]
    return {
        "tokens": tokens,
        "masks": masks,
        "present": torch.ones(5, COUNT, dtype=torch.bool),
        "age_s": torch.zeros(5, COUNT),
        "memory": torch.randn(5, DIM, generator=random),
    }


def rows(step: dict, index: list[int]) -> dict:
    return {
        key: [one[index] for one in value] if isinstance(value, list) else value[index] for key, value in step.items()
    }


def differ(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool((a - b).abs().max() > 1e-4)


def test_tokens_of_all_senses_become_one_embedding_and_a_memory(fusion, step):
    embedding, memory = fusion(**step)
    assert embedding.shape == (5, DIM)
    assert memory.shape == (5, fusion.memory_size)
    assert embedding.dtype == memory.dtype == torch.float32


@pytest.mark.parametrize("subset", SUBSETS)
def test_any_subset_of_senses_gives_a_finite_embedding(fusion, step, subset):
    step["present"][:] = torch.tensor(subset)
    embedding, memory = fusion(**step)
    assert embedding.isfinite().all()
    assert memory.isfinite().all()
    assert embedding.abs().max() < 100


def test_which_senses_are_there_makes_a_difference(fusion, step):
    embeddings = []
    for subset in SUBSETS:
        step["present"][:] = torch.tensor(subset)
        embeddings.append(fusion(**step)[0][0])
    assert all(differ(a, b) for i, a in enumerate(embeddings) for b in embeddings[:i])


@pytest.mark.parametrize("absent", range(COUNT))
@pytest.mark.parametrize("garbage", [1e3, -1e3, 0.0])
def test_the_tokens_mask_and_age_of_an_absent_input_have_no_influence_at_all(fusion, step, absent, garbage):
    step["present"][:, absent] = False
    expected = fusion(**step)
    step["tokens"][absent] = torch.full_like(step["tokens"][absent], garbage)
    step["masks"][absent] = torch.zeros_like(step["masks"][absent])
    step["age_s"][:, absent] = 77.0
    for changed, same in zip(fusion(**step), expected, strict=True):
        assert torch.equal(changed, same)


@pytest.mark.parametrize("present", range(COUNT))
def test_the_tokens_of_a_present_input_matter(fusion, step, present):
    expected, _ = fusion(**step)
    step["tokens"][present] = step["tokens"][present].flip(0)
    assert differ(fusion(**step)[0], expected)


@pytest.mark.parametrize("at", [0, 2])
def test_masked_tokens_have_no_influence(fusion, step, at):
    step["masks"][at][:, 3:] = False
    expected, _ = fusion(**step)
    step["tokens"][at][:, 3:] = 1e3
    assert torch.equal(fusion(**step)[0], expected)


@pytest.mark.parametrize("others", [[1], [3, 2], [4, 3, 2, 1]])
def test_a_row_does_not_depend_on_the_other_rows(fusion, step, others):
    step["present"] = torch.tensor(SUBSETS[:4] + SUBSETS[-1:])
    step["tokens"][0][1:] *= 1e3
    step["age_s"] = torch.rand(5, COUNT)
    alone = fusion(**rows(step, [0]))
    for at in range(len(others) + 1):
        together = fusion(**rows(step, [*others[:at], 0, *others[at:]]))
        for one, row in zip(alone, together, strict=True):
            assert torch.allclose(row[at], one[0], atol=1e-5)


@pytest.mark.parametrize("name", SHAPES)
def test_age_makes_a_difference_up_to_the_oldest_age_that_counts(fusion, step, name):
    i, limit = list(SHAPES).index(name), SHAPES[name].max_age_s
    embedding = {}
    for age_s in (-1.0, 0.0, limit / 2, limit, 10 * limit):
        step["age_s"][:, i] = age_s
        embedding[age_s] = fusion(**step)[0]
    assert differ(embedding[0.0], embedding[limit / 2])
    assert differ(embedding[limit / 2], embedding[limit])
    assert torch.equal(embedding[limit], embedding[10 * limit])
    assert torch.equal(embedding[0.0], embedding[-1.0])


def test_the_order_of_tokens_makes_a_difference(fusion, step):
    expected, _ = fusion(**step)
    step["tokens"][2] = step["tokens"][2].flip(1)
    assert (fusion(**step)[0] - expected).abs().max() > 1e-5


def test_a_scale_of_minus_one_silences_what_a_film_block_adds_and_none_leaves_it_alone():
    torch.manual_seed(0)
    block, tokens, context = FilmBlock(DIM), torch.randn(2, 6, DIM), torch.randn(2, DIM)
    torch.nn.init.zeros_(block.outer.bias)
    torch.nn.init.zeros_(block.film.weight)
    torch.nn.init.zeros_(block.film.bias)
    plain = tokens + block.outer(torch.relu(block.inner(block.norm(tokens))))
    assert torch.equal(block(tokens, context), plain)
    torch.nn.init.constant_(block.film.bias[:DIM], -1)
    assert torch.allclose(block(tokens, context), tokens)
    assert differ(plain, tokens)


def test_what_was_seen_before_is_remembered(fusion, step):
    zeros = torch.zeros(5, DIM)
    first, other = step, {**step, "tokens": [one.flip(0) for one in step["tokens"]]}
    memories = [fusion(**{**past, "memory": zeros})[1] for past in (first, other)]
    assert differ(*memories)
    now = [fusion(**{**step, "memory": memory})[0] for memory in (zeros, *memories)]
    assert differ(now[0], now[1])
    assert differ(now[1], now[2])


def test_the_same_history_gives_the_same_memory_and_the_input_memory_is_left_alone(fusion, step):
    before = step["memory"].clone()
    assert torch.equal(fusion(**step)[1], fusion(**step)[1])
    assert torch.equal(step["memory"], before)


@torch.no_grad()
def test_a_memory_fed_back_for_hundreds_of_steps_stays_bounded(fusion, step):
    memory = torch.zeros(5, DIM)
    for _ in range(300):
        _, memory = fusion(**{**step, "memory": memory})
    assert memory.abs().max() <= 1.0


def test_a_policy_without_a_scene_is_fused_too():
    torch.manual_seed(0)
    net = Fusion({"joints": SHAPES["joints"]}, DIM).eval()
    one = torch.ones(2, 1, dtype=torch.bool)
    embedding, _ = net([torch.randn(2, 1, 4)], [one], one, torch.zeros(2, 1), torch.zeros(2, DIM))
    assert embedding.isfinite().all()
    assert differ(embedding[0], embedding[1])


def test_what_is_asked_for_decides_what_is_looked_for():
    """The scene is read in the light of the other senses: it does not just add to them."""
    torch.manual_seed(0)
    net = Fusion({"camera": SHAPES["camera"], "mic": SHAPES["mic"]}, DIM).eval()
    scenes, words = torch.randn(2, 6, 8), torch.randn(2, 5, 12)

    def seen(scene: int, word: int) -> torch.Tensor:
        wide, mask, _ = net.senses["camera"](
            scenes[[scene]], torch.ones(1, 6, dtype=torch.bool), torch.tensor([True]), torch.zeros(1)
        )
        _, _, asked = net.senses["mic"](
            words[[word]], torch.ones(1, 5, dtype=torch.bool), torch.tensor([True]), torch.zeros(1)
        )
        for block in net.blocks:
            wide = block(wide, net.context(asked))
        return wide

    interaction = (seen(0, 0) - seen(1, 0)) - (seen(0, 1) - seen(1, 1))
    assert interaction.abs().max() > 1e-3


def test_evidence_comes_back_token_by_token_for_what_is_told_and_not_for_what_is_seen():
    torch.manual_seed(0)
    net = Fusion({name: SHAPES[name] for name in ("camera", "wrist", "mic")}, DIM).eval()
    summaries = {name: torch.randn(2, DIM) for name in net.senses}
    scenes = {
        name: Scene(torch.randn(2, n, DIM), torch.ones(2, n, dtype=torch.bool), torch.ones(2, dtype=torch.bool))
        for name, n in (("camera", 6), ("wrist", 4))
    }
    found, evidence = net.look(summaries, scenes)
    assert found.shape == (2, DIM)
    assert [one.shape for one in evidence] == [(2, ASPECTS, 6, ROLES), (2, ASPECTS, 4, ROLES)]
    scenes["wrist"].tokens[:, 2] += 1
    _, other = net.look(summaries, scenes)
    assert torch.equal(other[0], evidence[0])
    assert [differ(other[1][:, :, i], evidence[1][:, :, i]) for i in range(4)] == [False, False, True, False]
    _, same = net.look(summaries | {"camera": summaries["camera"].flip(0)}, scenes)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(same, other, strict=True))
    _, asked = net.look(summaries | {"mic": summaries["mic"].flip(0)}, scenes)
    assert all(differ(ours, theirs) for ours, theirs in zip(asked, other, strict=True))


def test_masked_scene_tokens_are_not_found_and_nothing_is_found_in_none():
    torch.manual_seed(0)
    net = Fusion({name: SHAPES[name] for name in ("camera", "mic")}, DIM).eval()
    summaries, tokens = {name: torch.randn(2, DIM) for name in net.senses}, torch.randn(2, 6, DIM)
    mask = torch.arange(6).expand(2, 6) < 3
    present = torch.ones(2, dtype=torch.bool)
    found, _ = net.look(summaries, {"camera": Scene(tokens, mask, present)})
    tokens[:, 3:] = 1e3
    assert torch.equal(net.look(summaries, {"camera": Scene(tokens, mask, present)})[0], found)
    assert net.look(summaries, {"camera": Scene(tokens, torch.zeros_like(mask), present)})[0].isfinite().all()
