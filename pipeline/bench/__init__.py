"""Benchmarks: what a claim of this project is measured by, each one command."""
