"""What the commands do: options, `list` and `doctor`, `--dry-run`, and the training of a metric network."""
