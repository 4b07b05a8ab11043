from __future__ import annotations

from dataclasses import fields

import pytest
import torch
from torch import Tensor

from pipeline.boxes import as_boxes
from pipeline.detector.inference.predictor import Detections, PredictionSettings, Predictor, detect_images
from pipeline.detector.training.loop import fine_tune
from pipeline.detector.training.run import RunSpec
from pipeline.errors import PipelineError
from pipeline.folder import Folder
from pipeline.records import ImageRef
from tests.builders import box
from tests.dataset.images import torn
from tests.detector.small import (
    ARCHITECTURES,
    Scripted,
    detector,
    noise,
    paint,
    painted,
    plan,
    said,
    scenes,
    training,
)
from tests.mining.squares import SquareFinder, image, save_image


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A detector that has learnt to find bolts and nuts."""
    folder = tmp_path_factory.mktemp("learned")
    settings = training(steps=60, batch_size=4, learning_rate=0.003)
    model = detector(settings=settings)
    fine_tune(model, plan(scenes(folder, 8), settings), RunSpec(settings, 0, Folder(folder / "run"), ""))
    return model


def predictor(model, precision="fp32", batch_size=4, threads=2):
    return Predictor(
        model, PredictionSettings(precision=precision, accelerator="cpu", batch_size=batch_size, threads=threads)
    )


def detect(finder, refs):
    """Image by image: its reference, what was found, and its boxes in its own pixels."""
    return [
        (ref, detections, batch.to_original(index, detections.boxes))
        for batch, found in detect_images(finder, finder.stream(refs))
        for index, (ref, detections) in enumerate(zip(batch.refs, found, strict=True))
    ]


def blank(folder, *sizes):
    return [ImageRef(f"{index}", paint(folder / f"{index}.png", size=size), *size) for index, size in enumerate(sizes)]


ALWAYS = [field for field in fields(Detections) if field.name != "visible_share"]
"""Columns of every detector."""


def assert_same(detections: Detections, expected: Detections) -> None:
    for field in ALWAYS:
        assert torch.equal(getattr(detections, field.name), getattr(expected, field.name)), field.name


def assert_close(detections: Detections, expected: Detections, atol=1e-3) -> None:
    for field in ALWAYS:
        torch.testing.assert_close(getattr(detections, field.name), getattr(expected, field.name), rtol=0, atol=atol)


def test_some_of_the_detections():
    found = said(((0, 0, 9, 9), 0.9, 1), ((1, 1, 8, 8), 0.5, 2), ((2, 2, 7, 7), 0.1, 1))
    assert len(found) == 3
    for which in (slice(0, 2), torch.tensor([0, 1]), found.scores > 0.3):
        some = found[which]
        assert some.labels.tolist() == [1, 2]
        assert_same(some, found[:2])
    assert len(found[found.scores > 1]) == 0


# Where boxes lie


@pytest.mark.parametrize("size", [(64, 48), (48, 64), (128, 96), (90, 256), (32, 24), (64, 64), (640, 40)])
@pytest.mark.parametrize("batch_size", [1, 3])
def test_boxes_lie_where_the_image_has_them(tmp_path, size, batch_size):
    """An image of another size is scaled and padded on its way; in its own pixels the boxes are the drawn ones."""
    width, height = size
    drawn = (width // 8, height // 4, width // 2, height * 3 // 4)
    other = save_image(tmp_path, "other", image((2, 2, 60, 60, 3, 200), size=(64, 64)))
    ref = save_image(tmp_path, "one", image((*drawn, 2, 200), size=size))
    _, (found_ref, found, boxes), _ = detect(SquareFinder(batch_size=batch_size), [other, ref, other])
    assert found_ref == ref
    assert found.labels.tolist() == [2]
    torch.testing.assert_close(boxes, as_boxes([drawn]), rtol=0, atol=1e-4 + max(0, max(size) / 64 - 1))


def test_what_lies_in_the_padding_is_left_out(tmp_path):
    (ref,) = blank(tmp_path, (64, 40))
    answer = said(
        ((-5, -5, 70, 70), 0.9, 1),
        ((10, 30, 20, 50), 0.8, 2),
        ((10, 39.5, 20, 60), 0.7, 1),  # half a pixel of it is left
        ((10, 41, 20, 60), 0.6, 1),
        ((63.5, 2, 90, 9), 0.5, 1),
        ((30, 39, 31, 64), 0.4, 2),
    )
    ((_, found, boxes),) = detect(Scripted([answer]), [ref])
    assert boxes.tolist() == [[0, 0, 64, 40], [10, 30, 20, 40], [30, 39, 31, 40]]
    assert found.scores.tolist() == pytest.approx([0.9, 0.8, 0.4])
    assert found.labels.tolist() == [1, 2, 2]
    assert found.embeddings[:, 0].tolist() == found.scores.tolist()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_boxes_of_a_network_lie_in_their_image(tmp_path, architecture):
    refs = blank(tmp_path, (64, 40), (30, 64), (200, 100), (17, 16))
    for ref, found, boxes in detect(predictor(detector(architecture, score_floor=0.0)), refs):
        assert len(found) > 0
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, 2:] <= torch.tensor([ref.width, ref.height]) + 1e-3).all()
        assert (found.boxes[:, 2:] - found.boxes[:, :2] >= 1).all()
        assert (found.scores.diff() <= 0).all()


# How many


@pytest.fixture(scope="module")
def everything():
    """By architecture: a random detector, and all that it finds in an image."""
    made = {}
    for architecture in ARCHITECTURES:
        model = detector(architecture, score_floor=0.0, max_detections=1000)
        made[architecture] = (model.state_dict(), predictor(model)(noise(1))[0])
    return made


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_canvas_has_as_many_detections_as_there_are_and_no_embeddings(architecture):
    finder = predictor(detector(architecture, score_floor=0.0, max_detections=5))
    (canvas,), (image_after,) = finder.detect_canvases(noise(1)), finder(noise(1))
    assert (len(image_after), image_after.embeddings.shape[1] > 0) == (5, True)
    assert len(canvas) > 5
    assert canvas.embeddings.shape == (len(canvas), 0)
    for name in ("boxes", "scores", "labels"):
        assert torch.equal(getattr(canvas[:5], name), getattr(image_after, name)), name


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("most", [1, 5, 1000])
@pytest.mark.parametrize("floored", [0.0, 0.3, 0.9])
def test_the_floor_and_the_most_keep_the_best(everything, architecture, most, floored):
    weights, every = everything[architecture]
    floor = every.scores[int((1 - floored) * (len(every) - 1))].item()
    model = detector(architecture, score_floor=floor, max_detections=most)
    model.load_state_dict(weights)
    (found,) = predictor(model)(noise(1))
    expected = every[every.scores > floor][:most]
    torch.testing.assert_close(found.scores, expected.scores)
    assert_close(found[:5], expected[:5])  # further down some scores are equal, in either order


def test_finding_nothing_has_the_same_form(tmp_path):
    refs = blank(tmp_path, (64, 64), (64, 40))
    for _, found, boxes in detect(predictor(detector(score_floor=1.0)), refs):
        assert len(found) == 0
        assert found.boxes.shape == boxes.shape == (0, 4)
        assert found.scores.shape == found.labels.shape == (0,)
        assert found.embeddings.shape == (0, 8)
        assert found.labels.dtype == torch.int64


def test_no_images_and_images_that_cannot_be_read(tmp_path):
    assert detect(Scripted([]), []) == []
    refs = blank(tmp_path, *[(64, 48)] * 4)
    torn(tmp_path / "1.png")
    finder = Scripted([said(((0, 0, 9, 9), score, 1)) for score in (0.9, 0.8, 0.7)])
    stream = finder.stream(refs)
    found = [row for batch, each in detect_images(finder, stream) for row in zip(batch.refs, each, strict=True)]
    assert [(ref.image_id, detections.scores.item()) for ref, detections in found] == [
        ("0", pytest.approx(0.9)),
        ("2", pytest.approx(0.8)),
        ("3", pytest.approx(0.7)),
    ]
    assert [fault.ref.image_id for fault in stream.faults] == ["1"]


# Company, precision, repetition


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Images of several shapes with a bolt at the left."""
    folder, bolt = tmp_path_factory.mktemp("mixed"), box(4, 4, 22, 22, "bolt")
    sizes = [(64, 64), (64, 40), (48, 64), (64, 32), (32, 64)]
    return [painted(folder, f"mixed{index}", bolt, size=size).ref for index, size in enumerate(sizes)]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_company_of_the_same_canvas_changes_nothing(architecture, mixed):
    """The first three fill 64 x 64 with their padding, alone or not."""
    model = detector(architecture, score_floor=0.0, max_detections=10)
    refs = mixed[:3]
    alone, together = (detect(predictor(model, batch_size=size), refs) for size in (1, 3))
    backwards = detect(predictor(model, batch_size=2), refs[::-1])[::-1]
    for (_, one, _), (_, other, _), (_, turned, _) in zip(alone, together, backwards, strict=True):
        assert_close(one, other)
        assert_close(one, turned)


def test_padding_for_company_changes_little(learned, mixed):
    """A narrow image alone has no padding; what is surely there is found at the same place with it."""
    alone, together = (detect(predictor(learned, batch_size=size), mixed) for size in (1, 5))
    for (_, one, boxes), (_, other, others) in zip(alone, together, strict=True):
        assert (boxes[one.labels == 1][0] - others[other.labels == 1][0]).abs().max() < 1
        assert (one.scores[one.labels == 1][0] - other.scores[other.labels == 1][0]).abs() < 0.1


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_finds_the_same(learned, mixed, precision):
    full, half = (detect(predictor(learned, name), mixed) for name in ("fp32", precision))
    differs = False
    for (_, one, boxes), (_, other, others) in zip(full, half, strict=True):
        assert other.boxes.dtype == other.scores.dtype == other.embeddings.dtype == torch.float32
        assert one.labels[0] == other.labels[0]
        assert (boxes[0] - others[0]).abs().max() < 1
        assert (one.scores[0] - other.scores[0]).abs() < 0.05
        assert (one.embeddings[0] * other.embeddings[0]).sum() > 0.95
        differs |= not torch.equal(one.scores[:1], other.scores[:1])
    assert differs  # half precision was in fact used


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_repetition_gives_the_same_bits(learned, mixed, precision):
    first, *others = (detect(predictor(learned, precision, 2, threads), mixed) for threads in (1, 1, 4))
    for other in others:
        for (ref, detections, _), (again, expected, _) in zip(first, other, strict=True):
            assert ref == again
            assert_same(detections, expected)
    assert any(len(detections) for _, detections, _ in first)


def test_a_predictor_never_trains(learned):
    finder = predictor(learned.train())
    assert not learned.training
    (found,) = finder(noise(1))
    assert not any(getattr(found, field.name).requires_grad for field in ALWAYS)


CPU_ALLOCATOR = "[enforce fail at alloc_cpu.cpp:119] DefaultCPUAllocator: can't allocate memory: you tried to allocate"


def fits(model, most: int, fault: Exception):
    """Let a detector's memory suffice for so many images."""

    def require(_module, inputs: tuple[Tensor]) -> None:
        if len(inputs[0]) > most:
            raise fault

    return model.register_forward_pre_hook(require)


@pytest.mark.parametrize("fault", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError(CPU_ALLOCATOR)])
def test_a_batch_for_which_memory_does_not_suffice_is_halved(learned, fault, caplog):
    images = noise(5)
    whole = predictor(learned)(images)
    hook = fits(learned, 2, fault)
    try:
        halved = predictor(learned)(images)
    finally:
        hook.remove()
    assert len(halved) == len(whole) == 5
    for found, expected in zip(halved, whole, strict=True):
        assert_close(found, expected)
    assert "Out of memory for a batch of 5; trying 3." in caplog.text


def test_memory_for_no_image_at_all_is_one_line_and_other_faults_stay_what_they_are(learned):
    images = torch.zeros((2, 3, 64, 48), dtype=torch.uint8)
    for most, fault, expected, told in (
        (0, torch.OutOfMemoryError("CUDA out of memory"), PipelineError, "one image of 48 x 64 pixels"),
        (1, RuntimeError("shapes differ"), RuntimeError, "shapes differ"),
    ):
        hook = fits(learned, most, fault)
        try:
            with pytest.raises(expected, match=told):
                predictor(learned)(images)
        finally:
            hook.remove()
