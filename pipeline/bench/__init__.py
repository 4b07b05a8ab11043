"""Benchmarks: one command for each claim of this project.

- `scenario`: a set, a number of labelled images and a seed, with a detector trained once
- `grid`: measures cells, keeps each result as one file, and shares the work among processes
- `calibration`, `missed_objects`, `mining`, `ablation`, `training`: a cell with its result, for a grid
- `speed`, `labeling`: single measurements

A new benchmark is a frozen result, a cell with a `name` and a `measure`, and a command that runs a `Grid` of cells.
"""
