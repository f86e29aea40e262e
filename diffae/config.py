"""Architectures: what a network is made of, and the configurations that the authors released.

A `ModelConfig` is all that is needed to build a model; it is saved as `config.json` beside the weights.
"""

from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from diffae.errors import UserError

AUTOENCODER, DDIM_BASELINE = "diffusion_autoencoder", "ddim"
EPSILON, VELOCITY = "epsilon", "velocity"  # what a network's output stands for


@dataclass(frozen=True)
class LatentConfig:
    """The latent DDIM: an MLP with skip connections over the normalised z_sem (paper, Appendix A)."""

    num_layers: int = 10
    hidden_channels: int = 2048
    time_channels: int = 64
    beta: float = 0.008
    prediction: str = EPSILON


@dataclass(frozen=True)
class ModelConfig:
    """A diffusion autoencoder, or the DDIM baseline: the same UNet without encoder and z_sem.

    `channel_mult` and `encoder_channel_mult` list one factor of `model_channels` per resolution, from
    `image_size` downwards, each half as large as the one before. `embed_channels` is the width of the
    time embedding, `z_channels` the size of z_sem. `latent` is None without a latent DDIM.

    `prediction` says whether the UNet's output is the noise itself, as in the paper, or the velocity
    sqrt(a) eps - sqrt(1 - a) x_0 from which the noise follows (Salimans and Ho, 2022). The latter learns
    what x_0 is at high noise much sooner, which is what a short training needs.
    """

    kind: str
    image_size: int
    model_channels: int
    channel_mult: tuple[int, ...]
    encoder_channel_mult: tuple[int, ...] = ()
    embed_channels: int = 512
    z_channels: int = 512
    num_res_blocks: int = 2
    attention_resolutions: tuple[int, ...] = (16,)
    norm_groups: int = 32
    dropout: float = 0.1
    prediction: str = EPSILON
    latent: LatentConfig | None = None

    def __post_init__(self) -> None:
        if self.kind not in (AUTOENCODER, DDIM_BASELINE):
            raise UserError(
                f"config: kind {self.kind!r} is neither {AUTOENCODER!r} nor {DDIM_BASELINE!r}"
            )
        if (self.kind == AUTOENCODER) != bool(self.encoder_channel_mult):
            raise UserError(
                f"config: an encoder_channel_mult belongs to kind {AUTOENCODER!r} and no other"
            )
        predictions = {self.prediction, self.latent.prediction if self.latent else EPSILON}
        if not predictions <= {EPSILON, VELOCITY}:
            raise UserError(f"config: prediction must be {EPSILON!r} or {VELOCITY!r}")
        deepest = max(len(self.channel_mult), len(self.encoder_channel_mult))
        if self.image_size % 2 ** (deepest - 1):
            raise UserError(
                f"config: image_size {self.image_size} cannot be halved {deepest - 1} times"
            )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> "ModelConfig":
        """The inverse of `to_json`. Raises UserError naming a field that is unknown or missing."""
        unknown = set(data) - {field.name for field in fields(ModelConfig)}
        if unknown:
            raise UserError(f"config: unknown field(s) {', '.join(sorted(unknown))}")
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in data.items()
        }
        try:
            if values.get("latent") is not None:
                values["latent"] = LatentConfig(**values["latent"])
            return ModelConfig(**values)
        except TypeError as error:
            raise UserError(f"config: {error}") from None


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
