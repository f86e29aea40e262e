"""StyleGAN2 as two systems: with one vector w for all layers (W), or one for each layer (W+).

Karras et al., 2020; Abdal et al., 2019 ("Image2StyleGAN"), for W+. The weights that NVIDIA
published are for non-commercial use.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import ClassVar

from torch import Tensor, nn

from benchmarks.systems.protocol.base import Code, Description, needed
from benchmarks.systems.protocol.parts import POOLED, Part
from benchmarks.systems.shared.folder import Opened
from benchmarks.systems.shared.recognised import Choices, Whole
from benchmarks.systems.stylegan2 import files, inversion
from benchmarks.systems.stylegan2.network import Generator, StyleGAN2Config
from diffae.diffusion import noise
from diffae.system.errors import UserError

CONST, NONE = "const", "none"
MOST_STEPS = 100_000
CHOICES: Choices = {
    "noise": (CONST, NONE),
    "psi": tuple(f"{tenth / 10:g}" for tenth in range(10, -1, -1)),
    "steps": Whole(1000, 1, MOST_STEPS),  # as published
    "distance": inversion.NAMES,
    "mse": ("0", "0.01", "0.1", "1", "10"),
}
# Defaults for inverting small versions: a seventh of the time per step and a tenth of the steps, so that the thousands
# of images that probes learn from are feasible on two cores.
OF_SMALL: Choices = {
    "steps": Whole(100, 1, MOST_STEPS),
    "distance": (inversion.MSE, *inversion.NAMES),
}


class _StyleGAN2(Opened[StyleGAN2Config, Generator]):
    """Common base of both systems, with these options.

    noise     const: the layers' own noise maps; none: no noise in decoding
    psi       truncation of samples: how far from the average w they are
    steps     of an inversion: 1,000 as published, fewer for small versions
    distance  minimised by an inversion, see inversion.py; mse for small versions
    mse       the weight of the mean squared error beside it
    """

    capabilities = frozenset({"encode", "decode", "semantic", "sample", "sample_latents"})
    computes_in_float64 = True
    choices, example, config_class, network = CHOICES, "PATH", StyleGAN2Config, Generator
    choices_of_ours = OF_SMALL
    one_vector: ClassVar[bool]  # for all layers, else one for each
    noise_maps = w_avg = files.OWN

    def _read(self, path: Path) -> tuple[StyleGAN2Config, dict[str, Tensor]]:
        generator = files.read(path)
        self.noise_maps, self.w_avg = generator.noise_maps, generator.w_avg
        return generator.config, generator.state

    def _set_sizes(self, config: StyleGAN2Config) -> None:
        if self.w_avg == files.ESTIMATED:
            self.model.mapping.w_avg.copy_(inversion.statistics(self.model.mapping).average)
        self.loss = inversion.find_loss(self.options["distance"], self.device)
        self.image_size, self.layers = config.image_size, config.num_ws
        self.latent_dim = config.w_dim * (1 if self.one_vector else config.num_ws)
        if not self.one_vector:
            shape = (config.num_ws, config.w_dim)
            self.semantic_parts = (Part(shape, reading=POOLED, axis=1),)
        self.fingerprint += f"-{self.name}-{self.loss.name}-{self.loss.sha256}"

    def describe(self) -> Description:
        return {
            **self.options,
            "noise_maps": self.noise_maps,
            "w_avg": self.w_avg,
            "distance": self.loss.name,
            "distance_sha256": self.loss.sha256,
            "inversion": f"projector, {self.options['steps']} passes forward and backward",
        }

    def encode_semantic(self, images: Tensor) -> Tensor:
        """The w whose image is most similar to each of the images."""
        layers = 1 if self.one_vector else self.layers
        steps, mse = int(self.options["steps"]), float(self.options["mse"])
        invert = inversion.Inversion(self.model, self.loss, self._statistics, layers, steps, mse)
        w = invert(images.to(self.device))
        return w[:, 0] if self.one_vector else w

    @cached_property
    def _statistics(self) -> inversion.Statistics:
        return inversion.statistics(self.model.mapping)

    def mapping(self, z: Tensor, truncation: float = 1.0) -> Tensor:
        """w [N, 512] of z [N, 512], moved towards the average by `truncation` (psi); 1 leaves it unchanged."""
        return self.model.mapping(z.to(self.model.mapping.w_avg), truncation)

    def synthesis(self, w: Tensor, noise: str = CONST) -> Tensor:
        """Images of w, N x 512 or N x layers x 512, not clamped.

        `noise` is const (the network's own maps) or none.
        """
        if noise not in (CONST, NONE):
            raise UserError(f"noise is {CONST} or {NONE}, not {noise!r:.40}")
        network = self.model.synthesis
        layers = w[:, None].expand(-1, self.layers, -1) if w.ndim == 2 else w
        maps = network.noise_maps() if noise == CONST else None
        return network(layers.to(self.model.mapping.w_avg), maps)

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        w = needed(code.semantic, "w")
        return self.cut(self.synthesis(w, self.options["noise"]))

    def sample_latents(self, indices: Sequence[int], seed: int, steps: int) -> Tensor:
        z = noise.normal(seed, "latent", indices, (self.model.config.z_dim,))
        w = self.mapping(z, float(self.options["psi"]))
        return w if self.one_vector else w[:, None].repeat(1, self.layers, 1)

    def networks(self) -> dict[str, nn.Module]:
        return {"mapping": self.model.mapping, "synthesis": self.model.synthesis}


class StyleGAN2W(_StyleGAN2):
    """StyleGAN2, its code one vector w for all layers"""

    name, title, one_vector = "stylegan2-w", "StyleGAN2 (W)", True


class StyleGAN2WPlus(_StyleGAN2):
    """StyleGAN2, its code a vector w for each layer (W+)"""

    name, title, one_vector = "stylegan2-wplus", "StyleGAN2 (W+)", False
