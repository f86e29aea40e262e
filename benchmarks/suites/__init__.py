"""Frozen suites of benchmarks, a TOML file each; `benchmarks/core/suites.py` reads them."""
