"""Watch a training.

`base.py` has the base class, `curves.py` TensorBoard and Weights & Biases,
`sheets.py` the pictures, `evaluations.py` the harness in a process of its own, and `flags.py` the
command's flags for them.
"""
