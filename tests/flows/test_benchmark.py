"""A benchmark as a flow: the table of `crosscheck bench` on the run's page."""

from __future__ import annotations

import pytest

from flows.benchmark import benchmark
from pipeline.errors import PipelineError
from tests.end_to_end.project import write_config


def test_its_table_appears_on_the_page(prefect, tiny_data, tmp_path):
    config = write_config(tmp_path, tiny_data, training={"steps": 6, "plateau": {"enabled": False}})
    small = ["--labelled", "8", "--images", "4", "--proposals", "4", "--seed", "0", "--root", str(tmp_path / "bench")]
    printed = benchmark(str(config), "mining", small)
    assert "pasted_share" in printed
    (page,) = prefect.find("/artifacts/filter", artifacts={"key": {"any_": ["benchmark-mining"]}})
    assert printed.strip() in page["data"]
    assert (tmp_path / "bench" / "mining").is_dir()


def test_one_that_cannot_run_fails(prefect, tiny_data, tmp_path, capfd):
    config = write_config(tmp_path, tiny_data)
    with pytest.raises(PipelineError, match="crosscheck bench mining ended with status 2; its message is in the log"):
        benchmark(str(config), "mining", ["--images", "none"])
    assert "--images" in capfd.readouterr().err
