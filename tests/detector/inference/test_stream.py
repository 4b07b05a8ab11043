from __future__ import annotations

import numpy as np
import pytest
import torch

from pipeline.boxes import as_boxes
from pipeline.dataset.images import read_image
from pipeline.detector.inference.stream import FILL, ImageBatch, ImageStream, stack_images
from pipeline.errors import RemoteError
from pipeline.records import ImageRef
from tests.dataset.images import torn
from tests.detector.small import paint


def refs_of(folder, sizes):
    return [
        ImageRef(f"{index}", paint(folder / f"{index}.png", size=size, seed=index), *size)
        for index, size in enumerate(sizes)
    ]


def stream(refs, batch_size=2):
    return ImageStream(refs, image_size_px=64, max_pixels=10_000_000, batch_size=batch_size, threads=2)


@pytest.mark.parametrize(
    ("count", "batch_size", "expected"), [(0, 2, []), (1, 2, [1]), (4, 2, [2, 2]), (5, 2, [2, 2, 1]), (3, 8, [3])]
)
def test_images_come_in_order_and_in_batches(tmp_path, count, batch_size, expected):
    refs = refs_of(tmp_path, [(64, 48)] * count)
    batches = list(stream(refs, batch_size))
    assert [len(batch.refs) for batch in batches] == expected
    assert [ref for batch in batches for ref in batch.refs] == refs
    for ref, image in zip(refs, (image for batch in batches for image in batch.images), strict=True):
        pixels = torch.from_numpy(read_image(ref.uri, 10_000_000).pixels).permute(2, 0, 1)
        assert torch.equal(image[:, :48], pixels)


def test_unreadable_images_are_put_aside_and_the_rest_keeps_its_order(tmp_path):
    refs = refs_of(tmp_path, [(64, 48)] * 6)
    torn(tmp_path / "1.png")
    (tmp_path / "4.png").unlink()
    images = stream(refs, 2)
    assert images.faults == []
    assert [[ref.image_id for ref in batch.refs] for batch in images] == [["0", "2"], ["3", "5"]]
    assert [fault.ref for fault in images.faults] == [refs[1], refs[4]]
    assert images.faults[1].reason == "no such file"


def test_nothing_readable_at_all(tmp_path):
    images = stream([ImageRef("0", str(tmp_path / "lost.png"), 1, 1)], 2)
    assert list(images) == []
    assert len(images.faults) == 1


def test_a_storage_that_is_down_is_no_fault_of_the_image(tmp_path, monkeypatch):
    def refuse(*_):
        raise RemoteError("s3://bucket/0.png: the storage refuses")

    monkeypatch.setattr("pipeline.detector.inference.stream.read_image", refuse)
    with pytest.raises(RemoteError, match="the storage refuses"):
        list(stream(refs_of(tmp_path, [(64, 48)])))


@pytest.mark.parametrize("batch_size", [1, 3])
@pytest.mark.parametrize("count", [30, 60])
def test_no_more_than_a_few_batches_are_read_ahead(tmp_path, batch_size, count):
    (ref,) = refs_of(tmp_path, [(64, 48)])
    taken, used, ahead = 0, 0, []

    def source():
        nonlocal taken
        for _ in range(count):
            taken += 1
            yield ref

    for batch in stream(source(), batch_size):
        ahead.append(taken - used)
        used += len(batch.refs)
    assert used == count
    assert max(ahead) <= 3 * batch_size  # two batches that wait and the one that is handed over


@pytest.mark.parametrize(
    ("sizes", "expected"), [([(64, 48)], (64, 64)), ([(64, 20), (20, 64)], (64, 64)), ([(64, 20), (64, 30)], (32, 64))]
)
def test_padding(tmp_path, sizes, expected):
    (batch,) = stream(refs_of(tmp_path, sizes), 2)
    assert batch.images.shape[-2:] == expected
    assert batch.sizes == [(height, width) for width, height in sizes]
    for image, (height, width) in zip(batch.images, batch.sizes, strict=True):
        assert (image[:, height:] == FILL).all()
        assert (image[:, :, width:] == FILL).all()


def test_stacking_takes_any_side():
    stacked = stack_images([np.zeros((1, 33, 3), np.uint8), np.full((40, 2, 3), 9, np.uint8)])
    assert stacked.shape == (2, 3, 64, 64)
    assert (stacked[0, :, 0, :33] == 0).all()
    assert (stacked[0, :, 1:] == FILL).all()
    assert (stacked[1, :, :40, :2] == 9).all()


def test_boxes_go_back_to_the_pixels_of_the_original():
    ref = ImageRef("0", "0.png", 640, 240)
    batch = ImageBatch([ref], torch.zeros(1, 3, 32, 64, dtype=torch.uint8), [(24, 64)])
    assert batch.to_original(0, as_boxes([])).shape == (0, 4)
    assert batch.to_original(0, as_boxes([(0, 0, 64, 24), (8, 3, 16, 12)])).tolist() == [
        [0, 0, 640, 240],
        [80, 30, 160, 120],
    ]


def test_boxes_go_to_input_pixels_and_back():
    ref = ImageRef("0", "0.png", 640, 240)
    batch = ImageBatch([ref], torch.zeros(1, 3, 32, 64, dtype=torch.uint8), [(24, 64)])
    boxes = as_boxes([(80, 30, 160, 120), (0, 0, 640, 240)])
    assert batch.to_input(0, boxes).tolist() == [[8, 3, 16, 12], [0, 0, 64, 24]]
    torch.testing.assert_close(batch.to_original(0, batch.to_input(0, boxes)), boxes)


def test_images_are_cut_out_of_their_padding(tmp_path):
    refs = refs_of(tmp_path, [(64, 20), (20, 64)])
    (batch,) = stream(refs, 2)
    for ref, pixels in zip(refs, batch.unpadded(), strict=True):
        np.testing.assert_array_equal(pixels, read_image(ref.uri, 10_000_000).pixels)
