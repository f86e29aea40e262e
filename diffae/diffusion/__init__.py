"""Gaussian diffusion: schedules, noise, and solvers of the trajectory between an image and its
noise x_T, in both directions.

gaussian.py     the schedules, and what x_t is made of
noise.py        noise that belongs to an image
interpolation.py  codes between two others

scheme.py       solvers by name ("ddim", "fast", "ab2-v:power-2.5"): what each is, and what it costs
grids.py        at which timesteps the network is called
trajectory.py   one call of the network, and the steps that a solver yields
ddim.py         the paper's, first order
ab2.py          two-step Adams-Bashforth, on the velocity ("fast") and on the noise
implicit.py     the inverse of a DDIM step, by one call
dpm.py          DPM-Solver++(2M)
heun.py         Heun's method of Karras et al.: two calls a step, decoding only
solve.py        `decode_steps` and `encode_steps` with a solver by name

`diffae-bench docs solvers` says which one to use, and what was measured.
"""
