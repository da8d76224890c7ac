"""Motion capture, data sets of every format as records, augmentation, mixed batches, synthetic people."""
