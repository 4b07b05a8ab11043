"""Training batches: loading, sampling, augmentation, mixup, mosaic and copy-paste."""
