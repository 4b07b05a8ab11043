from __future__ import annotations

import pytest
import torch

from pipeline.detector.inference.committee import Committee
from pipeline.detector.inference.predictor import PredictionSettings, Predictor
from tests.detector.small import Scripted, detector, noise, said

CPU = PredictionSettings(accelerator="cpu")
HERE, NEAR, THERE = (10, 10, 30, 30), (12, 10, 32, 30), (40, 40, 60, 60)


def predictor(**values):
    return Predictor(detector(score_floor=0.0, **values), CPU)


def scripted(*answers):
    member = Scripted([said(*answer) for answer in answers])
    member.settings = member.detector = member.device = None
    return member


def test_what_members_agree_on_is_surer_and_lies_between_them():
    committee = Committee([scripted([(HERE, 0.9, 1), (THERE, 0.5, 2)]), scripted([(NEAR, 0.3, 1)])], 0.55)
    (found,) = committee(noise(1))
    assert found.labels.tolist() == [1, 2]
    assert found.scores.tolist() == pytest.approx([0.6, 0.25])
    assert found.boxes[0].tolist() == pytest.approx([10.5, 10, 30.5, 30])


def test_a_committee_of_one_is_its_member():
    alone = predictor()
    for one, other in zip(Committee([alone], 0.99)(noise(2)), alone(noise(2)), strict=True):
        torch.testing.assert_close(one.scores, other.scores)
        torch.testing.assert_close(one.boxes, other.boxes)


def test_members_have_the_same_classes_and_input():
    with pytest.raises(ValueError, match=r"same classes and image_size_px, got \(\('bolt', 'nut'\), 128\) beside"):
        Committee([predictor(), predictor(image_size_px=128)], 0.55)
    with pytest.raises(ValueError, match=r"\('nut',\)"):
        Committee([predictor(), predictor(labels=("nut",))], 0.55)
