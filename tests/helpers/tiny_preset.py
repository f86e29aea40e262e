"""A preset of a few thousand weights, which trains in a moment, and noise images for it."""

import numpy as np

from diffae.networks.config import LatentConfig, ModelConfig
from diffae.train.presets import Preset
from diffae.train.types import Schedule

SCHEDULE = Schedule(samples=24, batch_size=4, learning_rate=1e-3, ema_decay=0.5)
TINY = Preset(
    "tiny",
    ModelConfig(
        "diffusion_autoencoder",
        8,
        8,
        (1,),
        (1,),
        embed_channels=8,
        z_channels=4,
        num_res_blocks=1,
        attention_resolutions=(),
        norm_groups=4,
        dropout=0.5,
        latent=LatentConfig(num_layers=2, hidden_channels=8, time_channels=4),
    ),
    SCHEDULE,
    SCHEDULE,
)


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3)).astype(np.uint8)
