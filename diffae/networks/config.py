"""Architectures: the settings of networks, and the configurations that the authors released.

A `ModelConfig` is all that is needed to build a model; it is saved as `config.json` beside the
weights. This module does not need PyTorch, so that a command can inspect a checkpoint quickly.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, get_args

from diffae.system.errors import UserError, naming
from diffae.system.files import Json, JsonObject, read_json
from diffae.system.settings import Range, check

NUM_TIMESTEPS = 1000  # of every diffusion here, as of the authors'
Kind = Literal["diffusion_autoencoder", "ddim"]
AUTOENCODER, DDIM_BASELINE = get_args(Kind)
Prediction = Literal["epsilon", "velocity"]  # what a network's output stands for
EPSILON, VELOCITY = get_args(Prediction)

# Each number has a range: an untrusted file must not ask for a network that fills the memory.
DEEPEST = 12  # resolutions
Width = Annotated[int, Range(1, 1 << 16)]
Side = Annotated[int, Range(1, 4096)]
Factor = Annotated[int, Range(1, 64)]


@dataclass(frozen=True)
class LatentConfig:
    """The latent DDIM: an MLP with skip connections over the normalised z_sem (paper, Appendix A)."""

    num_layers: Annotated[int, Range(1, 100)] = 10
    hidden_channels: Width = 2048
    time_channels: Annotated[int, Range(2, 1 << 16)] = 64
    beta: Annotated[float, Range(1e-6, 0.5)] = 0.008
    prediction: Prediction = EPSILON

    def __post_init__(self) -> None:
        check(self, "config: ")
        if self.time_channels % 2:
            raise UserError(f"config: time_channels {self.time_channels} must be even")


@dataclass(frozen=True)
class ModelConfig:
    """A diffusion autoencoder, or the DDIM baseline: the same UNet without encoder and z_sem.

    `channel_mult` and `encoder_channel_mult` list one factor of `model_channels` per resolution,
    from `image_size` downwards, each half as large as the one before. `embed_channels` is the width
    of the time embedding, `z_channels` the size of z_sem. `latent` is None without a latent DDIM.

    `prediction` says whether the UNet's output is the noise itself, as in the paper, or the
    velocity sqrt(a) eps - sqrt(1 - a) x_0 from which the noise follows (Salimans and Ho, 2022). The
    latter learns what x_0 is at high noise much sooner, which is what a short training needs.
    """

    kind: Kind
    image_size: Side
    model_channels: Annotated[int, Range(2, 4096)]
    channel_mult: tuple[Factor, ...]
    encoder_channel_mult: tuple[Factor, ...] = ()
    embed_channels: Width = 512
    z_channels: Width = 512
    num_res_blocks: Annotated[int, Range(1, 32)] = 2
    attention_resolutions: tuple[Side, ...] = (16,)
    norm_groups: Annotated[int, Range(1, 4096)] = 32
    dropout: Annotated[float, Range(0, 1)] = 0.1
    prediction: Prediction = EPSILON
    latent: LatentConfig | None = None

    def __post_init__(self) -> None:
        check(self, "config: ")
        lists = (self.channel_mult, self.encoder_channel_mult, self.attention_resolutions)
        if max(map(len, lists)) > DEEPEST:
            raise UserError(f"config: more than {DEEPEST} resolutions")
        if (self.kind == AUTOENCODER) != bool(self.encoder_channel_mult):
            raise UserError(f"config: encoder_channel_mult belongs to kind {AUTOENCODER!r} alone")
        if not self.channel_mult:
            raise UserError("config: channel_mult must have a factor for each resolution")
        if self.model_channels % 2 or self.model_channels % self.norm_groups:
            multiple = f"even and a multiple of norm_groups {self.norm_groups}"
            raise UserError(f"config: model_channels {self.model_channels} must be {multiple}")
        deepest = max(len(self.channel_mult), len(self.encoder_channel_mult))
        if self.image_size % 2 ** (deepest - 1):
            halved = f"image_size {self.image_size} cannot be halved {deepest - 1} times"
            raise UserError(f"config: {halved}")

    def to_json(self) -> dict[str, Json]:
        return asdict(self)

    @staticmethod
    def from_json(data: JsonObject) -> "ModelConfig":
        """The inverse of `to_json`.

        Raises UserError naming a field that is unknown, missing or wrong.
        """
        values = data | {k: tuple(v) for k, v in data.items() if isinstance(v, list)}
        try:
            if (latent := data.get("latent")) is not None:
                values["latent"] = LatentConfig(**latent)
            return ModelConfig(**values)
        except TypeError as error:  # a name that is unknown or missing
            raise UserError(f"config: {str(error).partition('() ')[2]}") from None


def read_config(path: Path) -> ModelConfig:
    """The configuration in a `config.json`. Raises UserError naming the file and what is wrong."""
    content = read_json(path)
    with naming(path):
        return ModelConfig.from_json(content)


# ----------------------------------------------------------------------------------------------
# The authors' released configurations, under their names

_CELEBA64 = ModelConfig(AUTOENCODER, 64, 64, (1, 2, 4, 8), (1, 2, 4, 8, 8))
_FFHQ128 = ModelConfig(AUTOENCODER, 128, 128, (1, 1, 2, 3, 4), (1, 1, 2, 3, 4, 4))
_FFHQ256 = ModelConfig(AUTOENCODER, 256, 128, (1, 1, 2, 2, 4, 4), (1, 1, 2, 2, 4, 4, 4))


def _baseline(config: ModelConfig) -> ModelConfig:
    return replace(config, kind=DDIM_BASELINE, encoder_channel_mult=())


def _with_latent(config: ModelConfig, num_layers: int = 10) -> ModelConfig:
    return replace(config, latent=LatentConfig(num_layers=num_layers))


ARCHITECTURES: dict[str, ModelConfig] = {
    "celeba64d2c_autoenc": _CELEBA64,
    "celeba64d2c_autoenc_latent": _with_latent(_CELEBA64),
    "ffhq64_ddpm": _baseline(_CELEBA64),
    "ffhq128_autoenc_130M": _FFHQ128,
    "ffhq128_autoenc_latent": _with_latent(_FFHQ128),
    "ffhq128_ddpm_130M": _baseline(_FFHQ128),
    "ffhq256_autoenc": _FFHQ256,
    "ffhq256_autoenc_latent": _with_latent(_FFHQ256),
    "horse128_autoenc_latent": _with_latent(_FFHQ128, num_layers=20),
    "bedroom128_autoenc_latent": _with_latent(_FFHQ128, num_layers=20),
}
