"""Random weights of small vision transformers, one block deep, in each kind of file that people have."""

from dataclasses import replace
from pathlib import Path

import timm
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    Dinov2Config,
    Dinov2Model,
)

from benchmarks import weights
from benchmarks.metrics.networks.vision_transformers import (
    CLIP_VITL14_336,
    DINOV2_VITL14,
    Architecture,
)

SMALL = {"embed_dim": 64, "depth": 1, "num_heads": 2}
DINOV2 = replace(DINOV2_VITL14, arguments={**DINOV2_VITL14.arguments, **SMALL})
CLIP = replace(CLIP_VITL14_336, arguments={**CLIP_VITL14_336.arguments, **SMALL, "num_classes": 32})


def file_of(network: str, part: str) -> str:
    """The published name of a file, by a part of it."""
    names = [file.filename for file in weights.KNOWN[network].files]
    return next(name for name in names if part in name)


def randomised(network: torch.nn.Module, std: float = 0.5) -> torch.nn.Module:
    """The network with weights so large that every tensor matters."""
    torch.manual_seed(0)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            torch.nn.init.normal_(tensor, std=std)
    return network.eval()


def sizes(architecture: Architecture) -> tuple[int, int, int]:
    """Width, depth and heads: those of the architecture, or the published ones."""
    published = (768, 12, 12) if "base" in architecture.arguments["model_name"] else (1024, 24, 16)
    small = [
        architecture.arguments.get(name, size) for name, size in zip(SMALL, published, strict=True)
    ]
    return small[0], small[1], small[2]


def dinov2_of(architecture: Architecture, image_size: int = 518) -> Dinov2Model:
    width, depth, heads = sizes(architecture)
    config = Dinov2Config(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        image_size=image_size,
        patch_size=14,
    )
    return Dinov2Model(config).eval()


def clip_config(architecture: Architecture) -> CLIPVisionConfig:
    width, depth, heads = sizes(architecture)
    return CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        image_size=336,
        patch_size=14,
        projection_dim=architecture.arguments["num_classes"],
    )


def write_dinov2(folder: Path) -> Dinov2Model:
    """Write the weights of a small DINOv2 in every kind of file, and return it."""
    network = randomised(dinov2_of(DINOV2))
    path = folder / file_of("dinov2_vitl14", "dinov2-large")
    network.save_pretrained(path.parent)
    state = timm_names_of_dinov2(load_file(path))
    state = timm_state(state, "vit_large_patch14_dinov2", img_size=518, num_classes=0)
    path = folder / file_of("dinov2_vitl14", "lvd142m")
    path.parent.mkdir()
    save_file(state, path)
    state["mask_token"] = torch.ones(1, 64)
    torch.save(state, folder / file_of("dinov2_vitl14", ".pth"))
    return network


def write_clip(folder: Path) -> CLIPVisionModelWithProjection:
    """The same of CLIP: with the text encoder in a .bin, without it in a .safetensors, and timm's."""
    vision = clip_config(CLIP)
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1}
    configs = {"text_config": text, "vision_config": vision.to_dict()}
    both = randomised(CLIPModel(CLIPConfig(**configs, projection_dim=32)))
    path = folder / file_of("clip_vitl14_336", ".bin")
    both.save_pretrained(path.parent)
    # copies: the tensors are views of the file, which is written again below
    state = {n: t.clone() for n, t in load_file(path.parent / "model.safetensors").items()}
    # files of 2022 hold the indices of positions too
    indices = {
        f"{part}_model.embeddings.position_ids": torch.arange(9) for part in ("text", "vision")
    }
    torch.save(state | indices, path)
    network = CLIPVisionModelWithProjection(vision).eval()
    network.load_state_dict(
        {n: t for n, t in both.state_dict().items() if n in network.state_dict()}
    )
    network.save_pretrained(path.parent)
    head = {
        "head.weight": state["visual_projection.weight"],
        "head.bias": torch.zeros(32),
    }
    state = timm_names_of_clip(state) | head
    state = timm_state(state, "vit_large_patch14_clip_quickgelu_336", num_classes=32)
    path = folder / file_of("clip_vitl14_336", "336.openai")
    path.parent.mkdir()
    save_file(state, path)
    return network


def timm_state(read_by: dict[str, torch.Tensor], name: str, **changes: int) -> dict:
    """The tensors under timm's names, as timm itself takes and saves them."""
    network = timm.create_model(name, embed_dim=64, depth=1, num_heads=2, **changes)
    network.load_state_dict(read_by)
    return network.state_dict()


def timm_names_of_dinov2(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Written out for one block, apart from the code that is tested."""
    block, attention = "encoder.layer.0.", "encoder.layer.0.attention.attention."
    found = {
        "cls_token": state["embeddings.cls_token"],
        "pos_embed": state["embeddings.position_embeddings"],
        "blocks.0.ls1.gamma": state[block + "layer_scale1.lambda1"],
        "blocks.0.ls2.gamma": state[block + "layer_scale2.lambda1"],
    }
    for end in ("weight", "bias"):
        found |= {
            f"patch_embed.proj.{end}": state[f"embeddings.patch_embeddings.projection.{end}"],
            f"norm.{end}": state[f"layernorm.{end}"],
            f"blocks.0.attn.proj.{end}": state[f"{block}attention.output.dense.{end}"],
            f"blocks.0.attn.qkv.{end}": torch.cat(
                [state[f"{attention}{part}.{end}"] for part in ("query", "key", "value")]
            ),
        }
        for part in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
            found[f"blocks.0.{part}.{end}"] = state[f"{block}{part}.{end}"]
    return found


def timm_names_of_clip(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Written out for one block, apart from the code that is tested; without the projection."""
    start, block = "vision_model.embeddings.", "vision_model.encoder.layers.0."
    found = {
        "cls_token": state[start + "class_embedding"].reshape(1, 1, -1),
        "pos_embed": state[start + "position_embedding.weight"][None],
        "patch_embed.proj.weight": state[start + "patch_embedding.weight"],
    }
    for end in ("weight", "bias"):
        found |= {
            f"norm_pre.{end}": state[f"vision_model.pre_layrnorm.{end}"],
            f"norm.{end}": state[f"vision_model.post_layernorm.{end}"],
            f"blocks.0.norm1.{end}": state[f"{block}layer_norm1.{end}"],
            f"blocks.0.norm2.{end}": state[f"{block}layer_norm2.{end}"],
            f"blocks.0.mlp.fc1.{end}": state[f"{block}mlp.fc1.{end}"],
            f"blocks.0.mlp.fc2.{end}": state[f"{block}mlp.fc2.{end}"],
            f"blocks.0.attn.proj.{end}": state[f"{block}self_attn.out_proj.{end}"],
            f"blocks.0.attn.qkv.{end}": torch.cat(
                [state[f"{block}self_attn.{part}_proj.{end}"] for part in "qkv"]
            ),
        }
    return found
