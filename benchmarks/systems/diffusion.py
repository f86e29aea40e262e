"""The paper's model and its baseline as systems."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, Self, TypeVar

import torch
from torch import Tensor, nn

from benchmarks.systems.protocol.base import Code, Description, System, needed
from benchmarks.systems.protocol.parts import Semantic
from diffae import DDIM, DiffusionAutoencoder
from diffae.checkpoints import checkpoint
from diffae.diffusion import noise
from diffae.diffusion.gaussian import x_0_of_noise
from diffae.diffusion.scheme import Scheme, find

M = TypeVar("M", DiffusionAutoencoder, DDIM)


class _Diffusion(System, Generic[M]):
    """Common base: steps by a solver of any name, by default the paper's DDIM."""

    iterative = computes_in_float64 = True
    solver: Scheme = find("ddim")
    model: Any  # its methods take z_sem only if it has an encoder
    model_class: type[M]
    packaged: ClassVar[str]

    def __init__(self, path: str | Path | None, device: torch.device):
        opened = checkpoint.open_checkpoint(path or self.packaged)
        self._hold(self.model_class.from_checkpoint(opened, device), device)
        self.fingerprint, self.trained_on = opened.fingerprint(), opened.trained_on()

    @classmethod
    def from_model(cls, model: M) -> Self:
        """The system of a model in memory: the model itself, no copy."""
        system = cls.__new__(cls)
        system._hold(model, model.device)
        system.fingerprint, system.live = "live", model
        # a model of another dtype is changed by a conversion to float64 and back
        system.computes_in_float64 = all(p.dtype == torch.float32 for p in model.parameters())
        return system

    def _hold(self, model: M, device: torch.device) -> None:
        self.model, self.device = model, device
        self.image_size = model.image_size
        self.latent_dim = self.semantic_dim + 3 * self.image_size**2

    def describe(self) -> Description:
        """How a network differs from the paper's.

        The paper's predicts the noise (epsilon) and has 32 groups per norm.
        """
        config = self.model.config
        return {"prediction": config.prediction, "norm_groups": config.norm_groups}

    def solving(self, solver: str) -> Self:
        system = copy.copy(self)
        system.solver = find(solver)
        return system

    def _z(self, semantic: Semantic | None) -> list[Tensor]:
        """The semantic code as arguments of the model's methods: none if there is no such code."""
        return [needed(semantic, "z_sem").to(self.device)] if self.semantic_dim else []

    def encode_stochastic(self, images: Tensor, semantic: Semantic | None, steps: int) -> Tensor:
        images, z = images.to(self.device), self._z(semantic)
        return self.model.encode_stochastic(images, *z, steps=steps, solver=self.solver)

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        z, x_T = self._z(code.semantic), needed(code.x_T, "x_T").to(self.device)
        return self.model.decode(*z, x_T, steps=steps, solver=self.solver)

    def predict_x0(self, images_noised: Tensor, t: int, semantic: Semantic | None) -> Tensor:
        x_t = images_noised.to(self.device)
        eps = self.model.predict_noise(x_t, t, *self._z(semantic))
        return x_0_of_noise(x_t, eps, self.model.alphas[t].repeat(len(x_t))).clamp(-1, 1)


class DiffAESystem(_Diffusion[DiffusionAutoencoder]):
    """Diffusion autoencoder: z_sem and x_T, latent DDIM for sampling (the paper's model)"""

    name, title = "diffae", "DiffAE"
    model_class, packaged = DiffusionAutoencoder, "portraits"

    def _hold(self, model: DiffusionAutoencoder, device: torch.device) -> None:
        self.semantic_dim = model.latent_dim
        super()._hold(model, device)
        latent = {"sample", "sample_latents"} if model.latent_net is not None else set()
        self.capabilities = frozenset(
            {"encode", "decode", "semantic", "stochastic", "predict_x0"} | latent
        )

    def describe(self) -> Description:
        latent = self.model.config.latent
        more = {} if latent is None else {"latent_prediction": latent.prediction}
        return {**super().describe(), **more}

    def encode_semantic(self, images: Tensor) -> Tensor:
        return self.model.encode(images.to(self.device))

    def sample_latents(self, indices: Sequence[int], seed: int, steps: int) -> Tensor:
        start = noise.normal(seed, "latent", indices, (self.model.latent_dim,))
        return self.model.sample_latents(start.to(self.device), steps=steps, solver=self.solver)

    def networks(self) -> dict[str, nn.Module]:
        parts: dict[str, nn.Module] = {"encoder": self.model.encoder, "UNet": self.model.unet}
        latent = self.model.latent_net
        return parts if latent is None else parts | {"latent DDIM": latent}


class DDIMSystem(_Diffusion[DDIM]):
    """DDIM baseline: the same UNet without an encoder; its only code is x_T"""

    name, title = "ddim", "DDIM"
    model_class, packaged = DDIM, "portraits-ddim"
    capabilities = frozenset({"encode", "decode", "stochastic", "sample", "predict_x0"})

    def sample(self, indices: Sequence[int], seed: int, steps: int) -> Tensor:
        return self.decode(Code(x_T=self.random_x_T(indices, seed)), steps)

    def networks(self) -> dict[str, nn.Module]:
        return {"UNet": self.model.unet}
