from dataclasses import fields
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from pipeline.boxes import intersection
from pipeline.detector.inference.rendering import render_window
from pipeline.mining.pastes import FRAME_PX, LARGEST_SHARE, Pastes, plan_pastes
from pipeline.settings import MiningSettings
from tests.mining.placed import whole_images
from tests.mining.squares import SquareFinder, empty_hosts, host_set, image

SIZE = (64, 48)
BOX = (20, 16, 32, 26)
PLAIN = {"hosts": 4, "scale_jitter": 0.0, "margin_px": 100.0, "window_px": 0, "paste_share": 1e-3, "paste_px": 48}
"""Margins are shares, windows as small as they may be, and objects over 48 pixels are pasted with these."""


def plan(boxes=(BOX,), labels=(1,), *, into=None, seed=0, classes=None, **settings):
    return plan_pastes(
        whole_images(boxes, labels, SIZE),
        into or empty_hosts(),
        MiningSettings(**{**PLAIN, **settings}),
        np.random.default_rng(seed),
        classes,
    )


def assert_equal(first, second):
    for field in fields(Pastes):
        assert torch.equal(getattr(first, field.name), getattr(second, field.name)), field.name


@pytest.mark.parametrize(("paste_px", "scale"), [(64, 1.0), (12, 1.0), (6, 0.5)])
def test_a_large_object_is_pasted_smaller(paste_px, scale):
    """Its longer side is 12 pixels."""
    pastes = plan(paste_px=paste_px, margin=0.5)
    sides = pastes.object[:, 2:] - pastes.object[:, :2]
    assert pastes.scale.tolist() == [scale] * 4
    torch.testing.assert_close(sides, torch.tensor([[12.0, 10.0]] * 4) * scale, rtol=0, atol=0.2)


@pytest.mark.parametrize(
    ("count", "share", "scale"),
    [(1, 0.5, 1.0), (4, 0.5, 1.0), (8, 0.5, 0.5**0.5), (16, 1.0, 0.5**0.5), (200, 0.5, 10 / 36)],
    ids=["one", "as many as fit", "twice as many", "a larger share", "not below 10 pixels"],
)
def test_many_large_objects_are_pasted_smaller(count, share, scale):
    """A window has 40 by 40 pixels here, the host 160 by 80."""
    box = (0, 0, 36, 36)
    into = empty_hosts(2, (160, 80))
    pastes = plan([box] * count, [1] * count, into=into, paste_share=share, paste_px=10, margin_px=0.0)
    assert pastes.scale.numpy() == pytest.approx(scale, rel=1e-6)


def test_hosts_lack_every_class_that_an_object_may_have():
    """All hosts lack bolts; those that lack gears too come first."""
    gear = (4, 4, 16, 16, 2, 200)
    hosts = host_set(*((image(gear), (gear,)) for _ in range(4)), *((image(seed=seed), ()) for seed in range(4)))
    either = torch.tensor([[False, True, True, False]])
    for seed in range(5):
        assert set(plan(into=hosts, seed=seed, classes=either).host.tolist()) == {4, 5, 6, 7}
    drawn = {host for seed in range(5) for host in plan(into=hosts, seed=seed).host.tolist()}
    assert drawn & {0, 1, 2, 3}


def test_what_else_lies_in_a_crop_is_located_with_it():
    pastes = plan(paste_px=6)
    twice = pastes.locate(torch.tensor([[20.0, 16, 26, 21]]).expand(4, 4))
    torch.testing.assert_close(twice[:, :2], pastes.object[:, :2])
    torch.testing.assert_close(twice[:, 2:] - twice[:, :2], torch.tensor([[3.0, 2.5]] * 4), rtol=0, atol=0.2)


def test_no_proposals_no_pastes():
    pastes = plan(boxes=[], labels=[])
    assert len(pastes) == 0
    assert pastes.object.shape == pastes.source.shape == pastes.target.shape == pastes.window.shape == (0, 4)


def test_pastes_of_a_proposal_lie_side_by_side_and_keep_their_number():
    pastes = plan([BOX, (0, 0, 9, 9)], [3, 1], into=empty_hosts(5))
    assert pastes.proposal.tolist() == [0] * 4 + [1] * 4
    assert pastes.label.tolist() == [3] * 4 + [1] * 4
    assert pastes.number.tolist() == [0, 1, 2, 3] * 2


# Where the object lies


@pytest.mark.parametrize("jitter", [0.0, 0.3])
@pytest.mark.parametrize("margin", [0.0, 0.25, 1.5])
@pytest.mark.parametrize("window", [0.0, 1.0, 100.0])
@pytest.mark.parametrize(
    "corners",
    [BOX, (0, 0, 10, 12), (52, 36, 64, 48), (2, 3, 60, 46), (30, 0, 34, 48)],
    ids=["inside", "top left", "bottom right", "nearly all", "top to bottom"],
)
def test_the_object_is_seen_where_the_record_says(corners, window, margin, jitter):
    source, hosts = image((*corners, 1, 200)), empty_hosts()
    pastes = plan([corners], [1], into=hosts, window=window, margin=margin, scale_jitter=jitter)
    for row in range(len(pastes)):
        where = [getattr(pastes, name)[row].tolist() for name in ("source", "target", "window")]
        shown = render_window(source, hosts.images[int(pastes.host[row])], *where)
        (x1, y1, x2, y2), window_box = pastes.object[row].tolist(), pastes.window[row].tolist()
        assert shown.shape[:2] == (window_box[3] - window_box[1], window_box[2] - window_box[0])
        seen = SquareFinder()(torch.from_numpy(shown).permute(2, 0, 1)[None])[0]
        lies = [x1 - window_box[0], y1 - window_box[1], x2 - window_box[0], y2 - window_box[1]]
        tolerance = 0 if (pastes.target[row, 2:] - pastes.target[row, :2]).tolist() == crop_sides(pastes, row) else 1.5
        np.testing.assert_allclose(seen.boxes[0].numpy(), lies, atol=tolerance)


def crop_sides(pastes, row):
    return (pastes.source[row, 2:] - pastes.source[row, :2]).tolist()


def test_outside_the_target_a_window_is_the_host_and_the_host_stays_as_it_is():
    source, hosts = image((*BOX, 1, 200)), empty_hosts(1)
    before = hosts.images[0].copy()
    pastes = plan(into=hosts, window=0.5)
    crop, target, window = (getattr(pastes, name)[0].tolist() for name in ("source", "target", "window"))
    shown = render_window(source, hosts.images[0], crop, target, window)
    expected = before.copy()
    expected[target[1] : target[3], target[0] : target[2]] = source[crop[1] : crop[3], crop[0] : crop[2]]
    np.testing.assert_array_equal(shown, expected[window[1] : window[3], window[0] : window[2]])
    np.testing.assert_array_equal(hosts.images[0], before)


@pytest.mark.parametrize(
    ("corners", "margin", "crop"),
    [
        ((20, 16, 32, 26), 0.0, [20, 16, 32, 26]),
        ((20, 16, 32, 26), 0.25, [17, 13, 35, 29]),
        ((20.5, 16.2, 31.5, 25.9), 0.0, [20, 16, 32, 26]),
        ((1, 2, 13, 12), 0.5, [0, 0, 19, 17]),
        ((50, 40, 64, 48), 1.0, [36, 32, 64, 48]),
    ],
    ids=["none", "a quarter", "whole pixels", "top left edge", "bottom right edge"],
)
def test_context_is_cut_with_the_object_up_to_the_edge_of_its_image(corners, margin, crop):
    assert plan([corners], margin=margin, into=empty_hosts(4, (200, 200))).source.tolist() == [crop] * 4


@pytest.mark.parametrize(
    ("margin_px", "paste_px", "crop"),
    [
        (100.0, 100, [17, 13, 35, 29]),
        (2.0, 100, [18, 14, 34, 28]),
        (2.0, 6, [17, 13, 35, 29]),
        (0.5, 6, [19, 15, 33, 27]),
    ],
    ids=["a quarter", "two pixels", "two pixels where it is half as large are more", "half a pixel there is one"],
)
def test_context_is_at_most_so_many_pixels_of_the_paste(margin_px, paste_px, crop):
    into = empty_hosts(4, (200, 200))
    pastes = plan(margin=0.25, margin_px=margin_px, paste_px=paste_px, into=into)
    assert pastes.source.tolist() == [crop] * 4
    longest = 12 if paste_px == 100 else 6
    assert pastes.margin.tolist() == pytest.approx([min(0.25, margin_px / longest)] * 4)


# Sizes


def test_jitter_stays_within_its_bounds_and_uses_them():
    pastes = plan([BOX] * 50, [1] * 50, scale_jitter=0.2, into=empty_hosts(4, (128, 128)))
    assert pastes.scale.min() >= 0.8
    assert pastes.scale.max() <= 1.2
    assert pastes.scale.min() < 0.85
    assert pastes.scale.max() > 1.15
    sides = (pastes.source[:, 2:] - pastes.source[:, :2]) * pastes.scale[:, None]
    assert ((pastes.target[:, 2:] - pastes.target[:, :2]) - sides).abs().max() <= 0.5


def test_without_jitter_sizes_stay():
    assert plan().scale.tolist() == [1.0] * 4


@pytest.mark.parametrize(
    "size", [(64, 48), (37, 41), (10, 10), (200, 9), (3, 3), (1, 60)], ids=lambda size: f"{size[0]}x{size[1]}"
)
def test_a_paste_leaves_room_in_its_host(size):
    pastes = plan([(0, 0, 64, 48), (1, 1, 3, 3)], [1, 2], into=empty_hosts(3, size), scale_jitter=0.5)
    sides = pastes.target[:, 2:] - pastes.target[:, :2]
    assert (sides >= 1).all()
    assert (sides <= (torch.tensor(size) * LARGEST_SHARE).clamp(min=1)).all()
    assert (pastes.target[:, :2] >= 0).all()
    assert (pastes.target[:, 2:] <= torch.tensor(size)).all()


def test_an_object_that_is_scaled_down_keeps_its_shape():
    pastes = plan([(0, 0, 64, 32)], into=empty_hosts(1, (40, 40)), margin=0.0)
    assert (pastes.target[:, 2:] - pastes.target[:, :2]).tolist() == [[36, 18]] * 4
    assert pastes.scale.tolist() == pytest.approx([36 / 64] * 4)


@examples(max_examples=40, deadline=None)
@given(
    st.tuples(st.floats(0, 60), st.floats(0, 44), st.floats(1, 40), st.floats(1, 40)),
    st.sampled_from([0.0, 0.25, 2.0]),
    st.sampled_from([0.0, 1.0, 50.0]),
    st.integers(0, 10_000),
)
def test_object_in_target_in_window_in_host(given_box, margin, window, seed):
    x1, y1, width, height = given_box
    corners = (x1, y1, min(x1 + width, 64), min(y1 + height, 48))
    hosts = empty_hosts(2, (50, 70))
    pastes = plan([corners], into=hosts, margin=margin, window=window, scale_jitter=0.4, seed=seed)
    lowest = [torch.zeros(4, 2), pastes.window[:, :2], pastes.target[:, :2], pastes.object[:, :2] + 1e-3]
    highest = [torch.tensor([50, 70]), pastes.window[:, 2:], pastes.target[:, 2:], pastes.object[:, 2:] - 1e-3]
    for outer, inner in pairwise(lowest):
        assert (outer <= inner).all()
    for outer, inner in pairwise(highest):
        assert (outer >= inner).all()


# Windows


@pytest.mark.parametrize(("ratio", "context"), [(0.0, FRAME_PX), (1.0, 20), (2.0, 40)])
def test_a_window_shows_context_round_the_paste(ratio, context):
    pastes = plan([(20, 10, 40, 30)], margin=0.0, window=ratio, into=empty_hosts(1, (400, 400)))
    inside = (pastes.target[:, :2] >= context).all(1) & (pastes.target[:, 2:] <= 400 - context).all(1)
    assert inside.any()
    assert ((pastes.target - pastes.window)[inside] == torch.tensor([context, context, -context, -context])).all()


@pytest.mark.parametrize(("window_px", "side"), [(0, 20 + 2 * FRAME_PX), (24, 24), (60, 60), (61, 62)])
def test_a_small_paste_is_shown_with_more_of_its_host(window_px, side):
    pastes = plan([(20, 10, 40, 30)] * 10, [1] * 10, margin=0.0, window_px=window_px, into=empty_hosts(1, (400, 400)))
    away = (pastes.target[:, :2] >= 40).all(1) & (pastes.target[:, 2:] <= 360).all(1)
    assert away.any()
    assert ((pastes.window[:, 2:] - pastes.window[:, :2])[away] == side).all()


def test_a_wide_window_is_the_whole_host():
    assert plan(window=100.0).window.tolist() == [[0, 0, 64, 48]] * 4


# Hosts

GEAR, NUT = (4, 4, 16, 16, 2, 200), (40, 20, 52, 32, 3, 200)


def mixed_hosts():
    """Hosts 0 to 2 hold gears, 3 and 4 hold nuts, 5 holds both."""
    held = [(GEAR,)] * 3 + [(NUT,)] * 2 + [(GEAR, NUT)]
    return host_set(*((image(*squares, seed=seed), squares) for seed, squares in enumerate(held)))


@pytest.mark.parametrize(
    ("label", "count", "free"),
    [(1, 6, {0, 1, 2, 3, 4, 5}), (2, 2, {3, 4}), (3, 3, {0, 1, 2})],
    ids=["all are free", "only these are free of gears", "only these are free of nuts"],
)
def test_hosts_free_of_the_class_come_first(label, count, free):
    for seed in range(10):
        pastes = plan(labels=[label], into=mixed_hosts(), hosts=count, seed=seed)
        assert set(pastes.host.tolist()) == free
        assert pastes.class_free.all()


def test_other_hosts_serve_where_free_ones_do_not_suffice():
    pastes = plan(labels=[2], into=mixed_hosts(), hosts=5)
    assert len(set(pastes.host.tolist())) == 5
    assert set(pastes.host.tolist()[:2]) == {3, 4}
    assert pastes.class_free.tolist() == [True, True, False, False, False]


def test_every_free_host_is_drawn_some_time():
    drawn = {int(plan(into=mixed_hosts(), hosts=1, seed=seed).host[0]) for seed in range(60)}
    assert drawn == set(range(6))


def test_fewer_hosts_than_pastes_are_used_again():
    pastes = plan(into=empty_hosts(3), hosts=7)
    assert sorted(torch.bincount(pastes.host, minlength=3).tolist()) == [2, 2, 3]


@pytest.mark.parametrize(("kind", "first"), [("class_free_first", {3, 4}), ("class_held_first", {0, 1, 2, 5})])
def test_which_kind_of_host_comes_first(kind, first):
    pastes = plan(labels=[2], into=mixed_hosts(), hosts=6, host_kind=kind)
    assert set(pastes.host.tolist()[: len(first)]) == first


def test_any_host_serves_where_the_kind_does_not_matter():
    firsts = {
        int(plan(labels=[2], into=mixed_hosts(), hosts=1, host_kind="any", seed=seed).host[0]) for seed in range(60)
    }
    assert firsts == set(range(6))


# Edges


def test_a_feathered_edge_rises_from_the_host_to_the_crop():
    host, crop = np.zeros((40, 40, 3), np.uint8), np.full((20, 20, 3), 200, np.uint8)
    where = ([0, 0, 20, 20], [10, 10, 30, 30], [0, 0, 40, 40])
    hard, soft = (render_window(crop, host, *where, feather_px)[20, :, 0].astype(int) for feather_px in (0, 3))
    assert hard[9:14].tolist() == [0, 200, 200, 200, 200]
    assert soft[9:14].tolist() == [0, 50, 100, 150, 200]
    assert soft[26:31].tolist() == [200, 150, 100, 50, 0]


# Places


def crowded_host(label, other):
    """A host whose left half is one object and whose right half is another, with a free stripe at the bottom."""
    squares = ((0, 0, 32, 36, label, 200), (32, 0, 64, 36, other, 200))
    return host_set((image(*squares), squares))


def covered(pastes, hosts):
    return intersection(pastes.target.float(), hosts.boxes[0]).sum(1)


def test_class_free_regions_serve_where_every_host_holds_the_class():
    hosts = host_set((image(GEAR), (GEAR,)), (image(GEAR, NUT), (GEAR, NUT)))
    pastes = plan([(10, 10, 18, 18)] * 20, [2] * 20, into=hosts, margin=0.0)
    assert not pastes.class_free.any()
    gear = torch.tensor([GEAR[:4]], dtype=torch.float32)
    assert (intersection(pastes.target.float(), gear) == 0).all()


def test_the_least_covered_place_covers_less_than_a_uniform_one():
    hosts = crowded_host(2, 3)
    least, uniform = (
        covered(plan([(10, 10, 20, 20)] * 60, [1] * 60, into=hosts, margin=0.0, placement=placement), hosts)
        for placement in ("least_covered", "uniform")
    )
    assert least.mean() < 0.3 * uniform.mean()
    assert uniform.mean() > 0.5 * 100


def test_more_tries_cover_less():
    hosts = crowded_host(2, 3)
    few, many = (
        covered(plan([(10, 10, 20, 20)] * 60, [1] * 60, into=hosts, margin=0.0, places_tried=tries), hosts)
        for tries in (2, 32)
    )
    assert many.mean() < few.mean()


@pytest.mark.parametrize(("label", "left_half"), [(3, True), (2, False)])
def test_covering_another_class_is_better_than_covering_the_same(label, left_half):
    squares = ((0, 0, 32, 48, 2, 200), (32, 0, 64, 48, 3, 200))
    pastes = plan([(10, 10, 20, 20)] * 10, [label] * 10, into=host_set((image(*squares), squares)), margin=0.0)
    centers = (pastes.target[:, 0] + pastes.target[:, 2]) / 2
    assert ((centers < 32) == left_half).all()


def test_uniform_places_reach_every_edge():
    pastes = plan([(0, 0, 60, 44)] * 200, [1] * 200, into=empty_hosts(1, (80, 60)), placement="uniform", margin=0.0)
    assert pastes.target.amin(0)[:2].tolist() == [0, 0]
    assert pastes.target.amax(0)[2:].tolist() == [80, 60]


# Repeatable


def test_the_same_state_gives_the_same_pastes_and_another_gives_others():
    def planned(seed):
        return plan([BOX, (0, 0, 9, 9)], [3, 1], seed=seed, scale_jitter=0.2)

    assert_equal(planned(5), planned(5))
    assert not torch.equal(planned(5).target, planned(6).target)


@pytest.mark.parametrize("counts", [[0], [2], [1, 0, 3]])
def test_join_keeps_the_order(counts):
    parts = [plan([BOX] * count, [1] * count) for count in counts]
    joined = Pastes.join(parts)
    assert joined.proposal.tolist() == [number for part in parts for number in part.proposal.tolist()]
    assert len(joined) == 4 * sum(counts)
