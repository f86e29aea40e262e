"""The commands: options, `list`, `doctor`, `docs`, `--dry-run`, and the training of a metric
network.
"""
