"""Seeing how a training goes: `base.py` says what a callback is told, `progress.py` has the bar, `curves.py` TensorBoard and Weights & Biases, `sheets.py` the
pictures, `evaluations.py` the harness in a process of its own, and `flags.py` what of it a person asks for.
"""
