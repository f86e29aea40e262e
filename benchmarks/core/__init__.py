"""What every benchmark stands on: registry, profiles, store, selections, rows, run folder."""
