from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
import pytest

from tests.ears import NO_TORCH

torch = pytest.importorskip("torch", reason=NO_TORCH)

from ears.alignment import LABELS  # noqa: E402
from ears.features import COEFFICIENTS  # noqa: E402
from ears.network import AHEAD, BACK, STRIDE, Network, Sequences, keep_narrow_orthogonal  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def network() -> Network:
    torch.manual_seed(1)
    return Network().eval()


def sound(frames: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(1, frames, COEFFICIENTS, generator=torch.Generator().manual_seed(seed))


# what goes in and out


def test_there_is_a_score_for_every_third_frame_begun(network: Network) -> None:
    with torch.no_grad():
        scores = {frames: network(sound(frames)).shape for frames in range(1, 41)}
    assert scores == {frames: (1, -(-frames // STRIDE), LABELS) for frames in range(1, 41)}


def test_a_score_depends_on_what_the_network_says_it_sees_and_on_nothing_beyond(network: Network) -> None:
    frames, at = sound(120), 20
    with torch.no_grad():
        plain = network(frames)[0, at]
        for frame, seen in [
            (at * STRIDE - BACK - 1, False), (at * STRIDE - BACK, True), (at * STRIDE + AHEAD, True),
            (at * STRIDE + AHEAD + 1, False),
        ]:  # fmt: skip
            changed = frames.clone()
            changed[0, frame] += 5
            assert bool((network(changed)[0, at] != plain).any()) is seen, frame


def test_beyond_its_ends_speech_is_as_at_its_ends(network: Network) -> None:
    frames = sound(30)
    longer = torch.cat([frames[:, :1].expand(-1, 60, -1), frames, frames[:, -1:].expand(-1, 60, -1)], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(network(frames)[:, :10], network(longer)[:, 20:30], atol=1e-5, rtol=1e-4)


def test_what_is_said_beside_it_in_a_batch_changes_no_score(network: Network) -> None:
    with torch.no_grad():
        both = network(torch.cat([sound(30, 1), sound(30, 2)]))
        torch.testing.assert_close(both[:1], network(sound(30, 1)), atol=1e-5, rtol=1e-4)


def test_narrow_halves_become_orthogonal() -> None:
    torch.manual_seed(2)
    network = Network()

    def skew() -> float:
        matrix = network.layers[0].narrow.weight.detach()
        product = matrix @ matrix.T
        size = (product * product).sum() / product.trace()
        return float((product / size - torch.eye(len(matrix))).norm())

    before = skew()
    for _ in range(50):
        keep_narrow_orthogonal(network)
    assert skew() < 0.2 * before


# what it is taught by


@pytest.fixture
def sequences() -> Sequences:
    return Sequences.of([[0, 1, 2, 0], [0, 3, 1, 0], [0, 2, 0]])


def weight(sequences: Sequences, scores: npt.NDArray[np.float64], path: tuple[int, ...]) -> float:
    """Of one label a moment: staying costs nothing, each change what the phones before it make likely."""
    follows = sequences.follows.double().numpy()
    total = np.log(follows[LABELS, path[0]]) + scores[0, path[0]]
    for moment in range(1, len(path)):
        before, now = path[moment - 1], path[moment]
        total += scores[moment, now] + (0.0 if before == now else np.log(follows[before, now]))
    return float(total)


def some_scores(*shape: int, seed: int = 3) -> torch.Tensor:
    return 2 * torch.randn(*shape, LABELS, generator=torch.Generator().manual_seed(seed))


def test_how_likely_phones_follow_one_another_sums_to_one_and_none_follows_itself(
    sequences: Sequences,
) -> None:
    follows = sequences.follows
    torch.testing.assert_close(follows.sum(dim=1), torch.ones(LABELS + 1))
    assert float(follows[:LABELS].diagonal().abs().max()) == 0
    assert follows[LABELS].argmax() == 0
    assert follows[3].argmax() == 1


def test_the_weight_of_all_sequences_is_that_of_each_added_up(sequences: Sequences) -> None:
    scores = some_scores(2, 3)
    for row, moments in ((0, 3), (1, 2)):
        each = [
            weight(sequences, scores[row].double().numpy(), path)
            for path in itertools.product(range(LABELS), repeat=moments)
            if moments == 2 or path[0] < 12
        ]
        if moments == 3:  # begun by one of twelve only, to be quick
            few = scores[row : row + 1].clone()
            few[0, 0, 12:] = -1e4
            got = sequences.all(few, torch.tensor([3]))[0]
        else:
            got = sequences.all(scores, torch.tensor([3, 2]))[1]
        assert float(got) == pytest.approx(np.logaddexp.reduce(each), abs=1e-4)


@pytest.mark.parametrize("said", [(0,), (0, 1), (2, 1, 0), (0, 3, 1, 0)])
def test_the_weight_of_what_was_said_is_that_of_all_its_ways_in_time(
    sequences: Sequences, said: tuple[int, ...]
) -> None:
    scores = some_scores(1, 5)
    ways = [
        path
        for path in itertools.product(set(said), repeat=5)
        if tuple(label for label, _ in itertools.groupby(path)) == said
    ]
    each = [weight(sequences, scores[0].double().numpy(), path) for path in ways]
    padded = torch.tensor([[*said, 0, 0]])
    got = sequences.one(scores, torch.tensor([5]), padded, torch.tensor([len(said)]))
    assert float(got[0]) == pytest.approx(np.logaddexp.reduce(each), abs=1e-4)


def test_what_comes_after_the_end_of_an_utterance_counts_for_nothing(sequences: Sequences) -> None:
    scores, said, counts = some_scores(1, 6), torch.tensor([[0, 1]]), torch.tensor([2])
    longer = torch.cat([scores, 50 * some_scores(1, 4, seed=9)], dim=1)
    for weigh in (sequences.all, lambda s, n: sequences.one(s, n, said, counts)):
        assert float(weigh(longer, torch.tensor([6]))) == pytest.approx(
            float(weigh(scores, torch.tensor([6])))
        )


def test_one_sequence_never_weighs_more_than_all(sequences: Sequences) -> None:
    scores, lengths = 5 * some_scores(1, 8), torch.tensor([8])
    every = float(sequences.all(scores, lengths))
    for said in ([0, 1, 0], [2], [0, 3, 1, 2, 0]):
        one = sequences.one(scores, lengths, torch.tensor([said]), torch.tensor([len(said)]))
        assert float(one) < every


def test_the_truth_costs_less_than_another_sequence(sequences: Sequences) -> None:
    path = torch.tensor([0, 0, 1, 1, 2, 2, 0])
    scores = torch.zeros(1, 7, LABELS)
    scores[0, torch.arange(7), path] = 6.0
    asked = (scores, torch.tensor([7]))
    truth, other, short = (
        float(sequences.by_utterance(*asked, torch.tensor([said]), torch.tensor([len(said)])))
        for said in ([0, 1, 2, 0], [0, 3, 2, 0], [0])
    )
    assert 0 < truth < min(other, short)


def test_an_utterance_with_more_phones_than_moments_teaches_nothing(sequences: Sequences) -> None:
    scores = some_scores(2, 3).requires_grad_()
    loss = sequences.by_utterance(
        scores, torch.tensor([3, 2]), torch.tensor([[0, 1, 0], [0, 1, 0]]), torch.tensor([3, 3])
    )
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(scores.grad).all()
    assert float(scores.grad[1].abs().max()) == 0
    assert float(scores.grad[0].abs().max()) > 0
