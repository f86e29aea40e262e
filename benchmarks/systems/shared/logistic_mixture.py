"""The distribution of a pixel in NVAE and D2C: a mixture of discretised logistics.

Each colour depends on the previous ones (Salimans et al., 2017, PixelCNN++, Section 2). For K
components the logits [N, 10 K, H, W] are: K logits of their weights, then for each of three colours
K means, K logarithms of scales and K coefficients. Values are in [-1, 1]:

    r = x_0        g = x_1 + c_0 r        b = x_2 + c_1 r + c_2 g        each clamped
"""

import torch
import torch.nn.functional as F
from torch import Tensor

LOWEST_LOG_SCALE = -7.0
TAIL_LOW, TAIL_HIGH = -0.999, 0.99  # values beyond these are in the first and the last bin
SMALLEST_SHARE = 1e-5  # of a bin; for a smaller one the density at its middle is used
SMALLEST_UNIFORM = 1e-5  # of the numbers that draw a sample; the largest is one minus it


class LogisticMixture:
    """`weights` N x K x H x W (logits); `means`, `log_scales`, `coefficients` N x 3 x K x H x W."""

    def __init__(self, logits: Tensor):
        components = logits.shape[1] // 10
        self.weights = logits[:, :components]
        of_colours = logits[:, components:].unflatten(1, (3, 3 * components))
        self.means, log_scales, coefficients = of_colours.chunk(3, dim=2)
        self.log_scales = log_scales.clamp(min=LOWEST_LOG_SCALE)
        self.coefficients = coefficients.tanh()

    def mean(self) -> Tensor:
        """Mean images N x 3 x H x W in [-1, 1].

        The colours' formula with mean means and mean coefficients, as published.
        """
        share = self.weights.softmax(dim=1)[:, None]
        return _colours((share * self.means).sum(2), (share * self.coefficients).sum(2))

    def location(self) -> Tensor:
        """Images from the likeliest component's means."""
        return self._pixels(self.weights.argmax(dim=1), None)

    def sample(self, u_mixture: Tensor, u_logistic: Tensor) -> Tensor:
        """Images drawn with uniform numbers from [1e-5, 1 - 1e-5].

        `u_mixture` N x K x H x W choose each pixel's component (by Gumbel's trick), `u_logistic` N
        x 3 x H x W its values.
        """
        chosen = (self.weights - (-u_mixture.log()).log()).argmax(dim=1)
        return self._pixels(chosen, u_logistic.logit())

    def _pixels(self, chosen: Tensor, deviation: Tensor | None) -> Tensor:
        place = chosen[:, None, None].expand(-1, 3, 1, -1, -1)
        means, log_scales, coefficients = (
            part.gather(2, place)[:, :, 0]
            for part in (self.means, self.log_scales, self.coefficients)
        )
        if deviation is not None:
            means = means + log_scales.exp() * deviation
        return _colours(means, coefficients)

    def log_likelihood(self, images: Tensor, bits: int) -> Tensor:
        """Log probability of the values of `images`: N x H x W.

        `images` are N x 3 x H x W in [-1, 1], of `bits` bits.
        """
        r, g = images[:, 0], images[:, 1]
        c = self.coefficients
        before = (
            torch.zeros_like(c[:, 0]),
            c[:, 0] * r[:, None],
            c[:, 1] * r[:, None] + c[:, 2] * g[:, None],
        )
        centred = images[:, :, None] - self.means - torch.stack(before, dim=1)
        of_colours = _log_share(centred, self.log_scales, images[:, :, None], 2**bits - 1)
        return torch.logsumexp(of_colours.sum(1) + self.weights.log_softmax(dim=1), dim=1)


def _colours(x: Tensor, c: Tensor) -> Tensor:
    """The colours' formula at the head of this file, for N x 3 x H x W each."""
    r = x[:, 0].clamp(-1, 1)
    g = (x[:, 1] + c[:, 0] * r).clamp(-1, 1)
    b = (x[:, 2] + c[:, 1] * r + c[:, 2] * g).clamp(-1, 1)
    return torch.stack((r, g, b), dim=1)


def _log_share(centred: Tensor, log_scales: Tensor, values: Tensor, top: int) -> Tensor:
    """Log probability of a value's bin, of half width 1 / top; the outermost bins are unbounded."""
    narrow = (-log_scales).exp()
    above, below = narrow * (centred + 1 / top), narrow * (centred - 1 / top)
    share = above.sigmoid() - below.sigmoid()
    middle = narrow * centred
    density = middle - log_scales - 2 * F.softplus(middle)
    inside = torch.where(
        share > SMALLEST_SHARE, share.clamp(min=1e-10).log(), density - torch.tensor(top / 2).log()
    )
    upper = torch.where(values > TAIL_HIGH, -F.softplus(below), inside)
    return torch.where(values < TAIL_LOW, above - F.softplus(above), upper)


def to_uniform(u: Tensor) -> Tensor:
    """Numbers from [0, 1) as numbers from [1e-5, 1 - 1e-5], which `sample` takes."""
    return SMALLEST_UNIFORM + (1 - 2 * SMALLEST_UNIFORM) * u
