"""Defaults of the functions, their command and their page.

This module does not need PyTorch, so that `--help` answers at once.
"""

# The quality of the paper's DDIM with T = 100, in seconds on a CPU (`diffae-bench docs solvers`).
STEPS, SOLVER = 10, "fast"
STRENGTH = 0.3  # of an edit: the authors' in manipulate.ipynb
POOL = 20_000  # latents that are drawn for a class, at most
SHOTS = 50  # labelled images of each class: Table 3, "binary"
RULES = ("threshold", "probability")
