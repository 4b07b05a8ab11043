"""What answers take, by way of asking; the tiny set."""

from dataclasses import dataclass, replace

import pytest
from typer.testing import CliRunner

from pipeline.bench.asking import CHOSEN, CORRECTED, DRAWN, AskingCell, AskingResult, Work, measured
from pipeline.bench.grid import Grid
from pipeline.bench.scenario import scenarios
from pipeline.cli.app import app
from pipeline.labeling.feedback.prices import Actions
from pipeline.records import Answer, Region, Source
from pipeline.settings import load_settings
from tests.builders import MOMENT, box, image_id


@pytest.fixture(scope="module")
def result(tiny):
    return AskingCell(tiny[0], 4).measure(lambda *_: None)


def test_no_answers_take_nothing(config):
    nothing = measured([], load_settings(config))
    assert nothing == Work()
    assert nothing.seconds_per_image is nothing.seconds_per_box is None


def test_answers_are_summed_up(config):
    drawn = Answer(image_id("a"), "1", "ann", False, (box(source=Source.HUMAN),), MOMENT, MOMENT)
    part = Answer(
        image_id("b"), "2", "ann", False, (box(source=Source.ACCEPTED),), MOMENT, MOMENT, verified=True,
        verdicts=(("bolt", "accepted"), ("nut", "deleted")), ignore=(Region(0, 0, 9, 9, "unanswered"),),
    )  # fmt: skip
    work = measured([drawn, part], load_settings(config))
    assert work == Work(2, 1, 3 + 7 + 3 + 2 * 2, Actions(accepted=1, deleted=1, added=1), 2, 1)
    assert (work.seconds_per_image, work.seconds_per_box) == (8.5, 8.5)


def test_the_same_images_are_answered_in_every_way(result):
    assert {work.images for work in result.work.values()} == {4}
    assert [result.work[way].verified for way in (CORRECTED, DRAWN)] == [0, 0]


def test_drawing_all_takes_a_look_an_image_and_a_stroke_an_object(result):
    work = result.work[DRAWN]
    assert work.seconds == 4 * 3 + work.boxes * 7
    assert work.actions == Actions(added=work.boxes)


def test_correcting_gives_as_many_boxes_as_drawing(result):
    corrected, drawn = result.work[CORRECTED], result.work[DRAWN]
    assert corrected.boxes == drawn.boxes
    kept = corrected.actions.accepted + corrected.actions.moved + corrected.actions.relabelled
    assert kept + corrected.actions.added == corrected.boxes


def test_what_is_verified_gives_no_more_boxes_than_it_is_answered_in_whole(result):
    chosen, drawn = result.work[CHOSEN], result.work[DRAWN]
    assert chosen.boxes <= drawn.boxes
    assert chosen.open_images <= chosen.verified


def test_a_killed_run_goes_on_with_the_cells_that_have_no_file_yet(result, config, tmp_path, never):
    changes = ["training.steps=29"]
    cells = [AskingCell(scenario, 4) for scenario in scenarios([config], [4, 5], [0], tmp_path, changes)]
    for cell in cells:
        Grid(tmp_path / "cells", AskingResult).run([_Finished(cell.name, replace(result, labelled=7))])
    never("pipeline.bench.asking.train")
    given = ["bench", "asking", "--config", config, "--labelled", 4, "--labelled", 5, "--images", 4, "--seed", 0]
    where = ["--set", changes[0], "--root", tmp_path, "--json", tmp_path / "cells"]
    shown = CliRunner().invoke(app, [*map(str, given), *map(str, where)], env={"COLUMNS": "200", "TERM": "dumb"})
    assert shown.exit_code == 0, shown.output
    assert len([line for line in shown.output.splitlines() if " 7 " in line and "all drawn" in line]) == 2
    assert {file.name for file in (tmp_path / "cells").iterdir()} == {f"{cell.name}.json" for cell in cells}


@dataclass(frozen=True)
class _Finished:
    """A cell that was measured before."""

    name: str
    result: AskingResult

    def measure(self, _progress):
        return self.result
