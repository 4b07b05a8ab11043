from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from pipeline.detector.inference.stream import FILL
from pipeline.detector.training.data.batches import batches, collate
from pipeline.detector.training.data.mixup import mixup
from pipeline.detector.training.data.sampling import Epochs
from pipeline.errors import DataError
from pipeline.records import Region, Source, State
from pipeline.settings import (
    AugmentSettings,
    CopyPasteSettings,
    MixupSettings,
    MosaicSettings,
    RepeatFactorSettings,
    StrongViewSettings,
    TeacherSettings,
)
from tests.builders import box
from tests.dataset.images import torn
from tests.detector.small import ALL_ON, images_of, painted, plan, scenes, training


def same(one, two) -> bool:
    return torch.equal(one.images, two.images) and all(
        torch.equal(a[key], b[key]) for a, b in zip(one.targets, two.targets, strict=True) for key in a
    )


def test_nothing_to_learn_from():
    with pytest.raises(DataError, match="Expected labelled images to train on, got none; import some"):
        plan([], training())


def test_a_label_that_is_not_known(tmp_path):
    with pytest.raises(DataError, match=r"Expected labels among \['bolt'\], got \['nut'\]; add them to data.labels"):
        images_of(scenes(tmp_path, 1), labels=["bolt"])


def test_a_image_becomes_input_and_target(tmp_path):
    """128 x 96 to 64 x 48: everything halves, and the input is filled up to a multiple of 32."""
    machine = box(20, 10, 60, 50, "nut", source=Source.SOFT, p_correct=0.7)
    # What a person accepted counts fully, whatever the machine had thought of it.
    person = box(64, 48, 128, 96, "bolt", source=Source.ACCEPTED, p_correct=0.6)
    region = Region(0, 0, 128, 40, "unsure")
    one = painted(tmp_path, "one", machine, person, size=(128, 96), ignore=(region,))
    batch = plan([one], training(batch_size=1))[0]
    assert batch.images.shape == (1, 3, 64, 64)
    assert batch.images.dtype == torch.uint8
    assert (batch.images[0, :, 48:] == FILL).all()
    assert batch.images[0, :, 40, 50].tolist() == [220, 60, 40]  # the bolt's colour
    target = batch.targets[0]
    assert target["boxes"].tolist() == [[10, 5, 30, 25], [32, 24, 64, 48]]
    assert target["labels"].tolist() == [2, 1]
    assert target["weights"].tolist() == pytest.approx([0.7, 1.0])
    assert target["ignore"].tolist() == [[0, 0, 64, 20]]


def test_a_true_negative_is_an_empty_target(tmp_path):
    target = plan([painted(tmp_path, "empty")], training(batch_size=1))[0].targets[0]
    assert {key: value.shape[0] for key, value in target.items()} == dict.fromkeys(target, 0)
    assert target["boxes"].shape == target["ignore"].shape == (0, 4)


def test_images_of_different_shapes_share_a_batch(tmp_path):
    samples = [painted(tmp_path, "wide", size=(64, 20)), painted(tmp_path, "tall", size=(33, 64))]
    batch = plan(samples, training())[0]
    assert batch.images.shape == (2, 3, 64, 64)
    tall, wide = sorted(batch.images, key=lambda image: (image == FILL).float().mean().item())
    assert (wide[:, 20:] == FILL).all()
    assert (tall[:, :, 33:] == FILL).all()


def test_collate_pads_at_the_right_and_below(tmp_path):
    items = [images_of(scenes(tmp_path, 1)).load(0)]
    images, targets = collate(items)
    assert images.shape == (1, 3, 64, 64)
    np.testing.assert_array_equal(images[0].permute(1, 2, 0).numpy(), items[0].pixels)
    assert len(targets) == 1


def test_a_batch_depends_on_nothing_but_seed_and_step(tmp_path):
    samples, settings = scenes(tmp_path, 5), training(steps=6, **{**ALL_ON, "mixup": MixupSettings(start=0, end=1)})
    forwards = [plan(samples, settings)[step] for step in range(6)]
    backwards = plan(samples, settings, cache_mb=0)
    for step in reversed(range(6)):
        assert same(backwards[step], forwards[step])
    assert not same(plan(samples, settings, seed=1)[0], forwards[0])
    assert not same(forwards[0], forwards[1])


def test_worker_processes_make_the_same_batches(tmp_path):
    settings = training(steps=5, **ALL_ON)
    made = plan(scenes(tmp_path, 5), settings)
    alone, helped = list(batches(made, 1, 0)), list(batches(made, 1, 2))
    assert len(alone) == len(helped) == 4
    assert all(same(one, two) for one, two in zip(alone, helped, strict=True))
    assert same(alone[0], made[1])


def test_a_run_ends_after_its_steps(tmp_path):
    made = plan(scenes(tmp_path, 2), training(steps=3))
    assert len(made) == 3
    assert len(list(batches(made, 0, 0))) == 3
    assert list(batches(made, 3, 0)) == []


@pytest.mark.parametrize(("count", "batch_size"), [(1, 3), (5, 2), (6, 3), (4, 8)])
def test_every_labelled_image_comes_once_an_epoch(tmp_path, count, batch_size):
    made = plan(scenes(tmp_path, count), training(steps=50, batch_size=batch_size))
    shown = [index for step in range(50) for index in made.indices(step)]
    assert all(len(made.indices(step)) == batch_size for step in range(50))
    epochs = [shown[start : start + count] for start in range(0, len(shown) - count + 1, count)]
    assert all(sorted(epoch) == list(range(count)) for epoch in epochs)
    assert count < 3 or len({tuple(epoch) for epoch in epochs}) > 1


@pytest.mark.parametrize(
    ("labeled", "pseudo", "cap", "share"),
    [
        (4, 0, 0.5, 0.0),
        (0, 4, 0.5, 1.0),  # nothing else to learn from
        (4, 4, 0.0, 0.0),
        (4, 4, 0.5, 0.5),
        (4, 1, 0.5, 0.2),  # less than one image in a batch of 4
        (19, 1, 0.5, 0.05),
        (2, 8, 0.5, 0.5),
        (2, 8, 0.3, 0.3),
        (1, 9, 1.0, 0.9),  # labelled images keep their place
    ],
)
def test_pseudo_labelled_images_have_their_natural_share_up_to_a_cap(tmp_path, labeled, pseudo, cap, share):
    samples = scenes(tmp_path, labeled) + scenes(tmp_path, pseudo, State.PSEUDO, "pseudo")
    settings = training(steps=100, batch_size=4, pseudo_share=cap)
    made = plan(samples, settings)
    steps = [made.indices(step) for step in range(100)]
    machine = [sum(samples[index].state is State.PSEUDO for index in step) for step in steps]
    assert all(len(step) == 4 for step in steps)
    assert sum(machine) / 400 == pytest.approx(share, abs=0.003)
    assert max(machine) - min(machine) <= 1
    shown = Counter(index for step in steps for index in step)
    people = [shown[index] for index in range(labeled)]
    assert not people or max(people) - min(people) <= 1


@pytest.mark.parametrize(("p_correct", "share"), [(1.0, 0.5), (0.75, 1 / 3), (0.5, 0.0), (0.2, 0.0), (None, 0.5)])
def test_images_count_by_how_sure_their_boxes_are(tmp_path, p_correct, share):
    """Four of four people's: 4 (2 p - 1) of 4 (2 p - 1) + 4."""
    soft = box(10, 10, 40, 40, "nut", source=Source.SOFT, p_correct=p_correct)
    machine = [painted(tmp_path, f"machine{number}", soft, state=State.PSEUDO) for number in range(4)]
    samples = [*scenes(tmp_path, 4), *machine]
    made = plan(samples, training(steps=30, batch_size=4, pseudo_share=0.75))
    shown = [index >= 4 for step in range(30) for index in made.indices(step)]
    assert np.mean(shown) == pytest.approx(share, abs=0.01)


def test_without_soft_weights_every_box_counts_as_sure(tmp_path):
    soft = box(10, 10, 40, 40, "nut", source=Source.SOFT, p_correct=0.6)
    samples = [*scenes(tmp_path, 1), painted(tmp_path, "machine", soft, state=State.PSEUDO)]
    made = plan(samples, training(steps=4, batch_size=4, soft_weights=False))
    assert [sum(index == 1 for index in made.indices(step)) for step in range(4)] == [2, 2, 2, 2]


def test_an_unreadable_image_is_replaced_and_reported(tmp_path):
    samples = scenes(tmp_path, 3)
    torn(tmp_path / "scene1.png")
    made = plan(samples, training(steps=6, batch_size=1))
    seen = list(batches(made, 0, 0))
    faults = [fault for batch in seen for fault in batch.faults]
    assert [uri for uri, _ in faults] == [str(tmp_path / "scene1.png")] * 2
    assert all(len(batch.images) == 1 for batch in seen)
    replacement = next(step for step, batch in enumerate(seen) if batch.faults)
    assert made.indices(replacement) == [1]
    assert torch.equal(seen[replacement].targets[0]["boxes"], images_of(samples).load(2).boxes)


def test_no_image_that_can_be_read(tmp_path):
    samples = scenes(tmp_path, 2)
    for index in range(2):
        (tmp_path / f"scene{index}.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of 2 can be read: \('.*scene\d.png', 'zero bytes'\)"):
        plan(samples, training())[0]


def test_the_fault_of_a_worker_process_keeps_its_kind(tmp_path):
    samples = scenes(tmp_path, 1)
    (tmp_path / "scene0.png").write_bytes(b"")
    with pytest.raises(DataError, match="none of 1 can be read"):
        list(batches(plan(samples, training()), 0, 1))


@pytest.mark.parametrize(("cache_mb", "seen_again"), [(0, False), (64, True)])
def test_images_are_kept_while_memory_lasts(tmp_path, cache_mb, seen_again):
    samples = scenes(tmp_path, 1)
    made = plan(samples, training(), cache_mb=cache_mb)
    before = made[0].images
    Image.new("RGB", (64, 64)).save(samples[0].uri)
    assert torch.equal(made[0].images, before) == seen_again


def test_changes_can_be_switched_off(tmp_path):
    samples = scenes(tmp_path, 2)
    plain, changed = (
        plan(samples, training(steps=4, augment=AugmentSettings(enabled=enabled))) for enabled in (False, True)
    )
    still = images_of(samples).load(plain.indices(0)[0]).pixels
    np.testing.assert_array_equal(plain[0].images[0].permute(1, 2, 0).numpy(), still)
    assert not same(plain[0], changed[0])


def test_blending_keeps_to_its_window(tmp_path):
    samples = scenes(tmp_path, 4)
    mixed = plan(samples, training(steps=10, mixup=MixupSettings(probability=1.0, start=0.3, end=0.7)))
    plain = plan(samples, training(steps=10))
    assert [not same(mixed[step], plain[step]) for step in range(10)] == [3 <= step < 7 for step in range(10)]


def of_both_kinds(tmp_path, labeled=4, pseudo=4):
    return scenes(tmp_path, labeled) + scenes(tmp_path, pseudo, State.PSEUDO, "pseudo")


def test_the_burn_in_is_for_people(tmp_path):
    samples = of_both_kinds(tmp_path)
    made = plan(samples, training(steps=10, batch_size=4, burn_in_steps=3))
    machine = [sum(samples[index].state is State.PSEUDO for index in made.indices(step)) for step in range(10)]
    assert machine == [0, 0, 0, 2, 2, 2, 2, 2, 2, 2]
    assert [sum(made[step].pseudo) for step in (0, 2, 3)] == [0, 0, 2]
    shown = Counter(index for step in range(10) for index in made.indices(step) if index < 4)
    assert max(shown.values()) - min(shown.values()) <= 1


def test_objects_of_the_machine_are_learnt_in_images_of_people_alone(tmp_path):
    """A share of 0 with copy-paste: what the machine did not find in its own images is nobody's background."""
    person = painted(tmp_path, "person", box(4, 4, 24, 24, "bolt"))
    machine = painted(
        tmp_path, "machine", box(30, 20, 60, 40, "nut", source=Source.SOFT, p_correct=0.7), state=State.PSEUDO
    )
    pasting = CopyPasteSettings(enabled=True, probability=1.0)
    made = plan([person, machine], training(steps=8, burn_in_steps=3, pseudo_share=0, copy_paste=pasting))
    seen = [made[step] for step in range(8)]
    assert {name for batch in seen for name in batch.image_ids} == {person.image_id}
    targets = [target for batch in seen for target in batch.targets]
    nuts = [target["weights"][target["labels"] == 2] for target in targets]
    burnt_in = 3 * len(seen[0].targets)
    assert not torch.cat(nuts[:burnt_in]).numel()
    assert torch.cat(nuts[burnt_in:]).unique().tolist() == pytest.approx([0.7])


def test_objects_of_the_machine_are_not_pasted_beside_their_own_images(tmp_path):
    person = painted(tmp_path, "person", box(4, 4, 24, 24, "bolt"))
    soft = box(30, 20, 60, 40, "nut", source=Source.SOFT, p_correct=0.9)
    machine = painted(tmp_path, "machine", soft, state=State.PSEUDO)
    pasting = CopyPasteSettings(enabled=True, probability=1.0)
    made = plan([person, machine], training(steps=8, pseudo_share=0.5, copy_paste=pasting))
    seen = [pair for step in range(8) for pair in zip(made[step].pseudo, made[step].targets, strict=True)]
    assert {is_pseudo for is_pseudo, _ in seen} == {True, False}
    for is_pseudo, target in seen:
        labels = target["labels"].tolist()
        assert labels.count(2) == is_pseudo
        assert 1 in labels, "people's objects are pasted into both"


def test_without_labels_of_people_nothing_burns_in(tmp_path):
    samples = scenes(tmp_path, 3, State.PSEUDO)
    made = plan(samples, training(steps=4, burn_in_steps=2, pseudo_share=0.5))
    assert made[0].pseudo == [True, True]


def test_an_unreadable_image_is_replaced_by_one_of_its_kind(tmp_path):
    samples = of_both_kinds(tmp_path, 2, 2)
    torn(tmp_path / "scene1.png")
    made = plan(samples, training(steps=4, batch_size=4, burn_in_steps=2))
    seen = [made[step] for step in range(4)]
    assert [sum(batch.pseudo) for batch in seen] == [0, 0, 2, 2]
    assert set(seen[0].image_ids) == {samples[0].image_id}


def test_a_batch_tells_what_it_shows(tmp_path):
    samples = of_both_kinds(tmp_path)
    made = plan(samples, training(steps=2, batch_size=4))
    indices = made.indices(0)
    assert made[0].image_ids == [samples[index].image_id for index in indices]
    assert made[0].pseudo == [samples[index].state is State.PSEUDO for index in indices]
    assert made[0].weak is None
    assert made[0].mixing is None


WITH_TEACHER = {"ema_decay": 0.9, "teacher": TeacherSettings(enabled=True)}
GRAY = AugmentSettings(strong=StrongViewSettings(enabled=True, color=0, gray=1.0, blur=0, erase=0))


def test_the_teacher_sees_the_weak_view_and_the_student_the_strong_one(tmp_path):
    """Gray for the student alone; shapes and places are the same in both."""
    made = plan(of_both_kinds(tmp_path), training(steps=2, batch_size=4, augment=GRAY, **WITH_TEACHER))
    batch = made[0]
    assert batch.pseudo == [False, False, True, True]
    assert batch.weak.shape == (2, 3, 64, 64)
    strong = batch.images[2:].float()
    assert (strong[:, 0] == strong[:, 1]).all()
    weak = batch.weak.float()
    assert not torch.equal(weak[:, 0], weak[:, 1])
    luma = (weak * torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1)
    assert (luma - strong[:, 0]).abs().max() <= 2
    labeled = batch.images[:2].float()
    assert not torch.equal(labeled[:, 0], labeled[:, 1])


def test_mixup_waits_for_the_teacher(tmp_path):
    mixing = MixupSettings(probability=1.0, start=0.0, end=1.0)
    values = {"steps": 4, "batch_size": 4, "burn_in_steps": 2, "mixup": mixing}
    samples = of_both_kinds(tmp_path)
    alone, taught = (plan(samples, training(**values, **more)) for more in ({}, WITH_TEACHER))
    assert same(alone[0], taught[0])  # nobody to ask while burning in
    assert [taught[step].mixing for step in range(4)] == [None, None, 2, 3]
    late = taught[3]
    images, targets = mixup(late.images, late.targets, mixing, 0, late.mixing, late.pseudo)
    assert torch.equal(images, alone[3].images)
    assert all(torch.equal(a["boxes"], b["boxes"]) for a, b in zip(targets, alone[3].targets, strict=True))


def parts_of(made, settings, world=1):
    count = settings.steps * settings.accumulate
    return [[made.of_rank(rank, world)[part] for rank in range(world)] for part in range(count)]


@pytest.mark.parametrize(("accumulate", "world"), [(1, 1), (2, 1), (1, 2), (2, 2), (4, 1)])
def test_parts_and_processes_share_a_batch(tmp_path, accumulate, world):
    samples = of_both_kinds(tmp_path)
    whole = plan(samples, training(steps=3, batch_size=4, augment=AugmentSettings()))
    settings = training(steps=3, batch_size=4, augment=AugmentSettings(), accumulate=accumulate)
    parts = parts_of(plan(samples, settings), settings, world)
    for step in range(3):
        mine = [batch for part in parts[step * accumulate : (step + 1) * accumulate] for batch in part]
        assert [len(batch.images) for batch in mine] == [4 // (accumulate * world)] * accumulate * world
        shown = {name: image for batch in mine for name, image in zip(batch.image_ids, batch.images, strict=True)}
        assert sorted(shown) == sorted(whole[step].image_ids)
        for name, image in zip(whole[step].image_ids, whole[step].images, strict=True):
            assert torch.equal(shown[name], image)


def test_rare_classes_are_shown_more_often(tmp_path):
    rare = painted(tmp_path, "rare", box(5, 5, 25, 25, "nut"))
    samples = [*(painted(tmp_path, f"{i}", box(5, 5, 25, 25, "bolt")) for i in range(7)), rare]
    repeated = RepeatFactorSettings(enabled=True, threshold=0.5)
    counts = []
    for more in ({}, {"repeat_factor": repeated}):
        made = plan(samples, training(steps=200, **more))
        counts.append(Counter(index for step in range(200) for index in made.indices(step))[7])
    assert counts == [50, pytest.approx(400 * 2 / 9, abs=3)]


def wrong(samples):
    """Errors of a model that gets the later images wrong, pseudo-labelled ones too."""
    return {one.image_id: index / len(samples) for index, one in enumerate(samples)}


def test_without_boosting_errors_change_nothing(tmp_path):
    samples = scenes(tmp_path, 5)
    made = plan(samples, training(steps=20), errors=wrong(samples))
    shown = [index for step in range(20) for index in made.indices(step)]
    assert shown == Epochs(np.arange(5), np.ones(5), 0, "labeled").between(0, 40)
    assert all(same(made[step], plan(samples, training(steps=20))[step]) for step in range(3))


def test_images_that_a_model_gets_wrong_are_shown_more_often(tmp_path):
    """Pseudo-labelled images keep their share and their order."""
    samples = of_both_kinds(tmp_path)
    plain, made = (
        plan(samples, training(steps=200, batch_size=4, boosting=boosting), errors=wrong(samples[:4]))
        for boosting in (0.0, 4.0)
    )
    shown = Counter(index for step in range(200) for index in made.indices(step))
    weights = [1 + 4 * index / 4 for index in range(4)]
    for index, weight in enumerate(weights):
        assert shown[index] == pytest.approx(400 * weight / sum(weights), abs=4 * 0.5 * 100**0.5)
    for step in range(200):
        assert [i for i in made.indices(step) if i >= 4] == [i for i in plain.indices(step) if i >= 4]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_that_goes_on_draws_what_it_would_have_drawn(tmp_path, workers):
    samples, settings = scenes(tmp_path, 5), training(steps=6, boosting=2.0)
    whole = plan(samples, settings, errors=wrong(samples))
    rest = list(batches(plan(samples, settings, errors=wrong(samples)), 3, workers))
    assert all(same(one, whole[step]) for step, one in enumerate(rest, 3))
    assert [one.image_ids for one in rest] != [plan(samples, settings)[step].image_ids for step in range(3, 6)]


def test_a_mosaic_is_of_one_kind(tmp_path):
    samples = of_both_kinds(tmp_path, 2, 2)
    quiet = [replace(one, boxes=tuple(replace(each, p_correct=0.5) for each in one.boxes)) for one in samples[2:]]
    mosaic = MosaicSettings(enabled=True, probability=1.0, end=1.0)
    made = plan(samples[:2] + quiet, training(steps=6, batch_size=4, mosaic=mosaic))
    for step in range(6):
        batch = made[step]
        for target, pseudo in zip(batch.targets, batch.pseudo, strict=True):
            assert set(target["weights"].tolist()) <= ({0.5} if pseudo else {1.0})


def test_a_mosaic_keeps_to_its_window(tmp_path):
    mosaic = MosaicSettings(enabled=True, probability=1.0, start=0.3, end=0.7)
    samples = scenes(tmp_path, 4)
    pieced, plain = plan(samples, training(steps=10, mosaic=mosaic)), plan(samples, training(steps=10))
    assert [not same(pieced[step], plain[step]) for step in range(10)] == [3 <= step < 7 for step in range(10)]
