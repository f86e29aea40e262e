"""Protocols of other evaluation codes as TOML files; benchmarks/metrics/protocols/schema.py reads them."""
