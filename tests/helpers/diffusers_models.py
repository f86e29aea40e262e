"""Tiny models of diffusers, each with a configuration of its class and seeded weights."""

from pathlib import Path
from typing import Any

import pytest
import torch

LEVELS: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 2,
    "up_block_types": ("UpDecoderBlock2D",) * 2,
    "block_out_channels": (8, 16),
    "norm_num_groups": 4,
    "sample_size": 32,
}
FACTORS = {"scaling_factor": 0.25, "shift_factor": 3.0}  # that must not be applied

# By class: what it is made with.
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "AutoencoderKL": LEVELS | FACTORS | {"latent_channels": 3},
    "AsymmetricAutoencoderKL": {
        "down_block_types": LEVELS["down_block_types"],
        "up_block_types": LEVELS["up_block_types"],
        "down_block_out_channels": (8, 16),
        "up_block_out_channels": (8, 16),
        "norm_num_groups": 4,
        "sample_size": 32,
        "latent_channels": 3,
        "scaling_factor": 0.25,
    },
    "AutoencoderTiny": {
        "encoder_block_out_channels": (8, 8),
        "decoder_block_out_channels": (8, 8),
        "num_encoder_blocks": (1, 1),
        "num_decoder_blocks": (1, 1),
        **FACTORS,
    },
    "AutoencoderDC": {
        "latent_channels": 4,
        "attention_head_dim": 4,
        "encoder_block_types": ("ResBlock", "EfficientViTBlock"),
        "decoder_block_types": ("ResBlock", "EfficientViTBlock"),
        "encoder_block_out_channels": (8, 8),
        "decoder_block_out_channels": (8, 8),
        "encoder_layers_per_block": (1, 1),
        "decoder_layers_per_block": (1, 1),
        "encoder_qkv_multiscales": ((), (5,)),
        "decoder_qkv_multiscales": ((), (5,)),
        "scaling_factor": 0.25,
    },
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
    "ConsistencyDecoderVAE": {
        "encoder_block_out_channels": (8, 16),
        "encoder_down_block_types": LEVELS["down_block_types"],
        "encoder_norm_num_groups": 4,
        "encoder_layers_per_block": 1,
        "decoder_block_out_channels": (8, 16),
        "decoder_down_block_types": ("ResnetDownsampleBlock2D",) * 2,
        "decoder_up_block_types": ("ResnetUpsampleBlock2D",) * 2,
        "decoder_layers_per_block": 1,
        "decoder_norm_num_groups": 4,
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
