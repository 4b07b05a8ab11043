import numpy as np
import pytest
import torch

from pipeline.errors import DataError
from pipeline.mining.hosts import choose_hosts, hosts_from_images, load_hosts
from pipeline.records import Region
from tests.builders import box, sample
from tests.detector.stand_in import StandIn
from tests.mining.squares import LABELS, image, save_image


def labeled(folder, name, *squares, size=(64, 48), seed=0):
    """An image file and its sample."""
    ref = save_image(folder, name, image(*squares, size=size, seed=seed))
    boxes = [box(*corners, label=LABELS[label - 1]) for *corners, label, _ in squares]
    return sample(name, *boxes, uri=ref.uri, width=ref.width, height=ref.height)


def load(samples, *, seed=0, most=256, size=64, blurred=False):
    return load_hosts(choose_hosts(samples, most, seed), LABELS, StandIn(LABELS, size), blurred)


def test_no_labeled_image_is_an_error():
    with pytest.raises(DataError, match="Expected labelled images to paste into, found none"):
        load([])


@pytest.mark.parametrize(("reason", "chosen"), [("unanswered", 1), ("inexact", 1), ("another_class", 1), ("crowd", 2)])
def test_an_image_that_was_answered_in_part_is_no_host(reason, chosen):
    samples = [sample("a"), sample("b", ignore=(Region(0, 0, 9, 9, reason),))]
    assert len(choose_hosts(samples, 9, 0)) == chosen


def test_a_host_without_boxes(tmp_path):
    hosts = load([labeled(tmp_path, "one")])
    assert len(hosts) == 1
    assert hosts.boxes.shape == (1, 1, 4)
    assert hosts.labels.tolist() == [[0]]
    assert not hosts.holds.any()


def test_hosts_know_their_pixels_boxes_and_classes(tmp_path):
    full = labeled(tmp_path, "a", (4, 6, 20, 18, 2, 200), (30, 6, 40, 18, 3, 200))
    hosts = load([full, labeled(tmp_path, "b")])
    row = hosts.image_ids.index(full.image_id)
    np.testing.assert_array_equal(
        hosts.images[row], image((4, 6, 20, 18, 2, 200), (30, 6, 40, 18, 3, 200), size=(64, 48))
    )
    assert hosts.sizes[row].tolist() == [64, 48]
    assert hosts.boxes[row].tolist() == [[4, 6, 20, 18], [30, 6, 40, 18]]
    assert hosts.labels.tolist()[row] == [2, 3]
    assert hosts.labels.tolist()[1 - row] == [0, 0]
    assert hosts.holds[row].tolist() == [False, False, True, True]
    assert hosts.holds[1 - row].tolist() == [False] * 4


def test_boxes_are_carried_to_input_pixels_and_back(tmp_path):
    hosts = load([labeled(tmp_path, "a", (16, 40, 80, 100, 1, 200), size=(128, 200))], size=50)
    assert hosts.sizes.tolist() == [[32, 50]]
    assert hosts.images[0].shape == (50, 32, 3)
    assert hosts.to_original.tolist() == [[4, 4]]
    assert hosts.boxes[0].tolist() == [[4, 10, 20, 25]]
    torch.testing.assert_close(hosts.boxes[0, 0] * hosts.to_original[0].repeat(2), torch.tensor([16.0, 40, 80, 100]))


def test_sides_that_do_not_divide_keep_their_own_factor(tmp_path):
    hosts = load([labeled(tmp_path, "a", (0, 0, 101, 33, 1, 200), size=(101, 33))], size=50)
    assert hosts.sizes.tolist() == [[50, 16]]
    torch.testing.assert_close(hosts.boxes[0, 0], torch.tensor([0.0, 0, 50, 16]))


def test_an_image_that_cannot_be_read_is_left_out_and_is_a_fault(tmp_path):
    good, bad = labeled(tmp_path, "good", seed=1), labeled(tmp_path, "bad", seed=2)
    (tmp_path / "bad.png").write_bytes(b"")
    hosts = load([good, bad])
    assert hosts.image_ids == [good.image_id]
    assert [fault.ref for fault in hosts.faults] == [bad.ref]
    assert load([good]).faults == ()
    with pytest.raises(DataError, match="none that can be read"):
        load([bad])


def test_the_order_of_the_samples_does_not_matter(tmp_path):
    samples = [labeled(tmp_path, name, seed=seed) for seed, name in enumerate("abcde")]
    assert load(samples).image_ids == load(samples[::-1]).image_ids == sorted(labeled.image_id for labeled in samples)


def test_a_limited_number_is_drawn_by_the_seed(tmp_path):
    samples = [labeled(tmp_path, f"{seed}", seed=seed) for seed in range(12)]

    def drawn(seed):
        return load(samples, seed=seed, most=4).image_ids

    assert len(set(drawn(0))) == 4
    assert drawn(0) == drawn(0)
    assert drawn(0) == sorted(drawn(0))
    assert len({tuple(drawn(seed)) for seed in range(5)}) > 1


def test_images_and_samples_stay_side_by_side():
    samples = [sample("a", box(0, 0, 8, 8, label="nut"), width=16, height=16), sample("b", width=32, height=16)]
    images = [image(size=(16, 16)), image(size=(16, 8))]
    hosts = hosts_from_images(samples, images, LABELS)
    assert hosts.image_ids == [held.image_id for held in samples]
    assert hosts.holds[:, 3].tolist() == [True, False]
    assert hosts.to_original.tolist() == [[1, 1], [2, 2]]


def test_blurred_hosts_keep_their_boxes_and_lose_their_edges(tmp_path):
    samples = [labeled(tmp_path, "a", (4, 6, 20, 18, 2, 200))]
    sharp, blurred = load(samples), load(samples, blurred=True)
    assert torch.equal(sharp.boxes, blurred.boxes)
    assert sharp.images[0].shape == blurred.images[0].shape

    def roughness(hosts):
        return np.abs(np.diff(hosts.images[0].astype(float), axis=1)).mean()

    assert roughness(blurred) < 0.25 * roughness(sharp)
    assert blurred.images[0].mean() == pytest.approx(sharp.images[0].mean(), abs=2)


def test_fewer_images_than_may_be_cached_are_all_taken():
    samples = [sample(name) for name in "cab"]
    assert choose_hosts(samples, 3, 0) == choose_hosts(samples, 99, 1) == sorted(samples, key=lambda s: s.image_id)
    assert choose_hosts([], 3, 0) == []
