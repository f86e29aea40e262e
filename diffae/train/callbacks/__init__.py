"""Watch a training.

`curves.py` has the numbers for TensorBoard, `sheets.py` the pictures, `evaluations.py` the harness in
a process of its own, and `flags.py` the command's flags for them.
"""
