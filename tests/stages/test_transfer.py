"""A project whose first training starts from the champion of another, with a committee."""

from __future__ import annotations

import torch

from pipeline.artefacts import CommitteeRun
from pipeline.detector.models.champion import champion_of
from pipeline.detector.models.detector import build_detector
from pipeline.detector.models.registry import ModelCard, load_card
from pipeline.detector.models.saved import load_model, save_model
from pipeline.folder import Folder
from pipeline.settings import load_settings
from pipeline.stages.committee import train_committee
from pipeline.stages.finetune import finetune
from pipeline.stages.gate import gate
from tests.stages.crossfitted import config, next_cycle, opened

ROWS = "network.head.classification_head.cls_logits.weight"
EMBEDDING = "embedder.project.0.weight"


def test_the_first_cycle_starts_from_it_and_the_second_from_its_own_champion(tiny_data, tmp_path):
    plain, elsewhere = load_settings(config(tmp_path / "plain", tiny_data)), Folder(tmp_path / "elsewhere")
    labels = ("crimson", "green", "blue")
    source = build_detector(plain.detector, labels, plain.training, seed=9)
    other = plain.model_copy(update={"data": plain.data.model_copy(update={"labels": labels})})
    model_id = save_model(elsewhere, source, ModelCard.of(other, 0, None, 0))
    started = {"start_from": elsewhere.path(model_id), "label_map": {"crimson": "red"}}
    # A learning rate of almost nothing leaves the weights where they began.
    path = config(tmp_path, tiny_data, steps=2, burn_in_steps=0, ema_decay=0, learning_rate=1e-12, **started)
    first = opened(path)
    for stage in (train_committee, finetune, gate):
        stage(first)
    models, champion = first.workspace.models, champion_of(first.workspace)
    card = load_card(models, champion)
    assert (card.labels, card.parent_id) == (plain.data.labels, None)
    assert (card.training.start_from, card.training.label_map) == (started["start_from"], {"crimson": "red"})
    members = [member.model_id for member in first.read(CommitteeRun).members]
    for folder, name in [(models, champion), *((first.workspace.members, member) for member in members)]:
        weights, there = load_model(folder, name).state_dict(), source.state_dict()
        torch.testing.assert_close(weights[ROWS], there[ROWS][[0, 1, 3]])  # background, crimson as red, blue
        torch.testing.assert_close(weights[EMBEDDING], there[EMBEDDING])

    elsewhere.remove(model_id)
    second = next_cycle(first)
    train_committee(second)
    assert finetune(second).parent == champion
