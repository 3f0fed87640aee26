import torch

from sensorimotor.fusion.aspects import ASPECTS, ROLES
from sensorimotor.fusion.search import Search

DIM = 8


def search() -> Search:
    torch.manual_seed(0)
    return Search(DIM, width=4).eval()


def test_tokens_keep_their_shape_and_every_aspect_of_every_role_is_judged():
    tokens, evidence = search()(torch.randn(3, 5, DIM), torch.randn(3, DIM))
    assert tokens.shape == (3, 5, DIM)
    assert evidence.shape == (3, ASPECTS, 5, ROLES)


def test_a_token_is_marked_as_far_as_it_fits_in_every_aspect():
    """One aspect that does not fit is enough for no mark, however well the others fit."""
    net, tokens = search(), torch.randn(1, 1, DIM)
    for part in (net.key, net.query):
        torch.nn.init.zeros_(part.weight)
        torch.nn.init.zeros_(part.bias)

    def marked(*logits: float) -> torch.Tensor:
        with torch.no_grad():
            net.bias[:, 0, 0] = torch.tensor(logits)
            net.bias[:, 0, 1] = -30.0
            return (net(tokens, torch.zeros(1, DIM))[0] - tokens)[0, 0]

    assert torch.allclose(marked(30, 30, 30), net.mark[0], atol=1e-5)
    assert torch.allclose(marked(0, 30, 30), net.mark[0] / 2, atol=1e-5)
    assert torch.allclose(marked(30, -30, 30), torch.zeros(DIM), atol=1e-5)


def test_evidence_is_what_is_seen_times_what_is_told():
    """Without biases: twice the token gives twice the evidence, and so does twice the description."""
    net = search()
    for part in (net.key, net.query):
        torch.nn.init.zeros_(part.bias)
    tokens, told = torch.randn(2, 5, DIM), torch.randn(2, DIM)
    evidence = net(tokens, told)[1]
    assert torch.allclose(net(2 * tokens, told)[1], 2 * evidence, atol=1e-5)
    assert torch.allclose(net(tokens, 2 * told)[1], 2 * evidence, atol=1e-5)


def test_colours_and_kinds_learnt_in_other_combinations_find_a_new_one():
    """Six colours and three kinds, one-hot; three pairs are never asked for, and are found all the same."""
    torch.manual_seed(0)
    colors, kinds, never = 6, 3, {(0, 0), (1, 1), (2, 2)}
    pairs = [(color, kind) for color in range(colors) for kind in range(kinds)]
    things = torch.zeros(len(pairs), DIM + 1)
    for row, (color, kind) in enumerate(pairs):
        things[row, color] = things[row, colors + kind] = 1
    fits = torch.tensor([[[a[i] == b[i] for i in (0, 1)] for b in pairs] for a in pairs]).float()
    asked = [row for row, pair in enumerate(pairs) if pair not in never]
    net = Search(DIM + 1)
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    scene = things.expand(len(pairs), -1, -1)
    for _ in range(150):
        evidence = net(scene[asked], things[asked])[1][:, :2, :, 0].transpose(1, 2)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(evidence, fits[asked])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    evidence = net(scene, things)[1][:, :2, :, 0]
    assert torch.nn.functional.logsigmoid(evidence).sum(1).argmax(1).tolist() == list(range(len(pairs)))
