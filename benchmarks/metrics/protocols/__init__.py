"""Reconstruction metrics as other evaluation codes compute them.

`schema` says what a protocol consists of and reads the files of benchmarks/protocols/.
"""
