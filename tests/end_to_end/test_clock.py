"""A clock that jumps back an hour in the middle of a cycle: versions and selections are those of a run without."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.errors import PipelineError
from pipeline.labeling.annotators import labeling_backend
from pipeline.lock import alone
from pipeline.loop import Surroundings, run_cycle
from pipeline.settings import load_settings
from pipeline.workspace import Workspace
from tests.end_to_end.project import run_cycles, selected, versions, write_config

PROJECT = Path(__file__).parents[2]
CLOCK = r"""
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long offset_s;
void jump_clock(long seconds) { offset_s += seconds; }
int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += offset_s;
    return failed;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec exact;
    int failed = clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return failed;
}
time_t time(time_t *now) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (now) *now = exact.tv_sec;
    return exact.tv_sec;
}
"""
"""Stands before the C library, so that Python and the Rust of the table see the same clock."""


@pytest.fixture(scope="module")
def clock(tmp_path_factory) -> Path:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler here")
    folder = tmp_path_factory.mktemp("clock")
    (folder / "clock.c").write_text(CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", folder / "clock.so", folder / "clock.c"], check=True)
    return folder / "clock.so"


def with_clock(clock, function, *arguments):
    """Call a function of this file in a process whose clock can jump."""
    program = f"import sys; from {__name__} import {function}; {function}(*sys.argv[1:])"
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=PROJECT, env={**os.environ, "LD_PRELOAD": str(clock), "PYTHONPATH": str(PROJECT)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def jump_back() -> None:
    before = time.time()
    ctypes.CDLL(None).jump_clock(-3600)
    assert -3610 < time.time() - before < -3500


def cycles_with_a_jump(config: str) -> None:
    """Two cycles; the clock jumps in the training of the first."""
    settings, jumps = load_settings(config), []

    def progress(what: str, done: int, total: int) -> None:
        if what == "fine-tuning" and done and not jumps:
            jumps.append(done)
            jump_back()

    around = Surroundings(lambda project: labeling_backend(project, None), progress)
    first, second = run_cycle(settings, around), run_cycle(settings, around)
    assert jumps
    assert second.opened_at < first.opened_at


def wait_with_a_jump(folder: str) -> None:
    """Wait a second for a lock, while the clock jumps."""
    workspace, faults = Workspace(folder), []

    def wait() -> None:
        try:
            with alone(workspace, wait_s=1.0):
                pass
        except PipelineError as fault:
            faults.append(str(fault))

    with alone(workspace):
        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        jump_back()
        waiting.join(300)
    (fault,) = faults
    assert "still under way" in fault


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_cycles_go_on_as_if_nothing_had_happened(clock, tiny_data, tmp_path):
    undisturbed = run_cycles(write_config(tmp_path / "steady", tiny_data), 2)
    config = write_config(tmp_path / "jumping", tiny_data)
    with_clock(clock, "cycles_with_a_jump", config)
    jumped = load_settings(config)
    assert versions(jumped) == versions(undisturbed)
    for cycle in (0, 1):
        assert selected(jumped, cycle) == selected(undisturbed, cycle)


def test_who_waits_for_the_workspace_waits_no_longer(clock, tmp_path):
    with_clock(clock, "wait_with_a_jump", tmp_path / "workspace")
