"""A benchmark on the machine of a worker: `crosscheck bench`, whose table appears on the run's page."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from typing import Literal

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.page import Page
from flows.waiting import unattended
from pipeline.errors import PipelineError

Benchmark = Literal[
    "ablation", "asking", "calibration", "engines", "evidence", "frames", "labels", "mining", "misses", "shifted",
    "speed", "strategies", "tiles", "training",
]  # fmt: skip
_COMMAND = (sys.executable, "-c", "from pipeline.cli import main; main()", "bench")


@flow(name="benchmark", description=__doc__)
@unattended
def benchmark(config: str, kind: Benchmark = "mining", options: list[str] | None = None) -> str:
    """Measure something on a simulated project; cells that are finished in the root folder are not measured again.

    Args:
        config: Settings file of a project whose true boxes are known.
        kind: Which benchmark.
        options: More options of `crosscheck bench KIND`, for instance `["--seed", "0", "--root", "/data/bench"]`.

    Returns:
        What the command printed.
    """
    done = subprocess.run(
        [*_COMMAND, kind, "--config", config, *(options or [])], stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise PipelineError(f"crosscheck bench {kind} ended with status {done.returncode}; its message is in the log.")
    table = f"```\n{done.stdout.strip()}\n```"
    command = f"crosscheck bench {kind} --config {config}"
    Page().show(partial(create_markdown_artifact, table, key=f"benchmark-{kind}", description=command))
    return done.stdout
