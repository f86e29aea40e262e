"""Checkpoints: a folder of ours, the authors' files, and the packaged models."""
