"""Building blocks of solvers: one network call, angles between image and noise, and steps."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

NoisePredictor = Callable[[Tensor, Tensor], Tensor]  # (x_t, t) -> eps_theta


@dataclass(frozen=True)
class Step:
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
        """Extrapolate from `before` (one grid point ago) and this, linearly, `by` grid points ahead."""
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


def last(trajectory: Iterator[Step]) -> Tensor:
    """Run a trajectory to its end and return its last x."""
    x = None
    for step in trajectory:
        x = step.x
    assert x is not None  # a grid is never empty
    return x
