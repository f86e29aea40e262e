"""Tiny models of diffusers, each with a configuration of its class and seeded weights."""

from pathlib import Path
from typing import Any

import pytest
import torch

BLOCKS: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "norm_num_groups": 4,
    "sample_size": 32,
}
LEVELS = BLOCKS | {"block_out_channels": (8, 16)}
FACTORS = {"scaling_factor": 0.25, "shift_factor": 3.0}  # that must not be applied


def both(**fields: Any) -> dict[str, Any]:
    """The fields of the encoder, and the same of the decoder."""
    return {f"{side}_{k}": v for side in ("encoder", "decoder") for k, v in fields.items()}


# By class: what it is made with.
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "AutoencoderKL": LEVELS | FACTORS | {"latent_channels": 3},
    "AsymmetricAutoencoderKL": BLOCKS
    | {
        "down_block_out_channels": (8, 16),
        "up_block_out_channels": (8, 16),
        "latent_channels": 3,
        "scaling_factor": 0.25,
    },
    "AutoencoderTiny": both(block_out_channels=(8, 8))
    | FACTORS
    | {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)},
    "AutoencoderDC": both(
        block_types=("ResBlock", "EfficientViTBlock"),
        block_out_channels=(8, 8),
        layers_per_block=(1, 1),
        qkv_multiscales=((), (5,)),
    )
    | {"latent_channels": 4, "attention_head_dim": 4, "scaling_factor": 0.25},
    "AutoencoderRAE": {
        "encoder_type": "mae",
        "encoder_hidden_size": 64,
        "encoder_patch_size": 8,
        "encoder_num_hidden_layers": 1,
        "decoder_hidden_size": 16,
        "decoder_num_hidden_layers": 1,
        "decoder_num_attention_heads": 2,
        "decoder_intermediate_size": 16,
        "patch_size": 4,
        "encoder_input_size": 32,
    },
    "AutoencoderKLFlux2": LEVELS | {"latent_channels": 4},
    "AutoencoderKLHunyuanImage": {
        "in_channels": 3,
        "out_channels": 3,
        "latent_channels": 4,
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "spatial_compression_ratio": 2,
        "sample_size": 32,
        "scaling_factor": 0.25,
    },
    "AutoencoderKLKVAE": {
        "channels": 32,
        "num_enc_blocks": 1,
        "num_dec_blocks": 1,
        "z_channels": 4,
        "ch_mult": (1, 2),
        "sample_size": 32,
    },
    "ConsistencyDecoderVAE": both(block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1)
    | {
        "encoder_down_block_types": LEVELS["down_block_types"],
        "decoder_down_block_types": ("ResnetDownsampleBlock2D",) * 2,
        "decoder_up_block_types": ("ResnetUpsampleBlock2D",) * 2,
        "sample_size": 32,
    },
    "VQModel": LEVELS | {"latent_channels": 3, "num_vq_embeddings": 16, "vq_embed_dim": 4},
}


def make(class_name: str, **changed: Any) -> Any:
    """A model with weights of seed 0, in evaluation mode.

    Skips the test if the release has no such class.
    """
    import diffusers

    if not hasattr(diffusers, class_name):
        pytest.skip(f"diffusers {diffusers.__version__} has no {class_name}")
    torch.manual_seed(0)
    return getattr(diffusers, class_name)(**CONFIGURATIONS[class_name] | changed).eval()


def save(folder: Path, class_name: str, **changed: Any) -> Any:
    """The same, saved by `save_pretrained` into `folder`."""
    model = make(class_name, **changed)
    model.save_pretrained(folder)
    return model
