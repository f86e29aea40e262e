"""Solvers: from an image to its noise x_T and back, each a function of the network and of its timesteps.

One network call, and the steps that a solver yields, come first; then DDIM, Adams-Bashforth, the inverse
of a DDIM step, DPM-Solver++ and Heun; last `decode_steps` and `encode_steps`, which take a solver by name.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from diffae.diffusion.scheme import Scheme, find

NoisePredictor = Callable[[Tensor, Tensor], Tensor]  # (x_t, t) -> eps_theta


@dataclass(frozen=True)
class SolverStep:
    """One step of a trajectory: the timestep of the network call, x after the step, predicted x_0."""

    t: int
    x: Tensor
    x_0: Tensor


@dataclass(frozen=True)
class Prediction:
    """A network's prediction from x_t: x_0 (`image`) and the noise, N x ... each.

    x_t = cos(phi) image + sin(phi) noise,    cos(phi) = sqrt(a_t)
    """

    image: Tensor
    noise: Tensor

    def ahead(self, before: "Prediction | None", by: float) -> "Prediction":
        """Extrapolate by `by` grid points, linearly, from `before` (one grid point earlier) and this."""
        if before is None:
            return self
        image = (1 + by) * self.image - by * before.image
        return Prediction(image, (1 + by) * self.noise - by * before.noise)

    def velocity(self, phi: float) -> Tensor:
        """v = cos(phi) noise - sin(phi) image: dx_t / dphi (Salimans and Ho, 2022, Appendix D)."""
        return math.cos(phi) * self.noise - math.sin(phi) * self.image


@dataclass(frozen=True)
class Denoiser:
    """The network as solvers call it: `predict` gives eps_theta, `alphas` is its schedule.

    With `clip`, the predicted x_0 is clipped to [-1, 1] and the noise derived anew from it, as the
    authors do for images; latents are not clipped.
    """

    predict: NoisePredictor
    alphas: Tensor
    clip: bool

    def __call__(self, x: Tensor, t: int) -> Prediction:
        """One network call: the prediction from x_t (N x ...) at timestep `t`."""
        a = self.a(t)
        noise = self.predict(x, torch.full((len(x),), t, device=x.device))
        image = (x - (1 - a) ** 0.5 * noise) / a**0.5
        if self.clip:
            image = image.clamp(-1, 1)
            noise = (x - a**0.5 * image) / (1 - a) ** 0.5
        return Prediction(image, noise)

    def a(self, t: int) -> float:
        return float(self.alphas[t])

    def angles(self, ts: Sequence[int]) -> list[float]:
        """phi of each timestep, in radians: 0 is the image, pi / 2 pure noise."""
        return [math.acos(self.a(t) ** 0.5) for t in ts]

    def finished(self, x: Tensor) -> Tensor:
        """The result of a decoding that ends at a = 1: images are clamped to [-1, 1]."""
        return x.clamp(-1, 1) if self.clip else x


def last(trajectory: Iterator[SolverStep]) -> Tensor:
    """Run a trajectory to its end and return its last x."""
    x = None
    for step in trajectory:
        x = step.x
    assert x is not None  # a grid is never empty
    return x


Trajectory = Callable[[Denoiser, Tensor, list[int]], Iterator[SolverStep]]


# ----------------------------------------------------------------------------------------------
# DDIM (Song, Meng and Ermon, 2021), the paper's solver (Section 3): first order, on the angle phi.
#
# f       = (x_t - sqrt(1 - a_t) eps_theta) / sqrt(a_t)                  the predicted x_0
# decode  x_{t-1} = sqrt(a_{t-1}) f + sqrt(1 - a_{t-1}) eps_theta        (Eq. 2)
# encode  x_{t+1} = sqrt(a_{t+1}) f + sqrt(1 - a_{t+1}) eps_theta        (Eq. 8)


def decode_ddim(denoise: Denoiser, x_T: Tensor, ts: list[int]) -> Iterator[SolverStep]:
    """The last step's `x` is the (clipped) predicted x_0."""
    targets = [1.0, *map(denoise.a, ts[:-1])]
    return _ddim_moves(denoise, x_T, list(zip(ts, targets, strict=True))[::-1])


def encode_ddim(denoise: Denoiser, x_0: Tensor, ts: list[int]) -> Iterator[SolverStep]:
    """The decoding run backwards.

    The image counts as the state at the first timestep, and the last step's target has a = 0, so
    that x_T is the noise predicted at the last timestep (as the authors do).
    """
    targets = [*map(denoise.a, ts[1:]), 0.0]
    return _ddim_moves(denoise, x_0, list(zip(ts, targets, strict=True)))


def _ddim_moves(
    denoise: Denoiser, x: Tensor, moves: list[tuple[int, float]]
) -> Iterator[SolverStep]:
    """Make each move (t, a of the target), in order."""
    for t, a_next in moves:
        parts = denoise(x, t)
        x = a_next**0.5 * parts.image + (1 - a_next) ** 0.5 * parts.noise
        yield SolverStep(t, x, parts.image)


# ----------------------------------------------------------------------------------------------
# Two-step Adams-Bashforth: second order, explicit, one call per step.
#
# Nodes are numbered from 0, the image (phi = 0), to T; node i from 1 on lies at the i-th timestep of
# the grid.
#
#     on the velocity   x_m = cos(d) x_n + sin(d) V,   d = phi_m - phi_n,   V = cos(phi_n) E - sin(phi_n) F
#     on the noise      x_m = cos(phi_m) / cos(phi_n) x_n + (sin(phi_m) - cos(phi_m) tan(phi_n)) E
#     F, E              1.5 times the predicted x_0 and noise at node n, minus 0.5 times those before
#
# The weights use the number of the step, as if all steps were equal: encoder and decoder then have
# the same leading error, which cancels in a round trip, and on a grid that is smooth in i the order
# is still two. The first formula is exact, as DDIM is, where predicted x_0 and noise are constant
# along the trajectory. The second is PNDM's formula of order two (Liu et al., 2022, Section 3.3)
# without its warm-up; it is for models that are given z_sem.
#
# Decoding ends at a = 1, the image itself; encoding begins there, with a call at t = 0 for its noise.


Move = Callable[[Tensor, Prediction, float, float], Tensor]  # x, F and E, phi of x, phi to go to


def _decode_ab2(denoise: Denoiser, x: Tensor, ts: list[int], move: Move) -> Iterator[SolverStep]:
    phis = [0.0, *denoise.angles(ts)]
    before = None
    for i in range(len(ts), 0, -1):
        now = denoise(x, ts[i - 1])
        x = move(x, now.ahead(before, 0.5), phis[i], phis[i - 1])
        yield SolverStep(ts[i - 1], denoise.finished(x) if i == 1 else x, now.image)
        before = now


def _encode_ab2(
    denoise: Denoiser, x: Tensor, ts: list[int], move: Move, top: Move | None = None
) -> Iterator[SolverStep]:
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
        yield SolverStep(t, x, now.image)
        before = now


def _by_velocity(x: Tensor, parts: Prediction, phi: float, to: float) -> Tensor:
    return math.cos(to - phi) * x + math.sin(to - phi) * parts.velocity(phi)


def against_velocity(x: Tensor, parts: Prediction, phi: float, to: float) -> Tensor:
    """The inverse of `_by_velocity` from `to` to `phi`, with F and E at `to`."""
    return (x + math.sin(to - phi) * parts.velocity(to)) / math.cos(to - phi)


def _by_noise(x: Tensor, parts: Prediction, phi: float, to: float) -> Tensor:
    ratio = math.cos(to) / math.cos(phi)
    return ratio * x + (math.sin(to) - ratio * math.sin(phi)) * parts.noise


decode_v, decode_eps = partial(_decode_ab2, move=_by_velocity), partial(_decode_ab2, move=_by_noise)
encode_v = partial(_encode_ab2, move=_by_velocity, top=against_velocity)
encode_eps = partial(_encode_ab2, move=_by_noise)


# ----------------------------------------------------------------------------------------------
# The inverse of a DDIM step in one call: backward Euler on the angle phi, with a predictor.
#
# A DDIM step from node n to n - 1 is x_{n-1} = cos(d) x_n - sin(d) v_n, so that its inverse is
#
#     x_n = (x_{n-1} + sin(d) v_n) / cos(d),       d = phi_n - phi_{n-1}
#
# in which v_n is unknown. Instead of iterating, x_n is first predicted from the predicted x_0 and
# noise of the nodes before it, extrapolated linearly; the network is called there, and the step is
# repeated with its output. The image counts as the state at t = 0. Decoding is DDIM's on the same
# grid.


def encode_implicit(denoise: Denoiser, x_0: Tensor, ts: list[int]) -> Iterator[SolverStep]:
    phis = denoise.angles(ts)
    x, now = x_0, denoise(x_0, ts[0])
    before: Prediction | None = None
    yield SolverStep(ts[0], x, now.image)
    for n in range(1, len(ts)):
        reached = against_velocity(x, now.ahead(before, 1.0), phis[n - 1], phis[n])
        before, now = now, denoise(reached, ts[n])
        x = against_velocity(x, now, phis[n - 1], phis[n])
        yield SolverStep(ts[n], x, now.image)


# ----------------------------------------------------------------------------------------------
# DPM-Solver++(2M) (Lu et al., 2022, Algorithm 2), in both directions.
#
# Second order in the log-SNR, one call per step:
#
#     lambda  = log(cos(phi) / sin(phi))                                           half the log of the signal-to-noise ratio
#     x_m     = sin(phi_m) / sin(phi_n) x_n - cos(phi_m) (exp(-h) - 1) D           h = lambda_m - lambda_n
#     D       = f_n + (f_n - f_before) h / (2 h_before)                            f: the predicted x_0
#
# Decoding ends with the predicted x_0 of the last call. Encoding takes the image as the state at
# t = 0, where lambda is finite, and ends at the last timestep, so that it needs one call less.


def _dpm_moves(denoise: Denoiser, x: Tensor, ts: list[int], to_image: bool) -> Iterator[SolverStep]:
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
        yield SolverStep(t, x, f)
        f_before, h_before = f, h
    if to_image:
        f = denoise(x, ts[-1]).image
        yield SolverStep(ts[-1], f, f)


decode_dpm = partial(_dpm_moves, to_image=True)
encode_dpm = partial(_dpm_moves, to_image=False)


# ----------------------------------------------------------------------------------------------
# Heun's method as Karras et al. (2022, Algorithm 1) sample with it: second order.
#
# It takes two calls per step except the last. It acts on x / cos(phi), whose derivative with respect
# to sigma = tan(phi) is the noise. Each step is Euler's (DDIM's), then repeated with the mean of the
# noise at both ends; the last one, to the image, stays Euler's. We know of no published
# inverse, so it decodes only.


def decode_heun(denoise: Denoiser, x_T: Tensor, ts: list[int]) -> Iterator[SolverStep]:
    phis = [0.0, *denoise.angles(ts)]
    x = x_T
    for i in range(len(ts), 0, -1):
        phi, to = phis[i], phis[i - 1]
        now = denoise(x, ts[i - 1])
        if i == 1:
            yield SolverStep(ts[0], now.image, now.image)
            return
        reached = _along(x, now.noise, phi, to)
        noise = (now.noise + denoise(reached, ts[i - 2]).noise) / 2
        x = _along(x, noise, phi, to)
        yield SolverStep(ts[i - 1], x, now.image)


def _along(x: Tensor, noise: Tensor, phi: float, to: float) -> Tensor:
    """x at phi, moved to the angle `to` along that noise."""
    return math.cos(to) * (x / math.cos(phi) + (math.tan(to) - math.tan(phi)) * noise)


# ----------------------------------------------------------------------------------------------
# By name


# The decoder and the encoder of each method.
METHODS: dict[str, tuple[Trajectory, Trajectory | None]] = {
    "ddim": (decode_ddim, encode_ddim),
    "ab2-v": (decode_v, encode_v),
    "ab2-eps": (decode_eps, encode_eps),
    "implicit-v": (decode_ddim, encode_implicit),
    "dpm++2m": (decode_dpm, encode_dpm),
    "heun": (decode_heun, None),
}


def decode_steps(
    predict: NoisePredictor,
    x_T: Tensor,
    alphas: Tensor,
    steps: int,
    clip: bool = True,
    solver: str | Scheme = "ddim",
) -> Iterator[SolverStep]:
    """From x_T to x_0 in `steps` steps; the last step's `x` is the image.

    All are N x ...; `alphas` has 1000 timesteps.

    Raises UserError if there is no such solver, or if the steps are too few for it.
    """
    scheme = find(solver)
    decode, _ = METHODS[scheme.method]
    return decode(Denoiser(predict, alphas, clip), x_T, scheme.timesteps(steps))


def encode_steps(
    predict: NoisePredictor,
    x_0: Tensor,
    alphas: Tensor,
    steps: int,
    clip: bool = True,
    solver: str | Scheme = "ddim",
) -> Iterator[SolverStep]:
    """From x_0 to x_T in `steps` steps; the last step's `x` is x_T.

    Raises UserError as `decode_steps` does, and for a solver that cannot invert.
    """
    scheme = find(solver)
    scheme.encode_calls(steps)  # raises UserError if this solver cannot invert
    _, encode = METHODS[scheme.method]
    assert encode is not None
    return encode(Denoiser(predict, alphas, clip), x_0, scheme.timesteps(steps))
