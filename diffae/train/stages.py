"""From images to a checkpoint: a start for the encoder, the autoencoder, z_sem of all images, the latent DDIM."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from diffae import distributed
from diffae.checkpoint import WEIGHTS, write_tensors
from diffae.config import VELOCITY, ModelConfig
from diffae.diffusion import add_noise, velocity
from diffae.errors import UserError
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.nn import GroupNorm
from diffae.noise import Noise, generator, normals
from diffae.train.images import Images, Source
from diffae.train.init import Init
from diffae.train.memory import needing_memory
from diffae.train.presets import Preset
from diffae.train.sharing import gathered
from diffae.train.trainer import at_once, fit
from diffae.train.types import Loss, Outcome, Run, Schedule, View
from diffae.train.watch import sheets

ENCODING_BATCH = 256
ENCODER, IMAGE, LATENT = "encoder", "image", "latent"  # as the states of a training are called
CODES = "training-codes.safetensors"


def train(
    preset: Preset,
    images: np.ndarray | Source,
    out: Path,
    run: Run,
    device: str,
    init: Init | None = None,
    latent: bool = True,
) -> dict[str, Outcome]:
    """Train what `preset` asks for on `images` (uint8 N x S x S x 3, or where they come from) and export it to `out`.

    `init` has the weights that the networks begin with; `latent` says whether the latent DDIM is trained now, where the
    preset has one. Returns how each stage went. Raises UserError if there are too few images for the latent DDIM.
    """
    data = Images(images, preset.flip, device, run.workers)
    stages = _Stages(preset, data, out, run, init, latent and preset.latent is not None)
    if stages.has_latent and len(images) < 2:
        raise UserError(
            f"preset {preset.name} needs at least 2 training images, there is {len(images)}: the latent "
            "DDIM learns how z_sem differs from image to image"
        )
    # The initial weights. torch takes 32 bits of a seed, and no more than 64.
    torch.manual_seed(int(generator(run.seed, "weights", 0).integers(2**32)))
    if preset.model.encoder_channel_mult:
        _train_autoencoder(stages)
    else:
        _train_baseline(stages)
    return stages.outcomes


@dataclass
class _Stages:
    """The stages of one training, in order; each keeps its state in a file of its own."""

    preset: Preset
    data: "Images"
    out: Path
    run: Run
    init: Init | None
    has_latent: bool  # whether the latent DDIM is trained now
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    def fit(
        self,
        name: str,
        title: str,
        network: nn.Module,
        schedule: Schedule,
        loss: Loss,
        shows: sheets.Shows,
        exported: DiffusionAutoencoder | DDIM | None = None,
    ) -> None:
        """Take `network` through `schedule`; meanwhile `shows` and `exported` are what can be seen of it, see `View`."""
        path = state_path(self.out, name)
        title = f"{self.preset.name}: {title}"
        ahead = at_once if name == LATENT else self.data.ahead  # codes are in memory
        training = fit(
            network,
            loss,
            len(self.data),
            schedule,
            path,
            title,
            self.run,
            by_example=True,
            reading=ahead,
            view=View(name, shows, exported and self._writes(exported)),
        )
        self.outcomes[name] = Outcome.of(training)

    def export(self, model: DiffusionAutoencoder | DDIM) -> None:
        """Write the checkpoint, once for all processes."""
        if distributed.is_main():
            self._writes(model)(self.out)
        distributed.barrier()

    def _writes(self, model: DiffusionAutoencoder | DDIM) -> Callable[[Path], None]:
        """What writes `model` as it is then to a folder, in the dtype that is the preset's."""
        return lambda folder: model.save_pretrained(folder, getattr(torch, self.preset.dtype))

    def codes(self, model: DiffusionAutoencoder) -> Tensor:
        """z_sem of all images, encoded once: a run that goes on reads them."""
        path = self.out / CODES
        if (known := _read_codes(path, self.run.identity, len(self.data))) is not None:
            return known.to(self.data.device)
        batch = min(self.run.steps.micro_batch or ENCODING_BATCH, ENCODING_BATCH)
        with needing_memory(
            f"encoding {batch} images at once", f"try --micro-batch {batch // 2 or 1}"
        ):
            z = encode_all(model, self.data, batch)
        if distributed.is_main():
            notes = {"identity": self.run.identity}
            partial = path.with_name(f"{path.name}.partial")
            write_tensors({"z": z}, partial, notes)
            os.replace(partial, path)
        return z


def state_path(out: Path, name: str) -> Path:
    """Where the stage `name` of the training in `out` keeps its state."""
    return out / f"training-{name}.safetensors"


def _train_autoencoder(stages: _Stages) -> None:
    """The autoencoder, and the latent DDIM on its z_sem. Without the latter the checkpoint has none, unless it is there."""
    model, init = DiffusionAutoencoder(stages.preset.model).to(stages.data.device), stages.init
    if init is not None:
        init.give(model)
    if init is None or not init.kept:
        _fit_autoencoder(stages, model)
    if stages.has_latent:
        _fit_latent(stages, model)
        stages.export(model)
    elif not (stages.out / WEIGHTS).exists():
        stages.export(without_latent(model))


def _fit_autoencoder(stages: _Stages, model: DiffusionAutoencoder) -> None:
    preset, data = stages.preset, stages.data
    networks = nn.ModuleDict({"unet": model.unet, "encoder": model.encoder})
    pixels = PixelDecoder(preset.model).to(data.device) if _uses_pixels(preset) else None
    if pixels is not None and preset.pixel_weight:
        networks["pixels"] = pixels
    _channels_last(networks)
    if pixels is not None and preset.encoder is not None:
        _channels_last(pixels)
        start = nn.ModuleDict({"encoder": model.encoder, "pixels": pixels})
        shows = sheets.of_pixels(model.encoder, pixels)
        loss = pixel_loss(model, data, pixels)
        stages.fit(ENCODER, "encoder", start, preset.encoder, loss, shows)
    loss = autoencoder_loss(model, data, pixels, preset.pixel_weight)
    shows = sheets.of_autoencoder(model)
    bare = without_latent(model)
    stages.fit(IMAGE, "autoencoder", networks, preset.image, loss, shows, bare)


def _fit_latent(stages: _Stages, model: DiffusionAutoencoder) -> None:
    assert model.latent_net is not None and stages.preset.latent is not None
    z = stages.codes(model)
    set_moments(model, z)
    loss = latent_loss(model, model.normalise(z))
    net, schedule = model.latent_net, stages.preset.latent
    stages.fit(LATENT, "latent DDIM", net, schedule, loss, sheets.of_latent(model), model)


def without_latent(model: DiffusionAutoencoder) -> DiffusionAutoencoder:
    """The same encoder and UNet as a model that has no latent DDIM: one that is not trained is no part of a checkpoint."""
    with torch.device("meta"):
        found = DiffusionAutoencoder(replace(model.config, latent=None))
    found.unet, found.encoder = model.unet, model.encoder
    return found


def _uses_pixels(preset: Preset) -> bool:
    """Whether a `PixelDecoder` is trained along: for `ffhq256` it would have 269 million parameters."""
    return preset.encoder is not None or preset.pixel_weight > 0


def set_moments(model: DiffusionAutoencoder, z: Tensor) -> None:
    """Mean and standard deviation of z_sem (N x d) over the training images, for `normalise`.

    Raises UserError if a number of z_sem is the same for all images: nothing could be divided by its deviation.
    """
    std = z.std(0, keepdim=True)
    if not (std > 0).all():
        raise UserError(
            f"{int((~(std > 0)).sum())} of {z.shape[1]} numbers of z_sem are the same for all {len(z)} "
            "training images: the latent DDIM cannot be trained; take more images that differ"
        )
    model.z_mean.copy_(z.mean(0, keepdim=True))
    model.z_std.copy_(std)


def _train_baseline(stages: _Stages) -> None:
    model = DDIM(stages.preset.model).to(stages.data.device)
    if stages.init is not None:
        stages.init.give(model)
    _channels_last(model.unet)
    loss = baseline_loss(model, stages.data)
    shows = sheets.of_baseline(model)
    stages.fit(IMAGE, "DDIM baseline", model.unet, stages.preset.image, loss, shows, model)
    stages.export(model)


def _channels_last(network: nn.Module) -> None:
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


# ----------------------------------------------------------------------------------------------
# Losses: uniform timesteps, a squared error on what the network predicts (paper, Eq. 6 and Section 4)


@dataclass(frozen=True)
class Noised:
    """Examples at random timesteps, and what a network should say of them."""

    x_t: Tensor
    t: Tensor
    target: Tensor


def noised(x_0: Tensor, alphas: Tensor, prediction: str, noise: Noise) -> Noised:
    """Draw t uniformly and eps; the target is eps or the velocity."""
    t = torch.from_numpy(noise.integers(len(alphas), size=len(x_0)))
    eps = normals(noise, x_0.shape).to(x_0.device)
    target = velocity(x_0, eps, alphas[t]) if prediction == VELOCITY else eps
    return Noised(add_noise(x_0, eps, alphas[t]), t.to(x_0.device), target)


def autoencoder_loss(
    model: DiffusionAutoencoder, data: Images, pixels: nn.Module | None, pixel_weight: float
) -> Loss:
    """|| eps_theta(x_t, t, Enc(x_0)) - eps ||^2, the mean over pixels (or the same of the velocity).

    Unless `pixel_weight` is 0, as in the paper, that much of the `pixel_loss` is added.
    """

    def loss(indices: Tensor, noise: Noise) -> Tensor:
        x_0 = data.batch(indices, noise)
        batch = noised(x_0, model.alphas, model.config.prediction, noise)
        z = model.encoder(x_0)
        error = F.mse_loss(model.unet(batch.x_t, batch.t, z).float(), batch.target)
        if pixels is not None and pixel_weight:
            error = error + pixel_weight * F.mse_loss(pixels(z).float(), x_0)
        return error

    return loss


def pixel_loss(model: DiffusionAutoencoder, data: Images, pixels: nn.Module) -> Loss:
    """|| pixels(Enc(x_0)) - x_0 ||^2, the mean over pixels."""

    def loss(indices: Tensor, noise: Noise) -> Tensor:
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


def baseline_loss(model: DDIM, data: Images) -> Loss:
    """|| eps_theta(x_t, t) - eps ||^2, the mean over pixels (or the same of the velocity)."""

    def loss(indices: Tensor, noise: Noise) -> Tensor:
        x_0 = data.batch(indices, noise)
        batch = noised(x_0, model.alphas, model.config.prediction, noise)
        return F.mse_loss(model.unet(batch.x_t, batch.t).float(), batch.target)

    return loss


def latent_loss(model: DiffusionAutoencoder, z: Tensor) -> Loss:
    """| eps_omega(z_t, t) - eps |, the L1 loss on normalised z_sem (or the same of the velocity)."""
    net = model.latent_net
    assert net is not None

    def loss(indices: Tensor, noise: Noise) -> Tensor:
        batch = noised(z[indices.to(z.device)], model.latent_alphas, net.config.prediction, noise)
        return F.l1_loss(net(batch.x_t, batch.t).float(), batch.target)

    return loss


def encode_all(model: DiffusionAutoencoder, data: Images, batch: int = ENCODING_BATCH) -> Tensor:
    """z_sem of every training image, without flips, in float32: N x d. Processes take batches in turns."""
    model.eval()
    own = list(_own_batches(len(data), batch))
    found = []
    with data.ahead(iter(own)):
        for indices in tqdm(
            own,
            desc="encoding",
            unit="batch",
            leave=False,
            disable=None if distributed.is_main() else True,
        ):
            found.append(model.encode(data.batch(indices)))
    width = model.config.z_channels
    z = torch.cat(found) if found else torch.zeros(0, width, device=data.device)
    return gathered(z, len(data)).clone()


def _own_batches(count: int, batch: int) -> Iterator[Tensor]:
    """This process's images: every `world`-th of all, in batches."""
    own = torch.arange(distributed.rank(), count, distributed.world())
    yield from own.split(batch)


def _read_codes(path: Path, identity: str, count: int) -> Tensor | None:
    """Codes that a run before this one has kept; None if there are none, or none that are whole and of this training."""
    try:
        with safe_open(path, "pt") as file:
            z = file.get_tensor("z")
            of_this = (file.metadata() or {}).get("identity") == identity and len(z) == count
    except (OSError, SafetensorError):
        return None
    return z.clone() if of_this else None
