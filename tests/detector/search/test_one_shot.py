from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.detector.models.bodies.paths import rank_channels
from pipeline.detector.models.statistics import folded_moments
from pipeline.detector.search.evolution import Evolution
from pipeline.detector.search.one_shot import Search, SharedWeights, search, train_alone
from pipeline.detector.search.space import WHOLE
from pipeline.detector.training.fit import TrainingJob
from pipeline.errors import ArtefactError
from pipeline.folder import Folder
from pipeline.progress import silent
from pipeline.settings import DataSettings, PathSettings, Settings
from tests.detector.small import LABELS, detector, network, noise, scenes, training

PART = PathSettings(depths=(2, 1, 2, 3, 2, 1), widths=(0.5, 0.75, 1.0, 0.5, 0.75, 0.5))
BODY = {"backbone": "tf_efficientnet_lite0", "weights": "packaged"}


@pytest.fixture
def settings(tmp_path):
    return Settings(
        name="parts",
        workspace=str(tmp_path),
        data=DataSettings(labels=LABELS),
        detector=network(**BODY),
        training=training(steps=2),
    )


@pytest.fixture
def train(tmp_path):
    """Samples whose files are what they were when they were imported, which is looked at."""
    samples = scenes(tmp_path / "train", 4)
    return [replace(each, image_id=hashlib.sha256(Path(each.uri).read_bytes()).hexdigest()) for each in samples]


def test_a_path_has_the_statistics_of_the_whole_body(settings, train):
    """On the images that they are estimated on, but for what each layer corrects of those before it."""
    model = detector(**BODY).eval()
    ranked = rank_channels(model.body)
    shared = SharedWeights(model, ranked, settings, train, train)
    images = list(shared.images)
    whole, part = folded_moments(model, images), folded_moments(shared.take(PART), images)
    assert len(part) < len(whole)
    for name, (mean, deviation) in part.items():
        if name.endswith("conv_pwl"):
            torch.testing.assert_close(mean, whole[name][0], rtol=0.05, atol=0.05)
            torch.testing.assert_close(deviation, whole[name][1], rtol=0.05, atol=0.05)


def test_the_whole_body_stays_as_it_is(settings, train):
    model = detector(**BODY).eval()
    shared = SharedWeights(model, rank_channels(model.body), settings, train, train)
    with torch.no_grad():
        pairs = zip(*(body(noise(1).float() / 255) for body in (model.body, shared.take(WHOLE).body)), strict=True)
    for one, other in pairs:
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-2)


def test_a_search_from_its_beginning_to_its_end(settings, train, tmp_path):
    job = TrainingJob(settings, train, [], 0, Folder(tmp_path / "run"), "run", steps=2)
    plan = Search(job, train, Evolution(0.6, population=3, generations=2))
    outcome = search(plan, 1, silent)
    assert [each.origin for each in outcome.paths] == ["whole", "found", "random"]
    assert outcome.judged == 6
    whole, found, other = outcome.paths
    assert (whole.path, whole.table_latency) == (WHOLE, 1)
    assert found.table_latency <= 0.6
    assert 0.95 * found.table_latency <= other.table_latency + 1e-3 <= 0.6 + 2e-3
    assert all(0 <= each.shared_map <= 1 for each in outcome.paths)
    assert 0 <= train_alone(plan, found.path, train, silent) <= 1


def test_a_search_that_was_killed_goes_on(settings, train, tmp_path, monkeypatch):
    """The supernet is not trained again, the paths that were judged are not judged again, and the same follow."""
    job = TrainingJob(settings, train, [], 0, Folder(tmp_path / "run"), "run", steps=2)
    plan = Search(job, train, Evolution(0.6, population=3, generations=2))

    def killed_at_four(stage, done, _total):
        if (stage, done) == ("paths", 4):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(plan, 0, killed_at_four)
    (kept,) = (tmp_path / "run").glob("judged-*")
    judged = {path.name: path.read_bytes() for path in kept.iterdir()}
    assert len(judged) == 4 + 1
    for done in ("latency_table", "fit"):
        monkeypatch.delattr(f"pipeline.detector.search.one_shot.{done}")
    assert search(plan, 0, silent).judged == 6
    after = {path.name: path.read_bytes() for path in kept.iterdir()}
    assert len(after) == 6 + 1
    assert judged.items() <= after.items()


def test_another_search_judges_its_own_paths(settings, train, tmp_path):
    for identity in ("one", "other"):
        job = TrainingJob(settings, train, [], 0, Folder(tmp_path / "run"), identity, steps=1)
        search(Search(job, train, Evolution(0.6, population=2, generations=1)), 0, silent)
    assert len(list((tmp_path / "run").glob("judged-*"))) == 2


def test_a_path_that_was_trained_alone_is_not_trained_again(settings, train, tmp_path, monkeypatch):
    job = TrainingJob(settings, train, [], 0, Folder(tmp_path / "run"), "run", steps=2)
    plan = Search(job, train, Evolution(0.6, population=3, generations=2))
    first = train_alone(plan, PART, train, silent)
    monkeypatch.delattr("pipeline.detector.search.one_shot.fit")
    assert train_alone(plan, PART, train, silent) == first
    with pytest.raises(NameError):
        train_alone(plan, WHOLE, train, silent)


def test_damaged_weights_of_a_killed_search_are_named(settings, train, tmp_path):
    job = TrainingJob(settings, train, [], 0, Folder(tmp_path / "run"), "run", steps=1)
    plan = Search(job, train, Evolution(0.6, population=2, generations=1))
    train_alone(plan, PART, train, silent)
    (kept,) = (tmp_path / "run").glob("path-*/*.safetensors")
    kept.write_bytes(kept.read_bytes()[:100])
    with pytest.raises(ArtefactError, match=f"{kept.name}: expected weights of "):
        train_alone(plan, PART, train, silent)
