"""Shared parts of systems: reading files, codebooks, inversion, training of the small versions."""
