"""Prefect flows: they sequence the stages of `pipeline` and nothing else."""
