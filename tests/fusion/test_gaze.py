import pytest
import torch

from sensorimotor.fusion.aspects import ASPECTS, ROLES
from sensorimotor.fusion.fusion import Fusion, TokenShape
from sensorimotor.fusion.gaze import Gaze, waves

SHAPES = {
    "camera": TokenShape(n=12, dim=8, max_age_s=1.0, grid=(1, 3, 4)),
    "wrist": TokenShape(n=4, dim=8, max_age_s=1.0, grid=(1, 2, 2)),
    "instruction": TokenShape(n=5, dim=12, max_age_s=1.0),
}
DIM = 16


def evidence_at(cells: list[int], n: int = 12) -> torch.Tensor:
    """Evidence of one row that speaks for some tokens and against all others."""
    evidence = torch.full((1, ASPECTS, n, ROLES), -30.0)
    evidence[:, :, cells] = 30.0
    return evidence


def look(cells: list[int]) -> list[float]:
    everything = torch.ones(1, 12, dtype=torch.bool)
    return Gaze((1, 3, 4))(evidence_at(cells), everything, everything[:, 0])[0].tolist()


def test_what_fits_in_one_cell_is_there():
    down, right = look([0])[:2]
    assert (down, right) == pytest.approx((-(3**0.5), -(3**0.5)))
    assert look([11])[:2] == pytest.approx([-down, -right])


def test_what_fits_in_two_cells_is_between_them():
    first, second, both = (torch.tensor(look(cells)) for cells in ([5], [6], [5, 6]))
    assert torch.allclose(both, (first + second) / 2, atol=1e-6)


def test_what_fits_nowhere_or_everywhere_is_in_the_middle():
    for cells in ([], list(range(12))):
        assert torch.allclose(torch.tensor(look(cells)), torch.tensor([0.0] * (2 * ROLES) + [1.0]), atol=1e-6)


def test_a_masked_token_is_no_place_even_if_it_fits():
    mask = torch.ones(1, 12, dtype=torch.bool)
    mask[:, 11] = False
    place = Gaze((1, 3, 4))(evidence_at([0, 11]), mask, mask[:, 0])
    assert torch.allclose(place[0], torch.tensor(look([0])), atol=1e-6)


def test_a_scene_that_is_not_there_is_said_not_to_be_whatever_stands_for_it():
    there = torch.tensor([False])
    for n in (12, 1):
        place = Gaze((1, 3, 4))(evidence_at([0], n), torch.ones(1, n, dtype=torch.bool), there)
        assert place.tolist() == [[0.0] * (2 * ROLES + 1)]


def test_places_of_a_video_are_those_of_its_frames():
    assert torch.equal(Gaze((2, 3, 4)).places, Gaze((1, 3, 4)).places.repeat(2, 1))


def test_nothing_of_a_scene_but_places_reaches_the_embedding_and_there_is_no_memory():
    torch.manual_seed(0)
    net = Fusion(SHAPES, DIM, gaze=True, memory=False).eval()
    assert net.memory_size == 0
    tokens = [torch.randn(2, shape.n, shape.dim) for shape in SHAPES.values()]
    masks = [torch.ones(2, shape.n, dtype=torch.bool) for shape in SHAPES.values()]
    present, age_s, memory = torch.ones(2, 3, dtype=torch.bool), torch.zeros(2, 3), torch.zeros(2, 0)
    embedding, after = net(tokens, masks, present, age_s, memory)
    assert embedding.shape == (2, DIM)
    assert after.shape == (2, 0)
    flat = [torch.zeros_like(net.gazes[name].places) for name in ("camera", "wrist")]
    changed = [tokens[0] + 1, tokens[1] - 1, tokens[2]]
    assert not torch.equal(net(changed, masks, present, age_s, memory)[0], embedding)
    net.gazes["camera"].places, net.gazes["wrist"].places = flat
    blind = net(tokens, masks, present, age_s, memory)[0]
    assert torch.equal(net(changed, masks, present, age_s, memory)[0], blind)


def test_what_is_told_moves_the_gaze():
    torch.manual_seed(0)
    net = Fusion(SHAPES, DIM, gaze=True).eval()
    tokens = [torch.randn(1, shape.n, shape.dim) for shape in SHAPES.values()]
    masks = [torch.ones(1, shape.n, dtype=torch.bool) for shape in SHAPES.values()]
    places = []
    net.gazes["camera"].register_forward_hook(lambda *call: places.append(call[2]))
    for words in (tokens[2], -tokens[2]):
        net([*tokens[:2], words], masks, torch.ones(1, 3, dtype=torch.bool), torch.zeros(1, 3), torch.zeros(1, DIM))
    assert not torch.allclose(*places)


def test_near_places_begin_alike_and_no_two_are_the_same():
    places = waves((1, 6, 8), 32)
    distance = torch.cdist(places, places) + 100 * torch.eye(48)
    assert places.shape == (48, 32)
    assert distance.min() > 0.1
    assert distance[0, 1] < distance[0, 3] < distance[0, 7]
    assert torch.equal(waves((2, 6, 8), 32), places.repeat(2, 1))
