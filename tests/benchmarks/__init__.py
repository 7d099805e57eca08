"""The field's tabular benchmark, run on our own generator, baselines and installed peers."""
