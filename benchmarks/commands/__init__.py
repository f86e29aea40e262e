"""The commands: options, `list`, `doctor`, `docs`, `--dry-run`, training of a metric network."""
