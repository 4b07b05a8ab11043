"""Run the notebook in `examples/` in place and keep what it shows: `python scripts/execute_notebook.py`.

It opens `runs/demo`, which `crosscheck demo` leaves behind. Jupyter does the same; this needs no more than the project.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

NOTEBOOK = Path("examples/workspace.ipynb")


def main() -> None:
    """Execute every cell, and write the notebook with its outputs."""
    path = NOTEBOOK.resolve()
    notebook = json.loads(path.read_text())
    os.chdir(path.parent)
    names: dict[str, Any] = {}
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(code, start=1):
        cell |= {"execution_count": number, "outputs": execute("".join(cell["source"]), names)}
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")


def execute(source: str, names: dict[str, Any]) -> list[dict[str, Any]]:
    """Run a cell.

    Args:
        source: Python; what it shows it gives to `display` or `print`.
        names: Of the cells before; changed.

    Returns:
        Outputs in the format of notebooks, in order.
    """
    outputs: list[dict[str, Any]] = []
    printed = io.StringIO()

    def flush() -> None:
        if text := printed.getvalue():
            outputs.append({"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)})
        printed.seek(0)
        printed.truncate()

    def display(shown: object) -> None:
        flush()
        outputs.append({"output_type": "display_data", "metadata": {}, "data": bundle(shown)})

    with contextlib.redirect_stdout(printed):
        names["display"] = display
        exec(source, names)  # noqa: S102 (a notebook of this repository)
    flush()
    return outputs


def bundle(shown: object) -> dict[str, Any]:
    """What a notebook keeps of a table or an image."""
    if isinstance(shown, pd.DataFrame):
        return {"text/html": shown.to_html().splitlines(keepends=True), "text/plain": str(shown).splitlines(True)}
    if isinstance(shown, Image.Image):
        buffer = io.BytesIO()
        shown.save(buffer, "JPEG", quality=80)
        return {"image/jpeg": base64.b64encode(buffer.getvalue()).decode(), "text/plain": [f"image {shown.size}"]}
    return {"text/plain": str(shown).splitlines(keepends=True)}


if __name__ == "__main__":
    main()
