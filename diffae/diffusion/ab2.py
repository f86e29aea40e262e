"""Two-step Adams-Bashforth: second order, explicit, one call per step.

Nodes are numbered from 0, the image (phi = 0), to T; node i from 1 on lies at the i-th timestep of
the grid.

    on the velocity   x_m = cos(d) x_n + sin(d) V,   d = phi_m - phi_n,   V = cos(phi_n) E - sin(phi_n) F
    on the noise      x_m = cos(phi_m) / cos(phi_n) x_n + (sin(phi_m) - cos(phi_m) tan(phi_n)) E
    F, E              1.5 times the predicted x_0 and noise at node n, minus 0.5 times those before

The weights use the number of the step, as if all steps were equal: encoder and decoder then have
the same leading error, which cancels in a round trip, and on a grid that is smooth in i the order
is still two. The first formula is exact, as DDIM is, where predicted x_0 and noise are constant
along the trajectory. The second is PNDM's formula of order two (Liu et al., 2022, Section 3.3)
without its warm-up; it is for models that are given z_sem.

Decoding ends at a = 1, the image itself; encoding begins there, with a call at t = 0 for its noise.
"""

import math
from collections.abc import Callable, Iterator
from functools import partial

from torch import Tensor

from diffae.diffusion.trajectory import Denoiser, Prediction, Step

Move = Callable[[Tensor, Prediction, float, float], Tensor]  # x, F and E, phi of x, phi to go to


def _decode(denoise: Denoiser, x: Tensor, ts: list[int], move: Move) -> Iterator[Step]:
    phis = [0.0, *denoise.angles(ts)]
    before = None
    for i in range(len(ts), 0, -1):
        now = denoise(x, ts[i - 1])
        x = move(x, now.ahead(before, 0.5), phis[i], phis[i - 1])
        yield Step(ts[i - 1], denoise.finished(x) if i == 1 else x, now.image)
        before = now


def _encode(
    denoise: Denoiser, x: Tensor, ts: list[int], move: Move, top: Move | None = None
) -> Iterator[Step]:
    """Encode with the step `move`; `top`, if given, takes the last step, with F and E at its end.

    A "matched top" is the inverse of the decoder's first step, with the velocity at t = T
    extrapolated instead of computed, so that it costs no extra network call. It is four times as
    accurate for a model without z_sem.
    """
    phis = [0.0, *denoise.angles(ts)]
    before = None
    for i, t in enumerate([0, *ts[:-1]]):
        now = denoise(x, t)
        if i == 0:
            now = Prediction(x, now.noise)  # at that node, x is the image
        if top is not None and i == len(ts) - 1:
            x = top(x, now.ahead(before, 1.0), phis[i], phis[i + 1])
        else:
            x = move(x, now.ahead(before, 0.5), phis[i], phis[i + 1])
        yield Step(t, x, now.image)
        before = now


def _by_velocity(x: Tensor, parts: Prediction, phi: float, to: float) -> Tensor:
    return math.cos(to - phi) * x + math.sin(to - phi) * parts.velocity(phi)


def against_velocity(x: Tensor, parts: Prediction, phi: float, to: float) -> Tensor:
    """The inverse of `_by_velocity` from `to` to `phi`, with F and E at `to`."""
    return (x + math.sin(to - phi) * parts.velocity(to)) / math.cos(to - phi)


def _by_noise(x: Tensor, parts: Prediction, phi: float, to: float) -> Tensor:
    ratio = math.cos(to) / math.cos(phi)
    return ratio * x + (math.sin(to) - ratio * math.sin(phi)) * parts.noise


decode_v, decode_eps = partial(_decode, move=_by_velocity), partial(_decode, move=_by_noise)
encode_v = partial(_encode, move=_by_velocity, top=against_velocity)
encode_eps = partial(_encode, move=_by_noise)
