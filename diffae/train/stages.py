"""From images to a checkpoint: a start for the encoder, the autoencoder, z_sem of all images, the latent DDIM."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from diffae.config import VELOCITY, ModelConfig
from diffae.diffusion import add_noise, velocity
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.nn import GroupNorm
from diffae.noise import normals, uniforms
from diffae.train.presets import Preset
from diffae.train.trainer import Loss, fit

ENCODING_BATCH = 256


def train(
    preset: Preset, images: np.ndarray, identity: str, out: Path, seed: int, device: str
) -> None:
    """Train everything that `preset` asks for on `images` (uint8 N x S x S x 3) and export it to `out`.

    `identity` describes preset, data and seed: checkpoints of another training are refused.
    """
    torch.manual_seed(seed)
    data = _Images(images, preset.flip, device)
    if preset.model.encoder_channel_mult:
        _train_autoencoder(preset, data, identity, out, seed)
    else:
        _train_baseline(preset, data, identity, out, seed)


def _train_autoencoder(
    preset: Preset, data: "_Images", identity: str, out: Path, seed: int
) -> None:
    model = DiffusionAutoencoder(preset.model).to(data.device)
    pixels = PixelDecoder(preset.model).to(data.device)
    networks = nn.ModuleDict({"unet": model.unet, "encoder": model.encoder, "pixels": pixels})
    _channels_last(networks)
    if preset.encoder is not None:
        fit(
            nn.ModuleDict({"encoder": model.encoder, "pixels": pixels}),
            pixel_loss(model, data, pixels),
            len(data),
            preset.encoder,
            out / "training-encoder.safetensors",
            f"{preset.name}: encoder",
            seed,
            identity,
        )
    if not preset.pixel_weight:
        del networks["pixels"]
    fit(
        networks,
        autoencoder_loss(model, data, pixels, preset.pixel_weight),
        len(data),
        preset.image,
        out / "training-image.safetensors",
        f"{preset.name}: autoencoder",
        seed,
        identity,
    )
    if model.latent_net is not None and preset.latent is not None:
        z = encode_all(model, data)
        model.z_mean.copy_(z.mean(0, keepdim=True))
        model.z_std.copy_(z.std(0, keepdim=True))
        fit(
            model.latent_net,
            latent_loss(model, model.normalise(z)),
            len(z),
            preset.latent,
            out / "training-latent.safetensors",
            f"{preset.name}: latent DDIM",
            seed,
            identity,
        )
    model.save_pretrained(out, torch.float16)


def _train_baseline(preset: Preset, data: "_Images", identity: str, out: Path, seed: int) -> None:
    model = DDIM(preset.model).to(data.device)
    _channels_last(model.unet)
    fit(
        model.unet,
        baseline_loss(model, data),
        len(data),
        preset.image,
        out / "training-image.safetensors",
        f"{preset.name}: DDIM baseline",
        seed,
        identity,
    )
    model.save_pretrained(out, torch.float16)


def _channels_last(network: nn.Module) -> None:
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


class _Images:
    """Training images in memory as uint8, handed out as batches in [-1, 1]."""

    def __init__(self, images: np.ndarray, flip: bool, device: str):
        self.images, self.flip, self.device = torch.from_numpy(images), flip, device

    def __len__(self) -> int:
        return len(self.images)

    def batch(self, indices: Tensor, noise: np.random.Generator | None = None) -> Tensor:
        x = self.images[indices].permute(0, 3, 1, 2).float() / 127.5 - 1
        if self.flip and noise is not None:
            mirrored = uniforms(noise, (len(x), 1, 1, 1)) < 0.5
            x = torch.where(mirrored, x.flip(-1), x)
        return x.to(self.device).contiguous(memory_format=torch.channels_last)


# ----------------------------------------------------------------------------------------------
# Losses: uniform timesteps, a squared error on what the network predicts (paper, Eq. 6 and Section 4)


@dataclass(frozen=True)
class Noised:
    """Examples at random timesteps, and what a network should say of them."""

    x_t: Tensor
    t: Tensor
    target: Tensor


def noised(x_0: Tensor, alphas: Tensor, prediction: str, noise: np.random.Generator) -> Noised:
    """Draw t uniformly and eps; the target is eps or the velocity."""
    t = torch.from_numpy(noise.integers(len(alphas), size=len(x_0)))
    eps = normals(noise, x_0.shape).to(x_0.device)
    target = velocity(x_0, eps, alphas[t]) if prediction == VELOCITY else eps
    return Noised(add_noise(x_0, eps, alphas[t]), t.to(x_0.device), target)


def autoencoder_loss(
    model: DiffusionAutoencoder, data: _Images, pixels: nn.Module, pixel_weight: float
) -> Loss:
    """|| eps_theta(x_t, t, Enc(x_0)) - eps ||^2, the mean over pixels (or the same of the velocity).

    Unless `pixel_weight` is 0, as in the paper, that much of the `pixel_loss` is added.
    """

    def loss(indices: Tensor, noise: np.random.Generator) -> Tensor:
        x_0 = data.batch(indices, noise)
        batch = noised(x_0, model.alphas, model.config.prediction, noise)
        z = model.encoder(x_0)
        error = F.mse_loss(model.unet(batch.x_t, batch.t, z).float(), batch.target)
        if pixel_weight:
            error = error + pixel_weight * F.mse_loss(pixels(z).float(), x_0)
        return error

    return loss


def pixel_loss(model: DiffusionAutoencoder, data: _Images, pixels: nn.Module) -> Loss:
    """|| pixels(Enc(x_0)) - x_0 ||^2, the mean over pixels."""

    def loss(indices: Tensor, noise: np.random.Generator) -> Tensor:
        x_0 = data.batch(indices, noise)
        return F.mse_loss(pixels(model.encoder(x_0)).float(), x_0)

    return loss


class PixelDecoder(nn.Sequential):
    """A small decoder from z_sem straight to pixels, trained along and thrown away.

    The diffusion loss teaches the encoder through the noise of x_t, which takes the paper's tens of
    millions of images. The squared error of this decoder reaches the encoder without noise, so that a
    few hundred thousand images put the same content into z_sem.
    """

    def __init__(self, config: ModelConfig, channels: int = 64):
        start = config.image_size // 4
        super().__init__(
            nn.Linear(config.z_channels, 2 * channels * start**2),
            nn.Unflatten(1, (2 * channels, start, start)),
            *_norm_conv(2 * channels, channels),
            nn.Upsample(scale_factor=2),
            *_norm_conv(channels, channels // 2),
            nn.Upsample(scale_factor=2),
            *_norm_conv(channels // 2, 3),
        )


def _norm_conv(channels: int, out: int) -> tuple[nn.Module, ...]:
    return GroupNorm(channels, 8), nn.SiLU(), nn.Conv2d(channels, out, 3, padding=1)


def baseline_loss(model: DDIM, data: _Images) -> Loss:
    """|| eps_theta(x_t, t) - eps ||^2, the mean over pixels (or the same of the velocity)."""

    def loss(indices: Tensor, noise: np.random.Generator) -> Tensor:
        x_0 = data.batch(indices, noise)
        batch = noised(x_0, model.alphas, model.config.prediction, noise)
        return F.mse_loss(model.unet(batch.x_t, batch.t).float(), batch.target)

    return loss


def latent_loss(model: DiffusionAutoencoder, z: Tensor) -> Loss:
    """| eps_omega(z_t, t) - eps |, the L1 loss on normalised z_sem (or the same of the velocity)."""
    net = model.latent_net
    assert net is not None

    def loss(indices: Tensor, noise: np.random.Generator) -> Tensor:
        batch = noised(z[indices.to(z.device)], model.latent_alphas, net.config.prediction, noise)
        return F.l1_loss(net(batch.x_t, batch.t).float(), batch.target)

    return loss


def encode_all(model: DiffusionAutoencoder, data: _Images) -> Tensor:
    """z_sem of every training image, without flips, in float32: N x d."""
    model.eval()
    return torch.cat([model.encode(batch) for batch in _batches(data)]).clone()


def _batches(data: _Images) -> Iterator[Tensor]:
    for start in tqdm(
        range(0, len(data), ENCODING_BATCH), desc="encoding", unit="batch", leave=False
    ):
        yield data.batch(torch.arange(start, min(start + ENCODING_BATCH, len(data))))
