"""The paper's model and its baseline as systems."""

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn

from benchmarks.systems.base import (
    DECODE,
    ENCODE,
    PREDICT_X0,
    SAMPLE,
    SAMPLE_LATENTS,
    SEMANTIC,
    STOCHASTIC,
    Code,
    System,
    needed,
)
from benchmarks.systems.parts import Semantic
from diffae import DDIM, DiffusionAutoencoder, checkpoint, noise
from diffae.config import ModelConfig
from diffae.diffusion import x_0_of_noise
from diffae.sampling.scheme import Scheme, find


class _Diffusion(System):
    """What both have: steps by a solver of any name, the paper's DDIM unless another is asked for."""

    iterative = computes_in_float64 = True
    solver: Scheme = find("ddim")

    def solving(self, solver: str) -> Self:
        system = copy.copy(self)
        system.solver = find(solver)
        return system


class DiffAESystem(_Diffusion):
    """Diffusion autoencoder: z_sem and x_T, latent DDIM for sampling (the paper's model)"""

    name, title = "diffae", "DiffAE"

    def __init__(self, path: str | Path | None, device: torch.device):
        source = path or "portraits"
        self._hold(DiffusionAutoencoder.from_pretrained(source, device), device)
        self.fingerprint = checkpoint.open_checkpoint(source).fingerprint()
        self.trained_on = checkpoint.trained_on(source)

    @classmethod
    def of(cls, model: DiffusionAutoencoder) -> Self:
        """The system of a model that is at hand: the model itself, no copy."""
        system = cls.__new__(cls)
        system._hold(model, model.device)
        system.fingerprint, system.live = "live", model
        system.computes_in_float64 = _in_float32(model)
        return system

    def _hold(self, model: DiffusionAutoencoder, device: torch.device) -> None:
        self.model, self.device = model, device
        self.image_size = self.model.image_size
        self.semantic_dim = self.model.latent_dim
        self.latent_dim = self.semantic_dim + 3 * self.image_size**2
        latent = {SAMPLE, SAMPLE_LATENTS} if self.model.latent_net is not None else set()
        self.capabilities = frozenset({ENCODE, DECODE, SEMANTIC, STOCHASTIC, PREDICT_X0} | latent)

    def describe(self) -> Mapping[str, Any]:
        latent = self.model.config.latent
        more = {} if latent is None else {"latent_prediction": latent.prediction}
        return _of_unet(self.model.config) | more

    def encode_semantic(self, images: Tensor) -> Tensor:
        return self.model.encode(images.to(self.device))

    def encode_stochastic(self, images: Tensor, semantic: Semantic | None, steps: int) -> Tensor:
        z = needed(semantic, "z_sem").to(self.device)
        return self.model.encode_stochastic(
            images.to(self.device), z, steps=steps, solver=self.solver
        )

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        z, x_T = needed(code.semantic, "z_sem"), needed(code.x_T, "x_T")
        return self.model.decode(
            z.to(self.device), x_T.to(self.device), steps=steps, solver=self.solver
        )

    def sample_latents(self, indices: Sequence[int], seed: int, steps: int) -> Tensor:
        start = noise.normal(seed, "latent", indices, (self.model.latent_dim,))
        return self.model.sample_latents(start.to(self.device), steps=steps, solver=self.solver)

    def sample(self, indices: Sequence[int], seed: int, steps: int) -> Tensor:
        semantic = self.sample_latents(indices, seed, steps)
        return self.decode(Code(semantic, self.random_x_T(indices, seed)), steps)

    def predict_x0(self, images_noised: Tensor, t: int, semantic: Semantic | None) -> Tensor:
        x_t = images_noised.to(self.device)
        eps = self.model.predict_noise(x_t, t, needed(semantic, "z_sem").to(self.device))
        return x_0_of_noise(x_t, eps, self.model.alphas[t].repeat(len(x_t))).clamp(-1, 1)

    def networks(self) -> dict[str, nn.Module]:
        parts: dict[str, nn.Module] = {"encoder": self.model.encoder, "UNet": self.model.unet}
        latent = self.model.latent_net
        return parts if latent is None else parts | {"latent DDIM": latent}


class DDIMSystem(_Diffusion):
    """DDIM baseline: the same UNet without an encoder; its only code is x_T"""

    name, title = "ddim", "DDIM"
    capabilities = frozenset({ENCODE, DECODE, STOCHASTIC, SAMPLE, PREDICT_X0})

    def __init__(self, path: str | Path | None, device: torch.device):
        source = path or "portraits-ddim"
        self._hold(DDIM.from_pretrained(source, device), device)
        self.fingerprint = checkpoint.open_checkpoint(source).fingerprint()
        self.trained_on = checkpoint.trained_on(source)

    @classmethod
    def of(cls, model: DDIM) -> Self:
        """The system of a model that is at hand: the model itself, no copy."""
        system = cls.__new__(cls)
        system._hold(model, model.device)
        system.fingerprint, system.live = "live", model
        system.computes_in_float64 = _in_float32(model)
        return system

    def _hold(self, model: DDIM, device: torch.device) -> None:
        self.model, self.device = model, device
        self.image_size = self.model.image_size
        self.latent_dim = 3 * self.image_size**2

    def describe(self) -> Mapping[str, Any]:
        return _of_unet(self.model.config)

    def encode_stochastic(self, images: Tensor, semantic: Semantic | None, steps: int) -> Tensor:
        return self.model.encode_stochastic(images.to(self.device), steps=steps, solver=self.solver)

    def decode(self, code: Code, steps: int = 100) -> Tensor:
        return self.model.decode(
            needed(code.x_T, "x_T").to(self.device), steps=steps, solver=self.solver
        )

    def sample(self, indices: Sequence[int], seed: int, steps: int) -> Tensor:
        return self.decode(Code(x_T=self.random_x_T(indices, seed)), steps)

    def predict_x0(self, images_noised: Tensor, t: int, semantic: Semantic | None) -> Tensor:
        x_t = images_noised.to(self.device)
        eps = self.model.predict_noise(x_t, t)
        return x_0_of_noise(x_t, eps, self.model.alphas[t].repeat(len(x_t))).clamp(-1, 1)

    def networks(self) -> dict[str, nn.Module]:
        return {"UNet": self.model.unet}


def _of_unet(config: ModelConfig) -> dict[str, Any]:
    """Where a network may depart from the paper's: it predicts the noise (epsilon) and has 32 groups a norm."""
    return {"prediction": config.prediction, "norm_groups": config.norm_groups}


def _in_float32(model: nn.Module) -> bool:
    """Whether a round trip through float64 leaves the model what it was."""
    return all(weight.dtype == torch.float32 for weight in model.parameters())
