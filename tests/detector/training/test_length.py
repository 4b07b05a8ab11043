"""How long a committee trains, and how long the champion does by it."""

from __future__ import annotations

import pytest

from pipeline.artefacts import TrainingSummary
from pipeline.detector.training.length import settings_of_member, steps_of_champion
from pipeline.settings import PlateauSettings, TrainingSettings

TRAINING = TrainingSettings(steps=3000, decay=0.25, plateau=PlateauSettings(patience=0.3, min_steps=300))


def run(steps, plateau_step=None, ended_by="plateau"):
    return TrainingSummary(steps, 0.0, 0.0, ended_by=ended_by, plateau_step=plateau_step)


@pytest.mark.parametrize("members", [2, 3, 5, 10])
def test_all_members_together_get_one_and_a_half_times_the_steps(members):
    of_one = settings_of_member(TRAINING, members)
    assert of_one.steps * members == pytest.approx(1.5 * TRAINING.steps)
    assert of_one.plateau.min_steps * members == pytest.approx(1.5 * 300)
    assert of_one.plateau.patience * members == pytest.approx(1.5 * 0.3)
    assert (of_one.decay, of_one.batch_size) == (TRAINING.decay, TRAINING.batch_size)


def test_a_run_of_a_single_step_stays_one():
    assert settings_of_member(TrainingSettings(steps=1), 10).steps == 1


def test_members_that_had_all_their_steps_give_the_champion_all_of_its_own():
    assert steps_of_champion(TRAINING, [run(2250, ended_by="steps")] * 2, first=False) == 3000


def test_members_without_anything_to_look_at_give_the_steps_set_for_that():
    assert (
        steps_of_champion(TRAINING, [run(450, ended_by="fallback_steps")] * 2, first=False)
        == TRAINING.plateau.fallback_steps
    )


def test_the_champion_is_as_patient_as_a_run_that_looks_for_itself():
    """Best after 775 steps: a member waits for 22.5 % of its steps, a run by itself would have waited for 30 %."""
    assert steps_of_champion(TRAINING, [run(1333, 1000)] * 2, first=False) == pytest.approx(775 / 0.7 / 0.75, abs=2)


def test_the_champion_is_as_long_as_members_are_on_average():
    assert steps_of_champion(TRAINING, [run(2250, ended_by="steps"), run(1333, 1000)], first=False) == pytest.approx(
        2238, abs=2
    )


def test_no_run_is_longer_than_set_or_shorter_than_the_least():
    assert steps_of_champion(TRAINING, [run(2250, 2200)] * 2, first=False) == 3000
    assert steps_of_champion(TRAINING, [run(300, 225)] * 2, first=False) == 400


def test_a_first_champion_is_not_done_because_a_few_images_say_so():
    soon = [run(600, 450), run(800, 600)]
    assert steps_of_champion(TRAINING, soon, first=False) < 1000
    assert steps_of_champion(TRAINING, soon, first=True) == 3000
    plateau = TRAINING.plateau.model_copy(update={"min_first_steps": 1500})
    shorter = TRAINING.model_copy(update={"plateau": plateau})
    assert steps_of_champion(shorter, soon, first=True) == 2000
    assert steps_of_champion(shorter, [run(2250, ended_by="steps")] * 2, first=True) == 3000
    assert steps_of_champion(shorter.model_copy(update={"steps": 240}), soon, first=True) == 240
