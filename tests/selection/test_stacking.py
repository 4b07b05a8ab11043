"""Stacking: whom a box may be judged by, and what p(correct) makes of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from pipeline.artefacts import CommitteeRun
from pipeline.errors import DataError
from pipeline.records import Split, State
from pipeline.selection.calibrator import KNOTS, STACKED, STRENGTHS, fit_calibrator
from pipeline.selection.cascade_fitting import CascadePlan, KnownBoxes, fit_cascade, out_of_fold
from pipeline.selection.class_affinity import NOTHING
from pipeline.selection.cross_fitting import Committee, Folds, deal, lessons
from pipeline.settings import SelectionSettings
from tests.builders import sample
from tests.selection.evidence import evidence_of, with_columns

PAIRS = [4, 6, 10]


def labeled(count):
    return [sample(f"image {number}") for number in range(count)]


def in_pairs(samples, count):
    dealt = deal(samples, count)
    return Folds(count, dealt.dealt, stacked=True)


def committee(folds, learnt):
    groups = {one.image_id: one.group_id for one in learnt}
    then = Folds(folds.count, folds.dealt, groups, folds.stacked)
    return Committee(CommitteeRun(dataset_version=0, members=()), then, frozenset(groups))


# Who may judge


@pytest.mark.parametrize("count", PAIRS)
def test_neither_of_the_two_that_judge_an_image_learns_its_fold(count):
    people = labeled(3 * count)
    folds = in_pairs(people, count)
    learnt = [{folds.of_sample(one) for one in lesson.samples} for lesson in lessons(folds, None, people, [], [])]
    for fold in range(count):
        for judge in (fold, folds.partner(fold)):
            assert fold not in learnt[judge]
            assert learnt[judge] == set(range(count)) - {fold, folds.partner(fold)}


@pytest.mark.parametrize("count", PAIRS)
def test_pairs_are_closed(count):
    """Both learn the same folds, so that what one says tells the other nothing that it must not hear."""
    folds = in_pairs(labeled(count), count)
    for fold in range(count):
        assert folds.partner(folds.partner(fold)) == fold != folds.partner(fold)
        assert folds.withheld(fold) == folds.withheld(folds.partner(fold)) == {fold, folds.partner(fold)}


def test_without_stacking_a_member_leaves_out_its_own_fold_alone():
    assert [Folds(4).withheld(fold) for fold in range(4)] == [{0}, {1}, {2}, {3}]


def test_a_member_holds_back_its_own_fold_and_learns_its_own_pseudo_labels():
    people = labeled(8)
    pool = [sample(f"pool {number}", split=Split.POOL, state=State.PSEUDO) for number in range(40)]
    folds = in_pairs(people, 4)
    for lesson in lessons(folds, committee(folds, [*people, *pool]), people, [], pool):
        assert lesson.goes_on
        assert {folds.of_sample(one) for one in lesson.held_back} == {lesson.fold}
        assert {folds.of_sample(one) for one in lesson.samples if one.state is State.PSEUDO} == {lesson.fold}


def test_members_that_learnt_the_fold_of_their_partner_begin_anew():
    people = labeled(8)
    folds = in_pairs(people, 4)
    before = committee(Folds(4, folds.dealt), people)
    assert not any(lesson.goes_on for lesson in lessons(folds, before, people, [], []))
    assert all(lesson.goes_on for lesson in lessons(Folds(4, folds.dealt), committee(folds, people), people, [], []))


def test_images_of_one_pair_alone_leave_nothing_to_learn():
    people = labeled(2)
    with pytest.raises(DataError, match="found 2 that leave none to learn without fold 0"):
        lessons(in_pairs(people, 4), None, people, [], [])


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_committees_without_a_second_judge_are_refused(count):
    with pytest.raises(ValueError, match=rf"even committee of 4 or more, got {count}.*selection.committee: 4"):
        SelectionSettings(committee=count, stacking=True)


def test_the_published_rule_is_not_stacked():
    with pytest.raises(ValueError, match="expects rule 'calibrated', got 'consistency'"):
        SelectionSettings(committee=4, stacking=True, rule="consistency")


# The level-1 model


def drawn(count=1_500, seed=0):
    """Boxes that the partner often knows better; where it finds none, it says 0."""
    random = np.random.default_rng(seed)
    score, word = random.random((2, count))
    word = np.where(random.random(count) < 0.3, 0.0, word)
    right = random.random(count) < expit(3 * score + 5 * word - 4)
    table = with_columns(
        evidence_of(*[{}] * count),
        score=score,
        partner_score=word,
        partner_iou=np.where(word > 0, 0.5 + word / 2, 0.0),
        image_id=[f"i{number // 10:04d}" for number in range(count)],
    )
    return table, right


def by_hand(columns, right, strength):
    """Penalised maximum likelihood by a general optimiser, on features bent at their quartiles."""
    parts = []
    for column in columns:
        inside = np.unique(np.quantile(column, KNOTS))
        inside = inside[(inside > column.min()) & (inside < column.max())]
        parts += [column, *(np.maximum(column - knot, 0) for knot in inside)]
    design = np.stack(parts, axis=1)
    design = (design - design.mean(0)) / design.std(0)
    sign = np.where(right, 1.0, -1.0)

    def loss(weights):
        margin = sign * (design @ weights[1:] + weights[0])
        slope = -sign * expit(-margin)
        gradient = np.concatenate([[slope.sum()], design.T @ slope + weights[1:] / strength])
        return np.logaddexp(0, -margin).sum() + weights[1:] @ weights[1:] / (2 * strength), gradient

    weights = minimize(loss, np.zeros(design.shape[1] + 1), jac=True, method="BFGS").x
    return expit(design @ weights[1:] + weights[0])


def test_stacked_scores_are_weighed_as_a_logistic_regression_of_its_own_weighs_them():
    table, right = drawn()
    features = STACKED
    columns = [table[name].to_numpy().astype(np.float64) for name in features]
    made = fit_calibrator(table, right, min_class_boxes=10**6, features=features, model_id="m1").predict(table)
    apart = [np.abs(made - by_hand(columns, right, strength)).max() for strength in STRENGTHS]
    assert min(apart) < 1e-3


def known(table, right):
    objects = np.where(right, table["label"].to_pylist(), NOTHING).astype(np.str_)
    return KnownBoxes(table, right, objects, np.tile([0.05, 0.01, 0.02, 0.01], (len(right), 1)))


def plan(**changes):
    return CascadePlan(SelectionSettings(min_class_boxes=10**6, **changes), "m1")


def test_every_stage_hears_the_partner_with_stacking_and_none_without():
    table, right = drawn(300)
    heard = [set(STACKED) <= set(one.features) for one in fit_cascade(known(table, right), plan()).stages]
    assert not any(heard)
    stacked = fit_cascade(known(table, right), plan(committee=4, stacking=True))
    assert all(set(STACKED) <= set(one.features) for one in stacked.stages)


def test_what_the_partner_knows_sharpens_the_judgement_of_unseen_images():
    table, right = drawn()
    alone, _ = out_of_fold(known(table, right), plan())
    stacked, _ = out_of_fold(known(table, right), plan(committee=4, stacking=True))
    assert roc_auc_score(right, stacked) > roc_auc_score(right, alone) + 0.1
