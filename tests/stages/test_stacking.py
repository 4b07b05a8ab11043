"""A cycle with stacking: no member speaks of an image whose labels it learnt, and each box has its partner's word."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import PurePath

import numpy as np
import pytest

from pipeline.artefacts import CommitteeRun
from pipeline.detector.inference.predictor import detect_batch
from pipeline.detector.models.champion import require_champion
from pipeline.detector.training.run import Run
from pipeline.errors import ArtefactError
from pipeline.mining.partner import PARTNER_NAMES, compare_partner
from pipeline.selection.calibration import CalibratedModel
from pipeline.selection.calibrator import STACKED
from pipeline.selection.cross_fitting import committee_of, held_back_images, judges
from pipeline.selection.judged_pool import parted_mining
from pipeline.stages.committee import train_committee
from pipeline.stages.finetune import finetune
from pipeline.stages.gate import gate
from pipeline.stages.mine import mine
from tests.stages.crossfitted import config, opened


@pytest.fixture(scope="module")
def mined(tiny_data, tmp_path_factory):
    """A mined cycle, and the images that the loader gave to each member."""
    path = config(tmp_path_factory.mktemp("stacked"), tiny_data, steps=24, burn_in_steps=0, checkpoint_every_steps=50)
    path.write_text(path.read_text().replace("committee: 2", "committee: 4\n  stacking: true"))
    cycle, learnt, step = opened(path), defaultdict(set), Run.step

    def noted(run, parts):
        *_, kind, member = PurePath(run.spec.checkpoints.uri).parts
        if kind == "members":
            learnt[int(member)].update(name for part in parts for name in part.image_ids)
        step(run, parts)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "step", noted)
        train_committee(cycle)
    finetune(cycle)
    gate(cycle)
    mine(cycle)
    return cycle, learnt


def test_no_judge_of_an_image_has_learnt_it(mined):
    cycle, learnt = mined
    folds = committee_of(cycle.workspace, require_champion(cycle.workspace, "to test")).folds
    labeled = held_back_images(cycle.store, cycle.settings.selection)
    assert len(labeled) == 8
    assert all(len(learnt[member]) == 4 for member in range(4))
    for sample in labeled:
        fold = folds.of_sample(sample)
        assert sample.image_id not in learnt[fold] | learnt[folds.partner(fold)]


@pytest.mark.parametrize("prefix", ["", "held_back_"])
def test_the_partner_is_asked_about_the_pool_as_about_held_back_images(mined, prefix):
    cycle, _ = mined
    proposals = cycle.folder.read_table(f"{prefix}proposals.parquet")
    assert len(proposals) > 0
    assert all(proposals[name].null_count == 0 for name in PARTNER_NAMES)


def test_the_word_is_that_of_the_member_of_the_other_fold_of_the_pair(mined):
    cycle, _ = mined
    model_id = require_champion(cycle.workspace, "to test")
    folds, miners = committee_of(cycle.workspace, model_id).folds, parted_mining(cycle, model_id).miners
    told = cycle.folder.read_table("held_back_proposals.parquet")
    for sample in held_back_images(cycle.store, cycle.settings.selection):
        fold = folds.of_sample(sample)
        [batch] = miners[fold].predictor.stream([sample.ref])
        own, others = (detect_batch(miners[k].predictor, batch)[0] for k in (fold, folds.partner(fold)))
        rows = told.filter(np.array(told["image_id"].to_pylist()) == sample.image_id)
        said = compare_partner(own[: len(rows)], others)
        assert rows["partner_score"].to_numpy() == pytest.approx(said.score.numpy(), abs=1e-3)


def test_the_calibration_hears_it(mined):
    cycle, _ = mined
    kept = cycle.workspace.models.folder(require_champion(cycle.workspace, "to test"))
    cascade = kept.read_record(CalibratedModel.FILE, CalibratedModel).cascade
    assert all(set(STACKED) <= set(stage.features) for stage in cascade.stages)


def test_a_committee_without_pairs_is_refused(mined):
    cycle, _ = mined
    model_id = require_champion(cycle.workspace, "to test")
    folder, settings = cycle.workspace.models.folder(model_id), cycle.settings.selection
    run = judges(cycle.workspace, model_id, settings).run
    try:
        folder.write_record(CommitteeRun.FILE, replace(run, stacked=False))
        with pytest.raises(ArtefactError, match=r"a committee in pairs, found one trained without selection\.stacking"):
            judges(cycle.workspace, model_id, settings)
    finally:
        folder.write_record(CommitteeRun.FILE, run)
