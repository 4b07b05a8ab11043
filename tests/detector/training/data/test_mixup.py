from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.detector.training.data.mixup import is_on, mix_pair, mixup
from pipeline.seeds import numpy_generator
from pipeline.settings import MixupSettings
from tests.detector.small import noise, target

ALWAYS = MixupSettings(probability=1.0)


@pytest.mark.parametrize(
    ("values", "progress", "expected"),
    [
        ({"enabled": False}, 0.5, False),
        ({}, 0.0, True),  # by default on until the learning rate falls
        ({}, 0.74, True),
        ({}, 0.75, False),
        ({"start": 0.2, "end": 0.8}, 0.19, False),
        ({"start": 0.2, "end": 0.8}, 0.2, True),
        ({"start": 0.2, "end": 0.8}, 0.79, True),
        ({"start": 0.2, "end": 0.8}, 0.8, False),
        ({"start": 0.0, "end": 1.0}, 0.0, True),
        ({"start": 0.5, "end": 0.5}, 0.5, False),
    ],
)
def test_is_on(values, progress, expected):
    assert is_on(MixupSettings(**values), progress) == expected


ONE = torch.full((3, 2, 2), 100, dtype=torch.uint8), target([(0, 0, 1, 1)], [1], [0.8], [(0, 0, 2, 2)])
TWO = torch.full((3, 2, 2), 200, dtype=torch.uint8), target([(1, 1, 2, 2), (0, 1, 1, 2)], [2, 1], [1.0, 0.5])
NONE = torch.full((3, 2, 2), 255, dtype=torch.uint8), target()


@pytest.mark.parametrize(
    ("first", "second", "share", "pixel", "labels", "weights", "regions"),
    [
        (NONE, NONE, 0.5, 255, [], [], 0),
        (ONE, NONE, 0.75, 139, [1], [0.6], 1),  # .75 x 100 + .25 x 255 = 138.75
        (ONE, TWO, 0.75, 125, [1, 2, 1], [0.6, 0.25, 0.125], 1),
        (ONE, TWO, 1.0, 100, [1, 2, 1], [0.8, 0.0, 0.0], 1),
        (ONE, TWO, 0.0, 200, [1, 2, 1], [0.0, 1.0, 0.5], 1),
    ],
)
def test_mix_pair_written_out(first, second, share, pixel, labels, weights, regions):
    pixels, joined = mix_pair(first, second, share)
    assert pixels.dtype == torch.uint8
    assert pixels.unique().tolist() == [pixel]
    assert joined["labels"].tolist() == labels
    assert joined["weights"].tolist() == pytest.approx(weights)
    assert torch.equal(joined["boxes"], torch.cat([first[1]["boxes"], second[1]["boxes"]]))
    assert len(joined["ignore"]) == regions


def batch(count):
    images = noise(count, size=8)
    return images, [target([(0, 0, 1 + i, 1 + i)], [i + 1]) for i in range(count)]


def test_every_image_is_blended_with_the_next_unmixed_one():
    images, targets = batch(3)
    mixed, joined = mixup(images, targets, ALWAYS, seed=4, step=7)
    random = numpy_generator(4, "mixup", 7)
    random.random(3)
    shares = random.beta(1.5, 1.5, 3)
    assert [one["labels"].tolist() for one in joined] == [[1, 2], [2, 3], [3, 1]]
    for index, share in enumerate(shares):
        expected = share * images[index].float() + (1 - share) * images[(index + 1) % 3].float()
        assert (mixed[index].float() - expected).abs().max() <= 0.501
        assert joined[index]["weights"].tolist() == pytest.approx([share, 1 - share])


@pytest.mark.parametrize(("count", "settings"), [(1, ALWAYS), (3, MixupSettings(probability=0.0))])
def test_a_batch_that_stays_as_it_is(count, settings):
    images, targets = batch(count)
    mixed, joined = mixup(images, targets, settings, seed=0, step=0)
    assert torch.equal(mixed, images)
    assert [one["labels"].tolist() for one in joined] == [one["labels"].tolist() for one in targets]


def test_what_went_in_is_left_alone():
    images, targets = batch(3)
    before = images.clone()
    mixup(images, targets, ALWAYS, seed=0, step=0)
    assert torch.equal(images, before)
    assert [len(one["boxes"]) for one in targets] == [1, 1, 1]


def test_the_same_step_draws_the_same_blends_and_another_others():
    images, targets = batch(3)
    one, again, other = (mixup(images, targets, ALWAYS, seed=0, step=step)[0] for step in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_probability_and_alpha_are_what_they_say():
    images, targets = batch(2)
    half = MixupSettings(probability=0.5, alpha=8.0)
    drawn = [one for step in range(400) for one in mixup(images, targets, half, 0, step)[1]]
    shares = np.array([one["weights"][0].item() for one in drawn if len(one["boxes"]) == 2])
    assert len(shares) / 800 == pytest.approx(0.5, abs=0.06)
    assert shares.mean() == pytest.approx(0.5, abs=0.03)
    assert shares.std() == pytest.approx(np.sqrt(1 / (4 * (2 * 8 + 1))), rel=0.1)  # of Beta(8, 8)


@pytest.mark.parametrize(
    ("values", "pseudo", "partners"),
    [
        ({}, [False, False, False], [1, 2, 0]),
        ({"labeled_with_labeled": False}, [False, False], [None, None]),
        ({}, [True, True], [None, None]),  # two machine-labelled images would add up their mistakes
        ({}, [False, False, True, True], [1, 2, 0, 0]),
        ({"labeled_with_pseudo": False}, [False, False, True, True], [1, 0, None, None]),
        ({"labeled_with_labeled": False}, [False, False, True, True], [2, 2, 0, 0]),
        ({"labeled_with_labeled": False, "labeled_with_pseudo": False}, [False, True], [None, None]),
    ],
)
def test_what_is_blended_with_what(values, pseudo, partners):
    images, targets = batch(len(pseudo))
    _, joined = mixup(images, targets, MixupSettings(probability=1.0, **values), seed=0, step=0, pseudo=pseudo)
    expected = [[i + 1] if partner is None else [i + 1, partner + 1] for i, partner in enumerate(partners)]
    assert [one["labels"].tolist() for one in joined] == expected


def test_visible_boxes_are_joined():
    first, second = ((pixels, {**one, "visible": one["boxes"] / 2}) for pixels, one in (ONE, TWO))
    joined = mix_pair(first, second, 0.5)[1]
    assert torch.equal(joined["visible"], joined["boxes"] / 2)
