"""The benchmarks, one file each, found by their names (`benchmarks/core/registry.py`)."""
