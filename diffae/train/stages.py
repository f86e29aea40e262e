"""The stages of a training: a start for the encoder, the autoencoder, all z_sem, the latent DDIM."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from diffae.checkpoints.checkpoint import WEIGHTS, write_tensors
from diffae.diffusion.gaussian import add_noise, velocity
from diffae.diffusion.noise import Noise, generator, normals
from diffae.model import DDIM, DiffusionAutoencoder
from diffae.networks.config import VELOCITY, ModelConfig
from diffae.networks.nn import GroupNorm, without_weights
from diffae.system import distributed
from diffae.system.errors import UserError
from diffae.system.progress import shown
from diffae.train import state
from diffae.train.callbacks import sheets
from diffae.train.images import Images, Source
from diffae.train.init import Init, network_of
from diffae.train.presets import Preset
from diffae.train.sharing import gathered
from diffae.train.trainer import TrainingRun, fit, needing_memory
from diffae.train.types import Loss, Outcome, Stage

ENCODING_BATCH = 256
ENCODER, IMAGE, LATENT = "encoder", "image", "latent"  # the file names of a training's states
AUTOENCODER = "autoencoder"  # of --stages: the first two
CODES = "training-codes.safetensors"


def train(
    preset: Preset,
    images: Source,
    out: Path,
    run: TrainingRun,
    device: str,
    init: Init | None = None,
    latent: bool = True,
) -> dict[str, Outcome]:
    """Train the stages of `preset` on `images` and export the model to `out`.

    `images` are uint8 N x S x S x 3, or the source that they are read from. `init` has the weights
    that the networks start from; `latent` says whether the latent DDIM is trained now, if the
    preset has one. Returns the outcome of each stage. Raises UserError if there are too few images
    for the latent DDIM.
    """
    data = Images(images, preset.flip, device, run.workers)
    outcomes = {}
    with_latent = latent and preset.latent is not None
    if with_latent and len(data) < 2:
        raise UserError(f"preset {preset.name} needs at least 2 training images, not {len(data)}")

    def fit_stage(stage: Stage) -> None:
        reading = nullcontext if stage.name == LATENT else data.ahead  # codes are in memory
        place = state_path(out, stage.name)
        outcomes[stage.name] = fit(stage, len(data), place, run, reading)

    # The initial weights. torch takes 32 bits of a seed, and no more than 64.
    torch.manual_seed(int(generator(run.seed, "weights", 0).integers(2**32)))
    model = network_of(preset.model).to(data.device)
    if init is not None:
        init.give(model)
    if init is None or not init.kept:
        for stage in image_stages(preset, model, data):
            fit_stage(stage)
    if isinstance(model, DiffusionAutoencoder) and with_latent:
        z = _codes(model, data, out, run)
        set_moments(model, z)
        fit_stage(latent_stage(preset, model, z))
    done = model if with_latent or isinstance(model, DDIM) else without_latent(model)
    # A checkpoint with a latent DDIM that was trained before stays.
    if distributed.is_main() and (done is model or not (out / WEIGHTS).exists()):
        _write(done, preset, out)
    distributed.barrier()
    return outcomes


def image_stages(
    preset: Preset, model: DiffusionAutoencoder | DDIM, data: Images
) -> Iterator[Stage]:
    """The stages trained on images, in order: encoder's start and autoencoder, or the baseline."""
    if isinstance(model, DDIM):
        _channels_last(model.unet)
        title, loss = f"{preset.name}: DDIM baseline", image_loss(model, data)
        drawn, export = partial(sheets.image_pictures, model), partial(_write, model, preset)
        yield Stage(IMAGE, title, model.unet, preset.image, loss, pictures=drawn, export=export)
        return
    networks = nn.ModuleDict({"unet": model.unet, "encoder": model.encoder})
    pixels = None
    # Only where it is used: for ffhq256 it would have 269 million parameters.
    if preset.encoder is not None or preset.pixel_weight:
        pixels = PixelDecoder(preset.model).to(data.device)
        _channels_last(pixels)
    if pixels is not None and preset.pixel_weight:
        networks["pixels"] = pixels
    _channels_last(networks)
    if pixels is not None and preset.encoder is not None:
        both = nn.ModuleDict({"encoder": model.encoder, "pixels": pixels})
        title, loss = f"{preset.name}: encoder", pixel_loss(model, data, pixels)
        drawn = partial(sheets.pixel_pictures, model.encoder, pixels)
        yield Stage(ENCODER, title, both, preset.encoder, loss, pictures=drawn)
    title = f"{preset.name}: autoencoder"
    loss = image_loss(model, data, pixels, preset.pixel_weight)
    drawn = partial(sheets.image_pictures, model)
    export = partial(_write, without_latent(model), preset)
    yield Stage(IMAGE, title, networks, preset.image, loss, pictures=drawn, export=export)


def latent_stage(preset: Preset, model: DiffusionAutoencoder, z: Tensor) -> Stage:
    """The latent DDIM on z_sem of the training images, N x d; `model` normalises by their moments."""
    assert preset.latent is not None and model.latent_net is not None
    title, loss = f"{preset.name}: latent DDIM", latent_loss(model, model.normalise(z))
    drawn, export = partial(sheets.latent_pictures, model), partial(_write, model, preset)
    net = model.latent_net
    return Stage(LATENT, title, net, preset.latent, loss, pictures=drawn, export=export)


def state_path(out: Path, name: str) -> Path:
    """The file in which the stage `name` of the training in `out` keeps its state."""
    return out / f"training-{name}.safetensors"


def refuse_unfinished(preset: Preset, out: Path) -> None:
    """Raise UserError if the autoencoder in `out` is not trained to the end."""
    step, steps = state.step_on_disk(state_path(out, IMAGE)), preset.image.steps
    if step < steps:
        where = f"the autoencoder in {out} is at step {step} of {steps}"
        raise UserError(f"--stages {LATENT}: {where}: leave it out, or give --init")


def without_latent(model: DiffusionAutoencoder) -> DiffusionAutoencoder:
    """The same encoder and UNet without a latent DDIM, to export before that is trained."""
    with without_weights():
        autoencoder = DiffusionAutoencoder(replace(model.config, latent=None))
    autoencoder.unet, autoencoder.encoder = model.unet, model.encoder
    return autoencoder


def set_moments(model: DiffusionAutoencoder, z: Tensor) -> None:
    """Set mean and standard deviation of z_sem (N x d) over the training images, for `normalise`.

    Raises UserError if a number of z_sem is the same for all images: its deviation would be a zero
    divisor.
    """
    std = z.std(0, keepdim=True)
    if not (std > 0).all():
        same = f"{int((~(std > 0)).sum())} of {z.shape[1]} numbers of z_sem"
        raise UserError(f"{same} are the same for all {len(z)} training images; use more images")
    model.z_mean.copy_(z.mean(0, keepdim=True))
    model.z_std.copy_(std)


def _write(model: DiffusionAutoencoder | DDIM, preset: Preset, folder: Path) -> None:
    """Export `model` as it is now, in the preset's dtype."""
    model.save_pretrained(folder, getattr(torch, preset.dtype))


def _channels_last(network: nn.Module) -> None:
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


# ----------------------------------------------------------------------------------------------
# Losses: uniform timesteps, a squared error on what the network predicts (paper, Eq. 6 and Section 4)


def noised(
    x_0: Tensor, alphas: Tensor, prediction: str, noise: Noise
) -> tuple[Tensor, Tensor, Tensor]:
    """Examples at random timesteps: x_t, t, and the target of the network's output.

    t is drawn uniformly; the target is eps or the velocity.
    """
    drawn = torch.from_numpy(noise.integers(len(alphas), size=len(x_0)))
    parts = (drawn, alphas[drawn], normals(noise, x_0.shape))
    # Without waiting for the GPU, which may still compute the part of the batch before.
    t, a, eps = (part.to(x_0.device, non_blocking=True) for part in parts)
    target = velocity(x_0, eps, a) if prediction == VELOCITY else eps
    return add_noise(x_0, eps, a), t, target


def image_loss(
    model: DiffusionAutoencoder | DDIM,
    data: Images,
    pixels: nn.Module | None = None,
    pixel_weight: float = 0.0,
) -> Loss:
    """|| eps_theta(x_t, t, Enc(x_0)) - eps ||^2, the mean over pixels (or the same of the velocity).

    The baseline's network is given no Enc(x_0). If `pixel_weight` is not 0 (it is 0 in the paper),
    the `pixel_loss` is added with that weight.
    """

    def loss(indices: Tensor, noise: Noise) -> Tensor:
        x_0 = data.batch(indices, noise)
        x_t, t, target = noised(x_0, model.alphas, model.config.prediction, noise)
        z = model.encoder(x_0) if isinstance(model, DiffusionAutoencoder) else None
        error = F.mse_loss(model.unet(x_t, t, z).float(), target)
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
    """A small decoder from z_sem straight to pixels, trained with the model and then discarded.

    The diffusion loss teaches the encoder through the noise of x_t, which takes the paper's tens of
    millions of images. The squared error of this decoder reaches the encoder without noise, so that
    a few hundred thousand images put the same content into z_sem.
    """

    def __init__(self, config: ModelConfig):
        start, channels = config.image_size // 4, 64
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


def latent_loss(model: DiffusionAutoencoder, z: Tensor) -> Loss:
    """| eps_omega(z_t, t) - eps |, the L1 loss on normalised z_sem (or the same of the velocity)."""
    net = model.latent_net
    assert net is not None

    def loss(indices: Tensor, noise: Noise) -> Tensor:
        x_0, predicts = z[indices.to(z.device)], net.config.prediction
        x_t, t, target = noised(x_0, model.latent_alphas, predicts, noise)
        return F.l1_loss(net(x_t, t).float(), target)

    return loss


def _codes(model: DiffusionAutoencoder, data: Images, out: Path, run: TrainingRun) -> Tensor:
    """z_sem of all images. They are encoded once: a resumed run reads them."""
    path = out / CODES
    if (saved := _read_codes(path, run.identity, len(data))) is not None:
        return saved.to(data.device)
    batch = min(run.steps.micro_batch or ENCODING_BATCH, ENCODING_BATCH)
    remedy = f"try --micro-batch {batch // 2 or 1}"
    with needing_memory(f"encoding {batch} images at a time", remedy):
        z = encode_all(model, data, batch)
    if distributed.is_main():
        write_tensors({"z": z}, path, {"identity": run.identity})
    return z


def encode_all(model: DiffusionAutoencoder, data: Images, batch: int = ENCODING_BATCH) -> Tensor:
    """z_sem of every training image, without flips, in float32: N x d.

    The images are shared among processes.
    """
    model.eval()
    own = torch.arange(distributed.rank(), len(data), distributed.world()).split(batch)
    with data.ahead(own):
        batches = shown(own, "encoding", "batches", len(own))
        z = torch.cat([model.encode(data.batch(indices)) for indices in batches])
    return gathered(z, len(data)).clone()


def _read_codes(path: Path, identity: str, count: int) -> Tensor | None:
    """The codes that an earlier run of this training saved; None if they are missing or not complete."""
    try:
        with safe_open(path, "pt") as file:
            z, notes = file.get_tensor("z"), file.metadata() or {}
    except (OSError, SafetensorError):
        return None
    return z.clone() if notes.get("identity") == identity and len(z) == count else None
