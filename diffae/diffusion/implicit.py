"""The inverse of a DDIM step in one call: backward Euler on the angle phi, with a predictor.

A DDIM step from node n to n - 1 is x_{n-1} = cos(d) x_n - sin(d) v_n, so that its inverse is

    x_n = (x_{n-1} + sin(d) v_n) / cos(d),       d = phi_n - phi_{n-1}

in which v_n is unknown. Instead of iterating, x_n is first predicted from the predicted x_0 and
noise of the nodes before it, extrapolated linearly; the network is called there, and the step is
repeated with its output. The image counts as the state at t = 0. Decoding is DDIM's on the same
grid.
"""

from collections.abc import Iterator

from torch import Tensor

from diffae.diffusion.ab2 import against_velocity
from diffae.diffusion.trajectory import Denoiser, Prediction, Step


def encode(denoise: Denoiser, x_0: Tensor, ts: list[int]) -> Iterator[Step]:
    phis = denoise.angles(ts)
    x, now = x_0, denoise(x_0, ts[0])
    before: Prediction | None = None
    yield Step(ts[0], x, now.image)
    for n in range(1, len(ts)):
        reached = against_velocity(x, now.ahead(before, 1.0), phis[n - 1], phis[n])
        before, now = now, denoise(reached, ts[n])
        x = against_velocity(x, now, phis[n - 1], phis[n])
        yield Step(ts[n], x, now.image)
