from __future__ import annotations

import pytest

from pipeline.artefacts import ClassMetrics
from pipeline.bench.pool_labels import PseudoLabelTruth
from pipeline.bench.second_half import GateVerdict
from pipeline.bench.training import ArmResult
from pipeline.bench.training_table import GATED, draw, read_results, summarize
from pipeline.errors import ArtefactError
from pipeline.folder import Folder


def result(arm, seed, level, *, promoted=True, pseudo=None, name="bccd"):
    return ArmResult(
        set=name,
        labelled=5,
        seed=seed,
        arm=arm,
        map=level,
        map50=0.6,
        per_class={"RBC": ClassMetrics(ap=level, ap50=None, boxes=7)},
        map_before=0.15,
        steps=40,
        seconds=1.5,
        images_per_s=8.0,
        gate=GateVerdict(promoted, "why"),
        pseudo=pseudo,
    )


def truth(judged, right, true_boxes):
    return PseudoLabelTruth(3, judged, judged, right, true_boxes, regions=0, certified=0)


RESULTS = [
    result("labelled", 0, 0.2),
    result("labelled", 1, 0.3),
    result("ours", 0, 0.3, pseudo=truth(10, 8, 20)),
    result("ours", 1, 0.2, promoted=False, pseudo=truth(5, 3, 0)),
    result("all", 0, 0.5),
    result("ohem", 1, 0.25),
]


def test_nothing_is_summed_up_to_nothing():
    assert summarize([]) == []


def test_arms_are_summed_up_over_seeds():
    arms = {summary.arm: summary for summary in summarize(RESULTS)}
    assert list(arms) == ["labelled", "ours", GATED, "all", "ohem"]
    ours = arms["ours"]
    assert (ours.mean, ours.spread) == (pytest.approx(0.25), pytest.approx(0.0707, abs=1e-4))
    assert ours.gain == {0: pytest.approx(0.1), 1: pytest.approx(-0.1)}
    assert ours.gap_closed == pytest.approx(0.1 / 0.3), "by the seeds that have a ceiling"
    assert (ours.precision, ours.recall) == (pytest.approx(0.7), 0.4)
    assert arms[GATED].maps == {0: 0.3, 1: 0.15}, "where the gate refuses, the model from before stays"
    assert arms["ohem"].gain == {1: pytest.approx(0.05)}, "an ablation is compared with ours"
    assert (arms["all"].spread, arms["all"].gap_closed) == (None, 1.0)
    assert (arms["labelled"].precision, arms["labelled"].recall) == (None, None)


def test_sets_are_summed_up_apart():
    summaries = summarize([*RESULTS, result("labelled", 0, 0.9, name="acme")])
    assert [(one.set, one.arm) for one in summaries][:2] == [("acme", "labelled"), ("bccd", "labelled")]
    assert summaries[1].mean == pytest.approx(0.25)


def test_without_a_floor_or_ceiling_there_is_no_gap():
    (every,) = summarize([result("all", 0, 0.4)])
    assert (every.gain, every.gap_closed) == ({}, None)
    floor, _ = summarize([result("labelled", 0, 0.4), result("all", 0, 0.4)])
    assert floor.gap_closed is None


def test_a_result_without_a_true_box_has_no_part():
    assert summarize([result("labelled", 0, None)]) == []


def test_results_of_other_settings_are_not_averaged(tmp_path):
    with pytest.raises(ArtefactError, match=r"none\. `crosscheck bench training` makes them"):
        read_results(tmp_path / "nowhere")
    for number, one in enumerate(RESULTS):
        Folder(tmp_path).write_record(f"{number}.json", one)
    assert read_results(tmp_path) == RESULTS
    Folder(tmp_path).write_record("another.json", RESULTS[0])
    with pytest.raises(ArtefactError, match=r"Expected one result for \('bccd', 5, 0, 'labelled'\) in .*, found 2"):
        read_results(tmp_path)


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_the_figure_is_the_same_bytes_for_the_same_results(tmp_path, suffix):
    path = tmp_path / f"figure.{suffix}"
    draw(summarize(RESULTS), path)
    first = path.read_bytes()
    draw(summarize(RESULTS), path)
    assert path.read_bytes() == first
    draw(summarize(RESULTS[:3]), path)
    assert path.read_bytes() != first


def test_the_figure_names_sets_and_arms_but_no_ablation(tmp_path):
    path = tmp_path / "figure.svg"
    draw(summarize(RESULTS), path)
    text = path.read_text()
    assert "bccd, 5 labelled images" in text
    assert GATED in text
    assert "ohem" not in text
