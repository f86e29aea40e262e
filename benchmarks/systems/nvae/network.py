"""NVAE (Vahdat and Kautz, 2020): a hierarchy of groups of latent maps.

The coarsest group is first, and each is given those before it. The encoder goes from fine to coarse
and keeps its features at each group. The decoder starts from a learned map, and at each group both
together give the distribution of z. Modules have the published names.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.systems.shared import cells
from benchmarks.systems.shared.cells import NVAECell, WeightNormConv
from benchmarks.systems.shared.logistic_mixture import LogisticMixture


@dataclass(frozen=True)
class NVAEConfig:
    """Sizes of an NVAE.

    Side of images, channels at the full side of encoder and decoder, blocks before and after the
    hierarchy (each halves the side), and their cells; groups of each scale, the finest first;
    channels of z; cells between groups; flows of each group; bits of the input; components of the
    output; whether cells have squeeze-and-excitation, and whether posteriors are relative to their
    priors.
    """

    image_size: int
    channels_enc: int
    channels_dec: int
    blocks: int
    cells_pre: int
    cells_post: int
    groups: tuple[int, ...]
    latent_channels: int
    cells_enc: int
    cells_dec: int
    flows: int
    bits: int
    mixtures: int
    squeeze: bool
    residual_posterior: bool

    @property
    def scaling(self) -> int:
        """The ratio of the image's side to that of the coarsest maps."""
        return 2 ** (self.blocks + len(self.groups) - 1)

    @property
    def cells(self) -> int:
        """The number of cells of the network, flows included; each has several tensors."""
        per_group = self.cells_enc + self.cells_dec + self.flows
        return sum(self.groups) * per_group + self.blocks * (self.cells_pre + self.cells_post)

    def latent_shapes(self) -> tuple[tuple[int, int, int], ...]:
        """C, H, W of each group's z, the coarsest first."""
        coarsest = self.image_size // self.scaling
        sides = [coarsest * 2**i for i in range(len(self.groups))]
        return tuple(
            (self.latent_channels, side, side)
            for side, count in zip(sides, reversed(self.groups), strict=True)
            for _ in range(count)
        )


def groups_per_scale(scales: int, finest: int, adaptive: bool, fewest: int) -> tuple[int, ...]:
    """Groups of each scale, the finest first.

    The same number at each, or half of the previous, but at least `fewest`.
    """
    counts = [finest]
    while len(counts) < scales:
        counts.append(max(counts[-1] // 2, fewest) if adaptive else finest)
    return tuple(counts)


class Gaussian(NamedTuple):
    """A normal distribution of each number of a z."""

    mean: Tensor
    sigma: Tensor

    @classmethod
    def from_outputs(cls, mu: Tensor, log_sigma: Tensor) -> "Gaussian":
        """The distribution of two outputs of a network, which are softly bounded to (-5, 5)."""
        return cls(_soft_clamp(mu), _soft_clamp(log_sigma).exp() + 0.01)


def _soft_clamp(x: Tensor) -> Tensor:
    return 5 * (x / 5).tanh()


class EncoderCombiner(nn.Module):
    """Combine the encoder's features with the decoder's."""

    def __init__(self, c_enc: int, c_dec: int):
        super().__init__()
        self.conv = WeightNormConv(c_dec, c_enc, 1)

    def forward(self, seen: Tensor, made: Tensor) -> Tensor:
        return seen + self.conv(made)


class DecoderCombiner(nn.Module):
    """Combine the decoder's features with a z."""

    def __init__(self, channels: int, latent_channels: int):
        super().__init__()
        self.conv = WeightNormConv(channels + latent_channels, channels, 1)

    def forward(self, made: Tensor, z: Tensor) -> Tensor:
        return self.conv(torch.cat((made, z), dim=1))


Choice = Callable[[int, Gaussian], Tensor]
Inference = Callable[[int, Gaussian, Gaussian], Tensor]


class NVAE(nn.Module):
    """The network; images are N x 3 x S x S in [0, 1], a code is a tuple of z after their flows."""

    def __init__(self, configuration: NVAEConfig):
        super().__init__()
        c = self.configuration = configuration
        top_enc, top_dec = c.channels_enc * c.scaling, c.channels_dec * c.scaling
        coarsest = c.image_size // c.scaling
        self.prior_ftr0 = nn.Parameter(torch.randn(top_dec, coarsest, coarsest))
        self.stem = WeightNormConv(3, c.channels_enc, 3)
        before = [c.cells_pre - 1] * c.blocks  # the last cell of each block halves the side
        self.pre_process = cells.falling(c.channels_enc, [*before, 0], c.squeeze)
        self.enc_tower = nn.ModuleList(self._up())
        self.enc0 = nn.Sequential(nn.ELU(), WeightNormConv(top_enc, top_enc, 1), nn.ELU())
        self.enc_sampler = nn.ModuleList(
            WeightNormConv(width, 2 * c.latent_channels, 3) for width in self._widths(top_enc)
        )
        self.dec_sampler = nn.ModuleList(
            nn.Sequential(nn.ELU(), WeightNormConv(width, 2 * c.latent_channels, 1))
            for width in self._widths(top_dec)[1:]
        )
        flows = (cells.Flow(c.latent_channels) for _ in range(sum(c.groups) * c.flows))
        self.nf_cells = nn.Sequential(*flows)
        self.dec_tower = nn.ModuleList(self._down(top_dec))
        wide, after = c.channels_dec * 2**c.blocks, [c.cells_post - 1] * c.blocks
        self.post_process = cells.rising(wide, [0, *after], c.squeeze, cells.POST_EXPANSION)
        head = WeightNormConv(c.channels_dec, 10 * c.mixtures, 3)
        self.image_conditional = nn.Sequential(nn.ELU(), head)

    # ------------------------------------------------------------------------------------------
    # Building

    def _widths(self, top: int) -> list[int]:
        """Channels of the maps at each group, the coarsest first."""
        groups = enumerate(reversed(self.configuration.groups))
        return [top // 2**scale for scale, count in groups for _ in range(count)]

    def _up(self) -> list[nn.Module]:
        """Cells of each group, and after each but the last the combiner with the decoder."""
        c = self.configuration
        modules: list[nn.Module] = []
        for scale, count in enumerate(c.groups):
            width, made = (ch * 2 ** (c.blocks + scale) for ch in (c.channels_enc, c.channels_dec))
            for _ in range(count):
                modules += [NVAECell.encoding(width, c.squeeze) for _ in range(c.cells_enc)]
                modules.append(EncoderCombiner(width, made))
            modules.append(NVAECell.down(width, c.squeeze))
        return modules[:-2]

    def _down(self, width: int) -> list[nn.Module]:
        c = self.configuration
        modules: list[nn.Module] = []
        for count in reversed(c.groups):
            for _ in range(count):
                modules += [NVAECell.decoding(width, c.squeeze) for _ in range(c.cells_dec)]
                modules.append(DecoderCombiner(width, c.latent_channels))
            modules.append(NVAECell.up(width, c.squeeze))
            width //= 2
        return modules[c.cells_dec : -1]

    # ------------------------------------------------------------------------------------------
    # Computing

    def encode(self, images: Tensor, infer: Inference) -> tuple[Tensor, ...]:
        """The z of every group. `infer(i, posterior, prior)` is the z of group i before its flows."""
        return self._infer(images, infer)[0]

    def reconstruct(self, images: Tensor, infer: Inference) -> Tensor:
        """The logits for the codes that `infer` makes, as in `encode`."""
        return self._finish(self._infer(images, infer)[1])

    def _infer(self, images: Tensor, infer: Inference) -> tuple[tuple[Tensor, ...], Tensor]:
        top, seen = self._see(images)

        def z_of(i: int, made: Tensor) -> Tensor:
            return self.flow(i, infer(i, *self.posterior(i, top, seen, made)))

        return self._make(len(images), z_of)

    def logits(self, code: tuple[Tensor, ...]) -> Tensor:
        """Logits of the distribution of the image of a code: N x 10 K x S x S."""
        return self._finish(self._make(len(code[0]), lambda i, made: code[i])[1])

    def decode(self, code: tuple[Tensor, ...]) -> Tensor:
        """The mean image of a code, in [-1, 1]."""
        return LogisticMixture(self.logits(code)).mean()

    def sample(self, count: int, choose: Choice) -> tuple[Tensor, ...]:
        """A new code. `choose(i, prior)` is the z of group i; priors are distributions of z after flows."""
        return self._make(count, lambda i, made: choose(i, self.prior(i, made)))[0]

    def _see(self, images: Tensor) -> tuple[Tensor, list[tuple[EncoderCombiner, Tensor]]]:
        """The encoder's last features.

        Also, for every group but the first, the combiner and the features there.
        """
        s = self.pre_process(self.stem(2 * images - 1))
        seen = []
        for cell in self.enc_tower:
            if isinstance(cell, EncoderCombiner):
                seen.append((cell, s))
            else:
                s = cell(s)
        return self.enc0(s), seen[::-1]

    def prior(self, i: int, made: Tensor) -> Gaussian:
        """The prior of z of group i, given the decoder's features.

        The first group's is the same for all images.
        """
        return Gaussian.from_outputs(*self._of_prior(i, made))

    def _of_prior(self, i: int, made: Tensor) -> tuple[Tensor, Tensor]:
        if i == 0:
            c, *side = self.configuration.latent_shapes()[0]
            nothing = made.new_zeros(len(made), c, *side)
            return nothing, nothing
        mu, log_sigma = self.dec_sampler[i - 1](made).chunk(2, dim=1)
        return mu, log_sigma

    def posterior(
        self, i: int, top: Tensor, seen: list[tuple[EncoderCombiner, Tensor]], made: Tensor
    ) -> tuple[Gaussian, Gaussian]:
        """The posterior of z of group i before its flows, and the prior."""
        feature = top
        if i > 0:
            combiner, saw = seen[i - 1]
            feature = combiner(saw, made)
        mu, log_sigma = self.enc_sampler[i](feature).chunk(2, dim=1)
        of_prior = self._of_prior(i, made)
        if i > 0 and self.configuration.residual_posterior:
            mu, log_sigma = of_prior[0] + mu, of_prior[1] + log_sigma
        return Gaussian.from_outputs(mu, log_sigma), Gaussian.from_outputs(*of_prior)

    def flow(self, i: int, z: Tensor) -> Tensor:
        """z after the flows of group i, which preserve volume."""
        flows = self.configuration.flows
        return self.nf_cells[i * flows : (i + 1) * flows](z)

    def _make(
        self, count: int, z_of: Callable[[int, Tensor], Tensor]
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """Run the decoder from the coarsest group; `z_of(i, made)` is the z of group i.

        Returns the code, and the decoder's features after the last group.
        """
        made = self.prior_ftr0.expand(count, -1, -1, -1)
        code: list[Tensor] = []
        for cell in self.dec_tower:
            if isinstance(cell, DecoderCombiner):
                code.append(z_of(len(code), made))
                made = cell(made, code[-1])
            else:
                made = cell(made)
        return tuple(code), made

    def _finish(self, made: Tensor) -> Tensor:
        return self.image_conditional(self.post_process(made))
