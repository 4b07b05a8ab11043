"""`crosscheck bench`: what the claims of this project are measured by."""

import typer

from pipeline.cli.catalogue_bench import engines, frames, shifted, tiles
from pipeline.cli.evidence_bench import evidence, stacking
from pipeline.cli.mining_bench import ablation, calibration, mining, misses
from pipeline.cli.people_bench import asking, labeling
from pipeline.cli.strategies_bench import strategies
from pipeline.cli.training_bench import labels, speed, training

app = typer.Typer(
    no_args_is_help=True,
    help="Measure mining, calibration and training beside what they have to beat, and Label Studio under load.\n\n"
    "The sets are simulated projects, whose true boxes are known; configs/ has three. Every cell of a benchmark (a "
    "set, a seed, an arm ...) is trained and measured once and kept as a file in the root folder: a killed benchmark "
    "goes on where it was, and the same command in several terminals shares the work. After a change of code, remove "
    "that folder to measure anew.",
)
_COMMANDS = (
    training,
    labels,
    speed,
    strategies,
    shifted,
    tiles,
    engines,
    frames,
    mining,
    calibration,
    evidence,
    stacking,
    ablation,
    misses,
    asking,
    labeling,
)
for _command in _COMMANDS:
    app.command()(_command)
