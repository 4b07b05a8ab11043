"""Every switch and number of training does what it says: in the batches, in the losses, in what the backbone learns."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import pytest
import torch

from pipeline.detector.models import detector as detectors
from pipeline.detector.training.loop import fine_tune
from pipeline.detector.training.run import RunSpec
from pipeline.folder import Folder
from pipeline.settings import (
    AugmentSettings,
    CopyPasteSettings,
    FocalSettings,
    MixupSettings,
    MosaicSettings,
    OhemSettings,
    StrongViewSettings,
    TripletSettings,
)
from tests.detector.small import ARCHITECTURES, detector, differing, plan, scenes, training, weights_of

ONE_STAGE = ("retinanet", "fcos")
STILL = {"horizontal_flip": 0.0, "scale_min": 1.0, "scale_max": 1.0, "shift": 0.0, "color": 0.0, "blur": 0.0}
"""Augmentation that changes nothing."""


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    """Six images with a bolt and a nut each."""
    return scenes(tmp_path_factory.mktemp("switches"))


# What a batch holds


@pytest.fixture
def shown(samples):
    """Pixels and targets of ten steps, image by image."""

    def images(**values):
        batches = plan(samples, training(steps=10, batch_size=3, **values))
        return [pair for step in range(10) for pair in zip(batches[step].images, batches[step].targets, strict=True)]

    return images


def boxes_per_image(images):
    return [len(target["boxes"]) for _, target in images]


def test_with_everything_off_images_are_shown_as_they_are(shown, samples):
    images = shown()
    assert boxes_per_image(images) == [2] * 30
    assert all(target["weights"].tolist() == [1.0, 1.0] and len(target["ignore"]) == 0 for _, target in images)
    assert len({pixels.numpy().tobytes() for pixels, _ in images}) == len(samples)


def test_mixup_joins_the_boxes_of_two_images_and_divides_their_weight(shown):
    images = shown(mixup=MixupSettings(start=0.0, end=1.0, probability=1.0))
    assert boxes_per_image(images) == [4] * 30
    assert all(target["weights"].sum().item() == pytest.approx(2.0) for _, target in images)
    assert all(0 <= target["weights"].min() <= target["weights"].max() <= 1 for _, target in images)


def test_the_larger_alpha_the_more_evenly_mixup_blends(shown):
    def unevenness(alpha):
        images = shown(mixup=MixupSettings(start=0.0, end=1.0, probability=1.0, alpha=alpha))
        return sum((target["weights"] - 0.5).abs().mean().item() for _, target in images) / len(images)

    levels = [unevenness(alpha) for alpha in (0.1, 1.5, 30.0)]
    assert levels == sorted(levels, reverse=True)
    assert levels[0] > 0.35
    assert levels[2] < 0.1


@pytest.mark.parametrize(("probability", "least", "most"), [(0.0, 0, 0), (0.5, 9, 21), (1.0, 30, 30)])
def test_mixup_blends_the_share_that_is_set(shown, probability, least, most):
    images = shown(mixup=MixupSettings(start=0.0, end=1.0, probability=probability))
    assert least <= boxes_per_image(images).count(4) <= most


def test_mixup_is_on_in_its_part_of_the_run(shown):
    images = shown(mixup=MixupSettings(start=0.5, end=0.8, probability=1.0))
    assert boxes_per_image(images) == [2] * 15 + [4] * 9 + [2] * 6


def test_a_mosaic_shows_more_than_one_image(shown):
    images = shown(mosaic=MosaicSettings(enabled=True, probability=1.0, end=1.0))
    marked = [len(target["boxes"]) + len(target["ignore"]) for _, target in images]
    assert sum(marked) / len(marked) > 3
    assert max(boxes_per_image(images)) > 2


def test_copy_paste_adds_objects_to_every_image(shown):
    images = shown(copy_paste=CopyPasteSettings(enabled=True, probability=1.0, objects=2))
    marked = [len(target["boxes"]) + len(target["ignore"]) for _, target in images]
    assert set(marked) == {3, 4}
    assert all((target["weights"] == 1).all() for _, target in images)


@pytest.mark.parametrize("labeled_too", [False, True])
def test_the_strong_view_takes_the_colour_of_the_images_that_it_is_for(shown, labeled_too):
    strong = StrongViewSettings(enabled=True, labeled_too=labeled_too, gray=1.0, color=0.0, blur=0.0, erase=0.0)
    for pixels, target in shown(augment=AugmentSettings(**STILL, strong=strong)):
        is_gray = torch.equal(pixels[0], pixels[1]) and torch.equal(pixels[1], pixels[2])
        assert is_gray == labeled_too
        assert len(target["boxes"]) == 2, "what lies where stays the same"


def test_turned_objects_have_larger_boxes(shown):
    def area(degrees):
        images = shown(augment=AugmentSettings(**STILL, rotate_deg=degrees))
        sides = torch.cat([target["boxes"][:, 2:] - target["boxes"][:, :2] for _, target in images])
        return sides.prod(1).mean().item()

    areas = [area(degrees) for degrees in (0.0, 10.0, 20.0)]
    assert areas == sorted(areas)
    assert areas[2] > 1.2 * areas[0]


# What it costs, and what the backbone learns from it


@dataclass(frozen=True)
class Lesson:
    """What one batch teaches a new detector.

    Attributes:
        losses: By name.
        gradient: Of the backbone's body.
    """

    losses: dict[str, float]
    gradient: torch.Tensor


@pytest.fixture(scope="module")
def lesson(samples):
    """Gives the lesson of some settings; the same detector and batch each time, and each made once."""

    @functools.cache
    def made(architecture, values):
        settings = training(batch_size=3, **dict(values))
        model = detector(architecture, settings=settings)
        batch = plan(samples, settings)[0]
        torch.manual_seed(0)  # Faster R-CNN draws which proposals it learns from
        losses = model.losses(batch.images, batch.targets)
        sum(losses.values()).backward()
        gradients = [p.grad.flatten() for p in model.body.parameters() if p.grad is not None]
        return Lesson({name: loss.item() for name, loss in losses.items()}, torch.cat(gradients))

    return lambda architecture, **values: made(architecture, tuple(sorted(values.items())))


def rest(lesson, without):
    return {name: loss for name, loss in lesson.losses.items() if name != without}


def classification(lesson):
    return lesson.losses["classification"]


@pytest.mark.parametrize("architecture", ONE_STAGE)
def test_focal_loss_without_gamma_is_weighted_cross_entropy(lesson, architecture):
    plain = lesson(architecture, classification="cross_entropy")
    focal = lesson(architecture, focal=FocalSettings(alpha=0.5, gamma=0.0))
    assert classification(focal) == pytest.approx(0.5 * classification(plain), rel=1e-4)
    assert rest(focal, "classification") == rest(plain, "classification")
    assert not torch.equal(focal.gradient, plain.gradient)


@pytest.mark.parametrize("architecture", ONE_STAGE)
def test_the_larger_gamma_the_less_sure_examples_cost(lesson, architecture):
    costs = [classification(lesson(architecture, focal=FocalSettings(gamma=gamma))) for gamma in (0.0, 1.0, 2.0, 4.0)]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > 1.1 * costs[-1]


@pytest.mark.parametrize("architecture", ONE_STAGE)
def test_alpha_weighs_objects_against_background(lesson, architecture):
    background, objects, mixed = (
        classification(lesson(architecture, focal=FocalSettings(alpha=alpha))) for alpha in (0.0, 1.0, 0.25)
    )
    assert min(background, objects) > 0
    assert mixed == pytest.approx(0.25 * objects + 0.75 * background, rel=1e-4)


@pytest.mark.parametrize("focal", [FocalSettings(alpha=0.5), FocalSettings(gamma=1.0)])
def test_focal_loss_has_no_effect_on_faster_rcnn(lesson, focal):
    """Its classifier has softmax cross-entropy, as `unused_settings` says."""
    changed, plain = lesson("faster_rcnn", focal=focal), lesson("faster_rcnn", classification="cross_entropy")
    assert changed.losses == plain.losses
    assert torch.equal(changed.gradient, plain.gradient)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_hard_examples_leave_out_the_cheapest_background(lesson, architecture):
    few = lesson(architecture, classification="ohem", ohem=OhemSettings(negatives_per_object=0.5))
    more = lesson(architecture, classification="ohem", ohem=OhemSettings(negatives_per_object=3.0))
    everything = lesson(architecture, classification="cross_entropy")
    assert 0 < classification(few) < classification(more) < classification(everything)
    assert rest(few, "classification") == rest(everything, "classification")
    assert not torch.equal(few.gradient, more.gradient)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_label_smoothing_moves_the_loss_in_proportion(lesson, architecture):
    """Cross-entropy is linear in its targets."""
    none, some, much = (
        lesson(architecture, classification="cross_entropy", label_smoothing=eps) for eps in (0.0, 0.1, 0.2)
    )
    slope = classification(some) - classification(none)
    assert classification(much) - classification(none) == pytest.approx(2 * slope, rel=1e-2, abs=1e-5)
    change = (some.gradient - none.gradient, much.gradient - none.gradient)
    assert change[0].norm() > 0
    torch.testing.assert_close(change[1], 2 * change[0], rtol=1e-2, atol=1e-5)
    assert rest(some, "classification") == rest(none, "classification")


def pulled(**values):
    return {"triplet": TripletSettings(**{"weight": 1.0, "margin": 2.0, **values})}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_triplet_loss_is_added_by_its_weight(lesson, architecture):
    none, whole, part = (lesson(architecture, **values) for values in ({}, pulled(), pulled(weight=0.25)))
    assert rest(whole, "triplet") == none.losses
    assert part.losses["triplet"] == pytest.approx(0.25 * whole.losses["triplet"]) != 0
    pull = whole.gradient - none.gradient
    assert pull.norm() > 0
    torch.testing.assert_close(part.gradient - none.gradient, 0.25 * pull, rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_margin_is_what_every_active_triplet_costs_more(lesson, architecture):
    """With unit vectors and a margin near 2 no triplet is free."""
    wide, narrow = (lesson(architecture, **pulled(margin=margin)).losses["triplet"] for margin in (2.0, 1.75))
    assert wide - narrow == pytest.approx(0.25, abs=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_hardest_triplets_cost_more_than_all_and_semi_hard_ones_less_than_the_margin(lesson, architecture):
    hard, every, semi = (
        lesson(architecture, **pulled(mining=mining)).losses["triplet"]
        for mining in ("batch_hard", "batch_all", "semi_hard")
    )
    assert 0 < semi < 2.0, "their negatives are farther than their positives"
    assert semi <= every < hard


def seen_boxes(samples, monkeypatch, architecture, **triplet):
    """Labels of the boxes that the triplet loss of one batch is about; those of background are negative."""
    seen = []
    monkeypatch.setattr(detectors, "triplet_loss", lambda vectors, labels, _: (seen.extend(labels), vectors.sum())[1])
    settings = training(batch_size=3, **pulled(**triplet))
    batch = plan(samples, settings)[0]
    detector(architecture, settings=settings).losses(batch.images, batch.targets)
    return [int(label) for label in seen]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_sample_of_boxes_has_so_many_of_each_class(samples, monkeypatch, architecture):
    assert sorted(seen_boxes(samples, monkeypatch, architecture)) == [1, 1, 1, 2, 2, 2]
    assert sorted(seen_boxes(samples, monkeypatch, architecture, boxes_per_class=2)) == [1, 1, 2, 2]
    assert len(set(seen_boxes(samples, monkeypatch, architecture, classes=1))) == 1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_background_joins_the_boxes_each_piece_as_a_class_of_its_own(samples, monkeypatch, architecture):
    labels = seen_boxes(samples, monkeypatch, architecture, background_negatives=3)
    background = [label for label in labels if label < 0]
    assert sorted(label for label in labels if label > 0) == [1, 1, 1, 2, 2, 2]
    assert len(background) == len(set(background)) == 9


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_is_switched_off_has_no_influence(samples, tmp_path, architecture):
    off = {
        "mixup": MixupSettings(enabled=False, alpha=0.2),
        "triplet": TripletSettings(enabled=False, weight=50.0, background_negatives=3),
        "mosaic": MosaicSettings(enabled=False, probability=1.0),
        "copy_paste": CopyPasteSettings(enabled=False, probability=1.0),
        "augment": AugmentSettings(enabled=False, rotate_deg=20.0),
        "label_smoothing": 0.0,
    }
    trained = []
    for name, values in (("plain", {}), ("off", off)):
        settings = training(steps=2, batch_size=3, **values)
        model = detector(architecture, settings=settings)
        fine_tune(model, plan(samples, settings), RunSpec(settings, 0, Folder(tmp_path / name), "run"))
        trained.append(weights_of(model))
    assert differing(*trained) == []
