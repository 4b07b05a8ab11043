from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from pipeline.detector.models.bodies.paths import kept_channels, rank_channels, take_path
from pipeline.detector.search.latency import latency_table, relative_latencies
from pipeline.detector.search.space import WHOLE, WIDTHS
from pipeline.detector.search.supernet import ElasticBlock, elastic, use_path
from pipeline.settings import PathSettings
from tests.detector.small import detector, noise

PART = PathSettings(depths=(1, 2, 2, 1, 3, 1), widths=(0.5, 1.0, 0.75, 0.5, 0.75, 0.5))
SMALLEST = PathSettings(depths=(1,) * 6, widths=(0.5,) * 6)


@pytest.fixture
def model():
    return detector(backbone="tf_efficientnet_lite0", weights="packaged").eval()


def maps(body):
    return body(noise(2).float() / 255)


@pytest.mark.parametrize("path", [WHOLE, PART, SMALLEST])
def test_a_path_of_the_supernet_is_the_sliced_body(model, path):
    sliced = deepcopy(model.body)
    take_path(sliced, path)
    with elastic(model), torch.no_grad():
        model.body._forward_pre_hooks.clear()  # which would draw another path
        use_path(model.body, path)
        for one, other in zip(maps(model.body), maps(sliced), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_only_weights_of_the_path_get_a_gradient(model):
    with elastic(model):
        model.body.train()
        torch.manual_seed(0)
        sum(level.square().sum() for level in maps(model.body)).backward()
        blocks = [each for each in model.body.modules() if isinstance(each, ElasticBlock)]
        assert {each.width for each in blocks} == {0.0, *WIDTHS}
        for each in blocks:
            gradient = each.block.conv_pwl.weight.grad
            used = [] if gradient is None else gradient.flatten(2).any(2).any(0).nonzero().flatten().tolist()
            kept = kept_channels(each.get_buffer("ranked"), each.width).tolist() if each.width else []
            assert set(used) <= set(kept)
            assert bool(used) == bool(kept)


def test_each_step_draws_its_path_from_its_seed(model):
    def drawn(seed):
        torch.manual_seed(seed)
        model.body.train()
        maps(model.body)
        return [each.width for each in model.body.modules() if isinstance(each, ElasticBlock)]

    with elastic(model), torch.no_grad():
        assert drawn(1) == drawn(1)
        assert len({tuple(drawn(seed)) for seed in range(5)}) == 5
        model.body.eval()
        maps(model.body)
        assert {each.width for each in model.body.modules() if isinstance(each, ElasticBlock)} == {1.0}


def test_afterwards_the_detector_is_as_it_was(model):
    names, before = list(model.state_dict()), maps(model.body)
    with elastic(model):
        assert list(model.state_dict()) != names
    assert list(model.state_dict()) == names
    assert all(torch.equal(one, other) for one, other in zip(maps(model.body), before, strict=True))


def test_the_table_adds_up(model):
    table = latency_table(model.body, 64)
    assert table.share(WHOLE) == 1
    assert tuple(map(len, table.blocks)) == WHOLE.depths
    assert all(set(block) == {0.5, 0.75, 1.0} for stage in table.blocks for block in stage)
    one_less = PathSettings(depths=(2, 2, 3, 3, 3, 1))
    whole = table.fixed + sum(block[1.0] for stage in table.blocks for block in stage)
    assert table.share(one_less) == pytest.approx(1 - table.blocks[4][3][1.0] / whole)


def test_whole_bodies_are_timed(model):
    sliced = deepcopy(model.body)
    take_path(sliced, SMALLEST, rank_channels(sliced))
    shares = relative_latencies([model.body, sliced], model.body, 64)
    assert len(shares) == 2
    assert all(share > 0 for share in shares)
