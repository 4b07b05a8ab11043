"""What the documentation says holds: links lead somewhere, its code runs, its settings are accepted."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from pipeline.selection import baselines
from pipeline.selection.query import Worth, choose_images
from pipeline.settings import QuerySettings, load_settings
from pipeline.settings.renamed import RENAMED
from scripts.execute_notebook import execute
from tests.end_to_end.project import run_cycles, write_config
from tests.selection.pools import make_pool

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    titles = HEADING.findall(page.read_text())
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page):
    for link in LINK.findall(page.read_text()):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), f"{page.name} links to {link}"
        assert not anchor or anchor in anchors(target), f"{page.name} links to {link}"


SCRIPT = re.compile(r"python (-m scripts\.\w+|scripts/\w+\.py)")
LOADS = """
import importlib, sys
folder, name = sys.argv[1:]
sys.path[0] = folder
importlib.import_module(name)
"""


def scripts_that_are_named():
    places = [*PAGES, *(ROOT / "scripts").glob("*.py"), *(ROOT / "pipeline").rglob("*.py")]
    return sorted({name for place in places for name in SCRIPT.findall(place.read_text())})


@pytest.mark.parametrize("named", scripts_that_are_named())
def test_every_script_starts_as_the_documentation_has_it(named):
    """Its imports are found in a checkout, with nothing set in the environment."""
    bare = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    # `python FILE` looks for modules beside the file, `python -m` where it is called.
    way = ["", named.split()[1]] if named.startswith("-m") else ["scripts", Path(named).stem]
    done = subprocess.run(
        [sys.executable, "-c", LOADS, *way], cwd=ROOT, env=bare, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_scripts_are_named_at_all():
    assert len(scripts_that_are_named()) >= 4


def test_pages_have_links_at_all():
    assert sum(len(LINK.findall(page.read_text())) for page in PAGES) > 10


def test_the_changelog_names_every_setting_that_was_renamed():
    changes = (ROOT / "CHANGELOG.md").read_text()
    for old, new in RENAMED.items():
        assert re.search(rf"`{old}`\s+is\s+`{new}`", changes), f"{old} is now {new}"


# Add a query strategy

STRATEGY_PAGE = "docs/add-a-query-strategy.md"


@pytest.fixture
def strategy_page():
    function, literal, test = blocks(STRATEGY_PAGE, "python")
    names = {**vars(baselines), "make_pool": make_pool}
    exec(function, names)
    exec(test, names)
    return names, literal


def test_the_strategy_of_the_page_passes_the_test_of_the_page(strategy_page):
    names, _ = strategy_page
    names["test_contradiction_counts_checked_proposals_alone"]()


def test_the_strategy_of_the_page_decides_who_is_asked_first(strategy_page, monkeypatch):
    names, _ = strategy_page
    monkeypatch.setitem(baselines.BASELINES, "contradiction", names["contradiction"])
    images = {f"i{n}": [{"score": 0.9, "consistency": 0.9 - 0.1 * n, "checks": 4}] for n in range(5)}
    pool = make_pool(images, budget=2)
    nothing = np.zeros(len(images))
    settings = QuerySettings.model_construct(strategy="contradiction", boxes=None)
    assert choose_images(pool, Worth(nothing, nothing, nothing), settings) == ["i4", "i3"]


def test_the_page_lists_the_strategies_that_there_are(strategy_page):
    _, literal = strategy_page
    annotation = re.search(r"Literal\[(.*?)\]", literal, re.DOTALL)
    listed = re.findall(r'"(\w+)"', annotation[1])
    assert listed == [*get_args(QuerySettings.model_fields["strategy"].annotation), "contradiction"]


# The first project


def test_the_settings_of_the_first_project_are_accepted(tmp_path):
    first, *_ = blocks("docs/first-project.md", "yaml")
    path = tmp_path / "configs" / "parts.yaml"
    path.parent.mkdir()
    path.write_text(first)
    settings = load_settings(path)
    assert settings.workspace == str(tmp_path / "runs" / "parts")
    assert [source.split for source in settings.data.sources] == ["train", "val", "test", "pool"]


# The notebook

NOTEBOOK = ROOT / "examples" / "workspace.ipynb"


def test_the_notebook_runs_on_another_workspace(tiny_data, tmp_path):
    settings = run_cycles(write_config(tmp_path, tiny_data), cycles=1)
    names: dict = {}
    tables = []
    for cell in code_cells():
        for output in execute("".join(cell["source"]).replace("../runs/demo", settings.workspace), names):
            tables += [output] if "text/html" in output.get("data", {}) else []
    assert names["project"].folder.uri == settings.workspace
    assert len(tables) == sum("".join(cell["source"]).count("display(p") for cell in code_cells()) + 2


def test_the_notebook_is_stored_with_what_it_showed():
    cells = code_cells()
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    kinds = {kind for cell in cells for output in cell["outputs"] for kind in output.get("data", {})}
    assert {"text/html", "image/jpeg"} <= kinds
    assert all(cell["outputs"] for cell in cells)
    assert NOTEBOOK.stat().st_size < 400_000


def code_cells() -> list[dict]:
    return [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]


def test_what_a_cell_shows_is_kept_in_order():
    outputs = execute("print('before'); display(3); print('after')", {})
    assert [output["output_type"] for output in outputs] == ["stream", "display_data", "stream"]
    assert outputs[1]["data"] == {"text/plain": ["3"]}
