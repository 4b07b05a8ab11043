"""Which code is running: the release, and the commit where it runs from a checkout."""

from __future__ import annotations

import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


@cache
def code_version() -> str:
    """`0.1.0`, `0.1.0+8fcb895c01ab` from a git checkout, `unknown` where the package is not installed."""
    try:
        release = version("crosscheck")
    except PackageNotFoundError:
        release = "unknown"
    commit = _commit(Path(__file__).parent)
    return f"{release}+{commit}" if commit else release


def _commit(folder: Path) -> str:
    command = ["git", "-C", str(folder), "rev-parse", "--short=12", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    # A checkout of something else may hold the folder that this was installed into.
    ours = "site-packages" not in folder.parts and found.returncode == 0
    return found.stdout.strip() if ours else ""
