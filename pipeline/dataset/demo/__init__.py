"""A generated detection set of workshop parts on a bench: no download, the same bytes from the same seed."""

from pipeline.dataset.demo.generate import DEMO_LABELS, DemoCounts, DemoSet, Portion, generate_demo

__all__ = ["DEMO_LABELS", "DemoCounts", "DemoSet", "Portion", "generate_demo"]
