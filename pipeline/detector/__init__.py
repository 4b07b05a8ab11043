"""The detector: built, trained, saved, applied and evaluated."""
