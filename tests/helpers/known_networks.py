"""A network of known output, in place of a UNet or a latent DDIM."""

from dataclasses import replace

from tiny_preset import TINY
from torch import Tensor, nn

from diffae.networks.config import EPSILON


class Knows(nn.Module):
    """Says the noise, or the velocity, that belongs to x_t if x_0 is what it knows.

    Without an x_0 it takes z for it. It misses its answer by `miss` everywhere.
    """

    def __init__(
        self,
        x_0: Tensor | None,
        alphas: Tensor,
        prediction: str,
        miss: float = 0.0,
        out: nn.Module | None = None,
    ):
        super().__init__()
        self.x_0, self.alphas, self.prediction, self.miss = x_0, alphas, prediction, miss
        self.out = out  # for its device
        self.config = replace(TINY.model.latent, prediction=prediction)
        self.seen: list[int] = []

    def forward(self, x_t: Tensor, t: Tensor, z: Tensor | None = None) -> Tensor:
        self.seen += t.tolist()
        x_0 = z.view_as(x_t) if self.x_0 is None else self.x_0.expand_as(x_t)
        a = self.alphas[t].view(-1, *[1] * (x_t.ndim - 1))
        eps = (x_t - a.sqrt() * x_0) / (1 - a).sqrt()
        answer = eps if self.prediction == EPSILON else a.sqrt() * eps - (1 - a).sqrt() * x_0
        return answer.float() + self.miss
