"""StyleGAN2 as two systems: with one vector w for all layers (W), or one for each layer (W+).

Karras et al., 2020; Abdal et al., 2019 ("Image2StyleGAN"), for W+. The weights that NVIDIA
published are for non-commercial use.
"""

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from benchmarks.systems.protocol.base import Code, System, needed
from benchmarks.systems.protocol.parts import POOLED, Part
from benchmarks.systems.shared import containers, folder, inversion, inversion_loss
from benchmarks.systems.shared.address import Whole, read_address
from benchmarks.systems.stylegan2 import files
from benchmarks.systems.stylegan2.files import Found
from benchmarks.systems.stylegan2.network import Generator, StyleGAN2Config
from diffae.checkpoints import trained_on
from diffae.diffusion import noise
from diffae.system.errors import UserError

CONST, NONE = "const", "none"
MOST_STEPS = 100_000
CHOICES: dict[str, Any] = {
    "noise": (CONST, NONE),
    "psi": tuple(f"{tenth / 10:g}" for tenth in range(10, -1, -1)),
    "steps": Whole(1000, 1, MOST_STEPS),  # as published
    "distance": inversion_loss.NAMES,
    "mse": ("0", "0.01", "0.1", "1", "10"),
}
# Defaults for inverting small versions: a seventh of the time per step and a tenth of the steps, so that the thousands
# of images that probes learn from are feasible on two cores.
OF_SMALL: dict[str, Any] = {
    "steps": Whole(100, 1, MOST_STEPS),
    "distance": (inversion_loss.MSE, *inversion_loss.NAMES),
}


class _StyleGAN2(System):
    """Common base of both systems, with these options.

    noise     const: the layers' own noise maps; none: no noise in decoding
    psi       truncation of samples: how far from the average w they are
    steps     of an inversion: 1,000 as published, fewer for small versions
    distance  that an inversion minimises, see inversion_loss.py; mse for small versions
    mse       the weight of the mean squared error beside it
    """

    capabilities = frozenset({"encode", "decode", "semantic", "sample", "sample_latents"})
    computes_in_float64 = True
    one_vector: ClassVar[bool]  # for all layers, else one for each

    def __init__(self, path: str | Path | None, device: torch.device):
        address = read_address(path, CHOICES)
        place = address.path or folder.shipped(self.name, "StyleGAN2", "PATH")
        self.options = address.options
        if folder.is_folder(place):
            self.options = read_address(path, CHOICES | OF_SMALL).options
            with torch.device("meta"):
                generator = Generator(folder.read_config(place, "stylegan2", StyleGAN2Config))
            containers.give(generator, folder.read_weights(place), place / folder.WEIGHTS)
            self.found, digest = Found(generator), folder.fingerprint(place)
        else:
            self.found, digest = files.read(place), containers.sha256(place)
        self.generator = self.found.generator.to(device)
        self.loss = inversion_loss.find(self.options["distance"], device)
        config = self.generator.config
        self.device, self.image_size, self.layers = device, config.image_size, config.num_ws
        if self.one_vector:
            self.latent_dim = config.w_dim
        else:
            shape = (config.num_ws, config.w_dim)
            self.latent_dim = config.num_ws * config.w_dim
            self.semantic_parts = (Part(shape, reading=POOLED, axis=1),)
        chosen = f"{self.name} {digest} {sorted(self.describe().items())}"
        self.fingerprint = hashlib.sha256(chosen.encode()).hexdigest()
        self.trained_on = trained_on.read(place)

    def describe(self) -> Mapping[str, Any]:
        return {
            **self.options,
            "noise_maps": self.found.noise_maps,
            "w_avg": self.found.w_avg,
            "distance": self.loss.name,
            "distance_sha256": self.loss.sha256,
            "inversion": f"projector, {self.options['steps']} passes forward and backward",
        }

    def encode_semantic(self, images: Tensor) -> Tensor:
        """The w whose image is most similar to each of the images."""
        settings = inversion.Settings(int(self.options["steps"]), float(self.options["mse"]))
        w = inversion.invert(
            self.generator,
            images.to(self.device),
            self.loss,
            self._statistics,
            1 if self.one_vector else self.layers,
            settings,
        )
        return w[:, 0] if self.one_vector else w

    @cached_property
    def _statistics(self) -> inversion.Statistics:
        return inversion.statistics(self.generator.mapping)

    def mapping(self, z: Tensor, truncation: float = 1.0) -> Tensor:
        """w [N, 512] of z [N, 512], moved towards the average by `truncation` (psi); 1 leaves it unchanged."""
        return self.generator.mapping(z.to(self.generator.mapping.w_avg), truncation)

    def synthesis(self, w: Tensor, noise: str = CONST) -> Tensor:
        """Images of w, N x 512 or N x layers x 512, not clamped.

        `noise` is const (the network's own maps) or none.
        """
        if noise not in CHOICES["noise"]:
            raise UserError(f"noise is {CONST} or {NONE}, not {noise!r:.40}")
        network = self.generator.synthesis
        layers = w[:, None].expand(-1, self.layers, -1) if w.ndim == 2 else w
        maps = network.noise_maps() if noise == CONST else None
        return network(layers.to(network.const), maps)

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        w = needed(code.semantic, "w")
        return self.synthesis(w, self.options["noise"]).clamp(-1, 1)

    def sample_latents(self, indices: Sequence[int], seed: int, steps: int) -> Tensor:
        z = noise.normal(seed, "latent", indices, (self.generator.config.z_dim,))
        w = self.mapping(z, float(self.options["psi"]))
        return w if self.one_vector else w[:, None].repeat(1, self.layers, 1)

    def networks(self) -> dict[str, nn.Module]:
        return {"mapping": self.generator.mapping, "synthesis": self.generator.synthesis}


class StyleGAN2W(_StyleGAN2):
    """StyleGAN2, its code one vector w for all layers"""

    name, title, one_vector = "stylegan2-w", "StyleGAN2 (W)", True


class StyleGAN2WPlus(_StyleGAN2):
    """StyleGAN2, its code a vector w for each layer (W+)"""

    name, title, one_vector = "stylegan2-wplus", "StyleGAN2 (W+)", False
