import cv2
import numpy as np
import pytest
import torch

from pipeline.boxes import as_boxes
from pipeline.mining.cost import CostMeter
from pipeline.mining.crops import Crops, crop_proposals
from pipeline.mining.redetection import PACKED, Redetector, draw_pastes, prices
from pipeline.settings import MiningSettings
from tests.mining.placed import placed, uncut
from tests.mining.squares import SquareFinder, empty_hosts, found, host_set, image

OBJECT = (20, 16, 32, 26)


def check(pastes, sources, hosts, *, finder=None, meter=None, **settings):
    redetector = Redetector(finder or SquareFinder(), MiningSettings(**settings), meter or CostMeter())
    return redetector.pastes(pastes, uncut(sources), hosts)


def counts(meter):
    """Close-ups, pastes, canvases and passes."""
    cost = meter.total()
    return cost.closeups, cost.pastes, cost.canvases, cost.passes


def test_no_pastes_cost_nothing():
    finder, meter = SquareFinder(), CostMeter()
    seen = check(placed(hosts=empty_hosts()), [], empty_hosts(), finder=finder, meter=meter)
    assert len(seen.hit) == len(seen.score) == len(seen.iou) == len(seen.boxes) == 0
    assert finder.shapes == []
    assert counts(meter) == (0, 0, 0, 0)


# Hits and misses


@pytest.mark.parametrize(
    ("painted", "label", "settings", "score", "iou"),
    [
        ((*OBJECT, 1, 204), 1, {}, 0.8, 1.0),
        ((20, 16, 32, 24, 1, 204), 1, {}, 0.8, 0.8),
        ((20, 16, 32, 22, 1, 204), 1, {"hit_iou": 0.6}, 0.8, 0.6),
        ((20, 16, 32, 22, 1, 204), 1, {"hit_iou": 0.61}, 0.0, 0.0),
        ((20, 16, 26, 26, 1, 204), 1, {}, 0.0, 0.0),
        ((*OBJECT, 2, 204), 1, {}, 0.0, 0.0),
        ((*OBJECT, 1, 204), 2, {}, 0.0, 0.0),
        ((*OBJECT, 1, 204), 1, {"hit_score": 0.8}, 0.8, 1.0),
        ((*OBJECT, 1, 204), 1, {"hit_score": 0.81}, 0.0, 0.0),
        ((2, 2, 8, 8, 1, 204), 1, {}, 0.0, 0.0),
    ],
    ids=[
        "found again",
        "found, a little smaller",
        "just enough overlap",
        "not quite enough overlap",
        "half the size",
        "another class",
        "a label that is not there",
        "just sure enough",
        "not quite sure enough",
        "nothing was under the box",
    ],
)
def test_what_counts_as_found_again(painted, label, settings, score, iou):
    hosts = empty_hosts(1)
    seen = check(placed((0, OBJECT, label, 0, (40, 5)), hosts=hosts), [image(painted)], hosts, **settings)
    assert seen.hit.tolist() == [score > 0]
    assert seen.score.tolist() == pytest.approx([score])
    assert seen.iou.tolist() == pytest.approx([iou])
    assert seen.boxes.isnan().all().item() == (score == 0)


def test_an_object_of_the_host_is_not_the_paste():
    squares = ((2, 2, 14, 12, 1, 250), (40, 30, 52, 40, 1, 250))
    hosts = host_set((image(*squares), squares))
    seen = check(placed((0, OBJECT, 1, 0, (20, 18)), hosts=hosts), [image()], hosts)
    assert seen.hit.tolist() == [False]


def test_the_surest_of_several_detections_counts():
    class Fixed(SquareFinder):
        def __call__(self, images):
            boxes = [[10, 10, 30, 30], [10, 10, 30, 28], [11, 10, 30, 30], [10, 10, 30, 30]]
            return [found(boxes, [0.3, 0.9, 0.5, 0.95], [1, 1, 1, 2]) for _ in images]

    hosts = empty_hosts(1)
    pastes = placed((0, (0, 0, 20, 20), 1, 0, (10, 10)), hosts=hosts)
    seen = check(pastes, [image()], hosts, finder=Fixed())
    assert seen.score.tolist() == pytest.approx([0.9])
    assert seen.iou.tolist() == pytest.approx([0.9])
    assert seen.boxes.tolist() == [[10, 10, 30, 28]]


# Many at once

SCENE = [
    (2 + 12 * i, 4 + 11 * j, 10 + 12 * i, 12 + 11 * j, 1 + (i + j) % 3, 120 + 7 * (4 * i + j))
    for i in range(5)
    for j in range(4)
]
"""Twenty objects, each of its own brightness."""


def many_pastes(hosts, context=4, wrong=()):
    """Every object of the scene into two hosts; those in `wrong` are cut from an empty image instead."""
    rows = [
        (int(index in wrong), corners, label, host, (8 + 2 * index, 9 + host))
        for index, (*corners, label, _) in enumerate(SCENE)
        for host in (0, 1)
    ]
    return placed(*rows, hosts=hosts, context=context)


SCORES = torch.tensor([brightness / 255 for *_, brightness in SCENE for _ in range(2)])


def test_pastes_of_one_class_on_a_canvas_do_not_take_each_others_detection():
    hosts, meter = empty_hosts(2), CostMeter()
    wrong = set(range(0, 20, 3))
    pastes = many_pastes(hosts, wrong=wrong)
    seen = check(pastes, [image(*SCENE), image()], hosts, meter=meter, finder=SquareFinder(256))
    assert meter.total().canvases == 1
    expected = torch.tensor([index // 2 not in wrong for index in range(40)])
    assert torch.equal(seen.hit, expected)
    torch.testing.assert_close(seen.score, SCORES * expected)
    torch.testing.assert_close(seen.boxes[expected], pastes.object[expected], rtol=0, atol=0)


@pytest.mark.parametrize("context", [1, 4, None], ids=["a narrow frame", "small windows", "whole hosts"])
@pytest.mark.parametrize("batch_size", [1, 3, 64])
@pytest.mark.parametrize("canvas_px", [64, 100, 300])
def test_verdicts_do_not_depend_on_the_canvas_or_the_batch(canvas_px, batch_size, context):
    hosts = empty_hosts(2)
    pastes = many_pastes(hosts, context)
    seen = check(pastes, [image(*SCENE)], hosts, finder=SquareFinder(canvas_px, batch_size))
    assert seen.hit.all()
    torch.testing.assert_close(seen.score, SCORES)
    torch.testing.assert_close(seen.iou, torch.ones(40))
    torch.testing.assert_close(seen.boxes, pastes.object, rtol=0, atol=0)


def test_boxes_are_exact_in_a_batch_of_many_canvases():
    hosts, meter, odd = empty_hosts(1), CostMeter(), (20, 16, 33, 27)
    rows = [(0, odd, 1, 0, (7 + number % 30, 7 + number % 20)) for number in range(900)]
    pastes = placed(*rows, hosts=hosts, context=7)
    seen = check(pastes, [image((*odd, 1, 200))], hosts, finder=SquareFinder(64, 300), meter=meter)
    assert (meter.total().pastes, meter.total().passes) == (900, 1)
    torch.testing.assert_close(seen.boxes, pastes.object, rtol=0, atol=0)
    torch.testing.assert_close(seen.iou, torch.ones(900))


def test_cost_is_counted_up():
    hosts, finder, meter = empty_hosts(2), SquareFinder(64, batch_size=4), CostMeter()
    for _ in range(2):
        check(many_pastes(hosts, context=None), [image(*SCENE)], hosts, finder=finder, meter=meter)
    assert counts(meter) == (0, 80, 80, 20)
    assert set(meter.total().seconds) == {"paste", "detect", "match"}
    assert finder.shapes == [(4, 3, 64, 64)] * 20


def test_packing_saves_passes():
    hosts, meter = empty_hosts(2), CostMeter()
    check(many_pastes(hosts, context=4), [image(*SCENE)], hosts, finder=SquareFinder(64), meter=meter)
    assert (meter.total().pastes, meter.total().passes) == (40, 1)


def test_boxes_keep_parts_of_a_pixel():
    class Shifted(SquareFinder):
        def __call__(self, images):
            return [
                found(seen.boxes + 0.25, seen.scores, seen.labels) if len(seen) else seen
                for seen in super().__call__(images)
            ]

    hosts = empty_hosts(2)
    pastes = many_pastes(hosts)
    seen = check(pastes, [image(*SCENE)], hosts, finder=Shifted(128))
    np.testing.assert_allclose(seen.boxes, pastes.object + 0.25, atol=1e-5)


# Closer


def check_closer(proposals, sources, *, finder=None, meter=None, **settings):
    settings = MiningSettings(**settings)
    pairs = zip(proposals, sources, strict=True)
    crops = Crops.join(crop_proposals(*pair, settings.closeup_margin) for pair in pairs)
    return Redetector(finder or SquareFinder(), settings, meter or CostMeter()).closeups(crops)


def test_nothing_to_show_closer():
    meter = CostMeter()
    assert len(check_closer([found(), found()], [image(), image()], meter=meter).hit) == 0
    assert counts(meter) == (0, 0, 0, 0)


@pytest.mark.parametrize("factor", [1.0, 1.5, 0.75])
def test_an_object_is_found_again_closer_and_a_box_on_nothing_is_not(factor):
    right, wrong = (20, 16, 32, 26), (2, 2, 14, 12)
    meter, proposals = CostMeter(), [found(), found([right, wrong], [0.8, 0.7], [1, 1])]
    seen = check_closer(proposals, [image(), image((*right, 1, 204))], meter=meter, closeup_scale=factor)
    assert seen.hit.tolist() == [True, False]
    assert seen.score.tolist() == pytest.approx([0.8, 0.0], abs=0.05)
    assert seen.iou[0].item() > 0.8
    assert (meter.total().closeups, meter.total().passes) == (2, 1)


def test_parts_of_a_pixel_count():
    seen = check_closer(
        [found([(20.5, 16.25, 32.0, 26.0)], [0.8], [1])], [image((20, 16, 32, 26, 1, 204))], closeup_scale=1
    )
    assert seen.iou[0].item() == pytest.approx(11.5 * 9.75 / 120)


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_what_is_shown_is_the_mirrored_crop_with_its_margin_and_nothing_else(factor):
    shown = []

    class Looking(SquareFinder):
        def __call__(self, images):
            shown.append(images[0].permute(1, 2, 0).numpy())
            return super().__call__(images)

    source = image((20, 16, 32, 26, 1, 204))
    check_closer(
        [found([(20, 16, 32, 26)], [0.8], [1])], [source], finder=Looking(), closeup_margin=0.5, closeup_scale=factor
    )
    mirrored = cv2.resize(np.ascontiguousarray(source[11:31, 14:38][:, ::-1]), None, fx=factor, fy=factor)
    height, width = mirrored.shape[:2]
    np.testing.assert_array_equal(shown[0][:height, :width], mirrored)
    assert (shown[0][height:] == shown[0][-1, -1]).all()


@pytest.mark.parametrize("canvas_px", [64, 300])
def test_many_shown_closer_keep_their_order(canvas_px):
    sources = [image(*SCENE[:7]), image(), image(*SCENE[7:])]
    proposals = [
        found([square[:4] for square in part], [square[5] / 255 for square in part], [square[4] for square in part])
        for part in (SCENE[:7], [], SCENE[7:])
    ]
    seen = check_closer(proposals, sources, finder=SquareFinder(canvas_px), closeup_margin=0.2, closeup_scale=1)
    assert seen.hit.all()
    torch.testing.assert_close(seen.score, torch.cat([of_image.scores for of_image in proposals]))
    torch.testing.assert_close(seen.iou, torch.ones(20))


# Drawing


@pytest.mark.parametrize("feather_px", [0, 2])
def test_pastes_are_drawn_as_windows_of_their_hosts(feather_px):
    hosts, source = empty_hosts(2), image((*OBJECT, 1, 204))
    pastes = placed((0, OBJECT, 1, 1, (30, 20)), (0, OBJECT, 1, 0, (5, 6)), hosts=hosts, context=4)
    drawn = draw_pastes(pastes, uncut([source]), hosts, feather_px)
    assert [window.shape for window in drawn] == [(18, 20, 3), (18, 20, 3)]
    for window, host, (x, y) in zip(drawn, (1, 0), ((30, 20), (5, 6)), strict=True):
        surroundings = hosts.images[host][y - 4 : y + 14, x - 4 : x + 16].copy()
        inner = (slice(4 + feather_px, 14 - feather_px), slice(4 + feather_px, 16 - feather_px))
        np.testing.assert_array_equal(
            window[inner],
            source[16:26, 20:32][feather_px or None : -feather_px or None, feather_px or None : -feather_px or None],
        )
        window[4:14, 4:16] = surroundings[4:14, 4:16] = 0
        np.testing.assert_array_equal(window, surroundings)


def test_nothing_to_draw():
    assert draw_pastes(placed(hosts=empty_hosts()), uncut([]), empty_hosts(), 0) == []


# Prices


def test_what_checks_cost():
    """A tenth of each side: with a margin of a quarter it is 0.15 of each side, the window 0.21 of it."""
    settings = MiningSettings(
        margin=0.25,
        margin_px=1000.0,
        window=0.2,
        window_px=0,
        hosts=3,
        closeup_margin=0.5,
        closeup_scale=1.5,
        tta_scale=1.1,
    )
    price = prices(as_boxes([(10, 10, 110, 60), (0, 0, 1000, 500)]), torch.tensor([[1000, 500]] * 2), settings)
    expected = [[0.2**2 * 1.5**2, 2 * 0.21**2, 0.21**2], [1.5**2, 2.0, 1.0]]
    np.testing.assert_allclose(price[:, 0], [1.1**2] * 2, rtol=1e-5)
    np.testing.assert_allclose(price[:, 1:], np.array(expected) / PACKED, rtol=1e-5)


@pytest.mark.parametrize(
    ("box", "sides"),
    [((0, 0, 10, 10), (48, 48)), ((0, 0, 60, 45), (68, 52)), ((0, 0, 100, 20), (108, 48))],
    ids=["tiny", "two pixels of context and of host", "long"],
)
def test_a_paste_costs_its_window(box, sides):
    price = prices(as_boxes([box]), torch.tensor([[200, 100]]), MiningSettings(hosts=2))
    assert price[0, 2] == pytest.approx(2 * sides[0] * sides[1] / 20_000 / PACKED, rel=1e-5)
