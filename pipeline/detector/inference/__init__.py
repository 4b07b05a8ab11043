"""Applying a detector: streaming images, predicting, test-time augmentation and box fusion."""
