"""Presets: everything that decides how a model is trained, in one table with the expected results.

Settings that the paper fixes (Appendix A) are kept: Adam, a mean squared error, uniform timesteps,
gradient norm clipped to 1, L1 for the latent DDIM. The small presets differ where two CPU cores
require it: velocity instead of noise prediction, a higher learning rate that decays, an EMA that
warms up, and a second loss that teaches the encoder without noise, first alone (`encoder`) and then
along with the first (`pixel_weight`).
"""

from dataclasses import KW_ONLY, asdict, dataclass, replace
from functools import partial
from itertools import starmap
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any, ClassVar, Literal, Self

from diffae.networks.config import (
    ARCHITECTURES,
    AUTOENCODER,
    DDIM_BASELINE,
    EPSILON,
    VELOCITY,
    LatentConfig,
    ModelConfig,
)
from diffae.system.cli import did_you_mean
from diffae.system.errors import UserError
from diffae.system.settings import Range
from diffae.train.images import Source
from diffae.train.trainer import Run
from diffae.train.types import MOST, Outcome, Schedule


@dataclass(frozen=True)
class AnyPreset:
    """What every preset has: the data of a training, and which of its settings decide the result.

    `portraits` is the number of procedural portraits to train on if no `--data` is given; 0 means
    that the preset is meant for `data_hint` and `--data` is required. `split` is the part of the
    data to train on: "all" for data sets that have no split of their own, as the authors do.
    """

    name: str
    _: KW_ONLY
    portraits: Annotated[int, Range(0, 10**7)] = 0
    data_hint: str = ""
    split: Literal["train", "valid", "test", "all"] = "train"
    flip: bool = False
    expect: str = ""

    deciding: ClassVar[tuple[str, ...]]
    settable: ClassVar[tuple[str, ...]]  # by `overrides`
    optional: ClassVar[tuple[str, ...]] = ()  # stages that can be left out

    @property
    def image_size(self) -> int:
        raise NotImplementedError

    @property
    def decides(self) -> dict[str, Any]:
        """The settings that decide the result, apart from data, seed and precision.

        The others are descriptions.
        """
        return {name: value for name, value in asdict(self).items() if name in self.deciding}

    def sized(self, count: int) -> Self:
        """The same for `count` training images."""
        return self

    def train(self, images: Source, out: Path, run: Run, device: str) -> dict[str, Outcome]:
        """Train on `images` and export to `out`. Returns the outcome of each stage.

        Of presets of other systems only: `stages.train` trains a `Preset`.
        """
        raise NotImplementedError


@dataclass(frozen=True)
class Preset(AnyPreset):
    """One model: its architecture, its data, and the schedules of its networks.

    `encoder` gives the semantic encoder a start by `stages.PixelDecoder` alone, and `pixel_weight`
    keeps that decoder's loss beside the diffusion loss; the paper has neither. `image` trains
    encoder and UNet (or the baseline's UNet) by the diffusion loss, `latent` the latent DDIM.

    `dtype` is that of the weights that are written. `epochs` adapts a training to its images:
    encoder and autoencoder see each of them at most that often (0: as often as `samples` say).
    """

    description: str
    model: ModelConfig
    image: Schedule
    latent: Schedule | None = None
    encoder: Schedule | None = None
    pixel_weight: Annotated[float, Range(0, 1e6)] = 0.0
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"
    epochs: Annotated[int, Range(0, MOST)] = 0

    deciding = ("model", "image", "latent", "encoder", "pixel_weight", "flip")
    settable = (*deciding, "split", "portraits", "dtype", "epochs")
    optional = ("encoder", "latent")

    @property
    def image_size(self) -> int:
        return self.model.image_size

    def sized(self, count: int) -> Self:
        """The same for `count` training images: `samples` are at most `epochs` of them."""
        if not self.epochs:
            return self
        most = self.epochs * count
        encoder = None if self.encoder is None else self.encoder.at_most(most)
        return replace(self, encoder=encoder, image=self.image.at_most(most))

    def without(self, stage: str) -> Self:
        """The same without one of the `optional` stages, and without the network that only it trains."""
        if stage == "latent":
            return replace(self, latent=None, model=replace(self.model, latent=None))
        return replace(self, encoder=None)


_SMALL = ModelConfig(
    AUTOENCODER,
    image_size=32,
    model_channels=32,
    channel_mult=(1, 2, 2),
    encoder_channel_mult=(1, 2, 4, 8),
    embed_channels=128,
    z_channels=256,
    num_res_blocks=1,
    attention_resolutions=(8,),
    norm_groups=8,
    dropout=0.0,
    prediction=VELOCITY,
    latent=LatentConfig(num_layers=6, hidden_channels=512, prediction=VELOCITY),
)
_SMALL_DDIM = replace(_SMALL, kind=DDIM_BASELINE, encoder_channel_mult=(), latent=None)

_IMAGE = Schedule(
    samples=240_000,
    batch_size=32,
    learning_rate=8e-4,
    warmup_samples=8_000,
    decay="cosine",
    ema_decay=0.9995,
    ema_warmup=True,
    bfloat16=True,
)
_LATENT = Schedule(
    samples=2_000_000,
    batch_size=512,
    learning_rate=1e-3,
    warmup_samples=100_000,
    decay="cosine",
    weight_decay=0.01,
    ema_decay=0.999,
    ema_warmup=True,
    bfloat16=True,
)

_PIXEL_WEIGHT = 4.0

# Few images, each seen few times: smaller batches give more steps.
_FEW = replace(_IMAGE, samples=20_000, batch_size=16, learning_rate=6e-4, warmup_samples=2_000)

_SMOKE = replace(_IMAGE, samples=768, warmup_samples=64)

_small = partial(Preset, dtype="float16")
_SMALL_PRESETS = (
    _small(
        "portraits",
        "the packaged autoencoder with its latent DDIM, 32 px",
        _SMALL,
        replace(_IMAGE, samples=140_000),
        _LATENT,
        encoder=_IMAGE,
        pixel_weight=_PIXEL_WEIGHT,
        portraits=40_000,
    ),
    _small(
        "portraits-ddim",
        "the packaged DDIM baseline: the same UNet without an encoder, 32 px",
        _SMALL_DDIM,
        _IMAGE,
        portraits=40_000,
    ),
    _small(
        "portraits-noise",
        "the DDIM baseline predicting the noise, as the paper's networks do, 32 px; see `diffae-bench docs results/solvers`",
        replace(_SMALL_DDIM, prediction=EPSILON),
        replace(_IMAGE, samples=40_000),
        portraits=40_000,
    ),
    _small(
        "fashion-mnist",
        "autoencoder and latent DDIM on Fashion-MNIST, 32 px",
        _SMALL,
        replace(_IMAGE, samples=40_000),
        _LATENT,
        encoder=replace(_IMAGE, samples=60_000),
        pixel_weight=_PIXEL_WEIGHT,
        data_hint="a folder with Fashion-MNIST's IDX files",
    ),
    _small(
        "fashion-mnist-ddim",
        "the DDIM baseline on Fashion-MNIST, 32 px",
        _SMALL_DDIM,
        replace(_IMAGE, samples=40_000),
        data_hint="a folder with Fashion-MNIST's IDX files",
    ),
    _small(
        "small",
        "a few hundred photographs of yours, ten minutes on two cores, 32 px; see `diffae-bench docs results/small`",
        replace(_SMALL, z_channels=64, dropout=0.1),
        _FEW,
        replace(_LATENT, samples=600_000, warmup_samples=50_000),
        encoder=_FEW,
        pixel_weight=_PIXEL_WEIGHT,
        data_hint="a folder of a few hundred photographs",
        flip=True,
        epochs=100,
    ),
    _small(
        "smoke",
        "proves in half a minute that training, the latent DDIM and export work; no useful model",
        replace(
            _SMALL, latent=LatentConfig(num_layers=3, hidden_channels=128, prediction=VELOCITY)
        ),
        _SMOKE,
        replace(_LATENT, samples=8_192, warmup_samples=1_024),
        encoder=_SMOKE,
        pixel_weight=_PIXEL_WEIGHT,
        portraits=256,
    ),
)

# ----------------------------------------------------------------------------------------------
# The released configurations, as the authors trained them (Appendix A and their code): Adam, rate 1e-4
# without warm-up or decay, EMA 0.9999, random flips. `expect` is what the paper reports of them.

_PAPER = Schedule(samples=130_000_000, batch_size=128, learning_rate=1e-4, bfloat16=True)
_PAPER_LATENT = Schedule(
    samples=101_000_000, batch_size=256, learning_rate=1e-4, weight_decay=0.01, bfloat16=True
)
_LSUN_LATENT = replace(_PAPER_LATENT, samples=2_001_000_000, batch_size=2048, weight_decay=0.0)


def _paper(
    name: str,
    architecture: str,
    data: str,
    samples: int,
    expect: str,
    latent: Schedule | None = None,
    batch_size: int = 128,
    released: str = "",
) -> Preset:
    model = ARCHITECTURES[architecture]
    alone = architecture.removesuffix("_latent")
    released = released or (alone if latent is None else f"{alone} and {architecture}")
    kind = "the DDIM baseline" if model.kind == DDIM_BASELINE else "autoencoder"
    return Preset(
        name,
        f"{kind} of the paper, {model.image_size} px, {data} (the authors' {released})",
        model,
        replace(_PAPER, samples=samples, batch_size=batch_size),
        latent,
        data_hint=data,
        split="train" if data.startswith("CelebA") else "all",
        flip=True,
        expect=expect,
    )


def _ablation(size: int, ssim: float) -> Preset:
    preset = _paper(
        f"ffhq128-z{size}",
        "ffhq128_autoenc_130M",
        "FFHQ",
        48_000_000,
        f"SSIM {ssim:.3f} on CelebA-HQ at T = 100 with random x_T (Table 2)",
        released=f"code with style_ch = {size}",
    )
    return replace(preset, model=replace(preset.model, z_channels=size))


_PAPER_PRESETS = (
    _paper(
        "ffhq128",
        "ffhq128_autoenc_latent",
        "FFHQ",
        130_000_000,
        "SSIM 0.991, LPIPS 0.011 on CelebA-HQ at T = 100 (Table 1); FID 16.70 at T = 20, 10.59 at T = 100 (Table 4)",
        latent=_PAPER_LATENT,
        released="ffhq128_autoenc_130M and ffhq128_autoenc_latent",
    ),
    _paper(
        "ffhq128-72m",
        "ffhq128_autoenc_130M",
        "FFHQ",
        72_000_000,
        "no number in the paper; at 48 M images SSIM 0.631, at 130 M 0.677 (Table 2, random x_T, T = 100)",
        released="ffhq128_autoenc_72M",
    ),
    _paper(
        "ffhq128-ddim",
        "ffhq128_ddpm_130M",
        "FFHQ",
        130_000_000,
        "SSIM 0.917, LPIPS 0.063 on CelebA-HQ at T = 100 (Table 1); FID 21.45 at T = 20, 12.03 at T = 100 (Table 4)",
    ),
    _paper(
        "ffhq128-ddim-72m",
        "ffhq128_ddpm_130M",
        "FFHQ",
        72_000_000,
        "no number in the paper; at 130 M images those of ffhq128-ddim",
        released="ffhq128_ddpm_72M",
    ),
    _paper(
        "ffhq256",
        "ffhq256_autoenc_latent",
        "FFHQ",
        200_000_000,
        "the pictures of the paper; the released weights stopped at 100 M images",
        latent=_PAPER_LATENT,
        batch_size=64,
    ),
    _paper(
        "horse128",
        "horse128_autoenc_latent",
        "LSUN Horse",
        130_000_000,
        "FID 9.37 at T = 20, 6.71 at T = 100 (Table 4)",
        latent=_LSUN_LATENT,
    ),
    _paper(
        "horse128-ddim",
        "ffhq128_ddpm_130M",
        "LSUN Horse",
        130_000_000,
        "FID 12.92 at T = 20, 5.97 at T = 100 (Table 4)",
        released="horse128_ddpm",
    ),
    _paper(
        "bedroom128",
        "bedroom128_autoenc_latent",
        "LSUN Bedroom",
        120_000_000,
        "FID 8.19 at T = 20, 5.70 at T = 100 (Table 4)",
        latent=_LSUN_LATENT,
    ),
    _paper(
        "bedroom128-ddim",
        "ffhq128_ddpm_130M",
        "LSUN Bedroom",
        120_000_000,
        "FID 9.23 at T = 20, 5.94 at T = 100 (Table 4)",
        released="bedroom128_ddpm",
    ),
    _paper(
        "celeba64",
        "celeba64d2c_autoenc_latent",
        "CelebA with the D2C crop",
        72_000_000,
        "FID 10.18 at T = 20, 5.30 at T = 100 (Table 4), and the rows of Table 3",
        latent=replace(_PAPER_LATENT, samples=301_000_000, batch_size=512),
        released="celeba64d2c_autoenc_latent, never released",
    ),
    _paper(
        "celeba64-ddim",
        "ffhq64_ddpm",
        "CelebA with the D2C crop",
        72_000_000,
        "FID 12.70 at T = 20, 5.83 at T = 100 (Table 4)",
        released="celeba64d2c_ddpm, never released",
    ),
    *starmap(_ablation, [(64, 0.521), (128, 0.582), (256, 0.606), (512, 0.631)]),
)

PRESETS: dict[str, Preset] = {preset.name: preset for preset in (*_SMALL_PRESETS, *_PAPER_PRESETS)}

# Presets of other systems, each in `benchmarks.systems.SYSTEM.training`, where SYSTEM is the first word of its name. This
# package does not import the harness: it is looked up by name. Command, data, state and resume are the same for them.
OTHER_PRESETS = {
    "nvae-portraits": "the packaged NVAE: five groups at two scales, 32 px",
    "d2c-portraits": "the packaged D2C: codes of 8 x 8 x 8 and their DDIM, 32 px",
    "vqvae2-portraits": "the packaged VQ-VAE-2: maps of 4 x 4 and 8 x 8 codes, 32 px",
    "vqgan-portraits": "the packaged VQ-GAN: a map of 8 x 8 codes, 32 px",
    "stylegan2-portraits": "the packaged StyleGAN2, for W and W+: 512 numbers in w, 32 px",
}


def find_preset(name: str) -> AnyPreset:
    """The preset of that name. Raises UserError, with the nearest name, if there is none."""
    if name in PRESETS:
        return PRESETS[name]
    if name not in OTHER_PRESETS:
        raise UserError(f"unknown preset {name!r}{did_you_mean(name, [*PRESETS, *OTHER_PRESETS])}")
    found: AnyPreset = resolve_name(f"benchmarks.systems.{name.partition('-')[0]}.training:PRESET")
    return found
