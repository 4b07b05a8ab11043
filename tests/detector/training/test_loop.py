from __future__ import annotations

import math

import pytest
import torch

from pipeline.detector.training.checkpoint import CHECKPOINT
from pipeline.detector.training.loop import fine_tune
from pipeline.detector.training.optimizer import learning_rate_factor, stable_steps, steps_with
from pipeline.detector.training.run import RunSpec
from pipeline.errors import ArtefactError, PipelineError
from pipeline.folder import Folder
from pipeline.records import State
from pipeline.settings import GroupableSettings, MixupSettings, PlateauSettings
from tests.dataset.images import torn
from tests.detector.runs import Killed, Run, kill_at
from tests.detector.small import ALL_ON, detector, differing, noise, plan, scenes, training, weights_of

BIAS = "network.head.classification_head.cls_logits.bias"


def score_of(model) -> float:
    """Stands for AP: depends on the weights alone, rises for some steps, then falls."""
    return -abs(model.state_dict()[BIAS].sum().item() + 13.7)


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    return scenes(folder) + scenes(folder, 3, State.PSEUDO, "pseudo")


@pytest.mark.parametrize(
    ("step", "steps", "warmup_steps", "decay", "expected"),
    [
        (0, 1, 0, 0.0, 1.0),
        (0, 10, 3, 0.5, 0.25),
        (1, 10, 3, 0.5, 0.5),
        (2, 10, 3, 0.5, 0.75),
        (3, 10, 3, 0.5, 1.0),
        (4, 10, 3, 0.6, 1.0),
        (5, 10, 3, 0.5, 1.0),
        (9, 10, 0, 0.4, 1 - math.sqrt(3 / 4)),
        (10, 10, 0, 0.4, 0.0),
        (9, 10, 0, 0.0, 1.0),
        (4, 10, 9, 0.6, 0.5),  # still rising where the decay begins
        (7, 10, 9, 0.6, 0.8 * (1 - math.sqrt(3 / 6))),
    ],
)
def test_learning_rate_factor(step, steps, warmup_steps, decay, expected):
    settings = training(steps=steps, warmup_steps=warmup_steps, decay=decay)
    assert learning_rate_factor(step, settings) == pytest.approx(expected)


@pytest.mark.parametrize("decay", [0.0, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("stable", [1, 2, 300, 1001])
def test_a_run_decays_from_where_its_length_was_found(stable, decay):
    steps = steps_with(stable, decay)
    assert steps > stable
    assert stable_steps(steps, decay) in {stable, steps}  # a run without a decay is stable to its end


STOPPING = PlateauSettings(every_steps=2, smoothing=1, patience=0.5, min_steps=1)
KINDS = {
    "plain": ("retinanet", {}, None),
    "everything on": ("retinanet", ALL_ON, None),
    "in parts": ("retinanet", {**ALL_ON, "accumulate": 2}, None),
    "hard examples": ("retinanet", {**ALL_ON, "classification": "ohem"}, None),
    "everything on, fcos": ("fcos", ALL_ON, None),
    "everything on, faster_rcnn": ("faster_rcnn", ALL_ON, None),
    "groupable": ("retinanet", {**ALL_ON, "groupable": GroupableSettings(weight=50.0)}, None),
    "found length": ("retinanet", {**ALL_ON, "plateau": STOPPING, "learning_rate": 5e-3}, score_of),
    "bf16": ("retinanet", {**ALL_ON, "precision": "bf16"}, None),
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_killed_run_ends_as_one_that_was_not(tmp_path, samples, kind):
    architecture, values, evaluate = KINDS[kind]
    settings = training(steps=7, checkpoint_every_steps=2, **values)
    whole = Run(tmp_path, samples, settings, architecture, "whole", evaluate)
    expected = whole.start()
    torn_up = Run(tmp_path, samples, settings, architecture, "killed", evaluate)
    last = expected.steps
    for step in (1, 3, last - 1):  # before any checkpoint, between two, and again after a resume
        with pytest.raises(Killed):
            torn_up.start(kill_at(step))
        torch.manual_seed(step)  # whatever another process would have drawn
    result = torn_up.start()
    assert differing(torn_up.weights(), whole.weights()) == []
    assert result.steps == expected.steps
    assert result.images == expected.images == 2 * expected.steps
    assert result.curve == expected.curve
    assert result.looks == expected.looks
    assert result.plateau_step == expected.plateau_step


def test_a_resume_does_not_begin_again(tmp_path, samples):
    run = Run(tmp_path, samples, training(steps=6, checkpoint_every_steps=4))
    with pytest.raises(Killed):
        run.start(kill_at(5))
    steps = []
    run.start(lambda what, done, total: steps.append((done, total)))
    assert steps == [(5, 6), (6, 6)]


def test_a_checkpoint_of_another_run_is_not_continued(tmp_path, samples):
    settings = training(steps=4, checkpoint_every_steps=2)
    fresh, other = Run(tmp_path, samples, settings, name="fresh"), Run(tmp_path, samples, settings, name="other")
    fresh.start()
    with pytest.raises(Killed):
        other.start(kill_at(3), identity="another dataset version")
    steps = []
    other.start(lambda what, done, total: steps.append(done))
    assert steps == [1, 2, 3, 4]
    assert differing(other.weights(), fresh.weights()) == []


def checkpoint_of(tmp_path, samples):
    run = Run(tmp_path, samples, training(steps=4, checkpoint_every_steps=2))
    with pytest.raises(Killed):
        run.start(kill_at(3))
    return run, run.checkpoints.read_bytes(CHECKPOINT)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"no checkpoint",
        lambda data: data[:-100],
        lambda data: data[: len(data) // 2],
        lambda data: data[:50_000] + bytes([data[50_000] ^ 0xFF]) + data[50_001:],
    ],
    ids=["empty", "other", "end lost", "half", "one byte"],
)
def test_a_damaged_checkpoint_is_named(tmp_path, samples, damage):
    run, data = checkpoint_of(tmp_path, samples)
    run.checkpoints.write_bytes(CHECKPOINT, damage(data))
    with pytest.raises(ArtefactError, match=r"checkpoint.pt: expected a checkpoint, got .* Remove it and run again"):
        run.start()


def test_a_checkpoint_of_another_network_is_named(tmp_path, samples):
    run, _ = checkpoint_of(tmp_path, samples)
    run.architecture = "fcos"
    with pytest.raises(ArtefactError, match=r"checkpoint.pt: expected a checkpoint, got .*Missing key"):
        run.start()


def test_a_checkpoint_holds_nothing_that_runs(tmp_path, samples):
    run, data = checkpoint_of(tmp_path, samples)
    run.checkpoints.write_bytes("copy.pt", data)
    state = torch.load(run.checkpoints.path("copy.pt"), weights_only=True)
    assert state["identity"] == "run"
    assert state["result"]["steps"] == 2


def poisoned(model):
    with torch.no_grad():
        model.state_dict()[BIAS].fill_(math.nan)
    return model


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_gradients_that_are_not_finite_end_the_run(tmp_path, samples, precision):
    settings = training(precision=precision)
    message = r"got classification nan, gradient nan at step 0 \(images \w{12}, \w{12}\), after 3 rollbacks\. Look at"
    with pytest.raises(PipelineError, match=message):
        fine_tune(
            poisoned(detector(settings=settings)),
            plan(samples, settings),
            RunSpec(settings, 0, Folder(tmp_path), "run"),
        )


def test_the_same_seed_gives_the_same_weights_and_another_others(tmp_path, samples):
    settings = training(**ALL_ON)
    runs = [Run(tmp_path, samples, settings, name=str(index), seed=seed) for index, seed in enumerate((3, 3, 4))]
    for index, run in enumerate(runs):
        torch.manual_seed(index)
        run.start()
    assert differing(runs[0].weights(), runs[1].weights()) == []
    assert len(differing(runs[0].weights(), runs[2].weights())) > 50


def test_what_is_kept_is_the_average(tmp_path, samples):
    """Without an average the last weights are kept; with one they lie between the first and the last."""
    settings = training(steps=3, learning_rate=5e-3)
    last, mean = (Run(tmp_path, samples, settings.model_copy(update={"ema_decay": d}), name=str(d)) for d in (0.0, 0.9))
    first = weights_of(detector(settings=settings))
    for run in (last, mean):
        run.start()
    moved = {run: (run.weights()[BIAS] - first[BIAS]).norm() for run in (last, mean)}
    assert moved[last] > moved[mean] > 0


@pytest.mark.parametrize("stages", [0, 2, 5])
def test_frozen_stages_stay_as_they_are_and_the_rest_learns(tmp_path, samples, stages):
    settings = training(frozen_stages=stages, ema_decay=0.5)
    run = Run(tmp_path, samples, settings)
    run.start()
    first = weights_of(detector(settings=settings))
    changed = set(differing(first, run.weights()))
    frozen = ["conv_stem", *(f"blocks.{stage}" for stage in range(stages))] if stages else []
    for name in first:
        body = name.removeprefix("network.backbone.body.")
        if name == body:
            continue
        is_frozen = any(body.startswith(f"{prefix}.") for prefix in frozen)
        assert (name in changed) != is_frozen, name
    assert {BIAS, "network.backbone.fpn.layer_blocks.0.0.weight"} <= changed


@pytest.mark.parametrize("factor", [0.0, 0.1, 1.0])
def test_the_body_learns_slower_by_its_factor(tmp_path, samples, factor):
    """AdamW's first step is as long as the learning rate wherever there is a gradient."""
    settings = training(steps=1, learning_rate=1e-3, backbone_factor=factor, weight_decay=0.0)
    run = Run(tmp_path, samples, settings)
    run.start()
    first, last = weights_of(detector(settings=settings)), run.weights()
    step = {name: (last[name] - first[name]).abs().max().item() for name in first}
    assert step[BIAS] == pytest.approx(1e-3, rel=0.05)
    body = max(value for name, value in step.items() if name.startswith("network.backbone.body."))
    assert body == pytest.approx(1e-3 * factor, rel=0.05, abs=1e-9)


def test_half_precision_keeps_weights_and_true_boxes_in_full(tmp_path, samples):
    settings = training(precision="bf16")
    seen = []
    model = detector(settings=settings)
    original = model.losses

    def watch(images, targets):
        seen.append({key: value.dtype for key, value in targets[0].items()})
        losses = original(images, targets)
        assert all(loss.dtype == torch.float32 for loss in losses.values())
        return losses

    model.losses = watch
    body = []
    model.body.register_forward_hook(lambda _module, _inputs, outputs: body.append(outputs[0].dtype))
    made = plan(samples, settings)
    fine_tune(model, made, RunSpec(settings, 0, Folder(tmp_path), "run"))
    assert body == [torch.bfloat16] * 4
    assert (
        seen == [{"boxes": torch.float32, "labels": torch.int64, "weights": torch.float32, "ignore": torch.float32}] * 4
    )
    assert {tensor.dtype for tensor in model.state_dict().values() if tensor.is_floating_point()} == {torch.float32}


@pytest.mark.parametrize(("clip_norm", "share"), [(1e6, 1.0), (1e-10, 0.0)])
def test_gradients_are_clipped_to_their_norm(tmp_path, samples, clip_norm, share):
    """AdamW's first step is as long as the learning rate, but for gradients that are nothing beside its epsilon."""
    settings = training(steps=1, learning_rate=1e-3, clip_norm=clip_norm, weight_decay=0.0)
    run = Run(tmp_path, samples, settings)
    run.start()
    first, last = weights_of(detector(settings=settings)), run.weights()
    step = max((last[name] - first[name]).abs().max().item() for name in first)
    assert step == pytest.approx(1e-3 * share, abs=2e-5)


def test_the_curve_and_the_count(tmp_path, samples):
    settings = training(steps=12, batch_size=3, mixup=MixupSettings())
    reports = []
    result = Run(tmp_path, samples, settings).start(lambda *report: reports.append(report))
    assert reports == [("fine-tuning", step, 12) for step in range(1, 13)]
    assert [logged.step for logged in result.curve] == [10, 12]
    for logged in result.curve:
        assert logged.parts.keys() == {"classification", "box"}
        assert logged.loss == pytest.approx(sum(logged.parts.values()))
    assert result.steps == 12
    assert result.images == 36
    assert result.seconds > 0
    assert result.images_per_s == pytest.approx(36 / result.seconds)
    assert result.looks == []
    assert result.plateau_step is None


def test_training_teaches(tmp_path, samples):
    run = Run(tmp_path, samples, training(steps=60, batch_size=6, learning_rate=3e-3))
    result = run.start()
    assert result.curve[-1].loss < result.curve[0].loss / 2
    assert not run.model.training


def test_unreadable_images_are_reported_once(tmp_path):
    bad = scenes(tmp_path, 3)
    torn(tmp_path / "scene1.png")
    result = Run(tmp_path, bad, training(steps=6, checkpoint_every_steps=2)).start()
    assert [uri for uri, _ in result.faults] == [str(tmp_path / "scene1.png")]


def test_a_plateau_ends_the_run_after_its_decay(tmp_path, samples):
    scores, seen = iter([0.2, 0.9, 0.5, 0.1, 0.0]), []

    def evaluate(model):
        assert not model.training
        seen.append(weights_of(model))
        return next(scores)

    settings = training(steps=30, ema_decay=0.5, plateau=STOPPING, decay=0.5)
    reports, run = [], Run(tmp_path, samples, settings, evaluate=evaluate)
    result = run.start(lambda _, done, total: reports.append((done, total)))
    assert [(look.step, look.score) for look in result.looks] == [(2, 0.2), (4, 0.9), (6, 0.5), (8, 0.1)]
    assert (result.plateau_step, result.steps) == (8, 16)
    assert result.curve[-1].lr == 0.0
    assert reports[-1] == (16, 16)
    assert len(seen) == 4
    assert differing(run.weights(), seen[3]) != []


@pytest.mark.parametrize(("min_steps", "looked"), [(7, [2, 4, 6]), (8, []), (50, [])])
def test_nobody_looks_where_it_could_not_make_the_run_shorter(tmp_path, samples, min_steps, looked):
    settings = training(steps=16, plateau=STOPPING.model_copy(update={"min_steps": min_steps}), decay=0.5)
    scores = iter([0.1, 0.2, 0.3])
    result = Run(tmp_path, samples, settings, evaluate=lambda _: next(scores)).start()
    assert [look.step for look in result.looks] == looked
    assert result.steps == 16


def test_nobody_looks_while_the_learning_rate_falls(tmp_path, samples):
    settings, scores = training(steps=12, plateau=STOPPING, decay=0.5), iter([0.1, 0.2])
    result = Run(tmp_path, samples, settings, evaluate=lambda _: next(scores)).start()
    assert [look.step for look in result.looks] == [2, 4]
    assert (result.plateau_step, result.steps) == (None, 12)


@pytest.mark.parametrize("ema_decay", [0.0, 0.5])
def test_evaluating_does_not_change_the_run(tmp_path, samples, ema_decay):
    """Evaluated or not, the last weights of a run are the same."""
    settings = training(ema_decay=ema_decay, checkpoint_every_steps=2, decay=0.0)
    often = settings.model_copy(
        update={"plateau": PlateauSettings(every_steps=1, min_steps=1, patience=1.0), "decay": 0.0}
    )
    rising = iter(range(100))

    def evaluate(model):
        with torch.no_grad():
            model(noise(1))
        return float(next(rising))

    plain = Run(tmp_path, samples, settings, name="plain")
    evaluated = Run(tmp_path, samples, often, name="evaluated", evaluate=evaluate)
    for run in (plain, evaluated):
        run.start()
    assert next(rising) == settings.steps - 1
    assert differing(plain.weights(), evaluated.weights()) == []


@pytest.mark.parametrize("native", ["fp32", "bf16"])
def test_a_resumed_run_goes_on_in_its_precision(tmp_path, samples, monkeypatch, native):
    """Whatever the machine that it goes on on has units for."""
    answers = iter([native])
    monkeypatch.setattr("pipeline.detector.training.loop.native_precision", lambda *_: next(answers))
    run = Run(tmp_path, samples, training(precision="auto", checkpoint_every_steps=2), name="auto")
    with pytest.raises(Killed):
        run.start(kill_at(3))
    assert run.start().precision == native
    fixed = Run(tmp_path, samples, training(precision=native, checkpoint_every_steps=2), name="fixed")
    fixed.start()
    assert differing(run.weights(), fixed.weights()) == []


def test_memory_that_does_not_suffice_for_a_step_is_one_line_with_what_to_set(samples, tmp_path):
    settings = training(steps=2)
    model = detector(settings=settings)

    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    model.register_forward_pre_hook(full)
    with pytest.raises(
        PipelineError, match=r"training step of \d+ images in 1 parts\. Set training\.accumulate higher"
    ):
        fine_tune(model, plan(samples, settings), RunSpec(settings, 0, Folder(tmp_path), ""))
