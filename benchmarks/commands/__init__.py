"""The commands: options, `list`, `weights`, `doctor`, `docs`, `--dry-run`, training of a metric network."""
