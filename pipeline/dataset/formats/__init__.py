"""Annotation formats, each in an adapter of its own that reads and writes."""
