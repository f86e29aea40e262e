"""D2C as a system: the authors' `model.ckpt`, or a folder of this project.

Its code is the autoencoder's map before standardisation. New codes are sampled by its own DDIM at
the published code's timesteps, independently of a benchmark's steps.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.systems.d2c.network import D2C, D2CConfig, steps_by_skip
from benchmarks.systems.protocol.base import Code, needed
from benchmarks.systems.protocol.returned import in_words
from benchmarks.systems.shared import containers
from benchmarks.systems.shared.cells import to_bits
from benchmarks.systems.shared.folder import Opened
from benchmarks.systems.shared.logistic_mixture import LogisticMixture, to_uniform
from benchmarks.systems.shared.quantised import map_of
from diffae.diffusion import noise
from diffae.system.errors import UserError

# How a pixel is chosen from its distribution: drawn, as in the published code, always with the same uniform numbers;
# the likeliest component's location; or the mean, as in NVAE. And the published sampler's skip between timesteps.
OPTIONS = {
    "pixels": ("sample", "location", "mean"),
    "skip": ("10", "1", "2", "5", "20", "50", "100", "200"),
}
PARTS = ("autoencoder", "diffusion", "latent_mod")
# The momentum encoder, its queue, and the contrastive head.
TRAINING = ("encoder_k.", "queue", "encoder_q.fc.")
CLEAN_UP = 50  # timestep to which the published manipulation noises a code


class D2CSystem(Opened):
    """D2C: an autoencoder with a contrastive loss, and a DDIM of its codes (the authors' checkpoint)"""

    name, title = "d2c", "D2C"
    capabilities = frozenset({"encode", "decode", "semantic", "sample", "sample_latents"})
    computes_in_float64 = True
    choices, example, config_class, network = OPTIONS, "model.ckpt", D2CConfig, D2C
    published = D2CConfig()  # of the authors' file, which does not state it

    def _read(self, path: Path) -> tuple[D2CConfig, dict[str, Tensor]]:
        with containers.opened(path) as file:
            content = containers.entries(file.content)
            if lacking := [part for part in PARTS if not containers.entries(content.get(part))]:
                containers.refuse_other_kind(file.content, path, "d2c", ", ".join(lacking))
            state = {
                f"{part}.{name.removeprefix('encoder_q.')}": tensor
                for part in PARTS
                for name, tensor in containers.entries(content[part]).items()
                if not (name.startswith(TRAINING) or name.endswith(".weight_normalized"))
            }
            tensors = containers.take(file, state, path)
        if "latent_mod.std" in tensors and not bool((tensors["latent_mod.std"] > 0).all()):
            raise UserError(f"{path}: latent_mod: a standard deviation of codes is not above zero")
        return self.published, tensors

    def _set_sizes(self, config: D2CConfig) -> None:
        self.stride, self.image_size = config.stride, config.image_size
        self.latent_dim = config.latent_channels * config.latent_side**2
        self.semantic_parts = (map_of(config.latent_channels),)

    def describe(self) -> Mapping[str, Any]:
        return {
            "pixels": self.options["pixels"],
            "input_bits": self.model.configuration.bits,
            "latent_ddim_calls": len(self._timesteps()),
        }

    def _timesteps(self) -> list[int]:
        return steps_by_skip(int(self.options["skip"]))

    # ------------------------------------------------------------------------------------------
    # The autoencoder

    def encode_semantic(self, images: Tensor) -> Tensor:
        """z before standardisation: N x C x H/8 x W/8."""
        inputs = to_bits(images.to(self.device), self.model.configuration.bits)
        return self.model.autoencoder.encode(inputs)

    def logits(self, code: Code) -> Tensor:
        """Logits of the distribution of the images' values (logistic_mixture.py): N x 100 x H x W."""
        return self.model.autoencoder.logits(needed(code.semantic, "map").to(self.device))

    def pixels(self, logits: Tensor, u_mixture: Tensor, u_logistic: Tensor) -> Tensor:
        """Images in [-1, 1] drawn from the distributions of `logits`.

        The uniform numbers are from [1e-5, 1 - 1e-5]: N x 10 x H x W choose the component, N x 3 x
        H x W the value.
        """
        found = (one.to(self.device) for one in (logits, u_mixture, u_logistic))
        return LogisticMixture(next(found)).sample(*found)

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        """Images of codes, with pixels chosen by `#pixels=`.

        Draws use the same uniform numbers for every image and every call.
        """
        mixture = LogisticMixture(self.logits(code))
        if self.options["pixels"] == "mean":
            return mixture.mean()
        if self.options["pixels"] == "location":
            return mixture.location()
        return mixture.sample(*(u.to(mixture.weights) for u in uniforms(mixture.weights.shape)))

    # ------------------------------------------------------------------------------------------
    # The DDIM

    def predict_noise(self, z: Tensor, t: int | Tensor) -> Tensor:
        """The noise in standardised z (N x C x 32 x 32 for images of 256 px) at timestep t, 0 to 999."""
        z = self._fits(z)
        t = torch.as_tensor(t, device=self.device)
        return self.model.predict_noise(z, t.expand(len(z)))

    def ddim(self, z: Tensor, timesteps: Sequence[int]) -> Tensor:
        """Denoise standardised z, given at the last of the ascending `timesteps`.

        One network call at each.
        """
        steps = [int(t) for t in timesteps]
        if steps != sorted(set(steps)) or not steps or not 0 <= steps[0] <= steps[-1] <= 999:
            raise UserError(f"{self.source}: timesteps must ascend, each from 0 to 999")
        return self.model.ddim(self._fits(z), steps)

    def clean_up(self, code: Code, noise: Tensor) -> Code:
        """The last step of the published manipulation.

        The code is noised to t = 50 and denoised at t = 50 and 0.
        """
        z = self._fits(needed(code.semantic, "map"))
        z = self.model.latent_mod.standardise(z)
        noised = self.model.add_noise(z, CLEAN_UP, self._fits(noise))
        return Code(self.model.latent_mod.restore(self.model.ddim(noised, [0, CLEAN_UP])))

    def sample_latents(self, indices: Sequence[int], seed: int, steps: int) -> Tensor:
        shape = self.model.configuration.latent_shape
        start = noise.normal(seed, "d2c latent", indices, shape).to(self.device)
        return self.model.latent_mod.restore(self.model.ddim(start, self._timesteps()))

    def _fits(self, z: Tensor) -> Tensor:
        """z on the device. Raises UserError if the DDIM does not take maps of its size."""
        wanted = self.model.configuration.latent_shape
        if tuple(z.shape[1:]) != wanted:
            raise UserError(
                f"{self.source}: the DDIM takes N x {in_words(wanted)}, codes of images of {self.image_size} px, "
                f"not {in_words(z.shape)}"
            )
        return z.to(self.device)

    def networks(self) -> dict[str, nn.Module]:
        return {"autoencoder": self.model.autoencoder, "latent DDIM": self.model.diffusion}


def uniforms(shape: Sequence[int]) -> tuple[Tensor, Tensor]:
    """The uniform numbers with which `decode` draws pixels of N x K x H x W components.

    1 x K x H x W and 1 x 3 x H x W.
    """
    source = noise.generator(0, "d2c pixels", 0)
    first, second = (noise.uniforms(source, (1, n, *shape[2:])) for n in (shape[1], 3))
    return to_uniform(first), to_uniform(second)
