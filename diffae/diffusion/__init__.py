"""Gaussian diffusion: schedules, noise, and solvers from an image to its noise x_T and back.

gaussian.py     the schedules, and how x_t is composed
noise.py        noise that belongs to an image
interpolation.py  codes between two others

scheme.py       solvers by name ("ddim", "fast", "ab2-v:power-2.5"): methods, grids and costs
solve.py        the solvers, and `decode_steps` and `encode_steps` with one by name

`diffae-bench docs solvers` says which one to use, and what was measured.
"""
