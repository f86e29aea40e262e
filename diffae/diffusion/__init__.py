"""Gaussian diffusion: schedules, noise, and solvers from an image to its noise x_T and back.

gaussian.py     the schedules, and how x_t is composed
noise.py        noise that belongs to an image
interpolation.py  codes between two others

scheme.py       solvers by name ("ddim", "fast", "ab2-v:power-2.5"): methods, grids and costs
grids.py        the timesteps at which the network is called
trajectory.py   one call of the network, and the steps that a solver yields
ddim.py         the paper's, first order
ab2.py          two-step Adams-Bashforth, on the velocity ("fast") and on the noise
implicit.py     the inverse of a DDIM step, by one call
dpm.py          DPM-Solver++(2M)
heun.py         Heun's method of Karras et al.: two calls per step, decoding only
solve.py        `decode_steps` and `encode_steps` with a solver by name

`diffae-bench docs solvers` says which one to use, and what was measured.
"""
