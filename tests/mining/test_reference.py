"""The published rule, and the engine held against it."""

import math

import numpy as np
import pytest
import torch

from pipeline.detector.inference.predictor import PredictionSettings, Predictor
from pipeline.detector.inference.stream import stack_images
from pipeline.detector.models.detector import build_detector
from pipeline.mining.cost import CostMeter
from pipeline.mining.pastes import plan_pastes
from pipeline.mining.redetection import Redetector
from pipeline.mining.reference import Verdict, cross_validate, gamma, gate_loss, random_place
from pipeline.settings import DetectorSettings, MiningSettings
from tests.mining.placed import placed, uncut, whole_images
from tests.mining.squares import SquareFinder, empty_hosts, image

# The rule


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        (torch.zeros(0, 3), []),
        (torch.tensor([[0.0, 1.0, 0.0]]), [0.0]),
        (torch.tensor([[0.1, 0.9, 0.0]]), [-2 * math.log(0.9)]),
        (torch.tensor([[0.5, 0.5, 0.0]]), [-2 * math.log(0.5)]),
        (torch.tensor([[0.25, 0.6, 0.15], [0.0, 0.0, 1.0]]), [-math.log(0.75 * 0.6 * 0.85), 0.0]),
    ],
    ids=["no proposals", "certain", "sure", "torn", "two"],
)
def test_gate_loss(scores, expected):
    np.testing.assert_allclose(gate_loss(scores), expected, atol=1e-6)


def test_the_gate_opens_every_round():
    assert [gamma(cycle) for cycle in range(4)] == pytest.approx([0.15, 0.20, 0.25, 0.30])


def test_a_sure_proposal_passes_the_first_gate_and_a_doubtful_one_only_later():
    """A top score of about 0.93 at 0.15, 0.86 at 0.30."""
    assert gate_loss(torch.tensor([[0.07, 0.93]])) < gamma(0) < gate_loss(torch.tensor([[0.08, 0.92]]))
    assert gate_loss(torch.tensor([[0.13, 0.87]])) < gamma(3) < gate_loss(torch.tensor([[0.15, 0.85]]))


def finder(pixels):
    return SquareFinder()(stack_images([pixels]))[0]


CROP = image((0, 0, 12, 10, 1, 204), size=(12, 10))


@pytest.mark.parametrize(
    ("label", "visible", "expected"),
    [
        (1, [], Verdict(0, (), 0.0, False)),
        (1, [False] * 5, Verdict(0, (0.0,) * 5, 0.0, False)),
        (1, [True, True, False, False, False], Verdict(2, (0.8, 0.8, 0.0, 0.0, 0.0), 0.8, False)),
        (1, [True, False, True, False, True], Verdict(3, (0.8, 0.0, 0.8, 0.0, 0.8), 0.8, True)),
        (2, [True] * 5, Verdict(0, (0.0,) * 5, 0.0, False)),
    ],
    ids=["no hosts", "never found", "two of five", "three of five", "another class"],
)
def test_cross_validation(label, visible, expected):
    """Where the host is red itself, a red square cannot be told from it."""
    red = image((0, 0, 64, 48, 1, 204))
    hosts = [image(seed=seed) if shows else red for seed, shows in enumerate(visible)]
    verdict = cross_validate(finder, CROP, label, hosts, [(5 * index, 3 * index) for index in range(len(hosts))])
    assert verdict.scores == pytest.approx(expected.scores)
    assert verdict.consistency == pytest.approx(expected.consistency)
    assert (verdict.hits, verdict.passed) == (expected.hits, expected.passed)


def test_hosts_are_left_as_they_are():
    host = image()
    before = host.copy()
    cross_validate(finder, CROP, 1, [host], [(3, 4)])
    np.testing.assert_array_equal(host, before)


def test_random_places_lie_in_the_host_and_reach_its_edges():
    host, random = image(size=(16, 12)), np.random.default_rng(0)
    places = [random_place(host, CROP, random) for _ in range(200)]
    assert {x for x, _ in places} == {0, 1, 2, 3, 4}
    assert {y for _, y in places} == {0, 1, 2}


@pytest.mark.parametrize("size", [(11, 40), (40, 9)])
def test_a_crop_that_does_not_fit_has_no_place(size):
    assert random_place(image(size=size), CROP, np.random.default_rng(0)) is None


# The engine against the rule


@pytest.fixture(scope="module")
def stirred():
    """A random network whose class scores are spread so that some pastes are found again and others are not."""
    settings = DetectorSettings(
        weights="none",
        image_size_px=96,
        fpn_channels=16,
        score_floor=0.3,
        nms_iou=0.7,
        max_detections=400,
    )
    detector = build_detector(settings, ("bolt", "gear"), seed=1)
    logits = detector.network.head.classification_head.cls_logits
    with torch.no_grad():
        logits.weight.mul_(100)
        logits.bias.fill_(-6.0)
    return Predictor(detector, PredictionSettings(accelerator="cpu", batch_size=8))


PUBLISHED = MiningSettings(
    hosts=5, hit_iou=0.5, hit_score=0.5, margin=0.0, window=100.0, scale_jitter=0.0, placement="uniform", paste_px=96
)
"""One paste per host, tight crops, whole hosts."""
BOXES = [(6, 6, 42, 42), (6, 6, 42, 42), (48, 8, 86, 57), (20, 4, 50, 30), (0, 0, 30, 54)]
NUMBERS = [1, 2, 2, 1, 2]


def fixed_pastes(hosts):
    rows = [
        (index, BOXES[index], NUMBERS[index], host, (host + index, 9 - host)) for index in range(5) for host in range(5)
    ]
    return placed(*rows, hosts=hosts)


def planned_pastes(hosts):
    return plan_pastes(whole_images(BOXES, NUMBERS, (96, 64)), hosts, PUBLISHED, np.random.default_rng(1))


@pytest.mark.parametrize("make_pastes", [fixed_pastes, planned_pastes])
def test_the_engine_gives_the_published_numbers(stirred, make_pastes):
    hosts = empty_hosts(5, (96, 64))
    source = image((8, 8, 40, 40, 1, 220), (50, 10, 90, 60, 2, 180), size=(96, 64))
    pastes = make_pastes(hosts)
    verdicts = []
    for index, (x1, y1, x2, y2) in enumerate(BOXES):
        own = slice(5 * index, 5 * index + 5)
        verdicts.append(
            cross_validate(
                lambda canvas: stirred(stack_images([canvas]))[0],
                source[y1:y2, x1:x2],
                NUMBERS[index],
                [hosts.images[host] for host in pastes.host[own].tolist()],
                [(x, y) for x, y, _, _ in pastes.target[own].tolist()],
            )
        )
    expected = torch.tensor([score for verdict in verdicts for score in verdict.scores])
    assert 5 <= int((expected > 0).sum()) <= 20, "both hits and misses are needed for this test to say anything"
    seen = Redetector(stirred, PUBLISHED, CostMeter()).pastes(pastes, uncut([source] * 5), hosts)
    assert torch.equal(seen.hit, expected > 0)
    torch.testing.assert_close(seen.score, expected, rtol=0, atol=1e-4)
    assert seen.hit.reshape(5, 5).sum(1).tolist() == [verdict.hits for verdict in verdicts]
