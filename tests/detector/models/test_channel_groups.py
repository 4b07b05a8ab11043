from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import nn

from pipeline.detector.models.channel_groups import (
    ChannelGroups,
    block_norms,
    dropped_share,
    find_groups,
    pointwise_convolutions,
)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def shuffled_blocks(count, outputs, inputs, seed=0):
    """Tensor[count * outputs, count * inputs]: dense blocks on the diagonal, rows and columns then shuffled."""
    matrix = torch.block_diag(*drawn(count, outputs, inputs, seed=seed))
    generator = torch.Generator().manual_seed(seed)
    rows, columns = (torch.randperm(side, generator=generator) for side in matrix.shape)
    return matrix[rows][:, columns]


def best_share(weight):
    """Smallest share outside two groups, by trying all."""
    squares, shares = weight.double().square(), []
    for rows in combinations(range(weight.shape[0]), weight.shape[0] // 2):
        for columns in combinations(range(weight.shape[1]), weight.shape[1] // 2):
            inside = torch.zeros(weight.shape, dtype=torch.bool)
            others = [i for i in range(weight.shape[0]) if i not in rows]
            rest = [i for i in range(weight.shape[1]) if i not in columns]
            for side, across in ((rows, columns), (others, rest)):
                inside[torch.tensor(side)[:, None], torch.tensor(across)] = True
            shares.append(float(squares[~inside].sum() / squares.sum()))
    return min(shares)


@pytest.mark.parametrize("shape", [(2, 2), (4, 4), (4, 6), (6, 4)])
@pytest.mark.parametrize("seed", range(5))
def test_no_two_groups_of_a_small_matrix_keep_more(shape, seed):
    weight = drawn(*shape, seed=seed)
    assert dropped_share(weight, find_groups(weight, 2), 2) == pytest.approx(best_share(weight), abs=1e-9)


@pytest.mark.parametrize(("count", "outputs", "inputs"), [(2, 3, 5), (4, 6, 2), (8, 3, 18), (2, 60, 40), (4, 40, 24)])
def test_blocks_that_are_there_are_found(count, outputs, inputs):
    weight = shuffled_blocks(count, outputs, inputs)
    groups = find_groups(weight, count)
    assert dropped_share(weight, groups, count) == pytest.approx(0, abs=1e-12)
    assert groups.outputs.bincount().tolist() == [outputs] * count
    assert groups.inputs.bincount().tolist() == [inputs] * count


@pytest.mark.parametrize("count", [2, 4])
def test_the_same_weights_give_the_same_groups_and_a_start_is_no_loss(count):
    weight = drawn(24, 16)
    first, second = (find_groups(weight, count) for _ in range(2))
    assert all(map(torch.equal, first, second))
    others = drawn(24, 16, seed=1)
    assert dropped_share(others, find_groups(others, count, first), count) <= dropped_share(others, first, count)


@pytest.mark.parametrize("weight", [torch.zeros(4, 4), torch.eye(4), torch.eye(4)[:, [2, 2, 3, 3]]])
def test_zeros_are_no_fault(weight):
    assert dropped_share(weight, find_groups(weight, 2), 2) == 0


def test_norms_of_blocks_written_out():
    weight = torch.tensor([[3.0, 1.0], [2.0, 0.0], [4.0, 2.0], [1.0, 5.0]])
    groups = ChannelGroups(torch.tensor([0, 1, 0, 1]), torch.tensor([0, 1]))
    torch.testing.assert_close(block_norms(weight, groups, 2), torch.tensor([[25.0, 5.0], [5.0, 25.0]]).sqrt())
    assert dropped_share(weight, groups, 2) == pytest.approx(10 / 60)


def test_which_convolutions_can_be_grouped():
    class Own(nn.Conv2d):
        """One with a forward pass of its own."""

    body = nn.Sequential(
        nn.Conv2d(4, 8, 1),
        nn.Conv2d(8, 8, 1, groups=8),
        nn.Conv2d(8, 8, 3),
        nn.Conv2d(8, 6, 1),
        nn.Conv2d(6, 4, 1),
        Own(4, 4, 1),
        nn.Conv2d(4, 4, 1, stride=2),
    )
    assert list(pointwise_convolutions(body, 4)) == ["0", "6"]
