"""DPM-Solver++(2M) (Lu et al., 2022, Algorithm 2), in both directions.

Second order in the log-SNR, one call per step:

    lambda  = log(cos(phi) / sin(phi))                                           half the log of the signal-to-noise ratio
    x_m     = sin(phi_m) / sin(phi_n) x_n - cos(phi_m) (exp(-h) - 1) D           h = lambda_m - lambda_n
    D       = f_n + (f_n - f_before) h / (2 h_before)                            f: the predicted x_0

Decoding ends with the predicted x_0 of the last call. Encoding takes the image as the state at
t = 0, where lambda is finite, and ends at the last timestep, so that it needs one call less.
"""

import math
from collections.abc import Iterator
from functools import partial

from torch import Tensor

from diffae.diffusion.trajectory import Denoiser, Step


def _moves(denoise: Denoiser, x: Tensor, ts: list[int], to_image: bool) -> Iterator[Step]:
    ts = ts[::-1] if to_image else ts
    phis = denoise.angles(ts)
    lambdas = [-math.log(math.tan(phi)) for phi in phis]
    f_before, h_before = None, 0.0
    for n, t in enumerate(ts[:-1]):
        f = denoise(x, t).image
        h = lambdas[n + 1] - lambdas[n]
        ahead = f if f_before is None else f + (f - f_before) * (h / (2 * h_before))
        x = math.sin(phis[n + 1]) / math.sin(phis[n]) * x
        x = x - math.cos(phis[n + 1]) * math.expm1(-h) * ahead
        yield Step(t, x, f)
        f_before, h_before = f, h
    if to_image:
        f = denoise(x, ts[-1]).image
        yield Step(ts[-1], f, f)


decode, encode = partial(_moves, to_image=True), partial(_moves, to_image=False)
