"""The built-in profiles, a TOML file each; `benchmarks/core/profiles.py` reads them."""
